"""White and 1/f^alpha noise of traces by Whittle's likelihood.

A periodogram ordinate over the spectral density is exponentially distributed (P. Whittle, Ark. Mat.
2, 423 (1953)).  The likelihood is that of the samples, up to the error of this approximation.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from xbarsim.base.array_types import Floats, Integers

BINS_PER_DECADE = 60  # a density that falls as 1/f changes by 4 % within one
TERMS = (1, 2, 3)  # white; white + 1/f; white + 1/f^alpha
STEEPEST = 3.0  # exponents alpha
FLATTEST = 0.2
STEPS = 200  # of scoring at most
LARGEST_STEP = 2.0  # of a parameter
LARGEST_DAMPING = 1e8
CONVERGED = 1e-7  # gain of the log-likelihood


@dataclasses.dataclass(frozen=True)
class Periodogram:
    """Ordinates of all traces in units of the variance of a sample, averaged over narrow bins.

    frequency : (bins,) Hz, geometric mean of a bin;  count : ordinates in it
    """

    frequency: Floats
    power: Floats
    count: Integers


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """w + f (frequency / reference)^-alpha; `theta` = log w, log f, alpha, as many as the model
    has.

    reference : Hz;  covariance : of theta
    """

    theta: Floats
    covariance: Floats
    reference: float

    @property
    def terms(self) -> int:
        """How many parameters the spectrum has: see TERMS."""
        return len(self.theta)

    @property
    def alpha(self) -> float:
        """Exponent of the 1/f^alpha term."""
        return exponent(self.theta)

    def density(self, frequency: Floats) -> Floats:
        """Spectral density at frequencies in Hz."""
        return density_and_slopes(self.theta, np.log(frequency / self.reference))[0]

    def log_likelihood(self, p: Periodogram) -> float:
        """Of a Periodogram, but for a constant."""
        return _likelihood(self.theta, p, np.log(p.frequency / self.reference))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A spectrum and its AIC."""

    spectrum: Spectrum
    aic: float


@dataclasses.dataclass(frozen=True)
class SpectralFit:
    """Periodogram of traces, and the spectra that were fitted to it, in the order of TERMS."""

    periodogram: Periodogram
    candidates: tuple[Candidate, ...]


def periodogram(traces: Sequence[Floats], interval: float, first: int) -> Periodogram:
    """Ordinates from number `first` of each trace to below the Nyquist frequency.

    traces : (n,) samples each, `interval` seconds apart
    """
    frequencies = []
    powers = []
    for x in traces:
        ordinates = np.arange(first, (len(x) + 1) // 2)
        frequencies.append(ordinates / (len(x) * interval))
        powers.append(abs(np.fft.rfft(x - x.mean())[ordinates]) ** 2 / len(x))
    frequency = np.concatenate(frequencies)
    power = np.concatenate(powers)
    bins = np.round(BINS_PER_DECADE * np.log10(frequency * interval), 9) // 1
    _, index, count = np.unique(bins, return_inverse=True, return_counts=True)
    return Periodogram(
        frequency=np.exp(np.bincount(index, np.log(frequency)) / count),
        power=np.bincount(index, power) / count,
        count=count,
    )


def fit_spectra(traces: Sequence[Floats], interval: float, white: float) -> SpectralFit:
    """Spectra of traces.

    white : log-likelihood of the samples for white noise

    Noise below the lowest ordinate leaks into it: it takes part in the choice of a model, not in
    the fit.
    """
    fitted = periodogram(traces, interval, 2)
    every = periodogram(traces, interval, 1)
    base = fit_spectrum(every, 1).log_likelihood(every)
    candidates = []
    for terms in TERMS:
        spectrum = fit_spectrum(fitted, terms)
        gain = 0.0
        if terms > 1:
            gain = spectrum.log_likelihood(every) - base
        candidates.append(Candidate(spectrum, 2 * terms - 2 * (white + gain)))
    return SpectralFit(fitted, tuple(candidates))


def fit_spectrum(p: Periodogram, terms: int) -> Spectrum:
    """The Spectrum of highest likelihood of a Periodogram, by Fisher's scoring."""
    reference = math.sqrt(p.frequency[0] * p.frequency[-1])
    x = np.log(p.frequency / reference)
    scored = [_score(p, x, start) for start in _starts(p, x, terms)]
    theta = max(scored, key=lambda theta: _likelihood(theta, p, x))
    covariance = np.linalg.pinv(_information(theta, p, x), hermitian=True)
    return Spectrum(theta, np.asarray(covariance, np.float64), reference)


def _starts(p: Periodogram, x: Floats, terms: int) -> list[Floats]:
    """Where the scoring begins: white noise of all of the power, down to 3 %."""
    mean = (p.count * p.power).sum() / p.count.sum()
    if terms == 1:
        return [np.array([math.log(mean)])]
    below = x < 0
    low = (p.count * p.power * below).sum() / (p.count * below).sum()
    starts = []
    for share in (1.0, 0.3, 0.03):
        theta = np.array([math.log(mean * share), math.log(low / 3), 1.0])
        starts.append(theta[:terms])
    return starts


def exponent(theta: Floats) -> float:
    """Alpha of the parameters of a spectrum; 1 where it is not one of them."""
    if len(theta) < 3:
        return 1.0
    return float(theta[2])


def density_and_slopes(theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Density and its derivatives (parameters, frequencies); x = log(frequency / reference)."""
    white = np.full_like(x, math.exp(theta[0]))
    if len(theta) == 1:
        return white, white[None]
    flicker = np.exp(theta[1] - exponent(theta) * x)
    slopes = np.array([white, flicker, -x * flicker])
    return white + flicker, slopes[: len(theta)]


def _likelihood(theta: Floats, p: Periodogram, x: Floats) -> float:
    """Whittle's, but for a constant."""
    density, _ = density_and_slopes(theta, x)
    return -float((p.count * (np.log(density) + p.power / density)).sum())


def _information(theta: Floats, p: Periodogram, x: Floats) -> Floats:
    density, slope = density_and_slopes(theta, x)
    information: Floats = (slope * (p.count / density**2)) @ slope.T
    return information


def _score(p: Periodogram, x: Floats, theta: Floats) -> Floats:
    """Fisher's scoring, damped where a step lowers the likelihood."""
    value = _likelihood(theta, p, x)
    damping = 0.0
    for _ in range(STEPS):
        trial = _step(p, x, theta, damping)
        better = _likelihood(trial, p, x)
        if better < value:
            damping = max(10 * damping, 1e-3)
            if damping > LARGEST_DAMPING:
                break
            continue
        gain = better - value
        theta = trial
        value = better
        damping /= 10
        if gain < CONVERGED:
            break
    return theta


def _step(p: Periodogram, x: Floats, theta: Floats, damping: float) -> Floats:
    density, slope = density_and_slopes(theta, x)
    information = _information(theta, p, x)
    score = slope @ (p.count * (p.power - density) / density**2)
    ridge = (damping + 1e-9) * np.diag(np.diag(information) + 1e-6)
    change = np.linalg.solve(information + ridge, score)
    trial: Floats = theta + np.clip(change, -LARGEST_STEP, LARGEST_STEP)
    if len(trial) == 3:
        trial[2] = min(max(trial[2], FLATTEST), STEEPEST)
    return trial
