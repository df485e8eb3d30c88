"""What a read of programmed cells sees: white, 1/f and telegraph noise.

Every function takes the `Conditions` of the device and the `Programmed` cells, because a law of the
device file means the target, the achieved or the read conductance of a cell, as its key `of` says.

Reference: S. R. Nandakumar et al., "Phase-change memory models for deep learning training and
inference", ICECS 2019 (1/f noise of PCM, read after drift).
"""

import numpy as np
from scipy.special import sici

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.devices.conditions import Conditions, Effect
from xbarsim.devices.laws import stated
from xbarsim.devices.programmed import Programmed, tiles_of
from xbarsim.devices.read_tables import Flicker, ReadNoise, Telegraph
from xbarsim.devices.streams import FLICKER, READS, TELEGRAPH, WHITE, Streams
from xbarsim.kernels.devices import variability

# 1/f noise is cut from a circular series that is so many times as long as the reads: at least, and
# at most where its covariance is farther than COVARIANCE (of the variance) from the exact one.
SHORTEST = 4
LONGEST = 256
COVARIANCE = 0.005


def noise_parts(device: Conditions, cells: Programmed, read_time: float) -> dict[str, Floats]:
    """{"white", "flicker", "telegraph": standard deviation in S of one read}.

    That of telegraph noise is of a cell that has it.
    A cell that does not conduct has no noise.  read_time : s
    """
    g = cells.conductance
    noise = device.file.read_noise
    parts = dict.fromkeys(("white", "flicker", "telegraph"), np.zeros(g.shape))
    if noise is None:
        return parts
    if Effect.READ_NOISE in device.effects:
        parts["white"] = noise.relative_sigma * g
    if Effect.FLICKER in device.effects and noise.flicker is not None:
        low, high = flicker_band(device, read_time)
        parts["flicker"] = _flicker_density(noise.flicker, cells) * np.sqrt(np.log(high / low))
    if Effect.TELEGRAPH in device.effects and noise.telegraph is not None:
        share = _share_of_variance(noise.telegraph, read_time)
        parts["telegraph"] = _telegraph_step(device, cells) * np.sqrt(share)
    return parts


def noise_sigma(
    device: Conditions, cells: Programmed, streams: Streams, read_time: float
) -> Floats:
    """Standard deviation in S of one read: the parts of the noise as independent variances."""
    parts = noise_parts(device, cells, read_time)
    telegraph = parts["telegraph"]
    if telegraph.any():
        telegraph = telegraph * telegraph_cells(device, cells, streams)
    elif not parts["flicker"].any():
        return parts["white"]
    sigma: Floats = np.hypot(np.hypot(parts["flicker"], telegraph), parts["white"])
    return sigma


# ---------------------------------------------------------------- 1/f noise


def flicker_band(device: Conditions, read_time: float) -> tuple[float, float]:
    """(lowest, highest) frequency in Hz of the 1/f noise in a read that lasts `read_time` (s)."""
    table = _flicker_of(device)
    high = table.frequency_high_hz or 1 / (2 * read_time)
    time = device.time  # by the clock
    if time is None:
        time = device.aged_time
    if table.frequency_low_hz is None and time is None:
        raise OutOfRangeError(
            f"device {device.name}: the 1/f noise starts at 1 / (time after programming), which is "
            "not known; give device.time_s, or frequency_low_hz in the device file"
        )
    low = table.frequency_low_hz or 1 / stated(time)
    if low >= high:
        raise OutOfRangeError(
            f"device {device.name}: the band of its 1/f noise is {low:g} to {high:g} Hz; allowed: "
            "an increasing one; choose a later device.time_s or a shorter dac.read_time_ns"
        )
    return low, high


def _noise_of(device: Conditions) -> ReadNoise:
    return stated(device.file.read_noise)


def _flicker_of(device: Conditions) -> Flicker:
    return stated(_noise_of(device).flicker)


def _telegraph_of(device: Conditions) -> Telegraph:
    return stated(_noise_of(device).telegraph)


def _flicker_density(table: Flicker, cells: Programmed) -> Floats:
    """Root of f times the spectral density, S: the amplitude of the device file in siemens."""
    if table.amplitude is not None:
        return table.amplitude.of_cells(cells) * cells.conductance
    amplitude_us = stated(table.amplitude_us).of_cells(cells)
    return np.where(cells.conductance > 0, amplitude_us, 0.0) * MICROSIEMENS


def flicker_covariance(lags: Floats, low: float, high: float) -> Floats:
    """Covariance (lags,) of noise with the one-sided spectrum 1 / f from `low` to `high` Hz.

    The integral of cos(2 pi f lag) / f over the band: Ci(2 pi high lag) - Ci(2 pi low lag), and
    ln(high / low) at lag 0.  lags : (lags,) s
    """
    later = np.where(lags > 0, lags, 1.0)
    _, at_high = sici(2 * np.pi * high * later)
    _, at_low = sici(2 * np.pi * low * later)
    covariance: Floats = np.where(lags > 0, at_high - at_low, np.log(high / low))
    return covariance


