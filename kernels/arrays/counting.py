"""The computation crossbar: cells behind switches, conversions that count the conducting ones.

A conversion drives r word lines and reads one bit line; a cell conducts where its word line is
driven and its switch closed.  Both operands are bit fields of at most 8 bits: a conversion takes
one bit of the word-line operand and one of the switch operand, and the product is the weighted sum
of the conversions over all bit pairs and groups of r lines.

Sums over bit pairs without bit pairs
-------------------------------------
Let f(S) be any function of the set S of conducting lines of a group (the mean result of its
conversion, its variance, ...) with f({}) = 0, and F(S) = Σ_{U ⊆ S} (-1)^{|S| - |U|} f(U) its Möbius
transform, so f(S) = Σ_{U ⊆ S} F(U).  A set U conducts in the bit pair (p, q) if bit p of all its
word-line fields and bit q of all its switch fields is set, so

    Σ_pq w_p w_q f(S_pq) = Σ_U F(U) value(AND_{i in U} a_i) value(AND_{i in U} b_i),     value(x) = Σ_p w_p bit_p(x):

a matrix product over the subsets of every group.  It is exact for any conversion characteristic;
for a conversion that counts without error only subsets of one line remain, and the product is that
of the numbers themselves.
"""

import math

import numpy as np

from xbarsim.kernels._jit import jit
from xbarsim.kernels.devices.random import mix


@jit
def count_products(
    driven,
    driven_weight,
    transfer,
    switch_weight,
    rows,
    half_swing,
    top,
    keys,
    first,
    out,
    saturated,
):
    """Every conversion of one plane of switches, added to `out`.

    Parameters
    ----------
    driven : (b, p, m) uint8, bit p of word line i of input b;  driven_weight : (p,) float64
    transfer : (n, m) float64, current of a bit line per driven word line, in LSB of the converter,
        0 behind open switches
    switch_weight : float, weight of this plane
    rows : int, word lines driven at once;  lines 0 ... rows - 1 are the first group
    half_swing : float, telegraph noise: every conducting cell is at 1 ± half_swing, drawn anew at
        every conversion
    top : int, highest code;  -1: the current itself is the result
    keys : (b,) uint64 of the random numbers;  first : int, number of the first conversion
    out : (b, n) float64, in place;  saturated : (b,) int64, in place: conversions whose current
        lies beyond `top` + 1/2
    """
    b, planes, m = driven.shape
    n = transfer.shape[0]
    groups = (m + rows - 1) // rows
    active = np.empty(rows, np.int64)
    for t in range(b):
        for p in range(planes):
            for g in range(groups):
                count = 0
                for i in range(g * rows, min(m, (g + 1) * rows)):
                    if driven[t, p, i]:
                        active[count] = i
                        count += 1
                if count == 0:
                    continue
                weight = driven_weight[p] * switch_weight
                for j in range(n):
                    current = 0.0
                    bits = np.uint64(0)
                    for k in range(count):
                        one = transfer[j, active[k]]
                        if half_swing > 0:
                            if k % 64 == 0:
                                number = (((first + p) * groups + g) * n + j) * (
                                    (rows + 63) // 64
                                ) + k // 64
                                bits = mix(keys[t], np.uint64(number))
                            one *= 1 + half_swing if bits & np.uint64(1) else 1 - half_swing
                            bits >>= np.uint64(1)
                        current += one
                    if top >= 0:
                        code = math.floor(current + 0.5)
                        if code > top:
                            code = top
                            saturated[t] += 1
                        current = max(code, 0)
                    out[t, j] += weight * current


