"""Every code block of README.md and docs/ is run, or says why not; public names have examples."""

import doctest
import importlib
import re
import runpy
import tomllib
from pathlib import Path

import page_blocks
import page_places
import pytest
import tomli_w
from pydantic import TypeAdapter

import xbarsim
from xbarsim.base.errors import ConfigError
from xbarsim.config.study import load_study
from xbarsim.devices.laws import Law
from xbarsim.devices.presets import device_text, parse_device

DOCS = Path(__file__).parents[2] / "docs"


PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
LANGUAGES = {"", "console", "json", "python", "text", "toml", "yaml"}
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="docs/ is not in this copy of the tests")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, capsys):
    """Python in one namespace, commands in one directory; `False` is what no check may print."""
    monkeypatch.chdir(tmp_path)
    names = page_places.PLACES.get(page.name, page_places.common_place)()
    for block in page_blocks.blocks_of(page):
        assert block.language in LANGUAGES, f"{block.place}: say what the block is"
        if block.not_run:
            continue
        if block.language == "python":
            run_python(block, page, names)
        elif block.language == "toml":
            check_toml(block)
        elif block.language in ("", "console"):
            run_commands(block)
    assert "False" not in capsys.readouterr().out


def run_python(block, page, names):
    """The code, with the lines of the page in tracebacks."""
    try:
        exec(compile("\n" * block.line + block.text, page, "exec"), names)
    except (ModuleNotFoundError, ConfigError) as error:
        if not re.search(r"\bneeds (pandas|xarray)\b|named '(pandas|xarray)'", str(error)):
            raise  # "with pandas installed", says the page


def run_commands(block):
    """Every command that is not left to another test; what it prints is what the page says."""
    for command in page_blocks.commands_of(block):
        if page_blocks.reason_elsewhere(command):
            continue
        assert command.words[0] == "xbarsim", f"{block.place}: {command.words}"
        words = page_places.made_small(list(command.words[1:]))
        if page_places.lacks_measurement(words):
            continue
        found = page_blocks.run_command(command, words)
        for line in command.printed.strip().splitlines():
            assert line.split("…")[0].rstrip() in found, f"{block.place}: {line}\n{found}"


def check_toml(block):
    """A part of a study, of a device file over one that is whole, or laws by their names."""
    content = tomllib.loads(block.text)
    tables = list(content.values())
    if all(isinstance(table, dict) and "law" in table for table in tables):
        for law in tables:
            TypeAdapter(Law).validate_python(law)
        return
    refused = []
    for check in (check_study, check_device):
        try:
            check(block.text)
            return
        except ConfigError as error:
            refused.append(str(error))
    raise AssertionError(f"{block.place}: neither a study nor a device: {refused}")


def check_study(text):
    Path("block.toml").write_text(text)
    load_study("block.toml")


def check_device(text):
    whole = tomllib.loads(device_text("rram-wan2022"))
    merged = whole | {name: merged_table(whole, name, table) for name, table in parsed(text)}
    parse_device("block.toml", tomli_w.dumps(merged))


def parsed(text):
    return tomllib.loads(text).items()


def merged_table(whole, name, table):
    return whole.get(name, {}) | table if isinstance(table, dict) else table


def test_what_is_left_out_has_a_reason_and_is_there():
    """No reason outlives its block or command."""
    blocks = [block for page in PAGES for block in page_blocks.blocks_of(page)]
    left_out = {block.place: block.not_run for block in blocks if block.not_run}
    assert all(len(reason) > 15 for reason in left_out.values())
    commands = [command for block in blocks for command in page_blocks.commands_of(block)]
    lines = [" ".join(command.words) for command in commands]
    for start in page_blocks.ELSEWHERE:
        assert any(start in line for line in lines), start


def test_the_matrix_of_the_readme_is_near_the_product(tmp_path, monkeypatch):
    """`weight` and `x` are the reader's."""
    monkeypatch.chdir(tmp_path)
    names = page_places.readme()
    for block in page_blocks.blocks_of(DOCS.parent / "README.md"):
        if block.language == "python":
            exec(block.text, names)
    exact = names["x"] @ names["weight"].T
    assert (names["product"].output - exact).std() < 0.2 * exact.std()
    assert names["product"].energy.shape == (40,)


@pytest.mark.parametrize("module", sorted({*xbarsim._EXPORTS.values(), "xbarsim.calibrate.faults"}))
def test_examples_of_public_names_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_the_reference_has_every_public_name():
    """The site puts their docstrings there; `cells`, `calibrate` and `annealing` are modules."""
    if not (DOCS / "reference.md").is_file():
        pytest.skip("docs/reference.md is not in this copy of the tests")
    listed = re.findall(r"^::: (\S+)$", (DOCS / "reference.md").read_text(), re.M)
    modules = {"annealing", "calibrate", "cells"}
    names = {f"xbarsim.{name}" for name in set(xbarsim.__all__) - modules - {"__version__"}}
    for module in modules:
        inside = set(getattr(xbarsim, module).__all__) - {"KINDS"}
        names |= {f"xbarsim.{module}.{name}" for name in inside}
    assert sorted(listed) == sorted(names)


def test_every_page_is_in_the_navigation_of_the_site():
    configuration = DOCS.parent / "mkdocs.yml"
    if not configuration.is_file():
        pytest.skip("mkdocs.yml is not in this copy of the tests")
    listed = re.findall(r"(\S+\.md)$", configuration.read_text(), re.M)
    made_when_built = {"keys.md"}
    assert set(listed) - made_when_built == {page.name for page in DOCS.glob("*.md")}
    assert len(listed) == len(set(listed))


def test_drawings_are_those_of_their_script(tmp_path):
    drawings = DOCS / "drawings"
    script = runpy.run_path(str(drawings / "draw.py"))
    script["main"](tmp_path)
    for drawn in tmp_path.glob("*.svg"):
        assert drawn.read_text() == (drawings / drawn.name).read_text(), drawn.name
    assert len(list(drawings.glob("*.svg"))) == len(list(tmp_path.glob("*.svg")))


def test_the_picture_of_the_readme_has_the_accuracies_of_its_table():
    page = (DOCS.parent / "README.md").read_text()
    stated = re.findall(r"^(?:analog: )?(float32|[a-z]+ only|chip) +(\d\d\.\d\d) ", page, re.M)
    picture = (DOCS / "drawings" / "overview.svg").read_text()
    drawn = re.findall(r">([a-z0-9 ]+)</text>\n<rect .*?</text>", picture, re.S)
    assert len(stated) == 5
    for name, accuracy in stated:
        assert name in drawn and f">{accuracy}<" in picture
