"""Integer codes to bit fields, cells and lines of a computation crossbar."""

import functools
from dataclasses import dataclass

import numpy as np

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.models.int8 import LEVELS


@dataclass(frozen=True)
class Coding:
    """How integer codes become bit fields, cells and lines.

    planes : bits of a field that the word lines step through;  top_negative : the last one counts
        negative
    digits : bit positions of the switch operand's digits;  units : (c,) conductances of a digit's
        cells in units
    """

    sign: str
    digit_bits: int
    digit_cells: str

    @property
    def units(self):
        if self.digit_cells == "equal":
            return np.ones(2**self.digit_bits - 1)
        return 2.0 ** np.arange(self.digit_bits)

    @property
    def bits(self):
        """Bits of a field."""
        return 7 if self.sign == "magnitude" else 8

    @property
    def signs(self):
        """(channels,) the positive and the negative magnitude, or the one field."""
        return np.array([1, -1] if self.sign == "magnitude" else [1], np.float32)

    @property
    def offset(self):
        """What is added to every code; its part of the product is subtracted digitally."""
        return LEVELS + 1 if self.sign == "offset" else 0

    @property
    def planes(self):
        """[(bit position, weight)] of a field."""
        weights = [2.0**p for p in range(self.bits)]
        if self.sign == "twos_complement":
            weights[-1] *= -1
        return list(enumerate(weights))

    @property
    def digit_planes(self):
        """[(bit position, weight)] of the switch operand's digits."""
        return self.planes[:: self.digit_bits]

    def table(self, power):
        """(256,) float32: Σ weight^power over the set bits of a field; power 0 counts them."""
        return _field_table(tuple(weight for _, weight in self.planes), power)

    def fields(self, codes):
        """(channels, ...) uint8 of int8 codes."""
        if self.sign == "magnitude":
            return np.stack([np.maximum(codes, 0), np.maximum(-codes, 0)]).view(np.uint8)
        return (codes.view(np.uint8) ^ np.uint8(self.offset))[
            None
        ]  # + 128 modulo 256 turns the highest bit

    def cells(self, fields):
        """(..., c) uint8: which cells of each digit are closed, at the bit position of the digit."""
        if self.digit_bits == 1:
            return fields[..., None]
        result = np.zeros((*fields.shape, len(self.units)), np.uint8)
        for p, _ in self.digit_planes:
            digit = fields >> p & (2**self.digit_bits - 1)
            for v in range(len(self.units)):
                closed = digit > v if self.digit_cells == "equal" else digit >> v & 1
                result[..., v] |= (closed.astype(np.uint8) << p).astype(np.uint8)
        return result

    @property
    def all_closed(self):
        """The field of a cell that is closed in every digit."""
        return np.uint8(sum(1 << p for p, _ in self.digit_planes))


@functools.cache
def _field_table(weights, power):
    return sum(
        (np.arange(256) >> p & 1) * weight**power for p, weight in enumerate(weights)
    ).astype(np.float32)


def checked_codes(name, codes):
    """(z, rows, columns) int8 of one or several matrices of integers in ±127."""
    codes = np.asarray(codes)
    if codes.ndim not in (2, 3):
        raise ShapeError(f"{name} must be a matrix of codes, or several, got shape {codes.shape}")
    with np.errstate(invalid="ignore"):
        narrow = codes.astype(np.int8, copy=False)
    if (narrow is not codes and (narrow != codes).any()) or narrow.min(initial=0) < -LEVELS:
        raise OutOfRangeError(
            f"{name} holds values that are no integers in ±{LEVELS}; quantise it first"
        )
    return narrow.reshape(-1, *codes.shape[-2:])
