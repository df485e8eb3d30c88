"""`xbarsim train` of a study of images: the cells that a run meets, its score, states, refusals."""

import json

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import load_file
from tiny_images import MIXED, PERCEPTRON, tiny_images
from typer.testing import CliRunner

from xbarsim.base.errors import (
    CheckpointError,
    ConfigError,
    IdleSettingWarning,
    TaskError,
)
from xbarsim.cli.app import app
from xbarsim.config.study import load_study
from xbarsim.models.image_checkpoint import network_of
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace
from xbarsim.training.chip_defects import defect_maps
from xbarsim.training.study import train_image_study

DEVICE = """
description = "pulses"
read = { voltage_v = 0.1, source = "t" }
write = { pulse_energy_pj = 2.0, pulse_time_ns = 100.0, source = "t" }
stuck = { on_rate = 0.1, off_rate = 0.15, on_us = 80.0, off_us = 3.0, source = "t" }
[conductance]
minimum_us = 1.0
maximum_us = 101.0
valid_range_us = [1.0, 101.0]
source = "t"
[write_verify]
step_up_us = 1.0
step_down_us = 2.0
step_relative_sigma = 0.2
tolerance_us = 1.0
maximum_pulses = 100
source = "t"
"""
CONVOLUTIONS = {
    "model_type": "image-network",
    "image": [6, 6, 2],
    "mean": 0.4,
    "steps": [
        {"kind": "convolution", "name": "first", "channels": 5, "kernel": 3, "padding": 1},
        {"kind": "relu"},
        {"kind": "max_pooling", "size": 2},
        {"kind": "dense", "name": "last", "outputs": 3},
    ],
}
STUCK_ALONE = {
    "wires": False,
    "converters": False,
    "read_noise": False,
    "programming": False,
    "stuck": True,
}
CELLS = {"wires": False, "converters": False, "read_noise": False}
TILES = {"word_lines": 32, "bit_lines": 8}
KNOWN = TILES | {"clip": "maximum", "scale": "matrix", "gain": "none"}
FAST = {"epochs": 2, "batch": 10}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("training")
    images, classes = tiny_images(120)
    test = np.arange(120) % 3 == 0
    np.savez(directory / "images.npz", images=images, labels=classes, test=test)
    grey = images[..., 0]
    np.savez(directory / "grey.npz", images=grey, labels=classes, test=test)
    np.savez(directory / "no test.npz", images=grey, labels=classes)
    (directory / "cell.toml").write_text(DEVICE)
    for name, content in (("dense", PERCEPTRON), ("convolutions", CONVOLUTIONS), ("norm", MIXED)):
        (directory / name).mkdir()
        (directory / name / "config.json").write_text(json.dumps(content))
    return directory


def study_of(place, method, model="dense", images=FAST, **tables):
    training = {"method": method, "images": images} | tables.pop("training", {})
    content = {
        "model": {"name": str(place / model)},
        "task": {"name": str(place / "images.npz"), "calibration_examples": 6},
        "device": {"name": str(place / "cell.toml")},
        "mapping": TILES,
        "effects": CELLS,
        "training": training,
    }
    path = place / "study.toml"
    path.write_text(tomli_w.dumps(content | tables))
    return load_study(path)


def run_of(trained, place):
    """The one chip of what training left, and its images."""
    trace = read_trace(run_study(load_study(trained.study), place / "runs", threads=1))
    (chip,) = trace.cases["chip"].chips
    stored = np.load(place / "images.npz")
    pixels = stored["images"].reshape(120, -1)[trace.examples.index]
    labels = stored["labels"][trace.examples.index]
    return chip, pixels, labels


# ---------------------------------------------------------------- in the array


def weight_of_files(directory, index, name):
    """(inputs, outputs) of the conductances of all tiles, put together by hand."""
    (entry,) = [found for found in index["matrices"] if found["matrix"] == name]
    width = entry["bit_lines"]
    whole = np.zeros((2, 1000, 1000))
    for tile in entry["tiles"]:
        cells = np.load(directory / tile["achieved"]["file"])
        sign = "+-".index(tile["sign"])
        top = tile["row_block"] * entry["word_lines"]
        left = tile["column_block"] * width
        whole[sign, top : top + len(cells), left : left + width] = cells
    clip = np.load(directory / entry["clip"]["file"])[0]
    window = entry["maximum_s"] - entry["minimum_s"]
    whole = whole[:, : entry["inputs"], : entry["outputs"]]
    return clip * (whole[0] - whole[1]) / window


