"""Logs of writes that pulse a cell until it reads within a window: tolerance, steps, noise, number
of pulses."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import (
    CONFIDENCE,
    Axis,
    Curve,
    DeviceTable,
    FitResult,
    Line,
    Parameter,
)
from xbarsim.calibrate.statistics import by_aic, proportion, t_interval
from xbarsim.calibrate.step_analysis import Analysis, analyse
from xbarsim.calibrate.steps import WAYS, Steps, Trains, choices, fit_steps, sign, step_table
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
    reads: Floats

    @property
    def misses(self) -> Floats:
        """(p + 1,) S, distance of every read from the target."""
        return abs(self.reads - self.target)

    @property
    def pulses(self) -> int:
        return len(self.reads) - 1

    @property
    def directions(self) -> Floats:
        """(p + 1,) sign of the pulse before every read, 0 before the first."""
        return np.append(0, np.sign(self.target - self.reads[:-1]))


def fit_write_verify(
    target: ArrayLike,
    conductance: ArrayLike,
    write: ArrayLike | Sequence[object] | None = None,
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
    trains = Trains.join([(one.reads, one.directions) for one in writes if one.pulses])
    fitted = [fit_steps(trains, laws) for laws in choices(trains, law)]
    fits = by_aic([(_result(steps, writes), len(steps.free)) for steps in fitted])
    return dataclasses.replace(fits[0], alternatives=tuple(fits[1:]))


# --- writes of a log


def split(
    target: ArrayLike,
    conductance: ArrayLike,
    write: ArrayLike | Sequence[object] | None = None,
    pulse: ArrayLike | None = None,
) -> list[Write]:
    """The writes of a log; arguments and errors as of `fit_write_verify`."""
    targets: Floats = np.asarray(target, float)
    reads: Floats = np.asarray(conductance, float)
    label = np.zeros(reads.shape, int)
    if write is not None:
        label = np.unique(np.asarray(write), return_inverse=True)[1]
    alike = reads.ndim == 1 and targets.shape == reads.shape == label.shape
    if not alike or not len(reads) or not (np.isfinite(targets) & np.isfinite(reads)).all():
        raise ShapeError(
            f"target {targets.shape}, conductance {reads.shape}, write {label.shape}; allowed: "
            f"finite vectors "
            "of one length"
        )
    begins = (np.diff(targets, prepend=np.nan) != 0) | (np.diff(label, prepend=-1) != 0)
    if pulse is not None:
        number: Floats = np.asarray(pulse, float)
        begins |= np.diff(number, prepend=np.inf) <= 0
        _check_pulses(number, begins)
    places = np.flatnonzero(begins)
    parts = np.split(reads, places[1:])
    return [Write(float(targets[first]), part) for first, part in zip(places, parts, strict=True)]


def _check_pulses(number: Floats, begins: Booleans) -> None:
    """OutOfRangeError where a read is missing.

    number : (n,) pulses of the write so far;  begins : (n,) rows where a write begins
    """
    skipped = np.flatnonzero(~begins & (np.diff(number, prepend=0) != 1))
    if skipped.size:
        row = skipped[0]
        raise OutOfRangeError(
            f"row {row + 1}: the pulse number goes from {number[row - 1]:g} to {number[row]:g}; "
            "allowed: a read after every pulse"
        )
    late = np.flatnonzero(begins & (number != 0))
    if late.size:
        row = late[0]
        raise OutOfRangeError(
            f"row {row + 1}: a write begins with pulse {number[row]:g}; allowed: pulse 0, the read "
            "before the first pulse"
        )


# --- tolerance


class Tolerance(NamedTuple):
    """Distance (S) from the target that ends a write, and how many writes ended outside it."""

    parameter: Parameter
    failed: int


def tolerance_of(writes: Sequence[Write]) -> Tolerance:
    """Tolerance between the worst read that ended a write and the best that did not."""
    best_rejected = np.concatenate([one.misses[:-1] for one in writes]).min()
    longest = max(one.pulses for one in writes)
    ended = []
    for one in writes:
        last = one.misses[-1]
        if one.pulses < longest or last < best_rejected:
            ended.append(last)
    failed = len(writes) - len(ended)
    if not ended:
        reason = "no write ended before the last pulse"
        return Tolerance(Parameter.unknown("tolerance", "S", reason), failed)
    worst_accepted = max(ended)
    if worst_accepted > best_rejected:
        reason = (
            f"a read {worst_accepted * 1e6:.4g} µS off ended a write, another "
            f"{best_rejected * 1e6:.4g} µS off did "
            "not: the window is not the same for all writes"
        )
        return Tolerance(Parameter.unknown("tolerance", "S", reason), failed)
    middle = (worst_accepted + best_rejected) / 2
    # reads are as dense on both sides of the tolerance
    half = CONFIDENCE / 2 * (best_rejected - worst_accepted)
    return Tolerance(
        Parameter.known("tolerance", "S", middle, middle - half, middle + half), failed
    )


# --- results


@dataclasses.dataclass(frozen=True)
class Process:
    """What writes have in common beside their steps.

    counts : (w,) pulses;  starts : (w,) S, reads before the first pulse
    minimum, maximum : S between which the writes move cells: the targets, and where they start
    """

    counts: Floats
    starts: Floats
    minimum: float
    maximum: float
    tolerance: Tolerance

    @classmethod
    def of(cls, writes: Sequence[Write]) -> "Process":
        starts = np.array([one.reads[0] for one in writes])
        targets = np.array([one.target for one in writes])
        start = max(float(np.mean(starts)), 0.0)
        return cls(
            counts=np.array([one.pulses for one in writes]),
            starts=starts,
            minimum=min(float(targets.min()), start),
            maximum=max(float(targets.max()), start),
            tolerance=tolerance_of(writes),
        )

    @property
    def longest(self) -> int:
        """Most pulses of a write."""
        return int(self.counts.max())

    def end(self, way: int) -> float:
        """S, where the steps of a direction are those of the device file."""
        return self.minimum if way == 0 else self.maximum

    def parameters(self) -> list[Parameter]:
        """Tolerance, pulses, unverified_rate, maximum_pulses, start."""
        failed = self.tolerance.failed
        return [
            self.tolerance.parameter,
            _mean("pulses", "1", self.counts),
            proportion("unverified_rate", failed, len(self.counts)),
            self._maximum_pulses(),
            _mean("start", "S", self.starts),
        ]

    def _maximum_pulses(self) -> Parameter:
        longest = self.longest
        if self.tolerance.failed:
            return Parameter.known("maximum_pulses", "1", longest, longest, longest)
        reason = f"every write was verified, the longest after {longest}"
        return Parameter.unknown("maximum_pulses", "1", reason)


def _mean(name: str, unit: str, values: Floats) -> Parameter:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return t_interval(name, unit, values.mean(), error, len(values) - 1)


def _result(fitted: Steps, writes: Sequence[Write]) -> FitResult:
    """FitResult of fitted Steps."""
    analysis = analyse(fitted, "S")
    steps = analysis.steps
    process = Process.of(writes)
    notes = [f"{len(writes)} writes, {process.counts.sum()} pulses"]
    for way in steps.trains.directions:
        if way in analysis.constant:
            notes.append(f"steps {WAYS[way]} do not change with the conductance beyond chance")
    parameters = process.parameters()
    parameters += [_step_parameter(analysis, process, way) for way in steps.trains.directions]
    parameters += analysis.noise
    worst = max(one.misses[-1] for one in writes)
    return FitResult(
        kind="write-verify",
        model=fitted.model,
        parameters=tuple(parameters),
        points=len(steps.trains.reads),
        goodness={"accepted_within_us": float(worst / MICROSIEMENS)},
        aic=fitted.aic,
        notes=tuple(notes),
        curves={"steps": _steps_curve(steps), "pulses of a write": _pulses_curve(process)},
        device=_device(analysis, process),
    )


def _step_parameter(analysis: Analysis, process: Process, way: int) -> Parameter:
    """Step at the end of the window that the direction leaves."""
    name = f"step_{WAYS[way]}"
    if not analysis.fitted.can_fall(way):
        reason = f"{analysis.constant[way]}, whose mean step the file has; log more of them"
        return Parameter.unknown(name, "S", reason)
    at_end = process.end(way)
    step = analysis.step_interval(way, lambda steps: steps.step(way, at_end))
    return Parameter.known(name, "S", *step)


def _device(analysis: Analysis, process: Process) -> dict[str, DeviceTable]:
    """Tables of a device file; none without a tolerance."""
    tolerance = process.tolerance.parameter.value
    if tolerance is None:
        return {}
    steps = analysis.steps
    table: DeviceTable = {
        "maximum_pulses": process.longest,
        "start_us": float(max(process.starts.mean(), 0.0) / MICROSIEMENS),
    }
    table |= analysis.noise.table()
    for way in steps.trains.directions:
        constant = way in analysis.constant
        table |= step_table(steps, way, process.minimum, process.maximum, constant)
    table["tolerance_us"] = tolerance / MICROSIEMENS
    low = float(process.minimum / MICROSIEMENS)
    high = float(process.maximum / MICROSIEMENS)
    conductance = {"minimum_us": low, "maximum_us": high, "valid_range_us": [low, high]}
    return {"write_verify": table, "conductance": conductance}


def _steps_curve(steps: Steps) -> Curve:
    """Picture of the change by a pulse against the conductance."""
    grid = np.linspace(steps.low, steps.high, 100)
    reads = steps.trains.reads
    data = {}
    fit = {}
    for way in steps.trains.directions:
        after = np.flatnonzero(steps.trains.way == sign(way))
        data[WAYS[way]] = Line(reads[after - 1], reads[after] - reads[after - 1])
        sizes = np.array([steps.step(way, x) for x in grid])
        fit[f"{WAYS[way]}, fit"] = Line(grid, sign(way) * sizes)
    return Curve(Axis("conductance", "S"), Axis("change by a pulse", "S"), data, fit)


def _pulses_curve(process: Process) -> Curve:
    """Picture of how many pulses writes take."""
    counts = np.sort(process.counts)
    share = (np.arange(len(counts)) + 0.5) / len(counts)
    measured = {"measured": Line(counts, share)}
    return Curve(Axis("pulses", ""), Axis("share of writes", ""), data=measured, fit={})


# --- files


def from_files(
    paths: Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str],
    where: Mapping[str, str],
) -> FitResult:
    """`fit_write_verify` of files with a row for every verify read; each file starts a new
    write."""
    tables = read_tables(paths, COLUMNS, columns, where)
    labels = []
    for index, table in enumerate(tables):
        table.require(LEAST_PULSES, "a log of writes")
        names = table["write"] if "write" in table else np.full(len(table), "")
        labels.append(np.array([f"{index} {name}" for name in names]))
    pulses = [table["pulse"] for table in tables if "pulse" in table]
    if pulses and len(pulses) < len(tables):
        raise OutOfRangeError(
            "some files have a column of pulse numbers, others none; name it for all"
        )
    result = fit_write_verify(
        target=np.concatenate([table["target"] for table in tables]),
        conductance=np.concatenate([table["conductance"] for table in tables]),
        write=np.concatenate(labels),
        pulse=np.concatenate(pulses) if pulses else None,
    )
    return dataclasses.replace(result, inputs=tuple(table.echo for table in tables))
