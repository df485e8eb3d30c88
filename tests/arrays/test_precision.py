"""`wires.precision = "single"`: the wires alone, to what float32 leaves."""

import numpy as np
import pytest

from xbarsim.arrays.in_situ.kept_arrays import key_of
from xbarsim.arrays.in_situ.programmed import plan_matrix, program
from xbarsim.arrays.settings import InSituSettings
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
