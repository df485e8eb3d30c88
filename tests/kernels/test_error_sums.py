"""Sums of errors in one pass: those of NumPy, term by term and to the bit."""

import numpy as np
import pytest

from xbarsim.kernels.studies.errors import error_sums


def rows_of(t, n, kind=np.float32):
    """Results over several decades, and a reference close to them."""
    rng = np.random.default_rng([t, n])
    reference = rng.standard_normal((t, n)) * 10.0 ** rng.integers(-3, 4, (t, n))
    output = reference + 0.1 * rng.standard_normal((t, n))
    return output.astype(kind), reference.astype(kind)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 127, 128, 129, 255, 256, 384, 1000, 1536, 4099])
@pytest.mark.parametrize("t", [1, 3, 40])
def test_sums_have_the_bits_of_numpys(t, n, kind):
    output, reference = rows_of(t, n, kind)
    difference = (output - reference).astype(np.float64)
    y = output.astype(np.float64)
    exact = reference.astype(np.float64)
    expected = [
        (difference**2).sum(axis=1),
        (exact**2).sum(axis=1),
        (y**2).sum(axis=1),
        (y * exact).sum(axis=1),
        np.abs(difference).max(axis=1),
    ]
    np.testing.assert_array_equal(error_sums(output, reference), expected)


def test_the_largest_error_is_found_wherever_it_stands():
    for place in (0, 5, 127, 128, 200, 299):
        output = np.zeros((2, 300), np.float32)
        output[1, place] = -3
        found = error_sums(output, np.zeros_like(output))
        np.testing.assert_array_equal(found[4], [0, 3])
        np.testing.assert_array_equal(found[0], [0, 9])
