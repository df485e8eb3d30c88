"""Where the stuck cells of a matrix are, what they cost an output at every place, and which output
lies where then.

A map is known cell by cell: every cell was written high and low and read after each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from xbarsim.arrays.in_situ.crosspoints import shares_of
from xbarsim.arrays.in_situ.encoding import encode
from xbarsim.arrays.in_situ.full_scale import choose_clip
from xbarsim.arrays.in_situ.layout import Layout, cells_per_crosspoint, layout_of
from xbarsim.base.array_types import AnyFloats, Booleans, Floats, Integers
from xbarsim.config.arrays import Mapping
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams

TESTS_OF_A_CELL = 2  # writes, high and low, and as many reads


def maps_defects(mapping: Mapping) -> bool:
    """Whether the places of outputs follow stuck cells."""
    return mapping.column_order in ("defects", "assigned")


@dataclass(frozen=True)
class _StuckBlock:
    """Stuck cells of a row block, of one cell of every crosspoint, from 0, the lowest.

    rows : of its inputs
    mask, conductance : (planes, outputs, rows), which are stuck, and S where they sit
    """

    rows: slice
    cell: int
    mask: Booleans
    conductance: Floats


def _stuck_blocks(
    layout: Layout, mapping: Mapping, device: DeviceModel, streams: Streams
) -> Iterator[_StuckBlock]:
    shape = (layout.tiles_per_row_block, layout.word_lines, layout.bit_lines)
    for block in range(layout.row_blocks):
        rows = layout.rows(block)
        of_block = streams.beyond(block * layout.tiles_per_row_block)
        for cell in range(cells_per_crosspoint(mapping)):
            found = device.stuck_cells(shape, of_block.beyond(cell * layout.tiles))
            length = rows.stop - rows.start
            mask = layout.from_tiles(found.mask.transpose(0, 2, 1).astype(np.float64), length)
            conductance = np.broadcast_to(found.conductance, shape).transpose(0, 2, 1)
            yield _StuckBlock(rows, cell, mask > 0, layout.from_tiles(conductance, length))


def defects_of_outputs(
    layout: Layout, mapping: Mapping, device: DeviceModel, streams: Streams
) -> Integers:
    """(outputs,) stuck cells of every place of an output, over all row blocks and planes."""
    total = np.zeros(layout.outputs, np.int64)
    for block in _stuck_blocks(layout, mapping, device, streams):
        total += block.mask.sum(axis=(0, 2))
    return total


def costs_of_places(
    weight: AnyFloats, moment: Floats, mapping: Mapping, device: DeviceModel, streams: Streams
) -> Floats:
    """(outputs, places) expected square errors of the products of a matrix (outputs, inputs) by stuck
    cells, of every output at every place of an output.

    moment : (inputs,), mean square of each input; inputs and cells count as independent.
    O(outputs² inputs cells).
    """
    outputs, inputs = weight.shape
    layout = layout_of(inputs, outputs, mapping)
    by_input = np.asarray(weight, np.float64).T
    encoded = encode(by_input, choose_clip(by_input, moment, mapping, device), mapping, device)
    target = encoded.target.reshape(layout.planes, inputs, outputs)
    value = encoded.value.reshape(layout.planes, outputs)
    cost = np.zeros((outputs, outputs))
    for block in _stuck_blocks(layout, mapping, device, streams):
        share, of_cell = _cell(target[:, block.rows], block.cell, mapping, device)
        for plane in range(layout.planes):
            weights = block.mask[plane] * moment[block.rows]  # (places, rows)
            stuck = block.conductance[plane]
            wanted = of_cell[plane]  # (rows, outputs)
            square = (weights * stuck**2).sum(axis=1)[:, None]
            square = square + weights @ wanted**2 - 2 * (weights * stuck) @ wanted
            cost += (share * value[plane][:, None]) ** 2 * np.maximum(square, 0.0).T
    return cost


def _cell(target: Floats, cell: int, mapping: Mapping, device: DeviceModel) -> tuple[float, Floats]:
    """Share of the crosspoint's current, and target (planes, rows, outputs), of one of its cells."""
    cells = cells_per_crosspoint(mapping)
    if cells == 1:
        return 1.0, target
    low = device.conductance_min
    high = device.conductance_max
    digits = np.rint((target - low) / (high - low) * (2**cells - 1)).astype(np.int64)
    return float(shares_of(cells)[cell]), np.where(digits >> cell & 1 == 1, high, low)


def least_cost(cost: Floats) -> Integers:
    """(places,) which output lies at every place, so that the sum of costs (outputs, places) is
    least.
    """
    outputs, places = linear_sum_assignment(cost)
    order = np.empty(len(cost), np.int64)
    order[places] = outputs
    return order