@jit
def conversion_moments(current, sigma, half_swing, top):
    """Mean and variance of a conversion's result for every set of conducting lines, and how often
    it saturates.

    current, sigma : (c, r) float64, what each line adds to the current when it conducts, LSB: mean
        and standard deviation (normal, independent) beside telegraph noise of relative
        `half_swing`, see `count_products`
    top : int, highest code;  -1: no converter

    Returns
    -------
    (3, c, 2^r) : mean, variance, probability of saturation; the set is the bits of the last index
    """
    cells, r = current.shape
    result = np.zeros((3, cells, 1 << r))
    for c in range(cells):
        for s in range(1, 1 << r):
            mean = second = beyond = deviation = 0.0
            members = 0
            for i in range(r):
                if s >> i & 1:
                    members += 1
                    deviation += sigma[c, i] ** 2
            deviation = math.sqrt(deviation)
            states = 1 << members if half_swing > 0 else 1
            for state in range(states):
                total = 0.0
                member = 0
                for i in range(r):
                    if s >> i & 1:
                        swing = half_swing if state >> member & 1 else -half_swing
                        total += current[c, i] * (1 + swing)
                        member += 1
                if top < 0:
                    mean += total
                    second += total * total + deviation * deviation
                    continue
                for code in range(1, top + 2):
                    margin = total - (code - 0.5)
                    if deviation > 0:
                        reached = 0.5 * math.erfc(-margin / (deviation * math.sqrt(2.0)))
                    else:
                        reached = 1.0 if margin >= 0 else 0.0
                    if code > top:
                        beyond += reached
                    else:
                        mean += reached
                        second += (2 * code - 1) * reached
            mean = mean / states
            second = second / states
            result[0, c, s] = mean
            result[1, c, s] = max(second - mean * mean, 0.0)
            result[2, c, s] = beyond / states
    return result


@jit
def moebius(values):
    """Möbius transform over the subsets of the last axis, in place; values (c, 2^r)."""
    size = values.shape[1]
    step = 1
    while step < size:
        for c in range(values.shape[0]):
            for s in range(size):
                if s & step:
                    values[c, s] -= values[c, s ^ step]
        step <<= 1


@jit
def conjunctions(fields, signs, subsets, of_fields):
    """of_fields[AND of the fields of a subset] of every group of lines, summed over channels with
    their signs.

    fields : (channels, b, r, g) uint8;  subsets : (s,) int64, bits are lines
    signs : (k, channels) float32, of_fields : (k, 256) float32 values of bit fields, of k
        quantities

    Returns
    -------
    (k, b, s, g) float32
    """
    channels, b, r, groups = fields.shape
    out = np.empty((len(of_fields), b, subsets.size, groups), np.float32)
    first_line = np.zeros(1 << r, np.int64)
    needed = np.zeros(1 << r, np.bool_)
    for s in range(1, 1 << r):
        while not s >> first_line[s] & 1:
            first_line[s] += 1
    for s in subsets:
        while s and not needed[s]:  # a set is its first line and a smaller set
            needed[s] = True
            s &= s - 1
    wanted = np.flatnonzero(needed)
    together = np.full((1 << r, groups), 255, np.uint8)
    for channel in range(channels):
        for t in range(b):
            for s in wanted:
                own = together[s]
                smaller = together[s & (s - 1)]
                field = fields[channel, t, first_line[s]]
                for g in range(groups):  # whole rows: vector instructions
                    own[g] = smaller[g] & field[g]
            for q in range(len(of_fields)):
                sign = signs[q, channel]
                of_field = of_fields[q]
                for k in range(subsets.size):
                    own = together[subsets[k]]
                    result = out[q, t, k]
                    if channel == 0:
                        for g in range(groups):
                            result[g] = sign * of_field[own[g]]
                    else:
                        for g in range(groups):
                            result[g] += sign * of_field[own[g]]
    return out


@jit
def scale(values, coefficients, crossbar, bit, group):
    """Multiply values (z, n, s, g) in place by coefficients (crossbars, bit lines, s, groups of a
    tile) of the place that crossbar (z, n, g), bit (n,) and group (g,) name."""
    _, lines, sets, groups = coefficients.shape
    flat = coefficients.reshape(-1)
    place = np.empty(group.size, np.int64)
    for z in range(values.shape[0]):
        for j in range(values.shape[1]):
            for g in range(group.size):
                place[g] = (crossbar[z, j, g] * lines + bit[j]) * sets * groups + group[g]
            for k in range(sets):
                one = values[z, j, k]
                for g in range(group.size):
                    one[g] *= flat[place[g] + k * groups]


@jit
def add_noise(output, variance, keys, quantiles):
    """Add random numbers of the given variance to `output` in place, four from every 64 random
    bits.

    output, variance : (b, n) float32;  keys : (b,) uint64
    quantiles : (2^16,) float32, equally likely values of mean 0 and variance 1 (normal ones, up to
        4.3)
    """
    b, n = output.shape
    for t in range(b):
        for j in range(0, n, 4):
            bits = mix(keys[t], np.uint64(j))
            for k in range(j, min(j + 4, n)):
                output[t, k] += (
                    math.sqrt(max(variance[t, k], np.float32(0)))
                    * quantiles[bits & np.uint64(0xFFFF)]
                )
                bits >>= np.uint64(16)
