"""Repeated writes of several cells (endurance, repeated programming): spread from cycle to cycle
and from device to device."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.calibrate.result import Curve, FitResult, Parameter
from xbarsim.calibrate.statistics import TAIL
from xbarsim.calibrate.tables import Wanted, read_tables

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
    cell: Sequence[object] | None = None,
    state: Sequence[object] | None = None,
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
    g = np.asarray(conductance, float)
    _, cells = _labels(cell, g)
    states, state_of = _labels(state, g)
    order = np.arange(g.size) if cycle is None else np.asarray(cycle, float)
    if (
        g.ndim != 1
        or not g.shape == cells.shape == state_of.shape == order.shape
        or not np.isfinite(g).all()
    ):
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
    means = np.bincount(state_of, g) / np.bincount(state_of)
    relative = g / means[state_of]
    between, within = components(relative, cells)
    residual = _residual(relative, cells)
    goodness = {}
    warnings = []
    if within.freedom > 0:
        p = float(stats.kstest(residual / residual.std(), "norm").pvalue) if residual.any() else 1.0
        goodness = {"kolmogorov_smirnov_p": p, "excess_kurtosis": float(stats.kurtosis(residual))}
        if p < IMPLAUSIBLE:
            warnings.append(
                f"the scatter from cycle to cycle is not Gaussian (Kolmogorov-Smirnov p = "
                f"{p:.2g}): cells drawn "
                "from the device file will differ from these writes"
            )
        trend = stats.spearmanr(order, residual)
        if trend.pvalue < IMPLAUSIBLE:
            warnings.append(
                f"conductances {'rise' if trend.statistic > 0 else 'fall'} with the number of "
                f"the write (rank "
                f"correlation {trend.statistic:+.2f}): part of the spread from cycle to cycle is "
                f"a trend"
            )
    parameters, table = _parameters(between, within)
    notes = [
        f"{int(cells.max()) + 1} cells, {g.size} writes; spread of the reads is in these numbers"
    ]
    notes += [
        _of_state(name, relative, cells, state_of == k, means[k])
        for k, name in enumerate(states)
        if len(states) > 1
    ]
    curves = {"from cycle to cycle": _distribution(residual)} if within.freedom > 0 else {}
    if between.freedom > 0:
        curves["from device to device"] = _distribution(between.values - between.values.mean())
    return FitResult(
        "spread",
        "cycle to cycle and device to device",
        tuple(parameters),
        g.size,
        goodness,
        float("nan"),
        notes=tuple(notes),
        curves=curves,
        device={"spread": table} if table else {},
        warnings=tuple(warnings),
    )


def _labels(labels, g):
    """(distinct labels, index of every row)."""
    if labels is None:
        return np.array(["all"]), np.zeros(g.shape, int)
    return np.unique(np.asarray(labels), return_inverse=True)


@dataclasses.dataclass(frozen=True)
class MeanSquare:
    """An estimated variance: `value` with so many degrees of `freedom`, as the kurtosis leaves of
    them.

    values : what it is the variance of;  writes : harmonic mean number of writes behind each of
        them
    """

    value: float
    freedom: float
    values: np.ndarray
    writes: float

    def ends(self):
        """(lower, upper) share of `value` that its interval reaches beyond it (Graybill and Wang's
        G and H)."""
        low, high = stats.chi2.ppf([TAIL, 1 - TAIL], self.freedom) / self.freedom
        return 1 - 1 / high, 1 / low - 1


def components(relative, cells):
    """(MeanSquare of the cells' means, MeanSquare within cells)."""
    count = np.bincount(cells)
    means = np.bincount(cells, relative) / count
    residual = _residual(relative, cells)
    freedom = len(relative) - len(count)
    writes = 1 / (1 / count).mean()
    within = MeanSquare(
        float((residual**2).sum() / max(freedom, 1)), _effective(freedom, residual), residual, 1.0
    )
    variance = float(means.var(ddof=1)) if len(means) > 1 else 0.0
    return MeanSquare(variance, _effective(len(means) - 1, means), means, float(writes)), within


def _residual(relative, cells):
    return relative - (np.bincount(cells, relative) / np.bincount(cells))[cells]


def _effective(freedom, values):
    """Degrees of freedom of a variance whose values have an excess kurtosis (Box, 1953)."""
    if freedom < LEAST or np.ptp(values) == 0:
        return float(freedom)
    kurtosis = stats.kurtosis(values, bias=False)
    return freedom / max(1 + kurtosis / 2, 0.1)


def _parameters(between, within):
    """([Parameter], table [spread])."""
    if within.freedom <= 0:
        reason = "every cell was written once; write each several times"
        return [
            Parameter.unknown("cycle_to_cycle", "1", reason),
            Parameter.unknown("device_to_device", "1", reason),
        ], {}
    of_device = between.value - within.value / between.writes
    growth = 1 + max(of_device, 0.0)  # the cycle's factor multiplies the device's
    lower, upper = within.ends()
    squares = np.array([1.0, 1 - lower, 1 + upper]) * within.value / growth
    parameters = [Parameter.known("cycle_to_cycle", "1", *np.sqrt(squares))]
    table = {"cycle_to_cycle_relative_sigma": float(np.sqrt(squares[0]))}
    if between.freedom + 1 < LEAST_CELLS:
        parameters.append(
            Parameter.unknown("device_to_device", "1", f"fewer than {LEAST_CELLS} cells")
        )
        return parameters, table
    of_cycle = within.value / between.writes
    between_lower, between_upper = between.ends()
    low = of_device - np.hypot(between_lower * between.value, upper * of_cycle)
    high = of_device + np.hypot(between_upper * between.value, lower * of_cycle)
    squares = np.maximum([of_device, low, high], 0.0)
    parameters.append(Parameter.known("device_to_device", "1", *np.sqrt(squares)))
    return parameters, table | {"device_to_device_relative_sigma": float(np.sqrt(squares[0]))}


def _of_state(name, relative, cells, here, mean):
    """A line about one state."""
    _, own = np.unique(cells[here], return_inverse=True)
    between, within = components(relative[here], own)
    of_device = np.sqrt(max(between.value - within.value / between.writes, 0.0))
    return (
        f"state {name}: {here.sum()} writes, mean {mean * 1e6:.4g} µS, cycle to cycle "
        f"{100 * np.sqrt(within.value):.3g} %, device to device {100 * of_device:.3g} %"
    )


def _distribution(values):
    """Curve of relative deviations and of the normal distribution of their standard deviation."""
    order = np.sort(values)
    share = (np.arange(len(order)) + 0.5) / len(order)
    normal = stats.norm.cdf(order, 0, max(order.std(), np.finfo(float).tiny))
    return Curve(
        ("relative deviation", ""),
        ("share below", ""),
        {"measured": (order, share)},
        {"Gaussian": (order, normal)},
    )


def from_files(paths, columns, where):
    """`fit_spread` of files with a conductance for every write, and cells, states and cycles where
    they are told apart."""
    tables = read_tables(paths, COLUMNS, columns, where)
    together = {}
    for name in ("conductance", "cell", "state", "cycle"):
        present = [name in table for table in tables]
        if any(present) and not all(present):
            raise OutOfRangeError(
                f"some files have a column for {name}, others none; name it for all, or fit them "
                f"one "
                "by one"
            )
        together[name] = np.concatenate([table[name] for table in tables]) if all(present) else None
    result = fit_spread(
        together["conductance"], together["cell"], together["state"], together["cycle"]
    )
    return dataclasses.replace(result, inputs=tuple(t.echo for t in tables))
