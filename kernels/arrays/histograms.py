"""Histograms of many values."""

from xbarsim.kernels._jit import jit


@jit
def count_in_bins(values, edges, counts):
    """Count values between edges, exactly by comparison with them.

    values : (k,) float64
    edges : (n + 1,) float64, rising and evenly spaced; bin i holds edges[i] <= value < edges[i + 1],
        the last bin its upper edge too
    counts : (n + 2,) int64, in place: below the first edge, every bin, above the last edge
    """
    bins = edges.size - 1
    low = edges[0]
    high = edges[bins]
    inverse = bins / (high - low)
    for k in range(values.size):
        value = values[k]
        if not value >= low:
            counts[0] += 1
        elif value > high:
            counts[bins + 1] += 1
        else:
            place = min(int((value - low) * inverse), bins - 1)
            while value < edges[place]:
                place -= 1
            while place < bins - 1 and value >= edges[place + 1]:
                place += 1
            counts[place + 1] += 1
