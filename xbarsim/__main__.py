"""`python -m xbarsim`, and the command `xbarsim`."""

import sys

from xbarsim.cli.exit_codes import ExitCode


def main() -> None:
    """Load the command line and run it; Ctrl-C while it is loaded ends it as one later does."""
    try:
        from xbarsim.cli import app

        app.main()
    except KeyboardInterrupt:
        print("xbarsim: interrupted", file=sys.stderr)
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
