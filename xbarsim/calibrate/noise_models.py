"""Models of even traces: white, 1/f^alpha and telegraph noise, chosen by AIC, as FitResults."""

import dataclasses
import math

import numpy as np
from scipy.stats import norm

from xbarsim.base.units import engineering
from xbarsim.calibrate import hidden_markov
from xbarsim.calibrate.result import CONFIDENCE, Curve, FitResult, Parameter
from xbarsim.calibrate.spectra import Periodogram, Spectrum, fit_spectra
from xbarsim.calibrate.statistics import by_aic

TRANSITIONS = 10  # below it, dwell times are not identified
FASTEST = 0.8  # P(high -> low) + P(low -> high): samples forget the state above it
APART, RAREST = 4.0, 0.05  # step over sigma, share of samples in a state: see there
DECISIVE = 10.0  # AIC by which a telegraph or flicker term must beat its absence
FLATTEST, STEEPEST = 0.3, 2.5  # exponents of what is 1/f noise
SHOWN = 2000  # samples of a trace in the picture
FLICKER = (("flicker_sigma", "1"), ("flicker_exponent", "1"), ("corner_frequency", "Hz"))
TELEGRAPH = (("telegraph_amplitude", "1"), ("dwell_high", "s"), ("dwell_low", "s"))
NAMES = {1: "white", 2: "white + 1/f", 3: "white + 1/f^alpha"}
WITH_STATES = " + telegraph"
STATE_PARAMETERS = 3  # step and two dwell times; each costs 2 of AIC
_Z = norm.ppf(0.5 + CONFIDENCE / 2)


@dataclasses.dataclass(frozen=True)
class _Model:
    """One model of the traces.

    rest : the traces without the telegraph states;  hidden : these states, None without them
    """

    name: str
    aic: float
    rest: list[np.ndarray]
    periodogram: Periodogram
    spectrum: Spectrum
    hidden: hidden_markov.Hidden | None = None

    @property
    def free(self):
        """Number of free parameters."""
        return self.spectrum.terms + (STATE_PARAMETERS if self.hidden is not None else 0)


@dataclasses.dataclass(frozen=True)
class _Record:
    """Traces over their means, s between samples, band of a read in Hz, what is said of all
    models."""

    traces: list[np.ndarray]
    interval: float
    band: tuple[float, float]
    notes: list[str]


def fit_even_traces(traces, interval, band, notes):
    """FitResult of the best model, the others beside it.

    traces : sequence of (n,) over their mean, `interval` seconds apart;  band : (low, high) Hz

    No 1/f^alpha noise unless it is decisively better.  Its exponent stays free: whoever chooses
    after a look at the data between 1 and a free one gets intervals that are too narrow.
    """
    record = _Record(traces, interval, band, notes)
    points = sum(map(len, traces))
    square = sum(((t - t.mean()) ** 2).sum() for t in traces)
    white = -0.5 * points * (math.log(2 * math.pi * square / points) + 1)
    plain = _spectral_models(record, traces, white)
    hidden = hidden_markov.fit_hidden_markov(traces, white)
    with_states = _spectral_models(
        record, _without_states(traces, hidden), hidden.log_likelihood, hidden
    )
    models, states = plain, _unknown_states(plain, with_states, hidden)
    end = ""
    if states is None:
        models, states = plain | with_states, _telegraph_parameters(record, hidden)
        end = WITH_STATES
    results = {name: _result(record, model, states) for name, model in models.items()}
    first, full = results[NAMES[1] + end], results[NAMES[3] + end]
    if first.aic - full.aic > DECISIVE:
        first = full
    ranked = by_aic([(results[name], model.free) for name, model in models.items()])
    others = [dataclasses.replace(r, curves={}) for r in ranked if r is not first]
    return dataclasses.replace(first, alternatives=tuple(others))


