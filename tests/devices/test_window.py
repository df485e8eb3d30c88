"""Another window of conductances than the one of the device file."""

import numpy as np
import pytest

import xbarsim
from tests.device_cases import VERIFY, device
from xbarsim.base.errors import ConfigError

EXACT = {"converters": False, "programming": False, "read_noise": False}


def matrix_in(weight, samples, ohm, device):
    study = {
        "device": device,
        "mapping": {"word_lines": 16, "bit_lines": 16, "clip": "maximum"},
        "wires": {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm},
        "effects": EXACT,
    }
    return xbarsim.AnalogMatrix(weight, study, samples=samples, seed=1)


@pytest.fixture(scope="module")
def weight_and_samples():
    generator = np.random.default_rng(5)
    return generator.standard_t(4, (20, 30)), generator.standard_normal((80, 30))


def test_pairs_reach_from_end_to_end_of_the_window(weight_and_samples):
    weight, samples = weight_and_samples
    device = {"name": "rram-wan2022", "minimum_us": 4.0, "maximum_us": 24.0}
    cells = matrix_in(weight, samples, 0.0, device).conductances
    pairs = (cells[:, :, 0] - cells[:, :, 1]).transpose(0, 2, 1, 3).reshape(32, 32).T
    largest = np.abs(weight).max(axis=1, keepdims=True)
    np.testing.assert_allclose(pairs[:20, :30], weight / largest * 20e-6, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(cells.min(), 4e-6, rtol=1e-12)


def test_half_the_conductance_at_twice_the_resistance_is_the_same_tile(weight_and_samples):
    weight, samples = weight_and_samples
    whole = matrix_in(weight, samples, 50.0, {"name": "rram-wan2022"})
    half_window = {"name": "rram-wan2022", "minimum_us": 0.5, "maximum_us": 20.0}
    half = matrix_in(weight, samples, 100.0, half_window)
    reference = whole.multiply(samples)
    found = half.multiply(samples)
    scale = np.abs(reference.output).max()
    assert np.abs(found.output - reference.output).max() < 2e-6 * scale
    np.testing.assert_allclose(found.energy, reference.energy / 2, rtol=1e-9)


def test_stuck_cells_stay_where_the_file_has_them():
    original = device(stuck={"on_rate": 0.2, "off_rate": 0.2})
    moved = original.within(5.0, 30.0)
    target = np.full((40, 40), 20e-6)
    before = original.program(target, 3).conductance
    after = moved.program(target, 3).conductance
    np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose([after.min(), after.max()], [1e-6, 40e-6], rtol=1e-12)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"maximum_us": 60.0}, "1 to 60 µS .* valid_range_us, 0 to 40 µS"),
        ({"minimum_us": 50.0}, "50 to 40 µS must be increasing"),
        ({"minimum_us": 3.0, "maximum_us": 3.0}, "3 to 3 µS must be increasing"),
    ],
)
def test_a_window_that_cannot_be_is_refused(weight_and_samples, window, said):
    weight, samples = weight_and_samples
    with pytest.raises(ConfigError, match=said):
        matrix_in(weight, samples, 1.0, {"name": "rram-wan2022", **window})


@pytest.mark.parametrize(
    "table",
    [{"write_verify": VERIFY}, {"read_disturb": {"rate_per_read": 1e-6, "toward": "minimum"}}],
)
def test_laws_of_the_ends_of_the_window_refuse_another(table):
    with pytest.raises(ConfigError, match=f"{next(iter(table))}.* 1 to 40 µS"):
        device(**table).within(maximum_us=20.0)
