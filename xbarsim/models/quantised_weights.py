"""Weights of one or two bits: a sign, or a sign and zero, times one scale for every output.

Binary: sign(w) times the mean of |w| (Rastegari et al., XNOR-Net, ECCV 2016).  Ternary: 0 below .7 of
that mean, else the sign times the mean of |w| of what remains (Li et al., Ternary weight networks,
2016).  Both are least-square choices of the scale.
"""

from enum import StrEnum

import numpy as np

from xbarsim.base.array_types import AnyFloats

TERNARY_THRESHOLD = 0.7  # of the mean of |w|


class Weights(StrEnum):
    """What weights are rounded to."""

    FLOAT = "float"
    BINARY = "binary"
    TERNARY = "ternary"


def rounded(weight: AnyFloats, kind: str) -> AnyFloats:
    """Weights (outputs, inputs) as a kind of `Weights` states them, in their own precision."""
    if kind == Weights.FLOAT:
        return weight
    magnitude = np.abs(weight)
    mean = magnitude.mean(axis=1, keepdims=True)
    if kind == Weights.BINARY:
        signs: AnyFloats = np.where(weight < 0, -mean, mean).astype(weight.dtype)
        return signs
    kept = magnitude > TERNARY_THRESHOLD * mean
    count = np.maximum(kept.sum(axis=1, keepdims=True), 1)
    scale = np.where(kept, magnitude, 0).sum(axis=1, keepdims=True) / count
    found: AnyFloats = np.where(kept, np.sign(weight) * scale, 0).astype(weight.dtype)
    return found
