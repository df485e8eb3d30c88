"""One vector per sentence of its hidden states."""

import numpy as np

from xbarsim.base.errors import OutOfRangeError
from xbarsim.models.operations import Floats, Mask

Dense = tuple[Floats, Floats]  # weight (out, in), bias (out,)


def pool(hidden: Floats, mask: Mask, pooling: str, pooler: Dense | None = None) -> Floats:
    """One vector per sentence: hidden (b, s, h), mask (b, s) -> (b, h).

    "mean" over the real tokens, "cls": the first token, "pooler": tanh(W x_first + b) with `pooler`
    = (W, b).
    """
    if pooling == "mean":
        counted = np.asarray(mask, dtype=np.float32)[:, :, None]
        mean: Floats = (hidden * counted).sum(axis=1) / counted.sum(axis=1)
        return mean
    if pooling == "cls":
        first: Floats = hidden[:, 0]
        return first
    if pooling == "pooler" and pooler is not None:
        weight, bias = pooler
        pooled: Floats = np.tanh(hidden[:, 0] @ weight.T + bias)
        return pooled
    raise OutOfRangeError(
        f"pooling is {pooling!r}; allowed are 'mean', 'cls' and, with the pooler's weights, 'pooler'"
    )


def unit_length(features: Floats) -> Floats:
    """Sentence vectors (b, h) divided by their lengths.

    Raises
    ------
    OutOfRangeError : a vector of zeros
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    if not length.all():
        raise OutOfRangeError(
            f"{np.count_nonzero(length == 0)} sentences have features of 0, which cannot be "
            "normalised; look at the weights of the last layer norm of the checkpoint"
        )
    normalised: Floats = features / length
    return normalised
