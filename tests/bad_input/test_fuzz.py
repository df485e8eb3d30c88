"""Valid small files with bytes turned, put in, taken away and cut: each is read, or refused in a
sentence of ours.
"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from bad_input import checkpoints, traces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xbarsim import load_chip, load_device, load_network, load_study, read_trace, summarise
from xbarsim.annealing import read_graph
from xbarsim.base.array_files import read_array
from xbarsim.base.errors import XbarsimError
from xbarsim.calibrate.separated_text import read_rows
from xbarsim.chips.load import chip_text
from xbarsim.config.study import study_text
from xbarsim.devices.presets import device_text
from xbarsim.report.files import to_json
from xbarsim.tasks.files import load_task
from xbarsim.tasks.language_files import load_language_task

TOKENS = (
    b"nan",
    b"1e999",
    b"-1",
    b"\0",
    b"\xff",
    b"[",
    b"{",
    b'"',
    b"\n",
    b"9" * 5000,
    b"[" * 3000,
)
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 40),
        st.one_of(st.binary(max_size=4), st.sampled_from(TOKENS)),
    ),
    min_size=1,
    max_size=3,
)


def npy(path):
    np.save(path, np.full((3, 3), 1e-5))


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["g"] = np.full((3, 3), 1e-5)


def of_text(text):
    return lambda path: path.write_text(text, encoding="utf-8")


def read_network_config(path):
    """The checkpoint of `checkpoints.whole` with this config.json."""
    directory = path.parent / "model"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(checkpoints.whole(), directory)
    shutil.copy(path, directory / path.name)
    return load_network(directory)


def copy_of(name):
    return lambda path: shutil.copy(checkpoints.whole() / name, path)


def read_figures(path):
    """Figures of a trace: none of them is NaN."""
    trace = read_trace(path)
    if trace.cases:
        found = to_json(summarise(trace))
        assert "NaN" not in json.dumps(found)
    return trace


PARSERS = {
    "study": ("study.toml", of_text(study_text("default")), load_study),
    "device": ("device.toml", of_text(device_text("prime")), load_device),
    "chip": ("chip.toml", of_text(chip_text("differential")), load_chip),
    "labelled TSV": ("a.tsv", of_text("sentence\tlabel\ngood\t1\nbad\t0\n"), load_task),
    "labelled CSV": ("a.csv", of_text('sentence,label\n"a, b",1\nbad,0\n'), load_task),
    "labelled JSON": (
        "a.jsonl",
        of_text('{"sentence": "a", "label": 1}\n{"sentence": "b", "label": 0}\n'),
        load_task,
    ),
    "choices": (
        "b.jsonl",
        of_text('{"context": "a", "choices": ["b", "c"], "gold": 1}\n'),
        load_language_task,
    ),
    "minimal pairs": ("b.tsv", of_text("good\tbad\na\tb\n"), load_language_task),
    "npy": ("g.npy", npy, read_array),
    "HDF5": ("g.h5", hdf5, read_array),
    "numbers in CSV": ("g.csv", of_text("1,2\n3,4\n"), read_array),
    "Gset": ("g.txt", of_text("3 2\n1 2 1\n2 3 -1\n"), read_graph),
    "measurements": ("m.csv", of_text("target (uS),achieved (uS)\n1,1.1\n2,2.1\n"), read_rows),
    "config.json": ("config.json", copy_of("config.json"), read_network_config),
    "tokenizer.json": ("tokenizer.json", copy_of("tokenizer.json"), read_network_config),
    "safetensors": ("model.safetensors", copy_of("model.safetensors"), read_network_config),
    "trace": ("t.h5", lambda path: shutil.copy(traces.whole(), path), read_figures),
}


def edited(content, edits):
    """Bytes with a few replaced at shares of their length."""
    for share, removed, put_in in edits:
        place = int(share * len(content))
        content = content[:place] + put_in + content[place + removed :]
    return content


def check(name, data):
    """One mutation of the file of a parser: read, or refused by an error of ours."""
    file, write, read = PARSERS[name]
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(directory) / file
        write(path)
        content = path.read_bytes()
        changed = edited(content, data.draw(EDITS))
        if data.draw(st.booleans()):
            changed = changed[: data.draw(st.integers(0, len(changed)))]
        path.write_bytes(changed)
        try:
            read(path)
        except XbarsimError as error:
            assert str(error).strip()


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=8, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(name, data):
    check(name, data)


@pytest.mark.long
@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=2000, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_a_file_changed_in_many_ways_is_read_or_refused(name, data):
    check(name, data)
