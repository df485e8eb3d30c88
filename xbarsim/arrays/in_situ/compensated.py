"""What compensation made of a matrix, for its trace."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from xbarsim.arrays.in_situ.encoding import Encoded
from xbarsim.base.array_types import Floats


@dataclass(frozen=True)
class Compensated:
    """A matrix whose targets were chosen for what arrives.

    scale : share of the window that its weights use, the headroom taken off; mean of its outputs
    held_cells : cells with a target at the high end of the window: they may need more
    weight_error : relative rms error of the weights that arrive, programmed and through the wires,
        after the best gain per output
    """

    scale: float
    held_cells: int
    weight_error: float

    @classmethod
    def of(cls, encoded: Encoded, achieved: Floats, high: float) -> Self:
        """achieved : weights (outputs, inputs);  high : S, end of the window."""
        scale = 1.0
        if encoded.scale is not None:
            scale = float(encoded.scale.mean())
        return cls(
            scale=scale,
            held_cells=int(np.count_nonzero(encoded.target >= high)),
            weight_error=_relative_error(achieved, encoded.intended.T),
        )


def _relative_error(achieved: Floats, intended: Floats) -> float:
    """After the best gain per output; 0 of weights that are all 0."""
    cross = (achieved * intended).sum(axis=1)
    own = (achieved**2).sum(axis=1)
    gain = np.divide(cross, own, out=np.ones_like(own), where=own > 0)
    errors = ((gain[:, None] * achieved - intended) ** 2).sum()
    norm = (intended**2).sum()
    return float(np.sqrt(errors / norm)) if norm > 0 else 0.0
