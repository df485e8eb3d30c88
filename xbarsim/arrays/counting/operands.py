"""Prepared operands of counting crossbars, planes of switches, results."""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.lines import Lines


@dataclass(frozen=True)
class Side:
    """The switch operand's side of the sums over the sets of conducting lines.

    quantities : {name: (subsets (s,) int64, (z, n, s · groups) float32)} of the sets that matter
        for the "mean" of the deviation from the exact count, the "variance" and the probability of
        "saturation", which is summed over the outputs to (z, 1, s · groups); without a quantity
        that is 0 everywhere
    whole : whether "mean" is the result itself: single lines matter, and no exact product is needed
        beside them
    """

    quantities: dict
    whole: bool

    @classmethod
    def of(cls, quantities, whole):
        """With saturations of every output (z, n, s · groups)."""
        return cls(
            {
                name: (
                    subsets,
                    values.sum(axis=1, keepdims=True) if name == "saturation" else values,
                )
                for name, (subsets, values) in quantities.items()
            },
            whole,
        )


@dataclass
class SwitchOperand:
    """The operand that sets the switches, prepared for products: z matrices (depth, n) that have
    nothing in common.

    codes : (z, depth, n) float32, effective codes in units: stuck cells and the coding's offset
        included
    used : (z, depth) float32, 1 where there is an element, 0 where a matrix is less deep than
        others
    fields : (channels, z, n, r, groups) uint8;  total : (z, 1, n) float64, sum over the depth of
        the codes as given
    closed : (z, depth, 1) float32, units that conduct behind each element, stuck cells included,
        summed over the bit lines of its tiles and digits
    crossbar : (z, n, groups) int, the crossbar of each place;  density : float, share of closed
        switches
    keep : bool, whether its side of the sums may be kept;  kept : that side, or None
    """

    codes: np.ndarray
    used: np.ndarray
    fields: np.ndarray
    total: np.ndarray
    closed: np.ndarray
    lines: Lines
    crossbar: np.ndarray
    density: float
    keep: bool
    kept: Side | None = None


@dataclass(frozen=True)
class Plane:
    """One plane of switches of a tile: its number in the product, its outputs (slice), the channel
    and bit position of its digit with their signed weight, and the transfer matrix (outputs, word
    lines) in LSB.
    """

    number: int
    columns: slice
    channel: int
    bit: int
    weight: float
    transfer: np.ndarray


@dataclass(frozen=True)
class Counted:
    """A product: output (..., b, n) float in units of code · code, saturations (..., b) conversions
    (expected ones in the statistical mode), conducting (..., b) units of conductance that
    conducted, summed over all reads of whole tiles.
    """

    output: np.ndarray
    saturations: np.ndarray
    conducting: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """Möbius coefficients of a conversion over the sets of conducting lines, see `Side`.

    quantities : {name: (subsets (s,) int64, coefficients (crossbars, bit lines, s, groups)
        float32)}
    """

    quantities: dict
    whole: bool
