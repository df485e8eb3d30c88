"""What all commands share: options for how much is said, an interrupt and a reader that went away
as exit codes, and help in sections that needs no colours and no boxes.
"""

import functools
import inspect
import os
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from xbarsim.cli.console import talk
from xbarsim.cli.exit_codes import ExitCode

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print results and errors alone: no progress, warnings or notes.",
        rich_help_panel="Every command",
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Show where in the program an error came from.",
        rich_help_panel="Every command",
    ),
]
Rows = list[tuple[str, str]]


class CommandHelp(TyperCommand):
    """A command whose options are listed in the sections that they name.

    Contexts and formatters are click's; newer versions of typer have a copy of their own of click,
    so that their types have no common name.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options: those without a section first."""
        sections: dict[str, Rows] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            usual = "Options"
            if parameter.param_type_name == "argument":
                usual = "Arguments"
            section = getattr(parameter, "rich_help_panel", None) or usual
            sections.setdefault(section, []).append(record)
        every = sections.pop("Every command", [])
        every += [row for row in sections["Options"] if "--help" in row[0]]
        sections["Options"] = [row for row in sections["Options"] if row not in every]
        _write_sections(formatter, sections | {"Every command": every})


class GroupHelp(TyperGroup):
    """A group whose commands are listed in the sections that they name."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by section, in the order in which they were added."""
        sections: dict[str, Rows] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            section = getattr(command, "rich_help_panel", None) or "Commands"
            row = (name, command.get_short_help_str(formatter.width))
            sections.setdefault(section, []).append(row)
        _write_sections(formatter, sections)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order in which they were added."""
        return list(self.commands)


def _write_sections(formatter: Any, sections: dict[str, Rows]) -> None:
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def new_group(name: str | None, about: str, **settings: Any) -> typer.Typer:
    """A group of commands with this help."""
    return typer.Typer(
        name=name,
        help=about,
        cls=GroupHelp,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def add_commands(
    app: typer.Typer,
    section: str | None,
    commands: Iterable[tuple[str, Callable[..., None]]],
) -> None:
    """Add functions as commands, in a section of the help."""
    for name, function in commands:
        app.command(name, cls=CommandHelp, rich_help_panel=section)(shared(function))


def add_group(app: typer.Typer, section: str, group: typer.Typer) -> None:
    """Add a group of commands, in a section of the help."""
    app.add_typer(group, rich_help_panel=section)


def shared(function: Callable[..., None]) -> Callable[..., None]:
    """The same command with --quiet and --debug, and with exit codes for Ctrl-C and for a pipe
    that nobody reads any more."""

    @functools.wraps(function)
    def command(*arguments: Any, quiet: bool = False, debug: bool = False, **options: Any) -> None:
        talk.quiet = talk.quiet or quiet
        talk.debug = talk.debug or debug
        try:
            function(*arguments, **options)
            sys.stdout.flush()
        except KeyboardInterrupt as interrupt:
            say_interrupted(getattr(interrupt, "__notes__", ()))
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            if not _nobody_reads():
                raise
            raise typer.Exit(ExitCode.PIPE) from None

    signature = inspect.signature(function)
    further = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", Quiet), ("debug", Debug))
    ]
    parameters = [*signature.parameters.values(), *further]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = function.__annotations__ | {"quiet": Quiet, "debug": Debug}
    return command


def say_interrupted(notes: Sequence[str]) -> None:
    """Lines on standard error that end an interrupted command."""
    print("\n".join(["xbarsim: interrupted", *notes]), file=sys.stderr)


def _nobody_reads() -> bool:
    """Whether it is standard output whose reader went away; if so, nothing more is written there,
    not even at the end of the process."""
    output = sys.stdout.fileno()
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(output, 0)
        if not any(event & select.POLLERR for _, event in poll.poll(0)):
            return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    return True
