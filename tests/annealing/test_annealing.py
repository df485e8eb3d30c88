"""Annealing on crossbars against searches that share no code with it."""

import itertools

import numpy as np
import pytest

from xbarsim.annealing import (
    CouplingCrossbar,
    IsingProblem,
    MaxCut,
    ParallelAnnealing,
    SimulatedAnnealing,
    TravellingSalesman,
    ground_energy,
    random_graph,
    read_graph,
    success_rate,
)
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError, XbarsimError

EXACT = {
    "device": {"name": "ideal"},
    "adc": {"bits": "ideal"},
    "effects": {"wires": False, "read_noise": False, "programming": False},
}


def all_states(n):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))


def cut_by_loops(weights, spins):
    total = 0.0
    for i, j in itertools.combinations(range(len(weights)), 2):
        if spins[i] != spins[j]:
            total += weights[i][j]
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_a_cut_is_the_sum_over_its_edges(weighted):
    graph = random_graph(9, 0.6, seed=4, weighted=weighted)
    states = all_states(9)[:200]
    expected = [cut_by_loops(graph.weights.tolist(), state) for state in states]
    np.testing.assert_allclose(graph.cut(states), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 13, 15])
def test_the_ground_energy_is_that_of_all_states(n):
    rng = np.random.default_rng(n)
    half = np.triu(rng.standard_normal((n, n)), 1)
    problem = IsingProblem(half + half.T, offset=3.5)
    least = np.inf
    for state in all_states(n):
        least = min(
            least, 3.5 - sum(half[i, i + 1 :] @ state[i + 1 :] * state[i] for i in range(n))
        )
    assert ground_energy(problem) == pytest.approx(least, rel=1e-12)


def test_the_best_trip_is_the_ground_state():
    rng = np.random.default_rng(5)
    places = rng.random((5, 2))
    trip = TravellingSalesman(np.linalg.norm(places[:, None] - places, axis=2))
    problem = trip.ising(penalty=3.0)
    assert problem.spins == 17
    assert ground_energy(problem) == pytest.approx(trip.shortest(), rel=1e-12)


def test_the_energy_of_a_trip_is_its_length():
    rng = np.random.default_rng(6)
    places = rng.random((4, 2))
    trip = TravellingSalesman(np.linalg.norm(places[:, None] - places, axis=2))
    problem = trip.ising(penalty=2.0)
    states = all_states(10)
    trips = trip.trips(states)
    proper = (trips >= 0).all(axis=1)
    assert proper.sum() == 2 * 6  # all orders of three cities, and the same with all spins turned
    np.testing.assert_allclose(
        problem.energy(states[proper]), trip.length(trips[proper]), rtol=0, atol=1e-12
    )
    assert problem.energy(states[~proper]).min() > trip.shortest()
    for order, length in zip(trips[proper], trip.length(trips[proper]), strict=True):
        walk = [*order, order[0]]
        by_hand = sum(np.linalg.norm(places[a] - places[b]) for a, b in itertools.pairwise(walk))
        assert length == pytest.approx(by_hand, rel=1e-12)
    assert np.isinf(trip.length(trips[~proper])).all()


@pytest.mark.parametrize("method", [ParallelAnnealing(steps=500), SimulatedAnnealing(sweeps=200)])
def test_most_instances_are_solved(method):
    shares = []
    for seed in range(5):
        problem = random_graph(16, 0.5, seed=seed).ising()
        spins = method.run(problem, trials=40, seed=1)
        assert problem.energy(spins).min() >= ground_energy(problem) - 1e-9
        shares.append(success_rate(problem.energy(spins), ground_energy(problem)).share)
    assert np.mean(shares) > 0.5


def test_annealing_beats_random_states():
    """What the method finds in 40 trials, 20,000 random states do not reach on 60 spins."""
    graph = random_graph(60, 0.5, seed=2)
    spins = ParallelAnnealing(steps=300).run(graph.ising(), trials=40, seed=1)
    guesses = np.random.default_rng(0).choice([-1.0, 1.0], (20_000, 60))
    assert np.median(graph.cut(spins)) > graph.cut(guesses).max()


def test_a_step_by_hand():
    """Two steps of one spin pair, written out."""
    problem = IsingProblem([[0.0, -2.0], [-2.0, 0.0]])
    method = ParallelAnnealing(steps=2, friction=0.25, pull=0.5)
    x = np.random.default_rng(9).uniform(-1, 1, (1, 2))[0]
    m = np.zeros(2)
    for pull in (0.5, 0.25):
        s = np.where(x >= 0, 1.0, -1.0)
        change = pull * x - np.array([-2.0 * s[1], -2.0 * s[0]]) / 2.0
        m = np.clip(0.75 * m - 0.25 * change, -1, 1)
        x = np.clip(x + m, -1, 1)
    expected = np.where(x >= 0, 1.0, -1.0)
    np.testing.assert_array_equal(method.run(problem, trials=1, seed=9)[0], expected)


