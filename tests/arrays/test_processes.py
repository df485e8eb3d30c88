"""Noise that cells remember from token to token, against closed forms."""

import numpy as np
import pytest
from array_cases import IDEAL, build, names, study

from xbarsim.arrays.in_situ.processes import LineProcesses, Processes, TokenTimes
from xbarsim.devices.presets import load_device
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.read_noise import flicker_covariance
from xbarsim.devices.remembered import RememberedNoise, flicker_times
from xbarsim.devices.streams import Streams

INTERVAL = 1e-3
NOISY = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [0.0, 50.0], source = "t" }

[read_noise]
relative_sigma = 0.02
source = "t"
"""
FLICKER = """
[read_noise.flicker]
amplitude = 0.01
frequency_low_hz = 1e-2
source = "t"
"""
TELEGRAPH = """
[read_noise.telegraph]
relative_amplitude = 0.1
dwell_high_s = 0.03
dwell_low_s = 0.01
cell_fraction = 0.5
source = "t"
"""


def lines(times, cells, telegraph=None, high=0.5):
    """Bit lines of one cell each, whose noise has the variance 1 per process, at 1 V."""
    noise = RememberedNoise(
        independent=np.zeros(1),
        flicker=np.ones(1),
        flicker_times=tuple(times),
        telegraph=np.ones(1),
        telegraph_time=telegraph,
        telegraph_high=high,
    )
    return LineProcesses(
        processes=Processes.of(noise, INTERVAL),
        times=TokenTimes(1000),
        amplitude=np.ones((1, 2, cells, 1), np.float32),
        keys=np.array([12345], np.uint64),
    )


def sampled(processes, tokens, cells):
    """(tokens, cells) of the noise."""
    current = np.zeros((len(tokens), cells), np.float32)
    rows = np.column_stack([np.zeros_like(tokens), tokens])
    processes.add_to(current, np.ones((len(tokens), 1), np.float32), rows, slice(0, cells))
    return current


@pytest.mark.parametrize("tokens", [0.4, 1.0, 3.0, 20.0, 100.0])
def test_a_process_forgets_exponentially(tokens):
    cells = 3000
    found = sampled(lines([tokens * INTERVAL], cells), np.arange(200, 260), cells)
    assert set(np.unique(found)) == {-1.0, 1.0}
    for lag in (0, 1, 2, 5, 20, 40):
        correlation = (found[: 60 - lag] * found[lag:]).mean()
        together = max(min(tokens, 60), 1)  # reads that count as one
        error = 5 * np.sqrt(together / (cells * (60 - lag)))
        assert correlation == pytest.approx(np.exp(-lag / tokens), abs=error + 2e-3)


def test_telegraph_noise_has_two_levels_and_the_share_of_its_dwell_times():
    """State high for 0.75 of the time: mean 0, variance 1, p (up) = rate / 4 of what redraws."""
    cells = 4000
    process = lines([], cells, telegraph=10 * INTERVAL, high=0.75)
    found = sampled(process, np.arange(80), cells)
    np.testing.assert_allclose(np.unique(found), [-np.sqrt(3), np.sqrt(1 / 3)], rtol=1e-6)
    assert (found > 0).mean() == pytest.approx(0.75, abs=0.01)
    assert (found**2).mean() == pytest.approx(1, abs=0.02)
    high = found[:-1] > 0
    to_low = (found[1:] < 0)[high].mean()
    to_high = (found[1:] > 0)[~high].mean()
    redraw = 1 - np.exp(-0.1)
    assert to_low == pytest.approx(0.25 * redraw, rel=0.05)
    assert to_high == pytest.approx(0.75 * redraw, rel=0.05)


def test_a_cell_is_the_same_in_any_batch_and_order():
    cells = 50
    process = lines([0.5e-3, 4e-3, 0.1, 3.0], cells, telegraph=0.02, high=0.3)
    tokens = np.arange(300)
    whole = sampled(process, tokens, cells)
    halves = [sampled(process, part, cells) for part in np.array_split(tokens, 7)]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    backwards = sampled(process, tokens[::-1].copy(), cells)
    np.testing.assert_array_equal(backwards[::-1], whole)
    some = np.random.default_rng(0).permutation(tokens)[:40]
    np.testing.assert_array_equal(sampled(process, some, cells), whole[some])
    one = np.zeros((300, 20), np.float32)
    rows = np.column_stack([np.zeros_like(tokens), tokens])
    process.add_to(one, np.ones((300, 1), np.float32), rows, slice(30, 50))
    np.testing.assert_array_equal(one, whole[:, 30:])


def test_the_sum_of_processes_is_noise_of_one_over_f():
    """Covariance within 1 % of the variance of that of 1/f between 10 mHz and 5 MHz, and the spectrum by periodogram."""
    low, high = 1e-2, 5e6
    times = flicker_times(low, high)
    lags = np.geomspace(1e-4, 10, 50)
    covariance = np.exp(-lags[:, None] / times).mean(axis=1)
    exact = flicker_covariance(lags, low, high) / np.log(high / low)
    np.testing.assert_allclose(covariance, exact, atol=0.025)  # at the lower edge of the band
    np.testing.assert_allclose(covariance[lags < 3], exact[lags < 3], atol=0.01)
    slow = times[times > INTERVAL / 3]
    cells = 300
    reads = 1024
    found = sampled(lines(slow, cells), np.arange(reads), cells)
    window = np.hanning(reads)[:, None]
    power = abs(np.fft.rfft(found * window, axis=0)) ** 2 * 2 * INTERVAL / (window**2).sum()
    frequency = np.fft.rfftfreq(reads, INTERVAL)
    of_one_mode = np.log(high / low) / len(times)  # variance of a process of noise of amplitude 1
    for f in (5, 10, 20, 40):
        near = (frequency > f / 1.3) & (frequency < f * 1.3)
        level = (power.mean(axis=1) * frequency)[near].mean() * of_one_mode
        assert level == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("parts", [FLICKER, TELEGRAPH, FLICKER + TELEGRAPH])
def test_variance_at_one_instant_is_that_of_independent_draws(tmp_path, parts):
    (tmp_path / "noisy.toml").write_text(NOISY + parts)
    device = load_device(str(tmp_path / "noisy.toml"))
    cells = Programmed.exactly(np.random.default_rng(0).uniform(1e-6, 40e-6, (2, 12, 9)))
    sigma = device.read_noise_sigma(cells, Streams(3), 1e-7)
    for interval in (1e-5, 1e-3, 0.1, 1e6):
        noise = device.remembered_noise(cells, Streams(3), 1e-7, interval)
        variance = noise.independent**2 + noise.flicker**2 * len(noise.flicker_times)
        if noise.telegraph_time is not None:
            variance += noise.telegraph**2
        np.testing.assert_allclose(variance, sigma**2, rtol=1e-12)
        assert noise.lasts == (interval < (10 if "flicker" in parts else 0.02))


@pytest.fixture
def noisy(tmp_path):
    (tmp_path / "noisy.toml").write_text(NOISY + FLICKER + TELEGRAPH)
    return str(tmp_path / "noisy.toml")


def built(noisy, converters=False, mapping=None, **read_noise):
    chosen = study(
        device={"name": noisy},
        adc={"bits": 16},
        effects=IDEAL | {"read_noise": True, "converters": converters},
        mapping={"word_lines": 8, "bit_lines": 8} | (mapping or {}),
        read_noise=read_noise,
    )
    return build(chosen, inputs=11, outputs=7)


@pytest.mark.parametrize("converters", [False, True])
def test_tokens_far_apart_are_independent_draws_to_the_bit(noisy, converters):
    _, x, array = built(noisy, converters)
    _, _, far = built(noisy, converters, correlation="process", token_interval_s=1e6)
    np.testing.assert_array_equal(
        far.multiply(x, names(len(x)), 1).output, array.multiply(x, names(len(x)), 1).output
    )


@pytest.mark.parametrize("converters", [False, True])
@pytest.mark.parametrize("encoding", ["amplitude", "slices"])
def test_products_have_the_variance_of_independent_draws_and_the_memory_of_their_cells(
    noisy, converters, encoding
):
    """Reads a million tokens apart have all of the variance; those of one sequence share most of what lasts."""
    mapping = {"encoding": encoding, "weight_bits": 5}
    _, x, array = built(noisy, converters, mapping)
    read_noise = {"correlation": "process", "sequence_tokens": 10**6}
    _, _, process = built(noisy, converters, mapping, **read_noise)
    reads = 600
    same = np.repeat(x[:1], 2 * reads, axis=0)
    rows = np.column_stack([np.repeat(np.arange(reads), 2), np.tile([0, 1], reads)])
    output = process.multiply(same, rows, 1).output.reshape(reads, 2, -1)
    independent = array.multiply(same, rows, 1).output.reshape(reads, 2, -1)
    np.testing.assert_allclose(
        output.std(axis=(0, 1)).mean(), independent.std(axis=(0, 1)).mean(), rtol=0.03
    )
    np.testing.assert_allclose(output.mean(axis=(0, 1)), independent.mean(axis=(0, 1)), atol=0.1)
    shared = [np.corrcoef(output[:, 0, j], output[:, 1, j])[0, 1] for j in range(7)]
    alone = [np.corrcoef(independent[:, 0, j], independent[:, 1, j])[0, 1] for j in range(7)]
    assert np.mean(shared) > 0.4 and abs(np.mean(alone)) < 0.06
    parts = [process.multiply(same[k::3], rows[k::3], 1).output for k in range(3)]
    whole = output.reshape(2 * reads, -1)
    for k, part in enumerate(parts):
        if converters:
            np.testing.assert_array_equal(part, whole[k::3])
        else:
            np.testing.assert_allclose(part, whole[k::3], atol=1e-4)
