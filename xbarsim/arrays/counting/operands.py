"""Prepared operands of computation crossbars, planes of switches, results."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xbarsim.arrays.counting.coding import Coding
from xbarsim.arrays.counting.lines import Lines
from xbarsim.arrays.counting.quantities import Side
from xbarsim.base.array_types import AnyFloats, Bytes, Floats, Integers, Singles


@dataclass
class SwitchOperand:
    """The operand that sets the switches, prepared for products: z matrices (depth, n) that have
    nothing in common.

    codes : (z, depth, n), effective codes in units: stuck cells and the coding's offset included
    used : (z, depth), 1 where there is an element, 0 where a matrix is less deep than others
    fields : (channels, z, n, r, groups)
    total : (z, 1, n), sum over the depth of the codes as given
    closed : (z, depth, 1), units that conduct behind each element, stuck cells included, summed
        over the bit lines of its tiles and digits
    crossbar : (z, n, groups), the crossbar of each place
    density : share of closed switches
    keep : whether its side of the sums may be kept
    kept : that side once a product has needed it;  lock : of those that compute it
    """

    codes: Singles
    used: Singles
    fields: Bytes
    total: Floats
    closed: Singles
    lines: Lines
    crossbar: Integers
    density: float
    keep: bool
    kept: Side | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass(frozen=True)
class LineOperand:
    """The operand that drives the word lines: codes (z, b, depth), fields (channels, z, b, depth)."""

    codes: NDArray[np.int8]
    fields: Bytes

    @classmethod
    def of(cls, codes: NDArray[np.int8], operand: SwitchOperand, coding: Coding) -> LineOperand:
        """That of codes, for a product with a SwitchOperand."""
        used = operand.used[:, None].astype(np.uint8)
        return cls(codes, coding.fields(codes) * used)


@dataclass(frozen=True)
class Plane:
    """One plane of switches of a tile.

    number : in the product;  columns : its outputs
    channel, bit : of its digit;  weight : of the digit, with the sign of the channel
    transfer : (outputs, word lines) LSB per driven word line
    """

    number: int
    columns: slice
    channel: int
    bit: int
    weight: float
    transfer: Floats


@dataclass(frozen=True)
class Sums:
    """What shift-and-add makes of the conversions of a product.

    output : (z, b, n), of the effective codes, the coding's offset included
    saturations : (z, b)
    """

    output: AnyFloats
    saturations: Floats


@dataclass(frozen=True)
class Counted:
    """A product.

    output : (..., b, n) in units of code * code
    saturations : (..., b) conversions (expected ones in the statistical mode)
    conducting : (..., b) units of conductance that conducted, summed over all reads of whole tiles
    """

    output: AnyFloats
    saturations: Floats
    conducting: Singles
