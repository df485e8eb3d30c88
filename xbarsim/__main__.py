"""`python -m xbarsim`: the command line."""

from xbarsim.cli.app import main

if __name__ == "__main__":
    main()
