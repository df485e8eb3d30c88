"""Read noise of uneven reads, of noise that is not normal, and of devices drawn from the written
file."""

import numpy as np
import pytest
from interval_coverage import assert_intervals_hold, repetitions
from numpy.testing import assert_allclose
from scipy import signal

from xbarsim import calibrate
from xbarsim.calibrate import fit_read_noise
from xbarsim.calibrate.sampling import even_traces
from xbarsim.devices.presets import load_device

INTERVAL, MEAN, SIGMA = 1e-3, 50e-6, 0.01
WHITE = {
    "normal": lambda rng, n: SIGMA * rng.standard_normal(n),
    "uniform": lambda rng, n: SIGMA * rng.uniform(-np.sqrt(3), np.sqrt(3), n),
    "laplace": lambda rng, n: SIGMA * rng.laplace(0, np.sqrt(0.5), n),
}


def generator(seed):
    return np.random.default_rng(3000 + seed)


def relaxations(rng, n, amplitude=0.004):
    """1/f noise of density amplitude² / f below 500 Hz: first-order processes, six a decade.

    The sum of Lorentzians with equal variances on a logarithmic grid of rates; none of the fit's
    equations.
    """
    per_decade = 6
    rates = 2 * np.pi * np.logspace(-2, 2.5, int(4.5 * per_decade) + 1)
    variance = amplitude**2 * np.log(10) / per_decade
    total = np.zeros(n)
    for rate in rates:
        kept = np.exp(-rate * INTERVAL)
        steps = np.sqrt(variance * (1 - kept**2)) * rng.standard_normal(n)
        start = np.sqrt(variance) * rng.standard_normal()
        total += signal.lfilter([1.0], [1.0, -kept], steps, zi=[kept * start])[0]
    return total


def spectral(rng, n, amplitude=0.004):
    """1/f noise of density amplitude² / f: the middle of a record 8 times as long."""
    f = np.fft.rfftfreq(8 * n, INTERVAL)
    density = np.zeros(len(f))
    density[1:] = amplitude**2 / f[1:]
    phases = rng.standard_normal(len(f)) + 1j * rng.standard_normal(len(f))
    noise = np.fft.irfft(np.sqrt(density * 2 * n / INTERVAL) * phases, 8 * n)
    return noise[3 * n : 4 * n]


def two_states(rng, n, high=40.0, low=20.0):
    """Share 1 in the high state at n samples, from dwell times drawn one after the other."""
    state = rng.random() < high / (high + low)
    time, result = 0.0, np.zeros(n)
    while time < n:
        end = time + rng.exponential(high if state else low)
        result[int(np.ceil(time)) : int(np.ceil(end))] = state
        time, state = end, not state
    return result


def times(n):
    return INTERVAL * np.arange(n)


# ---------------------------------------------------------------- intervals


@repetitions
@pytest.mark.parametrize("form", WHITE)
def test_white_noise_is_held(form, repetitions):
    def fit(rng):
        return fit_read_noise(times(400), MEAN * (1 + WHITE[form](rng, 400)))

    truth = {"white_sigma": SIGMA, "read_sigma": SIGMA}
    assert_intervals_hold(fit, truth, repetitions, generator)


@repetitions
@pytest.mark.parametrize("form", WHITE)
def test_independent_reads_are_held(form, repetitions):
    def fit(rng):
        return fit_read_noise(None, [MEAN * (1 + WHITE[form](rng, 60)) for _ in range(4)])

    assert_intervals_hold(fit, {"white_sigma": SIGMA}, repetitions, generator)


@repetitions
@pytest.mark.parametrize(
    "flicker, form", [(spectral, "normal"), (spectral, "uniform"), (relaxations, "normal")]
)
def test_flicker_noise_is_held(flicker, form, repetitions):
    """The exponent as well, for which a record of four traces is long enough."""
    band = 2.0, 400.0
    variance = 0.004**2 * np.log(band[1] / band[0])
    share = (band[1] - band[0]) * 2 * INTERVAL

    def fit(rng):
        traces = [MEAN * (1 + WHITE[form](rng, 1500) + flicker(rng, 1500)) for _ in range(4)]
        return fit_read_noise(times(1500), traces, band=band)

    truth = {"flicker_sigma": np.sqrt(variance)}
    if flicker is spectral:  # relaxations bend near the highest frequency
        truth["flicker_exponent"] = 1.0
        truth["corner_frequency"] = 0.004**2 / (2 * INTERVAL * SIGMA**2)
        truth["read_sigma"] = np.sqrt(variance + share * SIGMA**2)
    assert_intervals_hold(fit, truth, repetitions, generator)


@repetitions
@pytest.mark.parametrize("form", ["normal", "uniform"])
def test_telegraph_noise_is_held(form, repetitions):
    def fit(rng):
        relative = WHITE[form](rng, 1200) - 0.06 * (1 - two_states(rng, 1200))
        return fit_read_noise(times(1200), MEAN * (1 + relative))

    truth = {"telegraph_amplitude": 0.06, "dwell_high": 0.040, "dwell_low": 0.020}
    assert_intervals_hold(fit, truth, repetitions, generator)


# ---------------------------------------------------------------- uneven reads


