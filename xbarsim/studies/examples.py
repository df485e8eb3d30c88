"""Tokenised examples in batches of fixed composition."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Integers


@dataclass(frozen=True)
class Examples:
    """Tokenised examples of a task.

    tokens : list of token id arrays, `parts` consecutive ones per example (2 for pairs)
    pooling : how a sentence's hidden states become its features, see `network.Encoder.features`
    """

    tokens: Sequence[Integers]
    parts: int = 1
    pooling: str = "auto"

    def __len__(self) -> int:
        return len(self.tokens) // self.parts

    @property
    def token_counts(self) -> Integers:
        """(n,) tokens of each example."""
        of_sentences = np.array([len(tokens) for tokens in self.tokens])
        counts: Integers = of_sentences.reshape(-1, self.parts).sum(axis=1)
        return counts

    def batches(self, size: int) -> list[slice]:
        """Slices of examples, in order."""
        return [slice(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def of(self, batch: slice) -> Sequence[Integers]:
        """Token lists of a slice of examples."""
        return self.tokens[batch.start * self.parts : batch.stop * self.parts]
