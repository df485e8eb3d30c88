"""The blocks of a page as HTML elements; every text is escaped by the library that writes them."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from xbarsim.report.page.contents import (
    Block,
    Card,
    Command,
    Facts,
    Fold,
    Grid,
    Listing,
    Page,
    Part,
    Plot,
    Points,
    Section,
    Words,
)


def body_of(page: Page) -> str:
    """The parts of a page as HTML text."""
    main = Element("main")
    for number, part in enumerate(page.parts, 1):
        main.append(_part(part, number))
    footer = SubElement(main, "footer")
    _add(
        footer,
        "p",
        f"Made by xbarsim {page.version}. Everything is in this file: it needs no network.",
    )
    return tostring(main, encoding="unicode", method="html")


def _add(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    """A new last child with a text; `style` in place of the attribute `class`, a word of Python."""
    stated = {
        name.rstrip("_").replace("_", "-"): readable(value) for name, value in attributes.items()
    }
    child = SubElement(parent, tag, stated)
    child.text = readable(text)
    return child


def readable(text: str) -> str:
    """A text without characters that a file in UTF-8, or HTML, cannot hold."""
    encodable = text.encode("utf-8", "replace").decode()
    return "".join("\ufffd" if _is_control(char) else char for char in encodable)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) == "Cc" and char not in "\n\t"


# ---------------------------------------------------------------- parts


def _part(part: Part, number: int) -> Element:
    article = Element("article", {"id": f"part-{number}"})
    header = SubElement(article, "header")
    _add(header, "p", "xbarsim report", class_="kicker")
    _add(header, "h1", part.title)
    _add(header, "p", part.subtitle, class_="subtitle")
    article.append(_verdict(part.verdict))
    article.append(_cards(part.cards))
    if part.alarms:
        article.append(_alarms(part.alarms))
    for section in part.sections:
        if section.blocks:
            article.append(_section(section))
    return article


def _verdict(sentences: Sequence[str]) -> Element:
    found = Element("div", {"class": "verdict"})
    for sentence in sentences:
        _add(found, "p", sentence)
    return found


def _cards(cards: Iterable[Card]) -> Element:
    found = Element("div", {"class": "cards"})
    for card in cards:
        one = _add(found, "div", class_="card")
        _add(one, "p", card.label, class_="label")
        _add(one, "p", card.value, class_="value")
        _add(one, "p", card.note, class_="note")
    return found


def _alarms(sentences: Iterable[str]) -> Element:
    found = Element("div", {"class": "alarms", "role": "alert"})
    for sentence in sentences:
        _add(found, "p", sentence)
    return found


def _section(section: Section) -> Element:
    found = Element("section")
    _add(found, "h2", section.title)
    for block in section.blocks:
        found.append(element_of(block))
    return found


# ---------------------------------------------------------------- blocks


@functools.singledispatch
def element_of(block: Block) -> Element:
    """The element of a block."""
    raise TypeError(f"a page has no blocks of {type(block).__name__}")


@element_of.register
def _(block: Words) -> Element:
    found = Element("p", {"class": "words"})
    found.text = readable(block.text)
    return found


@element_of.register
def _(block: Points) -> Element:
    found = Element("ul", {"class": "points"})
    for sentence in block.sentences:
        _add(found, "li", sentence)
    return found


@element_of.register
def _(block: Facts) -> Element:
    found = Element("dl", {"class": "facts"})
    for name, value in block.rows:
        _add(found, "dt", name)
        _add(found, "dd", value)
    return found


@element_of.register
def _(block: Grid) -> Element:
    found = Element("figure", {"class": "grid", "data-key": block.key})
    if block.caption:
        _add(found, "figcaption", block.caption)
    scroll = _add(found, "div", class_="scroll", tabindex="0")
    table = SubElement(scroll, "table")
    line = SubElement(SubElement(table, "thead"), "tr")
    for heading in block.header:
        _add(line, "th", heading, scope="col")
    rows = SubElement(table, "tbody")
    for cells in block.rows:
        line = SubElement(rows, "tr")
        _add(line, "th", cells[0], scope="row")
        for cell in cells[1:]:
            _add(line, "td", cell)
    return found


@element_of.register
def _(block: Plot) -> Element:
    found = Element("figure", {"class": "plot", "data-key": block.key})
    head = _add(found, "div", class_="head")
    _add(head, "h3", block.title)
    _add(
        head,
        "button",
        "CSV",
        type="button",
        data_csv=block.key,
        title="Download the data of this plot",
    )
    _add(found, "div", class_="drawing", data_plot=block.key, style=f"height: {block.height}px")
    _add(found, "figcaption", block.caption)
    return found


@element_of.register
def _(block: Listing) -> Element:
    found = Element("div", {"class": "listing"})
    head = _add(found, "div", class_="head")
    _add(head, "span", block.name)
    _add(head, "button", "Download", type="button", data_file=block.name)
    _add(found, "pre", block.text, tabindex="0")
    return found


@element_of.register
def _(block: Command) -> Element:
    found = Element("div", {"class": "command"})
    _add(found, "p", block.purpose)
    _add(found, "pre", block.line, tabindex="0")
    return found


@element_of.register
def _(block: Fold) -> Element:
    found = Element("details", {"open": ""} if block.is_open else {})
    _add(found, "summary", block.title)
    for inner in block.blocks:
        found.append(element_of(inner))
    return found
