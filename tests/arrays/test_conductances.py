"""Programmed arrays as files: what is written, that a run on what is read back has the same bits, and
that what cannot be meant is refused in one line."""

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import warnings

import h5py
import numpy as np
import pytest
import tomli_w
from study_keys import DEVICE
from tiny import make_tiny_bert, make_tiny_place, tiny_study

from xbarsim.arrays.in_situ.conductance_files import WriteEntry
from xbarsim.base.errors import (
    ConfigError,
    IdleSettingWarning,
    OutOfRangeError,
    ShapeError,
    ValidRangeWarning,
    XbarsimError,
)
from xbarsim.devices.presets import load_device
from xbarsim.devices.programmed import Counts
from xbarsim.studies.export import export_study, export_trace
from xbarsim.studies.run import run_study

TILES = {"word_lines": 16, "bit_lines": 16}
FULL = {"name": "FULL", "time_s": 1000.0, "temperature_k": 320.0, "reads": 100}
# noise that depends on what the write aimed at: levels, and where cells are stuck
OF_TARGET = (
    'amplitude = { law = "power", scale_us = 25.0, coefficient = 0.0088, exponent = -0.65, '
    'maximum = 0.2, of = "target" }'
)
SETTINGS = {
    "plain": {},
    "every effect": {"device": FULL},
    "neighbours": {"mapping": TILES | {"placement": "neighbour", "unused": "open"}},
    "slices": {
        "mapping": TILES | {"encoding": "slices", "sign": "offset"},
        "dac": {"encoding": "bit_serial"},
    },
    "compensated": {"mapping": TILES | {"compensation": "wires", "scale_shift": 0.5}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = make_tiny_place(tmp_path_factory.mktemp("place"))
    assert "amplitude = 0.005" in DEVICE
    (directory / "full.toml").write_text(DEVICE.replace("amplitude = 0.005", OF_TARGET))
    return directory


def study_of(place, conductances=None, **tables):
    mapping = dict(tables.pop("mapping", TILES))
    if conductances is not None:
        mapping["conductances"] = str(conductances)
    device = dict(tables.pop("device", {"name": "pcm", "time_s": 100.0}))
    if device["name"] == "FULL":
        device["name"] = str(place / "full.toml")
    return tiny_study(place, mapping=mapping, device=device, **tables)


def numbers_of(path):
    """Every data set and attribute of the chips of a trace."""
    found = {}

    def note(name, item):
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = np.asarray(value)
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file["cases/chip/0"].visititems(note)
    return found


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        floats = values.dtype.kind == "f"
        assert np.array_equal(second[name], values, equal_nan=floats), name


# How targets were chosen: facts of the write, which conductances of files do not tell.
OF_THE_WRITE = ("compensation", "compensation_scale", "held_cells", "weight_error")


def without_the_write(numbers):
    return {name: x for name, x in numbers.items() if name.partition("@")[2] not in OF_THE_WRITE}


def read_back(study, directory):
    """The trace of a study on conductances; what it may say of them and of idle settings is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdleSettingWarning)
        warnings.simplefilter("ignore", ValidRangeWarning)
        return run_study(study, directory, threads=1)


@pytest.mark.parametrize("form", ["npy", "csv"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_conductances_that_are_read_back_give_the_same_bits(place, tmp_path, settings, form):
    if form == "csv" and settings not in ("plain", "every effect"):
        pytest.skip("the text of a number does not depend on the mapping")
    tables = SETTINGS[settings]
    original = run_study(study_of(place, **tables), tmp_path / "original", threads=1)
    export_trace(original, tmp_path / "files", form=form, threads=1)
    again = read_back(study_of(place, tmp_path / "files", **tables), tmp_path / "again")
    expected = without_the_write(numbers_of(original))
    assert_same(expected, without_the_write(numbers_of(again)))


def test_a_write_is_kept_with_all_that_it_counts():
    """Names of the file's entry and of the record that it is filled from."""
    assert list(WriteEntry.model_fields) == [part.name for part in dataclasses.fields(Counts)]


def test_another_task_meets_the_same_cells(place, tmp_path):
    """The full scale of weights is that of the export: with the calibration of another task the
    mapping would choose another."""
    export_study(study_of(place), tmp_path / "files", threads=1)
    lines = (place / "task.tsv").read_text().splitlines()
    (place / "other.tsv").write_text("\n".join([lines[0], *lines[8:22], *lines[1:8]]) + "\n")
    task = {"name": str(place / "other.tsv")}
    other = numbers_of(
        read_back(study_of(place, tmp_path / "files", task=task), tmp_path / "other")
    )
    same = numbers_of(read_back(study_of(place, tmp_path / "files"), tmp_path / "same"))
    for name in ("layers/layer.0.query/conductance_counts", "layers/layer.1.key/attenuation_mean"):
        assert np.array_equal(other[name], same[name])
    assert not np.array_equal(other["output"], same["output"])


def index_of(directory):
    return json.loads((directory / "index.json").read_text())


def rewrite(directory, change):
    """Change the index, and forget the hashes of files."""
    index = index_of(directory)
    for matrix in index["matrices"]:
        for entry in matrix["tiles"]:
            for value in entry.values():
                if isinstance(value, dict):
                    value.pop("sha256", None)
    change(index["matrices"][0])
    (directory / "index.json").write_text(json.dumps(index))


def test_weights_are_those_that_the_index_says(place, tmp_path):
    """Offset + sum of value times siemens of the targets, put together here tile by tile."""
    from safetensors.numpy import load_file

    export_study(study_of(place), tmp_path / "files", layer="layer.0.intermediate", threads=1)
    (entry,) = index_of(tmp_path / "files")["matrices"]
    value = np.load(tmp_path / "files" / entry["value"]["file"])
    weight = np.repeat(np.load(tmp_path / "files" / entry["offset"]["file"]), 16, axis=0)
    for tile in entry["tiles"]:
        for name in ("target", "achieved"):
            file = tmp_path / "files" / tile[name]["file"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == tile[name]["sha256"]
        target = np.load(tmp_path / "files" / tile["target"]["file"])
        plane = entry["signs"] * tile["slice"] + "+-".index(tile["sign"])
        columns = slice(16 * tile["column_block"], 16 * tile["column_block"] + 16)
        weight[:, columns] += value[plane, columns] * target
    clip = np.load(tmp_path / "files" / entry["clip"]["file"])
    tensors = load_file(place / "model" / "model.safetensors")
    stored = tensors["bert.encoder.layer.0.intermediate.dense.weight"].T
    np.testing.assert_allclose(weight, np.clip(stored, -clip, clip), rtol=0, atol=1e-6)


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_runs_the_netlist_of_a_tile(place, tmp_path):
    wires = {"source_resistance_ohm": 50.0, "sense_resistance_ohm": 20.0}
    study = study_of(place, wires=wires)
    for form in ("netlist", "npy"):
        export_study(study, tmp_path / form, layer="layer.0.query", form=form, threads=1)
    tile = index_of(tmp_path / "netlist")["matrices"][0]["tiles"][1]
    assert set(tile) & {"target", "achieved", "netlist"} == {"netlist"}
    done = subprocess.run(
        ["ngspice", "-b", str(tmp_path / "netlist" / tile["netlist"]["file"])],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"i\(vbit(\d+)\) = (\S+)", done.stdout)
    currents = [float(value) for _, value in sorted(found, key=lambda pair: int(pair[0]))]
    files = index_of(tmp_path / "npy")["matrices"][0]["tiles"][1]
    named = files.get("read", files["achieved"])
    cells = np.load(tmp_path / "npy" / named["file"])
    expected = currents_of(cells, study, load_device("pcm").read_voltage)
    np.testing.assert_allclose(currents, expected, rtol=1e-8, atol=0)


def currents_of(cells, study, volts):
    """(n,) A into the sense amplifiers, by the nodal equations stamped here: node 2 k of the word
    line, 2 k + 1 of the bit line at cell k."""
    m, n = cells.shape
    word, bit = study.wires.resistances()
    matrix = np.zeros((2 * m * n, 2 * m * n))
    right = np.zeros(2 * m * n)
    last = []

    def connect(a, b, siemens):
        for one, other in ((a, b), (b, a)):
            matrix[one, one] += siemens
            matrix[one, other] -= siemens

    for i in range(m):
        for j in range(n):
            k = 2 * (i * n + j)
            connect(k, k + 1, cells[i, j])
            if j == 0:
                first = 1 / (word + study.wires.source_resistance_ohm)
                matrix[k, k] += first
                right[k] += first * volts
            else:
                connect(k, k - 2, 1 / word)
            if i == m - 1:
                end = 1 / (bit + study.wires.sense_resistance_ohm)
                matrix[k + 1, k + 1] += end
                last.append((k + 1, end))
            else:
                connect(k + 1, k + 1 + 2 * n, 1 / bit)
    nodes = np.linalg.solve(matrix, right)
    return np.array([nodes[k] * end for k, end in last])


@pytest.fixture(scope="module")
def exported(place, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported") / "files"
    export_study(study_of(place), directory, layer="layer.0.query", threads=1)
    return directory


@pytest.fixture
def files(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "files")
    return tmp_path / "files"


def run_layer(place, files, directory, **tables):
    """The trace of a study that reads one layer back."""
    layers = [{"match": "layer.0.query", "mapping": {"conductances": str(files)}}]
    return read_back(study_of(place, layer=layers, **tables), directory)


def first_file(files, what="achieved"):
    return files / index_of(files)["matrices"][0]["tiles"][0][what]["file"]


def test_measured_cells_in_another_unit_are_what_was_measured(place, files, tmp_path):
    tile = first_file(files)
    plain = numbers_of(run_layer(place, files, tmp_path / "plain"))
    np.savetxt(tile.with_suffix(".csv"), np.load(tile) * 2**20, delimiter=",", fmt="%.17g")

    def change(matrix):
        for name in ("achieved", "read"):
            if name in matrix["tiles"][0]:
                matrix["tiles"][0].pop("read", None)
        named = {"file": tile.with_suffix(".csv").relative_to(files).as_posix(), "unit": "uS"}
        matrix["tiles"][0]["achieved"] = named

    rewrite(files, change)
    found = numbers_of(run_layer(place, files, tmp_path / "measured"))
    name = "layers/layer.0.query/attenuation_mean"
    assert found[name][0] != plain[name][0]
    assert np.array_equal(found[name][1:], plain[name][1:])


def test_cells_outside_the_window_are_said_and_taken(place, files, tmp_path):
    tile = first_file(files)
    cells = np.load(tile)
    cells[2, 3] = 60e-6
    np.save(tile, cells)
    rewrite(files, lambda matrix: matrix["tiles"][0].pop("read", None))
    layers = [{"match": "layer.0.query", "mapping": {"conductances": str(files)}}]
    effects = {"programming": False}
    with pytest.warns(ValidRangeWarning, match=r"cells of mapping.conductances lie outside"):
        run_study(study_of(place, layer=layers, effects=effects), tmp_path / "run", threads=1)


def flip(files):
    tile = first_file(files)
    content = bytearray(tile.read_bytes())
    content[-3] ^= 1
    tile.write_bytes(content)


def put(files, row, column, number):
    tile = first_file(files)
    cells = np.load(tile)
    cells[row, column] = number
    np.save(tile, cells)
    rewrite(files, lambda matrix: None)


def narrow(files):
    tile = first_file(files)
    np.save(tile, np.load(tile)[:, 1:])
    rewrite(files, lambda matrix: None)


def state_unit(files, unit):
    rewrite(files, lambda matrix: matrix["tiles"][0]["achieved"].update(unit=unit))


def in_microsiemens(files):
    tile = first_file(files)
    np.save(tile, np.load(tile) * 1e6)
    rewrite(files, lambda matrix: None)


WRONG = [
    (lambda files: (files / "index.json").unlink(), ConfigError, "holds no conductances"),
    (lambda files: (files / "index.json").write_text("{"), ConfigError, "cannot be read"),
    (lambda files: first_file(files).unlink(), ConfigError, "00000.achieved.npy is missing"),
    (
        lambda files: rewrite(files, lambda matrix: matrix["tiles"].pop(1)),
        ConfigError,
        "has 1 tiles, and its mapping 2; the first that is missing or too many is tile 1",
    ),
    (narrow, ShapeError, "has shape (16, 15); allowed: (16, 16)"),
    (lambda files: put(files, 4, 5, -1e-6), OutOfRangeError, "-1e-06 S at word line 4, bit line 5"),
    (lambda files: put(files, 1, 2, np.nan), OutOfRangeError, "holds nan at row 1, column 2"),
    (flip, ConfigError, "is not the file of index.json"),
    (lambda files: state_unit(files, "siemens"), ConfigError, "unit of layer.0.query/"),
    (in_microsiemens, OutOfRangeError, "state its unit in index.json"),
    (
        lambda files: rewrite(files, lambda matrix: matrix.update(weights_sha256="0" * 64)),
        ConfigError,
        "holds the conductances of other weights",
    ),
    (
        lambda files: rewrite(files, lambda matrix: matrix.update(matrix="layer.1.key")),
        ConfigError,
        "holds no conductances of layer.0.query",
    ),
    (
        lambda files: rewrite(files, lambda matrix: matrix.update(bit_lines=32)),
        ConfigError,
        "mapping.bit_lines = 32, the study says 16",
    ),
    (
        lambda files: rewrite(files, lambda matrix: matrix["tiles"][0].pop("target")),
        ConfigError,
        "states no target and achieved conductances of tile 0",
    ),
    (
        lambda files: rewrite(files, lambda matrix: matrix["value"].update(file="../x.npy")),
        ConfigError,
        "lies outside the directory",
    ),
    (
        lambda files: rewrite(files, lambda matrix: matrix.update(maximum_s=1e-3)),
        ConfigError,
        "allowed: a device of the same window",
    ),
]


@pytest.mark.parametrize(("spoil", "kind", "words"), WRONG)
def test_what_cannot_be_used_is_one_line(place, files, tmp_path, spoil, kind, words):
    spoil(files)
    with pytest.raises(XbarsimError) as caught:
        run_layer(place, files, tmp_path / "run")
    assert isinstance(caught.value, kind)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_another_model_is_refused(place, files, tmp_path):
    make_tiny_bert(tmp_path / "other", classes=2, seed=5)
    with pytest.raises(ConfigError, match="conductances of other weights"):
        run_layer(place, files, tmp_path, model={"name": str(tmp_path / "other")})


def test_settings_of_the_write_have_no_effect_on_measured_cells(place, exported, tmp_path):
    layers = [
        {"match": "layer.0.query", "mapping": {"conductances": str(exported), "clip": "maximum"}}
    ]
    with pytest.warns(IdleSettingWarning) as said:
        run_study(study_of(place, layer=layers), tmp_path, threads=1)
    assert any("mapping.clip = 'maximum' has no effect" in str(one.message) for one in said)


def test_a_sweep_of_conductances_that_changed_is_refused(place, files, tmp_path):
    from xbarsim.studies import sweep, sweep_directory

    layers = [{"match": "layer.0.query", "mapping": {"conductances": str(files)}}]
    study = study_of(place, layer=layers, sweep={"adc.bits": [4]})
    sweep_directory.create(study, tmp_path / "sweep")
    put(files, 1, 2, 3e-6)
    again = sweep_directory.open_directory(tmp_path / "sweep")
    with pytest.raises(ConfigError, match=r"conductances .*files changed since the sweep"):
        sweep.run_sweep(again)


def test_a_wrong_request_is_one_line(place, files, tmp_path):
    study = study_of(place)
    with pytest.raises(ConfigError, match=r"names are such as .*layer\.0\.query"):
        export_study(study, tmp_path / "a", layer="layer.0.quary", threads=1)
    with pytest.raises(ConfigError, match="allowed: npy, csv, netlist"):
        export_study(study, tmp_path / "a", form="txt")
    with pytest.raises(ConfigError, match="no case 'x'; the study has 'chip'"):
        export_study(study, tmp_path / "a", case="x")
    with pytest.raises(ConfigError, match="has chips 1 to 1"):
        export_study(study, tmp_path / "a", chip=2)
    with pytest.raises(ConfigError, match="holds conductances already"):
        export_study(study, files)
    with pytest.raises(ConfigError, match="nothing is programmed"):
        export_study(
            study_of(place, products={"weights": "computation"}), tmp_path / "a", threads=1
        )


def test_the_command_writes_a_second_chip(place, tmp_path):
    from typer.testing import CliRunner

    from xbarsim.cli.app import app

    (place / "two.toml").write_text(
        tomli_w.dumps(
            study_of(place, run={"chips": 2, "batch_examples": 4}).model_dump(exclude_unset=True)
        )
    )
    for chip in (1, 2):
        words = ["export", str(place / "two.toml"), "--conductances", str(tmp_path / str(chip))]
        words += ["--chip", str(chip), "--layer", "layer.1.key", "--threads", "1"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        assert done.stdout.strip() == str(tmp_path / str(chip) / "index.json")
    first, second = index_of(tmp_path / "1"), index_of(tmp_path / "2")
    assert first["seed"] != second["seed"]
    tiles = [np.load(first_file(tmp_path / str(chip))) for chip in (1, 2)]
    targets = [np.load(first_file(tmp_path / str(chip), "target")) for chip in (1, 2)]
    assert np.array_equal(*targets) and not np.array_equal(*tiles)
