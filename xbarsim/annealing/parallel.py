"""Annealing that moves all spins at once: one product with the couplings a step.

M. Jiang et al., Nat. Commun. 14, 5927 (2023), from notes on the authors' code: a position x in -1 ... 1
and a momentum m per spin, s = sign(x), and each step

    change = -J s + pull(t) x
    m <- clip((1 - friction) m - friction change)
    x <- clip(x + m)

The pull to the middle falls to 0.  Its course and the friction are not known: both are parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xbarsim.annealing.ising import IsingProblem
from xbarsim.base.arguments import instance, real_number, seed_of, whole_number
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError

MOST_TRIALS = 1_000_000

Product = Callable[[Floats, int], Floats]  # (k, n) signs and the number of the step -> (k, n) J s


@dataclass(frozen=True)
class ParallelAnnealing:
    """Settings of the method.

    steps : products per trial
    friction : share of the momentum that a step replaces, above 0, at most 1
    pull : to the middle at the first step, in units of the typical |J s| of random spins; it falls
        linearly to 0

    Examples
    --------
    >>> from xbarsim.annealing import ground_energy, random_graph
    >>> problem = random_graph(nodes=12, density=0.5, seed=1).ising()
    >>> spins = ParallelAnnealing(steps=300).run(problem, trials=20, seed=1)
    >>> bool(problem.energy(spins).min() == ground_energy(problem))
    True
    """

    steps: int = 1000
    friction: float = 0.1
    pull: float = 2.0

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, 1)
        real_number("friction", self.friction)
        real_number("pull", self.pull)
        if not 0 < self.friction <= 1:
            raise OutOfRangeError(f"friction = {self.friction:g}; allowed: above 0, at most 1")
        if not 0 <= self.pull < np.inf:
            raise OutOfRangeError(f"pull = {self.pull:g}; allowed: 0 or more, finite")

    def run(
        self, problem: IsingProblem, trials: int, seed: int, product: Product | None = None
    ) -> Floats:
        """(trials, n) spins at the end of trials from random positions.

        product : what multiplies the signs with the couplings: exact arithmetic if None, or
            `CouplingCrossbar.product`
        """
        instance("problem", problem, IsingProblem, "an IsingProblem")
        whole_number("trials", trials, 1, MOST_TRIALS)
        seed_of(seed)
        multiply = product or exact_product(problem)
        typical = np.sqrt((problem.couplings**2).sum(axis=1).mean())  # rms of J s of random spins
        rng = np.random.default_rng(seed)
        position = rng.uniform(-1, 1, (trials, problem.spins))
        momentum = np.zeros_like(position)
        for step in range(self.steps):
            pull = self.pull * (1 - step / self.steps)
            change = pull * position - multiply(signs(position), step) / typical
            momentum = np.clip((1 - self.friction) * momentum - self.friction * change, -1, 1)
            position = np.clip(position + momentum, -1, 1)
        return signs(position)


def exact_product(problem: IsingProblem) -> Product:
    """Products without hardware."""

    def multiply(spins: Floats, step: int) -> Floats:
        exact: Floats = spins @ problem.couplings
        return exact

    return multiply


def signs(position: Floats) -> Floats:
    """-1 or 1; 1 at 0."""
    return np.where(position >= 0, 1.0, -1.0)
