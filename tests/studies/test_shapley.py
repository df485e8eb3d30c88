"""Shapley's shares against the definition: the mean over every order of the players, summed up one by one
here; and how often the intervals of sampled orders hold the truth."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from xbarsim.base.errors import ConfigError
from xbarsim.studies.shapley import Game, members, plan_game
from xbarsim.tasks.metrics import student

WORTH = (3.0, -1.25, 0.1, 7.5, 0.3)


def additive(coalition):
    return 2.0 + sum(worth for player, worth in enumerate(WORTH) if coalition >> player & 1)


def with_interactions(coalition):
    """The additive game; 0 and 1 together cost 10 more, 1, 2 and 3 together 6 less."""
    value = additive(coalition)
    if coalition & 0b11 == 0b11:
        value += 10.0
    if coalition & 0b1110 == 0b1110:
        value -= 6.0
    return value


def rough(coalition):
    """Without any structure."""
    return float(np.random.default_rng(coalition + 17).normal())


def by_definition(value, players):
    """The mean over all orders of what each player adds."""
    total = [Fraction(0)] * players
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        inside = []
        for player in order:
            before = sum(2**one for one in inside)
            total[player] += Fraction(value(before + 2**player)) - Fraction(value(before))
            inside.append(player)
    return [found / len(orders) for found in total]


@pytest.mark.parametrize("value", [additive, with_interactions, rough])
def test_exact_shares_are_the_mean_over_all_orders(value):
    game = plan_game(5, evaluations=32, seed=0)
    assert game.exact and len(game.coalitions) == 32
    values = {coalition: value(coalition) for coalition in game.coalitions}
    shares = game.shares(values)
    assert list(shares) == by_definition(value, 5)
    assert sum(shares) == Fraction(value(31)) - Fraction(value(0))  # without any rounding
    as_floats = [value(coalition) for coalition in game.coalitions]
    np.testing.assert_allclose(game.matrix() @ as_floats, [float(share) for share in shares])


def test_shares_of_known_games():
    game = Game(5)
    values = {coalition: additive(coalition) for coalition in game.coalitions}
    np.testing.assert_allclose([float(share) for share in game.shares(values)], WORTH)
    values = {coalition: with_interactions(coalition) for coalition in game.coalitions}
    shares = [float(share) for share in game.shares(values)]
    # 10 is divided between 0 and 1; -6 among 1, 2 and 3
    expected = [WORTH[0] + 5, WORTH[1] + 5 - 2, WORTH[2] - 2, WORTH[3] - 2, WORTH[4]]
    np.testing.assert_allclose(shares, expected)


def test_a_pair_of_orders_divides_interactions_of_two_players_exactly():
    def value(coalition):
        return additive(coalition) + 10.0 * (coalition & 0b11 == 0b11)

    game = plan_game(5, evaluations=30, seed=3)
    assert not game.exact
    truth = [float(share) for share in by_definition(value, 5)]
    for pair in game.pairs:
        values = {coalition: value(coalition) for coalition in game.coalitions}
        np.testing.assert_allclose([float(share) for share in pair.shares(values)], truth)


@pytest.mark.parametrize("seed", range(5))
def test_sampled_orders_share_the_total_and_keep_to_the_cap(seed):
    game = plan_game(8, evaluations=60, seed=seed)
    assert len(game.orders) == 2 * ((60 - 18) // 10) and len(game.coalitions) <= 60
    assert all(order[::-1] in game.orders for order in game.orders)
    single = {1 << player for player in range(8)} | {255 ^ (1 << player) for player in range(8)}
    assert single | {0, 255} <= set(game.coalitions)
    values = {coalition: rough(coalition) for coalition in game.coalitions}
    assert sum(game.shares(values)) == Fraction(values[255]) - Fraction(values[0])
    assert game == plan_game(8, evaluations=60, seed=seed)
    assert game != plan_game(8, evaluations=60, seed=seed + 1)


def test_intervals_of_sampled_orders_hold_the_truth():
    players, repetitions = 6, 200
    truth = np.array([float(share) for share in by_definition(rough, players)])
    held = []
    errors = []
    for seed in range(repetitions):
        game = plan_game(players, evaluations=14 + 6 * 6, seed=seed)
        values = {coalition: rough(coalition) for coalition in game.coalitions}
        pairs = [[float(share) for share in pair.shares(values)] for pair in game.pairs]
        mean = np.mean(pairs, axis=0)
        np.testing.assert_allclose(mean, [float(share) for share in game.shares(values)])
        half = student(len(pairs) - 1) * np.std(pairs, axis=0, ddof=1) / len(pairs) ** 0.5
        held.append(np.abs(mean - truth) <= half)
        errors.append(mean - truth)
    coverage = np.mean(held)
    assert 0.92 < coverage < 0.98  # 1,200 intervals of 95 %
    bias = np.mean(errors, axis=0) / (np.std(errors, axis=0, ddof=1) / repetitions**0.5)
    assert np.abs(bias).max() < 3.5


def test_too_few_evaluations_say_how_many_it_takes():
    with pytest.raises(ConfigError, match="too few for 7 effects; allowed: 32 or more"):
        plan_game(7, evaluations=31, seed=0)
    assert plan_game(7, evaluations=32, seed=0).orders
    with pytest.raises(ConfigError, match="allowed: 8 or more"):
        plan_game(3, evaluations=7, seed=0)


def test_members_are_named_in_order():
    assert members(0b101, ("a", "b", "c")) == ("a", "c")
