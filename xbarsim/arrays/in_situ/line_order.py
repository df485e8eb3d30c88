"""Which word line an input drives and which bit line an output is read from, where that is chosen.

On a tile the last word line is next to the sense amplifiers, and the first bit line next to the
drivers: less is lost there in wires.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.array_within import ArrayWithin
from xbarsim.arrays.in_situ.defect_map import costs_of_places, defects_of_outputs, least_cost
from xbarsim.arrays.in_situ.layout import Layout, layout_of, lines_per_input
from xbarsim.arrays.in_situ.matrix import Array, Product
from xbarsim.base.array_types import AnyFloats, Booleans, Floats, Integers, Singles
from xbarsim.config.arrays import Mapping
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams


@dataclass(frozen=True)
class LineOrder:
    """inputs (n,), outputs (m,) : what lies at every place of the array, in their own numbers"""

    inputs: Integers
    outputs: Integers

    @classmethod
    def of(
        cls,
        weight: AnyFloats,
        moment: Floats,
        mapping: Mapping,
        device: DeviceModel,
        streams: Streams,
    ) -> LineOrder | None:
        """That of a matrix (outputs, inputs); None where inputs and outputs lie in their own order.

        moment : (inputs,), mean square of each input
        device : with the effects of the study;  streams : name its stuck cells
        """
        if mapping.row_order == "none" and mapping.column_order == "none":
            return None
        outputs, inputs = weight.shape
        layout = layout_of(inputs, outputs, mapping)
        square = np.asarray(weight, np.float64) ** 2
        rows = np.arange(inputs)
        columns = np.arange(outputs)
        if mapping.row_order == "magnitude":
            to_sense = _to_sense(layout)[:: lines_per_input(mapping)]
            rows = _largest_first(square.sum(axis=0), to_sense)
        if mapping.column_order == "magnitude":
            columns = _largest_first(square.sum(axis=1), columns % layout.outputs_per_tile)
        if mapping.column_order == "defects":
            defects = defects_of_outputs(layout, mapping, device, streams)
            columns = _largest_first(square.sum(axis=1), defects)
        if mapping.column_order == "assigned":
            cost = costs_of_places(weight[:, rows], moment[rows], mapping, device, streams)
            columns = least_cost(cost)
        return cls(rows, columns)

    def of_weight(self, weight: AnyFloats) -> AnyFloats:
        """A matrix (outputs, inputs) as it lies on the array."""
        found: AnyFloats = weight[np.ix_(self.outputs, self.inputs)]
        return found

    def back_of_weight(self, weight: Singles) -> Singles:
        """A matrix (outputs, inputs) of the lines in its own order."""
        found = np.empty_like(weight)
        found[np.ix_(self.outputs, self.inputs)] = weight
        return found

    def of_inputs(self, x: Singles) -> Singles:
        """Inputs (b, inputs) in the order of the word lines."""
        return np.ascontiguousarray(x[:, self.inputs])

    def back(self, output: Singles) -> Singles:
        """Outputs (b, outputs) of the bit lines in their own order."""
        found = np.empty_like(output)
        found[:, self.outputs] = output
        return found


def _to_sense(layout: Layout) -> Integers:
    """(inputs,) word lines between each place and the sense amplifiers of its tile."""
    return layout.word_lines - 1 - np.arange(layout.inputs) % layout.word_lines


def _largest_first(size: Floats, cost: Integers) -> Integers:
    """Which of them lies at every place, the largest where the cost is least."""
    places = np.argsort(cost, kind="stable")
    order = np.empty(len(places), np.int64)
    order[places] = np.argsort(-size, kind="stable")
    return order


@dataclass(frozen=True)
class OrderedArray(ArrayWithin):
    """An array whose inputs and outputs lie in an order of their own; see `matrix.Array`."""

    order: LineOrder

    def multiply(
        self, x: Singles, rows: Integers, seed: int, wanted: Booleans | None = None
    ) -> Product:
        """See `matrix.Array.multiply`; inputs and outputs are in their own order."""
        of_lines = None if wanted is None else wanted[:, self.order.outputs]
        product = self.array.multiply(self.order.of_inputs(x), rows, seed, of_lines)
        return dataclasses.replace(product, output=self.order.back(product.output))


def ordered(array: Array, order: LineOrder | None) -> Array:
    """An array in an order, or as it is."""
    return array if order is None else OrderedArray(array, order)