def _spectral_models(record, rest, white, hidden=None):
    """{name: _Model} of the spectra of what is left of the traces; white : its log-likelihood for
    white noise."""
    spectra, p, aic = fit_spectra(rest, record.interval, white)
    end = "" if hidden is None else WITH_STATES
    cost = 0 if hidden is None else 2 * STATE_PARAMETERS
    models = {}
    for terms, spectrum in spectra.items():
        name = NAMES[terms] + end
        models[name] = _Model(name, aic[terms] + cost, rest, p, spectrum, hidden)
    return models


def _without_states(traces, hidden):
    """What is left of the traces without the telegraph noise."""
    ends = np.cumsum([len(t) for t in traces])[:-1]
    pieces = np.split(hidden.high, ends)
    return [
        t - m - hidden.step * high for t, m, high in zip(traces, hidden.offset, pieces, strict=True)
    ]


def _unknown_states(plain, with_states, hidden):
    """Parameters of telegraph noise that is not there; None where it decisively is.

    Two or three steps are seen in any steep 1/f^alpha noise: beside such noise they need to be
    many.
    """
    seen = with_states[NAMES[1] + WITH_STATES].aic
    if hidden.transitions >= TRANSITIONS:
        seen = min(model.aic for model in with_states.values())
    gain = min(model.aic for model in plain.values()) - seen
    reason = f"AIC {-gain:+.1f} against noise without two states; it must be {-DECISIVE:g} or less"
    if gain > DECISIVE and hidden.step > 0:
        if not _is_a_distribution(hidden):
            return None
        reason = "two values without memory or a gap between them: noise that is not normal"
    return [Parameter.unknown(name, unit, reason) for name, unit in TELEGRAPH]


def _is_a_distribution(hidden):
    """Whether the states are only the shape of the distribution of single samples.

    States that change faster than the samples are seen where they lie apart and both occur.
    """
    share = hidden.high.mean()
    apart = hidden.step > APART * hidden.sigma and RAREST < share < 1 - RAREST
    return hidden.fall + hidden.rise > FASTEST and not apart


# --- parameters


def _log_parameter(name, unit, log_value, deviation):
    """exp of a normal quantity; not identified where its interval spans more than a factor of 10
    either way."""
    if not deviation * _Z < math.log(10):
        reason = "its 90 % interval spans more than a factor of 10 either way"
        return Parameter.unknown(name, unit, reason)
    ends = [math.exp(log_value + z * deviation) for z in (0, -_Z, _Z)]
    return Parameter.known(name, unit, *ends)


def _integral(alpha, low, high):
    """Integral of f^-alpha from low to high."""
    ratio, b = math.log(high / low), 1 - alpha
    if abs(b * ratio) < 1e-9:
        return low**b * ratio
    return low**b * math.expm1(b * ratio) / b


def _alpha(theta):
    return theta[2] if len(theta) == 3 else 1.0


@dataclasses.dataclass(frozen=True)
class _Spectral:
    """Parameters of a spectrum: quantities of theta, with intervals by the delta method."""

    spectrum: Spectrum
    covariance: np.ndarray
    interval: float
    band: tuple[float, float]

    def white_variance(self, theta):
        return math.exp(theta[0]) * 2 * self.interval * (self.band[1] - self.band[0])

    def flicker_variance(self, theta):
        alpha = _alpha(theta)
        at_1_hz = math.exp(theta[1]) * self.spectrum.reference**alpha
        return 2 * self.interval * at_1_hz * _integral(alpha, *self.band)

    def total_variance(self, theta):
        flicker = self.flicker_variance(theta) if len(theta) > 1 else 0
        return self.white_variance(theta) + flicker

    def log_corner(self, theta):
        return math.log(self.spectrum.reference) + (theta[1] - theta[0]) / _alpha(theta)

    def parameter(self, name, unit, quantity):
        """exp(quantity(theta))."""
        theta, h = self.spectrum.theta, 1e-5
        slope = np.array(
            [
                (quantity(theta + h * e) - quantity(theta - h * e)) / (2 * h)
                for e in np.eye(len(theta))
            ]
        )
        variance = max(slope @ self.covariance @ slope, 0.0)
        return _log_parameter(name, unit, quantity(theta), math.sqrt(variance))


