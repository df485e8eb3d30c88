"""The forward pass of causal decoders in NumPy float32: Llama, Qwen2, GPT-2, Phi and OPT.

Nothing here knows a crossbar.  Every product with a weight matrix is the injected function
`linear`, and every other step a field of `Operations`, so that a hardware model can take the place
of any of them.

Shapes: b sequences, s positions of the longest, t real tokens of all sequences, h hidden width, a
query heads, g key-value heads (a is a multiple of g), d width of a head, v vocabulary.

Source: Touvron et al., "LLaMA", 2023; Radford et al., "Language models are unsupervised multitask
learners", 2019; Li et al., "Textbooks are all you need II: phi-1.5", 2023; Zhang et al., "OPT",
2022; Su et al., "RoFormer", 2021 (rotary positions).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.models import bert


class Norm(StrEnum):
    """How activations are normalised."""

    LAYER = "layer_norm"
    RMS = "rms_norm"


@dataclass(frozen=True)
class Rotary:
    """Rotary positions: the first `width` values of a head turn in pairs (k, k + width / 2).

    frequencies : (width / 2,) float32, radians per position
    scale : what cosines and sines are multiplied with, 1 unless a long-context extension states it
    """

    width: int
    frequencies: np.ndarray
    scale: float = 1.0


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
    def max_tokens(self):
        """The longest sequence that the model takes."""
        return self.positions


@dataclass(frozen=True)
class DecoderModel:
    """A checkpoint in memory.

    `weights` maps our names to float32 arrays: `layer.0.query.weight` (out, in),
    `layer.0.query.bias` (out,) where there is one, `embeddings.word` (v, h), `logits.weight` (v, h)
    and so on. `sha256` is that of the weights file, or of the list of those of several.
    """

    config: DecoderConfig
    weights: dict[str, np.ndarray]
    sha256: str
    path: object = None

    def matrix(self, name):
        """(weight (out, in), bias (out,)) of a matrix or norm; a bias that does not exist is zeros."""
        weight = self.weights[f"{name}.weight"]
        bias = self.weights.get(f"{name}.bias")
        if bias is None:
            bias = np.zeros(weight.shape[0], np.float32)
        return weight, bias


# ---------------------------------------------------------------- the default operations


def rms_norm(name, x, weight, epsilon):
    """x / sqrt(mean of x² + epsilon) * weight over the last axis."""
    power = np.einsum("...h,...h->...", x, x)[..., None] / np.float32(x.shape[-1])
    return x / np.sqrt(power + np.float32(epsilon)) * weight


def silu(name, x):
    """x / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # exp of a large number: the limit is right
        return x / (1 + np.exp(-x))


def gelu_quick(name, x):
    """x / (1 + exp(-1.702 x))."""
    with np.errstate(over="ignore"):
        return x / (1 + np.exp(np.float32(-1.702) * x))


ACTIVATIONS = bert.ACTIVATIONS | {
    "silu": silu,
    "swish": silu,
    "gelu_fast": bert.gelu_tanh,
    "quick_gelu": gelu_quick,
}


@dataclass(frozen=True)
class Operations:
    """The steps without weight matrices; each is called with a name such as
    `layer.0.attention_scores` first.

    `product(name, a, b)`, `softmax(name, x, mask)`, `layer_norm(name, x, weight, bias, epsilon)`,
    `rms_norm(name, x, weight, epsilon)`, `activation(name, x)`; None takes the checkpoint's own.
    """

    product: Callable = bert.product
    softmax: Callable = bert.softmax
    layer_norm: Callable = bert.layer_norm
    rms_norm: Callable = rms_norm
    activation: Callable | None = None


# ---------------------------------------------------------------- key-value cache


