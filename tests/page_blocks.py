"""Code blocks of the pages: what stands in them, and running it in a directory of its own.

The language of a block says what it is: `python`, `toml`, `yaml`, `json`; `text` what is printed or drawn; `console`
commands behind `$` with what they print; none at all: commands, one a line, with comments behind `#`.
A line "*Not run by the tests: reason.*" before a block keeps it from being run.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from xbarsim.cli.app import app

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
NOT_RUN = re.compile(r"\*Not run by the tests: (.+)\.\*\n+\Z")
# commands that are no business of a test of pages, and why
ELSEWHERE = {
    "pip install": "CI installs; a test must not",
    "python3 -m venv": "CI installs; a test must not",
    ".venv/bin/pytest": "these are the tests",
    "xbarsim fetch": "needs a network; tests/base/test_fetch.py has a server of its own",
    "eval": "of a shell; tests/cli reads the scripts of completion",
    "xbarsim run paper-accuracy": "minutes, even of a tiny model; tests/config reads every study",
    "xbarsim run noise-amplitude": "minutes, even of a tiny model; tests/config reads every study",
    "xbarsim report runs/noise-amplitude.h5": "of the run before it; tests/report/test_curves.py",
    "xbarsim run rows-per-conversion": "minutes, even of a tiny model; tests/config reads every study",
    "xbarsim run wire-resistance": "minutes, even of a tiny model; tests/config reads every study",
    "xbarsim run adc-bits": "minutes, even of a tiny model; tests/config reads every study",
    "xbarsim chip claims": "takes minutes; tests/chips/test_chip_claims.py searches less",
}


@dataclass(frozen=True)
class Block:
    """line : of the page, of the opening fence;  not_run : reason, "" of a block that is run"""

    page: str
    line: int
    language: str
    text: str
    not_run: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page, in its order."""
    page = path.read_text()
    found = []
    for fence in FENCE.finditer(page):
        before = page[: fence.start()]
        reason = NOT_RUN.search(before)
        block = Block(
            page=path.name,
            line=before.count("\n") + 1,
            language=fence[1],
            text=fence[2],
            not_run=reason[1] if reason else "",
        )
        found.append(block)
    return found


@dataclass(frozen=True)
class Command:
    """words : without comments and redirection;  into : file that takes what it prints, or "";
    printed : what the page says that it prints, "" where it says nothing
    """

    words: tuple[str, ...]
    into: str
    printed: str


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a block of commands, or of a console."""
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            line, _, printed = part.partition("\n")
            yield from _split(line, printed)
    else:
        for line in text.splitlines():
            yield from _split(line, "")


def _split(line: str, printed: str) -> Iterator[Command]:
    words: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&;>")
    lexer.whitespace_split = True
    for word in [*lexer, ";"]:
        if word not in ("&&", ";"):
            words.append(word)
        elif words:
            into = ""
            if ">" in words:
                into = words[words.index(">") + 1]
                words = words[: words.index(">")]
            words[0] = words[0].replace(".venv/bin/xbarsim", "xbarsim")
            yield Command(tuple(words), into, printed)
            words = []


def reason_elsewhere(command: Command) -> str:
    """Why a command is not run here, "" of one that is."""
    line = " ".join(command.words)
    for start, reason in ELSEWHERE.items():
        if start in line:
            return reason
    return ""


def run_command(command: Command, words: list[str]) -> str:
    """What `xbarsim` prints for these words, in the working directory; its exit status must be 0."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{command.words}: {done.exception!r} {done.output}"
    if command.into:
        Path(command.into).write_text(done.stdout)
    return done.output
