"""The INT8 digital reference: what integer hardware without any analog effect makes of a
checkpoint.

Weights: symmetric int8 per output channel, scale = largest |w| of the channel / 127.  Activations:
symmetric int8 per tensor, static ranges calibrated once.  Integer products are accumulated exactly;
bias, softmax, layer norm and GELU stay in float32.  The scheme of Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, with zero
points at 0.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.base.errors import OutOfRangeError
from xbarsim.models.batches import for_every_batch
from xbarsim.models.graph import Kind, Step
from xbarsim.models.network import Network
from xbarsim.models.operations import Hook, Reference

LEVELS = 127  # codes -127 ... 127
EXACT = 2**24  # float32 holds every integer up to this


Read = Callable[[str, Singles], Singles]  # (name of a matrix, codes) -> codes as a memory has them


def input_ranges(
    model: Network,
    token_lists: Sequence[Integers],
    quantile: float = 1.0,
    threads: int | None = None,
) -> dict[str, float]:
    """{matrix: static input range}: the `quantile` of |x| over given sentences (1: the maximum).

    Parameters
    ----------
    token_lists : the calibration sentences
    quantile : in (0, 1]; the smallest recorded value with at least this share of the values at or
        below it
    """
    if not 0 < quantile <= 1:
        raise OutOfRangeError(
            f"quantile is {quantile}; allowed are values in (0, 1], 1 being the maximum"
        )
    tokens = sum(len(token_list) for token_list in token_lists)
    largest: dict[str, list[Singles]] = defaultdict(list)

    def kept(inputs: int) -> int:
        """So many of the largest values decide the quantile."""
        total = tokens * inputs
        return total - max(math.ceil(quantile * total), 1) + 1

    def record(step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        if step.kind is Kind.MATRIX:
            magnitude = np.abs(operands[0]).ravel()
            k = min(kept(step.inputs), magnitude.size)
            last = magnitude.size - k
            largest[step.name].append(np.partition(magnitude, last)[last:])
        return reference(*operands)

    def work(_: Integers, token_ids: Integers, mask: Booleans) -> None:
        states = model.forward(token_ids, mask, record)
        for step in model.graph.after_forward:
            record(step, lambda x: x, states[mask.astype(bool)], rows=np.argwhere(mask))

    for_every_batch(work, token_lists, threads=threads)
    ranges = {}
    for step in model.graph.matrices:
        values = np.sort(np.concatenate(largest[step.name]))
        ranges[step.name] = float(values[-kept(step.inputs)])
    return ranges


def codes(x: Singles, scale: Singles | np.float32) -> Singles:
    """round(x / scale) saturated to ±127, as float32 holding integers."""
    found: Singles = np.clip(np.rint(x / scale), -LEVELS, LEVELS).astype(np.float32, copy=False)
    return found


def integer_product(a: Singles, b: Singles, largest: int = LEVELS) -> NDArray[np.floating[Any]]:
    """a (t, k) @ b (o, k).T of integer codes up to ± `largest`, exactly -> (t, o) float64 (float32
    if that is exact).
    """
    depth = EXACT // largest**2
    y = a[:, :depth] @ b[:, :depth].T
    for start in range(depth, a.shape[1], depth):
        y = y.astype(np.float64, copy=False)
        y += a[:, start : start + depth] @ b[:, start : start + depth].T
    return y


@dataclass(frozen=True)
class _Quantised:
    """A matrix: integer codes (out, in) as float32, and the scale (out,) of each output."""

    codes: Singles
    scale: Singles


def int8_hook(
    model: Network,
    ranges: Mapping[str, float],
    read: Read | None = None,
) -> Hook:
    """The hook with which every weight product is in int8, with `ranges` of `input_ranges`.

    read : function (name, codes) -> codes as a memory returns them (`store.Memory.read`); without
        errors if None
    """
    quantised: dict[str, _Quantised] = {}
    for step in model.graph.matrices:
        if step.shares is not None:
            quantised[step.name] = quantised[step.shares]
            continue
        weight, _ = model.matrix(step.name)
        scale = np.abs(weight).max(axis=1) / LEVELS
        scale[scale == 0] = 1  # a channel of zeros
        stored = codes(weight, scale[:, None])
        if read is not None:
            stored = read(step.name, stored)
        quantised[step.name] = _Quantised(stored, scale)

    def run(step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        if step.kind is not Kind.MATRIX:
            return reference(*operands)
        x, _, bias = operands
        matrix = quantised[step.name]
        scale = np.float32(ranges[step.name] / LEVELS or 1)
        y = integer_product(codes(x, scale), matrix.codes)
        output: Singles = (y * (matrix.scale * scale) + bias).astype(np.float32, copy=False)
        return output

    return run
