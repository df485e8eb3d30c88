"""Products of rows with a matrix whose bits do not depend on where in a batch a row stands.

A BLAS computes the rows of a product in groups, and some of its kernels (OpenBLAS for Haswell and
Zen) add up the terms of a row in another order in one group than in the next.  `block_of_rows`
finds, by multiplying equal rows, how many can be given to the BLAS at once so that all come out the
same.
"""

import functools

import numpy as np

WHOLE = 256  # rows that are multiplied at once where the BLAS treats them alike
BLOCKS = (WHOLE, 16, 8, 1)
FEWER = (*range(4, 65, 4), 96, 128, 192)  # rows that may do for less than a whole product


def multiply_rows(x, matrix):
    """x (t, k) float32 times matrix (n, k) float32, transposed -> (t, n), contiguous.

    A row's result depends on the row and on the matrix alone.
    """
    block = block_of_rows(*matrix.shape)
    t, k = x.shape
    if block == WHOLE:
        starts = range(0, t, WHOLE)
        parts = [first_rows(x[start : start + WHOLE], matrix.T, WHOLE) for start in starts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    if t % block:
        x = _filled_up(x, t + -t % block)
    return _in_blocks(x.reshape(-1, block, k), matrix)[:t]


def first_rows(x, matrix, whole):
    """x (t, k) float32 times matrix (k, n) float32 -> (t, n): the bits that rows have as the first of
    a product of `whole` rows, without all of these where the BLAS gives the same for fewer.
    """
    t, k = x.shape
    if t == whole:
        return x @ matrix
    transposed = not matrix.flags.c_contiguous
    for count in like_first_rows(k, matrix.shape[1], whole, transposed):
        if count >= t:
            break
    return (_filled_up(x, count) @ matrix)[:t]


@functools.lru_cache(maxsize=4096)
def like_first_rows(k, n, whole, transposed):
    """Numbers of rows, rising up to `whole`, whose products with a matrix (k, n) are the first rows
    of one of `whole` rows.
    """
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((n, k), np.float32).T
    if not transposed:
        matrix = np.ascontiguousarray(matrix)
    x = rng.standard_normal((whole, k), np.float32)
    product = x @ matrix
    alike = [
        count
        for count in FEWER
        if count < whole and np.array_equal(x[:count] @ matrix, product[:count])
    ]
    return (*alike, whole)


def _filled_up(x, count):
    """x (t, k) and rows of zeros, (count, k)."""
    filled = np.zeros((count, x.shape[1]), np.float32)
    filled[: len(x)] = x
    return filled


@functools.lru_cache(maxsize=4096)
def block_of_rows(n, k):
    """How many equal rows (., k) times a matrix (n, k) come out with equal bits, one of `BLOCKS`."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((n, k), np.float32)
    row = rng.standard_normal((1, k), np.float32)
    if _alike(_whole(np.repeat(row, WHOLE, axis=0), matrix)):
        return WHOLE
    for block in BLOCKS[1:-1]:
        rows = np.repeat(row, 2 * block, axis=0).reshape(2, block, k)
        if _alike(_in_blocks(rows, matrix)):
            return block
    return 1


def _whole(x, matrix):
    return x @ matrix.T


def _in_blocks(blocks, matrix):
    """blocks (g, b, k) -> (g b, n); the rows of a block are the second operand of the BLAS."""
    product = np.matmul(matrix, blocks.transpose(0, 2, 1))  # (g, n, b)
    return np.ascontiguousarray(product.transpose(0, 2, 1)).reshape(-1, len(matrix))


def _alike(rows):
    return bool((rows == rows[0]).all())
