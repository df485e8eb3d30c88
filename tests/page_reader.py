"""A page as a browser would show it, read with the standard library alone."""

import csv
import html.parser
import io
import json
from dataclasses import dataclass, field

VOID = {"meta", "br", "img", "link", "input", "hr"}


@dataclass
class Node:
    """An element: its tag, attributes, elements in it, and all text of it and in it."""

    tag: str
    attributes: dict
    inner: list = field(default_factory=list)
    text: str = ""

    def has(self, name):
        """Whether it is of a class of the style sheet."""
        return name in self.attributes.get("class", "").split()

    def all(self, tag=None, name=None):
        """Elements in it, however deep, of a tag or a class."""
        for node in self.inner:
            if (tag is None or node.tag == tag) and (name is None or node.has(name)):
                yield node
            yield from node.all(tag, name)

    def first(self, tag=None, name=None):
        return next(self.all(tag, name))


class _Builder(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = [Node("document", {})]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        self.open[-1].inner.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for node in self.open:
            node.text += data


class PageReader:
    """cards : {label: (value, note)};  grids : {key: (header, rows)};  plots : {key: its content}"""

    def __init__(self, path):
        builder = _Builder()
        builder.feed(path.read_text(encoding="utf-8"))
        (self.document,) = builder.open
        self.main = self.document.first("main")
        self.cards = {}
        for card in self.main.all(name="card"):
            label, value, note = (node.text for node in card.inner)
            self.cards[label] = (value.replace("\u00a0", " "), note.replace("\u00a0", " "))
        self.grids = {}
        for grid in self.main.all("figure", "grid"):
            header, *rows = [[cell.text for cell in row.inner] for row in grid.all("tr")]
            rows = [[cell.replace("\u00a0", " ") for cell in row] for row in rows]
            assert grid.attributes["data-key"] not in self.grids
            self.grids[grid.attributes["data-key"]] = (header, rows)
        scripts = list(self.document.all("script"))
        content = json.loads(scripts[0].text)
        self.plots = {plot["key"]: plot for plot in content}
        places = [figure.attributes["data-key"] for figure in self.main.all("figure", "plot")]
        assert sorted(places) == sorted(self.plots) and len(content) == len(self.plots)
        self.verdict = [
            node.text.replace("\u00a0", " ") for node in self.main.first(name="verdict").inner
        ]
        self.text = self.main.text.replace("\u00a0", " ")

    def series(self, key):
        """The traces of a plot by their names."""
        return {trace["name"]: trace for trace in self.plots[key]["data"]}

    def sheet(self, key):
        """(header, rows) of the data that can be downloaded."""
        header, *rows = csv.reader(io.StringIO(self.plots[key]["csv"]))
        return header, rows
