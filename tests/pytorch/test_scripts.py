"""The scripts of examples/ for PyTorch, and the code of docs/pytorch.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch_wanted import want_pytorch

want_pytorch()

ROOT = Path(__file__).parents[2]


def printed(script, place):
    path = ROOT / "examples" / script
    if not path.is_file():
        pytest.skip("examples/ is not in this copy of the tests")
    command = [sys.executable, str(path)]
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, env=os.environ)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_cnn(tmp_path):
    shown = printed("pytorch_cnn.py", tmp_path)
    float32, chip = map(float, re.findall(r"^accuracy in .*: (\S+)", shown, re.M))
    assert float32 > 0.9
    assert 0.7 < chip <= 1


def test_a_vit(tmp_path):
    from xbarsim import read_trace, summarise

    shown = printed("pytorch_vit.py", tmp_path)
    assert "matrices on the chip: 13" in shown
    assert "products of attention on the chip: 4" in shown
    gradient = float(re.search(r"gradient of a query matrix: (\S+)", shown)[1])
    assert gradient > 0
    trace = read_trace(tmp_path / "runs" / "vit.h5")
    assert summarise(trace).cases
