"""Where the real tokens of padded sequences stand, their heads, and what they may see."""

from dataclasses import dataclass, field

import numpy as np

from xbarsim.base.array_types import Booleans, Integers, Singles


class Places:
    """Where the real tokens of padded sequences stand.

    mask : (b, s) bool, True at real tokens
    past : tokens of every sequence that stand before these
    rows : (t, 2) int64, (sequence of the batch, position) of every real token
    """

    def __init__(self, mask: Booleans, past: int = 0) -> None:
        self.mask = mask
        self.past = past
        self.rows: Integers = np.argwhere(mask)
        self.rows[:, 1] += past

    def padded(self, x: Singles) -> Singles:
        """(t, width) -> (b, s, width), 0 at padding."""
        result = np.zeros((*self.mask.shape, x.shape[-1]), np.float32)
        result[self.mask] = x
        return result

    def split(self, x: Singles, heads: int) -> Singles:
        """(t, heads · d) -> (b, heads, s, d), 0 at padding."""
        padded = self.padded(x).reshape(*self.mask.shape, heads, -1)
        return padded.transpose(0, 2, 1, 3)

    def merge(self, x: Singles) -> Singles:
        """(b, heads, s, d) -> (t, heads · d)."""
        return x.transpose(0, 2, 1, 3)[self.mask].reshape(len(self.rows), -1)

    def all_tokens(self) -> Booleans:
        """(b, 1, 1, s): what every token sees where it sees both sides."""
        return self.mask[:, None, None, :]

    def earlier_tokens(self) -> Booleans:
        """(b, 1, s, past + s): what every token sees where it sees none after it."""
        sequences, longest = self.mask.shape
        query = self.past + np.arange(longest)
        key = np.arange(self.past + longest)
        causal = key[None, :] <= query[:, None]  # (s, past + s)
        seen = np.ones((sequences, self.past), bool)
        present = np.concatenate([seen, self.mask], axis=1)  # (b, past + s)
        visible: Booleans = causal[None, None] & present[:, None, None]
        return visible


@dataclass
class Cache:
    """Keys and values of what a batch of sequences has seen: {layer: (b, g, s, d)}; `length`
    positions.
    """

    keys: dict[int, Singles] = field(default_factory=dict)
    values: dict[int, Singles] = field(default_factory=dict)
    length: int = 0

    def extend(self, layer: int, keys: Singles, values: Singles) -> tuple[Singles, Singles]:
        """All keys and values of a layer so far, these new ones (b, g, s, d) at their end."""
        if layer in self.keys:
            keys = np.concatenate([self.keys[layer], keys], axis=2)
            values = np.concatenate([self.values[layer], values], axis=2)
        self.keys[layer] = keys
        self.values[layer] = values
        return keys, values
