"""The conductance of a cell at 0 V: of several branches their mean."""

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.calibrate.result import Parameter
from xbarsim.calibrate.statistics import sum_of_errors

UNLIKE = 0.3  # p of the F test below which branches differ in conductance


def are_unlike(values: Floats, covariance: Floats, freedom: float) -> bool:
    """Whether conductances (k,) S of branches differ beyond the noise (F test)."""
    steps = np.diff(np.eye(len(values)), axis=0)
    if not len(steps):
        return False
    difference = steps @ values
    spread = steps @ covariance @ steps.T
    statistic = difference @ np.linalg.pinv(spread, hermitian=True) @ difference / len(steps)
    return bool(stats.f.sf(statistic, len(steps), freedom) < UNLIKE)


def half_width_of_unlike(values: Floats, shared: float, freedom: float) -> float:
    """Half width (S) of the interval of the mean of branches that differ: their scatter, and the
    error that they share.
    """
    scatter = values.std(ddof=1) / np.sqrt(len(values))
    return sum_of_errors(scatter, len(values) - 1, shared, freedom)


def conductance_above_zero(value: float, low: float, high: float) -> Parameter:
    """Parameter of a conductance (S): none at or below 0 S, and no interval that reaches below."""
    if value > 0:
        return Parameter.known("conductance", "S", value, low=max(low, 0.0), high=high)
    reason = (
        f"the points give {value * 1e6:.3g} µS ({low * 1e6:.3g} .. {high * 1e6:.3g} µS), and a "
        "conductance is above 0 S; check the sign of the current, or measure with less noise"
    )
    return Parameter.unknown("conductance", "S", reason)
