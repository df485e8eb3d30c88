"""The code blocks of the pages in docs/ that promise to be run."""

import re
from pathlib import Path

import pytest
from tiny import make_tiny_place

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
