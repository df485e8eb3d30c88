"""Annealing of all spins at once on a crossbar (Jiang et al., Nat. Commun. 14, 5927, 2023).

Random Max-Cut of 20 nodes whose optimum is known from a search of all states: share of trials that reach
it, over instances and chips, against read noise, converter bits, wires; and beside simulated annealing.
Friction and pull were chosen on other instances (seeds 100 to 109).
"""

import tempfile
from pathlib import Path

import numpy as np

from xbarsim import annealing

INSTANCES = range(5)
CHIPS = range(2)
TRIALS = 40
METHOD = annealing.ParallelAnnealing(steps=200, friction=0.1, pull=2.0)
DEVICE = """
description = "a cell whose read noise is a parameter"
[read]
voltage_v = 0.2
source = "a parameter of this example"
[conductance]
minimum_us = 1.0
maximum_us = 100.0
valid_range_us = [0.0, 200.0]
source = "a parameter of this example"
[read_noise]
relative_sigma = {sigma}
source = "a parameter of this example"
"""
graphs = [annealing.random_graph(20, 0.5, seed=seed) for seed in INSTANCES]
problems = [graph.ising() for graph in graphs]
optima = [annealing.ground_energy(problem) for problem in problems]


def share_of_trials(tables: dict | None) -> str:
    """Success over all instances and chips, with its 95 % interval."""
    above = []
    for problem, optimum in zip(problems, optima, strict=True):
        for chip in CHIPS:
            product = None
            if tables is not None:
                product = annealing.CouplingCrossbar(problem, tables, seed=chip).product
            spins = METHOD.run(problem, TRIALS, seed=chip, product=product)
            above.append(problem.energy(spins) - optimum)
    rate = annealing.success_rate(np.concatenate(above), 0.0)
    return f"{rate.share:.3f} ({rate.low:.3f} .. {rate.high:.3f})"


with tempfile.TemporaryDirectory() as place:
    device = Path(place) / "cell.toml"

    def tables(sigma: float = 0.0, bits: int = 8, ohm: float = 0.0) -> dict:
        """What a study would say of the crossbar."""
        device.write_text(DEVICE.format(sigma=sigma))
        wires = {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm}
        return {"device": {"name": str(device)}, "wires": wires, "adc": {"bits": bits}}

    print("exact arithmetic:", share_of_trials(None))
    for sigma in (0.0, 0.1, 0.3, 1.0):
        print(f"read noise {sigma:g} of the conductance:", share_of_trials(tables(sigma=sigma)))
    for bits in (6, 4, 3, 2):
        print(f"converters of {bits} bits:", share_of_trials(tables(bits=bits)))
    for ohm in (10.0, 50.0, 200.0):
        print(f"wires of {ohm:g} ohm per cell:", share_of_trials(tables(ohm=ohm)))

above = []
for problem, optimum in zip(problems, optima, strict=True):
    spins = annealing.SimulatedAnnealing(sweeps=200).run(problem, len(CHIPS) * TRIALS, seed=0)
    above.append(problem.energy(spins) - optimum)
rate = annealing.success_rate(np.concatenate(above), 0.0)
print(f"simulated annealing: {rate.share:.3f} ({rate.low:.3f} .. {rate.high:.3f})")

large = annealing.random_graph(100, 0.5, seed=7)
best = large.cut(annealing.SimulatedAnnealing(sweeps=1000).run(large.ising(), 20, seed=0)).max()
crossbar = annealing.CouplingCrossbar(large.ising(), {"device": {"name": "rram-wan2022"}}, seed=1)
cuts = large.cut(METHOD.run(large.ising(), TRIALS, seed=1, product=crossbar.product))
print(
    f"cut of 100 nodes, best and median of trials over simulated annealing's best: "
    f"{cuts.max() / best:.4f} {np.median(cuts) / best:.4f}"
)
