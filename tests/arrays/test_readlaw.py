"""The law of what a read sees of a cell: against drawn cells of every preset, and against tails in closed form."""

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import norm, t

from xbarsim.arrays.memory.read_law import VERIFIED, deviates, read_law
from xbarsim.config.study import validate
from xbarsim.devices.presets import device_names, load_device
from xbarsim.devices.streams import Streams

HEAD = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [0.0, 60.0], source = "t" }
"""
SIGMA = "sigma = [{ target_us = [0.0, 60.0], sigma_us = [1.0, 1.0] }]"
EVERYTHING = (
    HEAD
    + f"""
programming = {{ model = "student", degrees_of_freedom = 5.0, bias_us = 0.7, {SIGMA}, source = "t" }}
spread = {{ device_to_device_relative_sigma = 0.05, cycle_to_cycle_relative_sigma = 0.03, source = "t" }}
relaxation.mean_offset_us = -0.5
relaxation.variance_offset_us2 = 0.3
relaxation.variance_slope_us2 = 0.1
relaxation.valid_time_s = [1.0, 1e6]
relaxation.source = "t"
drift = {{ reference_s = 1.0, nu_mean = 0.02, nu_sigma = 0.005, valid_time_s = [1.0, 1e6], source = "t" }}
stuck = {{ on_rate = 0.02, bit_line_off_rate = 0.03, word_line_on_rate = 0.01, source = "t" }}
read_disturb = {{ rate_per_read = 1e-4, toward = "minimum", source = "t" }}
temperature = {{ reference_k = 300.0, activation_energy_ev = 0.01, valid_range_k = [250.0, 400.0], source = "t" }}

