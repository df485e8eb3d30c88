"""Sentences to token ids."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from xbarsim.base.array_types import Booleans, Integers


class TokenLists(list[Integers]):
    """Token ids of sentences, one array each; `cut` (n,) says which of them were cut."""

    cut: Booleans = np.zeros(0, bool)

    @property
    def truncated(self) -> int:
        """How many sentences were cut."""
        return int(np.count_nonzero(self.cut))


def tokenize(tokenizer: Any, sentences: Iterable[str], max_length: int) -> TokenLists:
    """Token ids with start and end tokens, cut to `max_length`.

    tokenizer : tokenizers.Tokenizer
    """
    tokenizer.enable_truncation(max_length)
    encodings = tokenizer.encode_batch(list(sentences))
    lists = TokenLists(np.array(encoding.ids, dtype=np.int64) for encoding in encodings)
    lists.cut = np.array([bool(encoding.overflowing) for encoding in encodings], bool)
    return lists
