"""Resistivity of lines that are not much wider than the free path of their electrons.

Surfaces (Fuchs and Sondheimer).  An electron that started t free paths ago has met the walls N times
and kept its momentum along the line with the probability p each time.  The conductivity is the mean
over all directions, weighted by cos² of the angle θ to the line, and over all starting points:

    σ / σ0 = (3 / 4π) ∫ dΩ cos²θ ∫_0^∞ e^-t <p^N(t)> dt

A path that is mirrored at the walls of a rectangle is a straight line in the plane of its mirror
images.  Both coordinates of the starting point are uniform and independent, and crossing a distance
u (in widths) meets floor(u) walls, and one more with the probability u - floor(u).  So <p^N> is the
product of two piecewise linear functions, one per pair of walls, and the integral over t is a sum of
closed pieces: nothing is expanded in the ratio of free path and width.

Grain boundaries (Mayadas and Shatzkes), D apart, each reflecting the share R of the electrons:

    α = λ R / (D (1 - R)),   σ / σ0 = 1 - 3α/2 + 3α² - 3α³ ln(1 + 1/α) = 3/4α - 3/5α² + 3/6α³ - ...

Both add to the bulk's resistivity (Matthiessen).  Sources: E. H. Sondheimer, Adv. Phys. 1, 1 (1952);
A. F. Mayadas and M. Shatzkes, Phys. Rev. B 1, 1382 (1970).
"""

import math

import numpy as np

from xbarsim.kernels._jit import jit

LONGEST = 37.0  # free paths; e^-37 is below the rounding of 1
SHORTEST = 1e-12  # of the share that remembers its momentum, where a path is given up
ANGLES = 48  # nodes of each angle; an error of about 1e-6
LARGE_ALPHA = 30.0  # above it the closed form cancels, and the series is exact
SERIES_TERMS = 12


@jit
def _share(u, p):
    """<p^N> after crossing u widths between two parallel walls, and its slope by u."""
    walls = math.floor(u)
    before = p**walls
    slope = before * (p - 1.0)
    return before + slope * (u - walls), slope


@jit
def _remembered(a, b, p):
    """∫ e^-t <p^N(t)> dt of a path that crosses a widths and b heights per free path."""
    total = 0.0
    t = 0.0
    next_a = 1
    next_b = 1
    while t < LONGEST:
        end = LONGEST
        if a > 0.0:
            end = min(end, next_a / a)
        if b > 0.0:
            end = min(end, next_b / b)
        middle = 0.5 * (t + end)  # inside the piece, away from its ends
        share_a, slope_a = _share(a * middle, p)
        share_b, slope_b = _share(b * middle, p)
        # shares at the start of the piece, slopes by t
        slope_a *= a
        slope_b *= b
        share_a += slope_a * (t - middle)
        share_b += slope_b * (t - middle)
        if share_a * share_b < SHORTEST:
            break
        total += math.exp(-t) * _piece(share_a, slope_a, share_b, slope_b, end - t)
        if a > 0.0 and next_a / a <= end:
            next_a += 1
        if b > 0.0 and next_b / b <= end:
            next_b += 1
        t = end
    return total


@jit
def _piece(share_a, slope_a, share_b, slope_b, length):
    """∫_0^length e^-s (share_a + slope_a s) (share_b + slope_b s) ds."""
    constant = share_a * share_b
    linear = share_a * slope_b + slope_a * share_b
    square = slope_a * slope_b
    zeroth, first, second = _moments(length)
    return constant * zeroth + linear * first + square * second


@jit
def _moments(length):
    """∫_0^length s^k e^-s ds for k = 0, 1, 2; a series where the closed forms cancel."""
    if length > 0.1:
        rest = math.exp(-length)
        zeroth = 1.0 - rest
        first = zeroth - length * rest
        second = 2.0 * first - length * length * rest
        return zeroth, first, second
    zeroth = 0.0
    first = 0.0
    second = 0.0
    term = length  # (-1)^j length^(j + 1) / j!
    for j in range(12):
        zeroth += term / (j + 1)
        first += term * length / (j + 2)
        second += term * length * length / (j + 3)
        term *= -length / (j + 1)
    return zeroth, first, second


@jit
def _mean_over_directions(width, height, specularity, nodes, weights):
    """σ / σ0; width and height in free paths, nodes and weights of (0, 1)."""
    quarter = 0.5 * math.pi
    corner = math.atan2(height, width)  # of the direction that runs into a corner
    total = 0.0
    for i in range(len(nodes)):
        theta = quarter * nodes[i]
        across = math.sin(theta)
        along = math.cos(theta)
        for part in range(2):
            start = part * corner
            span = corner if part == 0 else quarter - corner
            for j in range(len(nodes)):
                phi = start + span * nodes[j]
                a = across * math.cos(phi) / width
                b = across * math.sin(phi) / height
                solid_angle = quarter * weights[i] * span * weights[j] * across
                total += solid_angle * along * along * _remembered(a, b, specularity)
    return 6.0 / math.pi * total


def surface_factor(width, height, free_path, specularity):
    """Resistivity of a line by the scattering at its four walls, over that of the bulk.

    width, height, free_path : of one unit, positive
    specularity : share of the electrons that a wall mirrors, 0 ... 1
    """
    if specularity == 1.0:
        return 1.0
    nodes, weights = np.polynomial.legendre.leggauss(ANGLES)
    nodes = 0.5 * (nodes + 1.0)
    weights = 0.5 * weights
    share = _mean_over_directions(
        width / free_path, height / free_path, specularity, nodes, weights
    )
    return 1.0 / share


def grain_factor(grain_size, free_path, reflection):
    """Resistivity by the scattering at grain boundaries, over that of the bulk.

    grain_size, free_path : of one unit, positive
    reflection : share of the electrons that a boundary sends back, 0 ... below 1
    """
    if reflection == 0.0:
        return 1.0
    alpha = free_path / grain_size * reflection / (1.0 - reflection)
    if alpha > LARGE_ALPHA:
        series = 0.0
        for k in range(1, SERIES_TERMS):
            series -= 3.0 / ((k + 3) * (-alpha) ** k)
        return 1.0 / series
    share = 1.0 - 1.5 * alpha + 3.0 * alpha**2 - 3.0 * alpha**3 * math.log1p(1.0 / alpha)
    return 1.0 / share