def test_a_few_uneven_steps_are_used():
    """23 of 9,999 steps are two or three intervals long: reads that are missing."""
    rng = np.random.default_rng(0)
    n = 10_000
    intervals = np.ones(n - 1)
    intervals[rng.choice(n - 1, 23, replace=False)] = rng.choice([2, 3], 23)
    at = np.concatenate(([0], np.cumsum(intervals))).astype(int)
    whole = WHITE["normal"](rng, at[-1] + 1) + spectral(rng, at[-1] + 1)
    every = fit_read_noise(times(len(whole)), MEAN * (1 + whole))
    fit = fit_read_noise(INTERVAL * at, MEAN * (1 + whole[at]))
    missing = at[-1] + 1 - n
    note = f"23 of 9,999 steps are not 1 ms: {missing} missing reads put between their neighbours"
    assert any(note in text for text in fit.notes)
    for name in ("white_sigma", "flicker_sigma", "flicker_exponent", "corner_frequency"):
        width = getattr(every, name).high - getattr(every, name).low
        assert abs(getattr(fit, name).value - getattr(every, name).value) < 0.1 * width


def test_long_gaps_cut_a_trace():
    rng = np.random.default_rng(1)
    pause = np.concatenate((times(500), 70.0 + times(480), 200.0 + times(20)))
    even = even_traces(pause, [WHITE["normal"](rng, 1000)])
    assert [len(piece) for piece in even.traces] == [500, 480]
    assert "2 cuts at longer gaps, 20 reads in pieces of fewer than 32 left out" in even.notes[0]
    fit = fit_read_noise(pause, MEAN * (1 + WHITE["normal"](rng, 1000)))
    assert_allclose(fit.white_sigma.value, SIGMA, rtol=0.1)


def test_even_reads_stay_as_they_are():
    trace = np.random.default_rng(2).standard_normal(100)
    jittered = times(100) * (1 + 1e-6) + 4e-5 * np.random.default_rng(3).uniform(-1, 1, 100)
    even = even_traces(jittered, [trace])
    assert not even.notes and np.array_equal(even.traces[0], trace)
    filled = even_traces(np.delete(times(100), [50, 51]), [np.delete(trace, [50, 51])]).traces[0]
    expected = trace.copy()
    expected[50:52] = trace[49] + (trace[52] - trace[49]) * np.array([1, 2]) / 3
    assert_allclose(filled, expected, rtol=1e-12)


# ---------------------------------------------------------------- device files


def drawn(fit, tmp_path, cells, reads):
    """(reads, cells) relative to their mean, of a device from the written file."""
    path = tmp_path / "device.toml"
    path.write_text(calibrate.device_toml(fit, "ideal", "a test"), encoding="utf-8")
    model = load_device(path)
    conductance = np.full((cells, 1), 20e-6)
    return model.sample_reads(conductance, reads, INTERVAL, 7)[:, :, 0] / 20e-6


@pytest.mark.parametrize("form", WHITE)
def test_a_device_from_the_file_reads_as_the_data(form, tmp_path):
    rng = np.random.default_rng(4)
    fit = fit_read_noise(None, MEAN * (1 + WHITE[form](rng, 4000)))
    assert_allclose(drawn(fit, tmp_path, 40, 100).std(), SIGMA, rtol=0.05)


def test_a_device_from_the_file_switches_as_the_data(tmp_path):
    rng = np.random.default_rng(5)
    share = two_states(rng, 20_000)
    fit = fit_read_noise(
        times(20_000), MEAN * (1 + 0.003 * rng.standard_normal(20_000) - 0.08 * (1 - share))
    )
    reads = drawn(fit, tmp_path, 30, 1000)
    low = reads < reads.max() * 0.96
    assert_allclose(low.mean(), 1 - share.mean(), rtol=0.25)
    assert_allclose(abs(np.diff(low, axis=0)).mean(), abs(np.diff(share)).mean(), rtol=0.15)
    assert_allclose(reads[low].mean() / reads[~low].mean(), 0.92, rtol=0.01)


def test_a_device_from_the_file_has_the_power_of_the_data(tmp_path):
    """White and 1/f noise: power in three bands of records as long as the measured ones."""
    rng = np.random.default_rng(6)
    traces = [WHITE["normal"](rng, 1000) + spectral(rng, 1000, 0.01) for _ in range(60)]
    fit = fit_read_noise(times(1000), [MEAN * (1 + trace) for trace in traces])
    assert fit.flicker_sigma.identified
    reads = drawn(fit, tmp_path, 100, 1000)
    frequency = np.fft.rfftfreq(1000, INTERVAL)
    measured = np.mean([abs(np.fft.rfft(trace)) ** 2 for trace in traces], axis=0)
    simulated = np.mean(abs(np.fft.rfft(reads, axis=0)) ** 2, axis=1)
    for low, high in ((3, 15), (15, 80), (80, 400)):
        band = (frequency >= low) & (frequency < high)
        assert_allclose(simulated[band].sum(), measured[band].sum(), rtol=0.25)


@pytest.mark.parametrize("form", WHITE)
def test_noise_that_is_not_normal_is_no_telegraph_noise(form):
    """Two normal distributions describe a uniform one better than one does; states have memory."""
    found = [
        fit_read_noise(times(1000), MEAN * (1 + WHITE[form](generator(seed), 1000)))
        for seed in range(20)
    ]
    assert not any(fit.telegraph_amplitude.identified for fit in found)
    assert all(fit.model == "white" for fit in found)
