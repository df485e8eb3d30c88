"""Causal decoders in NumPy float32: Llama, Qwen2, GPT-2, Phi and OPT.

Nothing here knows a crossbar: every step goes through a hook, see `operations`.

Shapes: b sequences, s positions of the longest, t real tokens of all sequences, h hidden width, a
query heads, g key-value heads (a is a multiple of g), d width of a head, v vocabulary.

Source: Touvron et al., "LLaMA", 2023; Radford et al., "Language models are unsupervised multitask
learners", 2019; Li et al., "Textbooks are all you need II: phi-1.5", 2023; Zhang et al., "OPT",
2022; Su et al., "RoFormer", 2021 (rotary positions).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.models.attention import Cache, Places
from xbarsim.models.forward import Forward
from xbarsim.models.graph import Block, Graph, Role, Step, Transformer, graph_of
from xbarsim.models.operations import Hook, Norm, float32, linear
from xbarsim.models.rotary import Rotary, rotate


@dataclass(frozen=True)
class DecoderConfig:
    """What the forward pass needs to know of a checkpoint.

    key_value_heads : heads of keys and values, each shared by heads / key_value_heads query heads
    gated : the feed-forward inner activation is multiplied with a second product of the same input
    parallel : attention and feed-forward read the same normalised input and are added together
    position_offset : row of the position embedding for the first token
    rotary : None with learned positions
    beginning, ends : token ids, None and () where the checkpoint states none
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_width: int
    intermediate: int
    vocabulary: int
    positions: int
    norm: Norm
    norm_epsilon: float
    activation: str
    gated: bool
    parallel: bool
    tied: bool
    position_offset: int = 0
    rotary: Rotary | None = None
    beginning: int | None = None
    ends: tuple[int, ...] = ()

    @property
    def max_tokens(self) -> int:
        """The longest sequence that the model takes."""
        return self.positions


def graph_of_decoder(config: DecoderConfig) -> Graph:
    """The list of a model's steps; sizes are for its longest sequences."""
    decoder = Transformer(
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        key_value_heads=config.key_value_heads,
        head_width=config.head_width,
        intermediate=config.intermediate,
        block=Block.PARALLEL if config.parallel else Block.PRE_NORM,
        causal=True,
        gated=config.gated,
        final_norm=True,
        vocabulary=config.vocabulary,
    )
    return graph_of(decoder, config.max_tokens)


@dataclass(frozen=True)
class DecoderModel:
    """A checkpoint in memory; a `network.Decoder`.

    weights : our names (`layer.0.query.weight` (out, in), `layer.0.query.bias` (out,) where there is
        one, `embeddings.word` (v, h), `logits.weight` (v, h), ...) -> float32 arrays
    sha256 : of the weights file, or of the list of those of several
    """

    config: DecoderConfig
    weights: dict[str, Singles]
    sha256: str
    path: Path | None = None

    @cached_property
    def graph(self) -> Graph:
        return graph_of_decoder(self.config)

    def matrix(self, name: str) -> tuple[Singles, Singles]:
        """(weight (out, in), bias (out,)) of a matrix or norm; a bias that does not exist is zeros."""
        weight = self.weights[f"{name}.weight"]
        bias = self.weights.get(f"{name}.bias")
        if bias is None:
            bias = np.zeros(weight.shape[0], np.float32)
        return weight, bias

    def forward(
        self,
        token_ids: ArrayLike,
        mask: ArrayLike,
        hook: Hook = float32,
        cache: Cache | None = None,
    ) -> Singles:
        """States of the last layer after the final norm, what the output matrix reads.

        Parameters
        ----------
        token_ids : (b, s) int
        mask : (b, s) bool or 0/1, 1 for real tokens; padding stands at the end
        hook : see `operations`; it sees real tokens only
        cache : holds what stands before these tokens and takes them in; needs a mask of ones

        Returns
        -------
        (b, s, h) float32; 0 at padding

        Raises
        ------
        ShapeError, OutOfRangeError : ids or mask that do not fit the model; hidden states that are
            not finite
        """
        past = 0 if cache is None else cache.length
        ids, real = _checked(self.config, token_ids, mask, past, cached=cache is not None)
        places = Places(real, past)
        forward = _DecoderForward(self, places, hook, cache)
        x = forward.embed(ids[real])
        for layer in range(self.config.layers):
            x = forward.layer(layer, x)
        x = forward.norm(self.graph.of_layer(None)[Role.FINAL_NORM], x)
        if cache is not None:
            cache.length += ids.shape[1]
        return places.padded(x)

    def logits(self, states: Singles, rows: Integers, hook: Hook = float32) -> Singles:
        """Logits (t, v) of hidden states (t, h); rows (t, 2) : (sequence, position) of each."""
        step = self.graph.of_layer(None)[Role.LOGITS]
        weight, bias = self.matrix(step.name)
        return hook(step, linear, states, weight, bias, rows=rows)


