"""Exclusive-nor matching of stored images as a study: single, complementary and twin arrays."""

import numpy as np
import pytest
import tomli_w

from xbarsim import load_device
from xbarsim.config.study import load_study
from xbarsim.models.image_checkpoint import save_image_network
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

SIDE = 6
STORED = 5
RNG = np.random.default_rng(4)
IMAGES = (RNG.random((STORED, SIDE * SIDE)) < 0.6).astype(int)
SHOWN = np.repeat(np.arange(STORED), 6)
FLIPPED = RNG.random((len(SHOWN), SIDE * SIDE)) < 0.1
PIXELS = np.where(FLIPPED, 1 - IMAGES[SHOWN], IMAGES[SHOWN])
BINARY = {"encoding": "binary", "sign": "offset"}
QUIET = {"wires": False, "programming": False, "read_noise": False}
CASES = [
    {"name": name, "mapping": BINARY | {"array": name}, "effects": QUIET}
    for name in ("single", "complementary", "twin")
]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    directory = tmp_path_factory.mktemp("templates")
    network = {
        "model_type": "image-network",
        "image": [SIDE, SIDE, 1],
        "weights": "binary",
        "steps": [{"kind": "dense", "name": "templates", "outputs": STORED}],
    }
    tensors = {
        "templates.weight": (2.0 * IMAGES - 1).astype(np.float32),
        "templates.bias": (IMAGES == 0).sum(axis=1).astype(np.float32),
    }
    save_image_network(directory / "net", network, tensors)
    np.savez(
        directory / "images.npz",
        images=(255 * PIXELS).reshape(-1, SIDE, SIDE).astype(np.uint8),
        labels=SHOWN,
        test=np.arange(len(SHOWN)) % 3 > 0,
    )
    study = {
        "model": {"name": str(directory / "net")},
        "task": {"name": str(directory / "images.npz"), "calibration_examples": 8},
        "mapping": {"word_lines": 80, "bit_lines": 8},
        "dac": {"bits": 2, "range": "maximum"},
        "adc": {"bits": "ideal"},
        "case": CASES,
    }
    path = directory / "study.toml"
    path.write_text(tomli_w.dumps(study))
    return read_trace(run_study(load_study(path), directory / "runs"))


@pytest.mark.parametrize("array", ["single", "complementary", "twin"])
def test_outputs_count_equal_pixels(trace, array):
    tested = trace.examples.index
    equal = (PIXELS[tested][:, None] == IMAGES[None]).sum(axis=2)
    found = trace.cases[array].chips[0].output
    np.testing.assert_allclose(found, equal, atol=1e-3)
    assert (found.argmax(axis=1) == equal.argmax(axis=1)).all()


def test_a_complementary_array_draws_what_all_equal_pixels_draw(trace):
    """Joule of cells on and off at the read voltage, by hand: the single one reads half the lines."""
    layers = {name: case.chips[0].layers for name, case in trace.cases.items()}
    tested = trace.examples.index
    (found,) = layers["complementary"].values()
    equal = (PIXELS[tested][:, None] == IMAGES[None]).sum(axis=(1, 2))
    unused = SIDE * SIDE * (8 - STORED)  # cells of the tile that no weight uses are off
    device = load_device("rram-wan2022")
    low, high = device.conductance_min, device.conductance_max
    other = SIDE * SIDE * STORED - equal + unused
    watts = (equal * high + other * low) * device.read_voltage**2
    np.testing.assert_allclose(found.rows.array_energy, watts * 100e-9, rtol=1e-3)
    for name in ("single", "twin"):
        (layer,) = layers[name].values()
        assert (layer.rows.array_energy > 0).all()
    (single,) = layers["single"].values()
    assert (single.rows.array_energy < found.rows.array_energy).all()
