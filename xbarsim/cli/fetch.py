"""`xbarsim fetch`: models and tasks by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarsim.base.units import MEGA
from xbarsim.cli.console import print_json, print_table, progress

if TYPE_CHECKING:
    from xbarsim.base.sources import Source


def fetch(
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
    as_json: Annotated[bool, typer.Option("--json", help="With --list: print JSON.")] = False,
) -> None:
    """Bring a named model or task into the cache and verify it.

    \b
    Examples:
      xbarsim fetch --list
      xbarsim fetch all-MiniLM-L6-v2
      xbarsim fetch all-MiniLM-L6-v2 --from downloads
    """
    from xbarsim.base import fetch, sources

    if as_json and (not show or name is not None):
        raise typer.BadParameter("needs --list", param_hint="--json")
    if name is not None:
        print(fetch.fetch(name, source, progress=progress))
        return
    if not show:
        raise typer.BadParameter("give the NAME of a model or task, or --list")
    if as_json:
        print_json([_facts(known) for known in sources.known()])
        return
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


def _facts(known: "Source") -> dict[str, Any]:
    """A known model or task as JSON has it."""
    from xbarsim.base import fetch

    return {
        "name": known.name,
        "kind": known.kind,
        "licence": known.licence,
        "download_bytes": known.download_size,
        "source": known.packages_text,
        "in_cache": fetch.is_present(known),
        "description": known.description,
    }
