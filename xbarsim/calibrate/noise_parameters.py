"""Parameters of the noise of even traces, with intervals: of spectra and of telegraph states."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from xbarsim.base.array_types import Floats
from xbarsim.base.units import engineering
from xbarsim.calibrate import hidden_markov
from xbarsim.calibrate.result import CONFIDENCE, Parameter
from xbarsim.calibrate.spectra import Periodogram, Spectrum, exponent

TRANSITIONS = 10  # below it, dwell times are not identified
FASTEST = 0.8  # P(high -> low) + P(low -> high): samples forget the state above it
DECISIVE = 10.0  # AIC by which a telegraph or flicker term must beat its absence
FLATTEST = 0.3  # exponents of what is 1/f noise
STEEPEST = 2.5
FLICKER = (("flicker_sigma", "1"), ("flicker_exponent", "1"), ("corner_frequency", "Hz"))
TELEGRAPH = (("telegraph_amplitude", "1"), ("dwell_high", "s"), ("dwell_low", "s"))
STATE_PARAMETERS = 3  # step and two dwell times; each costs 2 of AIC
_Z = norm.ppf(0.5 + CONFIDENCE / 2)


class Band(NamedTuple):
    """Frequencies (Hz) over which the noise of a read is integrated."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Record:
    """Traces over their means, s between samples, band of a read, what is said of all models."""

    traces: Sequence[Floats]
    interval: float
    band: Band
    notes: Sequence[str]


@dataclasses.dataclass(frozen=True)
class NoiseModel:
    """One model of the traces.

    rest : the traces without the telegraph states;  hidden : these states, None without them
    """

    name: str
    aic: float
    rest: Sequence[Floats]
    periodogram: Periodogram
    spectrum: Spectrum
    hidden: hidden_markov.Hidden | None = None

    @property
    def free(self) -> int:
        """Number of free parameters."""
        if self.hidden is None:
            return self.spectrum.terms
        return self.spectrum.terms + STATE_PARAMETERS


@dataclasses.dataclass(frozen=True)
class SpectralParameters:
    """Parameters of the spectral terms of a model.

    flicker : sigma, exponent and corner frequency of 1/f^alpha noise
    amplitude : of 1/f noise of the same power in the band; None where there is none
    """

    white: Parameter
    flicker: tuple[Parameter, ...]
    read: Parameter
    amplitude: float | None = None

    @property
    def all(self) -> tuple[Parameter, ...]:
        """In the order in which they are printed."""
        return (self.white, *self.flicker, self.read)


def _log_parameter(name: str, unit: str, log_value: float, deviation: float) -> Parameter:
    """exp of a normal quantity; not identified where its interval spans more than a factor of 10
    either way."""
    half = deviation * _Z
    if not half < math.log(10):
        reason = "its 90 % interval spans more than a factor of 10 either way"
        return Parameter.unknown(name, unit, reason)
    return Parameter.known(
        name,
        unit,
        value=math.exp(log_value),
        low=math.exp(log_value - half),
        high=math.exp(log_value + half),
    )


# --- spectra


def _integral(alpha: float, band: Band) -> float:
    """Integral of f^-alpha over a band."""
    ratio = math.log(band.high / band.low)
    power = 1 - alpha
    at_low = math.pow(band.low, power)
    if abs(power * ratio) < 1e-9:
        return at_low * ratio
    return at_low * math.expm1(power * ratio) / power


@dataclasses.dataclass(frozen=True)
class _Spectral:
    """Parameters of a spectrum: quantities of theta, with intervals by the delta method."""

    spectrum: Spectrum
    covariance: Floats
    interval: float
    band: Band

    def white_variance(self, theta: Floats) -> float:
        return math.exp(theta[0]) * 2 * self.interval * (self.band.high - self.band.low)

    def flicker_variance(self, theta: Floats) -> float:
        alpha = exponent(theta)
        at_1_hz = math.exp(theta[1]) * math.pow(self.spectrum.reference, alpha)
        return 2 * self.interval * at_1_hz * _integral(alpha, self.band)

    def log_white_sigma(self, theta: Floats) -> float:
        return float(theta[0] / 2)

    def log_flicker_sigma(self, theta: Floats) -> float:
        return math.log(self.flicker_variance(theta)) / 2

    def log_read_sigma(self, theta: Floats) -> float:
        variance = self.white_variance(theta)
        if len(theta) > 1:
            variance += self.flicker_variance(theta)
        return math.log(variance) / 2

    def log_corner(self, theta: Floats) -> float:
        return math.log(self.spectrum.reference) + float((theta[1] - theta[0]) / exponent(theta))

    def parameter(self, name: str, unit: str, quantity: Callable[[Floats], float]) -> Parameter:
        """exp(quantity(theta))."""
        theta = self.spectrum.theta
        h = 1e-5
        slope = np.empty(len(theta))
        for number, direction in enumerate(np.eye(len(theta))):
            ahead = quantity(theta + h * direction)
            behind = quantity(theta - h * direction)
            slope[number] = (ahead - behind) / (2 * h)
        variance = max(float(slope @ self.covariance @ slope), 0.0)
        return _log_parameter(name, unit, quantity(theta), math.sqrt(variance))


