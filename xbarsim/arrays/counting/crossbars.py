"""The computation crossbar of large-and-small chips: products of two digital operands by counting
conducting cells.

A cell is a fixed resistor behind a switch.  Bits of one operand drive word lines, digits of the
other set the switches, `rows_per_conversion` word lines are driven at once, and a few-level ADC
counts the cells of a bit line that conduct; shift-and-add assembles the product of the integers.
Nothing is programmed, both operands are data: products with weights, Q·Kᵀ and scores·V are the same
operation.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.arrays.counting.coding import checked_codes
from xbarsim.arrays.counting.direct import DirectProduct
from xbarsim.arrays.counting.moments import Moments
from xbarsim.arrays.counting.operands import Counted, LineOperand, Sums, SwitchOperand
from xbarsim.arrays.counting.physics import Physics
from xbarsim.arrays.counting.quantities import Quantity, sums_of_fields
from xbarsim.arrays.counting.statistical import StatisticalProduct
from xbarsim.arrays.counting.switches import switch_operand
from xbarsim.arrays.events import Events
from xbarsim.arrays.settings import CountingSettings
from xbarsim.base.array_types import Integers, Keys, Singles
from xbarsim.base.errors import ShapeError


class CountingProduct(Protocol):
    """One way to simulate a product."""

    def multiply(
        self, codes: LineOperand, operand: SwitchOperand, keys: Keys, any_batch: bool
    ) -> Sums:
        """Sums of the product of two operands; keys (z, b) name the random numbers; any_batch : see
        `Crossbars.multiply`.
        """
        ...


class ProductMode(StrEnum):
    """Ways to simulate a product, `[computation] mode`."""

    DIRECT = "direct"
    STATISTICAL = "statistical"


def _statistical(physics: Physics) -> CountingProduct:
    return StatisticalProduct(physics, Moments(physics))


PRODUCTS: dict[ProductMode, Callable[[Physics], CountingProduct]] = {
    ProductMode.DIRECT: DirectProduct,
    ProductMode.STATISTICAL: _statistical,
}


class Crossbars:
    """The computation crossbars of one simulated chip.

    The tiles of a product take the crossbars in turn, tile number modulo `computation.crossbars`;
    the digit planes of a tile are set one after another on the same crossbar.

    Attributes
    ----------
    physics : their resistors, switches and transfer
    product : the way to simulate a product
    """

    def __init__(self, settings: CountingSettings, seed: int) -> None:
        """seed : names the chip."""
        self.physics = Physics(settings, seed)
        self.product = PRODUCTS[ProductMode(settings.computation.mode)](self.physics)

    def prepare(
        self,
        codes: ArrayLike,
        first: int | Integers = 0,
        depths: ArrayLike | None = None,
        keep: bool = False,
        widths: ArrayLike | None = None,
    ) -> SwitchOperand:
        """SwitchOperand of integer codes in ±127, (depth, n) or z such matrices (z, depth, n).

        Parameters
        ----------
        first : one number or (z,), number of the first tile of each among the tiles that take the
            crossbars in turn
        depths, widths : (z,) elements and outputs that there are of each matrix, all of them if
            None; the others are padding
        keep : whether a single one is used often

        Raises
        ------
        ShapeError, OutOfRangeError : no matrix of codes, or codes beyond ±127
        """
        return switch_operand(
            self.physics, codes, first=first, depths=depths, widths=widths, keep=keep
        )

    def multiply(
        self, codes: ArrayLike, operand: SwitchOperand, keys: ArrayLike, any_batch: bool = False
    ) -> Counted:
        """Product of integer codes (b, depth), or (z, b, depth), with a SwitchOperand.

        keys : (b,) or (z, b), name the random numbers of each row
        any_batch : whether the output of a row must have the same bits wherever it stands among
            whichever others, at the cost of rows that are filled up

        Raises
        ------
        ShapeError, OutOfRangeError : no matrix of codes, or codes beyond ±127; another depth or
            number of matrices than the operand's
        """
        shape = np.shape(codes)[:-1]
        checked = checked_codes("word-line operand", codes)
        z, depth, outputs = operand.codes.shape
        if checked.shape[::2] != (z, depth):
            raise ShapeError(
                f"word-line operand of {len(checked)} matrices of depth {checked.shape[2]}, switch "
                f"operand of {z} of depth {depth}: both must be equal"
            )
        names = np.ascontiguousarray(keys, np.uint64).reshape(checked.shape[:2])
        driven = LineOperand.of(checked, operand, self.physics.coding)
        sums = self.product.multiply(driven, operand, names, any_batch)
        output = sums.output
        offset = self.physics.coding.offset
        if offset:
            # Σ (a + o)(b + o) = Σ ab + o Σ b + o Σ (a + o): both sums are known digitally.
            of_lines = (checked + np.float32(offset)) @ operand.used[..., None]
            output = output - offset * (operand.total + of_lines)
        return Counted(
            output=output.reshape(*shape, outputs),
            saturations=sums.saturations.reshape(shape),
            conducting=self._conducting(driven, operand).reshape(shape),
        )

    def _conducting(self, driven: LineOperand, operand: SwitchOperand) -> Singles:
        """(z, b, 1) units that conduct, summed over all reads."""
        alone = {Quantity.SATURATION: np.array([1])}  # bits of every element alone
        bits = sums_of_fields(self.physics.coding, driven.fields[:, :, :, None], alone)
        conducting: Singles = bits[Quantity.SATURATION] @ operand.closed
        return conducting

    @property
    def elements_per_tile(self) -> int:
        """Elements of the depth of a product that the word lines of a tile hold."""
        return self.physics.computation.word_lines // self.physics.cells

    def _column_blocks(self, outputs: int) -> int:
        return -(-outputs // self.physics.computation.bit_lines)

    def tiles(self, depth: int, outputs: int) -> int:
        """Tiles of a product: crossbars that it would take to hold one digit plane of it at once."""
        return -(-depth // self.elements_per_tile) * self._column_blocks(outputs)

    def events(self, depth: int, outputs: int) -> Events:
        """What one input row of a product costs."""
        coding = self.physics.coding
        per_tile = self.elements_per_tile
        per_group = self.physics.computation.rows_per_conversion // self.physics.cells
        full, rest = divmod(depth, per_tile)
        groups = full * -(-per_tile // per_group) + -(-rest // per_group)
        pairs = len(coding.signs) * len(coding.planes) * coding.switch_planes
        conversions = pairs * groups * outputs
        columns = self._column_blocks(outputs)
        return Events(
            tile_reads=pairs * groups * columns,
            adc_conversions=conversions,
            dac_drives=pairs * depth * self.physics.cells * columns,
            shift_adds=conversions,
        )

    def stuck_cells(self, operand: SwitchOperand) -> tuple[int, int]:
        """(closed, open) cells of the tiles of one matrix, counted on the crossbars that hold them."""
        _, depth, outputs = operand.codes.shape
        tile = operand.crossbar[0, 0, 0] + np.arange(self.tiles(depth, outputs))
        used = tile % self.physics.computation.crossbars
        closed = int(self.physics.stuck_closed[used].sum())
        return closed, int(self.physics.stuck_open[used].sum())

    def switch_settings(self, depth: int, outputs: int) -> int:
        """Switches set to bring one operand onto the crossbars, all digit planes."""
        return depth * self.physics.cells * outputs * self.physics.coding.switch_planes
