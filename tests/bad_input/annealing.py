"""Graphs of the Gset's form, and the arguments of annealing."""

import numpy as np
from bad_input.attack import of_call, of_kinds

from xbarsim import annealing

PAIR = annealing.IsingProblem([[0.0, 1.0], [1.0, 0.0]])


def graph(text):
    def read(place):
        path = place / "graph.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return annealing.read_graph(path)

    return read


def run(method, **arguments):
    return lambda place: method.run(PAIR, **({"trials": 1, "seed": 1} | arguments))


PARALLEL = annealing.ParallelAnnealing(steps=2)
ATTACKS = [
    *of_call(
        {
            "empty": (graph(""), 'must be "nodes edges"'),
            "not UTF-8": (graph(b"\xff\xfe"), "cannot be read"),
            "a head of words": (graph("a b\n"), "a"),
            "a head of three": (graph("2 1 1\n1 2\n"), 'must be "nodes edges"'),
            "a billion nodes": (graph("1000000000 1\n1 2\n"), "allowed: 2 ... 20000"),
            "5000 digits": (graph("9" * 5000 + " 1\n1 2\n"), "line 1"),
            "no nodes": (graph("0 0\n"), "allowed: 2"),
            "edges that are missing": (graph("3 2\n1 2\n"), "2 edges are announced, 1 stated"),
            "a node beyond": (graph("2 1\n1 3\n"), "allowed: two different nodes"),
            "an edge to itself": (graph("2 1\n1 1\n"), "allowed: two different nodes"),
            "an edge twice": (graph("2 2\n1 2\n2 1\n"), "the edge is there twice"),
            "a weight of NaN": (graph("2 1\n1 2 nan\n"), "nan"),
            "an infinite weight": (graph("2 1\n1 2 inf\n"), "inf"),
            "an edge of one": (graph("2 1\n1\n"), "first second weight"),
            "None for a file": (lambda place: annealing.read_graph(None), "graph file is None"),
            "couplings of text": (lambda place: annealing.IsingProblem("x"), "couplings hold"),
            "couplings of unequal lengths": (
                lambda place: annealing.IsingProblem([[0, 1], [1]]),
                "couplings.*give real numbers",
            ),
            "couplings of NaN": (
                lambda place: annealing.IsingProblem(np.full((2, 2), np.nan)),
                "couplings hold nan",
            ),
            "distances below 0": (
                lambda place: annealing.TravellingSalesman(-np.ones((3, 3))),
                "not a table of distances",
            ),
            "steps of text": (
                lambda place: annealing.ParallelAnnealing(steps="x"),
                "steps is 'x'; allowed: a whole number",
            ),
            "steps of 2^70": (
                lambda place: annealing.ParallelAnnealing(steps=2**70),
                r"steps is \d+; allowed: a whole number",
            ),
            "friction of NaN": (
                lambda place: annealing.ParallelAnnealing(friction=float("nan")),
                "friction is nan; allowed: a finite number",
            ),
            "a seed of text": (run(PARALLEL, seed="x"), "seed is 'x'"),
            "a seed of None": (run(PARALLEL, seed=None), "seed is None"),
            "a negative seed": (run(PARALLEL, seed=-1), "seed is -1; allowed: a whole number, 0"),
            "a seed of 2^64": (run(PARALLEL, seed=2**64), r"seed is \d+; allowed: .*2\^63 - 1"),
            "no trials": (run(PARALLEL, trials=0), "trials is 0; allowed: a whole number, 1"),
            "10^12 trials": (run(PARALLEL, trials=10**12), "trials is 1000000000000"),
            "a problem that is none": (
                lambda place: PARALLEL.run([[0, 1], [1, 0]], trials=1, seed=1),
                "allowed: an IsingProblem",
            ),
            "energies of text": (lambda place: annealing.success_rate(["a"], 1.0), "energies hold"),
            "a graph of text": (
                lambda place: annealing.random_graph(nodes="x", density=0.5, seed=1),
                "nodes is 'x'",
            ),
        }
    ),
    *of_kinds("graph.txt", annealing.read_graph),
]
