"""Read noise from traces: white, 1/f^alpha and telegraph noise, each relative to the mean of its trace.

Spectra are fitted by Whittle's likelihood: a periodogram ordinate over the spectral density is exponentially distributed
(P. Whittle, Ark. Mat. 2, 423 (1953)).  Telegraph noise is a two-state hidden Markov model (L. Baum and T. Petrie, Ann.
Math. Stat. 37, 1554 (1966)).  Both likelihoods are those of the samples, up to the error of Whittle's approximation, so
that Akaike's criterion compares them.
"""
import dataclasses
import math
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, norm

from xbarsim.calibrate.result import CONFIDENCE, Curve, FitResult, Parameter
from xbarsim.calibrate.tables import Wanted, read_tables
from xbarsim.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.kernels import telegraph
from xbarsim.units import engineering

COLUMNS = (Wanted("time", "s", ("time", "t"), optional=True),
           Wanted("conductance", "S", ("conductance", "g", "cond"), optional=True),
           Wanted("current", "A", ("current", "i"), optional=True),
           Wanted("trace", "text", ("trace", "cell", "device", "target"), optional=True))
SHORTEST = 32                    # samples of a trace with a time axis
TRANSITIONS = 10                 # below it, dwell times are not identified
FASTEST = 0.8                    # P(high -> low) + P(low -> high) above which samples forget the state
DECISIVE = 10.0                  # AIC by which a telegraph or flicker term must beat its absence
_Z = norm.ppf(0.5 + CONFIDENCE / 2)
_NO_TIME = "reads without a time axis: give the time of every read"


def fit_read_noise(time, signal, band=None, unit="S"):
    """White, 1/f^alpha and telegraph noise of read traces.

    Parameters
    ----------
    time : (n,) s at even intervals, one for all traces or a list of one per trace; None for independent reads, of which
        only the white noise is fitted
    signal : (n,) conductance or current at constant voltage, or a list of traces of one cell (they share the noise, not
        the mean)
    band : (low, high) Hz over which the noise of a read is integrated; 1 / duration to 1 / (2 interval) if None
    unit : of `signal`, "S" or "A"

    Returns
    -------
    FitResult; all amplitudes are relative to the mean of a trace:
        white_sigma : standard deviation of a sample from white noise
        flicker_sigma, flicker_exponent, corner_frequency : of 1/f^alpha noise: integrated over `band`; alpha; where its
            density equals the white one
        read_sigma : white and 1/f^alpha noise integrated over `band`
        telegraph_amplitude : 1 - low state / high state;  dwell_high, dwell_low : mean times in the states

    Raises
    ------
    ShapeError, OutOfRangeError : traces that cannot be used
    """
    traces = [_checked(trace, unit) for trace in _listed(signal)]
    means = [trace.mean() for trace in traces]
    relative = [trace / mean for trace, mean in zip(traces, means, strict=True)]
    span = " to ".join(dict.fromkeys(engineering(mean, unit, 4) for mean in (min(means), max(means))))
    notes = [f"amplitudes are relative to the mean of a trace ({span})"]
    if time is None:
        return _independent(relative, means, unit, notes)
    for trace in traces:
        if len(trace) < SHORTEST:
            raise OutOfRangeError(f"a trace has {len(trace)} samples; allowed: {SHORTEST} or more for a spectrum; or leave "
                                  "out the time to fit white noise alone")
    interval = _interval(time, traces)
    return _with_time(relative, interval, _band(band, interval, max(map(len, traces))), notes)


def from_files(paths, columns, where):
    """Noise of reads: white, 1/f^alpha and telegraph, from time and conductance (or current)."""
    times, traces, inputs, units = [], [], [], set()
    for table in read_tables(paths, COLUMNS, columns, where):
        name = next((name for name in ("conductance", "current") if name in table), None)
        if name is None:
            raise ConfigError(f"{table.path}: no column for conductance (S) or current (A); name it as --column "
                              "conductance=HEADER or --column current=HEADER")
        table.require(SHORTEST if "time" in table else 2, "a trace")
        labels = table["trace"] if "trace" in table else np.zeros(len(table))
        for label in dict.fromkeys(labels.tolist()):
            mine = labels == label
            traces.append(table[name][mine])
            times.append(table["time"][mine] if "time" in table else None)
        units.add("S" if name == "conductance" else "A")
        inputs.append(table.echo)
    if len(units) > 1 or len({time is None for time in times}) > 1:
        raise ConfigError("some files have another quantity, or no time: calibrate them one at a time")
    result = fit_read_noise(None if times[0] is None else times, traces, unit=units.pop())
    return dataclasses.replace(result, inputs=tuple(inputs))


