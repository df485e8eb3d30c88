"""Float32 operations of networks, and the hook that puts others in their place.

A forward pass calls its hook for every step of the model's graph:

    output = hook(step, reference, *operands, rows=rows)

`reference(*operands)` is what the step gives in float32.  The operands are, by kind of the step,

    matrix       x (t, in), weight (out, in), bias (out,)
    product      a (..., p, q), b (..., q, r)
    softmax      x, mask (True where x counts, broadcast to it)
    norm         x (t, h), weight (h,), bias (h,), epsilon
    activation   x (t, n)

with t the real tokens of a batch.  `rows` (t, 2) int64 are the (sequence of the batch, position) of
each, so that hardware can seed its noise by token.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.models.graph import Step

Reference = Callable[..., Singles]  # its operands are those of the step's kind


class Hook(Protocol):
    """What a forward pass calls for every step; the operands are those of the step's kind."""

    def __call__(
        self, step: Step, reference: Reference, *operands: Any, rows: Integers
    ) -> Singles: ...


def float32(step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
    """The hook that leaves every step as it is."""
    return reference(*operands)


class Norm(StrEnum):
    """How activations are normalised."""

    LAYER = "layer_norm"
    RMS = "rms_norm"


# ---------------------------------------------------------------- products


def linear(x: Singles, weight: Singles, bias: Singles) -> Singles:
    """`x @ weight.T + bias`: x (t, in), weight (out, in), bias (out,) -> (t, out)."""
    y: Singles = x @ weight.T
    y += bias
    return y


def product(a: Singles, b: Singles) -> Singles:
    """Batched matrix product of two activations: (..., p, q) @ (..., q, r)."""
    found: Singles = a @ b
    return found


# ---------------------------------------------------------------- functions


def softmax(x: Singles, mask: Booleans) -> Singles:
    """Softmax over the last axis of x where the boolean `mask` (broadcast to x) is True, 0
    elsewhere.
    """
    x = np.where(mask, x, np.float32(-np.inf))
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


def softmax_in_order(x: Singles, mask: Booleans) -> Singles:
    """`softmax` whose sum is added up one score after the other: masked scores at the end of a row,
    however many, do not change a bit of it.
    """
    x = np.where(mask, x, np.float32(-np.inf))
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= np.cumsum(x, axis=-1)[..., -1:]
    return x


def layer_norm(x: Singles, weight: Singles, bias: Singles, epsilon: float) -> Singles:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...h,...h->...", x, x)[..., None] / np.float32(x.shape[-1])
    x /= np.sqrt(variance + np.float32(epsilon))
    x *= weight
    x += bias
    return x


def rms_norm(x: Singles, weight: Singles, bias: Singles, epsilon: float) -> Singles:
    """x / sqrt(mean of x² + epsilon) * weight over the last axis; there is no bias to add."""
    power = np.einsum("...h,...h->...", x, x)[..., None] / np.float32(x.shape[-1])
    scaled: Singles = x / np.sqrt(power + np.float32(epsilon)) * weight
    return scaled


def gelu(x: Singles) -> Singles:
    """x / 2 (1 + erf(x / sqrt 2))."""
    from scipy.special import erf

    y: Singles = erf(x * np.float32(0.5**0.5))
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def gelu_tanh(x: Singles) -> Singles:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³))): the approximation some checkpoints were
    trained with.
    """
    y = x * x
    y *= np.float32(0.044715)
    y += 1
    y *= x
    y *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def gelu_quick(x: Singles) -> Singles:
    """x / (1 + exp(-1.702 x))."""
    with np.errstate(over="ignore"):  # exp of a large number: the limit is right
        y: Singles = x / (1 + np.exp(np.float32(-1.702) * x))
    return y


def relu(x: Singles) -> Singles:
    """max(x, 0)."""
    return np.maximum(x, 0)


def silu(x: Singles) -> Singles:
    """x / (1 + exp(-x))."""
    with np.errstate(over="ignore"):
        y: Singles = x / (1 + np.exp(-x))
    return y


NORMS: dict[Norm, Reference] = {Norm.LAYER: layer_norm, Norm.RMS: rms_norm}

# by the names that checkpoints state
ACTIVATIONS: dict[str, Callable[[Singles], Singles]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "quick_gelu": gelu_quick,
    "relu": relu,
    "silu": silu,
    "swish": silu,
}
