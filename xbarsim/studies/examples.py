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
    tokens_per_batch : padded tokens that travel together at most, whatever the number of examples;
        one longer example is a batch of its own
    """

    tokens: Sequence[Integers]
    parts: int = 1
    pooling: str = "auto"
    tokens_per_batch: int | None = None

    def __len__(self) -> int:
        return len(self.tokens) // self.parts

    @property
    def token_counts(self) -> Integers:
        """(n,) tokens of each example."""
        of_sentences = np.array([len(tokens) for tokens in self.tokens])
        counts: Integers = of_sentences.reshape(-1, self.parts).sum(axis=1)
        return counts

    @property
    def longest(self) -> int:
        """Tokens of the longest sentence."""
        return max(map(len, self.tokens))

    def batches(self, size: int) -> list[slice]:
        """Slices of at most `size` examples, in order."""
        found = []
        start = 0
        longest = 0
        for number in range(len(self)):
            longest = max([longest, *map(len, self.of(slice(number, number + 1)))])
            count = number + 1 - start
            if number > start and (count > size or self._is_too_large(count, longest)):
                found.append(slice(start, number))
                start = number
                longest = max(map(len, self.of(slice(number, number + 1))))
        if len(self):
            found.append(slice(start, len(self)))
        return found

    def _is_too_large(self, examples: int, longest: int) -> bool:
        """Whether so many examples of sentences up to a length are too many tokens."""
        if self.tokens_per_batch is None:
            return False
        return examples * self.parts * longest > self.tokens_per_batch

    def of(self, batch: slice) -> Sequence[Integers]:
        """Token lists of a slice of examples."""
        return self.tokens[batch.start * self.parts : batch.stop * self.parts]
