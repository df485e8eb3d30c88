"""What a sweep is said to take."""

import pytest

from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.config.study import validate
from xbarsim.studies import sweep_plan

CIRCUIT_S = {"double": 3e-3, "single": 2e-3}


@pytest.mark.parametrize(("precision", "factor"), [("double", 1.8), ("single", 2.2)])
def test_a_tile_takes_what_was_measured_over_its_circuit_in_the_same_precision(
    precision, factor, monkeypatch
):
    """The factors are those of the table in docs/cost.md."""
    timed = []

    def time_tile(layout, wires):
        timed.append((layout.word_lines, layout.bit_lines, wires.precision))
        return CIRCUIT_S[wires.precision]

    monkeypatch.setattr(sweep_plan, "_time_tile", time_tile)
    meter = sweep_plan._Meter()
    wires = {"precision": precision, "word_line_resistance_ohm": 2.0}
    study = validate({"wires": wires}, "test")
    layout = layout_of(300, 200, study.mapping)
    for _ in range(2):
        seconds = meter.tile_seconds(layout, study)
        assert seconds == pytest.approx(factor * CIRCUIT_S[precision])
    assert timed == [(layout.word_lines, layout.bit_lines, precision)]


def test_a_tile_without_wires_has_no_circuit():
    study = validate(
        {"wires": {"word_line_resistance_ohm": 0.0, "bit_line_resistance_ohm": 0.0}}, "test"
    )
    layout = layout_of(300, 200, study.mapping)
    assert sweep_plan._Meter().tile_seconds(layout, study) == 0