class _DecoderForward(Forward):
    """One batch on its way through the layers."""

    def __init__(
        self, model: DecoderModel, places: Places, hook: Hook, cache: Cache | None
    ) -> None:
        super().__init__(model, places, places.earlier_tokens(), hook)
        self.decoder = model
        self.cache = cache

    def embed(self, ids: Integers) -> Singles:
        """Embeddings of tokens (t,) -> (t, h)."""
        config = self.decoder.config
        weights = self.decoder.weights
        x = weights["embeddings.word"][ids]
        if config.rotary is None:
            at = self.places.rows[:, 1] + config.position_offset
            x = x + weights["embeddings.position"][at]
        return x

    def layer(self, number: int, x: Singles) -> Singles:
        """One layer: (t, h) -> (t, h)."""
        steps = self.decoder.graph.of_layer(number)
        normed = self.norm(steps[Role.ATTENTION_NORM], x)
        attended = self.attention(steps, normed)
        if self.decoder.config.parallel:
            return x + attended + self.feed_forward(steps, normed)
        x = x + attended
        normed = self.norm(steps[Role.FEED_FORWARD_NORM], x)
        return x + self.feed_forward(steps, normed)

    def placed(
        self, step: Step, query: Singles, key: Singles, value: Singles
    ) -> tuple[Singles, Singles, Singles]:
        config = self.decoder.config
        if config.rotary is not None:
            query = rotate(query, config.rotary, self.places.past)
            key = rotate(key, config.rotary, self.places.past)
        if self.cache is not None and step.layer is not None:
            key, value = self.cache.extend(step.layer, key, value)
        group = config.heads // config.key_value_heads
        return query, np.repeat(key, group, axis=1), np.repeat(value, group, axis=1)


def _checked(
    config: DecoderConfig,
    token_ids: ArrayLike,
    attention_mask: ArrayLike,
    past: int,
    *,
    cached: bool,
) -> tuple[Integers, Booleans]:
    ids = np.asarray(token_ids)
    mask = np.asarray(attention_mask).astype(bool)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or mask.shape != ids.shape:
        raise ShapeError(
            f"token_ids has shape {ids.shape} and type {ids.dtype}, mask shape "
            f"{mask.shape}; both must be (sequences, positions), ids of an integer type"
        )
    longest = past + ids.shape[1]
    if longest > config.positions:
        raise ShapeError(
            f"{longest} tokens in a sequence; the model has {config.positions} positions: "
            "use shorter windows"
        )
    if not mask.any(axis=1).all():
        empty = int(np.argmin(mask.any(axis=1)))
        raise ShapeError(f"sequence {empty} of the batch has no token; each needs at least one")
    if not (np.diff(mask.astype(int), axis=1) <= 0).all():
        raise ShapeError("padding stands before a token; it must stand at the end of a sequence")
    if cached and not mask.all():
        raise ShapeError("a key-value cache needs sequences of one length, without padding")
    real = ids[mask]
    if not 0 <= real.min() <= real.max() < config.vocabulary:
        raise OutOfRangeError(
            f"token ids from {real.min()} to {real.max()}; the vocabulary has entries 0 to "
            f"{config.vocabulary - 1}: the tokenizer belongs to another checkpoint"
        )
    return ids, mask