def test_a_run_meets_the_cells_that_were_trained(place, tmp_path):
    study = study_of(
        place,
        "in-situ",
        images={"epochs": 20, "batch": 10, "rate": 1.0},
        mapping=TILES | {"gain": "none"},  # which would make good for cells of another meaning
        training={"pulses": {"weight_range": 4.0}},
    )
    trained = train_image_study(study, tmp_path / "out")
    directory = tmp_path / "out" / "conductances"
    index = json.loads((directory / "index.json").read_text())
    tensors = load_file(tmp_path / "out" / "model" / "model.safetensors")
    first = weight_of_files(directory, index, "layer.0.dense")
    second = weight_of_files(directory, index, "layer.1.dense")
    assert np.abs(first).max() <= 4 / np.sqrt(72) + 1e-12
    np.testing.assert_allclose(tensors["hidden.weight"], first.T, rtol=1e-6, atol=1e-7)
    chip, pixels, labels = run_of(trained, place)
    # read channel by channel, as PyTorch flattens an image
    inputs = pixels.reshape(-1, 6, 6, 2).transpose(0, 3, 1, 2).reshape(-1, 72) / 255
    hidden = np.maximum(inputs @ first + tensors["hidden.bias"], 0)
    values = hidden @ second + tensors["last.bias"]
    np.testing.assert_allclose(chip.output, values, rtol=1e-4, atol=1e-4)
    score = np.mean(chip.output.argmax(axis=1) == labels)
    assert trained.accuracy.value == pytest.approx(score, abs=1e-12)
    assert score > 0.8  # what was learned is what is read, pixel for pixel
    assert json.loads((tmp_path / "out" / "training.json").read_text())["accuracy"]["n"] == 40


def test_pulses_energy_and_wear_are_stated(place, tmp_path):
    study = study_of(place, "in-situ", training={"pulses": {"rule": "manhattan"}})
    trained = train_image_study(study, tmp_path / "out")
    wear = trained.facts["wear"]
    cells = 2 * (73 * 8 + 9 * 3)
    assert wear["cells"] == cells
    # one pulse to every cell of a pair in every one of 2 x 8 updates, but where a gradient is 0
    assert 0.5 * 16 * cells < wear["pulses"] <= 16 * cells
    assert wear["most_of_a_cell"] == 16
    assert wear["pulses_per_cell"] == pytest.approx(wear["pulses"] / cells)
    assert wear["energy"] == pytest.approx(2e-12 * wear["pulses"], rel=1e-9)
    assert wear["not_responding"] == pytest.approx(0.25 * cells, rel=0.2)
    told = trained.lines()
    assert f"{wear['pulses']:,} pulses, " in told[2] and "16 at most" in told[2]


