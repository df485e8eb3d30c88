"""How often trials reach the best energy."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.arguments import real_number
from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ShapeError
from xbarsim.tasks.metrics import wilson

SAME = 1e-9  # of the magnitude of an energy: rounding


@dataclass(frozen=True)
class SuccessRate:
    """Share of trials that reached an energy, with its 95 % interval (Wilson)."""

    successes: int
    trials: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Successes over trials."""
        return self.successes / self.trials


def success_rate(energies: Floats, best: float) -> SuccessRate:
    """Share of energies that are `best` or lower, up to rounding.

    Examples
    --------
    >>> rate = success_rate(np.array([-3.0, -3.0, -1.0, -3.0]), best=-3.0)
    >>> rate.share, round(rate.low, 2), round(rate.high, 2)
    (0.75, 0.3, 0.95)
    """
    energies = numbers("energies", energies)
    best = real_number("best", best)
    if energies.ndim != 1 or len(energies) == 0 or np.isnan(energies).any():
        raise ShapeError(
            f"energies have shape {energies.shape}, or hold NaN; allowed: (trials,) of one or more"
        )
    reached = energies <= best + SAME * max(1.0, abs(best))
    successes = int(np.count_nonzero(reached))
    low, high = wilson(successes, len(energies))
    return SuccessRate(successes, len(energies), low, high)
