"""`[run] memory_gb`: the same bits with arrays in files, and a peak within the budget."""

import re
import subprocess
import sys

import numpy as np
import pytest
from tiny import make_tiny_bert, make_tiny_place, tiny_study

from xbarsim.arrays.in_situ import shelf
from xbarsim.base.errors import OutputError
from xbarsim.studies import pieces
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

WITHIN = {"batch_examples": 4, "memory_gb": 100.0}
CONVERTERS = {
    "converted": {},
    "ideal": {"effects": {"converters": False}},
    "sliced": {"mapping": {"word_lines": 16, "bit_lines": 16, "encoding": "slices"}},
}


def results(study, directory, threads=1):
    chip = read_trace(run_study(study, directory, threads=threads)).cases["chip"].chips[0]
    layers = {
        name: (layer.rows.array_energy, layer.rows.adc_saturations, layer.rows.local.relative_rms)
        for name, layer in chip.layers.items()
    }
    return chip.output, layers


@pytest.mark.parametrize("tables", CONVERTERS.values(), ids=CONVERTERS)
@pytest.mark.parametrize("room", [0, 12000])
def test_arrays_in_files_give_the_same_bits(tmp_path, monkeypatch, tables, room):
    """All of them, or those that find no room; with two threads at once too."""
    place = make_tiny_place(tmp_path)
    plain = results(tiny_study(place, **tables), tmp_path / "plain")
    read = []
    reads = shelf._File.read

    def counted(file):
        read.append(file)
        return reads(file)

    monkeypatch.setattr(shelf._File, "read", counted)
    monkeypatch.setattr(pieces, "room_for_arrays", lambda *_: room)
    within = results(tiny_study(place, run=WITHIN, **tables), tmp_path / "within", threads=2)
    np.testing.assert_array_equal(within[0], plain[0])
    for name, values in plain[1].items():
        for mine, wanted in zip(within[1][name], values, strict=True):
            np.testing.assert_array_equal(mine, wanted)
    files = {id(file) for file in read}
    assert len(files) == 12 if room == 0 else 0 < len(files) < 12
    assert len(read) > len(files)


def test_no_place_for_files_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path / "file"))
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setattr(pieces, "room_for_arrays", lambda *_: 0)
    study = tiny_study(make_tiny_place(tmp_path), run=WITHIN)
    with pytest.raises(OutputError, match="beyond run.memory_gb cannot be put into"):
        run_study(study, tmp_path, threads=1)


SCRIPT = """
import sys
from xbarsim.base.memory import peak_bytes
from xbarsim.config.study import load_study
from xbarsim.studies.run import run_study
run_study(load_study(sys.argv[1]), sys.argv[2], threads=1)
print("peak", peak_bytes() / 1e9)
"""


def peak_gb(study_file, directory):
    """Of a process that runs a study; what it says where it refuses."""
    command = [sys.executable, "-c", SCRIPT, str(study_file), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^peak (\S+)", done.stdout, re.MULTILINE)
    return (float(found[1]) if found else None), done.stderr


def test_a_budget_that_holds_nothing_says_what_is_needed(tmp_path):
    """In a process of its own: one that has run other tests holds more before it begins."""
    tiny_study(make_tiny_place(tmp_path), run=WITHIN | {"memory_gb": 0.01})
    peak, refusal = peak_gb(tmp_path / "study.toml", tmp_path / "runs")
    assert peak is None
    assert re.search(r"ConfigError: .*run.memory_gb = 0.01 .*at least 0\.\d\d, or fewer", refusal)


def test_the_peak_is_within_the_budget(tmp_path):
    """Measured in processes of their own: 31 million weights, whose arrays take 250 MB."""
    place = make_tiny_place(tmp_path)
    make_tiny_bert(place / "model", layers=10, hidden=512, heads=8, intermediate=2048, classes=2)
    tables = {
        "effects": {"wires": False},
        "mapping": {},
        "task": {"name": str(place / "task.tsv"), "limit": 4},
    }

    def peak(**run):
        tiny_study(place, run={"batch_examples": 4} | run, **tables)
        return peak_gb(place / "study.toml", tmp_path / "runs")

    _, refusal = peak(memory_gb=0.1)
    least = float(re.search(r"at least (\d\.\d\d)", refusal)[1])
    budget = least + 0.01  # what is said is rounded
    within, _ = peak(memory_gb=budget)
    without, _ = peak()
    assert within <= budget
    assert within < without
