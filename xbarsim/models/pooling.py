"""One vector per sentence of its hidden states."""

from collections.abc import Callable

import numpy as np

from xbarsim.base.array_types import Booleans, Singles
from xbarsim.base.errors import OutOfRangeError
from xbarsim.models.operations import relu

Dense = tuple[Singles, Singles]  # weight (out, in), bias (out,)


def _tanh(x: Singles) -> Singles:
    return np.tanh(x)


# of poolers, by name
FUNCTIONS: dict[str, Callable[[Singles], Singles]] = {"tanh": _tanh, "relu": relu}


def pool(
    hidden: Singles,
    mask: Booleans,
    pooling: str,
    pooler: Dense | None = None,
    function: str = "tanh",
) -> Singles:
    """One vector per sentence: hidden (b, s, h), mask (b, s) -> (b, h).

    "mean" over the real tokens, "cls": the first token, "pooler": f(W x_first + b) with `pooler` =
    (W, b) and f one of `FUNCTIONS`.
    """
    if pooling == "mean":
        counted = np.asarray(mask, dtype=np.float32)[:, :, None]
        mean: Singles = (hidden * counted).sum(axis=1) / counted.sum(axis=1)
        return mean
    if pooling == "cls":
        first: Singles = hidden[:, 0]
        return first
    if pooling == "pooler" and pooler is not None:
        weight, bias = pooler
        return FUNCTIONS[function](hidden[:, 0] @ weight.T + bias)
    raise OutOfRangeError(
        f"pooling is {pooling!r}; allowed are 'mean', 'cls' and, with the pooler's weights, 'pooler'"
    )


def unit_length(features: Singles) -> Singles:
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
    normalised: Singles = features / length
    return normalised