def _spectrum_parameters(record, model):
    """(parameters of the spectral terms, amplitude of 1/f noise of the same power in the band)."""
    spectrum = model.spectrum
    theta, covariance = spectrum.theta, _covariance(model)
    spectral = _Spectral(spectrum, covariance, record.interval, record.band)
    white = spectral.parameter("white_sigma", "1", lambda t: t[0] / 2)
    total = spectral.parameter(
        "read_sigma", "1", lambda t: math.log(spectral.total_variance(t)) / 2
    )
    if spectrum.terms == 1:
        reason = (
            f"no power above the white floor: AIC gains less than {DECISIVE:g} by a 1/f^alpha term"
        )
        return [white, *(Parameter.unknown(*name, reason) for name in FLICKER), total], None
    flicker = spectral.parameter(
        "flicker_sigma", "1", lambda t: math.log(spectral.flicker_variance(t)) / 2
    )
    corner = spectral.parameter("corner_frequency", "Hz", spectral.log_corner)
    highest = model.periodogram.frequency[-1]
    if not corner.identified or corner.value > highest:
        shown = engineering(highest, "Hz")
        covers = f"the 1/f^alpha noise covers the white floor up to {shown}; sample faster"
        white = Parameter.unknown("white_sigma", "1", covers)
        corner = Parameter.unknown(
            "corner_frequency", "Hz", f"above the highest frequency, {shown}"
        )
    low, high = record.band
    amplitude = math.sqrt(spectral.flicker_variance(theta) / math.log(high / low))
    return [white, flicker, _exponent(theta, covariance), corner, total], amplitude


def _covariance(model):
    """Of theta; noise that is not normal leaves a variance less or more certain.

    The logarithm of a variance of n samples has the variance (kurtosis - 1) / n.  Beside 1/f noise
    the kurtosis of the white part is not known, and normal noise is assumed.
    """
    if model.spectrum.terms > 1:
        return model.spectrum.covariance
    deviations = np.concatenate([t - t.mean() for t in model.rest])
    return model.spectrum.covariance * widening(deviations) ** 2


def widening(deviations):
    """Factor of the standard error of a standard deviation against that of normal samples."""
    kurtosis = (deviations**4).mean() / (deviations**2).mean() ** 2
    return math.sqrt((kurtosis - 1) / 2)


def _exponent(theta, covariance):
    if len(theta) == 2:
        return Parameter.unknown("flicker_exponent", "1", "held at 1")
    alpha = theta[2]
    if not FLATTEST < alpha < STEEPEST:
        reason = f"{alpha:.2g} is no 1/f noise: drift or steps"
        return Parameter.unknown("flicker_exponent", "1", reason)
    wide = _Z * math.sqrt(covariance[2, 2])
    return Parameter.known("flicker_exponent", "1", alpha, alpha - wide, alpha + wide)


def _telegraph_parameters(record, hidden):
    deviation = hidden_markov.deviations(record.traces, hidden)
    amplitude = _amplitude(hidden, deviation[0])
    reason = None
    if hidden.transitions < TRANSITIONS:
        reason = (
            f"{hidden.transitions:.0f} transitions in the record, {TRANSITIONS} are needed: record "
            "more than a few dwell times"
        )
    elif hidden.fall + hidden.rise > FASTEST:
        every = engineering(record.interval, "s")
        reason = f"samples every {every} are coarser than the dwell times: sample faster"
    if reason:
        return [amplitude, *(Parameter.unknown(name, unit, reason) for name, unit in TELEGRAPH[1:])]
    times = hidden_markov.dwell(hidden.fall, hidden.rise)
    logs = np.log(np.multiply(times, record.interval))
    return [
        amplitude,
        _log_parameter("dwell_high", "s", logs[0], deviation[2]),
        _log_parameter("dwell_low", "s", logs[1], deviation[3]),
    ]


