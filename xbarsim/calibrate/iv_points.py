"""Points of the branches of sweeps that are fitted together, and the noise that weights them."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from xbarsim.base.array_types import Floats, Integers
from xbarsim.calibrate.statistics import akaike
from xbarsim.calibrate.sweeps import Branch

EXACT = 1e-12  # of the currents: what a file or a sum does not resolve


@dataclasses.dataclass(frozen=True)
class Noise:
    """Variance of a point relative to that at 0 A: 1 + (ratio |I| / largest)^power."""

    ratio: float = 0.0
    power: int = 2

    def root_weights(self, current: Floats) -> Floats:
        """Weights of residuals, (n,), 1 at 0 A."""
        top = abs(current).max() or 1.0
        weights: Floats = 1 / np.sqrt(1 + (self.ratio * abs(current) / top) ** self.power)
        return weights

    @property
    def fitted(self) -> int:
        """How many parameters were fitted: the ratio and the power, where it grows at all."""
        return 2 if self.ratio else 0

    def __str__(self) -> str:
        of = "the current" if self.power == 2 else "the square root of the current"
        return f"the noise grows with {of}: points are weighted by it"


@dataclasses.dataclass(frozen=True)
class Points:
    """Points of the branches that are fitted.

    voltage, current : (n,) V and A;  owner : (n,) number of the branch;  count : branches
    root : (n,) weights of residuals;  offset : whether the instrument has one
    spent : parameters of the weights that were fitted to the same points
    """

    voltage: Floats
    current: Floats
    owner: Integers
    count: int
    root: Floats
    offset: bool = False
    spent: int = 0

    @classmethod
    def of(cls, branches: Sequence[Branch]) -> Self:
        """All points of branches, alike in weight."""
        lengths = [len(b.voltage) for b in branches]
        voltage = np.concatenate([b.voltage for b in branches])
        return cls(
            voltage=voltage,
            current=np.concatenate([b.current for b in branches]),
            owner=np.repeat(np.arange(len(branches)), lengths),
            count=len(branches),
            root=np.ones(len(voltage)),
        )

    def columns(self, shape: Floats) -> Floats:
        """Weighted design (n, count or count + 1) of a curve (n,) with one conductance a branch."""
        of_branch = self.owner[:, None] == np.arange(self.count)
        columns = of_branch * shape[:, None]
        if self.offset:
            columns = np.column_stack((columns, np.ones(len(shape))))
        weighted: Floats = columns * self.root[:, None]
        return weighted

    @property
    def target(self) -> Floats:
        """Weighted currents."""
        return self.current * self.root

    def aic(self, rss: float, parameters: int) -> float:
        """AIC of a weighted sum of squares, which is not taken for better than numbers are
        exact."""
        resolved = float(EXACT**2 * (self.target @ self.target))
        rss = max(rss, resolved)
        of_weights = 2 * np.log(self.root).sum()
        return float(akaike(rss, len(self.current), parameters) - of_weights)
