"""Models of even traces: white, 1/f^alpha and telegraph noise, chosen by AIC, as FitResults."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.units import engineering
from xbarsim.calibrate.hidden_markov import Hidden, fit_hidden_markov
from xbarsim.calibrate.noise_parameters import (
    DECISIVE,
    FASTEST,
    STATE_PARAMETERS,
    TELEGRAPH,
    TRANSITIONS,
    Band,
    NoiseModel,
    Record,
    SpectralParameters,
    spectral_parameters,
    telegraph_parameters,
)
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Line, Parameter
from xbarsim.calibrate.spectra import fit_spectra
from xbarsim.calibrate.statistics import by_aic

APART = 4.0  # step over sigma, and share of samples in a state: see there
RAREST = 0.05
SHOWN = 2000  # samples of a trace in the picture
NAMES = {1: "white", 2: "white + 1/f", 3: "white + 1/f^alpha"}  # by the terms of the spectrum
WITH_STATES = " + telegraph"


def fit_even_traces(
    traces: Sequence[Floats], interval: float, band: Band, notes: Sequence[str]
) -> FitResult:
    """FitResult of the best model, the others beside it.

    traces : (n,) over their mean, `interval` seconds apart

    No 1/f^alpha noise unless it is decisively better.  Its exponent stays free: whoever chooses
    after a look at the data between 1 and a free one gets intervals that are too narrow.
    """
    record = Record(traces, interval, band, notes)
    white = _log_likelihood_of_white(traces)
    hidden = fit_hidden_markov(traces, white)
    plain = _spectral_models(record, white)
    with_states = _models_with_states(record, hidden)
    reason = _why_no_states(plain, with_states, hidden)
    if reason:
        models = plain
        chosen = plain
        states = [Parameter.unknown(name, unit, reason) for name, unit in TELEGRAPH]
    else:
        models = [*plain, *with_states]
        chosen = with_states
        states = telegraph_parameters(record, hidden)
    results = {model.name: _result(record, model, states) for model in models}
    first = results[chosen[0].name]
    full = results[chosen[-1].name]
    if first.aic - full.aic > DECISIVE:
        first = full
    ranked = by_aic([(results[model.name], model.free) for model in models])
    others = [dataclasses.replace(fit, curves={}) for fit in ranked if fit is not first]
    return dataclasses.replace(first, alternatives=tuple(others))


# --- models


def _log_likelihood_of_white(traces: Sequence[Floats]) -> float:
    """Of all samples, were they white noise."""
    points = sum(map(len, traces))
    square = sum(((t - t.mean()) ** 2).sum() for t in traces)
    return -0.5 * points * (math.log(2 * math.pi * square / points) + 1)


def _spectral_models(record: Record, white: float) -> list[NoiseModel]:
    """Models without states, the fewest terms first; white : log-likelihood of white noise."""
    fit = fit_spectra(record.traces, record.interval, white)
    models = []
    for candidate in fit.candidates:
        models.append(
            NoiseModel(
                name=NAMES[candidate.spectrum.terms],
                aic=candidate.aic,
                rest=record.traces,
                periodogram=fit.periodogram,
                spectrum=candidate.spectrum,
            )
        )
    return models


def _models_with_states(record: Record, hidden: Hidden) -> list[NoiseModel]:
    """Models with telegraph states, the fewest terms first: of what these leave of the traces."""
    without = dataclasses.replace(record, traces=_without_states(record.traces, hidden))
    models = []
    for model in _spectral_models(without, hidden.log_likelihood):
        models.append(
            dataclasses.replace(
                model,
                name=model.name + WITH_STATES,
                aic=model.aic + 2 * STATE_PARAMETERS,
                hidden=hidden,
            )
        )
    return models


def _without_states(traces: Sequence[Floats], hidden: Hidden) -> list[Floats]:
    """What is left of the traces without the telegraph noise."""
    ends = np.cumsum([len(trace) for trace in traces])[:-1]
    rest = []
    for trace, low, high in zip(traces, hidden.offset, np.split(hidden.high, ends), strict=True):
        rest.append(trace - low - hidden.step * high)
    return rest


def _why_no_states(
    plain: Sequence[NoiseModel], with_states: Sequence[NoiseModel], hidden: Hidden
) -> str:
    """Why there is no telegraph noise, or "" where there decisively is.

    Two or three steps are seen in any steep 1/f^alpha noise: beside such noise they need to be
    many.
    """
    seen = with_states[0].aic
    if hidden.transitions >= TRANSITIONS:
        seen = min(model.aic for model in with_states)
    gain = min(model.aic for model in plain) - seen
    if not (gain > DECISIVE and hidden.step > 0):
        return (
            f"AIC {-gain:+.1f} against noise without two states; it must be {-DECISIVE:g} or less"
        )
    if _is_a_distribution(hidden):
        return "two values without memory or a gap between them: noise that is not normal"
    return ""


def _is_a_distribution(hidden: Hidden) -> bool:
    """Whether the states are only the shape of the distribution of single samples.

    States that change faster than the samples are seen where they lie apart and both occur.
    """
    share = hidden.high.mean()
    apart = hidden.step > APART * hidden.sigma and RAREST < share < 1 - RAREST
    return hidden.fall + hidden.rise > FASTEST and not apart


# --- results


def _result(record: Record, model: NoiseModel, states: Sequence[Parameter]) -> FitResult:
    """FitResult of one model; states : parameters of the telegraph noise."""
    spectral = spectral_parameters(record, model)
    if model.hidden is None and states[0].identified:
        states = [Parameter.unknown(name, unit, "not in this model") for name, unit in TELEGRAPH]
    return FitResult(
        kind="read-noise",
        model=model.name,
        parameters=(*spectral.all, *states),
        points=sum(map(len, model.rest)),
        goodness=_goodness(model),
        aic=model.aic,
        notes=tuple(_notes(record, model, states, spectral)),
        curves=_curves(record, model),
        device={"read_noise": _table(record, model, states, spectral)},
    )


def _notes(
    record: Record,
    model: NoiseModel,
    states: Sequence[Parameter],
    spectral: SpectralParameters,
) -> list[str]:
    low = engineering(record.band.low, "Hz")
    high = engineering(record.band.high, "Hz")
    notes = [*record.notes, f"flicker_sigma and read_sigma are integrated from {low} to {high}"]
    if spectral.amplitude is not None:
        notes.append("the device file has 1/f noise of the same power in this band")
    if model.hidden is None:
        return notes
    if not all(state.identified for state in states):
        notes.append("the device file has no telegraph noise: it is not identified")
    if spectral.amplitude is not None:
        notes.append(
            "telegraph noise was fitted as if the rest were white, then 1/f^alpha noise to the "
            "remainder: where both are strong, their intervals are too narrow"
        )
    return notes


def _table(
    record: Record,
    model: NoiseModel,
    states: Sequence[Parameter],
    spectral: SpectralParameters,
) -> DeviceTable:
    """[read_noise] of a device file."""
    white = 0.0
    if spectral.white.identified:
        white = spectral.white.identified_value
    table: DeviceTable = {"relative_sigma": white}
    if spectral.amplitude is not None:
        table["flicker"] = {
            "amplitude": spectral.amplitude,
            "frequency_low_hz": record.band.low,
            "frequency_high_hz": record.band.high,
        }
    if model.hidden is not None and all(state.identified for state in states):
        amplitude, dwell_high, dwell_low = states
        table["telegraph"] = {
            "relative_amplitude": amplitude.value,
            "dwell_high_s": dwell_high.value,
            "dwell_low_s": dwell_low.value,
        }
    return table


def _goodness(model: NoiseModel) -> dict[str, float]:
    p = model.periodogram
    ratio = p.power / model.spectrum.density(p.frequency)
    freedom = max(len(ratio) - model.spectrum.terms, 1)
    chi_square = float((p.count * (ratio - 1) ** 2).sum() / freedom)
    goodness = {"periodogram_over_fit_chi_square_per_freedom": chi_square}
    if model.hidden is not None:
        goodness["transitions"] = model.hidden.transitions
        goodness["step_over_sigma"] = model.hidden.step / model.hidden.sigma
    return goodness


def _curves(record: Record, model: NoiseModel) -> dict[str, Curve]:
    if model.hidden is None:
        return {"periodogram": _spectrum_panel(record, model)}
    return {
        "trace and decoded states": _trace_panel(record, model.hidden),
        "periodogram without the telegraph states": _spectrum_panel(record, model),
    }


def _trace_panel(record: Record, hidden: Hidden) -> Curve:
    """The beginning of the first trace, and the states that it is most likely in."""
    first = record.traces[0]
    time: Floats = record.interval * np.arange(len(first), dtype=np.float64)
    decoded = hidden.offset[0] + hidden.step * (hidden.high[: len(first)] > 0.5)
    return Curve(
        x=Axis("time", "s"),
        y=Axis("over the mean", "1"),
        data={"reads": Line(time[:SHOWN], first[:SHOWN])},
        fit={"state": Line(time[:SHOWN], decoded[:SHOWN])},
    )


def _spectrum_panel(record: Record, model: NoiseModel) -> Curve:
    p = model.periodogram
    per_hz = 2 * record.interval
    density = model.spectrum.density(p.frequency)
    return Curve(
        x=Axis("frequency", "Hz"),
        y=Axis("relative density", "1/Hz"),
        data={"periodogram": Line(p.frequency, per_hz * p.power)},
        fit={NAMES[model.spectrum.terms]: Line(p.frequency, per_hz * density)},
        log_x=True,
        log_y=True,
    )
