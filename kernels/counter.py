"""Counter-based random numbers: a value depends on its key and its index alone, never on what was drawn before.

This is what makes read noise independent of batch, thread and order: the key of a row names (seed, matrix, sentence,
token position, ...), the index the bit line.
"""
import math

import numpy as np

from xbarsim.kernels._jit import jit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_UNIT = 1.0 / 4294967296.0


@jit(inline="always")
def mix(key, index):
    """64 random bits of (key, index), both uint64: the output function of SplitMix64 (Steele et al., OOPSLA 2014)."""
    z = key + (index + np.uint64(1)) * _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


@jit(inline="always")
def normal_pair(key, index):
    """Two independent standard normal deviates of (key, index), by Box and Muller from 2 x 32 bits."""
    bits = mix(key, index)
    radius = math.sqrt(-2.0 * math.log((np.float64(bits >> np.uint64(32)) + 0.5) * _UNIT))
    angle = 2.0 * math.pi * np.float64(bits & np.uint64(0xFFFFFFFF)) * _UNIT
    return radius * math.cos(angle), radius * math.sin(angle)


@jit
def add_normal(current, variance, key, first=0):
    """Add normal deviates of the given variance to `current` in place.

    current, variance : (b, n) float32; key : (b,) uint64, one per row; first : index of the first column, even.
    """
    for b in range(current.shape[0]):
        n = current.shape[1]
        for j in range(0, n, 2):
            even, odd = normal_pair(key[b], np.uint64(first + j))
            current[b, j] += np.float32(even) * math.sqrt(variance[b, j])
            if j + 1 < n:
                current[b, j + 1] += np.float32(odd) * math.sqrt(variance[b, j + 1])


@jit
def row_keys(seed, names):
    """(b,) uint64 keys of the rows of `names` (b, k) int64, each row a tuple such as (matrix, sentence, position)."""
    out = np.empty(names.shape[0], np.uint64)
    for b in range(names.shape[0]):
        key = np.uint64(seed)
        for k in range(names.shape[1]):
            key = mix(key, np.uint64(names[b, k]))
        out[b] = key
    return out
