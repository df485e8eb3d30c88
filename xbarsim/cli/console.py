"""What commands print with: tables in columns, progress bars, words on the way."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.given_files import printable
from xbarsim.base.progress import Done, silent

SHOWN_AFTER_S = 0.5  # steps that are done before show no progress


@dataclass
class Talk:
    """How much is said beside the results: what --quiet and --debug ask for."""

    quiet: bool = False
    debug: bool = False


talk = Talk()


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; all cells are strings."""
    lines = [[_one_line(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _one_line(cell: str) -> str:
    """A cell without control characters."""
    return printable(cell).replace("\n", "\\n")


def print_json(content: object) -> None:
    """Content as JSON that a person can read too."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    if not printable(text) == text:
        text = json.dumps(content, indent=1)
    print(text)


def print_written(*paths: Path) -> None:
    """A line on standard error that names the files written; none without files."""
    if paths and not talk.quiet:
        print("written: " + printable(", ".join(map(str, paths))), file=sys.stderr)


def progress(description: str, total: int) -> Done:
    """A progress bar with the time left, on a terminal alone; returns its `update`."""
    if talk.quiet:
        return silent(description, total)
    from tqdm import tqdm

    update: Done = tqdm(
        total=total,
        desc=description,
        unit="",
        unit_scale=total >= 1_000_000,
        disable=None,
        leave=False,
        delay=SHOWN_AFTER_S,
    ).update
    return update


def say(text: str) -> None:
    """A line on standard error; written past Python's buffers, so that a signal handler may say it
    at any moment."""
    if not talk.quiet:
        os.write(sys.stderr.fileno(), f"xbarsim: {text}\n".encode())


def hint(text: str) -> None:
    """A line on standard error for who waits at a terminal."""
    if sys.stderr.isatty():
        say(text)
