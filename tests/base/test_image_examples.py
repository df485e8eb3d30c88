"""The scripts of examples/related/ about networks of images, on a tiny set of images of their size.

Each starts an interpreter of its own, which is most of its time.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "related"
pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="examples/ is not in this copy of the tests"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of 28 x 28 with a bright band, whose place is their class; a third is for testing."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 150)
    found = rng.integers(0, 60, (150, 28, 28))
    for image, one in zip(found, classes, strict=True):
        image[8 * one + 2 : 8 * one + 8] += 150
    path = tmp_path_factory.mktemp("images") / "bands.npz"
    np.savez(path, images=found.astype(np.uint8), labels=classes, test=np.arange(150) >= 100)
    return path


def lines_of(script, place, *arguments):
    """{what a script says it is: the numbers behind it}"""
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, env=os.environ)
    assert ended.returncode == 0, ended.stderr
    found = {}
    for line in ended.stdout.splitlines():
        name, _, values = line.rpartition(": ")
        found[name] = [float(number) for number in re.findall(r"-?\d+\.?\d*", values)]
    return found


def test_sub_images_give_what_im2col_gives(images, tmp_path):
    found = lines_of("sub_image_partition.py", tmp_path, images, 100, 30)
    assert found["im2col, no physics"] == found["im2col, float32"]
    assert found["sub_image, no physics"] == found["im2col, float32"]
    assert {"im2col, wires of 20 ohm", "sub_image, wires of 20 ohm"} <= set(found)
    whole, half = found["ResNet-20, 128 lines, sub-images of one channel fit"][-2:]
    assert 40 < half < 60 < 85 < whole < 99


def test_training_with_the_map_of_defects_wins_back(images, tmp_path):
    found = lines_of("defect_aware_training.py", tmp_path, images, 100, 1)
    assert found["synapse-aware 303"][0] >= found["unaware"][0]
    assert {"mixed 10", "mixed 138", "neuron-aware"} <= set(found)


def test_correction_brings_voltages_and_outputs_nearer(images, tmp_path):
    found = lines_of("neuron_correction.py", tmp_path, images, 100)
    before, after = found["0.5 ohm, error of source voltages"]
    assert after < 0.3 * before
    errors = {way: found[f"0.5 ohm, {way}"][0] for way in ("raw", "rows", "both")}
    assert errors["both"] < 0.7 * errors["raw"]


def test_a_divider_makes_steps_even(images, tmp_path):
    found = lines_of("linear_updates.py", tmp_path, images, 100, 1)
    for cell in ("accelerating", "fading"):
        uneven = [
            found[f"unevenness of steps, {cell} cell {what} divider"][0]
            for what in ("with", "without")
        ]
        assert uneven[0] < 0.7 * uneven[1]
    assert found["nonlinearity 0 both ways"][0] > 50


def test_cells_in_parallel_need_fewer_conversions(tmp_path):
    found = lines_of("cells_in_parallel.py", tmp_path, 2)
    one = found["spread 0.2, 0 ohm, 6 slices of 1 cells"]
    six = found["spread 0.2, 0 ohm, 1 slices of 6 cells"]
    assert one[2] == 6 * six[2]
    assert abs(six[0] / one[0] - 1) < 0.1


def test_networks_with_faults(images, tmp_path):
    found = lines_of("mnist_with_faults.py", tmp_path, images, 100, 1)
    for what in ("half on", "all off"):
        name = f"CNN, 10 % stuck, {what}"
        assert found[f"{name}, with the map"][0] >= found[f"{name}, unaware"][0] - 10


def test_cells_that_do_not_respond_are_trained_around(images, tmp_path):
    found = lines_of("trained_in_place.py", tmp_path, images, 1)
    assert found["trained in place, 11 % stuck"][0] > 50
    held_out = lines_of("trained_in_place.py", tmp_path, images, 1, "search")
    assert sum(name.startswith("held out") for name in held_out) == 12 + 2 + 4


@pytest.mark.long
def test_raised_rows_and_dummies_are_cases_of_a_study(images, tmp_path):
    """Twenty cases of a run, half a minute: what they do to one layer is in tests/arrays."""
    found = lines_of("correction_as_study.py", tmp_path, images, 100, 30)
    assert len(found) == 20
    for ohm in ("0", "2"):
        plain = found[f"gain none, {ohm} ohm, none"]
        for way in ("rows", "columns", "both"):
            corrected = found[f"gain none, {ohm} ohm, {way}"]
            assert corrected[0] > plain[0] + 3  # dB, of the hidden layer
        assert found[f"gain none, {ohm} ohm, rows"][3] > plain[3]
