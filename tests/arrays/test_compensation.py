"""Weights that arrive through wires, against circuits stamped node by node."""

import numpy as np
import pytest
from compensation_cases import (
    ENCODINGS,
    SLICES,
    STUDY,
    WINDOW,
    programmed,
    relative_error,
    student,
)
from reference import dense_transfer

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.circuit.wires import wire_segments
from xbarsim.config.study import merge, validate

NOISY = (
    WINDOW + 'programming = { sigma = [{ polynomial_us = [2.0] }], scale_us = 1, source = "t" }\n'
)


def arrived(matrix):
    """Weights (outputs, inputs) of a matrix's targets in circuits that are stamped here."""
    layout = matrix.layout
    mapping = matrix.settings.mapping
    unused = 1e-6 if mapping.unused == "low" else 0.0
    total = np.zeros((layout.outputs, layout.inputs))
    target = matrix.encoded.target
    for block in range(layout.row_blocks):
        rows = layout.rows(block)
        planes = target[:, :, rows].reshape(layout.planes, -1, layout.outputs)
        tiles = layout.to_tiles(planes, unused)
        r_word, r_bit = wire_segments(matrix.settings.wires, *tiles.shape[1:])
        solved = np.stack([dense_transfer(tile, r_word, r_bit) for tile in tiles])
        of_planes = layout.from_tiles(solved, planes.shape[1])
        value = matrix.encoded.value.reshape(layout.planes, -1)
        total[:, rows] = np.einsum("po,poi->oi", value, of_planes)
    return total + matrix.encoded.offset[:, None]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_weights_arrive_through_the_wires(tmp_path, encoding):
    """Two row blocks, several column blocks, padded lines, resistance at both ends; the weights
    arrive as they are, without any gain."""
    weight = student(21, 37)
    mapping = ENCODINGS[encoding]
    plain = programmed(tmp_path, weight, mapping=mapping | {"compensation": "none"})
    matrix = programmed(tmp_path, weight, mapping=mapping | {"compensation_solves": 6})
    np.testing.assert_allclose(matrix.intended_weight, plain.intended_weight, atol=1e-12)
    assert relative_error(arrived(plain), plain.intended_weight) > 0.03
    assert relative_error(arrived(matrix), matrix.intended_weight) < 1e-4
    np.testing.assert_allclose(matrix.achieved_weight, arrived(matrix), atol=2e-5)


def test_compensated_cells_stay_in_the_window_and_balance_with_the_smaller_pair(tmp_path):
    matrix = programmed(tmp_path, student(16, 24))
    target = matrix.encoded.target
    assert target.min() >= 1e-6 and target.max() <= 40e-6
    assert (target.min(axis=1) == 1e-6).all()


def gain_error(matrix, wanted):
    """After the best gain per output."""
    found = matrix.achieved_weight
    gain = (found * wanted).sum(axis=1) / (found**2).sum(axis=1)
    return relative_error(gain[:, None] * found, wanted)


@pytest.mark.parametrize(
    ("side", "ohm", "two", "four"),
    [(128, 1.0, 4.5e-5, 4e-5), (128, 5.0, 2e-3, 1.15e-3), (128, 10.0, 9e-3, 6e-3)],
)
def test_error_after_two_and_four_solves(tmp_path, side, ohm, two, four):
    """At most half of what multiplying targets by what is missing reaches from a start without
    wires, at .7 of the window."""
    weight = student(side, side)
    errors = []
    for solves in (2, 4):
        matrix = programmed(
            tmp_path,
            weight,
            mapping={"word_lines": side, "bit_lines": side, "compensation_solves": solves},
            wires={
                "word_line_resistance_ohm": ohm,
                "bit_line_resistance_ohm": ohm,
                "source_resistance_ohm": 0.0,
                "sense_resistance_ohm": 0.0,
            },
        )
        errors.append(gain_error(matrix, weight))
    assert errors[0] < two
    assert errors[1] < four


def test_every_solve_brings_weights_nearer_where_wires_take_most_of_the_window(tmp_path):
    """A whole line lacks current: the more of it is asked for, the less arrives."""
    side = 128
    weight = student(side, side)
    errors = []
    for solves in (1, 2, 3, 5):
        matrix = programmed(
            tmp_path,
            weight,
            mapping={"word_lines": side, "bit_lines": side, "compensation_solves": solves},
            wires={
                "word_line_resistance_ohm": 30.0,
                "bit_line_resistance_ohm": 30.0,
                "source_resistance_ohm": 0.0,
                "sense_resistance_ohm": 0.0,
            },
        )
        errors.append(gain_error(matrix, weight))
    assert (np.diff(errors) < 0).all()
    assert errors[1] < 2e-2
    assert errors[3] < 2e-3


def test_headroom_shrinks_where_programming_errs(tmp_path):
    """A programming error counts for more at a smaller scale: some weights are clipped instead."""
    weight = student(16, 24)
    effects = {"programming": True}
    exact = programmed(tmp_path, weight)
    noisy = programmed(tmp_path, weight, NOISY, effects=effects)
    scale = exact.encoded.clip / exact.encoded.value[0, 0]
    with_error = noisy.encoded.clip / noisy.encoded.value[0, 0]
    assert (with_error > 1.02 * scale).mean() > 0.5
    assert (with_error >= scale).all()


def test_without_wires_nothing_changes(tmp_path):
    weight = student(16, 24)
    off = {"wires": False}
    plain = programmed(tmp_path, weight, mapping={"compensation": "none"}, effects=off)
    matrix = programmed(tmp_path, weight, effects=off)
    np.testing.assert_array_equal(matrix.encoded.target, plain.encoded.target)
    np.testing.assert_array_equal(matrix.encoded.value, plain.encoded.value)


def test_outputs_without_weights_stay_zero(tmp_path):
    weight = student(16, 24)
    weight[3] = 0.0
    matrix = programmed(tmp_path, weight)
    assert np.isfinite(matrix.achieved_weight).all()
    np.testing.assert_allclose(matrix.achieved_weight[3], 0, atol=1e-3)


def test_a_window_without_room_is_refused(tmp_path):
    narrow = WINDOW.replace("minimum_us = 1.0", "minimum_us = 38.0")
    with pytest.raises(OutOfRangeError, match="no room in the window"):
        programmed(
            tmp_path,
            student(128, 128),
            narrow,
            mapping={"word_lines": 128, "bit_lines": 128},
            wires={"word_line_resistance_ohm": 30.0, "bit_line_resistance_ohm": 30.0},
        )


def test_levels_and_unit_currents_are_refused(tmp_path):
    levels = WINDOW.replace("source", "levels_us = [1.0, 20.0, 40.0], source", 2)
    levels = levels.replace("0.2, levels_us = [1.0, 20.0, 40.0], source", "0.2, source")
    with pytest.raises(ConfigError, match="has 3 levels"):
        programmed(tmp_path, student(16, 24), levels, effects={"levels": True})
    tables = {"mapping": SLICES, "dac": {"encoding": "bit_serial"}, "adc": {"range": "unit"}}
    with pytest.raises(ConfigError, match="mapping.compensation"):
        validate(merge(STUDY, tables), "test")
