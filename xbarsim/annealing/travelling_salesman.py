"""The shortest round trip through all cities, as a problem of spins."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.annealing.ising import IsingProblem
from xbarsim.base.arguments import real_number
from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError

MOST_CITIES = 10  # of a search of all trips


@dataclass(frozen=True)
class TravellingSalesman:
    """Cities and the distances between them.

    The first city is visited first.  A binary b[c, t] says that city c is visited at time t; a penalty
    is paid for every city and every time that has not exactly one; b = (1 + s) / 2, and one spin more,
    held at 1 by the sign of all, carries the linear terms.

    distances : (n, n) symmetric, 0 or more, zeros on its diagonal, of at least 3 cities

    Examples
    --------
    >>> corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    >>> trip = TravellingSalesman(np.abs(corners[:, None] - corners).sum(axis=2))
    >>> trip.shortest()
    4.0
    """

    distances: Floats

    def __post_init__(self) -> None:
        given = numbers("distances", self.distances)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or len(given) < 3:
            raise ShapeError(
                f"distances have shape {given.shape}; allowed: (n, n) of at least 3 cities"
            )
        fine = np.isfinite(given).all() and (given >= 0).all() and (given == given.T).all()
        if not fine or np.diagonal(given).any():
            raise OutOfRangeError(
                "distances are not a table of distances; allowed: finite, 0 or more, symmetric, zeros "
                "on the diagonal"
            )
        object.__setattr__(self, "distances", given)

    @property
    def cities(self) -> int:
        """Number of cities, the first included."""
        return len(self.distances)

    def ising(self, penalty: float) -> IsingProblem:
        """The problem whose energy is the length of a trip plus the penalties.

        penalty : for every city and time that is visited never or twice, in the unit of distances;
            above the longest distance no trip is worth breaking the rules for
        """
        penalty = real_number("penalty", penalty)
        if not penalty > 0:
            raise OutOfRangeError(f"penalty = {penalty:g}; allowed: above 0")
        quadratic, linear, constant = self._binary(penalty)
        couplings = -quadratic / 4  # b' Q b / 2 with b = (1 + s) / 2
        field = -(quadratic.sum(axis=1) / 4 + linear / 2)
        whole = np.zeros((len(linear) + 1, len(linear) + 1))
        whole[:-1, :-1] = couplings
        whole[-1, :-1] = field
        whole[:-1, -1] = field
        offset = constant + quadratic.sum() / 8 + linear.sum() / 2
        return IsingProblem(whole, offset=float(offset))

    def _binary(self, penalty: float) -> tuple[Floats, Floats, float]:
        """Energy 1/2 b' Q b + l' b + constant of binaries: Q symmetric without diagonal, l, constant."""
        free = self.cities - 1  # cities, and times, beside the first
        one = np.eye(free)
        other = 1 - one
        between = self.distances[1:, 1:]
        next_to = np.eye(free, k=1) + np.eye(free, k=-1)
        quadratic = np.kron(between, next_to).astype(np.float64)
        quadratic += 2 * penalty * (np.kron(one, other) + np.kron(other, one))
        linear = np.full((free, free), -2.0 * penalty)
        linear[:, 0] += self.distances[0, 1:]
        linear[:, -1] += self.distances[0, 1:]
        fields: Floats = linear.ravel()
        return quadratic, fields, 2.0 * free * penalty

    def trips(self, spins: ArrayLike) -> Integers:
        """(k, cities) the cities in the order of their visits; -1 in a row that is no trip."""
        states = numbers("spins", spins)
        free = self.cities - 1
        if states.ndim != 2 or states.shape[1] != free**2 + 1:
            raise ShapeError(f"spins have shape {states.shape}; allowed: (states, {free**2 + 1})")
        turned = states[:, :-1] * states[:, -1:]
        visited = turned.reshape(-1, free, free) > 0
        proper = (visited.sum(axis=1) == 1).all(axis=1) & (visited.sum(axis=2) == 1).all(axis=1)
        order = np.zeros((len(states), self.cities), np.int64)
        order[:, 1:] = visited.argmax(axis=1) + 1
        order[~proper] = -1
        return order

    def length(self, trips: ArrayLike) -> Floats:
        """(k,) lengths of round trips, infinite for one that is none."""
        given = numbers("trips", trips)
        if given.ndim != 2 or given.shape[1] != self.cities or (given != np.round(given)).any():
            raise ShapeError(
                f"trips have shape {given.shape}; allowed: (k, {self.cities}) numbers of cities"
            )
        if not ((-1 <= given) & (given < self.cities)).all():
            raise OutOfRangeError(
                f"trips name a city beyond 0 to {self.cities - 1}, or -1 for none"
            )
        order = given.astype(np.int64)
        proper = (order >= 0).all(axis=1)
        there = np.roll(order, -1, axis=1)
        lengths: Floats = self.distances[order, there].sum(axis=1)
        return np.where(proper, lengths, np.inf)

    def shortest(self) -> float:
        """Length of the shortest round trip, by trying all of at most 10 cities."""
        if self.cities > MOST_CITIES:
            raise OutOfRangeError(
                f"{self.cities} cities; allowed: at most {MOST_CITIES} for a search of all trips"
            )
        rest = np.array(list(itertools.permutations(range(1, self.cities))))
        trips = np.hstack([np.zeros((len(rest), 1), np.int64), rest])
        return float(self.length(trips).min())
