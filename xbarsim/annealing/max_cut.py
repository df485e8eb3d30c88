"""Maximum cut: the two-colouring of a graph's nodes that the most edge weight runs across."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.annealing.ising import IsingProblem
from xbarsim.base.arguments import path_of, real_number, seed_of, whole_number
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.given_files import read_bytes

MOST_NODES = 20_000  # of a file: its matrix of weights is dense


@dataclass(frozen=True)
class MaxCut:
    """A weighted graph.

    weights : (n, n) symmetric with zeros on its diagonal, of the edges; 0 is no edge

    Examples
    --------
    >>> square = MaxCut([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
    >>> square.cut([[1, -1, 1, -1]])
    array([4.])
    >>> square.ising().energy([[1, -1, 1, -1]])
    array([-4.])
    """

    weights: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", IsingProblem(self.weights).couplings)

    def ising(self) -> IsingProblem:
        """The problem whose energy is minus the cut."""
        return IsingProblem(-self.weights / 2, offset=-float(self.weights.sum()) / 4)

    def cut(self, spins: ArrayLike) -> Floats:
        """(k,) weight of the edges between spins of different signs; spins : (k, n)."""
        return -self.ising().energy(spins)


def random_graph(nodes: int, density: float, seed: int, weighted: bool = False) -> MaxCut:
    """A random graph.

    density : share of the pairs of nodes that have an edge, above 0, at most 1
    weighted : weights uniform in 0 ... 1, else 1
    """
    whole_number("nodes", nodes, 2, MOST_NODES)
    seed_of(seed)
    density = real_number("density", density)
    if not 0 < density <= 1:
        raise OutOfRangeError(f"density = {density:g}; allowed: above 0, at most 1")
    rng = np.random.default_rng(seed)
    edges = np.triu(rng.random((nodes, nodes)) < density, 1)
    weights = edges.astype(float)
    if weighted:
        weights *= rng.random((nodes, nodes))
    if not weights.any():
        raise OutOfRangeError(
            f"a random graph of {nodes} nodes and density {density:g} has no edge at seed {seed}; "
            "allowed: another seed or a higher density"
        )
    return MaxCut(weights + weights.T)


def read_graph(path: str | Path) -> MaxCut:
    """A graph of a text file in the form of the Gset: "nodes edges", then "first second weight".

    Nodes count from 1; a weight that is not there is 1.

    Raises
    ------
    ConfigError : not readable; no such numbers; another count of edges; an edge twice
    """
    try:
        lines = read_bytes(path_of("graph file", path), ConfigError).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"graph file {path} cannot be read: {error}") from None
    rows = [line.split() for line in lines if line.strip()]
    if not rows or len(rows[0]) != 2:
        raise ConfigError(f'graph file {path}: the first line must be "nodes edges"')
    nodes = _whole(path, 1, rows[0][0])
    edges = _whole(path, 1, rows[0][1])
    if not 2 <= nodes <= MOST_NODES:
        raise ConfigError(f"graph file {path}: {nodes} nodes; allowed: 2 ... {MOST_NODES}")
    if len(rows) - 1 != edges:
        raise ConfigError(f"graph file {path}: {edges} edges are announced, {len(rows) - 1} stated")
    weights = np.zeros((nodes, nodes))
    for number, row in enumerate(rows[1:], 2):
        if len(row) not in (2, 3):
            raise ConfigError(f'graph file {path}, edge line {number}: needs "first second weight"')
        first = _whole(path, number, row[0]) - 1
        second = _whole(path, number, row[1]) - 1
        if not (0 <= first < nodes and 0 <= second < nodes and first != second):
            raise ConfigError(
                f"graph file {path}, edge line {number}: {' '.join(row[:2])}; allowed: two different "
                f"nodes of 1 ... {nodes}"
            )
        if weights[first, second] != 0:
            raise ConfigError(f"graph file {path}, edge line {number}: the edge is there twice")
        weight = 1.0
        if len(row) == 3:
            weight = _number(path, number, row[2])
        weights[first, second] = weight
        weights[second, first] = weight
    return MaxCut(weights)


def _whole(path: str | Path, line: int, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ConfigError(
            f"graph file {path}, line {line}: {word[:40]!r} is not a whole number"
        ) from None


def _number(path: str | Path, line: int, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ConfigError(
            f"graph file {path}, line {line}: {word[:40]!r} is not a number"
        ) from None
    if not np.isfinite(value):
        raise ConfigError(f"graph file {path}, line {line}: {word}; allowed: finite weights")
    return value
