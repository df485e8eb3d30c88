"""The least energy by looking at all states."""

import numpy as np

from xbarsim.annealing.ising import IsingProblem
from xbarsim.base.arguments import instance
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError

MOST_SPINS = 24
INNER_SPINS = 12  # whose states are tried at once


def ground_energy(problem: IsingProblem) -> float:
    """The least energy of any state; 2^(n - 1) states are tried.

    Raises
    ------
    OutOfRangeError : more than 24 spins

    Examples
    --------
    >>> import numpy as np
    >>> ground_energy(IsingProblem(np.ones((5, 5)) - np.eye(5)))
    -10.0
    """
    instance("problem", problem, IsingProblem, "an IsingProblem")
    if problem.spins > MOST_SPINS:
        raise OutOfRangeError(
            f"the problem has {problem.spins} spins; allowed: at most {MOST_SPINS} for a search of "
            "all states"
        )
    inner_count = min(INNER_SPINS, problem.spins - 1)
    inner = _states(inner_count)
    outer = _states(problem.spins - 1 - inner_count)
    last = np.ones((len(outer), 1))  # an energy is that of all spins turned: one spin is held
    outer = np.hstack([outer, last])
    couplings = problem.couplings
    inner_energy = _energies(inner, couplings[:inner_count, :inner_count])
    outer_energy = _energies(outer, couplings[inner_count:, inner_count:])
    fields = outer @ couplings[inner_count:, :inner_count]  # (outer states, inner spins)
    least = np.inf
    for energy, field in zip(outer_energy, fields, strict=True):
        least = min(least, energy + (inner_energy - inner @ field).min())
    return float(least + problem.offset)


def _states(spins: int) -> Floats:
    """(2^spins, spins) all states."""
    numbers_of_states = np.arange(2**spins)[:, None]
    bits = (numbers_of_states >> np.arange(spins)) & 1
    return (2 * bits - 1).astype(np.float64)


def _energies(states: Floats, couplings: Floats) -> Floats:
    energies: Floats = -0.5 * ((states @ couplings) * states).sum(axis=1)
    return energies
