"""Every preset: cells and reads drawn from its file against what its source states.

A statement draws the same quantity with another generator from the published equations, written
out apart from the file; both samples are compared by Kolmogorov and Smirnov and by their moments.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from xbarsim import Crossbar
from xbarsim.devices.presets import device_names, load_device

LEVEL = 0.001  # of about 60 comparisons with fixed seeds
TILES, ROWS, COLUMNS = 2, 70, 90
COUNT = TILES * ROWS * COLUMNS
DAY, YEAR = 86400.0, 31536000.0


def exact(rng, target, time):
    return np.full(COUNT, target)


def silent(rng, cells, target, time):
    return cells


@dataclass(frozen=True)
class Statement:
    """What a source says of cells written to `targets` (µS) and read `times` (s) later.

    written : (rng, target, time) -> (COUNT,) µS without read noise
    read : (rng, cells, target, time) -> (COUNT,) µS of one read of `read_time` s
    """

    window: tuple[float, float]
    targets: tuple[float, ...]
    written: Callable = exact
    read: Callable = silent
    times: tuple = (None,)
    read_time: float = 100e-9


def uniform_window(rng, target, time):
    return target + rng.uniform(-5, 5, COUNT)


def cmo_written(rng, target, time):
    programmed = target + (0.00106879 * target + 0.00081107) * rng.standard_normal(COUNT)
    relaxed = programmed - 0.08900206 * np.log(time)
    return relaxed + (0.41183342 + 0.04201137 * np.log(time)) * rng.standard_normal(COUNT)


def cmo_read(rng, cells, target, time):
    band = np.sqrt(np.log((time + 1e-6) / (2 * 1e-6)))
    return cells + 0.0277316483 * np.log10(cells) * band * rng.standard_normal(COUNT)


def pcm_written(rng, target, time):
    x = target / 25
    programmed = target + (0.26348 + 1.965 * x - 1.1731 * x**2) * rng.standard_normal(COUNT)
    mean = np.clip(-0.0155 * np.log(x) + 0.0244, 0.049, 0.1)
    sigma = np.clip(-0.0125 * np.log(x) - 0.0059, 0.008, 0.045)
    exponent = mean + sigma * rng.standard_normal(COUNT)
    return np.maximum(programmed, 0) * (time / 20) ** -exponent


def pcm_read(rng, cells, target, time):
    band = np.sqrt(np.log((time + 250e-9) / (2 * 250e-9)))
    q = min(0.0088 / (target / 25) ** 0.65, 0.2)
    return cells * (1 + q * band * rng.standard_normal(COUNT))


def wan_sigma(target, time):
    """µS, on a line in log time between the fits at 1 s and at 1 day."""
    x = target / 40
    first = 0.348 + 16.030 * x - 43.853 * x**2 + 45.393 * x**3 - 16.815 * x**4
    later = 0.701 + 22.086 * x - 50.773 * x**2 + 47.095 * x**3 - 16.458 * x**4
    share = np.log(time) / np.log(DAY)
    return first + share * (later - first)


def wan_written(rng, target, time):
    deviation = wan_sigma(target, 1.0 if time is None else time) * rng.standard_normal(COUNT)
    return np.maximum(target + deviation, 0)


def relaxed(rng, target, time):
    """Mean -0.265 µS at 1 s and -1.436 µS at 1e5 s; variance 4.283 + 1.777 log10 t."""
    decades = np.log10(time)
    mean = -0.265 + (-1.436 + 0.265) / 5 * decades
    deviation = np.sqrt(4.283 + 1.777 * decades) * rng.standard_normal(COUNT)
    return np.maximum(target + mean + deviation, 0)


def pulsed(rng, target, time):
    """Pulses of 1 µS, 30 % of it noise, from 1 µS until a cell is within 1 µS."""
    cells = np.ones(COUNT)
    while (off := np.abs(cells - target) > 1).any():
        step = 1 + 0.3 * rng.standard_normal(np.count_nonzero(off))
        cells[off] += np.sign(target - cells[off]) * step
    return cells


def two_states(rng, cells, ratio):
    """Cells half of the time in a low state, `ratio` of the high one; their mean is the cell."""
    high = cells * 2 / (1 + ratio)
    return np.where(rng.random(COUNT) < 0.5, high, ratio * high)


def telegraph_read(rng, cells, target, time):
    """Low state 5 % below the high one."""
    return two_states(rng, cells, 0.95)


def binary_read(rng, cells, target, time):
    """The resistance changes by 2.8 % in the low-resistance state, by 50 % in the other."""
    return two_states(rng, cells, 1 / 1.028 if target > 5 else 1 / 1.5)


def foundation_written(rng, target, time):
    """One cubic up to 52.5 steps, another above, none below .6; no conductance is negative."""
    if target < 0.6:
        return np.full(COUNT, target)
    lower = np.polyval([2.93975e-5, -3.71581e-3, 0.224197, 2.57974], target)
    upper = np.polyval([1.23298e-5, -3.05499e-3, 0.245349, 2.11030], target)
    sigma = lower if target <= 52.5 else upper
    return np.maximum(target + sigma * rng.standard_normal(COUNT), 0.0)


def matched(rng, target, time):
    return target * (1 + 0.02 * rng.standard_normal(COUNT))


KILOHM = 1e3  # µS ohm / 1e3: 1 / kohm in µS
PRESETS = {
    "1t1r-hong2025": Statement((100.0, 400.0), (100.0, 250.0, 400.0), uniform_window),
    "cmo-hfox": Statement(
        (9.0, 88.2),
        (9.0, 50.0, 88.0),
        cmo_written,
        cmo_read,
        times=(1.0, 3600.0, 10 * YEAR),
        read_time=1e-6,
    ),
    "hrs-hong2025": Statement((30.0, 37.0), (30.0, 37.0)),
    "ideal": Statement((1.0, 40.0), (1.0, 17.3, 40.0)),
    "isaac": Statement((KILOHM / 20, KILOHM / 1.333), (50.0, 300.0, 750.0)),
    "neurram": Statement((KILOHM / 1000, KILOHM / 250), (1.0, 2.5, 4.0)),
    "pcm": Statement(
        (0.25, 25.0),
        (2.5, 12.5, 25.0),
        pcm_written,
        pcm_read,
        times=(20.0, 3600.0, YEAR),
        read_time=250e-9,
    ),
    "pcm-afm": Statement((0.0, 180.0), (0.0, 0.5, 20.0, 52.0, 53.0, 180.0), foundation_written),
    "prime": Statement((KILOHM / 20, KILOHM / 1), (50.0, 400.0, 1000.0)),
    "resistor-switch": Statement((0.0, 10.0), (0.0, 10.0), matched, telegraph_read),
    "rram-binary": Statement((10.0 / 17, 10.0), (10.0 / 17, 10.0), exact, binary_read),
    "rram-levy-b": Statement((1.0, 40.0), (1.0, 20.0)),
    "rram-levy-c": Statement((1.0, 40.0), (5.0, 20.0, 40.0), relaxed, times=(1.0, 1e3, 1e5)),
    "rram-pulses": Statement((1.0, 100.0), (1.0, 20.0, 100.0), pulsed),
    "rram-telegraph": Statement((1.0, 40.0), (1.0, 10.0, 40.0), wan_written, telegraph_read),
    "rram-wan2022": Statement(
        (1.0, 40.0), (1.0, 10.0, 40.0), wan_written, times=(1.0, np.sqrt(DAY), DAY)
    ),
}
CASES = [
    pytest.param(name, target, time, id=f"{name}, {target:.3g} µS, {time} s")
    for name, stated in PRESETS.items()
    for target in stated.targets
    for time in stated.times
]


def assert_same(drawn_us, stated_us):
    """Two samples of one distribution; where it is a single value, that value."""
    if np.ptp(stated_us) == 0:
        np.testing.assert_allclose(drawn_us, stated_us, rtol=1e-12)
        return
    drawn_us, stated_us = np.round(drawn_us, 9), np.round(stated_us, 9)  # states of telegraph noise
    assert stats.ks_2samp(drawn_us, stated_us).pvalue > LEVEL
    sigma = stated_us.std()
    assert drawn_us.mean() == pytest.approx(stated_us.mean(), abs=5 * sigma * np.sqrt(2 / COUNT))
    assert drawn_us.std() == pytest.approx(sigma, rel=0.04)


def test_every_preset_has_a_statement():
    without = sorted(set(device_names()) - set(PRESETS))
    assert not without, f"data/devices/{without[0]}.toml: say in PRESETS here what its source says"
    assert sorted(PRESETS) == device_names()


def test_the_page_names_every_preset():
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()
    rows = page.partition("## What comes with xbarsim")[2].splitlines()
    named = [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in rows if row.startswith("| `")]
    assert sorted(sum(named, [])) == device_names()


@pytest.mark.parametrize(("name", "target", "time"), CASES)
def test_cells_and_reads_are_those_of_the_source(name, target, time):
    stated, rng = PRESETS[name], np.random.default_rng(11)
    model = load_device(name).without("stuck").at(time=time)
    cells = model.program(np.full((TILES, ROWS, COLUMNS), target * 1e-6), 2)
    assert_same(cells.conductance.ravel() * 1e6, stated.written(rng, target, time))
    seen = model.sample_reads(cells, 1, 1.0, 3, stated.read_time).ravel() * 1e6
    assert_same(seen, stated.read(rng, stated.written(rng, target, time), target, time))
    deviation = model.read_noise_sigma(cells, 3, stated.read_time)
    expected = stated.read(rng, cells.conductance.ravel() * 1e6, target, time)
    rms = np.sqrt(np.mean((expected * 1e-6 - cells.conductance.ravel()) ** 2))
    np.testing.assert_allclose(np.sqrt(np.mean(deviation**2)), rms, rtol=0.04, atol=1e-18)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_windows_are_those_of_the_source(name):
    model, stated = load_device(name), PRESETS[name]
    np.testing.assert_allclose(
        np.array([model.conductance_min, model.conductance_max]) * 1e6, stated.window, rtol=1e-12
    )


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"rram-levy-b", "rram-pulses"}))
def test_no_cell_is_stuck_where_no_source_says_so(name):
    model = load_device(name)
    assert model.file.stuck is None


def test_a_tenth_of_the_pulsed_cells_is_stuck_half_of_it_on():
    cells = load_device("rram-pulses").program(np.full((5, 100, 100), 30e-6), 4)
    for ends, count in ((1e-6, cells.counts.stuck_off), (100e-6, cells.counts.stuck_on)):
        assert stats.binomtest(count, 50_000, 0.05).pvalue > LEVEL
        assert np.count_nonzero(np.isclose(cells.conductance, ends)) == count


def test_whole_bit_lines_of_levy_b_are_stuck_on():
    """2.57 % of the cells, all in whole bit lines."""
    target = np.full((60, 20, 100), 10e-6)
    cells = load_device("rram-levy-b").program(target, 4)
    on = np.isclose(cells.conductance, 40e-6)
    lines = on.all(axis=1)
    assert (on == lines[:, None]).all() and cells.counts.stuck_on == on.sum()
    np.testing.assert_allclose(cells.conductance[~on], 10e-6, rtol=1e-12)
    assert stats.binomtest(int(lines.sum()), lines.size, 0.0257).pvalue > LEVEL


def test_levels_of_the_binary_presets_take_every_target():
    for name, low in (("resistor-switch", 0.0), ("rram-binary", 10 / 17)):
        model, middle = load_device(name).without("spread"), (low + 10.0) / 2
        target = np.array([[low, middle - 0.01, middle + 0.01, 10.0]]) * 1e-6
        cells = model.program(target, 1)
        np.testing.assert_allclose(cells.conductance * 1e6, [[low, low, 10.0, 10.0]], rtol=1e-12)
        assert cells.counts.rounded == 2


def test_the_pulse_of_prime_and_the_curve_of_hrs():
    cells = load_device("prime").program(np.full((1, 50), 400e-6), 1)
    assert cells.counts.pulses == 50
    np.testing.assert_allclose(cells.counts.write_energy, 50 * 2.0**2 * 400e-6 * 40e-9, rtol=1e-12)
    hrs = load_device("hrs-hong2025")
    curve = Crossbar(np.array([[35e-6]]), 0.0, 0.0, cell=hrs.cell())
    for voltage in (-0.8, 0.2, 0.8):
        current = curve.solve([voltage]).output_current.item()
        np.testing.assert_allclose(current, 35e-6 * 0.65 * np.sinh(voltage / 0.65), rtol=1e-9)


def test_cells_held_at_zero_are_as_many_as_the_source_makes_negative():
    for name in ("rram-wan2022", "rram-telegraph"):
        counts = load_device(name).program(np.full((TILES, ROWS, COLUMNS), 1e-6), 2).counts
        share = stats.norm.cdf(-1.0 / wan_sigma(1.0, 1.0))
        assert stats.binomtest(counts.bounded, COUNT, share).pvalue > LEVEL


@pytest.mark.parametrize("time", [1.0, 3600.0, 10 * YEAR])
def test_moments_of_cmo_hfox_are_those_of_its_equations(time):
    model, g = load_device("cmo-hfox").at(time=time), np.array([[9.0, 50.0, 88.2]])
    np.testing.assert_allclose(
        model.write_sigma(g * 1e-6) * 1e6, 0.00106879 * g + 0.00081107, rtol=1e-9
    )
    mean, sigma = model.relaxation_moments()
    np.testing.assert_allclose(mean * 1e6, -0.08900206 * np.log(time), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(sigma * 1e6, 0.41183342 + 0.04201137 * np.log(time), rtol=1e-6)
    noise = model.read_noise_sigma(g * 1e-6, read_time=1e-6) * 1e6
    band = np.sqrt(np.log(time / (2 * 1e-6)))
    np.testing.assert_allclose(noise, 0.0277316483 * np.log10(g) * band, rtol=1e-6)


@pytest.mark.parametrize("time", [1.0, 1e3, 1e5])
def test_moments_of_the_relaxation_of_levy_c(time):
    mean, sigma = load_device("rram-levy-c").at(time=time).relaxation_moments()
    decades = np.log10(time)
    np.testing.assert_allclose(mean * 1e6, -0.265 - (1.436 - 0.265) / 5 * decades, rtol=1e-6)
    np.testing.assert_allclose(sigma * 1e6, np.sqrt(4.283 + 1.777 * decades), rtol=1e-9)


@pytest.mark.parametrize("time", [1.0, np.sqrt(DAY), DAY])
def test_sigma_of_wan2022_is_that_of_its_fits(time):
    model, g = load_device("rram-wan2022").at(time=time), np.array([1.0, 12.0, 40.0])
    np.testing.assert_allclose(model.write_sigma(g * 1e-6) * 1e6, wan_sigma(g, time), rtol=1e-9)
