"""What is done digitally to the inputs of a matrix before they become codes: scale that is shifted
into the weights, and a full scale that follows every token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.events import Events
from xbarsim.base.array_types import AnyFloats, Singles
from xbarsim.config.arrays import Dac


@dataclass(frozen=True)
class ScaleShift:
    """Scale that is shifted from the inputs of a matrix into its weights.

    exponent : α of max|x|^α / max|w|^(1 - α)
    divisor : (inputs,), what inputs are divided by, and their weights multiplied by
    unshifted : inputs that stay as they are, because they or their weights are all 0
    """

    exponent: float
    divisor: Singles
    unshifted: int

    @classmethod
    def unknown(cls, inputs: int, exponent: float) -> ScaleShift:
        """One whose weights are not known: what it costs does not depend on them."""
        return cls(exponent, np.ones(inputs, np.float32), unshifted=0)

    @classmethod
    def of(cls, weight: AnyFloats, samples: AnyFloats, exponent: float) -> ScaleShift | None:
        """That of a matrix (outputs, inputs) and sample inputs (s, inputs); None for α = 0."""
        if exponent == 0:
            return None
        of_inputs = np.abs(samples).max(axis=0).astype(np.float64)
        of_weights = np.abs(weight).max(axis=0).astype(np.float64)
        usable = (of_inputs > 0) & (of_weights > 0)
        divisor = np.ones(len(usable))
        divisor[usable] = of_inputs[usable] ** exponent / of_weights[usable] ** (1 - exponent)
        return cls(
            exponent=exponent,
            divisor=divisor.astype(np.float32),
            unshifted=int(np.count_nonzero(~usable)),
        )


@dataclass(frozen=True)
class Scaled:
    """Inputs of b rows on their own scales.

    values : (b, inputs), what becomes codes
    scales : (b, groups), what the products of each group are multiplied by; None where the full
        scale is static
    """

    values: Singles
    scales: Singles | None


@dataclass(frozen=True)
class DigitalScale:
    """Digital multiplications around the product of one matrix.

    inputs : of the matrix
    shift : of scale into the weights, None without
    groups : the inputs that share a scale of their own in every row; none with a static full scale
    quantile : of the magnitudes of a group, the scale
    """

    inputs: int
    shift: ScaleShift | None
    groups: tuple[slice, ...]
    quantile: float = 1.0

    @classmethod
    def of(
        cls, dac: Dac, inputs: int, inputs_of_block: int, shift: ScaleShift | None = None
    ) -> DigitalScale:
        """That of a matrix whose row blocks, of so many inputs, are added up digitally."""
        groups: tuple[slice, ...] = ()
        if dac.scaling == "token":
            groups = (slice(0, inputs),)
        elif dac.scaling == "block":
            width = inputs_of_block * dac.scaling_blocks
            groups = tuple(
                slice(start, min(start + width, inputs)) for start in range(0, inputs, width)
            )
        return cls(inputs, shift, groups, dac.scaling_quantile)

    @property
    def parts(self) -> tuple[slice, ...]:
        """Inputs whose products are added before anything is rescaled."""
        return self.groups or (slice(0, self.inputs),)

    def part_of(self, start: int) -> int:
        """Number of the part that holds an input."""
        return next(k for k, part in enumerate(self.parts) if start < part.stop)

    def scaled(self, x: Singles) -> Scaled:
        """Inputs x (b, inputs) on their own scales; each row by itself."""
        values = x
        if self.shift is not None:
            values = values / self.shift.divisor
        if not self.groups:
            return Scaled(values, None)
        scales = np.stack([self._scale(values[:, group]) for group in self.groups], axis=1)
        return Scaled(values / self._spread(scales), scales)

    def restored(self, values: Singles, scales: Singles | None) -> Singles:
        """What codes of value `values` (b, inputs) stand for, but for the shift."""
        if scales is None:
            return values
        return values * self._spread(scales)

    def _spread(self, scales: Singles) -> Singles:
        """(b, groups) -> (b, inputs)."""
        widths = [group.stop - group.start for group in self.groups]
        return np.repeat(scales, widths, axis=1)

    def _above(self, width: int) -> int:
        """Magnitudes of a group of so many inputs that lie above its scale."""
        return min(math.floor((1 - self.quantile) * width + 1e-9), width - 1)

    def _scale(self, values: Singles) -> Singles:
        """(b,) scales of a group (b, n): an order statistic; the largest where that is 0, and 1
        where all are."""
        magnitude = np.abs(values)
        largest: Singles = magnitude.max(axis=1)
        scale = largest
        above = self._above(magnitude.shape[1])
        if above:
            place = magnitude.shape[1] - 1 - above
            scale = np.partition(magnitude, place, axis=1)[:, place]
            scale = np.where(scale > 0, scale, largest)
        return np.where(scale > 0, scale, np.float32(1))

    def events(self, outputs: int) -> Events:
        """What one row costs: a comparison of every input with each of the largest that are kept,
        a multiplication of every input, and one of every output of every group.
        """
        multiplications = 0
        if self.shift is not None:
            multiplications += self.inputs
        if not self.groups:
            return Events(multiplications=multiplications)
        widths = [group.stop - group.start for group in self.groups]
        return Events(
            comparisons=sum(width * (1 + self._above(width)) for width in widths),
            multiplications=multiplications + self.inputs + len(self.groups) * outputs,
        )
