"""A metric of a path, and of the same path on examples that are drawn again: what intervals of differences
of many paths are made of.

The draws are the same for every path, so that whatever paths have in common cancels (a paired bootstrap).
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import AnyArray, Floats, Integers
from xbarsim.tasks.metrics import value_of
from xbarsim.tasks.task import Task

DRAWS = 400


@dataclass(frozen=True)
class Outcome:
    """What a path comes to: a metric (of a perplexity its logarithm), and that of every draw (b,)."""

    value: float
    draws: Floats


class Resampler:
    """Outcomes of the paths of one study, all of whose examples are done.

    units : examples, or blocks of predicted tokens, that are drawn again
    """

    def __init__(self, units: int, seed: int) -> None:
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0xB007,)))
        shares = np.full(units, 1 / units)
        self.units = units
        self.counts = generator.multinomial(units, shares, size=DRAWS)  # (b, units)

    def of_means(self, value: float, sums: Floats, sizes: Floats) -> Outcome:
        """Of a mean over units whose parts are sums (units,) of so many values (units,)."""
        return Outcome(value, (self.counts @ sums) / (self.counts @ sizes))

    def of_labels(self, task: Task, predicted: AnyArray, metric: str) -> Outcome:
        """Of a metric that is no mean."""
        draws = np.array([_drawn(task, predicted, metric, counts) for counts in self.counts])
        return Outcome(value_of(task, predicted, metric), draws)


def _drawn(task: Task, predicted: AnyArray, metric: str, counts: Integers) -> float:
    chosen = np.repeat(np.arange(len(counts)), counts)
    return value_of(task.subset(chosen), predicted[chosen], metric)
