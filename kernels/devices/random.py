"""Counter-based random numbers: a value depends on its key and its index alone, never on what was
drawn before.

This is what makes read noise independent of batch, thread and order: the key of a row names (seed,
matrix, sentence, token position, ...), the index the bit line.
"""

import math

import numpy as np

from xbarsim.kernels._jit import jit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_UNIT = np.float32(2.0**-32)
# Cephes' single-precision polynomials (S. L. Moshier), highest order first: (log(1 + x) - x + x²/2)
# / x³ for 1 + x in [1/√2, √2); in x² for |x| <= π/4: (sin x - x) / x³ and (cos x - 1 + x²/2) / x⁴.
_L0 = np.float32(7.0376836292e-2)
_L1 = np.float32(-1.1514610310e-1)
_L2 = np.float32(1.1676998740e-1)
_L3 = np.float32(-1.2420140846e-1)
_L4 = np.float32(1.4249322787e-1)
_L5 = np.float32(-1.6668057665e-1)
_L6 = np.float32(2.0000714765e-1)
_L7 = np.float32(-2.4999993993e-1)
_L8 = np.float32(3.3333331174e-1)
_S0 = np.float32(-1.9515295891e-4)
_S1 = np.float32(8.3321608736e-3)
_S2 = np.float32(-1.6666654611e-1)
_C0 = np.float32(2.443315711809948e-5)
_C1 = np.float32(-1.388731625493765e-3)
_C2 = np.float32(4.166664568298827e-2)
_LN_2 = np.float32(math.log(2))
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_SQRT_HALF = np.int32(0x3F3504F3)  # bits of 1/√2 as float32
_MANTISSA = np.int32(0x007FFFFF)
_EIGHTH = np.uint32(1 << 29)  # of a turn in 2^32
_QUARTER = np.float32(math.pi / 2 * 2.0**-30)  # radian per unit


@jit(inline="always")
def mix(key, index):
    """64 random bits of (key, index), both uint64: the output function of SplitMix64 (Steele et
    al., OOPSLA 2014).
    """
    z = key + (index + np.uint64(1)) * _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


@jit(inline="always")
def normal_pair(key, index):
    """Two independent standard normal deviates of (key, index), float32, by Box and Muller from 2 x
    32 bits.

    √(-2 ln u) times cos and sin of 2π v, free of branches so that loops over `index` become vector
    instructions.  Within 1e-6 of the formula in float64 where the radius exceeds 0.03, within 5e-4
    elsewhere.
    """
    bits = mix(key, index)
    u = np.float32((np.float32(np.uint32(bits >> np.uint64(32))) + _HALF) * _UNIT)
    offset = np.int32(u.view(np.int32) - _SQRT_HALF)
    exponent = np.float32(offset >> np.int32(23))
    x = np.int32((offset & _MANTISSA) + _SQRT_HALF).view(np.float32) - _ONE
    square = x * x
    series = _L0 * x + _L1
    series = series * x + _L2
    series = series * x + _L3
    series = series * x + _L4
    series = series * x + _L5
    series = series * x + _L6
    series = series * x + _L7
    series = series * x + _L8
    radius = np.sqrt(np.float32(-2) * (x - _HALF * square + square * x * series + exponent * _LN_2))

    turned = np.uint32(np.uint32(bits & np.uint64(0xFFFFFFFF)) + _EIGHTH)
    quarter = np.int32(turned >> np.uint32(30))
    x = np.float32(np.int32(turned & np.uint32(0x3FFFFFFF)) - np.int32(_EIGHTH)) * _QUARTER
    square = x * x
    sine = x + x * square * ((_S0 * square + _S1) * square + _S2)
    cosine = _ONE - _HALF * square + square * square * ((_C0 * square + _C1) * square + _C2)
    even, odd = (sine, cosine) if quarter & 1 else (cosine, sine)
    return (-radius if (quarter + 1) & 2 else radius) * even, (
        -radius if quarter & 2 else radius
    ) * odd


@jit
def add_normal(current, variance, key, first=0):
    """Add normal deviates of the given variance to `current` in place.

    current, variance : (b, n) float32; key : (b,) uint64, one per row; first : index of the first
        column, even.
    """
    n = current.shape[1]
    for b in range(current.shape[0]):
        values = current[b]
        squares = variance[b]
        own = key[b]
        for pair in range(n // 2):
            j = 2 * pair
            even, odd = normal_pair(own, np.uint64(first + j))
            values[j] += even * np.sqrt(squares[j])
            values[j + 1] += odd * np.sqrt(squares[j + 1])
        if n % 2:
            even, odd = normal_pair(own, np.uint64(first + n - 1))
            values[n - 1] += even * math.sqrt(squares[n - 1])


@jit
def row_keys(seed, names):
    """(b,) uint64 keys of the rows of `names` (b, k) int64, each row a tuple such as (matrix,
    sentence, position).
    """
    out = np.empty(names.shape[0], np.uint64)
    for b in range(names.shape[0]):
        key = np.uint64(seed)
        for k in range(names.shape[1]):
            key = mix(key, np.uint64(names[b, k]))
        out[b] = key
    return out
