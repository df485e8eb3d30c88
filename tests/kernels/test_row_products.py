"""Products of rows: right, and the same bits wherever a row stands, for every size of block."""

import numpy as np
import pytest

from xbarsim.kernels.arrays import row_products
from xbarsim.kernels.arrays.row_products import BLOCKS, block_of_rows, multiply_rows


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("t", [1, 7, 252, 256, 300])
def test_products_are_right_with_every_block(monkeypatch, block, t):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((t, 37), np.float32)
    matrix = rng.standard_normal((21, 37), np.float32)
    monkeypatch.setattr(row_products, "block_of_rows", lambda n, k: block)
    result = multiply_rows(x, matrix)
    assert result.shape == (t, 21) and result.dtype == np.float32 and result.flags.c_contiguous
    np.testing.assert_allclose(result, x.astype(float) @ matrix.T.astype(float), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "shape", [(70, 150), (128, 128), (512, 128), (33, 100), (1, 5), (16, 1536)]
)
def test_a_row_is_the_same_bits_wherever_it_stands(shape):
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal(shape, np.float32)
    x = rng.standard_normal((256, shape[1]), np.float32)
    whole = multiply_rows(x, matrix)
    for chosen in (np.arange(1), np.arange(5, 252), rng.permutation(256)):
        np.testing.assert_array_equal(multiply_rows(x[chosen], matrix), whole[chosen])


def test_the_block_is_as_large_as_the_rows_come_out_alike(monkeypatch):
    """A product that rounds every second group of 16 rows otherwise needs blocks of 16."""

    def whole(x, matrix):
        result = x @ matrix.T
        result[16:32] = np.nextafter(result[16:32], np.float32(np.inf))
        return result

    monkeypatch.setattr(row_products, "_whole", whole)
    block_of_rows.cache_clear()
    assert block_of_rows(40, 30) in (16, 8, 1)
    block_of_rows.cache_clear()