[read_noise]
relative_sigma = 0.02
source = "t"
telegraph = {{ relative_amplitude = 0.2, dwell_high_s = 1e-3, dwell_low_s = 1e-3, cell_fraction = 0.3, source = "t" }}
"""
)


def device_of(tmp_path, text, **conditions):
    path = tmp_path / f"device-{len(list(tmp_path.iterdir()))}.toml"
    path.write_text(text)
    return load_device(str(path)).at(**conditions)


def drawn(device, target, tiles=25):
    """Reads of freshly written cells, as `DeviceModel` draws them."""
    written = device.program(np.full((tiles, 128, 128), target), Streams(3))
    g = written.conductance
    noise = device.read_noise_sigma(written, Streams(3)) * np.random.default_rng(1).standard_normal(
        g.shape
    )
    return np.maximum(g + noise, 0.0).ravel()


def agrees(device, target):
    """Largest difference between the law and drawn cells, in standard errors of the drawn share (lines count once)."""
    sample, law = np.sort(drawn(device, target)), read_law(device, target)
    g = np.quantile(sample, np.linspace(0.002, 0.998, 60)) * (1 + 1e-9)
    share = np.searchsorted(sample, g) / sample.size
    np.testing.assert_allclose(law.below(g) + law.above(g), 1, rtol=5e-4)  # both interpolated
    variance = share * (1 - share) / sample.size
    if device.file.write_verify is not None:
        variance += share * (1 - share) / np.prod(VERIFIED)  # that of a law that is drawn itself
    error = np.sqrt(variance) + 1e-9
    return (abs(law.below(g) - share) / (error + 2e-4 * share)).max()


@pytest.mark.parametrize("name", device_names())
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_presets_are_what_their_cells_are_drawn_from(name, end):
    device = (
        load_device(name)
        .in_study(validate({"device": {"name": name}}, "test"))
        .without("levels", "stuck")
    )
    target = getattr(device, "conductance_" + end[:3])
    law = read_law(device, target)
    assert law.below(np.inf) == pytest.approx(1, rel=1e-9) and law.above(-np.inf) == pytest.approx(
        1, rel=1e-9
    )
    assert agrees(device, target) < 5.5


def test_every_step_at_once_is_what_cells_are_drawn_from(tmp_path):
    device = device_of(tmp_path, EVERYTHING, time=1e4, temperature=320.0, reads=100).without(
        "stuck"
    )
    for target in (2e-6, 20e-6, 40e-6):
        assert agrees(device, target) < 5.5
    law = read_law(device_of(tmp_path, EVERYTHING, time=1e4, temperature=320.0, reads=100), 20e-6)
    # 2 % of cells and 1 % of word lines stuck on at 40 µS, unless one of the 3 % of bit lines that are off
    on = (0.02 * 0.99 + 0.01) * 0.97
    assert law.above(33e-6) == pytest.approx(on, rel=0.05)


@pytest.mark.parametrize("z", [1.0, 4.0, 8.0, 15.0])
def test_tails_are_those_of_the_stated_distributions(tmp_path, z):
    """Written cells alone: normal, Student, mixture and uniform errors, and the same side by side with 0."""

    def tail(model):
        device = device_of(
            tmp_path, HEAD + f"programming = {{ {model}, bias_us = 0.5, source = 't' }}"
        )
        law, middle = read_law(device, 20e-6), 20.5e-6
        return law.above(middle + z * 1e-6), law.below(middle - z * 1e-6)

    np.testing.assert_allclose(tail(f"model = 'gaussian', {SIGMA}"), norm.sf(z), rtol=0.03)
    unit = np.sqrt(5 / 3)
    student = tail(f"model = 'student', degrees_of_freedom = 5.0, {SIGMA}")
    np.testing.assert_allclose(student, t(5).sf(z * unit), rtol=0.01)
    base = 1 / np.sqrt(0.9 + 0.1 * 9)
    mixed = 0.9 * norm.sf(z / base) + 0.1 * norm.sf(z / base / 3)
    np.testing.assert_allclose(
        tail(f"model = 'mixture', tail_fraction = 0.1, tail_factor = 3.0, {SIGMA}"),
        mixed,
        rtol=0.03,
    )
    uniform = tail("model = 'bounded', half_width_us = 5.0")
    np.testing.assert_allclose(uniform, max(0.5 - z / 10, 0), rtol=0.01, atol=1e-300)


@pytest.mark.parametrize("z", [3.0, 7.0, 10.0])
def test_a_product_of_two_deviates_by_quadrature(tmp_path, z):
    """Programming error of 1 µS, read noise of 10 % of what was written: a tail that no normal law has."""
    device = device_of(
        tmp_path,
        HEAD + f"programming = {{ model = 'gaussian', {SIGMA}, source = 't' }}\n"
        "read_noise = { relative_sigma = 0.1, source = 't' }",
    )
    g = 20.0 + z * np.hypot(1, 2)
    value, _ = integrate.quad(
        lambda x: norm.pdf(x) * norm.sf((g - 20 - x) / (2 + 0.1 * x)),
        -5,
        19,
        limit=400,
        points=np.linspace(-4, 18, 23),
        epsabs=0,
        epsrel=1e-8,
    )
    assert read_law(device, 20e-6).above(g * 1e-6) == pytest.approx(value, rel=0.03, abs=0)


def test_cells_below_zero_read_zero(tmp_path):
    """A low state of 1 µS with an error of 1 µS: what would be negative is one atom at 0 S."""
    device = device_of(
        tmp_path, HEAD + f"programming = {{ model = 'gaussian', {SIGMA}, source = 't' }}"
    )
    law = read_law(device, 1e-6)
    assert law.above(0.0) == pytest.approx(1, rel=1e-12) and law.below(0.0) == 0
    np.testing.assert_allclose(
        law.below(np.array([1e-12, 1e-9])), norm.cdf([-1, -0.999]), rtol=2e-3
    )
    exact = read_law(load_device("ideal"), 5e-6)
    assert exact.above(5e-6) == 1 and exact.below(5e-6) == 0 and exact.above(5.0001e-6) == 0


def test_deviates_have_the_moments_of_a_normal_law():
    z, mass = deviates()
    assert mass.sum() == pytest.approx(1, rel=1e-12)
    for power, moment in ((1, 0), (2, 1), (4, 3), (6, 15)):
        assert (mass * z**power).sum() == pytest.approx(moment, rel=1e-4, abs=1e-9)