# --- what comes in -------------------------------------------------------------------------------------------------------

def _listed(value):
    return [value] if np.ndim(value[0]) == 0 else list(value)


def _checked(trace, unit):
    trace = np.asarray(trace, dtype=np.float64)
    if trace.ndim != 1 or len(trace) < 2:
        raise ShapeError(f"a trace has shape {trace.shape}; allowed: (n,) with 2 samples or more")
    if not np.isfinite(trace).all():
        k = int(np.argmin(np.isfinite(trace)))
        raise OutOfRangeError(f"sample {k} of a trace is {trace[k]} {unit}; allowed: finite numbers; remove it")
    if not trace.mean() > 0:
        raise OutOfRangeError(f"the mean of a trace is {trace.mean():g} {unit}; allowed: above 0 {unit}; turn the sign of "
                              "a negative current")
    if np.ptp(trace) == 0:
        raise OutOfRangeError(f"all samples of a trace are {engineering(trace[0], unit)}: it has no noise, or the "
                              "instrument did not resolve it")
    return trace


def _interval(time, traces):
    """s between samples, the same in all traces."""
    times = [np.asarray(t, dtype=np.float64) for t in _listed(time)]
    times = times * len(traces) if len(times) == 1 else times
    if len(times) != len(traces) or any(t.shape != trace.shape for t, trace in zip(times, traces, strict=True)):
        raise ShapeError(f"time has shapes {[t.shape for t in times]}, the traces {[t.shape for t in traces]}; allowed: "
                         "the same, or one time for all")
    interval = float(np.median(np.concatenate([np.diff(t) for t in times])))
    for t in times:
        step = np.diff(t)
        wrong = ~(abs(step - interval) <= 0.1 * abs(interval)) | (step <= 0)
        if wrong.any():
            k = int(np.argmax(wrong))
            raise OutOfRangeError(f"time steps by {step[k]:g} s from sample {k} to {k + 1} where most steps are "
                                  f"{interval:g} s; allowed: even steps within 10 %; cut the trace there, or resample it")
    return interval


def _band(band, interval, samples):
    low, high = (1 / (samples * interval), 0.5 / interval) if band is None else map(float, band)
    if not 0 < low < high < math.inf:
        raise OutOfRangeError(f"band is {low:g} to {high:g} Hz; allowed: 0 < low < high")
    return low, high


# --- independent reads ---------------------------------------------------------------------------------------------------

