"""What a tile passes on, against solutions of its circuit."""

import numpy as np
import pytest
from array_cases import ALL_WIRES, NOISY, program_row_block
from reference import dense_transfer

from xbarsim import Crossbar
from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.tile_wires import solve_wires
from xbarsim.arrays.in_situ.tiles import attenuation, attenuation_map
from xbarsim.arrays.settings import InSituSettings
from xbarsim.circuit.wires import wire_segments
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device


def test_attenuation_is_the_share_of_the_current_that_arrives():
    """One tile of cells that mostly hardly conduct, one of equal cells, one that is empty, one without wires."""
    rng = np.random.default_rng(0)
    uneven = np.where(rng.random((30, 20)) < 0.1, 100e-6, 1e-6)
    conductance = np.stack([uneven, np.full((30, 20), 50e-6), np.zeros((30, 20)), uneven])
    tiles = [
        Crossbar(g, ohm, ohm) for g, ohm in zip(conductance, (5.0, 5.0, 5.0, 0.0), strict=True)
    ]
    transfer = np.stack([xb.transfer_matrix() for xb in tiles])
    _, mean, std = attenuation(transfer, conductance.transpose(0, 2, 1))
    arrived = [xb.solve(np.ones(30)).output_current.sum() for xb in tiles]
    np.testing.assert_allclose(
        mean[[0, 1, 3]],
        [i / g.sum() for i, g in zip(arrived, conductance, strict=True) if g.any()],
        rtol=1e-9,
    )
    assert (mean[:2] < 1).all() and mean[2] == 1 and std[2] == 0
    # cells that conduct nothing do not count, however many there are
    share = transfer[0] / conductance[0].T
    weight = conductance[0].T / conductance[0].sum()
    np.testing.assert_allclose(
        std[0], (weight * (share - (weight * share).sum()) ** 2).sum() ** 0.5, rtol=1e-12
    )
    np.testing.assert_allclose(std[3], 0, atol=1e-12)


def segments(m, n, below=0):
    """Resistances of ALL_WIRES, entry by entry."""
    r_word, r_bit = np.full((m, n), 40.0), np.full((m, n), 25.0)
    for i in range(m):
        r_word[i, 0] = 140.0
    for j in range(n):
        r_bit[m - 1, j] = 85.0 + 25.0 * below
    return r_word, r_bit


@pytest.mark.parametrize("placement", ["twin", "neighbour"])
def test_read_noise_reaches_the_bit_lines_attenuated_as_the_signal(tmp_path, placement):
    """Noise of 5 % of each conductance: what arrives is 5 % of the transfer matrix of the stamped circuit, cell by cell."""
    (tmp_path / "noisy.toml").write_text(NOISY)
    device = load_device(str(tmp_path / "noisy.toml"))
    study = validate({"wires": ALL_WIRES, "effects": {"programming": False}}, "test")
    layout = Layout(6, 3, 2, 8, 6, placement)
    target = np.random.default_rng(1).uniform(1e-6, 40e-6, (2, 6, 3))
    row = program_row_block(target, layout, device, study)
    power, tiles = np.zeros((8, 8)), []
    for tile in range(layout.tiles):
        g = np.full((8, 6), 1e-6)
        for j in range(3):
            if placement == "twin":
                g[:6, j] = target[tile, :, j]
            else:
                g[:6, 2 * j], g[:6, 2 * j + 1] = target[0, :, j], target[1, :, j]
        transfer = dense_transfer(g, *segments(8, 6))
        tiles.append(transfer)
        power += Crossbar(g, 40.0, 25.0, 100.0, 60.0).power_matrix()
        assert row.attenuation_mean[tile] == pytest.approx(transfer.sum() / g.sum(), rel=1e-9)
        spread = np.average((transfer / g.T - transfer.sum() / g.sum()) ** 2, weights=g.T) ** 0.5
        assert row.attenuation_std[tile] == pytest.approx(spread, rel=1e-9)
        assert row.attenuation_std[tile] < 0.3 * row.attenuation_mean[tile]
    for plane in range(2):
        for j in range(3):
            arrived = tiles[plane][j] if placement == "twin" else tiles[0][2 * j + plane]
            np.testing.assert_allclose(row.transfer[plane, j], arrived[:6], rtol=1e-9)
            np.testing.assert_allclose(row.variance[plane, j], (0.05 * arrived[:6]) ** 2, rtol=1e-9)
    np.testing.assert_allclose(row.power, power[:6, :6], rtol=1e-9)


