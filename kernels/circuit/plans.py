"""How the inner nodes of a small block of cells are eliminated: planned once, followed by many
blocks side by side.
"""

import functools
from typing import NamedTuple

import numpy as np


class Plan(NamedTuple):
    """How to eliminate the inner nodes of a block of side x side cells, as places of the
    conductances it has then.

    That between the ports p and q < p has the place p (p - 1) / 2 + q; ports come in the order left,
    right, top, bottom.  The place of a conductance of an eliminated node is used again.
    """

    # (3, side, side) places of the conductances of word-line segment, device and bit-line segment
    # of each cell
    cells: np.ndarray
    # Node e has the conductances spokes[start[e] : start[e + 1]]; eliminating it adds to rims, one
    # for each pair of spokes, in order.
    start: np.ndarray
    spokes: np.ndarray
    rims: np.ndarray
    count: int  # of places


class _Mesh:
    """Nodes, by number, and the places of the conductances between them; ports come first."""

    def __init__(self, ports, nodes):
        p, q = np.tril_indices(ports, -1)
        self.count = len(p)
        self.places = np.full((nodes, nodes), -1, np.int16)
        self.places[p, q] = np.arange(self.count)
        self.places[q, p] = np.arange(self.count)
        self.connected = np.zeros((nodes, nodes), bool)
        self.free = []  # places of conductances that are gone

    def connect(self, a, b):
        """Places of the conductances between nodes a and nodes b, pair by pair."""
        found = self.places[a, b]
        new = np.flatnonzero(found < 0)
        found[new] = self._unused(len(new))
        self.places[a, b] = found
        self.places[b, a] = found
        self.connected[a, b] = True
        self.connected[b, a] = True
        return found

    def _unused(self, number):
        """So many places; the last that became free come first."""
        again = self.free[-number:] if number else []
        del self.free[len(self.free) - len(again) :]
        added = number - len(again)
        self.count += added
        return again + list(range(self.count - added, self.count))

    def eliminate(self, node):
        """Places of the conductances of the node, and of those that it adds to."""
        around = np.flatnonzero(self.connected[node])
        spokes = self.places[node, around]
        p, q = np.tril_indices(len(around), -1)
        rims = self.connect(around[p], around[q])
        self.connected[node] = False
        self.connected[:, node] = False
        self.free += spokes.tolist()
        return spokes, rims


def _level(node, side):
    """Key of the order of inner nodes: of the joins of halves of halves, vertical after horizontal,
    the one that makes this an inner node.
    """
    kind, i, j = node
    first = i - 1
    second = i
    if kind == "word":
        first = j
        second = j + 1
    level = 0
    if first >= 0 and second < side:
        level = (first ^ second).bit_length()
    return level, kind == "bit", node


def _ports(side):
    """Nodes that are ports, in order.

    A node is ("left", row), ("word", row, column), ("bit", row, column) or ("bottom", column).
    """
    lines = range(side)
    left = [("left", i) for i in lines]
    right = [("word", i, side - 1) for i in lines]
    top = [("bit", 0, j) for j in lines]
    bottom = [("bottom", j) for j in lines]
    return left + right + top + bottom


def _inner_nodes(side):
    """All others, in the order in which they are eliminated."""
    words = [("word", i, j) for i in range(side) for j in range(side - 1)]
    bits = [("bit", i, j) for i in range(1, side) for j in range(side)]
    return sorted(words + bits, key=lambda node: _level(node, side))


def _lay_cells(mesh, numbers, side):
    """(3, side, side): see `Plan.cells`."""
    cells = np.empty((3, side, side), np.int64)
    for i in range(side):
        for j in range(side):
            word = numbers["word", i, j]
            bit = numbers["bit", i, j]
            before = numbers["word", i, j - 1] if j > 0 else numbers["left", i]
            below = numbers["bit", i + 1, j] if i < side - 1 else numbers["bottom", j]
            first = np.array([before, word, bit])
            second = np.array([word, bit, below])
            cells[:, i, j] = mesh.connect(first, second)
    return cells


@functools.cache
def plan_of(side):
    """`Plan` of blocks of side x side cells."""
    ports = _ports(side)
    inner = _inner_nodes(side)
    numbers = {node: number for number, node in enumerate(ports + inner)}
    mesh = _Mesh(len(ports), len(numbers))
    cells = _lay_cells(mesh, numbers, side)
    start = [0]
    spokes = []
    rims = []
    for node in inner:
        own, added = mesh.eliminate(numbers[node])
        spokes.append(own)
        rims.append(added)
        start.append(start[-1] + len(own))
    return Plan(cells, np.array(start), np.concatenate(spokes), np.concatenate(rims), mesh.count)
