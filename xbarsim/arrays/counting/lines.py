"""Elements of the depth on word lines of tiles."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lines:
    """How the elements of one depth lie on the word lines of tiles.

    element, line : (r, groups) element and word line of its tile of every place of a group; -1
        where a group has no more
    row_block, group : (groups,) tile along the depth, and group of that tile
    """

    element: np.ndarray
    line: np.ndarray
    row_block: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, depth, cells, word_lines, rows):
        per_tile, per_group = word_lines // cells, rows // cells
        groups_per_tile = -(-per_tile // per_group)
        row_block = np.repeat(np.arange(-(-depth // per_tile)), groups_per_tile)
        group = np.arange(len(row_block)) % groups_per_tile
        within = group[:, None] * per_group + np.arange(per_group)
        element = row_block[:, None] * per_tile + within
        used = (within < per_tile) & (element < depth)
        element, within = np.where(used, element, -1), np.where(used, within, -1)
        line = np.where(within[..., None] < 0, -1, within[..., None] * cells + np.arange(cells))
        kept = used.any(axis=1)
        return cls(
            np.repeat(element, cells, axis=1)[kept].T,
            line.reshape(len(line), -1)[kept].T,
            row_block[kept],
            group[kept],
        )

    def groups_of(self, row_block):
        """Slice of the groups of a tile."""
        groups = np.flatnonzero(self.row_block == row_block)
        return slice(groups[0], groups[-1] + 1)


def on_lines(values, index):
    """(..., k) values at `index`, 0 where it is negative."""
    result = values[..., np.maximum(index, 0)]
    result[..., index < 0] = 0
    return result
