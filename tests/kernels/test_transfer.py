"""The exact transfer matrix against dense nodal analysis, closed forms and conservation laws."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from reference import dense_solve, dense_transfer

from xbarsim import Crossbar
from xbarsim.kernels.circuit.transfer import transfer_matrix

SHAPES = [
    (1, 1),
    (1, 9),
    (9, 1),
    (5, 7),
    (16, 16),
    (17, 33),
    (33, 17),
    (20, 40),
    (34, 34),
    (150, 5),
    (5, 150),
    (70, 15),
]


def network(m, n, seed, open_share=0.1):
    """Random conductances and random resistances of every segment."""
    rng = np.random.default_rng([m, n, seed])
    g = 10 ** rng.uniform(-6, -3, (m, n))
    g[rng.random((m, n)) < open_share] = 0
    return g, 10 ** rng.uniform(-1, 2, (m, n)), 10 ** rng.uniform(-1, 2, (m, n))


@pytest.mark.parametrize(("m", "n"), SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_dense_nodal_analysis_agrees(m, n, seed):
    g, r_word, r_bit = network(m, n, seed)
    exact = dense_transfer(g, r_word, r_bit)
    transfer, _ = transfer_matrix(g, r_word, r_bit)
    # dense elimination of 2 m n nodes itself loses two or three digits here
    np.testing.assert_allclose(transfer, exact, rtol=0, atol=1e-11 * np.abs(exact).max())


@pytest.mark.parametrize(("m", "n"), [(70, 131), (200, 66), (129, 129)])
def test_merges_in_both_directions_agree_with_conjugate_gradients(m, n):
    """Beyond what dense elimination can hold: three columns of the transfer matrix, and power, by
    another solver.
    """
    g, r_word, r_bit = network(m, n, 8)
    transfer, power = transfer_matrix(g, r_word, r_bit)
    driven = [0, m // 2, m - 1]
    solution = Crossbar(g, r_word, r_bit).solve(np.eye(m)[driven])
    scale = np.abs(transfer).max()
    np.testing.assert_allclose(
        transfer[:, driven], solution.output_current.T, rtol=0, atol=1e-11 * scale
    )
    np.testing.assert_allclose(
        power[driven], solution.input_current, rtol=0, atol=1e-11 * np.abs(power).max()
    )


@pytest.mark.parametrize(
    "options",
    [
        {"drive": "both"},
        {"sense": "both"},
        {"drive": "right", "sense": "top"},
        {"drive": "both", "sense": "both"},
        {"drive": "both", "floating_word_lines": [0, 69], "floating_bit_lines": [64]},
        {"sense": "both", "transposed": True},
        {"drive": "right", "floating_word_lines": [3], "transposed": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_every_arrangement_agrees_with_conjugate_gradients(options):
    """Terminals at all edges of a tile of several segments, lines that are connected nowhere, one
    with open cells only.
    """
    g, r_word, r_bit = network(70, 131, 10)
    g[0] = 0
    end_word, end_bit = (np.random.default_rng(11).uniform(1, 50, n) for n in (70, 131))
    xb = Crossbar(g, np.column_stack([r_word, end_word]), np.vstack([end_bit, r_bit]), **options)
    inputs, outputs = (131, 70) if options.get("transposed") else (70, 131)
    driven = [0, 1, 64, inputs - 1]
    solution = xb.solve(np.eye(inputs)[driven])
    transfer, power = xb.transfer_matrix(), xb.power_matrix()
    assert transfer.shape == (outputs, inputs) and power.shape == (inputs, inputs)
    np.testing.assert_allclose(
        transfer[:, driven], solution.output_current.T, rtol=0, atol=1e-11 * transfer.max()
    )
    np.testing.assert_allclose(
        power[driven], solution.input_current, rtol=0, atol=1e-11 * np.abs(power).max()
    )
    np.testing.assert_allclose(power, power.T, rtol=1e-12)


@pytest.mark.parametrize("n", [65, 128])
def test_terminals_at_all_edges_of_a_square(n):
    """The widest rows that a join can have."""
    g, r_word, r_bit = network(n, n, 14)
    end = np.full(n, 3.0)
    transfer, power = transfer_matrix(g, r_word, r_bit, end, end)
    xb = Crossbar(
        g, np.column_stack([r_word, end]), np.vstack([end, r_bit]), drive="both", sense="both"
    )
    solution = xb.solve(np.eye(n)[[0, n - 1]])
    np.testing.assert_allclose(
        transfer[:, [0, n - 1]], solution.output_current.T, rtol=0, atol=1e-11 * transfer.max()
    )
    np.testing.assert_allclose(
        power[[0, n - 1]], solution.input_current, rtol=0, atol=1e-11 * power.max()
    )
    single = transfer_matrix(g.astype(np.float32), r_word, r_bit, end, end)
    assert single[0].dtype == single[1].dtype == np.float32
    np.testing.assert_allclose(single[0], transfer, rtol=1e-5)


def test_minus_zero_is_no_resistance_and_nan_stays_nan():
    g, r_word, r_bit = network(9, 7, 15, open_share=0)
    np.testing.assert_array_equal(
        transfer_matrix(g, -np.zeros_like(g), -np.zeros_like(g))[0],
        transfer_matrix(g, np.zeros_like(g), np.zeros_like(g))[0],
    )
    for array in (g, r_word, r_bit):
        for place in ((0, 0), (8, 6), (4, 3)):
            before, array[place] = array[place], np.nan
            transfer, _ = transfer_matrix(g, r_word, r_bit)
            assert np.isnan(transfer).all()
            array[place] = before


def test_numbers_without_a_normal_inverse_are_nothing():
    g, r_word, r_bit = network(8, 8, 16)
    g[0] = 0
    g[0, 0] = 1e-310
    transfer = Crossbar(g, r_word, r_bit, floating_word_lines=[0]).transfer_matrix()
    g[0, 0] = 0
    expected = Crossbar(g, r_word, r_bit, floating_word_lines=[0]).transfer_matrix()
    np.testing.assert_allclose(transfer, expected, rtol=1e-13)


def test_nodes_that_see_nothing_carry_nothing():
    """A floating word line with open cells only, in a tile of one small block."""
    g, r_word, r_bit = network(5, 6, 13)
    g[2] = 0
    transfer = Crossbar(g, r_word, r_bit, floating_word_lines=[2]).transfer_matrix()
    np.testing.assert_array_equal(transfer[:, 2], 0)
    others = [0, 1, 3, 4]
    expected = Crossbar(g, r_word, r_bit).transfer_matrix()[:, others]
    np.testing.assert_allclose(transfer[:, others], expected, rtol=1e-13)


def exact_transfer(g, r_word, r_bit):
    """The transfer matrix in rational arithmetic, by Gaussian elimination of the nodal equations."""
    (m, n), one = g.shape, Fraction(1)
    size = 2 * m * n
    matrix = [[Fraction(0)] * (size + m) for _ in range(size)]  # the last columns: minus the inputs

    def connect(a, b, conductance):
        for p, q in ((a, b), (b, a)):
            if p < size:
                matrix[p][p] += conductance
                if q is not None:
                    matrix[p][q] -= conductance

    for i in range(m):
        for j in range(n):
            word, bit = i * n + j, m * n + i * n + j
            connect(word, word - 1 if j else size + i, one / Fraction(r_word[i, j]))
            connect(word, bit, Fraction(g[i, j]))
            if i < m - 1:
                connect(bit, bit + n, one / Fraction(r_bit[i, j]))
            else:
                matrix[bit][bit] += one / Fraction(r_bit[i, j])
    for k in range(size):
        for p in range(k + 1, size):
            if matrix[p][k]:
                factor = matrix[p][k] / matrix[k][k]
                matrix[p] = [
                    a - factor * b if b else a for a, b in zip(matrix[p], matrix[k], strict=True)
                ]
    voltage = [None] * size
    for k in range(size - 1, -1, -1):
        voltage[k] = [
            (
                -matrix[k][size + i]
                - sum(matrix[k][q] * voltage[q][i] for q in range(k + 1, size) if matrix[k][q])
            )
            / matrix[k][k]
            for i in range(m)
        ]
    return np.array(
        [
            [float(voltage[size - n + j][i] / Fraction(r_bit[m - 1, j])) for i in range(m)]
            for j in range(n)
        ]
    )


def test_every_entry_is_exact_however_small():
    """Against rational arithmetic: wires from 1 nano-ohm to 1 megohm, cells from 1 pS to 1 S;
    nothing cancels.
    """
    rng = np.random.default_rng(12)
    g, r_word, r_bit = (
        10 ** rng.uniform(-12, 0, (3, 4)),
        10 ** rng.uniform(-9, 6, (3, 4)),
        10 ** rng.uniform(-9, 6, (3, 4)),
    )
    exact = exact_transfer(g, r_word, r_bit)
    assert exact.max() > 1e6 * exact.min() > 0
    np.testing.assert_allclose(transfer_matrix(g, r_word, r_bit)[0], exact, rtol=1e-14)
    # float32: the wires' conductances, up to 1e9 S, stay below what stands for no resistance
    np.testing.assert_allclose(
        transfer_matrix(g.astype(np.float32), r_word, r_bit)[0], exact, rtol=2e-6
    )


@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 7), (40, 37), (70, 3)])
def test_without_wires_the_transfer_matrix_is_the_conductances(m, n):
    g, _, _ = network(m, n, 2)
    zero = np.zeros((m, n))
    transfer, power = transfer_matrix(g, zero, zero)
    np.testing.assert_allclose(transfer, g.T, rtol=1e-13, atol=1e-18)
    np.testing.assert_allclose(power, np.diag(g.sum(axis=1)), rtol=1e-13, atol=1e-15 * g.max())


def test_one_cell_is_three_resistors_in_series():
    transfer, power = transfer_matrix(np.array([[1e-3]]), np.array([[7.0]]), np.array([[11.0]]))
    np.testing.assert_allclose([transfer[0, 0], power[0, 0]], 1 / 1018, rtol=1e-14)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-14), (np.float32, 1e-6)])
@pytest.mark.parametrize("ohm", [1.0, 1e-9])
def test_a_shorted_cell_leaves_the_wires(ohm, dtype, rtol):
    transfer, _ = transfer_matrix(
        np.array([[np.inf]], dtype), np.array([[7 * ohm]]), np.array([[11 * ohm]])
    )
    np.testing.assert_allclose(transfer[0, 0], 1 / (18 * ohm), rtol=rtol)


def test_shorts_and_ideal_wires_pass_every_level():
    """Shorted cells and lines without resistance in a tile that reaches the joins by matrix
    products.
    """
    g, r_word, r_bit = network(70, 50, 9)
    g[[3, 40, 69], [0, 49, 20]] = np.inf
    r_word[[5, 60]] = 0
    r_bit[:, [7, 33]] = 0
    transfer, _ = transfer_matrix(g, r_word, r_bit)
    driven = [0, 5, 40, 69]
    expected = Crossbar(g, r_word, r_bit).solve(np.eye(70)[driven]).output_current.T
    np.testing.assert_allclose(
        transfer[:, driven], expected, rtol=0, atol=1e-11 * np.abs(transfer).max()
    )


def test_a_uniform_word_line_is_the_ladder_of_continued_fractions():
    """One word line of 50 equal cells on ideal bit lines: input conductance by the ladder
    recursion.
    """
    g, r, n = 2e-4, 3.0, 50
    conductance = 0.0
    for _ in range(n):
        conductance = 1 / (r + 1 / (conductance + g))
    _, power = transfer_matrix(np.full((1, n), g), np.full((1, n), r), np.zeros((1, n)))
    np.testing.assert_allclose(power[0, 0], conductance, rtol=1e-13)


def test_reading_the_array_transposed_is_reciprocal():
    """Driving the bit lines and sensing the word lines of the mirrored array gives the transposed
    matrix.
    """
    g, r_word, r_bit = network(45, 38, 3)
    transfer, _ = transfer_matrix(g, r_word, r_bit)
    mirrored, _ = transfer_matrix(g.T[::-1, ::-1], r_bit.T[::-1, ::-1], r_word.T[::-1, ::-1])
    np.testing.assert_allclose(
        mirrored, transfer.T[::-1, ::-1], rtol=0, atol=1e-12 * transfer.max()
    )


@pytest.mark.parametrize(("m", "n"), [(6, 9), (33, 20)])
def test_power_is_what_cells_and_wires_dissipate(m, n):
    g, r_word, r_bit = network(m, n, 4)
    v = np.random.default_rng(5).uniform(-0.2, 0.2, m)
    w, u, current = dense_solve(g, r_word, r_bit, v)
    cells = (g * (w - u) ** 2).sum()
    left, below = np.column_stack([v, w[:, :-1]]), np.vstack([u[1:], np.zeros(n)])
    wires = ((left - w) ** 2 / r_word).sum() + ((u - below) ** 2 / r_bit).sum()
    transfer, power = transfer_matrix(g, r_word, r_bit)
    np.testing.assert_allclose(v @ power @ v, cells + wires, rtol=1e-10)
    np.testing.assert_allclose(transfer @ v, current, rtol=0, atol=1e-11 * np.abs(current).max())
    # what enters on the left leaves at the bottom
    np.testing.assert_allclose(
        (power @ v).sum(), current.sum(), rtol=0, atol=1e-10 * np.abs(current).max()
    )


@pytest.mark.parametrize("r", [1.0, 100.0])
def test_float32_is_good_to_the_fifth_digit(r):
    rng = np.random.default_rng(6)
    g = rng.uniform(1e-6, 1e-4, (150, 130))
    wires = np.full(g.shape, r)
    exact, _ = transfer_matrix(g, wires, wires)
    single, power = transfer_matrix(g.astype(np.float32), wires, wires)
    assert single.dtype == power.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=1e-5)  # of every entry, not of the largest
    np.testing.assert_allclose(power, transfer_matrix(g, wires, wires)[1], rtol=1e-5)


def test_results_are_not_touched_by_later_calls_or_other_threads():
    """Tiles of all sizes in both precisions, in four threads: the bits of one call after the other."""
    rng = np.random.default_rng(17)
    tiles = [
        network(m, n, 7) for m, n in ((8, 8), (40, 50), (64, 64), (65, 30), (130, 20), (9, 70))
    ] * 2
    tiles = [
        tuple(array.astype(dtype) for array in tile)
        for tile in tiles
        for dtype in (np.float64, np.float32)
    ]
    held = [transfer_matrix(*tile) for tile in tiles]
    copies = [tuple(array.copy() for array in result) for result in held]
    order = rng.permutation(len(tiles))
    with ThreadPoolExecutor(4) as pool:
        for k, result in zip(
            order, pool.map(lambda k: transfer_matrix(*tiles[k]), order), strict=True
        ):
            for array, before, copy in zip(result, held[k], copies[k], strict=True):
                np.testing.assert_array_equal(array, copy)
                np.testing.assert_array_equal(before, copy)