@dataclass
class Cache:
    """Keys and values of what a sequence batch has seen: {layer: (b, g, s, d)}; `length` positions."""

    keys: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)
    length: int = 0

    def extend(self, layer, keys, values):
        """All keys and values of a layer so far, these new ones (b, g, s, d) at their end."""
        if layer in self.keys:
            keys = np.concatenate([self.keys[layer], keys], axis=2)
            values = np.concatenate([self.values[layer], values], axis=2)
        self.keys[layer] = keys
        self.values[layer] = values
        return keys, values


# ---------------------------------------------------------------- the forward pass


def hidden_states(model, token_ids, mask, linear=bert.linear, operations=Operations(), cache=None):
    """States of the last layer after the final norm, what the output matrix reads.

    Parameters
    ----------
    model : DecoderModel
    token_ids : (b, s) int
    mask : (b, s) bool or 0/1, 1 for real tokens; padding stands at the end
    linear : function(name, x, weight, bias, rows) -> y; x (t, in) float32, rows (t, 2) int64 the
        (sequence of the batch, position) of each row
    operations : Operations
    cache : Cache that holds what stands before these tokens and takes them in; needs a mask of ones

    Returns
    -------
    (b, s, h) float32; 0 at padding

    Raises
    ------
    ShapeError, OutOfRangeError : ids or mask that do not fit the model
    """
    past = 0 if cache is None else cache.length
    token_ids, mask = _checked(model.config, token_ids, mask, past, cached=cache is not None)
    batch = _Batch(mask, past)
    forward = _Forward(model, batch, linear, operations, cache)
    x = forward.embed(token_ids[mask])
    for layer in range(model.config.layers):
        x = forward.layer(layer, x)
    x = forward.norm("final_norm", x)
    if cache is not None:
        cache.length += token_ids.shape[1]
    return batch.padded(x)


def logits(model, states, rows, linear=bert.linear):
    """Logits (t, v) of hidden states (t, h); rows (t, 2) as in `hidden_states`."""
    weight, bias = model.matrix("logits")
    return linear("logits", states, weight, bias, rows)


class _Batch:
    """Where the real tokens of padded sequences stand."""

    def __init__(self, mask, past):
        self.mask = mask
        self.rows = np.argwhere(mask)  # (t, 2)
        self.rows[:, 1] += past
        self.positions = self.rows[:, 1]  # (t,)
        longest = mask.shape[1]
        query = past + np.arange(longest)
        key = np.arange(past + longest)
        causal = key[None, :] <= query[:, None]  # (s, past + s)
        seen = np.ones((mask.shape[0], past), bool)
        present = np.concatenate([seen, mask], axis=1)  # (b, past + s)
        self.visible = causal[None, None] & present[:, None, None]

    def padded(self, x):
        """(t, width) -> (b, s, width), 0 at padding."""
        result = np.zeros((*self.mask.shape, x.shape[-1]), np.float32)
        result[self.mask] = x
        return result

    def split(self, x, heads):
        """(t, heads · d) -> (b, heads, s, d), 0 at padding."""
        padded = self.padded(x).reshape(*self.mask.shape, heads, -1)
        return padded.transpose(0, 2, 1, 3)

    def merge(self, x):
        """(b, heads, s, d) -> (t, heads · d)."""
        return x.transpose(0, 2, 1, 3)[self.mask].reshape(len(self.rows), -1)