@pytest.mark.parametrize(("word_lines", "bit_lines"), [(8, 3), (70, 33), (140, 20)])
def test_the_map_of_the_worst_tile_is_the_current_of_blocks_of_cells(word_lines, bit_lines):
    """Of 4 x 4 cells or more; the circuit is solved for one driven word line at a time."""
    g = np.random.default_rng(3).uniform(1e-6, 1e-4, (word_lines, bit_lines))
    g[:4] = 0.0
    arrived = np.array(
        [Crossbar(g, 40.0, 25.0).solve(volts).output_current for volts in np.eye(word_lines)]
    )
    found = attenuation_map(arrived.T, g.T)
    rows = {8: 2, 70: 17, 140: 32}[word_lines]
    columns = {3: 1, 33: 8, 20: 5}[bit_lines]
    assert found.shape == (rows, columns) and found.dtype == np.float32
    for i in range(rows):
        for k in range(columns):
            where = (
                slice(i * word_lines // rows, (i + 1) * word_lines // rows),
                slice(k * bit_lines // columns, (k + 1) * bit_lines // columns),
            )
            whole = g[where].sum()
            expected = arrived[where].sum() / whole if whole else 1.0
            assert found[i, k] == pytest.approx(expected, rel=1e-6)


def test_tiles_without_wires_pass_conductances_and_draw_their_sums():
    g = np.random.default_rng(2).uniform(1e-6, 40e-6, (3, 5, 4))
    study = validate({"effects": {"wires": False}, "wires": ALL_WIRES}, "test")
    transfer, power = solve_wires(g, InSituSettings.of(study).solved_wires)
    np.testing.assert_array_equal(transfer, g.transpose(0, 2, 1))
    np.testing.assert_allclose(power, np.diag(g.sum(axis=(0, 2))), rtol=1e-15)


@pytest.mark.parametrize(
    "only",
    [
        "word_line_resistance_ohm",
        "bit_line_resistance_ohm",
        "source_resistance_ohm",
        "sense_resistance_ohm",
        None,
    ],
)
def test_any_resistance_makes_wires(only):
    ohm = dict.fromkeys(ALL_WIRES, 0.0) | ({only: 5.0} if only else {})
    settings = InSituSettings.of(validate({"wires": ohm}, "test"))
    assert (settings.solved_wires is not None) == (only is not None)
    off = validate({"wires": ohm, "effects": {"wires": False}}, "test")
    assert InSituSettings.of(off).solved_wires is None


@pytest.mark.parametrize("below", [0, 3])
def test_segments_hold_every_resistance_once(below):
    found = wire_segments(validate({"wires": ALL_WIRES}, "test").wires, 4, 3, below=below)
    for one, other in zip(found, segments(4, 3, below), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("unused", ["low", "open"])
def test_unused_cells_are_low_or_open(unused):
    study = validate(
        {"effects": {"wires": False, "programming": False}, "mapping": {"unused": unused}}, "test"
    )
    row = program_row_block(
        np.full((1, 2, 2), 30e-6), Layout(2, 2, 1, 4, 3, "twin"), load_device("ideal"), study
    )
    idle = 1e-6 if unused == "low" else 0.0
    np.testing.assert_allclose(np.diag(row.power), [60e-6 + idle] * 2, rtol=1e-12)
    assert row.variance is None and row.transfer.shape == (1, 2, 2)
