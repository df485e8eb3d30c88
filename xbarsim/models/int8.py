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

import numpy as np

from xbarsim.base.errors import OutOfRangeError
from xbarsim.models import bert

LEVELS = 127  # codes -127 ... 127
EXACT = 2**24  # float32 holds every integer up to this


def input_ranges(model, token_lists, quantile=1.0, threads=None):
    """Static input range of every weight matrix: the `quantile` of |x| over given sentences (1: the
    maximum).

    Parameters
    ----------
    model : checkpoint.BertModel
    token_lists : list of int arrays, the calibration sentences
    quantile : in (0, 1]; the smallest recorded value with at least this share of the values at or
        below it

    Returns
    -------
    dict matrix name -> float
    """
    if not 0 < quantile <= 1:
        raise OutOfRangeError(
            f"quantile is {quantile}; allowed are values in (0, 1], 1 being the maximum"
        )
    tokens = sum(len(token_list) for token_list in token_lists)
    largest = defaultdict(list)

    def kept(weight):  # so many of the largest values decide the quantile
        total = tokens * weight.shape[1]
        return total - max(math.ceil(quantile * total), 1) + 1

    def record(name, x, weight, bias, rows):
        magnitude = np.abs(x).ravel()
        k = min(kept(weight), magnitude.size)
        largest[name].append(np.partition(magnitude, magnitude.size - k)[magnitude.size - k :])
        return bert.linear(name, x, weight, bias, rows)

    bert.embed(model, token_lists, record, threads=threads)
    ranges = {}
    for name in bert.matrix_names(model.config):
        values = np.sort(np.concatenate(largest[name]))
        ranges[name] = float(values[-kept(model.matrix(name)[0])])
    return ranges


def codes(x, scale):
    """round(x / scale) saturated to ±127, as float32 holding integers."""
    return np.clip(np.rint(x / scale), -LEVELS, LEVELS).astype(np.float32, copy=False)


def integer_product(a, b, largest=LEVELS):
    """a (t, k) @ b (o, k).T of integer codes up to ± `largest`, exactly -> (t, o) float64 (float32
    if that is exact).
    """
    depth = EXACT // largest**2
    y = a[:, :depth] @ b[:, :depth].T
    for start in range(depth, a.shape[1], depth):
        y = y.astype(np.float64, copy=False)
        y += a[:, start : start + depth] @ b[:, start : start + depth].T
    return y


def int8_linear(model, ranges, read=None):
    """The function to inject into `bert.encode`: every weight product in int8, with `ranges` of
    `input_ranges`.

    read : function (name, codes) -> codes as a memory returns them (`store.Memory.read`); without
        errors if None
    """
    quantised = {}
    for name in bert.matrix_names(model.config):
        weight, _ = model.matrix(name)
        scale = np.abs(weight).max(axis=1) / LEVELS
        scale[scale == 0] = 1  # a channel of zeros
        stored = codes(weight, scale[:, None])
        quantised[name] = (stored if read is None else read(name, stored)), scale

    def linear(name, x, weight, bias, rows):
        weight_codes, weight_scale = quantised[name]
        scale = np.float32(ranges[name] / LEVELS or 1)
        y = integer_product(codes(x, scale), weight_codes)
        return (y * (weight_scale * scale) + bias).astype(np.float32, copy=False)

    return linear
