"""White and 1/f^alpha noise of traces by Whittle's likelihood.

A periodogram ordinate over the spectral density is exponentially distributed (P. Whittle, Ark. Mat.
2, 423 (1953)).  The likelihood is that of the samples, up to the error of this approximation.
"""

import math
from typing import NamedTuple

import numpy as np

BINS_PER_DECADE = 60  # a density that falls as 1/f changes by 4 % within one
TERMS = (1, 2, 3)  # white; white + 1/f; white + 1/f^alpha
STEEPEST, FLATTEST = 3.0, 0.2  # exponents alpha


class Periodogram(NamedTuple):
    """Ordinates of all traces in units of the variance of a sample, averaged over narrow bins."""

    frequency: np.ndarray  # Hz, geometric mean of a bin
    power: np.ndarray
    count: np.ndarray  # ordinates in the bin


class Spectrum(NamedTuple):
    """w + f (frequency / reference)^-alpha; `theta` = log w, log f, alpha, as many as the model
    has."""

    theta: np.ndarray
    covariance: np.ndarray
    reference: float  # Hz

    @property
    def terms(self):
        """How many parameters the spectrum has: see TERMS."""
        return len(self.theta)

    def density(self, frequency):
        """Spectral density at frequencies in Hz."""
        return density_and_slopes(self.theta, np.log(frequency / self.reference))[0]

    def log_likelihood(self, p):
        """Of a Periodogram, but for a constant."""
        return _likelihood(self.theta, p, np.log(p.frequency / self.reference))


def periodogram(traces, interval, first):
    """Ordinates from number `first` of each trace to below the Nyquist frequency.

    traces : sequence of (n,) samples, `interval` seconds apart
    """
    frequency, power = [], []
    for x in traces:
        ordinates = np.arange(first, (len(x) + 1) // 2)
        frequency.append(ordinates / (len(x) * interval))
        power.append(abs(np.fft.rfft(x - x.mean())[ordinates]) ** 2 / len(x))
    frequency, power = np.concatenate(frequency), np.concatenate(power)
    bins = np.round(BINS_PER_DECADE * np.log10(frequency * interval), 9) // 1
    _, index, count = np.unique(bins, return_inverse=True, return_counts=True)
    return Periodogram(
        frequency=np.exp(np.bincount(index, np.log(frequency)) / count),
        power=np.bincount(index, power) / count,
        count=count,
    )


def fit_spectra(traces, interval, white):
    """({terms: Spectrum}, Periodogram, {terms: AIC}) of traces.

    white : log-likelihood of the samples for white noise

    Noise below the lowest ordinate leaks into it: it takes part in the choice of a model, not in
    the fit.
    """
    p = periodogram(traces, interval, 2)
    every = periodogram(traces, interval, 1)
    spectra = {terms: fit_spectrum(p, terms) for terms in TERMS}
    base = fit_spectrum(every, 1).log_likelihood(every)
    aic = {1: 2 - 2 * white}
    for terms in TERMS[1:]:
        gain = spectra[terms].log_likelihood(every) - base
        aic[terms] = 2 * terms - 2 * (white + gain)
    return spectra, p, aic


def fit_spectrum(p, terms):
    """The Spectrum of highest likelihood of a Periodogram, by Fisher's scoring."""
    reference = math.sqrt(p.frequency[0] * p.frequency[-1])
    x = np.log(p.frequency / reference)
    mean = (p.count * p.power).sum() / p.count.sum()
    starts = [np.array([math.log(mean)])]
    if terms > 1:  # white noise between 3 % and all of the power
        low = (p.count * p.power * (x < 0)).sum() / (p.count * (x < 0)).sum()
        starts = [
            np.array([math.log(mean * share), math.log(low / 3), 1.0][:terms])
            for share in (1.0, 0.3, 0.03)
        ]
    scored = [_score(p, x, start) for start in starts]
    theta = max(scored, key=lambda theta: _likelihood(theta, p, x))
    return Spectrum(theta, np.linalg.pinv(_information(theta, p, x), hermitian=True), reference)


def density_and_slopes(theta, x):
    """Density and its derivatives (parameters, frequencies); x = log(frequency / reference)."""
    white = np.full_like(x, math.exp(theta[0]))
    if len(theta) == 1:
        return white, white[None]
    alpha = theta[2] if len(theta) == 3 else 1.0
    flicker = np.exp(theta[1] - alpha * x)
    return white + flicker, np.array([white, flicker, -x * flicker][: len(theta)])


def _likelihood(theta, p, x):
    """Whittle's, but for a constant."""
    density = density_and_slopes(theta, x)[0]
    return -(p.count * (np.log(density) + p.power / density)).sum()


def _information(theta, p, x):
    density, slope = density_and_slopes(theta, x)
    return (slope * (p.count / density**2)) @ slope.T


def _score(p, x, theta):
    """Fisher's scoring, damped where a step lowers the likelihood."""
    value, damping = _likelihood(theta, p, x), 0.0
    for _ in range(200):
        trial = _step(p, x, theta, damping)
        better = _likelihood(trial, p, x)
        if better < value:
            damping = max(10 * damping, 1e-3)
            if damping > 1e8:
                break
            continue
        gain = better - value
        theta, value = trial, better
        damping /= 10
        if gain < 1e-7:
            break
    return theta


def _step(p, x, theta, damping):
    density, slope = density_and_slopes(theta, x)
    information = _information(theta, p, x)
    score = slope @ (p.count * (p.power - density) / density**2)
    ridge = (damping + 1e-9) * np.diag(np.diag(information) + 1e-6)
    trial = theta + np.clip(np.linalg.solve(information + ridge, score), -2, 2)
    if len(trial) == 3:
        trial[2] = min(max(trial[2], FLATTEST), STEEPEST)
    return trial
