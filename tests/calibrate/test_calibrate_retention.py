"""Retention: Unix times, usual names of columns, intervals that hold, devices that age as the data
do."""

import numpy as np
import pytest
from interval_coverage import assert_intervals_hold, repetitions
from numpy.testing import assert_allclose
from scipy import stats

from xbarsim import calibrate
from xbarsim.base.errors import OutOfRangeError
from xbarsim.calibrate.result import FitResult
from xbarsim.calibrate.statistics import by_aic
from xbarsim.devices.presets import load_device

TIMES = np.array([0.01, 0.1, 1.0, 10.0, 1e3, 1e5])
STEPS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
    "laplace": lambda rng, shape: rng.laplace(0, np.sqrt(0.5), shape),
}
UNIX = 1.7e9


def generator(seed):
    return np.random.default_rng(2000 + seed)


def relaxing(rng, form, cells=600):
    """A walk in log t since the write, with the read at the write itself."""
    variance = 1.8e-12 * np.log10(TIMES) + 4.3e-12
    steps = STEPS[form](rng, (cells, len(TIMES))) * np.sqrt(np.diff(variance, prepend=0.0))
    mean = -0.3e-6 - 0.2e-6 * np.log10(TIMES)
    g = 20e-6 + np.column_stack((np.zeros(cells), mean + steps.cumsum(axis=1)))
    times = np.concatenate(([0.0], TIMES))
    return np.tile(times, cells), g.ravel(), np.repeat(np.arange(cells), len(times))


def drifting(rng, form, cells=60, times=TIMES):
    """Power laws of cells; exponents of standard deviation 0.01, reads that scatter by 1 %."""
    nu = 0.05 + 0.01 * STEPS[form](rng, (cells, 1))
    g = 20e-6 * times**-nu * (1 + 0.01 * STEPS[form](rng, (cells, len(times))))
    return np.tile(times, cells), g.ravel(), np.repeat(np.arange(cells), len(times))


def of_model(result, part):
    return next(fit for fit in (result, *result.alternatives) if part in fit.model)


# ---------------------------------------------------------------- intervals


@repetitions
@pytest.mark.parametrize("form", STEPS)
def test_relaxation_is_held(form, repetitions):
    truth = {
        "variance_slope": 1.8e-12,
        "variance_offset": 4.3e-12,
        "mean_slope": -0.2e-6,
        "mean_offset": -0.3e-6,
    }

    def fit(rng):
        return of_model(calibrate.fit_retention(*relaxing(rng, form)), "relaxation")

    assert_intervals_hold(fit, truth, repetitions, generator)


@repetitions
@pytest.mark.parametrize("form", STEPS)
def test_drift_is_held(form, repetitions):
    def fit(rng):
        return of_model(calibrate.fit_retention(*drifting(rng, form)), "drift")

    assert_intervals_hold(fit, {"drift_mean": 0.05, "drift_sigma": 0.01}, repetitions, generator)


@repetitions
@pytest.mark.parametrize("cells", [1, 20])
@pytest.mark.parametrize("form", ["normal", "uniform"])
def test_drift_from_unix_times_is_held(form, cells, repetitions):
    """The time of the write, 2 s before the first reading, is not in the file."""
    since = 2 + np.concatenate(([0.0], np.geomspace(0.5, 1e4, 40)))

    def fit(rng):
        nu = 0.05 if cells == 1 else 0.05 + 0.01 * STEPS[form](rng, (cells, 1))
        g = 20e-6 * since**-nu * (1 + 0.002 * STEPS[form](rng, (cells, len(since))))
        times = np.tile(UNIX - 2 + since, cells)
        return of_model(
            calibrate.fit_retention(times, g.ravel(), np.repeat(np.arange(cells), len(since))),
            "drift",
        )

    assert_intervals_hold(fit, {"drift_mean": 0.05, "write_delay": 2.0}, repetitions, generator)


