"""BERT and its kin in NumPy float32: weights under our names, and the forward pass.

Nothing here knows a crossbar: every step goes through a hook, see `operations`.  Shapes: b
sentences, s positions of the longest, t real tokens of all sentences, h hidden width, a heads.

Source: Devlin et al., "BERT", NAACL 2019; Song et al., "MPNet", NeurIPS 2020 (relative position
bias as in T5); Liu et al., "RoBERTa", arXiv 1907.11692; Sanh et al., "DistilBERT", arXiv 1910.01108;
Lan et al., "ALBERT", ICLR 2020 (embeddings narrower than the layers, layers that share weights).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.models.attention import Places
from xbarsim.models.batches import checked
from xbarsim.models.forward import Forward
from xbarsim.models.graph import Block, Graph, Role, Transformer, graph_of
from xbarsim.models.operations import Hook, Norm, float32
from xbarsim.models.pooling import Dense, pool, unit_length

FARTHEST = 128  # distance in tokens from which on MPNet's position bias stays the same


@dataclass(frozen=True)
class BertConfig:
    """What the forward pass needs to know of a checkpoint.

    position_offset : position id of the first token
    relative_buckets : of MPNet's relative position bias, 0 without one
    max_tokens : the longest token list that the model was made for
    labels : of the checkpoint's classifier, () without one
    pooler_function : of the pooler, one of `pooling.FUNCTIONS`
    embedding_width, layer_sets : of `graph.Transformer`
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    activation: str
    norm_epsilon: float
    position_offset: int
    relative_buckets: int
    pooling: str
    normalize: bool
    max_tokens: int
    labels: tuple[str, ...]
    pooler_function: str = "tanh"
    embedding_width: int | None = None
    layer_sets: int | None = None

    @property
    def norm(self) -> Norm:
        return Norm.LAYER

    @property
    def key_value_heads(self) -> int:
        return self.heads

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads


def transformer_of(config: BertConfig) -> Transformer:
    """What decides the steps of a model."""
    return Transformer(
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        key_value_heads=config.heads,
        head_width=config.head_width,
        intermediate=config.intermediate,
        block=Block.POST_NORM,
        causal=False,
        embeddings_norm=True,
        activation_name="gelu",
        embedding_width=config.embedding_width,
        layer_sets=config.layer_sets,
    )


@dataclass(frozen=True)
class BertModel:
    """A checkpoint in memory; a `network.Encoder`.

    weights : our names (`layer.0.query.weight`, `embeddings.word`, ...) -> float32 arrays
    head : the classifier's (weight (labels, hidden), bias (labels,)), or None
    sha256 : of the weights file
    path : of the checkpoint's directory, None of a model that was made in memory
    """

    config: BertConfig
    weights: dict[str, Singles]
    head: Dense | None
    sha256: str
    path: Path | None

    @cached_property
    def graph(self) -> Graph:
        """The list of its steps; sizes are for its longest sentences."""
        return graph_of(transformer_of(self.config), self.config.max_tokens)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {step.name: step.owner for step in self.graph.steps}

    def matrix(self, name: str) -> Dense:
        """(weight (out, in), bias (out,)) of a matrix or norm of the graph, or of the `pooler`."""
        owner = self._owners.get(name, name)
        try:
            return self.weights[f"{owner}.weight"], self.weights[f"{owner}.bias"]
        except KeyError:
            if name == "pooler":
                raise CheckpointError(
                    f"{self.path}: the checkpoint has no pooler; pool by 'mean' or 'cls'"
                ) from None
            raise CheckpointError(
                f"{self.path}: the checkpoint has no matrix {name!r}; layers are numbered from 0 to "
                f"{self.config.layers - 1}"
            ) from None

    def forward(self, token_ids: ArrayLike, mask: ArrayLike, hook: Hook = float32) -> Singles:
        """Hidden states of the last layer.

        Parameters
        ----------
        token_ids : (b, s) int
        mask : (b, s) bool or 0/1, 1 for real tokens
        hook : see `operations`; it sees real tokens only

        Returns
        -------
        (b, s, h) float32; 0 at padding.  A sentence's values do not depend on its batch beyond
        float32 rounding.

        Raises
        ------
        ShapeError, OutOfRangeError : ids or mask that do not fit the model; hidden states that are
            not finite
        """
        config = self.config
        longest = config.positions - config.position_offset
        ids, real = checked(token_ids, mask, vocabulary=config.vocabulary, longest=longest)
        places = Places(real)
        forward = _BertForward(self, places, hook)
        x = forward.embed(ids[real])
        for layer in range(self.config.layers):
            x = forward.layer(layer, x)
        return places.padded(x)

    def features(self, hidden: Singles, mask: Booleans, pooling: str = "auto") -> Singles:
        """Sentence vectors (b, h): "auto" pools as the checkpoint states; of length 1 if it says
        so.
        """
        chosen = self.config.pooling if pooling == "auto" else pooling
        pooler = self.matrix("pooler") if chosen == "pooler" else None
        features = pool(hidden, mask, chosen, pooler, self.config.pooler_function)
        return unit_length(features) if self.config.normalize else features


