"""`wires.precision = "single"`: the wires alone, to what float32 leaves."""

import numpy as np
import pytest

from xbarsim.arrays.in_situ.correction import (
    ProductSums,
    digital_correction,
    second_moment,
)
from xbarsim.arrays.in_situ.kept_arrays import key_of
from xbarsim.arrays.in_situ.programmed import plan_matrix, program
from xbarsim.arrays.settings import InSituSettings
from xbarsim.config.arrays import Mapping
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device

WEIGHT = np.random.default_rng(0).standard_t(5, size=(70, 100)).astype(np.float32)


def plan_of(precision, **effects):
    """Planes apart, so that nothing is subtracted."""
    content = {
        "mapping": {"word_lines": 64, "bit_lines": 64, "subtraction": "digital"},
        "wires": {"precision": precision},
        "effects": effects,
    }
    study = validate(content, "test")
    device = load_device(study.device.name).in_study(study)
    settings = InSituSettings.of(study)
    return plan_matrix("m", 0, WEIGHT, np.ones(100), settings, device, seed=1)


def test_every_entry_is_that_of_double_precision_to_a_few_roundings():
    double = program(plan_of("double"))
    single = program(plan_of("single"))
    for mine, wanted in zip(single.transfer, double.transfer, strict=True):
        assert not np.array_equal(mine, wanted)
        np.testing.assert_allclose(mine, wanted, rtol=3e-6, atol=0)
    np.testing.assert_allclose(single.attenuation_mean, double.attenuation_mean, rtol=1e-5)
    np.testing.assert_array_equal(single.conductance_counts, double.conductance_counts)
    assert single.counts == double.counts


@pytest.mark.parametrize("precision", ["double", "single"])
def test_without_wires_cells_are_read_as_they_were_programmed(precision):
    plan = plan_of(precision, wires=False)
    cells = plan.program(0).conductance
    transfer = program(plan).transfer[0]
    wanted = plan.layout.from_tiles(cells.transpose(0, 2, 1), 64)
    np.testing.assert_array_equal(transfer, wanted.reshape(-1, 64).astype(np.float32))


def test_arrays_of_one_precision_are_not_taken_for_those_of_the_other():
    assert key_of(plan_of("double")) != key_of(plan_of("single"))


@pytest.mark.parametrize("sign", ["pair", "offset"])
@pytest.mark.parametrize("gain", ["column", "matrix"])
def test_gains_of_samples_are_those_of_their_second_moments(sign, gain):
    """And both those of least squares, output by output, in float64."""
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((5, 60)).astype(np.float32)
    achieved = 0.9 * weight + 0.05 * rng.standard_normal((5, 60)) + 0.02
    x = (rng.standard_normal((40, 60)) + 0.3).astype(np.float32)
    mapping = Mapping(encoding="slices", sign=sign, gain=gain)
    with_sum = sign == "offset"
    moment = second_moment(x, cross_terms=True)
    of_moment = ProductSums.of_moment(weight, achieved, moment, with_sum)
    of_samples = ProductSums.of_samples(weight, achieved, x, with_sum)
    wanted = digital_correction(of_moment, mapping)
    found = digital_correction(of_samples, mapping)
    np.testing.assert_allclose(found.gain, wanted.gain, rtol=2e-6, atol=0)
    np.testing.assert_allclose(found.sum_weight, wanted.sum_weight, rtol=0, atol=2e-6)
    if gain == "column":
        right = x.astype(float) @ weight.T
        reached = x.astype(float) @ achieved.T
        sums = x.astype(float).sum(axis=1)
        for k in range(5):
            columns = [reached[:, k], sums] if with_sum else [reached[:, k]]
            best = np.linalg.lstsq(np.stack(columns, axis=1), right[:, k], rcond=None)[0]
            assert found.gain[k] == pytest.approx(best[0], rel=1e-5, abs=0)
            if with_sum:
                assert found.sum_weight[k] == pytest.approx(best[1], rel=0, abs=1e-5)
