"""Logs of writes that pulse a cell until it reads within a window: tolerance, steps, noise, number
of pulses."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.pulses import falling, noise_table, step_interval, step_table
from xbarsim.calibrate.result import CONFIDENCE, Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import proportion, t_interval
from xbarsim.calibrate.steps import (
    WAYS,
    Trains,
    Uncertainty,
    choices,
    fit_steps,
    noise_parameters,
    straight,
)
from xbarsim.calibrate.tables import Wanted, read_tables

COLUMNS = (
    Wanted("target", "S", ("target", "aim", "goal")),
    Wanted("conductance", "S", ("conductance", "read", "measured", "g")),
    Wanted("write", "text", ("write", "cell", "device", "trial", "id", "addr"), optional=True),
    Wanted("pulse", "1", ("pulse", "pulses", "iteration", "n"), optional=True),
)
LEAST_WRITES = 5
LEAST_PULSES = 20


@dataclasses.dataclass(frozen=True)
class Write:
    """One write: target S; reads (p + 1,) S before the first pulse and after each."""

    target: float
    reads: np.ndarray

    @property
    def misses(self):
        """(p + 1,) S, distance of every read from the target."""
        return abs(self.reads - self.target)

    @property
    def pulses(self):
        return len(self.reads) - 1


def fit_write_verify(
    target: ArrayLike,
    conductance: ArrayLike,
    write: Sequence[object] | None = None,
    pulse: ArrayLike | None = None,
    law: str | None = None,
) -> FitResult:
    """The process behind a log of writes, as `[write_verify]` of a device file runs it.

    The tolerance lies between the worst read that ended a write and the best read that did not.
    After every other read a pulse follows, up where the read is below the target; its steps are
    fitted as those of `fit_pulses`.

    Parameters
    ----------
    target, conductance : (n,) S, a row for every verify read, in order: before the first pulse and
        after each
    write : (n,) label of the write or cell;  pulse : (n,) pulses of the write so far.  A new write
        starts where the label or the target changes, or the pulse number does not rise; without
        `pulse`, where label or target change
    law : of the steps, as in `fit_pulses`

    Returns
    -------
    FitResult : tolerance (S), pulses (mean of a write), unverified_rate, maximum_pulses, start (S),
        step_up, step_down (S, at the ends of the window), step_relative_sigma, read_sigma (S)

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; pulses skipped; too few writes
        or pulses
    """
    writes = split(target, conductance, write, pulse)
    total = sum(one.pulses for one in writes)
    if len(writes) < LEAST_WRITES or total < LEAST_PULSES:
        raise OutOfRangeError(
            f"{len(writes)} writes with {total} pulses; a process needs {LEAST_WRITES} writes and "
            f"{LEAST_PULSES} pulses or more"
        )
    trains = Trains.join(
        [
            (one.reads, np.append(0, np.sign(one.target - one.reads[:-1])))
            for one in writes
            if one.pulses
        ]
    )
    fits = [_result(fit_steps(trains, laws), writes) for laws in choices(trains, law)]
    fits.sort(key=lambda fit: fit.aic)
    return dataclasses.replace(fits[0], alternatives=tuple(fits[1:]))


def split(target, conductance, write=None, pulse=None):
    """[Write] of a log."""
    target = np.asarray(target, float)
    reads = np.asarray(conductance, float)
    label = (
        np.zeros(reads.shape, int)
        if write is None
        else np.unique(np.asarray(write), return_inverse=True)[1]
    )
    if (
        reads.ndim != 1
        or not target.shape == reads.shape == label.shape
        or not len(reads)
        or not (np.isfinite(target) & np.isfinite(reads)).all()
    ):
        raise ShapeError(
            f"target {target.shape}, conductance {reads.shape}, write {label.shape}; allowed: "
            f"finite vectors "
            "of one length"
        )
    begins = (np.diff(target, prepend=np.nan) != 0) | (np.diff(label, prepend=-1) != 0)
    if pulse is not None:
        number = np.asarray(pulse, float)
        begins |= np.diff(number, prepend=np.inf) <= 0
        skipped = np.flatnonzero(~begins & (np.diff(number, prepend=0) != 1))
        if skipped.size:
            raise OutOfRangeError(
                f"row {skipped[0] + 1}: the pulse number goes from {number[skipped[0] - 1]:g} to "
                f"{number[skipped[0]]:g}; allowed: a read after every pulse"
            )
        late = np.flatnonzero(begins & (number != 0))
        if late.size:
            raise OutOfRangeError(
                f"row {late[0] + 1}: a write begins with pulse {number[late[0]]:g}; allowed: "
                f"pulse 0, "
                "the read before the first pulse"
            )
    places = np.flatnonzero(begins)
    return [
        Write(float(target[first]), part)
        for first, part in zip(places, np.split(reads, places[1:]), strict=True)
    ]


def tolerance_of(writes):
    """(Parameter tolerance, writes that ended outside it)."""
    rejected = np.concatenate([one.misses[:-1] for one in writes])
    longest = max(one.pulses for one in writes)
    best_rejected = rejected.min()
    ended = [
        one.misses[-1] for one in writes if one.pulses < longest or one.misses[-1] < best_rejected
    ]
    failed = len(writes) - len(ended)
    if not ended:
        return Parameter.unknown("tolerance", "S", "no write ended before the last pulse"), failed
    worst_accepted = max(ended)
    if worst_accepted > best_rejected:
        reason = (
            f"a read {worst_accepted * 1e6:.4g} µS off ended a write, another "
            f"{best_rejected * 1e6:.4g} µS off did "
            "not: the window is not the same for all writes"
        )
        return Parameter.unknown("tolerance", "S", reason), failed
    middle = (worst_accepted + best_rejected) / 2
    half = (
        CONFIDENCE / 2 * (best_rejected - worst_accepted)
    )  # reads are as dense on both sides of the tolerance
    return Parameter.known("tolerance", "S", middle, middle - half, middle + half), failed


def _result(steps, writes):
    """FitResult of fitted Steps."""
    model = (
        steps.laws[0] if len(set(steps.laws)) == 1 else f"{steps.laws[0]} up, {steps.laws[1]} down"
    )
    aic = steps.aic
    fitted_steps = steps
    steps, reasons = straight(steps)
    other = falling(fitted_steps, reasons)
    noise, steps = noise_parameters(steps, "S")
    uncertainty = Uncertainty(steps)
    tolerance, failed = tolerance_of(writes)
    counts = np.array([one.pulses for one in writes])
    starts = np.array([one.reads[0] for one in writes])
    longest = int(counts.max())
    targets = np.array([one.target for one in writes])
    minimum, maximum = window(targets, starts)
    parameters = [
        tolerance,
        t_interval(
            "pulses", "1", counts.mean(), counts.std(ddof=1) / np.sqrt(len(counts)), len(counts) - 1
        ),
        proportion("unverified_rate", failed, len(writes)),
    ]
    notes = [f"{len(writes)} writes, {counts.sum()} pulses"]
    if failed:
        parameters.append(Parameter.known("maximum_pulses", "1", longest, longest, longest))
    else:
        reason = f"every write was verified, the longest after {longest}"
        parameters.append(Parameter.unknown("maximum_pulses", "1", reason))
    parameters.append(
        t_interval(
            "start", "S", starts.mean(), starts.std(ddof=1) / np.sqrt(len(starts)), len(starts) - 1
        )
    )
    table = {
        "maximum_pulses": longest,
        "start_us": float(max(starts.mean(), 0.0) / MICROSIEMENS),
    } | noise_table(*noise)
    for way in steps.trains.directions:
        at_end = minimum if way == 0 else maximum
        name = f"step_{WAYS[way]}"
        if 2 + way not in fitted_steps.free:
            reason = f"{reasons[way]}, whose mean step the file has; log more of them"
            parameters.append(Parameter.unknown(name, "S", reason))
        else:
            values = step_interval(
                uncertainty,
                other if way in reasons else None,
                lambda s, way=way, x=at_end: s.step(way, x),
            )
            parameters.append(Parameter.known(name, "S", *values))
        table |= step_table(steps, way, minimum, maximum, way in reasons)
        if way in reasons:
            notes.append(f"steps {WAYS[way]} do not change with the conductance beyond chance")
    parameters += noise
    device = {}
    if tolerance.identified:
        table["tolerance_us"] = tolerance.value / MICROSIEMENS
        ends = [float(end / MICROSIEMENS) for end in (minimum, maximum)]
        device = {
            "write_verify": table,
            "conductance": {"minimum_us": ends[0], "maximum_us": ends[1], "valid_range_us": ends},
        }
    goodness = {"accepted_within_us": float(max(one.misses[-1] for one in writes) / MICROSIEMENS)}
    return FitResult(
        "write-verify",
        model,
        tuple(parameters),
        len(steps.trains.reads),
        goodness,
        aic,
        notes=tuple(notes),
        curves=_curves(writes, steps),
        device=device,
    )


def window(targets, starts):
    """(least, largest) conductance S between which the writes move cells: the targets, and where
    they start."""
    start = max(float(np.mean(starts)), 0.0)
    return min(float(targets.min()), start), max(float(targets.max()), start)


def _curves(writes, steps):
    """Pictures: how many pulses writes take; the change by a pulse against the conductance."""
    counts = np.sort([one.pulses for one in writes])
    share = (np.arange(len(counts)) + 0.5) / len(counts)
    grid = np.linspace(steps.low, steps.high, 100)
    data, fit = {}, {}
    reads, way = steps.trains.reads, steps.trains.way
    for index in steps.trains.directions:
        after = np.flatnonzero(way == 1 - 2 * index)
        data[WAYS[index]] = (reads[after - 1], reads[after] - reads[after - 1])
        fit[f"{WAYS[index]}, fit"] = (
            grid,
            (1 - 2 * index) * np.array([steps.step(index, x) for x in grid]),
        )
    return {
        "steps": Curve(("conductance", "S"), ("change by a pulse", "S"), data, fit),
        "pulses of a write": Curve(
            ("pulses", ""), ("share of writes", ""), {"measured": (counts, share)}, {}
        ),
    }


def from_files(paths, columns, where):
    """`fit_write_verify` of files with a row for every verify read; each file starts a new
    write."""
    tables = read_tables(paths, COLUMNS, columns, where)
    target, reads, label, pulse = [], [], [], []
    for index, table in enumerate(tables):
        table.require(LEAST_PULSES, "a log of writes")
        target.append(table["target"])
        reads.append(table["conductance"])
        names = table["write"] if "write" in table else np.full(len(table), "")
        label.append(np.array([f"{index} {name}" for name in names]))
        if "pulse" in table:
            pulse.append(table["pulse"])
    numbered = len(pulse) == len(tables)
    if pulse and not numbered:
        raise OutOfRangeError(
            "some files have a column of pulse numbers, others none; name it for all"
        )
    result = fit_write_verify(
        np.concatenate(target),
        np.concatenate(reads),
        np.concatenate(label),
        np.concatenate(pulse) if numbered else None,
    )
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
