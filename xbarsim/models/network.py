"""What every network is to the rooms above, whatever its architecture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.base.progress import Progress, silent
from xbarsim.models.attention import Cache
from xbarsim.models.batches import TOKENS_PER_BATCH, for_every_batch
from xbarsim.models.graph import Graph
from xbarsim.models.operations import Hook, Norm, float32


class Config(Protocol):
    """What is known of every checkpoint.

    hidden : width of the states and of sentence vectors;  heads : 1 without attention
    """

    @property
    def hidden(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def activation(self) -> str: ...
    @property
    def norm(self) -> Norm: ...
    @property
    def max_tokens(self) -> int: ...


class Network(Protocol):
    """A model in memory: the list of its steps, its weights, and its forward pass.

    path : of the checkpoint;  sha256 : of its weights

    `network_check.check_network` checks what is promised here; docs/architecture.md has an example.
    """

    @property
    def config(self) -> Config: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def sha256(self) -> str: ...
    @property
    def path(self) -> Path | None: ...

    def matrix(self, name: str) -> tuple[Singles, Singles]:
        """(weight (out, in), bias (out,)) of a matrix or norm of the graph."""
        ...

    def forward(self, token_ids: Integers, mask: Booleans, hook: Hook = float32) -> Singles:
        """Hidden states (b, s, h) of token_ids (b, s), 0 at padding.

        Every step of the graph goes through the hook once, in their order, with `rows` (t, 2) the
        (sequence, position) of the real tokens.
        """
        ...


class EncoderConfig(Config, Protocol):
    @property
    def labels(self) -> tuple[str, ...]: ...


class Encoder(Network, Protocol):
    """A network that makes one vector of a sentence.

    head : the checkpoint's classifier, (weight (labels, h), bias (labels,)), or None
    """

    @property
    def config(self) -> EncoderConfig: ...
    @property
    def head(self) -> tuple[Singles, Singles] | None: ...

    def features(self, hidden: Singles, mask: Booleans, pooling: str = "auto") -> Singles:
        """Sentence vectors (b, h) of hidden states; "auto" pools as the checkpoint states."""
        ...


class DecoderConfig(Config, Protocol):
    @property
    def beginning(self) -> int | None: ...
    @property
    def ends(self) -> tuple[int, ...]: ...


class Decoder(Network, Protocol):
    """A network that predicts the next token."""

    @property
    def config(self) -> DecoderConfig: ...

    def forward(
        self,
        token_ids: Integers,
        mask: Booleans,
        hook: Hook = float32,
        cache: Cache | None = None,
    ) -> Singles:
        """As of `Network`; `cache` holds what stands before these tokens, and takes them in."""
        ...

    def logits(self, states: Singles, rows: Integers, hook: Hook = float32) -> Singles:
        """Logits (t, v) of hidden states (t, h); rows (t, 2), (sequence, position) of each."""
        ...


def embed(
    model: Encoder,
    token_lists: Sequence[Integers],
    hook: Hook = float32,
    *,
    pooling: str = "auto",
    tokens_per_batch: int = TOKENS_PER_BATCH,
    threads: int | None = None,
    progress: Progress = silent,
    description: str = "sentences",
) -> Singles:
    """Sentence features (n, h) of token lists, in their order; they do not depend on `threads`.

    progress : told after every batch the number of sentences done in it
    """
    features = np.empty((len(token_lists), model.config.hidden), np.float32)

    def work(group: Integers, token_ids: Integers, mask: Booleans) -> None:
        hidden = model.forward(token_ids, mask, hook)
        features[group] = model.features(hidden, mask, pooling)

    for_every_batch(
        work,
        token_lists,
        tokens_per_batch=tokens_per_batch,
        threads=threads,
        progress=progress,
        description=description,
    )
    return features
