"""Read noise behind wires by the adjoint, against derivatives of the stamped circuit."""

import numpy as np
import pytest
from array_cases import ALL_WIRES, IDEAL, NOISY, build, names, program_row_block, study
from reference import dense_transfer

from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.line_noise import TileNoise, sections, tile_noise
from xbarsim.devices.presets import load_device


def segments(m, n):
    """Resistances of ALL_WIRES."""
    r_word = np.full((m, n), 40.0)
    r_bit = np.full((m, n), 25.0)
    r_word[:, 0] += 100.0
    r_bit[-1] += 60.0
    return r_word, r_bit


def stamped_variance(g, sigma, r_word, r_bit, volts):
    """(b, n) A²: every cell moved up and down by itself in the stamped circuit."""
    total = np.zeros((len(volts), g.shape[1]))
    for place in np.ndindex(g.shape):
        step = 1e-4 * g[place]
        moved = []
        for sign in (1, -1):
            other = g.copy()
            other[place] += sign * step
            moved.append(dense_transfer(other, r_word, r_bit))
        slope = (moved[0] - moved[1]) / (2 * step)
        total += (sigma[place] * volts @ slope.T) ** 2
    return total


def modelled(noise: TileNoise, transfer, volts):
    """(b, n) A² by the equation, term by term."""
    square = volts**2 @ noise.square.T
    current = [volts[:, part] @ transfer[:, part].T for part in sections(volts.shape[1])]
    for k, own in enumerate(noise.own):
        square -= 2 * current[k] * (volts @ noise.cross[k].T)
        for other, coefficient in enumerate(own):
            square += coefficient * current[k] * current[other]
    return square


@pytest.mark.parametrize("kind", ["relative", "equal"])
def test_variance_is_that_of_the_stamped_circuit(kind):
    """A fifth of the current is lost; equal noise of very different cells is what sneaks mislead."""
    rng = np.random.default_rng(3)
    m, n = 12, 9
    g = np.where(rng.random((m, n)) < 0.3, 40e-6, 1e-6) * rng.uniform(0.8, 1, (m, n))
    sigma = 0.03 * g if kind == "relative" else np.full((m, n), 0.1e-6)
    r_word, r_bit = segments(m, n)
    transfer = dense_transfer(g, r_word, r_bit)
    volts = np.vstack([np.ones(m), np.arange(m) < 6, rng.choice([-1.0, 1.0], (4, m)), np.eye(m)[5]])
    exact = np.sqrt(stamped_variance(g, sigma, r_word, r_bit, volts))
    noise = tile_noise(g, sigma, transfer, (r_word, r_bit), rows=m)
    found = np.sqrt(modelled(noise, transfer, volts))
    np.testing.assert_allclose(found[:2], exact[:2], rtol=1e-3)  # the profiles are of these
    np.testing.assert_allclose(found, exact, rtol=0.01)
    as_signal = np.sqrt((sigma.T * transfer / g.T) ** 2 @ volts.T**2).T
    assert abs(as_signal / exact - 1).max() > 0.04
    assert 0 < noise.error < 0.01


def test_error_is_that_of_quarters_of_the_word_lines():
    rng = np.random.default_rng(4)
    m, n = 16, 6
    g = rng.uniform(1e-6, 40e-6, (m, n))
    r_word, r_bit = segments(m, n)
    transfer = dense_transfer(g, r_word, r_bit)
    noise = tile_noise(g, 0.02 * g, transfer, (r_word, r_bit), rows=m)
    volts = np.repeat(np.eye(4), 4, axis=1)
    exact = np.sqrt(stamped_variance(g, 0.02 * g, r_word, r_bit, volts))
    found = np.sqrt(modelled(noise, transfer, volts))
    assert noise.error == pytest.approx(abs(found / exact - 1).max(), rel=0.05)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_word_lines_that_are_not_driven_are_at_zero_volts(rows):
    rng = np.random.default_rng(5)
    g = rng.uniform(1e-6, 40e-6, (6, 4))
    r_word, r_bit = segments(6, 4)
    transfer = dense_transfer(g, r_word, r_bit)
    noise = tile_noise(g, 0.02 * g, transfer, (r_word, r_bit), rows)
    volts = np.zeros((2, 6))
    volts[:, :rows] = rng.uniform(0.5, 1, (2, rows))
    exact = np.sqrt(stamped_variance(g, 0.02 * g, r_word, r_bit, volts))
    driven = TileNoise(
        noise.square[:, :rows], noise.cross[:, :, :rows], noise.own, noise.passed, noise.error
    )
    found = np.sqrt(modelled(driven, transfer[:, :rows], volts[:, :rows]))
    np.testing.assert_allclose(found, exact, rtol=2e-3)


