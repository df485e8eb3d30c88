"""Who of several players brings about how much of a value: Shapley's shares, exact or from sampled orders.

A coalition is a whole number whose bit k says whether player k takes part.  The share of a player is
the mean, over all orders in which the players can join, of what the value changes when this one joins
(Shapley 1953).  Every order by itself divides the value without a rest, and so do their means: sampled
orders leave the shares uncertain, not their sum.

Sampled orders come in pairs, one the reverse of the other.  An interaction of two players is divided
equally by every pair, so only those of three and more make pairs differ.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError

Order = tuple[int, ...]
Weights = list[dict[int, Fraction]]  # of every player: coalition -> its weight in the share


@dataclass(frozen=True)
class Game:
    """Players, and the coalitions whose value must be known.

    orders : sampled, each followed by its reverse; none where all coalitions are known
    """

    players: int
    orders: tuple[Order, ...] = ()

    @property
    def exact(self) -> bool:
        return not self.orders

    @property
    def everyone(self) -> int:
        return (1 << self.players) - 1

    @property
    def coalitions(self) -> tuple[int, ...]:
        """All of them, or those that the orders go through and those of one player or all but one."""
        if self.exact:
            return tuple(range(2**self.players))
        found = {0, self.everyone}
        for player in range(self.players):
            found |= {1 << player, self.everyone ^ (1 << player)}
        for order in self.orders:
            found |= set(_joining(order))
        return tuple(sorted(found))

    @property
    def pairs(self) -> tuple["Game", ...]:
        """The game of every pair of orders by itself."""
        return tuple(
            Game(self.players, self.orders[start : start + 2])
            for start in range(0, len(self.orders), 2)
        )

    def weights(self) -> Weights:
        """What the share of every player is of the values of coalitions."""
        if self.exact:
            return [_exact_weights(player, self.players) for player in range(self.players)]
        found: Weights = [{} for _ in range(self.players)]
        part = Fraction(1, len(self.orders))
        for order in self.orders:
            before = 0
            for player, after in zip(order, _joining(order), strict=True):
                _add(found[player], after, part)
                _add(found[player], before, -part)
                before = after
        return found

    def shares(self, values: Mapping[int, float]) -> tuple[Fraction, ...]:
        """The share of every player, without any rounding: their sum is the difference of the values
        of everyone and of no one.

        values : {coalition: value}, finite
        """
        exact = {coalition: Fraction(value) for coalition, value in values.items()}
        return tuple(
            sum((weight * exact[coalition] for coalition, weight in row.items()), Fraction(0))
            for row in self.weights()
        )

    def matrix(self) -> Floats:
        """(players, coalitions): the weights, coalitions in the order of `coalitions`."""
        place = {coalition: column for column, coalition in enumerate(self.coalitions)}
        found = np.zeros((self.players, len(place)))
        for player, row in enumerate(self.weights()):
            for coalition, weight in row.items():
                found[player, place[coalition]] = float(weight)
        return found


def _joining(order: Order) -> list[int]:
    """The coalitions after each player of an order has joined."""
    found = []
    coalition = 0
    for player in order:
        coalition |= 1 << player
        found.append(coalition)
    return found


def _add(row: dict[int, Fraction], coalition: int, weight: Fraction) -> None:
    row[coalition] = row.get(coalition, Fraction(0)) + weight


def _exact_weights(player: int, players: int) -> dict[int, Fraction]:
    """|S|! (n - |S| - 1)! / n! of every coalition S without the player, and minus that."""
    found = {}
    for coalition in range(2**players):
        if coalition >> player & 1:
            continue
        size = coalition.bit_count()
        weight = Fraction(
            math.factorial(size) * math.factorial(players - size - 1), math.factorial(players)
        )
        found[coalition] = -weight
        found[coalition | 1 << player] = weight
    return found


def plan_game(players: int, evaluations: int, seed: int) -> Game:
    """The exact game where that takes at most so many evaluations, else as many pairs of orders as do.

    How many orders are drawn does not depend on what they are, so their mean is unbiased.

    Raises
    ------
    ConfigError : too few evaluations for two pairs of orders
    """
    if 2**players <= evaluations:
        return Game(players)
    always = 2 * players + 2
    of_a_pair = 2 * (players - 3)  # coalitions of 2 to n - 2 players, in both directions
    pairs = (evaluations - always) // of_a_pair if of_a_pair else 0
    if pairs < 2:
        least = min(2**players, always + 2 * of_a_pair)
        raise ConfigError(
            f"budget.evaluations = {evaluations} are too few for {players} effects; allowed: {least} or "
            f"more ({2**players} for exact shares), or fewer or joined effects"
        )
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xB0D6E7,)))
    orders: list[Order] = []
    for _ in range(pairs):
        order = tuple(generator.permutation(players).tolist())
        orders += [order, order[::-1]]
    return Game(players, tuple(orders))


def members(coalition: int, names: Sequence[str]) -> tuple[str, ...]:
    """The names of the players of a coalition."""
    return tuple(name for player, name in enumerate(names) if coalition >> player & 1)
