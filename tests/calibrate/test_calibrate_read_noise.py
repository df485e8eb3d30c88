"""Read noise: recovered from synthetic traces within intervals that cover, or refused with a
reason.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.calibrate import calibrate_files, device_toml, fit_read_noise
from xbarsim.calibrate.hidden_markov import chain, dwell
from xbarsim.kernels.devices import telegraph
from xbarsim.report.plots import fits

MEASURED = Path(__file__).parents[3] / "shared" / "data" / "devices" / "readc_1t1r" / "reads_3d.csv"
WHITE, FLICKER, INTERVAL, MEAN = 0.01, 0.004, 1e-3, 50e-6  # relative, amplitude of (A G)²/f, s, S


def flicker(rng, n, alpha=1.0, amplitude=FLICKER, interval=INTERVAL):
    """Relative 1/f^alpha noise of density amplitude² f^-alpha: the middle of a record 8 times as
    long.
    """
    size = 8 * n
    f = np.fft.rfftfreq(size, interval)
    density = np.zeros(len(f))
    density[1:] = amplitude**2 * f[1:] ** -alpha
    spectrum = np.sqrt(density * size / (4 * interval)) * (
        rng.standard_normal(len(f)) + 1j * rng.standard_normal(len(f))
    )
    return np.fft.irfft(spectrum, size)[3 * n : 4 * n]


def states(rng, n, dwell_high, dwell_low):
    """1 in the high and 0 in the low state of n samples, from continuous-time dwells (in samples)."""
    low_first = int(rng.random() < dwell_low / (dwell_high + dwell_low))
    pairs = int(4 * n / (dwell_high + dwell_low)) + 40
    dwell = rng.exponential(
        np.tile([dwell_high, dwell_low], pairs)[low_first : low_first + 2 * pairs - 2]
    )
    edges = np.cumsum(dwell)
    return (np.searchsorted(edges, np.arange(n)) + low_first) % 2 == 0


def white(rng, n):
    return WHITE * rng.standard_normal(n)


def trace(relative):
    return INTERVAL * np.arange(len(relative)), MEAN * (1 + relative)


def telegraph_trace(rng, n=1000, amplitude=0.05, dwell_high=40.0, dwell_low=20.0):
    return trace(white(rng, n) - amplitude * ~states(rng, n, dwell_high, dwell_low))


def covered(fit, **truths):
    return [
        (p := getattr(fit, name)).identified and p.low <= truth <= p.high
        for name, truth in truths.items()
    ]


def test_white_noise_alone():
    fit = fit_read_noise(*trace(white(np.random.default_rng(0), 4000)))
    assert fit.model == "white"
    assert covered(fit, white_sigma=WHITE, read_sigma=WHITE) == [True, True]
    assert fit.white_sigma.high / fit.white_sigma.low == pytest.approx(
        math.exp(2 * 1.645 / math.sqrt(2 * 4000)), rel=5e-3
    )
    assert (
        not fit.flicker_sigma.identified
        and "no power above the white floor" in fit.flicker_sigma.reason
    )
    assert not fit.dwell_high.identified and "AIC" in fit.dwell_high.reason
    assert fit.device == {"read_noise": {"relative_sigma": fit.white_sigma.value}}


def test_intervals_of_white_noise_cover():
    rng = np.random.default_rng(1)
    hits = [
        covered(fit_read_noise(*trace(white(rng, 300))), white_sigma=WHITE, read_sigma=WHITE)
        for _ in range(200)
    ]
    assert all(0.85 <= share <= 0.95 for share in np.mean(hits, axis=0)), np.mean(hits, axis=0)


def test_intervals_of_flicker_noise_cover():
    rng, n = np.random.default_rng(2), 2048
    corner = FLICKER**2 / (2 * INTERVAL * WHITE**2)
    band = 1.0, 500.0
    variance = FLICKER**2 * math.log(band[1] / band[0])
    hits = []
    for _ in range(200):
        fit = fit_read_noise(*trace(white(rng, n) + flicker(rng, n)), band=band)
        assert fit.model.startswith("white + 1/f"), fit.model
        hits.append(
            covered(
                fit, white_sigma=WHITE, corner_frequency=corner, flicker_sigma=math.sqrt(variance)
            )
        )
    assert all(0.85 <= share <= 0.95 for share in np.mean(hits, axis=0)), np.mean(hits, axis=0)


def test_flicker_exponent_and_several_traces():
    rng = np.random.default_rng(3)
    signals = [trace(white(rng, 4096) + flicker(rng, 4096, 1.3))[1] for _ in range(4)]
    fit = fit_read_noise(trace(np.zeros(4096))[0], signals)
    assert covered(fit, flicker_exponent=1.3, white_sigma=WHITE) == [True, True]
    table = fit.device["read_noise"]["flicker"]
    low, high = table["frequency_low_hz"], table["frequency_high_hz"]
    assert table["amplitude"] ** 2 * math.log(high / low) == pytest.approx(
        fit.flicker_sigma.value**2, rel=1e-6, abs=0
    )
    one = fit_read_noise(trace(np.zeros(4096))[0], signals[0])
    assert (one.white_sigma.high / one.white_sigma.low) > (
        fit.white_sigma.high / fit.white_sigma.low
    )


def test_intervals_of_telegraph_noise_cover():
    rng = np.random.default_rng(4)
    truths = {
        "telegraph_amplitude": 0.05,
        "dwell_high": 0.040,
        "dwell_low": 0.020,
        "white_sigma": WHITE,
    }
    hits = []
    for _ in range(200):
        fit = fit_read_noise(*telegraph_trace(rng))
        assert "telegraph" in fit.model
        hits.append(covered(fit, **truths))
    assert all(0.85 <= share <= 0.95 for share in np.mean(hits, axis=0)), np.mean(hits, axis=0)


def test_telegraph_noise_near_the_noise_floor_of_several_traces():
    """A step of 1.2 standard deviations: single samples do not tell the states apart, the chain
    does.
    """
    rng = np.random.default_rng(5)
    time, _ = trace(np.zeros(4000))
    signals = [scale * telegraph_trace(rng, 4000, 0.012)[1] for scale in (1.0, 3.0)]
    fit = fit_read_noise(time, signals)
    for name, truth in (
        ("telegraph_amplitude", 0.012),
        ("dwell_high", 0.040),
        ("dwell_low", 0.020),
    ):
        parameter = getattr(fit, name)  # twice the interval: 3.3 standard deviations
        assert parameter.low**2 / parameter.value < truth < parameter.high**2 / parameter.value
    assert fit.telegraph_amplitude.high < 0.0135


def test_flicker_noise_is_not_taken_for_telegraph_noise():
    rng = np.random.default_rng(6)
    for _ in range(20):
        fit = fit_read_noise(*trace(white(rng, 2000) + flicker(rng, 2000, amplitude=0.03)))
        assert not fit.telegraph_amplitude.identified


def test_telegraph_and_flicker_noise_together():
    rng, n = np.random.default_rng(7), 8000
    relative = white(rng, n) + flicker(rng, n, amplitude=0.01) - 0.1 * ~states(rng, n, 80, 40)
    fit = fit_read_noise(*trace(relative))
    assert "1/f" in fit.model and "telegraph" in fit.model
    # 1/f noise that is taken for white draws the levels together
    assert fit.telegraph_amplitude.value == pytest.approx(0.1, rel=0.1, abs=0)
    assert any("too narrow" in note for note in fit.notes)
    assert fit.dwell_high.value == pytest.approx(0.08, rel=0.3, abs=0)
    assert fit.dwell_low.value == pytest.approx(0.04, rel=0.3, abs=0)


def test_dwell_times_that_the_record_cannot_tell():
    rng = np.random.default_rng(8)
    few = fit_read_noise(*telegraph_trace(rng, 1500, dwell_high=700.0, dwell_low=500.0))
    assert few.telegraph_amplitude.identified and not few.dwell_high.identified
    assert (
        "transitions in the record" in few.dwell_high.reason
        and "telegraph" not in few.device["read_noise"]
    )
    fast = fit_read_noise(*telegraph_trace(rng, 4000, amplitude=0.1, dwell_high=0.4, dwell_low=0.4))
    assert fast.telegraph_amplitude.value == pytest.approx(0.1, rel=0.03, abs=0)
    assert "coarser than the dwell times" in fast.dwell_low.reason


def test_noise_that_covers_the_white_floor():
    rng, n = np.random.default_rng(9), 4096
    fit = fit_read_noise(*trace(flicker(rng, n)))
    assert not fit.corner_frequency.identified and not fit.white_sigma.identified
    assert "covers the white floor" in fit.white_sigma.reason


def test_independent_reads():
    rng = np.random.default_rng(10)
    hits = []
    for _ in range(200):
        fit = fit_read_noise(None, [MEAN * (1 + white(rng, 40)), 2 * MEAN * (1 + white(rng, 40))])
        hits.append(covered(fit, white_sigma=WHITE))
    assert 0.85 <= np.mean(hits) <= 0.95
    assert (
        "without a time axis" in fit.corner_frequency.reason
        and "without a time axis" in fit.dwell_high.reason
    )
    unlike = fit_read_noise(None, [1 + white(rng, 500), 1 + 3 * white(rng, 500)])
    assert any("traces differ" in note for note in unlike.notes)
    slow = fit_read_noise(None, 1 + flicker(rng, 500))
    assert any("correlated" in note for note in slow.notes)


def test_likelihood_of_the_hidden_chain_is_the_sum_over_all_paths():
    rng, n = np.random.default_rng(11), 9
    x, (m, d, s, p, q) = rng.normal(size=n), (-0.3, 0.9, 0.7, 0.2, 0.35)
    paths = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    start = np.where(paths[:, 0] == 1, q / (p + q), p / (p + q))
    step = np.array([[1 - q, q], [p, 1 - p]])[paths[:, :-1], paths[:, 1:]]
    log = np.log(start) + np.log(step).sum(1) - 0.5 * (((x - m - d * paths) / s) ** 2).sum(1)
    log -= n * math.log(s * math.sqrt(2 * math.pi))
    high = np.empty(n)
    assert telegraph.filtered(x, m, d, s, p, q, high) == pytest.approx(
        logsumexp(log), rel=1e-12, abs=0
    )
    weight = np.exp(log - logsumexp(log))
    falls, rises, from_high = telegraph.smooth(p, q, high)
    np.testing.assert_allclose(high, weight @ paths, rtol=1e-10)
    assert falls == pytest.approx(
        weight @ ((paths[:, :-1] == 1) & (paths[:, 1:] == 0)).sum(1), rel=1e-10, abs=0
    )
    assert rises == pytest.approx(
        weight @ ((paths[:, :-1] == 0) & (paths[:, 1:] == 1)).sum(1), rel=1e-10, abs=0
    )
    assert from_high == pytest.approx(weight @ paths[:, :-1].sum(1), rel=1e-10, abs=0)


def test_dwell_times_of_a_sampledchain():
    """The step probabilities are those of exp(Q dt)."""
    from scipy.linalg import expm

    fall, rise = chain(3.0, 7.0)
    np.testing.assert_allclose(
        expm(np.array([[-1 / 3, 1 / 3], [1 / 7, -1 / 7]])),
        [[1 - fall, fall], [rise, 1 - rise]],
        rtol=1e-12,
    )
    np.testing.assert_allclose(dwell(fall, rise), (3.0, 7.0), rtol=1e-12)


def test_from_files_to_a_device_and_a_picture(tmp_path):
    time, signal = telegraph_trace(np.random.default_rng(12), 3000)
    path = tmp_path / "trace.csv"
    np.savetxt(
        path,
        np.c_[time * 1e3, signal * 0.2 * 1e6],
        delimiter=",",
        header="t (ms),I (uA)",
        comments="",
    )
    fit = calibrate_files("read-noise", [path])
    same = fit_read_noise(time, signal)
    assert fit.dwell_high.value == pytest.approx(same.dwell_high.value, rel=1e-6, abs=0)
    assert "time from 't (ms)' in ms" in fit.inputs[0] and "current" in fit.inputs[0]
    assert "relative_amplitude" in device_toml(fit, "ideal", "a test")
    assert fits.draw(fit, tmp_path / "fit.png").stat().st_size > 20_000
    path.write_text("time (s),reading\n0,1\n1,2\n")
    with pytest.raises(ConfigError, match="no column for conductance"):
        calibrate_files("read-noise", [path])


def test_what_is_refused():
    time, signal = trace(white(np.random.default_rng(13), 100))
    uneven = np.cumsum(np.where(np.arange(100) % 10 == 5, 3e-3, 1e-3))
    with pytest.raises(OutOfRangeError, match="from sample 4 to 5 .*at most 5% .*here 10.1%"):
        fit_read_noise(uneven, signal)
    with pytest.raises(OutOfRangeError, match="from sample 50 to 51"):
        fit_read_noise(np.r_[time[:51], time[51:] - 0.01], signal)
    with pytest.raises(OutOfRangeError, match="sample 3 of a trace is nan"):
        fit_read_noise(time, np.r_[signal[:3], np.nan, signal[4:]])
    with pytest.raises(OutOfRangeError, match="turn the sign"):
        fit_read_noise(time, -signal)
    with pytest.raises(OutOfRangeError, match="no noise"):
        fit_read_noise(time, np.ones(100))
    with pytest.raises(OutOfRangeError, match="10 samples"):
        fit_read_noise(time[:10], signal[:10])
    with pytest.raises(ShapeError, match="time has shapes"):
        fit_read_noise(time[:-1], signal)
    with pytest.raises(OutOfRangeError, match="band is 2 to 1 Hz"):
        fit_read_noise(time, signal, band=(2, 1))


@pytest.mark.skipif(not MEASURED.is_file(), reason="measured reads are not here")
def test_measured_reads_are_white_noise_only():
    fit = calibrate_files(
        "read-noise", [MEASURED], {"trace": "Target_Value_uS"}, {"Target_Value_uS": "100"}
    )
    rows = np.loadtxt(MEASURED, delimiter=",", skiprows=1)
    reads = rows[rows[:, 1] == 100, 2]
    assert fit.white_sigma.value == pytest.approx(reads.std(ddof=1) / reads.mean(), rel=1e-9, abs=0)
    assert "without a time axis" in fit.flicker_sigma.reason
    every = calibrate_files("read-noise", [MEASURED], {"trace": "Target_Value_uS"})
    assert any("traces differ" in note for note in every.notes)
