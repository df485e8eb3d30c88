"""`xbarsim study`: embedded studies, and the keys that a study may have."""

from typing import Annotated

import typer

from xbarsim.cli.console import print_json


def study(
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
        bool,
        typer.Option(
            "--json", help="The names as JSON; with --schema the JSON Schema, for an editor."
        ),
    ] = False,
) -> None:
    """Print a study to be copied, or every key that one may have.

    \b
    Examples:
      xbarsim study
      xbarsim study default --full > mine.toml
      xbarsim study adc --schema
    """
    from xbarsim import config
    from xbarsim.config import reference

    if as_json and (full or name is not None):
        raise typer.BadParameter(
            "lists the studies, or is the JSON Schema of a whole study: --schema --json",
            param_hint="--json",
        )
    if as_json and schema:
        print_json(reference.json_schema())
    elif as_json:
        print_json(config.study_names())
    elif schema:
        print(reference.listing(name).strip())
    elif full:
        print(reference.full_text(name or "default").rstrip())
    elif name is None:
        print("\n".join(config.study_names()))
    else:
        print(config.study_text(name).rstrip())
