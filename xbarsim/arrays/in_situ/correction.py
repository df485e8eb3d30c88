"""Digital gains that bring the products of an array nearest to the right ones."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import AnyFloats, Floats, Singles
from xbarsim.config.arrays import Mapping
from xbarsim.kernels.arrays.mapping import add_squares

OUTPUTS_AT_ONCE = 64
ROUNDING = 1e-6  # of a sum of squares: what float32 leaves of it


@dataclass(frozen=True)
class Correction:
    """gain : (outputs,), multiplies products;  sum_weight : (outputs,), of the sum of the inputs."""

    gain: Floats
    sum_weight: Floats

    def of(self, weight: Floats) -> Floats:
        """Weights (outputs, inputs) as the corrected products have them."""
        return weight * self.gain[:, None] + self.sum_weight[:, None]


def second_moment(x: Singles, cross_terms: bool) -> AnyFloats:
    """Mean products of the inputs x (s, in): (in, in) float32 of every two, or (in,) float64 of
    each with itself.
    """
    if not cross_terms:
        return mean_squares(x)
    x = np.asarray(x, np.float32)
    products: Singles = x.T @ x
    products /= np.float32(len(x))
    return products


def mean_squares(x: AnyFloats) -> Floats:
    """(in,) mean square of each of the inputs x (s, in)."""
    total = np.zeros(x.shape[1])
    add_squares(x, total)
    return total / len(x)


def digital_correction(
    weight: AnyFloats,
    achieved: Floats,
    moment: AnyFloats,
    mapping: Mapping,
) -> Correction:
    """Gains and weights of the sum of the inputs that bring the products nearest to the right ones.

    Least squares of E[(y - y')²] with y = x W of the given weights (outputs, in) and y' = x A of
    the achieved ones, over inputs of second moment `moment`, see `second_moment`.  The sum serves
    unsigned weights: their common offset reaches a converter attenuated by the wires, and what is
    missing is the same for all inputs.  With `mapping.gain` "none" neither is corrected.  O(outputs
    in²) with cross terms.
    """
    outputs = len(weight)
    if mapping.gain == "none":
        return Correction(gain=np.ones(outputs), sum_weight=np.zeros(outputs))
    reached = _products_with(moment, achieved)
    cross = _sums_of_products(weight, reached)
    own = _sums_of_products(achieved, reached)
    alone = own
    total = 0.0
    if mapping.sign == "offset":
        of_ones = _products_with(moment, np.ones((1, achieved.shape[1])))[0]
        total = of_ones.sum()
    fits_sum = total > 0
    if fits_sum:  # what the sum of the inputs explains is taken out
        right = np.asarray(weight, np.float64) @ of_ones
        found = achieved @ of_ones
        cross = cross - right * found / total
        own = own - found**2 / total
    if mapping.gain == "matrix":
        cross = np.full(outputs, cross.sum())
        own = np.full(outputs, own.sum())
        alone = np.full(outputs, alone.sum())
    usable = own > ROUNDING * alone
    gain = np.where(usable, cross / np.where(usable, own, 1.0), 1.0)
    sum_weight = np.zeros(outputs)
    if fits_sum:
        sum_weight = (right - gain * found) / total
    return Correction(gain=gain, sum_weight=sum_weight)


def _sums_of_products(one: AnyFloats, other: AnyFloats) -> Floats:
    """(outputs,) sums in float64 of the products of two matrices (outputs, in), element by element."""
    sums = np.empty(len(one))
    for first in range(0, len(one), OUTPUTS_AT_ONCE):
        some = slice(first, first + OUTPUTS_AT_ONCE)
        products = one[some].astype(np.float64) * other[some]
        sums[some] = products.sum(axis=1)
    return sums


def _products_with(moment: AnyFloats, weight: Floats) -> AnyFloats:
    """E[(x w) x] (outputs, in) of weights (outputs, in); O(outputs in²) where `moment` holds cross
    terms.
    """
    if moment.ndim == 1:
        return weight * moment
    return weight.astype(np.float32) @ moment
