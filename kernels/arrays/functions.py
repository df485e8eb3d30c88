"""Softmax, layer normalisation and GELU of an integer function unit: what a digital unit with small
tables computes.

Everything between the rounding of the inputs and the scaling of the results is int64 arithmetic on
fixed-point codes; a shift to the right rounds half up.  Nonlinear functions of one code are
*pieces*: the code's upper bits choose a row of a table, its lower `width` bits run along it, and a
polynomial is evaluated there by Horner's rule; degree 0 is a table without interpolation.
Reciprocals start from such a piece and are improved by Newton steps.

Names: q code of an input, R fractional bits of a reciprocal, table (segments, degree + 1) int64.
Each function returns how often a code left its range, per row.
"""

import numpy as np

from xbarsim.kernels._jit import jit


@jit(inline="always")
def rounded(x, shift):
    """x / 2**shift, rounded half up; 0 <= shift <= 62."""
    return (x + ((np.int64(1) << shift) >> 1)) >> shift


@jit(inline="always")
def piece(table, width, code):
    """Value at a code >= 0, in units of the table's entries."""
    segment = code >> width
    offset = code & ((np.int64(1) << width) - 1)
    value = table[segment, table.shape[1] - 1]
    for k in range(table.shape[1] - 2, -1, -1):
        value = table[segment, k] + rounded(value * offset, width)
    return value


@jit(inline="always")
def bit_length(x):
    """Bits of x > 0."""
    n = np.int64(0)
    while x >> n:
        n += 1
    return n


@jit
def reciprocal(s, table, width, bits, steps):
    """(y, n) with 1 / s = y 2**-(R + n) for an integer s > 0; `table` holds 2**R / (1 + code /
    2**R).

    Newton: y <- y (2 - m y) for the mantissa m in [1, 2).  bits : R, at most 30.
    """
    n = bit_length(s) - 1
    m = s << (bits - n) if n <= bits else s >> (n - bits)
    y = piece(table, width, m - (np.int64(1) << bits))
    for _ in range(steps):
        y = rounded(y * ((np.int64(2) << bits) - rounded(m * y, bits)), bits)
    return y, n


@jit
def reciprocal_root(s, table, width, bits, steps):
    """(y, n), n even, with 1 / sqrt(s) = y 2**-(R + n / 2); `table` holds 2**R / sqrt(1 + code /
    2**R).

    Newton: y <- y (3 - m y²) / 2 for the mantissa m in [1, 4).  bits : R, at most 30.
    """
    n = (bit_length(s) - 1) & ~np.int64(1)
    m = s << (bits - n) if n <= bits else s >> (n - bits)
    y = piece(table, width, m - (np.int64(1) << bits))
    for _ in range(steps):
        y = rounded(y * ((np.int64(3) << bits) - rounded(m * rounded(y * y, bits), bits)), bits + 1)
    return y, n


@jit(inline="always")
def code_of(x, inverse_lsb, highest):
    """(code, 1 if it was held at +-highest else 0)."""
    q = np.floor(np.float64(x) * inverse_lsb + 0.5)  # still a float: infinity has no integer
    if abs(q) <= highest:
        return np.int64(q), 0
    return (highest if q > 0 else -highest), 1


