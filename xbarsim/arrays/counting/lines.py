"""Elements of the depth on word lines of tiles.

Depth is the dimension that a product sums over: its elements lie on word lines, the outputs on bit
lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.base.array_types import AnyArray, Integers, Singles


@dataclass(frozen=True)
class Lines:
    """How the elements of one depth lie on the word lines of tiles.

    element, line : (r, groups) element and word line of its tile of every place of a group; -1
        where a group has no more
    row_block, group : (groups,) tile along the depth, and group of that tile
    """

    element: Integers
    line: Integers
    row_block: Integers
    group: Integers

    @classmethod
    def of(cls, depth: int, cells: int, word_lines: int, rows: int) -> Lines:
        """Lines of elements of `cells` cells each, of which `rows` are driven at once."""
        per_tile = word_lines // cells
        per_group = rows // cells
        groups_per_tile = -(-per_tile // per_group)
        row_block = np.repeat(np.arange(-(-depth // per_tile)), groups_per_tile)
        group = np.arange(len(row_block)) % groups_per_tile
        within = group[:, None] * per_group + np.arange(per_group)
        element = row_block[:, None] * per_tile + within
        used = (within < per_tile) & (element < depth)
        element = np.where(used, element, -1)
        within = np.where(used, within, -1)
        line = np.where(within[..., None] < 0, -1, within[..., None] * cells + np.arange(cells))
        kept = used.any(axis=1)
        return cls(
            element=np.repeat(element, cells, axis=1)[kept].T,
            line=line.reshape(len(line), -1)[kept].T,
            row_block=row_block[kept],
            group=group[kept],
        )

    @property
    def row_blocks(self) -> int:
        """Tiles along the depth."""
        return int(self.row_block[-1]) + 1

    def groups_of(self, row_block: int) -> slice:
        """Slice of the groups of a tile."""
        groups = np.flatnonzero(self.row_block == row_block)
        return slice(groups[0], groups[-1] + 1)

    def per_element(self, values: AnyArray, depth: int) -> Singles:
        """(z, n, r, groups) summed over the lines of every element, (z, n, depth)."""
        # The last is for places without an element.
        result = np.zeros((*values.shape[:2], depth + 1), np.float32)
        place: Any = (slice(None), slice(None), self.element)
        np.add.at(result, place, values)
        return result[..., :-1]


def on_lines(values: AnyArray, index: Integers) -> AnyArray:
    """(..., k) values at `index`, 0 where it is negative."""
    result = values[..., np.maximum(index, 0)]
    result[..., index < 0] = 0
    return result
