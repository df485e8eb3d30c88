"""Optimisation by annealing on a crossbar: the couplings of all spins are one matrix, and every step
one product of it with the signs of all spins.

The method of M. Jiang et al., Nat. Commun. 14, 5927 (2023).
"""

from xbarsim.annealing.crossbar import CouplingCrossbar
from xbarsim.annealing.exact import ground_energy
from xbarsim.annealing.ising import IsingProblem
from xbarsim.annealing.max_cut import MaxCut, random_graph, read_graph
from xbarsim.annealing.parallel import ParallelAnnealing
from xbarsim.annealing.simulated import SimulatedAnnealing
from xbarsim.annealing.success import SuccessRate, success_rate
from xbarsim.annealing.travelling_salesman import TravellingSalesman

__all__ = [
    "CouplingCrossbar",
    "IsingProblem",
    "MaxCut",
    "ParallelAnnealing",
    "SimulatedAnnealing",
    "SuccessRate",
    "TravellingSalesman",
    "ground_energy",
    "random_graph",
    "read_graph",
    "success_rate",
]
