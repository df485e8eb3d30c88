"""Repeated writes of several cells (endurance, repeated programming): spread from cycle to cycle
and from device to device."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from xbarsim.base.array_types import AnyArray, Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Line, Parameter
from xbarsim.calibrate.statistics import TAIL
from xbarsim.calibrate.tables import Table, Wanted, read_tables

COLUMNS = (
    Wanted("conductance", "S", ("conductance", "achieved", "measured", "g")),
    Wanted("cell", "text", ("cell", "device", "addr", "address", "id"), optional=True),
    Wanted("state", "text", ("state", "level", "target"), optional=True),
    Wanted("cycle", "1", ("cycle", "cycles", "write", "repeat"), optional=True),
)
LEAST = 10
LEAST_CELLS = 3
IMPLAUSIBLE = 1e-3


def fit_spread(
    conductance: ArrayLike,
    cell: ArrayLike | Sequence[object] | None = None,
    state: ArrayLike | Sequence[object] | None = None,
    cycle: ArrayLike | None = None,
) -> FitResult:
    """Variance components of repeated writes, g = mean (1 + device-to-device N) (1 + cycle-to-cycle
    N).

    Conductances are relative to the mean of their state.  The variance within cells is that from
    cycle to cycle, the variance of the cells' means, less what cycles leave in it, that from device
    to device (unweighted means, so cells may have different numbers of writes).  Intervals:
    chi-squared with the degrees of freedom that the kurtosis costs (Box), for the difference of two
    variances those of Graybill and Wang (1980).

    Parameters
    ----------
    conductance : (n,) S, one per write, above 0;  cell, state : (n,) labels, one cell and one state
        if None
    cycle : (n,) number of the write, only to notice a trend; the order of the rows if None

    Returns
    -------
    FitResult : cycle_to_cycle, device_to_device, relative standard deviations, as `[spread]` of a
        device file has them

    Raises
    ------
    ShapeError, OutOfRangeError : not finite vectors of one length; not above 0 S; too few writes
    """
    writes = _checked(conductance, cell, state, cycle)
    relative = writes.relative
    found = components(relative, writes.cell)
    residual = found.within.values
    goodness: dict[str, float] = {}
    warnings: list[str] = []
    curves: dict[str, Curve] = {}
    if found.within.freedom > 0:
        goodness = _goodness(residual)
        warnings = _warnings(goodness["kolmogorov_smirnov_p"], writes.order, residual)
        curves["from cycle to cycle"] = _distribution(residual)
    if found.between.freedom > 0:
        means = found.between.values
        curves["from device to device"] = _distribution(means - means.mean())
    spread = _spread(found)
    return FitResult(
        kind="spread",
        model="cycle to cycle and device to device",
        parameters=spread.parameters,
        points=len(relative),
        goodness=goodness,
        aic=float("nan"),
        notes=tuple(_notes(writes)),
        curves=curves,
        device={"spread": spread.table} if spread.table else {},
        warnings=tuple(warnings),
    )


# --- writes


class Labels(NamedTuple):
    """Distinct labels, and the number (n,) of that of every row."""

    distinct: AnyArray
    number: Integers


@dataclasses.dataclass(frozen=True)
class Writes:
    """Writes of several cells to several states.

    conductance : (n,) S;  cell, state : (n,) numbers;  order : (n,) that of the writes;  states :
        labels by their numbers
    """

    conductance: Floats
    cell: Integers
    state: Integers
    order: Floats
    states: AnyArray

    @property
    def means(self) -> Floats:
        """Mean conductance of every state, S."""
        means: Floats = np.bincount(self.state, self.conductance) / np.bincount(self.state)
        return means

    @property
    def relative(self) -> Floats:
        """(n,) conductances over the mean of their state."""
        relative: Floats = self.conductance / self.means[self.state]
        return relative


def _checked(
    conductance: ArrayLike,
    cell: ArrayLike | Sequence[object] | None,
    state: ArrayLike | Sequence[object] | None,
    cycle: ArrayLike | None,
) -> Writes:
    g: Floats = np.asarray(conductance, float)
    cells = _labels(cell, g).number
    states, state_of = _labels(state, g)
    order = np.arange(g.size, dtype=float)
    if cycle is not None:
        order = np.asarray(cycle, float)
    alike = g.shape == cells.shape == state_of.shape == order.shape
    if g.ndim != 1 or not alike or not np.isfinite(g).all():
        raise ShapeError(
            f"conductance {g.shape}, cell {cells.shape}, state {state_of.shape}, cycle "
            f"{order.shape}; allowed: "
            "finite vectors of one length"
        )
    if g.size < LEAST:
        raise OutOfRangeError(f"{g.size} writes; a spread needs {LEAST} or more")
    if g.min() <= 0:
        raise OutOfRangeError(
            f"the least conductance is {g.min():g} S; allowed: above 0, for a spread that is "
            f"relative"
        )
    return Writes(conductance=g, cell=cells, state=state_of, order=order, states=states)


def _labels(labels: ArrayLike | Sequence[object] | None, g: Floats) -> Labels:
    """Labels of every row; all the same where none are given."""
    if labels is None:
        return Labels(np.array(["all"]), np.zeros(g.shape, int))
    return Labels(*np.unique(np.asarray(labels), return_inverse=True))


# --- what is said of them


def _goodness(residual: Floats) -> dict[str, float]:
    """How Gaussian the scatter within cells is."""
    p = 1.0
    if residual.any():
        p = float(stats.kstest(residual / residual.std(), "norm").pvalue)
    return {"kolmogorov_smirnov_p": p, "excess_kurtosis": float(stats.kurtosis(residual))}


def _warnings(p: float, order: Floats, residual: Floats) -> list[str]:
    """p : probability of a Gaussian scatter;  order, residual : (n,) of the writes."""
    warnings = []
    if p < IMPLAUSIBLE:
        warnings.append(
            f"the scatter from cycle to cycle is not Gaussian (Kolmogorov-Smirnov p = "
            f"{p:.2g}): cells drawn "
            "from the device file will differ from these writes"
        )
    trend = stats.spearmanr(order, residual)
    if trend.pvalue < IMPLAUSIBLE:
        goes = "rise" if trend.statistic > 0 else "fall"
        warnings.append(
            f"conductances {goes} with the number of the write (rank correlation "
            f"{trend.statistic:+.2f}): part of the spread from cycle to cycle is a trend"
        )
    return warnings


def _notes(writes: Writes) -> list[str]:
    """Lines about all writes, and about every state where there are several."""
    cells = int(writes.cell.max()) + 1
    count = len(writes.conductance)
    notes = [f"{cells} cells, {count} writes; spread of the reads is in these numbers"]
    if len(writes.states) > 1:
        notes += [_of_state(writes, number) for number in range(len(writes.states))]
    return notes


def _of_state(writes: Writes, number: int) -> str:
    """A line about one state."""
    here = writes.state == number
    own = np.unique(writes.cell[here], return_inverse=True)[1]
    found = components(writes.relative[here], own)
    of_device = np.sqrt(max(found.of_device, 0.0))
    of_cycle = np.sqrt(found.within.value)
    return (
        f"state {writes.states[number]}: {here.sum()} writes, mean "
        f"{writes.means[number] * 1e6:.4g} µS, cycle to cycle {100 * of_cycle:.3g} %, device to "
        f"device {100 * of_device:.3g} %"
    )


# --- components of variance


@dataclasses.dataclass(frozen=True)
class MeanSquare:
    """An estimated variance: `value` with so many degrees of `freedom`, as the kurtosis leaves of
    them.

    values : what it is the variance of;  writes : harmonic mean number of writes behind each of
        them
    """

    value: float
    freedom: float
    values: Floats
    writes: float

    def reach(self) -> "Reach":
        """How far its interval goes."""
        low, high = stats.chi2.ppf([TAIL, 1 - TAIL], self.freedom) / self.freedom
        return Reach(below=1 - 1 / high, above=1 / low - 1)


class Reach(NamedTuple):
    """Share of a variance that its interval reaches beyond it (Graybill and Wang's G and H)."""

    below: float
    above: float


class Components(NamedTuple):
    """Variance of the cells' means, and within cells."""

    between: MeanSquare
    within: MeanSquare

    @property
    def of_cycle(self) -> float:
        """What cycles leave in the variance of the means."""
        return self.within.value / self.between.writes

    @property
    def of_device(self) -> float:
        """Variance from device to device; below 0 by chance."""
        return self.between.value - self.of_cycle


def components(relative: Floats, cells: Integers) -> Components:
    """Variances of relative conductances (n,) of numbered cells (n,)."""
    count = np.bincount(cells)
    means = np.bincount(cells, relative) / count
    residual = relative - means[cells]
    freedom = len(relative) - len(count)
    within = MeanSquare(
        value=float((residual**2).sum() / max(freedom, 1)),
        freedom=_effective(freedom, residual),
        values=residual,
        writes=1.0,
    )
    variance = 0.0
    if len(means) > 1:
        variance = float(means.var(ddof=1))
    between = MeanSquare(
        value=variance,
        freedom=_effective(len(means) - 1, means),
        values=means,
        writes=float(1 / (1 / count).mean()),
    )
    return Components(between, within)


def _effective(freedom: int, values: Floats) -> float:
    """Degrees of freedom of a variance whose values have an excess kurtosis (Box, 1953)."""
    if freedom < LEAST or np.ptp(values) == 0:
        return float(freedom)
    kurtosis = float(stats.kurtosis(values, bias=False))
    return freedom / max(1 + kurtosis / 2, 0.1)


class Spread(NamedTuple):
    """Both parameters, and [spread] of a device file."""

    parameters: tuple[Parameter, Parameter]
    table: DeviceTable


def _spread(found: Components) -> Spread:
    within = found.within
    if within.freedom <= 0:
        reason = "every cell was written once; write each several times"
        unknown = Parameter.unknown("cycle_to_cycle", "1", reason)
        return Spread((unknown, Parameter.unknown("device_to_device", "1", reason)), {})
    growth = 1 + max(found.of_device, 0.0)  # the cycle's factor multiplies the device's
    reach = within.reach()
    squares = np.array([1.0, 1 - reach.below, 1 + reach.above]) * within.value / growth
    cycle = Parameter.known("cycle_to_cycle", "1", *np.sqrt(squares))
    table: DeviceTable = {"cycle_to_cycle_relative_sigma": cycle.identified_value}
    if found.between.freedom + 1 < LEAST_CELLS:
        reason = f"fewer than {LEAST_CELLS} cells"
        return Spread((cycle, Parameter.unknown("device_to_device", "1", reason)), table)
    device = _device_to_device(found)
    table["device_to_device_relative_sigma"] = device.identified_value
    return Spread((cycle, device), table)


def _device_to_device(found: Components) -> Parameter:
    """Interval of a difference of two variances (Graybill and Wang, 1980)."""
    between = found.between
    of_between = between.reach()
    of_within = found.within.reach()
    below = np.hypot(of_between.below * between.value, of_within.above * found.of_cycle)
    above = np.hypot(of_between.above * between.value, of_within.below * found.of_cycle)
    middle = found.of_device
    squares = np.maximum([middle, middle - below, middle + above], 0.0)
    return Parameter.known("device_to_device", "1", *np.sqrt(squares))


def _distribution(values: Floats) -> Curve:
    """Curve of relative deviations and of the normal distribution of their standard deviation."""
    order = np.sort(values)
    share = (np.arange(len(order)) + 0.5) / len(order)
    normal = stats.norm.cdf(order, 0, max(order.std(), np.finfo(float).tiny))
    return Curve(
        x=Axis("relative deviation", ""),
        y=Axis("share below", ""),
        data={"measured": Line(order, share)},
        fit={"Gaussian": Line(order, normal)},
    )


def from_files(
    paths: Sequence[str | os.PathLike[str]],
    columns: Mapping[str, str],
    where: Mapping[str, str],
) -> FitResult:
    """`fit_spread` of files with a conductance for every write, and cells, states and cycles where
    they are told apart."""
    tables = read_tables(paths, COLUMNS, columns, where)
    result = fit_spread(
        conductance=np.concatenate([table["conductance"] for table in tables]),
        cell=_together(tables, "cell"),
        state=_together(tables, "state"),
        cycle=_together(tables, "cycle"),
    )
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))


def _together(tables: Sequence[Table], name: str) -> AnyArray | None:
    """A column of all files, None where no file has it."""
    columns = [table[name] for table in tables if name in table]
    if not columns:
        return None
    if len(columns) < len(tables):
        raise OutOfRangeError(
            f"some files have a column for {name}, others none; name it for all, or fit them one "
            "by one"
        )
    return np.concatenate(columns)