# ---------------------------------------------------------------- times


def test_unix_times_of_one_cell(tmp_path):
    """G = 50 µS (t + 1 s)^-0.02, t since the first reading."""
    t = np.concatenate(([0.0], np.geomspace(1, 1e5, 60)))
    rows = [f"{UNIX + s:.3f},{50e-6 * (s + 1) ** -0.02:.6e}" for s in t]
    path = tmp_path / "unix.csv"
    path.write_text("\n".join(["time (s),G (S)", *rows]))
    fit = calibrate.calibrate_files("retention", [path])
    assert_allclose(fit.drift_mean.value, 0.02, rtol=1e-3)
    assert_allclose(fit.write_delay.value, 1.0, rtol=1e-2)
    assert any("Unix times: each cell taken as written 1 s before" in note for note in fit.notes)
    in_ms = tmp_path / "ms.csv"
    rows = [f"{1e3 * (UNIX + s):.0f},{50e-6 * (s + 1) ** -0.02:.6e}" for s in t]
    in_ms.write_text("\n".join(["time (s),G (S)", *rows]))
    with pytest.raises(OutOfRangeError, match="Unix time in ms: say so in the header"):
        calibrate.calibrate_files("retention", [in_ms])
    same = calibrate.calibrate_files("retention", [in_ms], {"time": "1:ms"})
    assert_allclose(same.drift_mean.value, 0.02, rtol=1e-2)


def test_unix_times_of_cells_written_one_after_the_other():
    rng = np.random.default_rng(0)
    since = 1 + np.concatenate(([0.0], np.geomspace(1, 1e5, 30)))
    cells = 12
    g = 50e-6 * since**-0.03 * (1 + 1e-4 * rng.standard_normal((cells, len(since))))
    started = UNIX + 7000.0 * np.arange(cells)[:, None]
    times = (started + since).ravel()
    fit = calibrate.fit_retention(times, g.ravel(), np.repeat(np.arange(cells), len(since)))
    assert_allclose(of_model(fit, "drift").drift_mean.value, 0.03, rtol=1e-2)


def test_unix_times_that_do_not_tell_the_write():
    rng = np.random.default_rng(1)
    t = np.tile(UNIX + np.concatenate(([0.0], np.geomspace(1, 1e4, 12))), 20)
    g = 20e-6 + 1e-7 * rng.standard_normal(len(t))
    fit = calibrate.fit_retention(t, g, np.repeat(np.arange(20), 13))
    assert not fit.write_delay.identified and "give such times" in fit.write_delay.reason
    assert any(
        "the first step between readings; for another write give times" in n for n in fit.notes
    )
    with pytest.raises(OutOfRangeError, match="no reading after the first one of a cell"):
        calibrate.fit_retention([UNIX, UNIX], [1e-6, 2e-6], ["a", "b"])


def test_a_cell_that_is_read_without_end():
    """Readings so dense that each is within 25 % of the one before are not one instant."""
    t = np.geomspace(1, 1e5, 400)
    fit = calibrate.fit_retention(t, 50e-6 * t**-0.04)
    assert_allclose(of_model(fit, "drift").drift_mean.value, 0.04, rtol=1e-6)
    cells = np.repeat(np.arange(30), len(t))
    rng = np.random.default_rng(2)
    shift = np.repeat(rng.standard_normal(30), len(t)) * np.tile(np.log10(t), 30)
    start = np.full(len(cells), 20e-6)
    every = calibrate.fit_retention(np.tile(t, 30), start + 1e-7 * shift, cells, start)
    assert of_model(every, "relaxation").variance_slope.identified
    assert "30 cells at 5" in every.notes[0]


# ---------------------------------------------------------------- columns, choice


