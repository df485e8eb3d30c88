"""What is left of the error of a write that others may follow.

A write that may be followed by others need not be the last: of a Gaussian error of variance s², a
share c_k is left on average where k writes are still to come and one is made only while the square
of the error is above c_(k-1) s²:

    c_0 = 1,   c_k = E[min(z², c_(k-1))],   z normal.
"""

import functools

import numpy as np
from scipy.special import erf

from xbarsim.config.arrays import Mapping


@functools.cache
def share_left(writes: int) -> float:
    """Share of the variance of an error that is left on average after so many more writes."""
    share = 1.0
    for _ in range(writes):
        root = np.sqrt(share / 2)
        inside = erf(root)
        below = inside - 2 * root * np.exp(-share / 2) / np.sqrt(np.pi)
        share = float(below + share * (1 - inside))
    return share


def expected_share(mapping: Mapping) -> float:
    """Share of the variance of a write that is expected to be left in the cells of a mapping."""
    if mapping.compensation != "measured":
        return 1.0
    return share_left(mapping.compensation_rounds)
