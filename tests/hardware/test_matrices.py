"""What a weight matrix on tiles says of itself."""

from dataclasses import replace

import numpy as np
from array_cases import WIRES, build, study
from reference import dense_transfer

from xbarsim.devices.presets import load_device
from xbarsim.devices.streams import Streams
from xbarsim.hardware.matrices import InSituMatrix
from xbarsim.models.graph import Kind, Role, Step


def test_what_a_matrix_tells_the_trace():
    """Clipped weights, cells at a bound and the attenuation of tiles, each counted or solved anew."""
    chosen = study(
        device={"name": "rram-wan2022"},
        wires=WIRES,
        mapping={"word_lines": 16, "bit_lines": 12, "clip": "quantile", "clip_quantile": 0.9},
    )
    weight, x, array = build(chosen)
    step = Step("layer.0.query", Kind.MATRIX, Role.QUERY, 0, 37, 21, 1, 0, ())
    matrix = InSituMatrix(step, chosen, array)
    attributes = matrix.description().attributes()
    data = matrix.tile_data()
    limit = np.quantile(abs(weight.astype(float)), 0.9, axis=1)
    clipped = (abs(weight) > limit[:, None]).sum()
    assert attributes["clipped_weights"] == clipped == 21 * 4
    # Cells whose error took them below 0 S pass nothing: they are 0 in the transfer matrix of a tile without wires.
    dry = build(
        study(
            device={"name": "rram-wan2022"},
            mapping=chosen.mapping.model_dump(),
            effects={"wires": False},
        )
    )[2]
    target = load_device("rram-wan2022").in_study(chosen).program
    tiles = [
        array.programmed.layout.to_tiles(
            array.programmed.encoded.target[0][:, array.programmed.layout.rows(block)], 1e-6
        )
        for block in range(3)
    ]
    at_zero = sum(
        (target(part, Streams(chosen.seed, 0, 4 * block)).conductance == 0).sum()
        for block, part in enumerate(tiles)
    )
    assert (
        attributes["bounded_cells"]
        == at_zero
        == InSituMatrix(step, chosen, dry).description().bounded_cells
        > 100
    )
    assert attributes["bounded_cells"] != attributes["clipped_weights"]
    assert attributes["tiles"] == 12 and attributes["cells"] == 12 * 16 * 12
    assert attributes["stuck_on"] == attributes["stuck_off"] == attributes["unverified_cells"] == 0
    g = target(tiles[0], Streams(chosen.seed, 0, 0)).conductance
    solved = [dense_transfer(one, np.full((16, 12), 40.0), np.full((16, 12), 40.0)) for one in g]
    expected = [transfer.sum() / one.sum() for transfer, one in zip(solved, g, strict=True)]
    np.testing.assert_allclose(data["attenuation_mean"][:4], expected, rtol=1e-6)
    assert (data["attenuation_std"] < 0.1).all() and (data["attenuation_mean"] > 0.8).all()


def test_what_compensation_tells_the_trace():
    """Its error against the weights that the tiles are found to hold, after a gain of their own."""
    device = {"name": "rram-wan2022"}
    mapping = {"word_lines": 16, "bit_lines": 12, "compensation": "measured"}
    chosen = study(device=device, wires=WIRES, mapping=mapping, adc={"bits": "ideal"})
    _, _, array = build(chosen)
    step = Step("layer.0.query", Kind.MATRIX, Role.QUERY, 0, 37, 21, 1, 0, ())
    found = InSituMatrix(step, chosen, array).description()
    intended = array.programmed.intended_weight
    achieved = array.programmed.achieved_weight
    left = 0.0
    for one, other in zip(intended, achieved, strict=True):
        gain, *_ = np.linalg.lstsq(other[:, None], one)
        left += ((gain * other - one) ** 2).sum()
    assert found.compensation == "measured"
    np.testing.assert_allclose(found.weight_error, np.sqrt(left / (intended**2).sum()), rtol=1e-6)
    assert found.rewritten_cells == array.programmed.counts.rewritten > 100
    assert 0.5 < found.compensation_scale <= 1
    highest = load_device("rram-wan2022").conductance_max
    assert found.held_cells == (array.programmed.encoded.target == highest).sum() > 0
    shared = InSituMatrix(replace(step, shares="layer.0.key"), chosen, array).description()
    assert shared.rewritten_cells is shared.held_cells is None
    _, _, plain = build(study(device=device, wires=WIRES, mapping={"word_lines": 16}))
    attributes = InSituMatrix(step, chosen, plain).description().attributes()
    assert "compensation" not in attributes and "weight_error" not in attributes
