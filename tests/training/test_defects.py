"""Defect maps, what they make of weights, and training that knows of them."""

import numpy as np
import pytest
from tiny_images import PERCEPTRON, tiny_images

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.kernels.training.stuck_cells import FREE, OFF, ON
from xbarsim.models.image_checkpoint import network_of
from xbarsim.training.defects import (
    DefectAware,
    DefectMap,
    chosen_columns,
    columns_by_defects,
    full_scales_of,
    on_defects,
)
from xbarsim.training.fit import Schedule, train

IMAGES, TARGETS = tiny_images(200)
PIXELS = IMAGES.reshape(200, -1)


def test_weights_on_stuck_cells_by_hand():
    state = np.full((2, 1, 5), FREE)
    state[0, 0, 1] = ON
    state[0, 0, 2] = OFF
    state[1, 0, 3] = ON
    state[:, 0, 4] = ON
    weight = np.array([[0.5, -0.5, 0.5, 0.5, 0.5]], np.float32)
    found = DefectMap(state).applied(weight, 1.0)
    np.testing.assert_allclose(found, [[0.5, 0.5, 0.0, -0.5, 0.0]], rtol=0, atol=1e-7)
    np.testing.assert_allclose(DefectMap(state).applied(8 * weight, 1.0)[0, 0], 1.0)


def test_the_full_scale_of_a_study_is_the_largest_weight():
    """As mapping.clip = "maximum" chooses it; held at a limit where it is more."""
    state = np.full((2, 1, 3), FREE)
    state[0, 0, 1] = ON
    maps = {"m": DefectMap(state, on=0.8, off=0.1)}
    every = {"m": np.array([True])}
    nothing = {"m": np.array([False])}
    rng = np.random.default_rng(0)
    form = DefectAware(maps, {"m": 2.0}, every, nothing, rng, by_largest=True)
    small = np.array([[0.5, 0.1, -0.2]], np.float32)
    np.testing.assert_allclose(form("m", small), [[0.5, 0.4, -0.2]], rtol=1e-6)
    large = np.array([[0.5, 0.1, -4.0]], np.float32)
    np.testing.assert_allclose(form("m", large), [[0.5, 1.6, -2.0]], rtol=1e-6)


def test_rates_and_records_of_columns():
    one = DefectMap.random(40, 500, 0.06, 0.04, seed=0)
    assert np.mean(one.state == ON) == pytest.approx(0.06, rel=0.05)
    assert np.mean(one.state == OFF) == pytest.approx(0.04, rel=0.05)
    other = one.shuffled(np.random.default_rng(0))
    assert (other.state != one.state).any()
    for kind in (ON, OFF):
        of_one = np.count_nonzero(one.state == kind, axis=(0, 2))
        np.testing.assert_array_equal(of_one, np.count_nonzero(other.state == kind, axis=(0, 2)))
    drawn = np.random.default_rng(1)
    many = np.mean([one.shuffled(drawn).state[:, 7] != FREE for _ in range(2000)], axis=0)
    share = one.of_columns[7] / 1000  # wherever in the column; 1,000 places
    np.testing.assert_allclose(many, share, atol=5 * np.sqrt(share / 2000))
    order = columns_by_defects({"m": one})
    counts = [one.of_columns[column] for _, column in order]
    assert counts == sorted(counts, reverse=True)
    chosen = chosen_columns({"m": one}, order[:3])["m"]
    assert chosen.sum() == 3
    assert one.of_columns[chosen].min() >= one.of_columns[~chosen].max()


def test_a_network_that_knows_its_defects_does_better():
    gains = []
    for seed in range(3):
        first = train(PERCEPTRON, PIXELS, TARGETS, Schedule(epochs=10, rate=1e-2, seed=seed))
        maps = {
            "hidden": DefectMap.random(8, 72, 0.1, 0.1, seed=2 * seed),
            "last": DefectMap.random(3, 8, 0.1, 0.1, seed=2 * seed + 1),
        }
        scales = full_scales_of(first.tensors, maps)
        every = chosen_columns(maps, columns_by_defects(maps))
        nothing = chosen_columns(maps, [])
        form = DefectAware(maps, scales, every, nothing, np.random.default_rng(seed))
        schedule = Schedule(epochs=10, rate=1e-2, seed=seed)
        again = train(PERCEPTRON, PIXELS, TARGETS, schedule, form=form, tensors=first.tensors)
        found = []
        for tensors in (first.tensors, again.tensors):
            network = network_of(PERCEPTRON, on_defects(tensors, maps, scales))
            values = network.forward(PIXELS.astype(np.int64), np.ones(PIXELS.shape, bool))
            found.append(np.mean(values.argmax(1) == TARGETS))
        gains.append(found[1] - found[0])
    assert min(gains) >= 0
    assert np.mean(gains) > 0.1


def test_wrong_maps_are_refused():
    with pytest.raises(OutOfRangeError, match="together up to 1"):
        DefectMap.random(2, 2, 0.6, 0.6, seed=0)
    with pytest.raises(ShapeError, match="defect map"):
        DefectMap(np.zeros((3, 2, 2)))
