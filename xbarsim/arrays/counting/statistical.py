"""Products by exact sums of the moments of conversions."""

import threading
from collections.abc import Callable

import numpy as np

from xbarsim.arrays.counting.lines import on_lines
from xbarsim.arrays.counting.moments import Moments, normal_quantiles
from xbarsim.arrays.counting.operands import LineOperand, Sums, SwitchOperand
from xbarsim.arrays.counting.physics import Physics
from xbarsim.arrays.counting.quantities import Quantity, Side, sums_of_fields
from xbarsim.arrays.counting.sides import solved_side, typical_side
from xbarsim.base.array_types import AnyFloats, Bytes, Floats, Keys, Singles
from xbarsim.kernels.arrays.counting import add_noise
from xbarsim.kernels.arrays.row_products import multiply_rows
from xbarsim.models.int8 import EXACT, LEVELS, integer_product

KEPT_BYTES = 2**30  # sides of products with weights that are kept, per chip
BLOCK_BYTES = 2**25  # of the word-line operand's side of the sums of a quantity at once


class StatisticalProduct:
    """Mean and variance of a conversion for every set of conducting lines, summed over all
    conversions exactly, see `kernels.arrays.counting`.

    What a cell adds to a current depends, by the IR drop, on the other switches of its tile:
    `ir_drop = "typical"` takes its mean over random switches and an independent deviation at every
    conversion, `"solved"` the very switches of every tile and plane, as the direct mode does.
    """

    def __init__(self, physics: Physics, moments: Moments) -> None:
        self.physics = physics
        self.moments = moments
        self.solved = physics.computation.ir_drop == "solved" and physics.wires is not None
        self._lock = threading.Lock()
        self._kept_bytes = 0

    def multiply(
        self, codes: LineOperand, operand: SwitchOperand, keys: Keys, any_batch: bool
    ) -> Sums:
        """Sums of the product of two operands; keys (z, b) name the random numbers; any_batch : see
        `Crossbars.multiply`.
        """
        _, z, _, places, groups = operand.fields.shape
        saturations = np.zeros(keys.shape)
        product = _rows_alike if any_batch else np.matmul
        results = []
        for matrices, blocks in blocks_of(z, keys.shape[1], 4 * groups * (2**places - 1)):
            side = self._side(operand, matrices)
            result = self._exact(codes, operand, matrices, side)
            if Quantity.VARIANCE in side.quantities:
                result = result.astype(np.float32, copy=False)
            if side.quantities:
                for rows in blocks:
                    bits = on_lines(codes.fields[:, matrices, rows], operand.lines.element)
                    self._add(
                        side,
                        bits,
                        keys[matrices, rows],
                        output=result[:, rows],
                        saturations=saturations[matrices, rows],
                        product=product,
                    )
            results.append(result)
        if len(results) == 1:
            return Sums(results[0], saturations)
        return Sums(np.concatenate(results), saturations)

    def _exact(
        self, codes: LineOperand, operand: SwitchOperand, matrices: slice, side: Side
    ) -> AnyFloats:
        """The product of the effective codes (z, b, n); room for one where the side is whole."""
        switched = operand.codes[matrices]
        of_lines = codes.codes[matrices]
        if side.whole:
            return np.empty((*of_lines.shape[:2], switched.shape[2]), np.float32)
        offset = self.physics.coding.offset
        largest = LEVELS + offset
        values = (of_lines + np.float32(offset)) * operand.used[matrices, None]
        if len(values) == 1:
            product: AnyFloats = integer_product(values[0], switched[0].T, largest)
            return product[None]
        if largest**2 * values.shape[-1] <= EXACT:
            return values.astype(np.float32, copy=False) @ switched
        return values.astype(np.float64, copy=False) @ switched

    def _add(
        self,
        side: Side,
        bits: Bytes,
        keys: Keys,
        output: AnyFloats,
        saturations: Floats,
        product: Callable[[Singles, Singles], Singles],
    ) -> None:
        """Add the sums over sets of lines to output (z, b, n) and saturations (z, b), in place.

        bits : (channels, z, b, r, groups), fields on lines;  keys : (z, b);  product : of matrices
        """
        subsets_of = {key: of_sets.subsets for key, of_sets in side.quantities.items()}
        sums = sums_of_fields(self.physics.coding, bits, subsets_of)
        outputs = output.shape[-1]
        for quantity, switched in side.quantities.items():
            total = product(sums[quantity], switched.values.swapaxes(1, 2))
            if quantity is Quantity.SATURATION:
                saturations += total[..., 0]
            elif quantity is Quantity.VARIANCE:  # after the mean
                add_noise(
                    output.reshape(-1, outputs),
                    total.reshape(-1, outputs),
                    keys.ravel(),
                    normal_quantiles(),
                )
            elif side.whole:
                output[...] = total
            else:
                output += total

    def _side(self, operand: SwitchOperand, matrices: slice) -> Side:
        """Side of several matrices of an operand, kept if there is room."""
        if operand.kept is not None:
            return operand.kept
        if not self.solved:
            side = typical_side(self.moments, operand, matrices)
            self._keep(operand, side)
            return side
        if not operand.keep:
            return solved_side(self.moments, operand, matrices)
        with operand.lock:  # solved once, however many threads need it at the same time
            if operand.kept is None:
                operand.kept = solved_side(self.moments, operand, matrices)
            return operand.kept

    def _keep(self, operand: SwitchOperand, side: Side) -> None:
        """Keep the side of an operand that is used often, if there is room."""
        with self._lock:
            if operand.keep and self._kept_bytes + side.nbytes <= KEPT_BYTES:
                self._kept_bytes += side.nbytes
                operand.kept = side


def _rows_alike(sums: Singles, values: Singles) -> Singles:
    """(z, b, s) @ (z, s, n): a row's bits are the same in any batch."""
    each = zip(sums, values, strict=True)
    return np.stack([multiply_rows(rows, np.ascontiguousarray(matrix.T)) for rows, matrix in each])


def blocks_of(z: int, rows: int, row_bytes: int) -> list[tuple[slice, list[slice]]]:
    """[(slice of matrices, [slices of rows])]: several small matrices, or parts of a large one,
    within `BLOCK_BYTES`.
    """
    at_once = max(1, BLOCK_BYTES // max(1, rows * row_bytes))
    step = max(1, BLOCK_BYTES // row_bytes)
    parts = [slice(row, row + step) for row in range(0, rows, step)]
    return [(slice(start, start + at_once), parts) for start in range(0, z, at_once)]
