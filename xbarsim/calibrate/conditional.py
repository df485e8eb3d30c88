"""Intervals of quantities that are reported only where they stand clear of zero.

An estimate x of a quantity q >= 0, normal about it with standard deviation s, is given a value only
where x >= DISTINCT s. Small quantities pass that only when they fluctuate upwards, so that the
usual x +- z s never holds them.  The interval here is that of all q whose acceptance region, given
that the estimate passed, holds x: from q - z s or from the threshold upwards, up to where the
conditional probability of the region is CONFIDENCE.  It begins at 0 where chance would do.

Source: the construction of Neyman (Phil. Trans. R. Soc. A 236, 333, 1937) for a truncated normal
distribution.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.calibrate.result import CONFIDENCE
from xbarsim.calibrate.statistics import TAIL, Z

DISTINCT = 3.0  # standard deviations from which on a quantity is told from zero


class Bounds(NamedTuple):
    """Ends of intervals, in the unit and shape of the estimates."""

    low: Floats
    high: Floats


def stands_clear(estimate: ArrayLike, deviation: ArrayLike) -> Booleans:
    """Whether an estimate has a value of its own.  estimate, deviation : one unit, any shape"""
    clear: Booleans = np.asarray(estimate) >= DISTINCT * np.asarray(deviation)
    return clear


def interval(estimate: ArrayLike, deviation: ArrayLike) -> Bounds:
    """Bounds of estimates that stand clear."""
    deviation = np.asarray(deviation, float)
    ratio = np.asarray(np.asarray(estimate, float) / deviation)
    low = np.zeros_like(ratio)
    high = ratio.copy()
    for _ in range(60):  # bisection between 0 and the estimate
        middle = (low + high) / 2
        outside = _missed(middle, ratio) > 1 - CONFIDENCE
        low = np.where(outside, low, middle)
        high = np.where(outside, middle, high)
    missed_by_zero = _missed(np.zeros_like(ratio), ratio)
    low = np.where(missed_by_zero > 1 - CONFIDENCE, 0.0, low)
    return Bounds(low * deviation, (ratio + Z) * deviation)


def upper_bound(estimate: ArrayLike, deviation: ArrayLike) -> Floats:
    """What a quantity is below, at 95 %, where its estimate does not stand clear."""
    bound: Floats = np.maximum(estimate, 0.0) + Z * np.asarray(deviation)
    return bound


def _missed(quantity: Floats, ratio: Floats) -> Floats:
    """Probability of what is outside the acceptance region from the usual place to `ratio`.

    quantity, ratio : in standard deviations
    """
    passed = ndtr(quantity - DISTINCT)
    above = ndtr(quantity - ratio)
    below = np.maximum(TAIL - ndtr(DISTINCT - quantity), 0.0)
    missed: Floats = (above + below) / passed
    return missed