@pytest.mark.parametrize(
    "header",
    [
        "time_s,cell,G0_uS,G_uS",
        "t (s),Device ID,G_initial (uS),G (uS)",
        "Time (s),addr,Initial conductance (uS),Conductance (uS)",
        "elapsed (s),DUT,G programmed (uS),G measured (uS)",
        "time (s),cell_id,Ginit (uS),Gread (uS)",
    ],
)
def test_usual_names_of_initial_conductance_and_cell(header, tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for cell in range(12):
        for t in (1.0, 10.0, 100.0, 1000.0):
            rows.append(f"{t},{cell},{20 + cell},{20 + cell + rng.normal(0, 1 + 0.2 * t**0.1):.5f}")
    path = tmp_path / "cells.csv"
    path.write_text("\n".join([header, *rows]))
    fit = calibrate.calibrate_files("retention", [path])
    assert (
        "12 cells at 4 times" in fit.notes[0] and "against the initial conductance" in fit.notes[0]
    )
    names = header.split(",")
    for name, column in (("time", 0), ("cell", 1), ("initial", 2), ("conductance", 3)):
        assert f"{name} from {names[column]!r}" in fit.inputs[0]


def test_of_a_tie_the_simpler_model():
    def fit(name, aic):
        return FitResult("retention", name, (), 9, {}, aic)

    fits = [(fit("four", -100.0), 4), (fit("two", -100.0), 2), (fit("three", -100.5), 3)]
    assert [f.model for f in by_aic(fits)] == ["three", "two", "four"]
    rounded = [(fit("four", -100.0 - 1e-11), 4), (fit("two", -100.0), 2)]
    assert [f.model for f in by_aic(rounded)] == ["two", "four"]
    assert rounded[1][0].better() is None
    exact = FitResult("iv", "two", (), 9, {}, -100.0, alternatives=(fit("four", -100.0 - 1e-11),))
    assert exact.better() is None


# ---------------------------------------------------------------- device files


def aged(path, target, time, cells):
    """Conductances of cells drawn from a device file, written by none of the fit's code."""
    model = load_device(path).at(time=time)
    return model.program(np.full((cells, 1), target), 5).conductance.ravel()


@pytest.mark.parametrize("form", STEPS)
def test_a_device_from_the_file_relaxes_as_the_data(form, tmp_path):
    """Mean and variance at every time; where steps are normal, the whole distribution."""
    t, g, cell = relaxing(np.random.default_rng(4), form, cells=4000)
    fit = of_model(calibrate.fit_retention(t, g, cell), "relaxation")
    path = tmp_path / "device.toml"
    path.write_text(calibrate.device_toml(fit, "ideal", "a test"), encoding="utf-8")
    for time in TIMES[1:]:
        measured = g[t == time]
        drawn = aged(path, 20e-6, time, 4000)
        assert abs(drawn.mean() - measured.mean()) < 4 * measured.std() / np.sqrt(2000)
        assert_allclose(drawn.std(), measured.std(), rtol=0.1)
        if form == "normal":
            assert stats.ks_2samp(measured, drawn).pvalue > 1e-3


@pytest.mark.parametrize("form", ["normal", "uniform"])
def test_a_device_from_the_file_drifts_as_the_data(form, tmp_path):
    t, g, cell = drifting(
        np.random.default_rng(5), form, cells=2000, times=np.geomspace(1, 1e6, 13)
    )
    fit = of_model(calibrate.fit_retention(t, g, cell), "drift")
    path = tmp_path / "device.toml"
    path.write_text(calibrate.device_toml(fit, "ideal", "a test"), encoding="utf-8")
    for time in (1e2, 1e4, 1e6):
        measured = g[np.isclose(t, time)]
        drawn = aged(path, 20e-6, time, 2000)
        assert abs(drawn.mean() - measured.mean()) < 4 * measured.std() / np.sqrt(1000)
        reads = 0.01 * measured.mean()  # scatter of a read, which is not of the drift
        assert_allclose(np.hypot(drawn.std(), reads), measured.std(), rtol=0.1)