def _amplitude(hidden, deviation):
    """1 - low state / high state; the mean of a trace is 1, so that its high state is
    1 + step (1 - share of time in it)."""
    occupied = hidden.high.mean()
    steps = [hidden.step * math.exp(z * deviation) for z in (0, -_Z, _Z)]
    amplitudes = [step / (1 + step * (1 - occupied)) for step in steps]
    if not np.isfinite(amplitudes).all():
        return Parameter.unknown("telegraph_amplitude", "1", "the likelihood has no maximum")
    return Parameter.known("telegraph_amplitude", "1", *amplitudes)


# --- results


def _result(record, model, states):
    """FitResult of one model; states : parameters of the telegraph noise."""
    parameters, amplitude = _spectrum_parameters(record, model)
    if model.hidden is None and states[0].identified:
        states = [Parameter.unknown(name, unit, "not in this model") for name, unit in TELEGRAPH]
    return FitResult(
        kind="read-noise",
        model=model.name,
        parameters=(*parameters, *states),
        points=sum(map(len, model.rest)),
        goodness=_goodness(model),
        aic=model.aic,
        notes=tuple(_notes(record, model, states, amplitude)),
        curves=_curves(record, model),
        device={"read_noise": _table(record, model, parameters[0], states, amplitude)},
    )


def _notes(record, model, states, amplitude):
    low, high = (engineering(end, "Hz") for end in record.band)
    notes = [*record.notes, f"flicker_sigma and read_sigma are integrated from {low} to {high}"]
    if amplitude is not None:
        notes.append("the device file has 1/f noise of the same power in this band")
    if model.hidden is None:
        return notes
    if not all(state.identified for state in states):
        notes.append("the device file has no telegraph noise: it is not identified")
    if amplitude is not None:
        notes.append(
            "telegraph noise was fitted as if the rest were white, then 1/f^alpha noise to the "
            "remainder: where both are strong, their intervals are too narrow"
        )
    return notes


def _table(record, model, white, states, amplitude):
    """[read_noise] of a device file."""
    table = {"relative_sigma": white.value if white.identified else 0.0}
    if amplitude is not None:
        low, high = record.band
        table["flicker"] = {
            "amplitude": amplitude,
            "frequency_low_hz": low,
            "frequency_high_hz": high,
        }
    if model.hidden is not None and all(state.identified for state in states):
        keys = ("relative_amplitude", "dwell_high_s", "dwell_low_s")
        values = [state.value for state in states]
        table["telegraph"] = dict(zip(keys, values, strict=True))
    return table


def _goodness(model):
    p, terms = model.periodogram, model.spectrum.terms
    ratio = p.power / model.spectrum.density(p.frequency)
    chi_square = float((p.count * (ratio - 1) ** 2).sum() / max(len(ratio) - terms, 1))
    goodness = {"periodogram_over_fit_chi_square_per_freedom": chi_square}
    if model.hidden is not None:
        goodness["transitions"] = model.hidden.transitions
        goodness["step_over_sigma"] = model.hidden.step / model.hidden.sigma
    return goodness


def _curves(record, model):
    curves, hidden, left = {}, model.hidden, ""
    if hidden is not None:
        left = " without the telegraph states"
        first = record.traces[0]
        shown = slice(0, min(len(first), SHOWN))
        time = record.interval * np.arange(len(first))[shown]
        decoded = hidden.offset[0] + hidden.step * (hidden.high[: len(first)] > 0.5)
        curves["trace and decoded states"] = Curve(
            x=("time", "s"),
            y=("over the mean", "1"),
            data={"reads": (time, first[shown])},
            fit={"state": (time, decoded[shown])},
        )
    p, per_hz = model.periodogram, 2 * record.interval
    density = model.spectrum.density(p.frequency)
    curves[f"periodogram{left}"] = Curve(
        x=("frequency", "Hz"),
        y=("relative density", "1/Hz"),
        data={"periodogram": (p.frequency, per_hz * p.power)},
        fit={NAMES[model.spectrum.terms]: (p.frequency, per_hz * density)},
        log_x=True,
        log_y=True,
    )
    return curves
