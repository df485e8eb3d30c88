"""Pages of traces, sweeps and budgets, and the files they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xbarsim import __version__
from xbarsim.base.files import replacing
from xbarsim.report.budget import open_budget
from xbarsim.report.page.budget_part import budget_part
from xbarsim.report.page.contents import Block, Fold, Grid, Page, Part, Plot, Section
from xbarsim.report.page.document import document_of
from xbarsim.report.page.run_part import run_part
from xbarsim.report.page.run_record import RunRecord
from xbarsim.report.page.sweep_part import sweep_part
from xbarsim.report.page.training_section import training_part
from xbarsim.report.sweep_table import open_study
from xbarsim.report.training_text import Record
from xbarsim.studies.sweep_directory import open_directory


def page_of_runs(records: Sequence[RunRecord], against: str | None = None) -> Page:
    """The runs of several traces below each other; of one, the metric over a key of the study.

    Raises
    ------
    ConfigError : as of `curves.against`
    """
    parts = [run_part(record, against) for record in records]
    if len(parts) > 1:
        parts = [_numbered(part, number) for number, part in enumerate(parts, 1)]
    return Page(", ".join(part.title for part in parts), tuple(parts), __version__)


def page_of_directory(directory: str | Path) -> Page:
    """The sweep or the error budget of a directory.

    Raises
    ------
    ConfigError, TraceError : as of `open_study` and `open_budget`
    """
    opened = open_directory(directory)
    if opened.kind == "sweep":
        part = sweep_part(open_study(directory), opened.study)
    else:
        part = budget_part(open_budget(directory), opened.study)
    return Page(part.title, (part,), __version__)


def page_of_training(record: Record, directory: Path) -> Page:
    """A directory of `xbarsim train`."""
    part = training_part(record, directory)
    return Page(part.title, (part,), __version__)


def write_page(page: Page, path: str | Path) -> Path:
    """Write a page, as .html where the path has no suffix; returns the path that was written.

    Raises
    ------
    ConfigError : plotly is not installed
    OutputError : the file cannot be written
    """
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix(".html")
    text = document_of(page)
    with replacing(path) as file:
        file.write(text)
    return path


# ---------------------------------------------------------------- several parts


def _numbered(part: Part, number: int) -> Part:
    """A part whose tables and plots have names of their own among several parts."""
    sections = [_numbered_section(section, number) for section in part.sections]
    return replace(part, sections=tuple(sections))


def _numbered_section(section: Section, number: int) -> Section:
    return Section(section.title, [_renamed(block, number) for block in section.blocks])


def _renamed(block: Block, number: int) -> Block:
    if isinstance(block, (Grid, Plot)):
        return replace(block, key=f"run-{number}-{block.key}")
    if isinstance(block, Fold):
        return replace(block, blocks=tuple(_renamed(inner, number) for inner in block.blocks))
    return block
