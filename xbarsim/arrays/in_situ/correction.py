"""Digital gains that bring the products of an array nearest to the right ones."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import AnyFloats, Floats, Singles
from xbarsim.config.arrays import Mapping

ROUNDING = 1e-6  # of a sum of squares: what float32 leaves of it


@dataclass(frozen=True)
class Correction:
    """gain : (outputs,), multiplies products;  sum_weight : (outputs,), of the sum of the inputs."""

    gain: Floats
    sum_weight: Floats

    def of(self, weight: Floats) -> Floats:
        """Weights (outputs, inputs) as the corrected products have them."""
        return weight * self.gain[:, None] + self.sum_weight[:, None]


def second_moment(x: Singles, cross_terms: bool) -> Floats:
    """Mean products of the inputs x (s, in): (in, in) of every two, or (in,) of each with itself."""
    if cross_terms:
        x = np.asarray(x, np.float32)
        mean: Floats = (x.T @ x).astype(np.float64) / len(x)
        return mean
    squares: Floats = x.astype(np.float64) ** 2
    own: Floats = squares.mean(axis=0)
    return own


def digital_correction(
    weight: Floats,
    achieved: Floats,
    moment: Floats,
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
    ones = np.ones((1, achieved.shape[1]))
    reached = _products_with(moment, achieved)
    of_ones = _products_with(moment, ones)[0]
    cross = (weight * reached).sum(axis=1)
    own = (achieved * reached).sum(axis=1)
    alone = own
    total = of_ones.sum()
    right = weight @ of_ones
    found = achieved @ of_ones
    fits_sum = mapping.sign == "offset" and total > 0
    if fits_sum:  # what the sum of the inputs explains is taken out
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


def _products_with(moment: Floats, weight: Floats) -> AnyFloats:
    """E[(x w) x] (outputs, in) of weights (outputs, in); O(outputs in²) where `moment` holds cross
    terms.
    """
    if moment.ndim == 1:
        return weight * moment
    return weight.astype(np.float32) @ moment.astype(np.float32)
