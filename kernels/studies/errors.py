"""Sums over the results of a row that its errors are made of, in one pass.

They are added up as `np.sum` adds up a contiguous row: in pairs of halves down to blocks of at most
128 terms, and in a block by 8 partial sums.  Each has the bits of that sum.
"""

import functools

import numpy as np

from xbarsim.kernels._jit import jit

_BLOCK = 128
_LANES = 8
_DEPTH = 64  # halves of halves of any row that there can be


def error_sums(output, reference):
    """Sums over the n results of every row, and its largest error.

    output, reference : (t, n), of the same type

    Returns
    -------
    (5, t) float64: sums of (output - reference)², reference², output² and output reference, and the
    largest |output - reference|.  Differences are rounded to the type of the arrays.
    """
    stops, pairs = _blocks(output.shape[1])
    return _sums_of_rows(output, reference, stops, pairs)


@functools.lru_cache(maxsize=256)
def _blocks(n):
    """Where the blocks of a row of n terms end, and how many pairs of sums each completes."""
    if n <= _BLOCK:
        return np.array([n]), np.array([0])
    half = n // 2
    half -= half % _LANES
    left_stops, left_pairs = _blocks(half)
    right_stops, right_pairs = _blocks(n - half)
    stops = np.concatenate([left_stops, half + right_stops])
    pairs = np.concatenate([left_pairs, right_pairs])
    pairs[-1] += 1
    return stops, pairs


@jit
def _sums_of_rows(output, reference, stops, pairs):
    """`error_sums`;  stops, pairs : of `_blocks`."""
    rows = output.shape[0]
    found = np.empty((5, rows))
    terms = np.empty((4, _BLOCK))
    lanes = np.empty(_LANES)
    largest = np.empty(_BLOCK)
    open_sums = np.empty((_DEPTH, 4))
    for t in range(rows):
        largest[:] = 0.0
        start = 0
        count = 0
        for block in range(stops.size):
            y = output[t, start : stops[block]]
            exact = reference[t, start : stops[block]]
            for i in range(y.size):
                a = np.float64(y[i])
                b = np.float64(exact[i])
                difference = np.float64(y[i] - exact[i])
                terms[0, i] = difference * difference
                terms[1, i] = b * b
                terms[2, i] = a * a
                terms[3, i] = a * b
                largest[i] = max(largest[i], abs(difference))
            for number in range(4):
                open_sums[count, number] = _sum(terms[number], y.size, lanes)
            count += 1
            for _ in range(pairs[block]):
                count -= 1
                for number in range(4):
                    open_sums[count - 1, number] += open_sums[count, number]
            start = stops[block]
        for number in range(4):
            found[number, t] = open_sums[0, number]
        found[4, t] = _largest(largest)
    return found


@jit
def _sum(terms, n, lanes):
    """Sum of the first n of 128 terms, by partial sums (8,), which are lost."""
    whole = n - n % _LANES
    lanes[:] = 0.0
    for start in range(0, whole, _LANES):
        some = terms[start : start + _LANES]
        for lane in range(_LANES):
            lanes[lane] += some[lane]
    left = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
    right = (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    total = left + right
    for i in range(whole, n):
        total += terms[i]
    return total


@jit
def _largest(values):
    """The largest of values (128,), which are lost."""
    half = values.size // 2
    while half:
        for i in range(half):
            values[i] = max(values[i], values[half + i])
        half //= 2
    return values[0]
