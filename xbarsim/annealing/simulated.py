"""Simulated annealing (Metropolis, one spin at a time): what annealing on a crossbar is set beside."""

from dataclasses import dataclass

import numpy as np

from xbarsim.annealing.ising import IsingProblem
from xbarsim.base.arguments import instance, real_number, seed_of, whole_number
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError

MOST_TRIALS = 1_000_000


@dataclass(frozen=True)
class SimulatedAnnealing:
    """Sweeps over all spins at a temperature that falls geometrically.

    sweeps : visits of every spin
    hot, cold : temperatures of the first and the last sweep, in units of the typical |J s| of random
        spins

    Examples
    --------
    >>> from xbarsim.annealing import ground_energy, random_graph
    >>> problem = random_graph(nodes=12, density=0.5, seed=1).ising()
    >>> spins = SimulatedAnnealing(sweeps=100).run(problem, trials=20, seed=1)
    >>> bool(problem.energy(spins).min() == ground_energy(problem))
    True
    """

    sweeps: int = 1000
    hot: float = 2.0
    cold: float = 0.05

    def __post_init__(self) -> None:
        whole_number("sweeps", self.sweeps, 1)
        real_number("hot", self.hot)
        real_number("cold", self.cold)
        if not 0 < self.cold <= self.hot < np.inf:
            raise OutOfRangeError(
                f"temperatures {self.hot:g} (hot), {self.cold:g} (cold); allowed: finite, above 0, "
                "hot at least cold"
            )

    def run(self, problem: IsingProblem, trials: int, seed: int) -> Floats:
        """(trials, n) spins with the least energy that each trial has met."""
        instance("problem", problem, IsingProblem, "an IsingProblem")
        whole_number("trials", trials, 1, MOST_TRIALS)
        seed_of(seed)
        typical = np.sqrt((problem.couplings**2).sum(axis=1).mean())
        temperatures = typical * np.geomspace(self.hot, self.cold, self.sweeps)
        rng = np.random.default_rng(seed)
        spins = rng.choice([-1.0, 1.0], (trials, problem.spins))
        fields = spins @ problem.couplings
        best = spins.copy()
        least = problem.energy(spins)
        for temperature in temperatures:
            draws = rng.random((problem.spins, trials))
            for spin in range(problem.spins):
                rise = 2 * spins[:, spin] * fields[:, spin]
                turned = draws[spin] < np.exp(-np.maximum(rise, 0) / temperature)
                step = np.where(turned, -2 * spins[:, spin], 0.0)
                spins[:, spin] += step
                fields += step[:, None] * problem.couplings[spin]
            energy = problem.energy(spins)
            better = energy < least
            least[better] = energy[better]
            best[better] = spins[better]
        return best
