"""`MatrixPlan`: a matrix mapped onto tiles, to be programmed and solved row block by row block."""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.layout import Layout, layout_of
from xbarsim.arrays.mapping import Encoded, choose_clip, encode
from xbarsim.arrays.tile import program_cells, solve_row_block
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams


@dataclass(frozen=True)
class MatrixPlan:
    """A matrix mapped onto tiles that are not programmed yet.

    index : names the random streams;  study, device : with what applies to this matrix
    weight : (outputs, inputs) float64, as given
    """

    name: str
    index: int
    study: Study
    device: DeviceModel
    weight: np.ndarray
    encoded: Encoded
    layout: Layout

    def streams(self, block):
        """Random streams of the tiles of a row block."""
        return Streams(self.study.seed, self.index, block * self.layout.tiles_per_row_block)

    def program(self, block):
        """Programmed cells (tiles, word_lines, bit_lines) of a row block."""
        layout, outputs = self.layout, self.layout.outputs
        target = self.encoded.target[:, :, layout.rows(block)]
        return program_cells(
            target.reshape(layout.planes, -1, outputs),
            layout,
            self.device,
            self.study,
            self.streams(block),
        )

    def solve(self, block, cells):
        """TileRow of a row block of Programmed cells: its wires solved."""
        rows = self.layout.rows(block)
        return solve_row_block(
            cells,
            self.layout,
            self.device,
            self.study,
            self.streams(block),
            rows=rows.stop - rows.start,
        )


def plan_matrix(name, index, weight, moment, study, device):
    """Map a weight (out, in) onto tiles; arguments and errors as of `program_matrix`."""
    if weight.ndim != 2:
        raise ShapeError(f"weights of {name} must be a matrix (out, in), got shape {weight.shape}")
    if not np.isfinite(weight).all():
        raise OutOfRangeError(
            f"weights of {name} contain NaN or infinity; the checkpoint is damaged"
        )
    study = study.for_layer(name)
    mapping = study.mapping
    device = device.in_study(study)
    weight = np.asarray(weight, np.float64).T
    encoded = encode(weight, choose_clip(weight, moment, mapping, device), mapping, device)
    layout = layout_of(*weight.shape, mapping)
    return MatrixPlan(name, index, study, device, weight.T, encoded, layout)
