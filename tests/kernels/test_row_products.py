"""Products of rows: right, and the same bits wherever a row stands, for every size of block."""

import numpy as np
import pytest

from xbarsim.kernels.arrays import row_products
from xbarsim.kernels.arrays.row_products import (
    BLOCKS,
    block_of_rows,
    first_rows,
    like_first_rows,
    multiply_rows,
)


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


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(128, 128), (100, 37), (128, 512), (8, 1)])
def test_few_rows_have_the_bits_of_the_first_of_many(shape, transposed):
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal(shape, np.float32)
    if transposed:
        matrix = np.asfortranarray(matrix)
    x = rng.standard_normal((252, shape[0]), np.float32)
    product = x @ matrix
    for t in (1, 2, 11, 13, 60, 65, 200, 252):
        found = first_rows(x[:t], matrix, 252)
        np.testing.assert_array_equal(found, product[:t])


def test_numbers_of_rows_that_come_out_otherwise_are_not_used(monkeypatch):
    """Found by comparison: a product of 4 to 20 rows is made another here."""

    class Other(np.ndarray):
        def __matmul__(self, matrix):
            result = np.asarray(self) @ matrix
            return result + np.float32(len(self) < 24)

    standard_normal = np.random.Generator.standard_normal

    class Generator:
        def __init__(self, rng):
            self.rng = rng

        def standard_normal(self, shape, kind):
            return standard_normal(self.rng, shape, kind).view(Other)

    default = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Generator(default(seed)))
    like_first_rows.cache_clear()
    counts = like_first_rows(6, 5, 100, True)
    like_first_rows.cache_clear()
    assert counts[-1] == 100 and min(counts) >= 24