def test_an_exact_crossbar_is_arithmetic():
    problem = random_graph(20, 0.5, seed=3, weighted=True).ising()
    crossbar = CouplingCrossbar(problem, EXACT, seed=1)
    spins = np.random.default_rng(0).choice([-1.0, 1.0], (50, 20))
    exact = spins @ problem.couplings
    np.testing.assert_allclose(crossbar.product(spins, 0), exact, rtol=0, atol=1e-5)


def test_noise_is_that_of_the_seed_and_of_the_step():
    problem = random_graph(20, 0.5, seed=3).ising()
    tables = {"device": {"name": "rram-wan2022"}}
    spins = np.ones((4, 20))
    first = CouplingCrossbar(problem, tables, seed=1)
    again = CouplingCrossbar(problem, tables, seed=1)
    np.testing.assert_array_equal(first.product(spins, 5), again.product(spins, 5))
    other = CouplingCrossbar(problem, tables, seed=2)
    assert (first.product(spins, 5) != other.product(spins, 5)).any()


def test_a_good_chip_is_better_than_a_bad_one():
    """Success over chips falls where most of the couplings are lost in read noise."""
    problem = random_graph(16, 0.5, seed=8).ising()
    best = ground_energy(problem)
    method = ParallelAnnealing(steps=300)

    def reached(tables):
        crossbar = CouplingCrossbar(problem, tables, seed=4)
        spins = method.run(problem, trials=60, seed=2, product=crossbar.product)
        return success_rate(problem.energy(spins), best)

    good = reached(EXACT)
    bad = reached({"adc": {"bits": 1}, "wires": {"word_line_resistance_ohm": 100.0}})
    assert good.low > bad.high


def test_a_graph_file_is_read(tmp_path):
    path = tmp_path / "G0"
    path.write_text("4 3\n1 2 1\n2 3 -2\n4 1\n")
    weights = read_graph(path).weights
    expected = np.zeros((4, 4))
    for i, j, weight in ((0, 1, 1), (1, 2, -2), (3, 0, 1)):
        expected[i, j] = weight
        expected[j, i] = weight
    np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'first line must be "nodes edges"'),
        ("4\n", 'first line must be "nodes edges"'),
        ("four 3\n", "'four' is not a whole number"),
        ("1 0\n", "allowed: 2 ... 20000"),
        ("99999999 0\n", "allowed: 2 ... 20000"),
        ("3 2\n1 2 1\n", "2 edges are announced, 1 stated"),
        ("3 1\n1 4 1\n", "two different nodes of 1 ... 3"),
        ("3 1\n2 2 1\n", "two different nodes of 1 ... 3"),
        ("3 1\n1\n", 'needs "first second weight"'),
        ("3 1\n1 2 x\n", "'x' is not a number"),
        ("3 1\n1 2 nan\n", "allowed: finite weights"),
        ("3 2\n1 2 1\n2 1 1\n", "the edge is there twice"),
        ("3 1\n1 2 0\n", "all zero"),
    ],
)
def test_graph_files_that_are_none(tmp_path, text, words):
    (tmp_path / "G").write_text(text)
    with pytest.raises(XbarsimError, match=words):
        read_graph(tmp_path / "G")


def test_what_is_no_problem_is_refused():
    with pytest.raises(ShapeError, match="allowed: \\(n, n\\)"):
        IsingProblem(np.ones((2, 3)))
    with pytest.raises(OutOfRangeError, match="not symmetric"):
        IsingProblem([[0.0, 1.0], [2.0, 0.0]])
    with pytest.raises(OutOfRangeError, match="acts on itself"):
        MaxCut([[1.0, 1.0], [1.0, 0.0]])
    with pytest.raises(OutOfRangeError, match="finite numbers"):
        IsingProblem([[0.0, np.nan], [np.nan, 0.0]])
    problem = IsingProblem([[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(OutOfRangeError, match="allowed: -1 and 1"):
        problem.energy([[0.0, 1.0]])
    with pytest.raises(ShapeError, match="allowed: \\(states, 2\\)"):
        problem.energy([[1.0, 1.0, 1.0]])
    with pytest.raises(OutOfRangeError, match="at most 24"):
        ground_energy(random_graph(25, 0.5, seed=0).ising())
    with pytest.raises(OutOfRangeError, match="density = 0"):
        random_graph(5, 0.0, seed=0)
    with pytest.raises(OutOfRangeError, match="friction = 0"):
        ParallelAnnealing(friction=0.0)
    with pytest.raises(OutOfRangeError, match="hot at least cold"):
        SimulatedAnnealing(hot=0.1, cold=0.2)
    with pytest.raises(ConfigError, match="drivers have one bit"):
        CouplingCrossbar(problem, {"dac": {"bits": 8}}, seed=0)
    with pytest.raises(OutOfRangeError, match="no table of distances|not a table of distances"):
        TravellingSalesman(-np.ones((3, 3)))
    with pytest.raises(OutOfRangeError, match="penalty = 0"):
        TravellingSalesman(np.ones((3, 3)) - np.eye(3)).ising(0.0)
