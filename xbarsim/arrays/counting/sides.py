"""The switch operand's side of the sums over sets of lines."""

import itertools

import numpy as np

from xbarsim.arrays.counting.moments import NEGLIGIBLE, Moments
from xbarsim.arrays.counting.operands import Plane, SwitchOperand
from xbarsim.arrays.counting.quantities import (
    OfSets,
    Quantity,
    Side,
    sets_that_matter,
    single_lines,
    sums_of_fields,
)
from xbarsim.base.array_types import AnyFloats, Floats, Integers
from xbarsim.kernels.arrays.counting import scale


def typical_side(moments: Moments, operand: SwitchOperand, matrices: slice) -> Side:
    """Side of several matrices of an operand by the statistics of the crossbars."""
    physics = moments.physics
    _, depth, outputs = operand.codes.shape
    statistics = moments.of_products(depth, outputs, operand.density)
    subsets_of = {key: of_sets.subsets for key, of_sets in statistics.quantities.items()}
    sums = sums_of_fields(physics.coding, operand.fields[:, matrices], subsets_of)
    bit_line = np.arange(outputs) % physics.computation.bit_lines
    crossbar = operand.crossbar[matrices]
    quantities = {}
    for quantity, coefficients in statistics.quantities.items():
        values = sums[quantity]
        by_set = values.reshape(*values.shape[:2], coefficients.subsets.size, -1)
        scale(by_set, coefficients.values, crossbar, bit_line, operand.lines.group)
        quantities[quantity] = OfSets(coefficients.subsets, values)
    return Side.of(quantities, statistics.whole)


def solved_side(moments: Moments, operand: SwitchOperand, matrices: slice) -> Side:
    """Side of several matrices by the conversions of every tile with its switches as they are set,
    plane by plane: the weights of the digits enter its sums, the word-line operand's side is the
    same.
    """
    physics = moments.physics
    coding = physics.coding
    fields = operand.fields[:, matrices]
    _, z, outputs, places, groups = fields.shape
    units = np.resize(coding.units, places)
    sums = np.zeros((len(Quantity), z, outputs, 2**places, groups), np.float32)
    for matrix, row_block in itertools.product(range(z), range(operand.lines.row_blocks)):
        tile = operand.lines.groups_of(row_block)
        line = operand.lines.line[:, tile].T  # (g, r)
        for plane in physics.planes(operand, matrix + matrices.start, row_block):
            places_of_plane = fields[plane.channel, matrix, plane.columns, :, tile]
            closed = places_of_plane.swapaxes(1, 2) >> plane.bit & 1
            of_plane = _deviations(moments, plane, line, closed * units)
            for quantity, values, total in zip(Quantity, of_plane, sums[:, matrix], strict=True):
                weighted = plane.weight**quantity.power * values
                total[plane.columns, :, tile] += weighted.swapaxes(1, 2)
    matter, whole = sets_that_matter(np.abs(sums).max(axis=(1, 2, 4)) > NEGLIGIBLE)
    if whole:
        value = np.einsum("c,cz...->z...", coding.signs, coding.field_values(1)[fields])
        sums[0][:, :, single_lines(places)] += value * units[:, None]
    quantities = {}
    for quantity, total, own in zip(Quantity, sums, matter, strict=True):
        if own.any():
            values = np.ascontiguousarray(total[:, :, own]).reshape(z, outputs, -1)
            quantities[quantity] = OfSets(np.flatnonzero(own), values)
    return Side.of(quantities, whole)


def _deviations(moments: Moments, plane: Plane, line: Integers, count: AnyFloats) -> Floats:
    """Moments (3, n, g, 2^r) of the conversions of a plane of switches, the mean without the exact
    count.

    line : (g, r) of the places of groups, -1 where there is none;  count : (n, g, r) units of every
        place whose switch is closed
    """
    current = np.where(line < 0, 0.0, plane.transfer[:, np.maximum(line, 0)])  # (n, g, r)
    found = moments.of_currents(current)
    found[0][..., single_lines(line.shape[1])] -= count
    return found