def flicker_spectrum(reads: int, interval: float, low: float, high: float) -> Floats:
    """(bins,) variances by which Fourier coefficients of white noise become those of 1/f noise.

    Circulant embedding (Davies and Harte, Biometrika 74, 1987): the eigenvalues of the covariance
    matrix of a circular series.  A sharp edge of the band makes a few negative; they are set to 0
    and all are scaled to the exact variance.  The longer the series, the fewer they are: it grows
    until no covariance of the reads is off by more than COVARIANCE.
    """
    exact = flicker_covariance(np.arange(reads, dtype=float) * interval, low, high)
    size = 1 << int(np.ceil(np.log2(SHORTEST * reads)))
    while True:
        place = np.arange(size)
        lags: Floats = np.minimum(place, size - place) * interval
        eigenvalues: Floats = np.maximum(np.fft.rfft(flicker_covariance(lags, low, high)).real, 0.0)
        covariance = np.fft.irfft(eigenvalues, size)[:reads]
        scale = exact[0] / covariance[0]
        error = abs(covariance * scale - exact).max()
        if error <= COVARIANCE * exact[0] or size >= LONGEST * reads:
            spectrum: Floats = eigenvalues * scale
            return spectrum
        size *= 2


def flicker_reads(spectrum: Floats, reads: int, generator: np.random.Generator) -> Floats:
    """(reads,) samples of Gaussian noise with the spectrum of `flicker_spectrum`."""
    size = 2 * (len(spectrum) - 1)
    white = generator.standard_normal(size)
    return np.fft.irfft(np.fft.rfft(white) * np.sqrt(spectrum), size)[:reads]


# ---------------------------------------------------------------- telegraph noise


def _share_of_variance(table: Telegraph, read_time: float) -> float:
    """Variance of a read over the square of the step: p (1 - p), averaged over the read."""
    p_high = table.dwell_high_s / (table.dwell_high_s + table.dwell_low_s)
    x = read_time * (1 / table.dwell_high_s + 1 / table.dwell_low_s)  # in correlation times
    averaged = 1 - x / 3  # the limit, where the equation would lose its digits
    if x > 1e-4:
        averaged = 2 * (x + float(np.expm1(-x))) / x**2
    return p_high * (1 - p_high) * averaged


def _telegraph_step(device: Conditions, cells: Programmed) -> Floats:
    """High minus low state, S, where the conductance of a cell is the mean of both over time."""
    table = _telegraph_of(device)
    amplitude = table.relative_amplitude.of_cells(cells)
    p_low = table.dwell_low_s / (table.dwell_high_s + table.dwell_low_s)
    step = cells.conductance * amplitude / (1 - amplitude * p_low)
    return step * device.telegraph_multiplier


def telegraph_cells(device: Conditions, cells: Programmed, streams: Streams) -> Booleans:
    """Which cells have telegraph noise, bool of the shape of the conductance."""
    g = cells.conductance
    fraction = _telegraph_of(device).cell_fraction
    if fraction == 1:
        return np.ones(g.shape, bool)
    generators = streams.generators(len(tiles_of(g)), TELEGRAPH)
    chosen = [generator.random(g.shape[-2:]) < fraction for generator in generators]
    return np.stack(chosen).reshape(g.shape)


# ---------------------------------------------------------------- reads one after the other


def sample(
    device: Conditions,
    cells: Programmed,
    *,
    reads: int,
    interval: float,
    streams: Streams,
    read_time: float,
) -> Floats:
    """(reads, ...) S of successive reads, see `DeviceModel.sample_reads`."""
    if not (reads >= 1 and read_time > 0 and interval >= read_time):
        raise OutOfRangeError(
            f"{reads} reads every {interval:g} s of {read_time:g} s each; allowed: one or more, an "
            "interval of at least the read time, which is above 0 s"
        )
    tiles = tiles_of(cells.conductance)
    count = len(tiles)
    out = np.repeat(tiles.reshape(count, -1, 1), reads, axis=2)  # (t, cells, reads)
    parts = noise_parts(device, cells, read_time)
    if parts["telegraph"].any():
        _add_telegraph(device, cells, interval, read_time, streams, out)
    if parts["flicker"].any():
        density = _flicker_density(_flicker_of(device), cells).reshape(count, -1)
        spectrum = flicker_spectrum(reads, interval, *flicker_band(device, read_time))
        _add_flicker(density, spectrum, streams, out)
    if parts["white"].any():
        white = parts["white"].reshape(count, -1)
        generators = streams.generators(count, WHITE)
        for tile, sigma, generator in zip(out, white, generators, strict=True):
            tile += sigma[:, None] * generator.standard_normal(tile.shape)
    return np.moveaxis(out, 2, 0).reshape(reads, *cells.conductance.shape)


def _add_flicker(density: Floats, spectrum: Floats, streams: Streams, out: Floats) -> None:
    """Add 1/f noise to `out` (tiles, cells, reads); density (tiles, cells) S."""
    generators = streams.generators(len(out), FLICKER)
    reads = out.shape[2]
    for tile, amplitudes, generator in zip(out, density, generators, strict=True):
        for row, amplitude in zip(tile, amplitudes, strict=True):
            row += amplitude * flicker_reads(spectrum, reads, generator)


def _add_telegraph(
    device: Conditions,
    cells: Programmed,
    interval: float,
    read_time: float,
    streams: Streams,
    out: Floats,
) -> None:
    """Add the two states of every cell that has them to `out` (tiles, cells, reads)."""
    table = _telegraph_of(device)
    count = len(out)
    step = _telegraph_step(device, cells).reshape(count, -1)
    has = telegraph_cells(device, cells, streams).reshape(count, -1)
    p_high = table.dwell_high_s / (table.dwell_high_s + table.dwell_low_s)
    keys = streams.keys(count, READS)
    share = np.empty(out.shape[2])
    for t, c in zip(*np.nonzero(has), strict=True):
        variability.telegraph_reads(
            dwell_high=table.dwell_high_s,
            dwell_low=table.dwell_low_s,
            interval=interval,
            read_time=read_time,
            key=keys[t],
            cell=np.uint64(2 * c),
            state=share,
        )
        out[t, c] += step[t, c] * (share - p_high)
