"""Digital gains that bring the products of an array nearest to the right ones."""

from dataclasses import dataclass
from typing import Self

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

    @classmethod
    def none(cls, outputs: int) -> Self:
        """Products as they are."""
        return cls(gain=np.ones(outputs), sum_weight=np.zeros(outputs))

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


@dataclass(frozen=True)
class ProductSums:
    """Means over the inputs x of products of y = x W, what is wanted, y' = x A, what is reached, and
    the sum t of the inputs.

    cross, own : (outputs,) of y y' and y' y'
    right, found : (outputs,) of t y and t y';  total : of t t; 0 where they are not asked for
    """

    cross: Floats
    own: Floats
    right: Floats
    found: Floats
    total: float

    @classmethod
    def of_moment(
        cls, weight: AnyFloats, achieved: Floats, moment: AnyFloats, with_sum: bool
    ) -> Self:
        """Of weights (outputs, in) and inputs of second moment `moment`, see `second_moment`.

        O(outputs in²) with cross terms.
        """
        reached = _products_with(moment, achieved)
        right = np.zeros(len(weight))
        found = right
        total = 0.0
        if with_sum:
            of_ones = _products_with(moment, np.ones((1, achieved.shape[1])))[0]
            total = of_ones.sum()
            right = np.asarray(weight, np.float64) @ of_ones
            found = achieved @ of_ones
        return cls(
            cross=_sums_of_products(weight, reached),
            own=_sums_of_products(achieved, reached),
            right=right,
            found=found,
            total=total,
        )

    @classmethod
    def of_samples(cls, weight: AnyFloats, achieved: Floats, x: Singles, with_sum: bool) -> Self:
        """Of weights (outputs, in) and the inputs x (s, in) themselves, in float32: the same but for
        rounding.  O(s outputs in), which is less where there are more inputs than samples.
        """
        wanted = x @ weight.astype(np.float32).T
        reached = x @ achieved.astype(np.float32).T
        right = np.zeros(len(weight))
        found = right
        total = 0.0
        if with_sum:
            sums = x.sum(axis=1, keepdims=True, dtype=np.float64)
            right = (sums * wanted).mean(axis=0)
            found = (sums * reached).mean(axis=0)
            total = float((sums**2).mean())
        return cls(
            cross=(wanted * reached).mean(axis=0, dtype=np.float64),
            own=(reached**2).mean(axis=0, dtype=np.float64),
            right=right,
            found=found,
            total=total,
        )

    @classmethod
    def of_products(cls, wanted: AnyFloats, reached: Floats) -> Self:
        """Of products (s, outputs) themselves, without the sum of the inputs."""
        nothing = np.zeros(reached.shape[1])
        return cls(
            cross=(wanted * reached).mean(axis=0),
            own=(reached**2).mean(axis=0),
            right=nothing,
            found=nothing,
            total=0.0,
        )


def digital_correction(sums: ProductSums, mapping: Mapping) -> Correction:
    """Gains and weights of the sum of the inputs that bring the products nearest to the right ones.

    Least squares of E[(y - y')²].  The sum serves unsigned weights: their common offset reaches a
    converter attenuated by the wires, and what is missing is the same for all inputs.
    """
    outputs = len(sums.own)
    cross = sums.cross
    own = sums.own
    alone = own
    total = sums.total
    if total > 0:  # what the sum of the inputs explains is taken out
        cross = cross - sums.right * sums.found / total
        own = own - sums.found**2 / total
    if mapping.gain == "matrix":
        cross = np.full(outputs, cross.sum())
        own = np.full(outputs, own.sum())
        alone = np.full(outputs, alone.sum())
    usable = own > ROUNDING * alone
    gain = np.where(usable, cross / np.where(usable, own, 1.0), 1.0)
    sum_weight = np.zeros(outputs)
    if total > 0:
        sum_weight = (sums.right - gain * sums.found) / total
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
