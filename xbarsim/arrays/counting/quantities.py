"""Quantities of conversions over sets of conducting lines, and sums of them.

See `kernels.arrays.counting` for why a product is a matrix product over sets of lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from xbarsim.arrays.counting.coding import Coding
from xbarsim.base.array_types import Booleans, Bytes, Integers, Singles
from xbarsim.kernels.arrays.counting import conjunctions


class Quantity(StrEnum):
    """What is known of the result of a conversion, in the order of `conversion_moments`."""

    MEAN = "mean"
    VARIANCE = "variance"
    SATURATION = "saturation"

    @property
    def power(self) -> int:
        """Power of the weights of bits that it is summed with."""
        return _POWERS[self]


_POWERS = {Quantity.MEAN: 1, Quantity.VARIANCE: 2, Quantity.SATURATION: 0}


@dataclass(frozen=True)
class OfSets:
    """Numbers for sets of conducting lines.

    subsets : (s,), the bits of each are lines of a group
    values : with an axis of sets
    """

    subsets: Integers
    values: Singles


@dataclass(frozen=True)
class Statistics:
    """Möbius coefficients of a conversion over the sets of conducting lines.

    quantities : values (crossbars, bit lines, s, groups), of the sets that matter
    whole : whether the mean is the result itself, see `Side`
    """

    quantities: dict[Quantity, OfSets]
    whole: bool


@dataclass(frozen=True)
class Side:
    """The switch operand's side of the sums over the sets of conducting lines.

    quantities : values (z, n, s * groups) of the sets that matter for the mean deviation from the
        exact count, the variance and the probability of saturation, which is summed over the
        outputs to (z, 1, s * groups); without a quantity that is 0 everywhere
    whole : whether the mean is the result itself: single lines matter, and no exact product is
        needed beside them
    """

    quantities: dict[Quantity, OfSets]
    whole: bool

    @classmethod
    def of(cls, quantities: dict[Quantity, OfSets], whole: bool) -> Side:
        """With saturations of every output (z, n, s * groups)."""
        found = dict(quantities)
        each = found.get(Quantity.SATURATION)
        if each is not None:
            total = each.values.sum(axis=1, keepdims=True)
            found[Quantity.SATURATION] = OfSets(each.subsets, total)
        return cls(found, whole)

    @property
    def nbytes(self) -> int:
        """Size of its arrays."""
        return sum(of_sets.values.nbytes for of_sets in self.quantities.values())


def single_lines(places: int) -> Integers:
    """(r,) sets of one line each."""
    return 1 << np.arange(places)


def sets_that_matter(largest: Booleans) -> tuple[Booleans, bool]:
    """Sets to follow of the quantities (quantities, subsets), and whether single lines change the
    mean: then all of them are followed, see `Side.whole`.
    """
    matter = largest.copy()
    single = single_lines(matter.shape[1].bit_length() - 1)
    whole = bool(matter[0, single].any())
    if whole:
        matter[0, single] = True
    return matter, whole


def sums_of_fields(
    coding: Coding, fields: Bytes, subsets_of: Mapping[Quantity, Integers]
) -> dict[Quantity, Singles]:
    """Values of the bits that all lines of a set have in common, (z, rows, subsets * groups) of
    every quantity; see `conjunctions`.

    fields : (channels, z, rows, r, groups)
    """
    channels, z, rows, *places = fields.shape
    flat = fields.reshape(channels, -1, *places)
    result: dict[Quantity, Singles] = {}
    for subsets, quantities in _by_subsets(subsets_of.items()):
        signs = np.stack([coding.signs**quantity.power for quantity in quantities])
        of_field = np.stack([coding.field_values(quantity.power) for quantity in quantities])
        values = conjunctions(flat, signs, subsets, of_field)
        of_quantities = values.reshape(len(quantities), z, rows, -1)
        result.update(zip(quantities, of_quantities, strict=True))
    return result


def _by_subsets(
    subsets_of: Iterable[tuple[Quantity, Integers]],
) -> list[tuple[Integers, list[Quantity]]]:
    """Quantities of the same sets together."""
    groups: dict[bytes, tuple[Integers, list[Quantity]]] = {}
    for quantity, subsets in subsets_of:
        _, quantities = groups.setdefault(subsets.tobytes(), (subsets, []))
        quantities.append(quantity)
    return list(groups.values())