def spectral_parameters(record: Record, model: NoiseModel) -> SpectralParameters:
    """Parameters of the spectral terms of a model."""
    spectrum = model.spectrum
    covariance = _covariance(model)
    spectral = _Spectral(spectrum, covariance, record.interval, record.band)
    white = spectral.parameter("white_sigma", "1", spectral.log_white_sigma)
    read = spectral.parameter("read_sigma", "1", spectral.log_read_sigma)
    if spectrum.terms == 1:
        reason = (
            f"no power above the white floor: AIC gains less than {DECISIVE:g} by a 1/f^alpha term"
        )
        flicker = tuple(Parameter.unknown(name, unit, reason) for name, unit in FLICKER)
        return SpectralParameters(white, flicker, read)
    sigma = spectral.parameter("flicker_sigma", "1", spectral.log_flicker_sigma)
    corner = spectral.parameter("corner_frequency", "Hz", spectral.log_corner)
    highest = model.periodogram.frequency[-1]
    if not corner.identified or corner.identified_value > highest:
        shown = engineering(highest, "Hz")
        covers = f"the 1/f^alpha noise covers the white floor up to {shown}; sample faster"
        white = Parameter.unknown("white_sigma", "1", covers)
        corner = Parameter.unknown(
            "corner_frequency", "Hz", f"above the highest frequency, {shown}"
        )
    octaves = math.log(record.band.high / record.band.low)
    amplitude = math.sqrt(spectral.flicker_variance(spectrum.theta) / octaves)
    flicker = (sigma, _exponent(spectrum, covariance), corner)
    return SpectralParameters(white, flicker, read, amplitude)


def _covariance(model: NoiseModel) -> Floats:
    """Of theta; noise that is not normal leaves a variance less or more certain.

    The logarithm of a variance of n samples has the variance (kurtosis - 1) / n.  Beside 1/f noise
    the kurtosis of the white part is not known, and normal noise is assumed.
    """
    if model.spectrum.terms > 1:
        return model.spectrum.covariance
    deviations = np.concatenate([t - t.mean() for t in model.rest])
    return model.spectrum.covariance * widening(deviations) ** 2


def widening(deviations: Floats) -> float:
    """Factor of the standard error of a standard deviation against that of normal samples."""
    kurtosis = (deviations**4).mean() / (deviations**2).mean() ** 2
    return math.sqrt((kurtosis - 1) / 2)


def _exponent(spectrum: Spectrum, covariance: Floats) -> Parameter:
    if spectrum.terms == 2:
        return Parameter.unknown("flicker_exponent", "1", "held at 1")
    alpha = spectrum.alpha
    if not FLATTEST < alpha < STEEPEST:
        reason = f"{alpha:.2g} is no 1/f noise: drift or steps"
        return Parameter.unknown("flicker_exponent", "1", reason)
    half = _Z * math.sqrt(covariance[2, 2])
    return Parameter.known("flicker_exponent", "1", alpha, low=alpha - half, high=alpha + half)


# --- telegraph states


def telegraph_parameters(record: Record, hidden: hidden_markov.Hidden) -> list[Parameter]:
    """Parameters of telegraph noise, as many as TELEGRAPH."""
    deviations = hidden_markov.deviations(record.traces, hidden)
    amplitude = _amplitude(hidden, deviations.step)
    reason = _why_no_times(record, hidden)
    if reason:
        times = [Parameter.unknown(name, unit, reason) for name, unit in TELEGRAPH[1:]]
        return [amplitude, *times]
    samples = hidden_markov.dwell(hidden.fall, hidden.rise)
    log_high = np.log(samples.high * record.interval)
    log_low = np.log(samples.low * record.interval)
    return [
        amplitude,
        _log_parameter("dwell_high", "s", log_high, deviations.dwell_high),
        _log_parameter("dwell_low", "s", log_low, deviations.dwell_low),
    ]


def _why_no_times(record: Record, hidden: hidden_markov.Hidden) -> str:
    """Why dwell times are not identified, or ""."""
    if hidden.transitions < TRANSITIONS:
        return (
            f"{hidden.transitions:.0f} transitions in the record, {TRANSITIONS} are needed: record "
            "more than a few dwell times"
        )
    if hidden.fall + hidden.rise > FASTEST:
        every = engineering(record.interval, "s")
        return f"samples every {every} are coarser than the dwell times: sample faster"
    return ""


def _amplitude(hidden: hidden_markov.Hidden, deviation: float) -> Parameter:
    """1 - low state / high state; deviation : of the logarithm of the step."""
    value = _relative_step(hidden, hidden.step)
    low = _relative_step(hidden, hidden.step * math.exp(-_Z * deviation))
    high = _relative_step(hidden, hidden.step * math.exp(_Z * deviation))
    if not np.isfinite([value, low, high]).all():
        return Parameter.unknown("telegraph_amplitude", "1", "the likelihood has no maximum")
    return Parameter.known("telegraph_amplitude", "1", value, low=low, high=high)


def _relative_step(hidden: hidden_markov.Hidden, step: float) -> float:
    """A step over the high state: the mean of a trace is 1, so that its high state is
    1 + step (1 - share of time in it)."""
    occupied = hidden.high.mean()
    return float(step / (1 + step * (1 - occupied)))
