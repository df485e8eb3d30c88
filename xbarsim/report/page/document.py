"""A page as the text of one HTML file: its blocks, plots, style and scripts."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
from collections.abc import Iterable, Iterator
from importlib import resources
from string import Template
from typing import Any

from xbarsim.base.errors import ConfigError
from xbarsim.report.page.contents import Block, Fold, Page, Plot, Sheet
from xbarsim.report.page.markup import body_of, readable


def require_plotly() -> None:
    """Refuse to make a page without the library that draws its plots.

    Raises
    ------
    ConfigError : plotly is not installed
    """
    try:
        import plotly  # noqa: F401
    except ImportError:
        raise ConfigError("a page needs plotly: pip install 'xbarsim[html]'") from None


def document_of(page: Page) -> str:
    """The HTML of a page, which needs no other file and no network.

    Its scripts are named by their hashes in its security policy, so that nothing else can run.
    """
    from plotly.offline import get_plotlyjs

    plotly = get_plotlyjs()
    script = _file("page.js")
    return Template(_file("page.html")).substitute(
        title=html.escape(readable(page.title)),
        hashes=" ".join(f"'sha256-{_digest(text)}'" for text in (plotly, script)),
        style=_file("page.css"),
        body=body_of(page),
        plots=_in_script(list(map(_content, plots_of(page)))),
        plotly=plotly,
        script=script,
    )


def _file(name: str) -> str:
    """The text of a file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """What a security policy calls the hash of a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def plots_of(page: Page) -> list[Plot]:
    """All plots of a page."""
    blocks: list[Block] = []
    for part in page.parts:
        for section in part.sections:
            blocks += section.blocks
    return [block for block in _unfolded(blocks) if isinstance(block, Plot)]


def _unfolded(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks, and those in folds."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _unfolded(block.blocks)


def _content(plot: Plot) -> dict[str, Any]:
    """What the script of the page must know of a plot."""
    figure = json.loads(plot.figure.to_json())
    return {
        "key": plot.key,
        "data": figure["data"],
        "layout": figure["layout"],
        "csv": csv_of(plot.sheet),
    }


def csv_of(sheet: Sheet) -> str:
    """A sheet as CSV; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.header)
    writer.writerows(sheet.rows)
    return text.getvalue()


def _in_script(content: object) -> str:
    """JSON that no text in it can end the script of."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")
