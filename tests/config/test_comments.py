"""What the comments of the files in data/ tell a reader to type is what the command line takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from xbarsim.cli import app as cli
from xbarsim.config.study import study_names, study_text

DATA = Path(__file__).parents[2] / "data"
FILES = sorted(DATA.rglob("*.toml"))


def commands_of(path):
    """Commands between backticks in the comments of a file."""
    comments = [line for line in path.read_text().splitlines() if "#" in line]
    joined = " ".join(line.partition("#")[2].strip() for line in comments)
    return re.findall(r"`(xbarsim [^`]*)`", joined)


def check(command):
    """Refuse words that the command line does not take."""
    words = shlex.split(command.partition(" > ")[0])
    tree = typer.main.get_command(cli.app)
    context = tree.make_context("xbarsim", words[1:])
    _, inner, rest = tree.resolve_command(context, words[1:])
    while hasattr(inner, "commands") and rest:
        _, inner, rest = inner.resolve_command(context, rest)
    inner.make_context(inner.name, rest)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DATA).as_posix())
def test_commands_in_comments_are_taken(path):
    for command in commands_of(path):
        if not command.split()[-1].startswith("--"):  # which names an option, not what to type
            check(command)


def test_the_comment_of_the_default_study_is_right(tmp_path):
    """Its copy is a study, under the name that the comment says to run."""
    said = commands_of(DATA / "studies" / "default.toml")
    assert "xbarsim study default > mine.toml" in said and "xbarsim run mine.toml" in said


@pytest.mark.parametrize("name", study_names())
def test_a_copied_study_is_the_study(name, tmp_path):
    from xbarsim.config.study import load_study

    copy = tmp_path / "mine.toml"
    copy.write_text(study_text(name))
    assert load_study(copy) == load_study(name)
