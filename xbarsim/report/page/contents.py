"""What a page says, before it is HTML: parts with a verdict, sections, and the blocks in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Card:
    """A figure at the head of a part: what it is, its text with the unit, and what to know of it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points:
    """Sentences in a list."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grid:
    """A table of strings; the first column names its rows, the others are figures.

    key : names it on the page
    """

    key: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Sheet:
    """The data behind a plot, as its CSV file: columns with units in their headings."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Plot:
    """An interactive plot, and its data to be downloaded.

    key : names it on the page, and its CSV file
    caption : what it shows and how to read it
    height : pixels
    """

    key: str
    title: str
    caption: str
    figure: Figure
    sheet: Sheet
    height: int


@dataclass(frozen=True)
class Listing:
    """A text word for word, to be downloaded as a file of a name."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line, and what it does."""

    line: str
    purpose: str


@dataclass(frozen=True)
class Fold:
    """Blocks below a heading that opens them."""

    title: str
    blocks: tuple[Block, ...]
    is_open: bool = False


Block: TypeAlias = Words | Points | Facts | Grid | Plot | Listing | Command | Fold


@dataclass(frozen=True)
class Section:
    """Blocks below a heading; a section without blocks is not shown."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Part:
    """A run, a sweep or a budget.

    title : its name;  subtitle : what was evaluated on what
    verdict : sentences, the first of which says it all
    alarms : what must be known before any figure is believed
    """

    title: str
    subtitle: str
    verdict: tuple[str, ...]
    cards: tuple[Card, ...]
    alarms: tuple[str, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Page:
    """One part, or several below each other.

    version : of the xbarsim that made the page
    """

    title: str
    parts: tuple[Part, ...]
    version: str
