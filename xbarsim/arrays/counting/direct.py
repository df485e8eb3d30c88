"""Products conversion by conversion."""

import itertools
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.lines import Lines, on_lines
from xbarsim.arrays.counting.operands import LineOperand, Sums, SwitchOperand
from xbarsim.arrays.counting.physics import Physics
from xbarsim.base.array_types import AnyFloats, Bytes, Keys
from xbarsim.kernels.arrays.counting import count_products


@dataclass(frozen=True)
class DirectProduct:
    """Every conversion of every bit pair through the transfer matrix of its tile."""

    physics: Physics

    def multiply(
        self, codes: LineOperand, operand: SwitchOperand, keys: Keys, any_batch: bool
    ) -> Sums:
        """Sums of the product of two operands; keys (z, b) name the random numbers.  A row's are the
        same bits in any batch.
        """
        physics = self.physics
        z, _, outputs = operand.codes.shape
        lines = operand.lines
        driven = on_lines(codes.fields, lines.element)  # (channels, z, b, r, groups)
        weight = self._plane_weights()
        output = np.zeros((*keys.shape, outputs))
        saturations = np.zeros(keys.shape, np.int64)
        for matrix, row_block in itertools.product(range(z), range(lines.row_blocks)):
            volts = self._driven_lines(driven[:, matrix], lines, row_block)
            for plane in physics.planes(operand, matrix, row_block):
                part = np.zeros((len(volts), len(plane.transfer)))
                count_products(
                    driven=volts,
                    driven_weight=weight,
                    transfer=plane.transfer,
                    switch_weight=plane.weight,
                    rows=physics.computation.rows_per_conversion,
                    half_swing=physics.half_swing,
                    top=physics.top,
                    keys=keys[matrix],
                    first=plane.number * len(weight),
                    out=part,
                    saturated=saturations[matrix],
                )
                output[matrix][:, plane.columns] += part
        return Sums(output, saturations.astype(np.float64))

    def _plane_weights(self) -> AnyFloats:
        """(p,) weights of the bits that the word lines step through, channel by channel."""
        coding = self.physics.coding
        return np.array([sign * plane.weight for sign in coding.signs for plane in coding.planes])

    def _driven_lines(self, driven: Bytes, lines: Lines, row_block: int) -> Bytes:
        """(b, p, word lines): which word lines of a tile are driven, of fields (channels, b, r,
        groups).
        """
        coding = self.physics.coding
        tile = lines.groups_of(row_block)
        line = lines.line[:, tile].ravel()
        present = line >= 0
        planes = list(itertools.product(range(len(coding.signs)), coding.planes))
        b = driven.shape[1]
        result = np.zeros((b, len(planes), self.physics.computation.word_lines), np.uint8)
        for number, (channel, plane) in enumerate(planes):
            bits = driven[channel][..., tile].reshape(b, -1)
            result[:, number, line[present]] = bits[:, present] >> plane.bit & 1
        return result
