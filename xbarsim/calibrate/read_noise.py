"""Read noise from traces: white, 1/f^alpha and telegraph noise, each relative to the mean of its
trace.

Spectra are fitted by Whittle's likelihood (`spectra`), telegraph noise by a hidden Markov model
(`hidden_markov`).  Both likelihoods are those of the samples, up to the error of Whittle's
approximation, so that Akaike's criterion compares them.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.units import engineering
from xbarsim.calibrate.noise_models import FLICKER, TELEGRAPH, fit_even_traces, widening
from xbarsim.calibrate.result import CONFIDENCE, Curve, FitResult, Parameter
from xbarsim.calibrate.sampling import SHORTEST, even_traces
from xbarsim.calibrate.tables import Wanted, read_tables

COLUMNS = (
    Wanted("time", "s", ("time", "t", "elapsed", "timestamp"), optional=True),
    Wanted("conductance", "S", ("conductance", "g", "cond"), optional=True),
    Wanted("current", "A", ("current", "i"), optional=True),
    Wanted("trace", "text", ("trace", "cell", "device", "target"), optional=True),
)
MODEL = "white noise of independent reads"
NO_TIME = "reads without a time axis: give the time of every read"


def fit_read_noise(
    time: ArrayLike | Sequence[ArrayLike] | None,
    signal: ArrayLike | Sequence[ArrayLike],
    band: tuple[float, float] | None = None,
    unit: str = "S",
) -> FitResult:
    """White, 1/f^alpha and telegraph noise of read traces.

    Parameters
    ----------
    time : (n,) s at even intervals but for 5 % of the steps (`sampling.even_traces`), one for all
        traces or a list of one per trace; None for independent reads, of which only the white noise
        is fitted
    signal : (n,) conductance or current at constant voltage, or a list of traces of one cell (they
        share the noise, not the mean)
    band : (low, high) Hz over which the noise of a read is integrated; 1 / duration to
        1 / (2 interval) if None
    unit : of `signal`, "S" or "A"

    Returns
    -------
    FitResult; all amplitudes are relative to the mean of a trace:
        white_sigma : standard deviation of a sample from white noise
        flicker_sigma, flicker_exponent, corner_frequency : of 1/f^alpha noise: integrated over
            `band`; alpha; where its density equals the white one
        read_sigma : white and 1/f^alpha noise integrated over `band`
        telegraph_amplitude : 1 - low state / high state
        dwell_high, dwell_low : mean times in the states

    Raises
    ------
    ShapeError, OutOfRangeError : traces that cannot be used
    """
    traces = [_checked(trace, unit) for trace in _listed(signal)]
    means = [trace.mean() for trace in traces]
    relative = [trace / mean for trace, mean in zip(traces, means, strict=True)]
    ends = [engineering(mean, unit, 4) for mean in (min(means), max(means))]
    span = " to ".join(dict.fromkeys(ends))
    notes = [f"amplitudes are relative to the mean of a trace ({span})"]
    if time is None:
        return _independent(relative, means, unit, notes)
    even = even_traces(_listed(time), relative)
    band = _band(band, even.interval, max(map(len, even.traces)))
    return fit_even_traces(even.traces, even.interval, band, notes + even.notes)


def from_files(paths, columns, where):
    """Noise of reads: white, 1/f^alpha and telegraph, from time and conductance (or current)."""
    times, traces, inputs, units = [], [], [], set()
    for table in read_tables(paths, COLUMNS, columns, where):
        name = next((name for name in ("conductance", "current") if name in table), None)
        if name is None:
            raise ConfigError(
                f"{table.path}: no column for conductance (S) or current (A); name it as --column "
                "conductance=HEADER or --column current=HEADER"
            )
        table.require(SHORTEST if "time" in table else 2, "a trace")
        labels = table["trace"] if "trace" in table else np.zeros(len(table))
        for label in dict.fromkeys(labels.tolist()):
            mine = labels == label
            traces.append(table[name][mine])
            times.append(table["time"][mine] if "time" in table else None)
        units.add("S" if name == "conductance" else "A")
        inputs.append(table.echo)
    if len(units) > 1 or len({time is None for time in times}) > 1:
        raise ConfigError(
            "some files have another quantity, or no time: calibrate them one at a time"
        )
    time = None if times[0] is None else times
    result = fit_read_noise(time, traces, unit=units.pop())
    return dataclasses.replace(result, inputs=tuple(inputs))


# --- what comes in


def _listed(value):
    return [value] if np.ndim(value[0]) == 0 else list(value)


def _checked(trace, unit):
    trace = np.asarray(trace, dtype=np.float64)
    if trace.ndim != 1 or len(trace) < 2:
        raise ShapeError(f"a trace has shape {trace.shape}; allowed: (n,) with 2 samples or more")
    if not np.isfinite(trace).all():
        k = int(np.argmin(np.isfinite(trace)))
        raise OutOfRangeError(
            f"sample {k} of a trace is {trace[k]} {unit}; allowed: finite numbers; remove it"
        )
    if not trace.mean() > 0:
        raise OutOfRangeError(
            f"the mean of a trace is {trace.mean():g} {unit}; allowed: above 0 {unit}; turn the "
            "sign of a negative current"
        )
    if np.ptp(trace) == 0:
        raise OutOfRangeError(
            f"all samples of a trace are {engineering(trace[0], unit)}: it has no noise, or the "
            "instrument did not resolve it"
        )
    return trace


def _band(band, interval, samples):
    if band is None:
        band = 1 / (samples * interval), 0.5 / interval
    low, high = map(float, band)
    if not 0 < low < high < math.inf:
        raise OutOfRangeError(f"band is {low:g} to {high:g} Hz; allowed: 0 < low < high")
    return low, high


# --- independent reads


def _independent(relative, means, unit, notes):
    """FitResult of white noise alone.

    relative : traces over their mean;  means : of each trace, in `unit`
    """
    deviations = [trace - 1 for trace in relative]
    every = np.concatenate(deviations)
    freedom = sum(len(d) - 1 for d in deviations)
    square = (every**2).sum()
    sigma = math.sqrt(square / freedom)
    between = sum((d[1:] * d[:-1]).sum() for d in deviations) / square
    kurtosis = (every**4).mean() / (every**2).mean() ** 2
    notes.append(
        "reads without a time axis: white noise only; how it splits into white, 1/f and telegraph "
        "noise is open"
    )
    if abs(between) > 3 / math.sqrt(freedom):
        notes.append(
            f"reads in sequence are correlated ({between:+.2f} from one to the next): they are not "
            "independent, and the interval is too narrow"
        )
    notes += _unlike_traces(deviations, sigma, means, unit)
    if kurtosis > 3 + 4 * math.sqrt(24 / len(every)):
        notes.append(
            f"outliers, steps or unlike traces: kurtosis {kurtosis:.1f}, where normal noise has 3"
        )
    open_names = (*FLICKER, ("read_sigma", "1"), *TELEGRAPH)
    return FitResult(
        kind="read-noise",
        model=MODEL,
        parameters=(
            _white_sigma(sigma, freedom, widening(every)),
            *(Parameter.unknown(name, unit, NO_TIME) for name, unit in open_names),
        ),
        points=len(every),
        goodness={"lag_1_correlation": between, "kurtosis": kurtosis},
        aic=2 + len(every) * (math.log(2 * math.pi * square / len(every)) + 1),
        notes=tuple(notes),
        curves={"reads around the mean of their trace": _histogram(every / sigma)},
        device={"read_noise": {"relative_sigma": sigma}},
    )


def _white_sigma(sigma, freedom, wider):
    """Standard deviation with the interval of chi squared, wider or narrower on a logarithmic scale
    where the reads are not normal."""
    tail = (1 - CONFIDENCE) / 2
    ends = [math.sqrt(freedom / chi2.ppf(level, freedom)) for level in (1 - tail, tail)]
    low, high = (sigma * end**wider for end in ends)
    return Parameter.known("white_sigma", "1", sigma, low, high)


def _unlike_traces(deviations, sigma, means, unit):
    """A note where the noise of traces differs (Bartlett's test)."""
    if len(deviations) < 2:
        return []
    spreads = [d.std(ddof=1) for d in deviations]
    share = [(len(d) - 1) * math.log(sigma / s) for d, s in zip(deviations, spreads, strict=True)]
    if sum(share) * 2 <= chi2.ppf(0.99, len(spreads) - 1):
        return []
    each = [f"{s:.3g} at {engineering(m, unit, 4)}" for s, m in zip(spreads, means, strict=True)]
    return [
        "traces differ in their noise, so that one number does not describe them: "
        + ", ".join(each)
    ]


def _histogram(relative):
    """Panel of deviations over their standard deviation, with the normal density."""
    bins = np.histogram_bin_edges(relative, "fd")
    height, edges = np.histogram(relative, bins[:: max(1, len(bins) // 200)], density=True)
    x = np.linspace(edges[0], edges[-1], 300)
    return Curve(
        x=("deviation over white_sigma", "1"),
        y=("density", "1"),
        data={"reads": ((edges[1:] + edges[:-1]) / 2, height)},
        fit={"normal": (x, norm.pdf(x))},
    )