def test_a_perceptron_of_a_study_reads_means_of_pixels(place, tmp_path):
    study = study_of(
        place,
        "in-situ",
        images=FAST | {"hidden": [7], "pooling": 2, "epochs": 20, "rate": 1.0},
        task={"name": str(place / "grey.npz")},
    )
    trained = train_image_study(study, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert tensors["hidden0.weight"].shape == (7, 9)
    assert trained.accuracy.value > 0.8


# ---------------------------------------------------------------- around defects


@pytest.mark.parametrize("model", ["dense", "convolutions"])
def test_training_knows_the_stuck_cells_that_a_run_meets(place, tmp_path, model):
    study = study_of(
        place,
        "defect-aware",
        model,
        mapping=KNOWN,
        effects=STUCK_ALONE,
        training={"defects": {"epochs_before": 2, "aware": "synapse"}},
    )
    trained = train_image_study(study, tmp_path / "out")
    chip, pixels, labels = run_of(trained, place)
    score = np.mean(chip.output.argmax(axis=1) == labels)
    assert trained.accuracy.value == pytest.approx(score, abs=1e-12)
    # Outputs of the chip, of weights that the map makes of those of the file
    tensors = load_file(tmp_path / "out" / "model" / "model.safetensors")
    for name, known in maps_of(place, study, model).items():
        weight = tensors[f"{name}.weight"]
        rows = weight.reshape(len(weight), -1)
        share = rows / np.abs(rows).max()
        parts = np.stack([np.maximum(share, 0), np.maximum(-share, 0)])
        parts[known.state == 1] = 0.79
        parts[known.state == 2] = 0.02
        found = np.abs(rows).max() * (parts[0] - parts[1])
        tensors[f"{name}.weight"] = found.reshape(weight.shape).astype(np.float32)
        assert 0.15 < known.share < 0.35
    content = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    mask = np.ones(pixels.shape, bool)
    expected = network_of(content, tensors).forward(pixels.astype(np.int64), mask)
    np.testing.assert_allclose(chip.output, expected, rtol=1e-3, atol=1e-3)


def maps_of(place, study, model):
    from xbarsim.base.progress import silent
    from xbarsim.devices.presets import load_device
    from xbarsim.training.image_material import image_material

    _, case = study.cases()[0]
    material = image_material(study, study.training, silent)
    return defect_maps(material, case, load_device(place / "cell.toml"))


def test_those_that_know_do_better_than_those_that_do_not(place, tmp_path):
    found = {}
    for aware in ("none", "mixed"):
        study = study_of(
            place,
            "defect-aware",
            images={"epochs": 12, "batch": 10, "rate": 0.01},
            mapping=KNOWN,
            effects=STUCK_ALONE,
            training={"defects": {"epochs_before": 12, "aware": aware}},
        )
        found[aware] = train_image_study(study, tmp_path / aware)
    unaware = found["none"].facts["accuracy_unaware"]["value"]
    assert found["mixed"].facts["accuracy_unaware"]["value"] == unaware
    assert found["mixed"].accuracy.value > max(unaware, found["none"].accuracy.value) + 0.1
    assert "without knowing of defects" in found["mixed"].lines()[-1]


# ---------------------------------------------------------------- in floating point, and states


def test_backpropagation_goes_on_from_weights_that_are_there(place, tmp_path):
    study = study_of(place, "backpropagation", "norm", images={"epochs": 12, "rate": 0.01})
    first = train_image_study(study, tmp_path / "first")
    assert first.losses[-1] < 0.7 * first.losses[0]
    study = study_of(place, "backpropagation", first.model)
    second = train_image_study(study, tmp_path / "second")
    assert second.losses[0] < 0.7 * first.losses[0]
    run_of(second, place)


STOPPED = [
    ("backpropagation", {}),
    ("in-situ", {"pulses": {"heat": {"gain": 0.2}}}),
    ("defect-aware", {"defects": {"epochs_before": 1, "aware": "neuron"}}),
    ("defect-aware", {"defects": {"epochs_before": 3, "aware": "neuron"}}),
]


@pytest.mark.parametrize(("method", "training"), STOPPED)
def test_what_goes_on_ends_in_the_same_bits(place, tmp_path, method, training):
    images = {"epochs": 3, "batch": 10}
    study = study_of(place, method, images=images, mapping=KNOWN, training=training)
    whole = train_image_study(study, tmp_path / "whole")

    def stopping(description, total):
        left = [2 * 80 + 15]

        def done(count):
            left[0] -= count
            if description.startswith("images of training") and left[0] < 0:
                raise KeyboardInterrupt

        return done

    with pytest.raises(KeyboardInterrupt):
        train_image_study(study, tmp_path / "cut", progress=stopping)
    said = []
    resumed = train_image_study(study, tmp_path / "cut", resume=True, say=said.append)
    assert said == [f"going on after epoch 2 of {len(whole.losses)}"]
    assert resumed.losses == whole.losses and resumed.facts == whole.facts
    for name, tensor in load_file(whole.model / "model.safetensors").items():
        again = load_file(resumed.model / "model.safetensors")[name]
        np.testing.assert_array_equal(again, tensor)
    for path in (tmp_path / "whole").rglob("*.npy"):
        other = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes()


def test_only_the_same_study_goes_on(place, tmp_path):
    train_image_study(study_of(place, "backpropagation"), tmp_path / "out")
    other = study_of(place, "backpropagation", seed=5)
    with pytest.raises(ConfigError, match=r"state\.npz is of another study"):
        train_image_study(other, tmp_path / "out", resume=True)
    with pytest.raises(ConfigError, match="is not empty"):
        train_image_study(other, tmp_path / "out")
    (tmp_path / "out" / "state.npz").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="remove it to begin training anew"):
        train_image_study(other, tmp_path / "out", resume=True)