@jit
def softmax(
    x,
    mask,
    inverse_lsb,
    highest,
    fraction_bits,
    table,
    width,
    accumulator,
    seed,
    seed_width,
    bits,
    steps,
    largest,
    out,
):
    """Softmax of the rows of x.

    The LSB of a score is ln 2 / 2**fraction_bits, so exp(-d LSB) of a distance d from the row's
    maximum is the power 2**-(fraction of d) of the table, shifted right by the whole part of d.

    x : (r, k) float32;  mask : (r, k) bool, True where x counts, at least once per row
    table, width : 2**-fraction in units of its first entry;  accumulator : largest sum
    seed, seed_width, bits, steps : see `reciprocal`;  largest : code of the probability 1
    out : (r, k) float32 in place, codes of the probabilities
    Returns (r,) int64 saturations of scores, sums and probabilities.
    """
    rows, k = x.shape
    saturated = np.zeros(rows, np.int64)
    q = np.empty(k, np.int64)
    e = np.empty(k, np.int64)
    fraction = (np.int64(1) << fraction_bits) - 1
    for i in range(rows):
        top = -highest
        count = 0
        for j in range(k):
            if mask[i, j]:
                q[j], held = code_of(x[i, j], inverse_lsb, highest)
                count += held
                top = max(top, q[j])
        total = np.int64(0)
        for j in range(k):
            e[j] = 0
            if mask[i, j]:
                d = top - q[j]
                e[j] = rounded(piece(table, width, d & fraction), min(d >> fraction_bits, 62))
                total += e[j]
        count += total > accumulator
        y, n = reciprocal(min(total, accumulator), seed, seed_width, bits, steps)
        for j in range(k):
            p = rounded(e[j] * largest * y, bits + n)
            count += p > largest
            out[i, j] = min(p, largest)
        saturated[i] = count
    return saturated


@jit
def layer_norm(
    x,
    inverse_lsb,
    highest,
    epsilon,
    gamma,
    beta,
    seed,
    seed_width,
    bits,
    steps,
    shift,
    largest,
    out,
):
    """Layer normalisation of the rows of x: c = h q - sum(q) and V = h sum(q²) - sum(q)² are exact
    integers, and (x - mean) / sqrt(variance + epsilon) = c / sqrt(V + epsilon).

    x : (t, h) float32;  epsilon : int64, h² epsilon / LSB²
    gamma : (h,) int64 scale;  beta : (h,) int64 bias, in units of 2**-R of gamma's
    seed, seed_width, bits, steps : see `reciprocal_root`
    shift : from the product with gamma to the output's LSB;  largest : code of the output
    out : (t, h) float32 in place, codes of the outputs
    Returns (t,) int64 saturations of inputs and outputs.
    """
    rows, h = x.shape
    saturated = np.zeros(rows, np.int64)
    q = np.empty(h, np.int64)
    for i in range(rows):
        total = np.int64(0)
        squares = np.int64(0)
        count = 0
        for j in range(h):
            q[j], held = code_of(x[i, j], inverse_lsb, highest)
            count += held
            total += q[j]
            squares += q[j] * q[j]
        spread = h * squares - total * total + epsilon
        y, n = reciprocal_root(max(spread, np.int64(1)), seed, seed_width, bits, steps)
        for j in range(h):
            z = rounded((h * q[j] - total) * y, n >> 1)
            code = rounded(z * gamma[j] + beta[j], shift)
            count += abs(code) > largest
            out[i, j] = min(max(code, -largest), largest)
        saturated[i] = count
    return saturated


@jit
def gelu(x, inverse_lsb, highest, table, width, covered, guard, shift, largest, out):
    """max(x, 0) + r(|x|) with the even remainder r of a table: GELU(-x) = GELU(x) - x.

    x : (t, n) float32;  table, width : r in units of LSB / 2**guard, for codes below `covered`; 0
        beyond
    shift : from these units to the output's LSB;  largest : code of the output
    out : (t, n) float32 in place, codes of the outputs
    Returns (t,) int64 saturations of inputs and outputs.
    """
    rows, n = x.shape
    saturated = np.zeros(rows, np.int64)
    for i in range(rows):
        count = 0
        for j in range(n):
            q, held = code_of(x[i, j], inverse_lsb, highest)
            value = max(q, np.int64(0)) << guard
            if abs(q) < covered:
                value += piece(table, width, abs(q))
            code = rounded(value, shift)
            count += held + (abs(code) > largest)
            out[i, j] = min(max(code, -largest), largest)
        saturated[i] = count
    return saturated
