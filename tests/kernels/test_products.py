"""Products and copies in vector registers: right for every shape, the same bits however they are cut."""

import numpy as np
import pytest

from xbarsim.kernels.circuit.products import accumulate, copy_squares, copy_turned_squares

PRECISIONS = [np.float64, np.float32]
SHAPES = [(1, 1, 1), (3, 5, 7), (4, 8, 16), (5, 19, 33), (24, 47, 8), (64, 130, 64), (7, 0, 3)]


def within_larger(rng, rows, columns, dtype):
    """An array whose rows lie apart, at a place that no vector begins at."""
    whole = rng.uniform(0.5, 1, (rows + 2, columns + 5)).astype(dtype)
    return whole[1 : 1 + rows, 3 : 3 + columns]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_products_add_to_their_result_and_nothing_else(m, n, k, dtype):
    rng = np.random.default_rng([m, n, k])
    a = within_larger(rng, k, m, dtype)
    b = within_larger(rng, k, n, dtype)
    c = within_larger(rng, m, n, dtype)
    around = c.base.copy()
    expected = c.astype(np.longdouble) + a.T.astype(np.longdouble) @ b.astype(np.longdouble)
    accumulate(c, a, b)
    np.testing.assert_allclose(c, expected, rtol=k * np.finfo(dtype).eps, atol=0)
    around[1 : 1 + m, 3 : 3 + n] = c
    np.testing.assert_array_equal(c.base, around)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_product_has_the_same_bits_however_it_is_cut(dtype):
    rng = np.random.default_rng(1)
    a = within_larger(rng, 21, 30, dtype)
    b = within_larger(rng, 21, 75, dtype)
    whole = np.zeros((30, 75), dtype)
    accumulate(whole, a, b)
    for rows in (slice(0, 8), slice(3, 30), slice(29, 30)):
        for columns in (slice(0, 75), slice(5, 12), slice(16, 64), slice(74, 75)):
            part = np.zeros_like(whole[rows, columns])
            accumulate(part, a[:, rows], b[:, columns])
            np.testing.assert_array_equal(part, whole[rows, columns])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (16, 40), (0, 8)])
def test_copies_are_copies(rows, columns, dtype):
    rng = np.random.default_rng(2)
    source = within_larger(rng, rows, columns, dtype)
    same = within_larger(rng, rows, columns, dtype)
    turned = within_larger(rng, columns, rows, dtype)
    copy_squares(same, source)
    copy_turned_squares(turned, source)
    np.testing.assert_array_equal(same, source)
    np.testing.assert_array_equal(turned, source.T)
