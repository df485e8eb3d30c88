"""Small blocks of cells beside dense elimination of their nodes."""

import numpy as np
import pytest

from xbarsim.kernels.circuit.lanes import LANES, add_products
from xbarsim.kernels.circuit.plans import plan_of
from xbarsim.kernels.circuit.small_blocks import AT_ONCE, Place, Tile, small_blocks


def dense(g, r_word, r_bit):
    """(ports, ports) conductances between left, right, top and bottom of a block of cells: the Schur
    complement of its nodes' Laplacian.
    """
    side = len(g)
    number = {("left", i): i for i in range(side)}
    number |= {("word", i, side - 1): side + i for i in range(side)}
    number |= {("bit", 0, j): 2 * side + j for j in range(side)}
    number |= {("bottom", j): 3 * side + j for j in range(side)}
    laplacian = np.zeros((2 * side * side + 2 * side,) * 2)

    def connect(a, b, conductance):
        p = number.setdefault(a, len(number))
        q = number.setdefault(b, len(number))
        laplacian[p, p] += conductance
        laplacian[q, q] += conductance
        laplacian[p, q] -= conductance
        laplacian[q, p] -= conductance

    for i in range(side):
        for j in range(side):
            before = ("word", i, j - 1) if j else ("left", i)
            below = ("bit", i + 1, j) if i + 1 < side else ("bottom", j)
            connect(before, ("word", i, j), 1 / r_word[i, j])
            connect(("word", i, j), ("bit", i, j), g[i, j])
            connect(("bit", i, j), below, 1 / r_bit[i, j])
    ports = 4 * side
    inner = laplacian[ports:, ports:]
    across = laplacian[:ports, ports:]
    return across @ np.linalg.solve(inner, across.T) - laplacian[:ports, :ports]


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-11), (np.float32, 1e-5)])
@pytest.mark.parametrize(("side", "rows", "columns"), [(8, 1, 1), (8, 5, 7), (16, 3, 1)])
def test_blocks_side_by_side_are_those_of_dense_elimination(side, rows, columns, dtype, rtol):
    """More than the lanes of one group, fewer than a vector, beginning anywhere in the tile."""
    rng = np.random.default_rng(side)
    shape = (side * rows + 3, side * columns + 5)
    g, r_word, r_bit = rng.uniform(0.1, 2.0, (3, *shape)).astype(dtype)
    plan = plan_of(side)
    work = np.full(AT_ONCE * plan.count, 7, dtype)  # what lies there does not matter
    room = -(-rows * columns // LANES) * LANES
    found = np.zeros((room, (4 * side) ** 2), dtype)
    place = Place(row=3, column=5, height=side * rows, width=side * columns)
    small_blocks(Tile(g, r_word, r_bit), place, plan, work, found)
    lower = np.tril_indices(4 * side, -1)
    for k in range(rows * columns):
        first = 3 + k // columns * side
        left = 5 + k % columns * side
        own = slice(first, first + side), slice(left, left + side)
        expected = dense(*(array[own].astype(float) for array in (g, r_word, r_bit)))
        block = found[k].reshape(4 * side, 4 * side)
        np.testing.assert_allclose(block[lower], expected[lower], rtol=rtol, atol=0)


def test_a_plan_uses_places_again_and_none_for_two_conductances():
    plan = plan_of(8)
    assert len(np.unique(plan.cells)) == plan.cells.size
    assert plan.start[-1] == len(plan.spokes)
    ports = 4 * 8
    corner = plan.cells[1, 0, 7]  # between the first port at the right and the last at the top
    assert corner == 23 * 22 // 2 + 8
    assert plan.spokes.min() >= ports * (ports - 1) // 2  # ports stay
    assert plan.count < 1000  # 6,163 pairs gain something


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_added_lane_by_lane(dtype):
    rng = np.random.default_rng(1)
    work = rng.standard_normal((6, 2 * LANES)).astype(dtype)
    share = rng.standard_normal(2 * LANES).astype(dtype)
    expected = work.copy()
    expected[4] += share * work[0]
    expected[2] += share * work[1]
    places = np.array([4, 2], np.int16), np.array([0, 1], np.int16)
    add_products(work, *places, share)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(work, expected, rtol=0, atol=tolerance * 10)
