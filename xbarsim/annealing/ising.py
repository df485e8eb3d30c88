"""Problems of spins: which signs of n spins have the least energy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.arguments import real_number
from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError, ShapeError


@dataclass(frozen=True)
class IsingProblem:
    """Energy -1/2 s' J s + offset of spins s of -1 and 1.

    couplings : (n, n) J, symmetric with zeros on its diagonal, in the unit of the energy
    offset : what is added to every energy

    Raises
    ------
    ShapeError : not a square matrix of at least 2 spins
    OutOfRangeError : not finite, not symmetric, spins that act on themselves, all couplings zero

    Examples
    --------
    >>> pair = IsingProblem([[0.0, 2.0], [2.0, 0.0]])
    >>> pair.energy([[1, 1], [1, -1]])
    array([-2.,  2.])
    """

    couplings: Floats
    offset: float = 0.0

    def __post_init__(self) -> None:
        real_number("offset", self.offset)
        given = numbers("couplings", self.couplings)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or len(given) < 2:
            raise ShapeError(
                f"couplings have shape {given.shape}; allowed: (n, n) of at least 2 spins"
            )
        if not np.isfinite(given).all():
            wrong = given[~np.isfinite(given)][0]
            raise OutOfRangeError(f"couplings hold {wrong}; allowed: finite numbers")
        if (given != given.T).any():
            raise OutOfRangeError(
                "couplings are not symmetric; allowed: J equal to its transpose, such as (J + J') / 2"
            )
        if np.diagonal(given).any():
            raise OutOfRangeError(
                "couplings hold a spin that acts on itself; allowed: zeros on the diagonal (its "
                "energy is constant: put it into offset)"
            )
        if not given.any():
            raise OutOfRangeError("couplings are all zero; allowed: at least one that is not")
        object.__setattr__(self, "couplings", given)

    @property
    def spins(self) -> int:
        """Number of spins."""
        return len(self.couplings)

    def energy(self, spins: ArrayLike) -> Floats:
        """(k,) energies of k states; spins : (k, n) of -1 and 1."""
        states = self.states(spins)
        energies: Floats = -0.5 * np.einsum("ki,ij,kj->k", states, self.couplings, states)
        return energies + self.offset

    def states(self, spins: ArrayLike) -> Floats:
        """(k, n) float64 of spins that are checked: -1 or 1."""
        given = numbers("spins", spins)
        if given.ndim != 2 or given.shape[1] != self.spins:
            raise ShapeError(f"spins have shape {given.shape}; allowed: (states, {self.spins})")
        if (np.abs(given) != 1).any():
            wrong = given[np.abs(given) != 1][0]
            raise OutOfRangeError(f"spins hold {wrong}; allowed: -1 and 1")
        return given
