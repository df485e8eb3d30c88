"""Read noise from traces: white, 1/f^alpha and telegraph noise, each relative to the mean of its
trace.

Spectra are fitted by Whittle's likelihood (`spectra`), telegraph noise by a hidden Markov model
(`hidden_markov`).  Both likelihoods are those of the samples, up to the error of Whittle's
approximation, so that Akaike's criterion compares them.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from xbarsim.base.array_types import Booleans, Floats, Vectors
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.units import engineering
from xbarsim.calibrate.noise_models import fit_even_traces
from xbarsim.calibrate.noise_parameters import FLICKER, TELEGRAPH, Band, widening
from xbarsim.calibrate.result import CONFIDENCE, Axis, Curve, FitResult, Line, Parameter
from xbarsim.calibrate.sampling import SHORTEST, even_traces
from xbarsim.calibrate.tables import FilePath, Table, Wanted, read_tables

COLUMNS = (
    Wanted("time", "s", ("time", "t", "elapsed", "timestamp"), optional=True),
    Wanted("conductance", "S", ("conductance", "g", "cond"), optional=True),
    Wanted("current", "A", ("current", "i"), optional=True),
    Wanted("trace", "text", ("trace", "cell", "device", "target"), optional=True),
)
MODEL = "white noise of independent reads"
NO_TIME = "reads without a time axis: give the time of every read"


def fit_read_noise(
    time: Vectors | None,
    signal: Vectors,
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
    note = f"amplitudes are relative to the mean of a trace ({_span(means, unit)})"
    if time is None:
        return _independent(relative, means, unit, note)
    times = [np.asarray(axis, dtype=np.float64) for axis in _listed(time)]
    even = even_traces(times, relative)
    if band is None:
        longest = max(map(len, even.traces))
        integrated = _checked_band(1 / (longest * even.interval), 0.5 / even.interval)
    else:
        integrated = _checked_band(*band)
    return fit_even_traces(even.traces, even.interval, integrated, [note, *even.notes])


def from_files(
    paths: Sequence[FilePath], columns: Mapping[str, str], where: Mapping[str, str]
) -> FitResult:
    """Noise of reads: white, 1/f^alpha and telegraph, from time and conductance (or current)."""
    tables = read_tables(paths, COLUMNS, columns, where)
    traces: list[Floats] = []
    times: list[Floats] = []
    units = []
    for table in tables:
        name = _signal_column(table)
        table.require(SHORTEST if "time" in table else 2, "a trace")
        for rows in _rows_of_traces(table):
            traces.append(table[name][rows])
            if "time" in table:
                times.append(table["time"][rows])
        units.append("S" if name == "conductance" else "A")
    if len(set(units)) > 1 or len(times) not in (0, len(traces)):
        raise ConfigError(
            "some files have another quantity, or no time: calibrate them one at a time"
        )
    result = fit_read_noise(times or None, traces, unit=units[0])
    return dataclasses.replace(result, inputs=tuple(table.echo for table in tables))


def _signal_column(table: Table) -> str:
    """The column of what was read."""
    for name in ("conductance", "current"):
        if name in table:
            return name
    raise ConfigError(
        f"{table.path}: no column for conductance (S) or current (A); name it as --column "
        "conductance=HEADER or --column current=HEADER"
    )


def _rows_of_traces(table: Table) -> list[Booleans]:
    """Which rows are those of every trace of a file."""
    if "trace" not in table:
        return [np.ones(len(table), bool)]
    labels = table["trace"]
    return [labels == label for label in dict.fromkeys(labels.tolist())]


# --- what comes in


def _listed(value: Vectors) -> list[ArrayLike | Vectors]:
    """One vector or several as a list of vectors."""
    if np.ndim(value[0]) == 0:
        return [value]
    return list(value)


def _span(means: Sequence[float], unit: str) -> str:
    """ "1 µS to 2 µS", or one of them where they print alike."""
    low = engineering(min(means), unit, 4)
    high = engineering(max(means), unit, 4)
    return low if low == high else f"{low} to {high}"


def _checked(value: ArrayLike | Vectors, unit: str) -> Floats:
    """A trace that has noise about a mean above 0."""
    trace = np.asarray(value, dtype=np.float64)
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


def _checked_band(low: float, high: float) -> Band:
    band = Band(float(low), float(high))
    if not 0 < band.low < band.high < math.inf:
        raise OutOfRangeError(f"band is {band.low:g} to {band.high:g} Hz; allowed: 0 < low < high")
    return band


# --- independent reads


def _independent(
    relative: Sequence[Floats], means: Sequence[float], unit: str, note: str
) -> FitResult:
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
    notes = [note, *_notes_on_independence(between, freedom)]
    notes += _unlike_traces(deviations, sigma, means, unit)
    if kurtosis > 3 + 4 * math.sqrt(24 / len(every)):
        notes.append(
            f"outliers, steps or unlike traces: kurtosis {kurtosis:.1f}, where normal noise has 3"
        )
    left_open = (*FLICKER, ("read_sigma", "1"), *TELEGRAPH)
    return FitResult(
        kind="read-noise",
        model=MODEL,
        parameters=(
            _white_sigma(sigma, freedom, widening(every)),
            *(Parameter.unknown(name, of, NO_TIME) for name, of in left_open),
        ),
        points=len(every),
        goodness={"lag_1_correlation": between, "kurtosis": kurtosis},
        aic=2 + len(every) * (math.log(2 * math.pi * square / len(every)) + 1),
        notes=tuple(notes),
        curves={"reads around the mean of their trace": _histogram(every / sigma)},
        device={"read_noise": {"relative_sigma": sigma}},
    )


def _notes_on_independence(between: float, freedom: int) -> list[str]:
    """between : lag-one correlation of reads"""
    notes = [
        "reads without a time axis: white noise only; how it splits into white, 1/f and telegraph "
        "noise is open"
    ]
    if abs(between) > 3 / math.sqrt(freedom):
        notes.append(
            f"reads in sequence are correlated ({between:+.2f} from one to the next): they are not "
            "independent, and the interval is too narrow"
        )
    return notes


def _white_sigma(sigma: float, freedom: int, wider: float) -> Parameter:
    """Standard deviation with the interval of chi squared, wider or narrower on a logarithmic scale
    where the reads are not normal."""
    tail = (1 - CONFIDENCE) / 2
    lowest = math.sqrt(freedom / chi2.ppf(1 - tail, freedom))
    highest = math.sqrt(freedom / chi2.ppf(tail, freedom))
    return Parameter.known(
        "white_sigma", "1", sigma, low=sigma * lowest**wider, high=sigma * highest**wider
    )


def _unlike_traces(
    deviations: Sequence[Floats], sigma: float, means: Sequence[float], unit: str
) -> list[str]:
    """A note where the noise of traces differs (Bartlett's test)."""
    if len(deviations) < 2:
        return []
    spreads = [d.std(ddof=1) for d in deviations]
    shares = []
    each = []
    for deviation, spread, mean in zip(deviations, spreads, means, strict=True):
        shares.append((len(deviation) - 1) * math.log(sigma / spread))
        each.append(f"{spread:.3g} at {engineering(mean, unit, 4)}")
    if sum(shares) * 2 <= chi2.ppf(0.99, len(spreads) - 1):
        return []
    return [
        "traces differ in their noise, so that one number does not describe them: "
        + ", ".join(each)
    ]


def _histogram(relative: Floats) -> Curve:
    """Panel of deviations over their standard deviation, with the normal density."""
    bins = np.histogram_bin_edges(relative, "fd")
    height, edges = np.histogram(relative, bins[:: max(1, len(bins) // 200)], density=True)
    x = np.linspace(edges[0], edges[-1], 300)
    return Curve(
        x=Axis("deviation over white_sigma", "1"),
        y=Axis("density", "1"),
        data={"reads": Line((edges[1:] + edges[:-1]) / 2, height)},
        fit={"normal": Line(x, norm.pdf(x))},
    )