# ---------------------------------------------------------------- what cannot be meant


REFUSED = [
    ("in-situ", {"model": "convolutions"}, ConfigError, "trains perceptrons"),
    ("in-situ", {"device": {"name": "isaac"}}, ConfigError, r"no \[write_verify\]"),
    ("in-situ", {"mapping": {"encoding": "slices"}}, ConfigError, "mapping.encoding = 'slices'"),
    ("in-situ", {"mapping": {"row_order": "magnitude"}}, ConfigError, "mapping.row_order"),
    ("in-situ", {"products": {"weights": "computation"}}, ConfigError, "products.weights"),
    ("in-situ", {"task": {"name": "vader-movie"}}, ConfigError, "not of images"),
    ("defect-aware", {"mapping": TILES}, ConfigError, "needed: mapping.clip = 'maximum'"),
    ("defect-aware", {"model": "norm", "mapping": KNOWN}, ConfigError, "no batch_norm"),
    (
        "defect-aware",
        {"mapping": KNOWN, "effects": CELLS | {"stuck": False}},
        ConfigError,
        "has no stuck cells",
    ),
    ("backpropagation", {"images": {"rate": 2.0}}, ConfigError, "rates below 1 with Adam"),
    ("fine-tuning", {}, ConfigError, "of a network of images allowed: backpropagation"),
    (
        "backpropagation",
        {"images": {"hidden": [5], "pooling": 5}},
        ConfigError,
        "have 72 grey values",
    ),
]


@pytest.mark.filterwarnings("ignore::xbarsim.base.errors.IdleSettingWarning")
@pytest.mark.parametrize(("method", "tables", "error", "words"), REFUSED)
def test_what_cannot_be_trained_is_refused(place, tmp_path, method, tables, error, words):
    with pytest.raises(error, match=words):
        train_image_study(study_of(place, method, **tables), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_without_a_part_for_testing_are_refused(place, tmp_path):
    task = {"name": str(place / "no test.npz")}
    with pytest.raises(TaskError, match="no images for testing"):
        train_image_study(study_of(place, "backpropagation", task=task), tmp_path / "out")
    model = place / "cell.toml"
    with pytest.raises(CheckpointError):
        train_image_study(study_of(place, "backpropagation", model), tmp_path / "out")


IDLE = [
    ("in-situ", {"steps": 5}, 'training.steps = 5 .* needs training.method = "fine-tuning"'),
    ("in-situ", {"pulses": {"train": 5}}, 'needs training.pulses.rule = "outer_product"'),
    ("in-situ", {"pulses": {"least": 0.1}}, 'needs training.pulses.rule = "manhattan"'),
    ("in-situ", {"pulses": {"heat": {"decay_s": 1.0}}}, "needs a training.pulses.heat.gain"),
    ("in-situ", {"pulses": {"divider": {"slope_v": 1.0}}}, "needs a resistor"),
    ("in-situ", {"defects": {"aware": "none"}}, 'needs training.method = "defect-aware"'),
    ("backpropagation", {"pulses": {"most": 5}}, 'needs training.method = "in-situ"'),
]


@pytest.mark.parametrize(("method", "training", "words"), IDLE)
def test_keys_without_effect_are_said(place, tmp_path, method, training, words):
    study = study_of(place, method, images={"epochs": 0}, training=training)
    with pytest.warns(IdleSettingWarning, match=words):
        train_image_study(study, tmp_path / "out")


def test_the_command_trains_by_a_study(place, tmp_path):
    study_of(place, "in-situ")
    words = ["train", str(place / "study.toml"), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert "in-situ, 80 images, 2 epochs, loss" in lines[0] and "of 40 others" in lines[1]
    assert lines[-1] == f"run it: xbarsim run {tmp_path / 'out' / 'study.toml'}"
    words[-1] = str(tmp_path / "other")
    again = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(again.stdout)["wear"]["cells"] == 2 * (73 * 8 + 9 * 3)
