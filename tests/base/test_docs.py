"""The code blocks of the pages in docs/ that promise to be run."""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from tiny import make_tiny_place

import xbarsim

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["api.md", "circuit.md"])
def test_code_blocks_run_one_after_the_other(page, tmp_path, monkeypatch, capsys):
    if not (DOCS / page).is_file():
        pytest.skip(f"docs/{page} is not in this copy of the tests")
    if page == "api.md":
        make_tiny_place(tmp_path)  # the folder `model` and the file `task.tsv` of the page
    monkeypatch.chdir(tmp_path)
    text, names = (DOCS / page).read_text(), {}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.S | re.M))
    assert len(blocks) > 5
    for block in blocks:
        line = text[: block.start()].count("\n") + 1  # so that tracebacks show the line of the page
        exec(compile("\n" * line + block[1], DOCS / page, "exec"), names)
    assert "False" not in capsys.readouterr().out


def test_the_matrix_of_the_readme_runs():
    """`weight` and `x` are the reader's; the result is near the exact product."""
    text = (DOCS.parent / "README.md").read_text()
    (block,) = (
        b for b in re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M) if "Matrix" in b
    )
    rng = np.random.default_rng(0)
    names = {"weight": rng.standard_normal((20, 30)), "x": rng.standard_normal((40, 30))}
    exec(block, names)
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
