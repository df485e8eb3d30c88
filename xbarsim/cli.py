"""The command line.  Commands parse, call one function of the library and print; nothing is computed here."""
import sys

try:
    import typer
except ImportError:  # pragma: no cover - exercised by the wheel test
    sys.exit("The command line of xbarsim needs typer and pydantic: pip install 'xbarsim[cli]'")

from xbarsim import __version__
from xbarsim.errors import XbarsimError

app = typer.Typer(
    name="xbarsim",
    help="Device-level simulation of memristor crossbars that runs real language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool):
    if wanted:
        print(f"xbarsim {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True,
                                       help="Print the version and leave.")):
    pass


def main():
    """Entry point: errors of ours become one line on standard error and exit status 2."""
    try:
        app()
    except XbarsimError as error:
        print(f"xbarsim: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
