"""Repeated writes: variance components against their definition, intervals, devices drawn from the
file."""

import tomllib

import numpy as np
import pytest
from coverage_study import assert_agree, assert_covers, drawn
from numpy.testing import assert_allclose

from xbarsim import calibrate
from xbarsim.base.errors import OutOfRangeError
from xbarsim.devices.presets import load_device


def writes(rng, cells=40, cycles=15, of_cell=0.08, of_cycle=0.05, form="normal"):
    """(conductance, cell) with relative factors of a form."""
    draw = {
        "normal": rng.standard_normal,
        "uniform": lambda n: rng.uniform(-np.sqrt(3), np.sqrt(3), n),
        "logistic": lambda n: rng.logistic(size=n) * np.sqrt(3) / np.pi,
    }[form]
    cell = np.repeat(np.arange(cells), cycles)
    return 20e-6 * (1 + of_cell * draw(cells))[cell] * (1 + of_cycle * draw(cells * cycles)), cell


def spreading(form):
    def make(rng):
        return calibrate.fit_spread(*writes(rng, form=form)), {
            "cycle_to_cycle": 0.05,
            "device_to_device": 0.08,
        }

    return make


@pytest.mark.parametrize("form", ["normal", "uniform", "logistic"])
def test_intervals_of_spread_hold_the_truth(form):
    assert_covers(spreading(form))


def test_variance_components_against_their_definition():
    """Balanced: mean squares between and within, the textbook's one-way table."""
    g, cell = writes(np.random.default_rng(1))
    fit = calibrate.fit_spread(g, cell)
    table = (g / g.mean()).reshape(40, 15)
    within = table.var(axis=1, ddof=1).mean()
    between = table.mean(axis=1).var(ddof=1) - within / 15
    assert_allclose(fit.device_to_device.value, np.sqrt(between), rtol=1e-9)
    assert_allclose(fit.cycle_to_cycle.value, np.sqrt(within / (1 + between)), rtol=1e-9)


def test_a_device_from_a_spread_is_like_the_data(tmp_path):
    g, cell = writes(np.random.default_rng(3), cells=300, cycles=4)
    fit = calibrate.fit_spread(g, cell)
    assert_agree(g, drawn(fit, np.full(1200, 20e-6), tmp_path / "x.toml"))
    model = load_device(tmp_path / "x.toml")
    repeats = np.array(
        [
            model.at(write=k).program(np.full((30, 10), 20e-6), 7).conductance.ravel()
            for k in range(4)
        ]
    )
    again = calibrate.fit_spread(repeats.T.ravel(), np.repeat(np.arange(300), 4))
    assert_allclose(
        [again.cycle_to_cycle.value, again.device_to_device.value],
        [fit.cycle_to_cycle.value, fit.device_to_device.value],
        rtol=0.12,
    )


def test_spread_of_states_trends_and_single_writes(tmp_path):
    rng = np.random.default_rng(4)
    low, cell = writes(rng)
    path = tmp_path / "endurance.csv"
    lines = [
        f"{state},{c},{k % 15},{factor * g * 1e6}"
        for state, factor in (("LRS", 4.0), ("HRS", 0.1))
        for k, (g, c) in enumerate(zip(low, cell, strict=True))
    ]
    path.write_text("state,cell,cycle,conductance (uS)\n" + "\n".join(lines))
    fit = calibrate.calibrate_files("spread", [path])
    assert_allclose([fit.cycle_to_cycle.value, fit.device_to_device.value], [0.05, 0.08], rtol=0.25)
    assert sum(note.startswith("state ") for note in fit.notes) == 2 and not fit.warnings
    worn = calibrate.fit_spread(
        low * (1 + 0.02 * np.tile(np.arange(15), 40)), cell, None, np.tile(np.arange(15), 40)
    )
    assert any("rise with the number of the write" in warning for warning in worn.warnings)
    single = calibrate.fit_spread(low[::15])
    assert single.cycle_to_cycle.identified and not single.device_to_device.identified
    once = calibrate.fit_spread(low[::15], cell[::15])
    assert not once.cycle_to_cycle.identified and not once.device
    with pytest.raises(OutOfRangeError, match="above 0"):
        calibrate.fit_spread(-low, cell)


def test_no_spread_between_devices_is_nought():
    g, cell = writes(np.random.default_rng(6), of_cell=0.0)
    fit = calibrate.fit_spread(g, cell)
    assert fit.device_to_device.low == 0 and fit.device_to_device.high < 0.02
    assert (
        tomllib.loads(calibrate.device_toml(fit, "ideal", "x"))["spread"][
            "cycle_to_cycle_relative_sigma"
        ]
        > 0.04
    )
