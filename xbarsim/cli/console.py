"""What commands print with: tables in columns, progress bars, words on the way."""

import os
import sys

from xbarsim.base.progress import Done


def print_table(header, rows):
    """Columns as wide as their widest cell; all cells are strings."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def progress(description: str, total: int) -> Done:
    """A progress bar on a terminal; returns its `update`."""
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=description,
        unit="",
        unit_scale=total >= 1_000_000,
        disable=None,
        leave=False,
    ).update


def say(text):
    """A line on standard error; written past Python's buffers, so that a signal handler may say it
    at any moment."""
    os.write(sys.stderr.fileno(), f"xbarsim: {text}\n".encode())
