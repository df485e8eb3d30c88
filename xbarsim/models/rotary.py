"""Rotary positions, with the long-context extensions that checkpoints state."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_types import Singles
from xbarsim.base.errors import CheckpointError

EXTENSIONS = ("default", "linear", "llama3")


@dataclass(frozen=True)
class Rotary:
    """Rotary positions: the first `width` values of a head turn in pairs (k, k + width / 2).

    frequencies : (width / 2,) float32, radians per position
    """

    width: int
    frequencies: Singles


def rotate(x: Singles, rotary: Rotary, past: int) -> Singles:
    """Turn the pairs of x (b, heads, s, d) by their positions, the first of which is `past`."""
    half = rotary.width // 2
    position = (past + np.arange(x.shape[2])).astype(np.float32)
    angle = position[:, None] * rotary.frequencies[None]  # (s, width / 2)
    cosine = np.cos(angle)
    sine = np.sin(angle)
    first = x[..., :half]
    second = x[..., half : rotary.width]
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return np.concatenate([*turned, x[..., rotary.width :]], axis=-1)


def rotary_of(path: Path, raw: Mapping[str, Any], width: int) -> Rotary:
    """Rotary of a config.json.

    Parameters
    ----------
    path : of the file, for messages
    raw : dict, its content; `rope_theta` and `rope_scaling`, or `rope_parameters` of newer files
    width : int, values of a head that turn

    Raises
    ------
    CheckpointError : an extension that is not one of `EXTENSIONS`
    """
    parameters = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    base = parameters.get("rope_theta", raw.get("rope_theta", 10000.0))
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in EXTENSIONS:
        raise CheckpointError(
            f"{path}: rope_scaling of type {kind!r} is not supported; supported are "
            f"{', '.join(EXTENSIONS)}"
        )
    if width % 2 or width < 2:
        raise CheckpointError(f"{path}: {width} values of a head turn; an even number is needed")
    exponent = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    frequencies = (1.0 / np.power(np.float32(base), exponent)).astype(np.float32)
    if kind == "linear":
        frequencies = frequencies / np.float32(parameters["factor"])
    elif kind == "llama3":
        frequencies = _llama3(path, frequencies, parameters)
    return Rotary(width, frequencies.astype(np.float32))


def _llama3(path: Path, frequencies: Singles, parameters: Mapping[str, Any]) -> Singles:
    """Low frequencies divided by `factor`, high ones kept, those between mixed (Llama 3.1)."""
    try:
        factor = float(parameters["factor"])
        low = float(parameters["low_freq_factor"])
        high = float(parameters["high_freq_factor"])
        context = float(parameters["original_max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: rope_scaling of type llama3 lacks {error}") from None
    wavelength = 2 * math.pi / frequencies.astype(np.float64)
    smooth = (context / wavelength - low) / (high - low)
    mixed = (1 - smooth) * frequencies / factor + smooth * frequencies
    slow = wavelength > context / low
    fast = wavelength < context / high
    rest = np.where(fast, frequencies, mixed)
    return np.where(slow, frequencies / factor, rest)
