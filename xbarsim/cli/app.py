"""The command line.  Commands parse, call one function of the library and print; nothing is
computed here.
"""

import io
import sys
import traceback
import warnings
from typing import Annotated

try:
    import typer
except ImportError:  # pragma: no cover - exercised by the wheel test
    sys.exit("The command line of xbarsim needs typer and pydantic: pip install 'xbarsim[cli]'")

from xbarsim import __version__
from xbarsim.base.errors import XbarsimError
from xbarsim.base.given_files import printable
from xbarsim.cli import chip, devices
from xbarsim.cli.budget import budget
from xbarsim.cli.calibrate import calibrate
from xbarsim.cli.commands import add_commands, add_group, new_group, say_interrupted
from xbarsim.cli.completion import completion
from xbarsim.cli.console import talk
from xbarsim.cli.doctor import doctor
from xbarsim.cli.evaluate import evaluate
from xbarsim.cli.exit_codes import ExitCode
from xbarsim.cli.export import export
from xbarsim.cli.fetch import fetch
from xbarsim.cli.generate import generate
from xbarsim.cli.memory import memory
from xbarsim.cli.report import report
from xbarsim.cli.run import run
from xbarsim.cli.scheduler import scheduler
from xbarsim.cli.solve import solve
from xbarsim.cli.study import study
from xbarsim.cli.sweep import sweep
from xbarsim.cli.train import train

app = new_group(
    "xbarsim",
    "Simulate memristor crossbars at device level, running real language models.",
    no_args_is_help=True,
)
MODELS = "Run a model"
RESULTS = "Look at results"
INPUTS = "What a run needs"
PARTS = "Circuits and whole chips"
INSTALLATION = "This installation"

add_commands(
    app,
    MODELS,
    [
        ("run", run),
        ("sweep", sweep),
        ("budget", budget),
        ("generate", generate),
        ("evaluate", evaluate),
        ("train", train),
    ],
)
add_commands(app, RESULTS, [("report", report), ("export", export)])
add_commands(app, INPUTS, [("study", study), ("fetch", fetch), ("calibrate", calibrate)])
add_group(app, INPUTS, devices.app)
add_commands(app, PARTS, [("solve", solve), ("memory", memory)])
add_group(app, PARTS, chip.app)
add_commands(
    app,
    INSTALLATION,
    [("doctor", doctor), ("completion", completion), ("scheduler", scheduler)],
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"xbarsim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and leave.",
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print results and errors alone.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the program an error came from.")
    ] = False,
) -> None:
    talk.quiet = quiet
    talk.debug = debug


def main() -> None:
    """Entry point: every error becomes one line on standard error and an exit code.

    Errors of ours and of the file system say what to do; of a run also where its trace is and what
    it holds.  Any other is a fault of xbarsim.
    """
    warnings.showwarning = _say_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a pipe gets lines as they come, and a terminal without µ an escape instead of an error
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt as interrupt:
        say_interrupted(getattr(interrupt, "__notes__", ()))
        sys.exit(ExitCode.INTERRUPTED)
    except (XbarsimError, OSError) as error:
        _say_error(error, f"{error}")
        sys.exit(ExitCode.WRONG)
    except Exception as error:
        _say_error(
            error,
            f"a fault of xbarsim: {type(error).__name__}: {error}; please report it with what the "
            "same command prints with --debug",
        )
        sys.exit(ExitCode.FAULT)


def _say_error(error: Exception, sentence: str) -> None:
    """An error as a line on standard error with its notes, and its traceback if asked for."""
    if talk.debug:
        traceback.print_exception(error)
    notes = getattr(error, "__notes__", ())  # where a trace is and what it holds
    print(printable("\n".join([f"xbarsim: error: {sentence}", *notes])), file=sys.stderr)


def _say_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line on standard error."""
    if not talk.quiet:
        print(printable(f"xbarsim: warning: {message}"), file=sys.stderr)


if __name__ == "__main__":
    main()
