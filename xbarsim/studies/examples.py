"""Tokenised examples in batches of fixed composition."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """Tokenised examples of a task.

    tokens : list of token id arrays, `parts` consecutive ones per example (2 for pairs)
    pooling : how a sentence's hidden states become its features, see `network.Encoder.features`
    """

    tokens: list
    parts: int = 1
    pooling: str = "auto"

    def __len__(self):
        return len(self.tokens) // self.parts

    @property
    def token_counts(self):
        """(n,) tokens of each example."""
        return np.array([len(t) for t in self.tokens]).reshape(-1, self.parts).sum(axis=1)

    def batches(self, size):
        """Slices of examples, in order."""
        return [slice(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def of(self, batch):
        """Token lists of a slice of examples."""
        return self.tokens[batch.start * self.parts : batch.stop * self.parts]