def test_lines_without_resistance_and_open_cells():
    rng = np.random.default_rng(6)
    g = rng.uniform(1e-6, 40e-6, (5, 4))
    g[2] = 0.0
    nothing = np.zeros((5, 4))
    noise = tile_noise(g, 0.1 * g, g.T.copy(), (nothing, nothing), rows=5)
    np.testing.assert_allclose(noise.square, (0.1 * g.T) ** 2, rtol=1e-12)
    np.testing.assert_allclose(noise.cross, 0, atol=1e-30)
    assert noise.error < 1e-6
    silent = tile_noise(nothing, nothing, nothing.T.copy(), segments(5, 4), rows=5)
    assert silent.error == 0 and not silent.square.any()


@pytest.fixture
def noisy(tmp_path):
    (tmp_path / "noisy.toml").write_text(NOISY)
    return str(tmp_path / "noisy.toml")


@pytest.mark.parametrize("placement", ["twin", "neighbour"])
@pytest.mark.parametrize("converters", [False, True])
@pytest.mark.parametrize("encoding", ["amplitude", "slices"])
def test_products_have_the_noise_of_their_cells(noisy, placement, converters, encoding):
    """Standard deviation of repeated products against the stamped tiles of both cells of a weight."""
    chosen = study(
        device={"name": noisy},
        wires=ALL_WIRES,
        adc={"bits": 16},
        dac={"bits": 12},
        effects=IDEAL | {"wires": True, "read_noise": True, "converters": converters},
        mapping={
            "word_lines": 8,
            "bit_lines": 8,
            "placement": placement,
            "encoding": encoding,
            "weight_bits": 5,
            "gain": "none",
        },
        read_noise={"wires": "adjoint"},
    )
    _, x, array = build(chosen, inputs=11, outputs=5)
    x = abs(x)
    reads = 3000
    output = array.multiply(np.repeat(x[:1], reads, axis=0), names(reads), 1).output
    programmed = array.programmed
    held, _ = array.coder.hold(array.scale.scaled(x[:1]).values)
    expected = np.zeros(5)
    layout = programmed.layout
    for block in range(layout.row_blocks):
        rows = layout.rows(block)
        planes = programmed.encoded.target[:, :, rows].reshape(layout.planes, -1, 5)
        tiles = layout.to_tiles(planes, 1e-6)
        found = []
        for g in tiles:
            volts = np.zeros((1, 8))
            volts[0, : planes.shape[1]] = held[0, rows]
            found.append(stamped_variance(g, 0.05 * g, *segments(8, 8), volts))
        variance = layout.from_tiles(np.repeat(np.stack(found).transpose(0, 2, 1), 8, 2), 1)[..., 0]
        conversions = variance.reshape(len(programmed.value), -1, 5).sum(axis=1)
        expected += (programmed.value**2 * conversions).sum(axis=0)
    np.testing.assert_allclose(output.std(axis=0), np.sqrt(expected), rtol=0.05)
    assert programmed.noise_error.shape == (layout.tiles,)
    assert (programmed.noise_error < 0.02).all()


def test_a_row_block_has_the_noise_of_its_tiles(noisy):
    chosen = study(
        device={"name": noisy},
        wires=ALL_WIRES,
        effects=IDEAL | {"wires": True, "read_noise": True},
        read_noise={"wires": "adjoint"},
    )
    target = np.random.default_rng(1).uniform(1e-6, 40e-6, (2, 6, 3))
    layout = Layout(6, 3, 2, 8, 6, "twin")
    row = program_row_block(target, layout, load_device(noisy).in_study(chosen), chosen)
    for plane in range(2):
        g = np.full((8, 6), 1e-6)
        g[:6, :3] = target[plane]
        transfer = dense_transfer(g, *segments(8, 6))
        tile = tile_noise(g, 0.05 * g, transfer, segments(8, 6), rows=6)
        np.testing.assert_allclose(row.noise.square[plane], tile.square[:3, :6], rtol=1e-6)
        np.testing.assert_allclose(row.noise.cross[:, plane], tile.cross[:, :3, :6], rtol=1e-6)
        np.testing.assert_allclose(row.noise.own[:, :, plane], tile.own[:, :, :3], rtol=1e-6)
        assert row.noise.error[plane] == pytest.approx(tile.error, rel=1e-4)
