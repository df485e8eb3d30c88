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


def multiply_rows(x, matrix):
    """x (t, k) float32 times matrix (n, k) float32, transposed -> (t, n), contiguous.

    A row's result depends on the row and on the matrix alone.
    """
    block = block_of_rows(*matrix.shape)
    if block == len(x) == WHOLE:
        return _whole(x, matrix)
    t, k = x.shape
    padded = np.zeros((-(-t // block) * block, k), np.float32)
    padded[:t] = x
    blocks = padded.reshape(-1, block, k)
    if block == WHOLE:
        return np.concatenate([_whole(rows, matrix) for rows in blocks])[:t]
    return _in_blocks(blocks, matrix)[:t]


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