def _independent(relative, means, unit, notes):
    deviations = [(trace - 1) for trace in relative]
    freedom = sum(len(d) - 1 for d in deviations)
    square = sum((d ** 2).sum() for d in deviations)
    sigma = math.sqrt(square / freedom)
    tail = (1 - CONFIDENCE) / 2
    low, high = (math.sqrt(square / chi2.ppf(level, freedom)) for level in (1 - tail, tail))
    spreads = np.array([d.std(ddof=1) for d in deviations])
    between = sum((d[1:] * d[:-1]).sum() for d in deviations) / square
    pairs = sum(len(d) - 1 for d in deviations)
    notes.append("reads without a time axis: white noise only; how it splits into white, 1/f and telegraph noise is open")
    if abs(between) > 3 / math.sqrt(pairs):
        notes.append(f"reads in sequence are correlated ({between:+.2f} from one to the next): they are not independent, "
                     "and the interval is too narrow")
    if len(spreads) > 1:
        share = [(len(d) - 1) * math.log(sigma / s) for d, s in zip(deviations, spreads, strict=True)]
        if sum(share) * 2 > chi2.ppf(0.99, len(spreads) - 1):       # Bartlett's test
            notes.append("traces differ in their noise, so that one number does not describe them: "
                         + ", ".join(f"{s:.3g} at {engineering(m, unit, 4)}" for s, m in zip(spreads, means, strict=True)))
    every = np.concatenate(deviations)
    kurtosis = (every ** 4).mean() / (every ** 2).mean() ** 2
    if kurtosis > 3 + 4 * math.sqrt(24 / len(every)):
        notes.append(f"outliers, steps or unlike traces: kurtosis {kurtosis:.1f}, where normal noise has 3")
    parameters = (Parameter.known("white_sigma", "1", sigma, low, high),
                  *(Parameter.unknown(name, unit, _NO_TIME) for name, unit in (
                      *_FLICKER, ("read_sigma", "1"), *_TELEGRAPH)))
    bins = np.histogram_bin_edges(every / sigma, "fd")
    height, edges = np.histogram(every / sigma, bins[:: max(1, len(bins) // 200)], density=True)
    x = np.linspace(edges[0], edges[-1], 300)
    curves = {"reads around the mean of their trace": Curve(
        ("deviation over white_sigma", "1"), ("density", "1"), {"reads": ((edges[1:] + edges[:-1]) / 2, height)},
        {"normal": (x, norm.pdf(x))})}
    aic = 2 + len(every) * (math.log(2 * math.pi * square / len(every)) + 1)
    return FitResult("read-noise", "white noise of independent reads", parameters, len(every),
                     {"lag_1_correlation": between, "kurtosis": kurtosis}, aic, (), tuple(notes), (), curves,
                     {"read_noise": {"relative_sigma": sigma}})


# --- spectra -------------------------------------------------------------------------------------------------------------

class _Periodogram(NamedTuple):
    """Ordinates of all traces in units of the variance of a sample, averaged over narrow bins."""

    frequency: np.ndarray       # Hz, geometric mean of a bin
    power: np.ndarray
    count: np.ndarray           # ordinates in the bin


class _Spectrum(NamedTuple):
    """w + f (frequency / reference)^-alpha; `theta` = log w, log f, alpha, as many as the model has."""

    theta: np.ndarray
    covariance: np.ndarray
    reference: float            # Hz


def _periodogram(traces, interval, first):
    """Ordinates from number `first` of each trace to below the Nyquist frequency."""
    frequency, power = [], []
    for x in traces:
        ordinates = np.arange(first, (len(x) + 1) // 2)
        frequency.append(ordinates / (len(x) * interval))
        power.append(abs(np.fft.rfft(x - x.mean())[ordinates]) ** 2 / len(x))
    frequency, power = np.concatenate(frequency), np.concatenate(power)
    # 60 bins per decade: a density that falls as 1/f changes by 4 % within one
    _, index, count = np.unique(np.round(60 * np.log10(frequency * interval), 9) // 1, return_inverse=True,
                                return_counts=True)
    return _Periodogram(np.exp(np.bincount(index, np.log(frequency)) / count), np.bincount(index, power) / count, count)


def _density(theta, x):
    """Density and its derivatives (parameters, frequencies); x = log(frequency / reference)."""
    white = np.full_like(x, math.exp(theta[0]))
    if len(theta) == 1:
        return white, white[None]
    flicker = np.exp(theta[1] - (theta[2] if len(theta) == 3 else 1.0) * x)
    return white + flicker, np.array([white, flicker, -x * flicker][:len(theta)])


def _whittle(p, terms):
    """Maximum of Whittle's likelihood by Fisher scoring; terms : 1 white, 2 white + 1/f, 3 white + 1/f^alpha."""
    reference = math.sqrt(p.frequency[0] * p.frequency[-1])
    x = np.log(p.frequency / reference)
    mean = (p.count * p.power).sum() / p.count.sum()
    starts = [np.array([math.log(mean)])]
    if terms > 1:                                                    # white noise between 3 % and all of the power
        low = (p.count * p.power * (x < 0)).sum() / (p.count * (x < 0)).sum()
        starts = [np.array([math.log(mean * share), math.log(low / 3), 1.0][:terms]) for share in (1.0, 0.3, 0.03)]
    theta = max((_score(p, x, start) for start in starts), key=lambda theta: _likelihood(theta, p, x))
    density, slope = _density(theta, x)
    information = (slope * (p.count / density ** 2)) @ slope.T
    return _Spectrum(theta, np.linalg.pinv(information, hermitian=True), reference)


def _likelihood(theta, p, x):
    """Whittle's, but for a constant."""
    density = _density(theta, x)[0]
    return -(p.count * (np.log(density) + p.power / density)).sum()


def _log_likelihood(spectrum, p):
    return _likelihood(spectrum.theta, p, np.log(p.frequency / spectrum.reference))


def _score(p, x, theta):
    """Fisher's scoring, damped where a step lowers the likelihood."""
    value, damping = _likelihood(theta, p, x), 0.0
    for _ in range(200):
        density, slope = _density(theta, x)
        information = (slope * (p.count / density ** 2)) @ slope.T
        score = slope @ (p.count * (p.power - density) / density ** 2)
        step = np.linalg.solve(information + (damping + 1e-9) * np.diag(np.diag(information) + 1e-6), score)
        trial = theta + np.clip(step, -2, 2)
        if len(trial) == 3:
            trial[2] = min(max(trial[2], 0.2), 3.0)
        better = _likelihood(trial, p, x)
        if better >= value:
            gain, theta, value, damping = better - value, trial, better, damping / 10
            if gain < 1e-7:
                break
        else:
            damping = max(10 * damping, 1e-3)
            if damping > 1e8:
                break
    return theta


# --- telegraph noise -----------------------------------------------------------------------------------------------------

class _Hidden(NamedTuple):
    """A two-state hidden Markov model of the traces."""

    offset: np.ndarray          # (t,) mean of the low state in each trace
    step: float                 # high minus low
    sigma: float
    fall: float                 # P(high -> low) between samples
    rise: float
    log_likelihood: float
    transitions: float          # expected number
    high: np.ndarray            # (n,) probability of the high state, all traces one after the other


def _hidden_markov(traces, white):
    """The model of highest likelihood; only roughly so where it hardly beats white noise's log-likelihood."""
    x, start = np.concatenate(traces), np.cumsum([0, *map(len, traces)])
    spread = math.sqrt(sum(((t - t.mean()) ** 2).sum() for t in traces) / len(x))
    deepest = max(np.quantile(t, 0.98) - np.quantile(t, 0.02) for t in traces)
    runs = []
    for step, position in ((2 * spread, 0.5), (deepest, 0.2), (deepest, 0.8)):
        for fall in (0.3, 0.02):
            m = np.array([t.mean() - position * step for t in traces])
            runs.append((m, *_climb(x, start, m, step, spread / 2, fall, fall, 1e-3, 15)))
    m, *fit, transitions, high = max(runs, key=lambda run: run[1])
    for tolerance in (1e-3, 1e-6):
        *fit, transitions, high = _climb(x, start, m, *fit[1:], tolerance, 1000)
        if fit[0] < white + 6:
            break
    value, step, sigma, fall, rise = fit
    if step < 0:
        m, step, fall, rise, high = m + step, -step, rise, fall, 1 - high
    return _Hidden(m, step, sigma, fall, rise, value, transitions, high)


def _climb(x, start, m, step, sigma, fall, rise, tolerance, limit):
    high = np.empty(len(x))
    *fit, _ = telegraph.expectation_maximisation(x, start, m, step, sigma, fall, rise, high, tolerance, limit)
    return *fit, high


def _chain(dwell_high, dwell_low):
    """P(high -> low), P(low -> high) between samples; dwell times in samples."""
    a, b = 1 / dwell_high, 1 / dwell_low
    moved = -math.expm1(-(a + b)) / (a + b)
    return a * moved, b * moved


def _dwell(fall, rise):
    """Mean dwell times in samples, the inverse of `_chain`."""
    total = -math.log1p(-(fall + rise)) / (fall + rise)
    return 1 / (fall * total), 1 / (rise * total)


def _hidden_deviations(traces, hidden):
    """Standard deviations of log step, log sigma, log dwell_high, log dwell_low: the offsets of the traces are free.

    The information of a trace is the Hessian of its log-likelihood, by central differences, less what its offset takes.
    """
    shared = np.log([hidden.step, hidden.sigma, *_dwell(hidden.fall, hidden.rise)])
    h = 1e-3 * np.array([hidden.sigma, 1, 1, 1, 1])
    h[1] *= min(1, hidden.sigma / hidden.step)
    information = np.zeros((4, 4))
    for x, offset in zip(traces, hidden.offset, strict=True):
        scratch = np.empty(len(x))

        def value(theta, x=x, scratch=scratch):
            step, sigma, *dwell = np.exp(theta[1:])
            return telegraph.filtered(x, theta[0], step, sigma, *_chain(*dwell), scratch)

        full = -_hessian(value, np.array([offset, *shared]), h)
        information += full[1:, 1:] - np.outer(full[0, 1:], full[0, 1:]) / full[0, 0]
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True)))


def _hessian(value, at, h):
    n = len(at)
    unit = np.diag(h)
    result = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            result[i, j] = result[j, i] = (value(at + unit[i] + unit[j]) - value(at + unit[i] - unit[j])
                                           - value(at - unit[i] + unit[j]) + value(at - unit[i] - unit[j])
                                           ) / (4 * h[i] * h[j])
    return result


# --- together ------------------------------------------------------------------------------------------------------------

_FLICKER = (("flicker_sigma", "1"), ("flicker_exponent", "1"), ("corner_frequency", "Hz"))
_TELEGRAPH = (("telegraph_amplitude", "1"), ("dwell_high", "s"), ("dwell_low", "s"))
_NAMES = {1: "white", 2: "white + 1/f", 3: "white + 1/f^alpha"}


def _with_time(traces, interval, band, notes):
    points = sum(map(len, traces))
    square = sum(((t - t.mean()) ** 2).sum() for t in traces)
    white = -0.5 * points * (math.log(2 * math.pi * square / points) + 1)
    spectra, p, aic = _spectra(traces, interval, white)
    models = {_NAMES[terms]: (aic[terms], traces, p, spectrum, None) for terms, spectrum in spectra.items()}
    hidden = _hidden_markov(traces, white)
    pieces = np.split(hidden.high, np.cumsum([len(t) for t in traces])[:-1])
    rest = [t - m - hidden.step * h for t, m, h in zip(traces, hidden.offset, pieces, strict=True)]
    spectra, p, with_states = _spectra(rest, interval, hidden.log_likelihood)
    with_states = {terms: value + 6 for terms, value in with_states.items()}
    # Two or three steps are seen in any steep 1/f^alpha noise: beside such noise they need to be many.
    seen = min(with_states.values()) if hidden.transitions >= TRANSITIONS else with_states[1]
    gain = min(aic.values()) - seen
    telegraph_seen = bool(gain > DECISIVE and hidden.step > 0)
    if telegraph_seen:
        states = _telegraph_parameters(traces, hidden, interval)
        models |= {_NAMES[terms] + " + telegraph": (with_states[terms], rest, p, spectrum, hidden)
                   for terms, spectrum in spectra.items()}
    else:
        reason = f"AIC {-gain:+.1f} against noise without two states; it must be {-DECISIVE:g} or less"
        states = [Parameter.unknown(name, unit, reason) for name, unit in _TELEGRAPH]
    results = {name: _result(name, traces, interval, band, notes, states, *model) for name, model in models.items()}
    # No 1/f^alpha noise unless it is decisively better.  Its exponent stays free: whoever chooses after a look at the data
    # between 1 and a free one gets intervals that are too narrow.
    ranked = sorted(results.values(), key=lambda result: result.aic)
    first, full = (results[_NAMES[terms] + " + telegraph" * telegraph_seen] for terms in (1, 3))
    if first.aic - full.aic > DECISIVE:
        first = full
    others = tuple(dataclasses.replace(result, curves={}) for result in ranked if result is not first)
    return dataclasses.replace(first, alternatives=others)


def _spectra(traces, interval, white):
    """{terms: _Spectrum}, _Periodogram and {terms: AIC}, given the log-likelihood for white noise.

    Noise below the lowest ordinate leaks into it: it takes part in the choice of a model, not in the fit.
    """
    p, every = _periodogram(traces, interval, 2), _periodogram(traces, interval, 1)
    spectra = {terms: _whittle(p, terms) for terms in (1, 2, 3)}
    base = _log_likelihood(_whittle(every, 1), every)
    return spectra, p, {1: 2 - 2 * white} | {terms: 2 * terms - 2 * (white + _log_likelihood(spectra[terms], every) - base)
                                             for terms in (2, 3)}


def _log_parameter(name, unit, log_value, deviation):
    """exp of a normal quantity; not identified where its interval spans more than a factor of 10 either way."""
    if not deviation * _Z < math.log(10):
        return Parameter.unknown(name, unit, "its 90 % interval spans more than a factor of 10 either way")
    return Parameter.known(name, unit, *(math.exp(log_value + z * deviation) for z in (0, -_Z, _Z)))


def _integral(alpha, low, high):
    """Integral of f^-alpha from low to high."""
    ratio, b = math.log(high / low), 1 - alpha
    return low ** b * (ratio if abs(b * ratio) < 1e-9 else math.expm1(b * ratio) / b)


def _spectrum_parameters(spectrum, interval, band, p):
    """Parameters of the spectral terms, and the amplitude of the 1/f noise with the same power in the band."""
    theta, covariance = spectrum.theta, spectrum.covariance
    bandwidth = band[1] - band[0]

    def white_variance(theta):
        return math.exp(theta[0]) * 2 * interval * bandwidth

    def flicker_variance(theta):
        alpha = theta[2] if len(theta) == 3 else 1.0
        return 2 * interval * math.exp(theta[1]) * spectrum.reference ** alpha * _integral(alpha, *band)

    def propagated(quantity, name, unit):
        """The parameter exp(quantity(theta)), by the delta method."""
        h = 1e-5
        slope = np.array([(quantity(theta + h * e) - quantity(theta - h * e)) / (2 * h) for e in np.eye(len(theta))])
        return _log_parameter(name, unit, quantity(theta), math.sqrt(max(slope @ covariance @ slope, 0.0)))

    white = propagated(lambda t: t[0] / 2, "white_sigma", "1")
    total = propagated(lambda t: math.log(white_variance(t) + (flicker_variance(t) if len(t) > 1 else 0)) / 2,
                       "read_sigma", "1")
    if len(theta) == 1:
        reason = f"no power above the white floor: AIC gains less than {DECISIVE:g} by a 1/f^alpha term"
        return [white, *(Parameter.unknown(name, unit, reason) for name, unit in _FLICKER), total], None
    flicker = propagated(lambda t: math.log(flicker_variance(t)) / 2, "flicker_sigma", "1")
    corner = propagated(lambda t: math.log(spectrum.reference) + (t[1] - t[0]) / (t[2] if len(t) == 3 else 1.0),
                        "corner_frequency", "Hz")
    floor = p.frequency[-1]
    if not corner.identified or corner.value > floor:
        white = Parameter.unknown("white_sigma", "1", "the 1/f^alpha noise covers the white floor up to "
                                  f"{engineering(floor, 'Hz')}; sample faster")
        corner = Parameter.unknown("corner_frequency", "Hz", f"above the highest frequency, {engineering(floor, 'Hz')}")
    if len(theta) == 2:
        exponent = Parameter.unknown("flicker_exponent", "1", "held at 1")
    elif not 0.3 < theta[2] < 2.5:
        exponent = Parameter.unknown("flicker_exponent", "1", f"{theta[2]:.2g} is no 1/f noise: drift or steps")
    else:
        wide = _Z * math.sqrt(covariance[2, 2])
        exponent = Parameter.known("flicker_exponent", "1", theta[2], theta[2] - wide, theta[2] + wide)
    return ([white, flicker, exponent, corner, total],
            math.sqrt(flicker_variance(theta) / math.log(band[1] / band[0])))


def _telegraph_parameters(traces, hidden, interval):
    deviation = _hidden_deviations(traces, hidden)
    occupied = hidden.high.mean()
    # The mean of a trace is 1, so that its high state is 1 + step (1 - share of time in it).
    amplitude = [step / (1 + step * (1 - occupied)) for step in
                 (hidden.step * math.exp(z * deviation[0]) for z in (0, -_Z, _Z))]
    parameters = [Parameter.known("telegraph_amplitude", "1", *amplitude) if np.isfinite(amplitude).all() else
                  Parameter.unknown("telegraph_amplitude", "1", "the likelihood has no maximum")]
    reason = None
    if hidden.transitions < TRANSITIONS:
        reason = (f"{hidden.transitions:.0f} transitions in the record, {TRANSITIONS} are needed: record more than "
                  "a few dwell times")
    elif hidden.fall + hidden.rise > FASTEST:
        reason = f"samples every {engineering(interval, 's')} are coarser than the dwell times: sample faster"
    if reason:
        return [*parameters, *(Parameter.unknown(name, "s", reason) for name in ("dwell_high", "dwell_low"))]
    logs = np.log(np.multiply(_dwell(hidden.fall, hidden.rise), interval))
    return [*parameters, *(_log_parameter(name, "s", log, d) for name, log, d in
                           zip(("dwell_high", "dwell_low"), logs, deviation[2:], strict=True))]


def _result(model, traces, interval, band, notes, states, aic, rest, p, spectrum, hidden):
    """FitResult of one model; `rest` is what is left of the traces without telegraph noise, `states` its parameters."""
    parameters, amplitude = _spectrum_parameters(spectrum, interval, band, p)
    notes = [*notes, f"flicker_sigma and read_sigma are integrated from {engineering(band[0], 'Hz')} to "
                     f"{engineering(band[1], 'Hz')}"]
    white = parameters[0]
    noise = {"relative_sigma": white.value if white.identified else 0.0}
    if amplitude is not None:
        noise["flicker"] = {"amplitude": amplitude, "frequency_low_hz": band[0], "frequency_high_hz": band[1]}
        notes.append("the device file has 1/f noise of the same power in this band")
    curves = {}
    if hidden is None:
        parameters += ([Parameter.unknown(name, unit, "not in this model") for name, unit in _TELEGRAPH]
                       if states[0].identified else states)
    else:
        parameters += states
        if all(q.identified for q in states):
            noise["telegraph"] = dict(zip(("relative_amplitude", "dwell_high_s", "dwell_low_s"),
                                          (q.value for q in states), strict=True))
        else:
            notes.append("the device file has no telegraph noise: it is not identified")
        if amplitude is not None:
            notes.append("telegraph noise was fitted as if the rest were white, then 1/f^alpha noise to the remainder: "
                         "where both are strong, their intervals are too narrow")
        shown = slice(0, min(len(traces[0]), 2000))
        time = interval * np.arange(len(traces[0]))[shown]
        decoded = hidden.offset[0] + hidden.step * (hidden.high[:len(traces[0])] > 0.5)
        curves["trace and decoded states"] = Curve(
            ("time", "s"), ("over the mean", "1"), {"reads": (time, traces[0][shown])}, {"state": (time, decoded[shown])})
    density = _density(spectrum.theta, np.log(p.frequency / spectrum.reference))[0]
    left = "" if hidden is None else " without the telegraph states"
    curves[f"periodogram{left}"] = Curve(
        ("frequency", "Hz"), ("relative density", "1/Hz"), {"periodogram": (p.frequency, 2 * interval * p.power)},
        {_NAMES[len(spectrum.theta)]: (p.frequency, 2 * interval * density)}, log_x=True, log_y=True)
    ratio = p.power / density
    goodness = {"periodogram_over_fit_chi_square_per_freedom":
                float((p.count * (ratio - 1) ** 2).sum() / max(len(ratio) - len(spectrum.theta), 1))}
    if hidden is not None:
        goodness |= {"transitions": hidden.transitions, "step_over_sigma": hidden.step / hidden.sigma}
    return FitResult("read-noise", model, tuple(parameters), sum(map(len, rest)), goodness, aic,
                     notes=tuple(notes), curves=curves, device={"read_noise": noise})