class _Forward:
    """One batch on its way through the layers."""

    def __init__(self, model, batch, linear, operations, cache):
        self.model = model
        self.config = model.config
        self.batch = batch
        self.linear = linear
        self.operations = operations
        self.cache = cache
        self.activation = operations.activation or ACTIVATIONS[self.config.activation]

    def embed(self, ids):
        """Embeddings of tokens (t,) -> (t, h)."""
        x = self.model.weights["embeddings.word"][ids]
        if self.config.rotary is None:
            at = self.batch.positions + self.config.position_offset
            x = x + self.model.weights["embeddings.position"][at]
        return x

    def layer(self, number, x):
        """One layer: (t, h) -> (t, h)."""
        prefix = f"layer.{number}"
        normed = self.norm(f"{prefix}.attention_norm", x)
        attended = self.attention(prefix, number, normed)
        if self.config.parallel:
            return x + attended + self.feed_forward(prefix, normed)
        x = x + attended
        normed = self.norm(f"{prefix}.feed_forward_norm", x)
        return x + self.feed_forward(prefix, normed)

    def attention(self, prefix, number, x):
        config = self.config
        query = self.batch.split(self.dense(f"{prefix}.query", x), config.heads)
        key = self.batch.split(self.dense(f"{prefix}.key", x), config.key_value_heads)
        value = self.batch.split(self.dense(f"{prefix}.value", x), config.key_value_heads)
        if config.rotary is not None:
            query = self.rotate(query)
            key = self.rotate(key)
        if self.cache is not None:
            key, value = self.cache.extend(number, key, value)
        group = config.heads // config.key_value_heads
        key = np.repeat(key, group, axis=1)
        value = np.repeat(value, group, axis=1)
        scores = self.operations.product(f"{prefix}.attention_scores", query, key.swapaxes(-1, -2))
        scores = scores * np.float32(config.head_width**-0.5)  # (b, a, s, past + s)
        visible = self.batch.visible
        weights = self.operations.softmax(f"{prefix}.attention_softmax", scores, visible)
        context = self.operations.product(f"{prefix}.attention_context", weights, value)
        return self.dense(f"{prefix}.attention_output", self.batch.merge(context))

    def feed_forward(self, prefix, x):
        inner = self.dense(f"{prefix}.intermediate", x)
        if self.config.gated:
            gate = self.dense(f"{prefix}.gate", x)
            inner = self.activation(f"{prefix}.activation", gate) * inner
        else:
            inner = self.activation(f"{prefix}.activation", inner)
        return self.dense(f"{prefix}.output", inner)

    def dense(self, name, x):
        weight, bias = self.model.matrix(name)
        return self.linear(name, x, weight, bias, self.batch.rows)

    def norm(self, name, x):
        weight, bias = self.model.matrix(name)
        epsilon = self.config.norm_epsilon
        if self.config.norm is Norm.RMS:
            return self.operations.rms_norm(name, x, weight, epsilon)
        return self.operations.layer_norm(name, x, weight, bias, epsilon)

    def rotate(self, x):
        """Turn the pairs of x (b, heads, s, d) by their positions."""
        rotary = self.config.rotary
        half = rotary.width // 2
        past = 0 if self.cache is None else self.cache.length
        position = (past + np.arange(x.shape[2])).astype(np.float32)
        angle = position[:, None] * rotary.frequencies[None]  # (s, width / 2)
        cosine = np.cos(angle) * np.float32(rotary.scale)
        sine = np.sin(angle) * np.float32(rotary.scale)
        first = x[..., :half]
        second = x[..., half : rotary.width]
        turned = (first * cosine - second * sine, second * cosine + first * sine)
        return np.concatenate([*turned, x[..., rotary.width :]], axis=-1)


def _checked(config, token_ids, mask, past, *, cached):
    token_ids = np.asarray(token_ids)
    mask = np.asarray(mask).astype(bool)
    if token_ids.ndim != 2 or token_ids.dtype.kind not in "iu" or mask.shape != token_ids.shape:
        raise ShapeError(
            f"token_ids has shape {token_ids.shape} and type {token_ids.dtype}, mask shape "
            f"{mask.shape}; both must be (sequences, positions), ids of an integer type"
        )
    longest = past + token_ids.shape[1]
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
    ids = token_ids[mask]
    if not 0 <= ids.min() <= ids.max() < config.vocabulary:
        raise OutOfRangeError(
            f"token ids from {ids.min()} to {ids.max()}; the vocabulary has entries 0 to "
            f"{config.vocabulary - 1}: the tokenizer belongs to another checkpoint"
        )
    return token_ids, mask
