"""Write docs/dependencies.md: what xbarsim and its extras bring along, and under which licences.

Run in an environment with all extras and pip-licenses: `nox -s licences`.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOR_DEVELOPERS = ("test", "develop", "docs")
NOT_INSTALLED = {"torch": "BSD-3-Clause"}  # gigabytes; as its own metadata state it
HEAD = """# Dependencies and their licences

Made by `nox -s licences` of the packages that pip installs today for Python 3.11 on Linux. Nothing of them is part of
xbarsim, which is under Apache-2.0. Extras for developers (`test`, `develop`, `docs`) are not listed. `nox -s sbom`
makes a software bill of materials (CycloneDX) of the same packages with all versions.

"""
TABLE = "| package | licence | oldest | of |\n|---|---|---|---|\n"
FURTHER = "\n## What these need\n\n| package | licence |\n|---|---|\n"


@dataclass(frozen=True)
class Needed:
    """A package that pyproject.toml names.  of : "xbarsim", or the extra"""

    package: str
    minimum: str
    of: str


def needed() -> list[Needed]:
    """What pyproject.toml names, extras of developers aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"xbarsim": project["dependencies"]} | project["optional-dependencies"]
    found = []
    for of, lines in groups.items():
        if of in FOR_DEVELOPERS:
            continue
        for line in lines:
            name, minimum = re.fullmatch(r"([\w.-]+)(?:\[.*\])?(?:>=([\d.]+))?", line).groups()
            if name != "xbarsim":
                found.append(Needed(canonical(name), minimum or "", of))
    return found


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: set[str]) -> set[str]:
    """Packages and all that they need in turn, of those that are installed."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another system
            continue
        found.add(name)
        for line in lines:
            if "extra ==" not in line:
                waiting.add(canonical(re.match(r"[\w.-]+", line)[0]))
        waiting -= found
    return found


def licences() -> dict[str, str]:
    """{package: licence} of what is installed, as the packages state it."""
    words = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed", "--with-system"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {canonical(one["Name"]): plain(one["License"]) for one in json.loads(said)}


def plain(licence: str) -> str:
    """A licence in one line; a text that is no name is cut."""
    first = licence.strip().splitlines()[0]
    return first.replace("|", "/").strip()[:80]


def main() -> None:
    direct = needed()
    stated = NOT_INSTALLED | licences()
    page = HEAD + TABLE
    for one in direct:
        page += f"| {one.package} | {stated[one.package]} | {one.minimum or '-'} | {one.of} |\n"
    names = {one.package for one in direct}
    page += FURTHER
    for name in sorted(closure(names) - names):
        page += f"| {name} | {stated[name]} |\n"
    (ROOT / "docs" / "dependencies.md").write_text(page)


if __name__ == "__main__":
    main()