class _BertForward(Forward):
    """One batch on its way through the layers."""

    def __init__(self, model: BertModel, places: Places, hook: Hook) -> None:
        super().__init__(model, places, places.all_tokens(), hook)
        self.bert = model
        self.bias = _relative_bias(model, places.mask.shape[1])

    def embed(self, ids: Integers) -> Singles:
        """Normalised sum of the embeddings of tokens (t,) -> (t, h), of the width of the layers;
        every token is of type 0.
        """
        weights = self.bert.weights
        positions = self.places.rows[:, 1] + self.bert.config.position_offset
        x = weights["embeddings.word"][ids] + weights["embeddings.position"][positions]
        if self.bert.config.token_types:
            x = x + weights["embeddings.token_type"][0]
        steps = self.bert.graph.of_layer(None)
        x = self.norm(steps[Role.EMBEDDINGS_NORM], x)
        if Role.EMBEDDINGS_PROJECTION in steps:
            x = self.dense(steps[Role.EMBEDDINGS_PROJECTION], x)
        return x

    def layer(self, number: int, x: Singles) -> Singles:
        """One layer: (t, h) -> (t, h)."""
        steps = self.bert.graph.of_layer(number)
        x = self.norm(steps[Role.ATTENTION_NORM], self.attention(steps, x) + x)
        return self.norm(steps[Role.OUTPUT_NORM], self.feed_forward(steps, x) + x)

    def scaled(self, scores: Singles) -> Singles:
        return super().scaled(scores) + self.bias


def _relative_bias(model: BertModel, positions: int) -> Singles | np.float32:
    """MPNet's bias on the attention scores, (a, s, s): one value per head and bucket of distance; 0
    for others.

    Half of the buckets are for keys to the right; in each half the first half are single distances,
    the rest are spaced logarithmically up to a distance of `FARTHEST`.
    """
    buckets = model.config.relative_buckets
    if not buckets:
        return np.float32(0)
    distance = np.arange(positions)[:, None] - np.arange(positions)[None, :]  # query - key
    half = buckets // 2
    exact = buckets // 4
    near = np.abs(distance)
    far = np.minimum(_logarithmic_bucket(near, exact, half), half - 1)
    bucket = np.where(near < exact, near, far) + half * (distance < 0)
    bias: Singles = model.weights["relative_attention_bias"][bucket].transpose(2, 0, 1)
    return bias


def _logarithmic_bucket(distance: Integers, exact: int, half: int) -> Integers:
    """Bucket of distances from `exact` on; those below are of no use."""
    relative = np.maximum(distance, 1) / np.float32(exact)
    octaves = np.log(relative, dtype=np.float32) / np.float32(np.log(FARTHEST / exact))
    return exact + (octaves * (half - exact)).astype(np.int64)
