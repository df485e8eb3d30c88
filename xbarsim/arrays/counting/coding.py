"""Integer codes to bit fields and cells of a computation crossbar."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xbarsim.base.array_types import Bytes, Floats, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.config.synergy import Computation
from xbarsim.models.int8 import LEVELS


@dataclass(frozen=True)
class BitPlane:
    """One bit of a field: its position, and what it counts in the code."""

    bit: int
    weight: float


@dataclass(frozen=True)
class Coding:
    """How integer codes become bit fields and cells.

    sign : "magnitude" (positive and negative magnitudes in two channels), "offset" (128 added) or
        "twos_complement"
    digit_bits : bits of one digit of the operand that sets the switches
    digit_cells : "equal" cells, as many as the digit's value closes, or "weighted" ones, one a bit
    """

    sign: str
    digit_bits: int
    digit_cells: str

    @classmethod
    def of(cls, computation: Computation) -> Coding:
        """That of a study."""
        return cls(computation.sign, computation.digit_bits, computation.digit_cells)

    @property
    def units(self) -> Floats:
        """(c,) conductances of a digit's cells in units."""
        if self.digit_cells == "equal":
            return np.ones(2**self.digit_bits - 1)
        return (2.0 ** np.arange(self.digit_bits)).astype(np.float64)

    @property
    def bits(self) -> int:
        """Bits of a field."""
        if self.sign == "magnitude":
            return 7
        return 8

    @property
    def signs(self) -> Singles:
        """(channels,) the positive and the negative magnitude, or the one field."""
        if self.sign == "magnitude":
            return np.array([1, -1], np.float32)
        return np.array([1], np.float32)

    @property
    def offset(self) -> int:
        """What is added to every code; its part of the product is subtracted digitally."""
        if self.sign == "offset":
            return LEVELS + 1
        return 0

    @property
    def planes(self) -> list[BitPlane]:
        """The bits of a field that the word lines step through."""
        weights = [2.0**bit for bit in range(self.bits)]
        if self.sign == "twos_complement":
            weights[-1] *= -1
        return [BitPlane(bit, weight) for bit, weight in enumerate(weights)]

    @property
    def digit_planes(self) -> list[BitPlane]:
        """The lowest bits of the switch operand's digits."""
        return self.planes[:: self.digit_bits]

    @property
    def switch_planes(self) -> int:
        """Settings of the switches that a product takes: digits in all channels."""
        return len(self.signs) * len(self.digit_planes)

    def field_values(self, power: int) -> Singles:
        """(256,): Σ weight^power over the set bits of a field; power 0 counts them."""
        return _field_values(tuple(plane.weight for plane in self.planes), power)

    def fields(self, codes: NDArray[np.int8]) -> Bytes:
        """(channels, ...) of codes."""
        if self.sign == "magnitude":
            magnitudes = np.stack([np.maximum(codes, 0), np.maximum(-codes, 0)])
            return magnitudes.view(np.uint8)
        field = codes.view(np.uint8) ^ np.uint8(self.offset)  # + 128 modulo 256 turns the top bit
        return field[None]

    def cells(self, fields: Bytes) -> Bytes:
        """(..., c): which cells of each digit are closed, at the bit position of the digit."""
        if self.digit_bits == 1:
            return fields[..., None]
        result = np.zeros((*fields.shape, len(self.units)), np.uint8)
        for plane in self.digit_planes:
            digit = fields >> plane.bit & (2**self.digit_bits - 1)
            for cell in range(len(self.units)):
                if self.digit_cells == "equal":
                    closed = digit > cell
                else:
                    closed = digit >> cell & 1
                result[..., cell] |= (closed.astype(np.uint8) << plane.bit).astype(np.uint8)
        return result

    @property
    def all_closed(self) -> np.uint8:
        """The field of a cell that is closed in every digit."""
        return np.uint8(sum(1 << plane.bit for plane in self.digit_planes))


@functools.cache
def _field_values(weights: tuple[float, ...], power: int) -> Singles:
    fields = np.arange(256)
    values = np.zeros(256)
    for bit, weight in enumerate(weights):
        values = values + (fields >> bit & 1) * weight**power
    return values.astype(np.float32)


def checked_codes(name: str, codes: ArrayLike) -> NDArray[np.int8]:
    """(z, rows, columns) of one or several matrices of integers in ±127.

    Raises
    ------
    ShapeError, OutOfRangeError : no matrix or several; other numbers
    """
    given = np.asarray(codes)
    if given.ndim not in (2, 3):
        raise ShapeError(f"{name} must be a matrix of codes, or several, got shape {given.shape}")
    with np.errstate(invalid="ignore"):
        narrow = given.astype(np.int8, copy=False)
    changed = narrow is not given and (narrow != given).any()
    if changed or narrow.min(initial=0) < -LEVELS:
        raise OutOfRangeError(
            f"{name} holds values that are no integers in ±{LEVELS}; quantise it first"
        )
    return narrow.reshape(-1, *given.shape[-2:])
