"""Maps of defects, raised rows and dummy columns: what a trace, a report and a chip say of them."""

import dataclasses

import numpy as np
import pytest
import tomli_w
from chip_cases import edited
from tiny_images import PERCEPTRON, write_images
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError
from xbarsim.chips.load import load_chip
from xbarsim.chips.lowering_in_situ import linear_cost
from xbarsim.cli import app as cli
from xbarsim.config.study import load_study
from xbarsim.models.image_checkpoint import load_image_network, save_image_network
from xbarsim.report.array_text import defect_lines, self_correction_lines
from xbarsim.report.files import to_json
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

DEVICE = """
description = "stuck cells, and pulses of a stated energy"
read = { voltage_v = 0.2, source = "t" }
write = { pulse_energy_pj = 3.0, pulse_time_ns = 40.0, source = "t" }
stuck = { on_rate = 0.02, source = "t" }

[conductance]
minimum_us = 1.0
maximum_us = 40.0
valid_range_us = [0.0, 40.0]
source = "t"
"""
BESIDE = {"rows": "raised", "columns": "dummy"}
WEIGHTED = {"encoding": "slices", "weight_bits": 7, "bits_per_cell": 3, "crosspoint": "weighted"}
TWIN = {"encoding": "binary", "sign": "offset", "array": "twin"}
CASES = [
    {"name": "plain"},
    {"name": "mapped", "mapping": {"column_order": "assigned"}},
    {"name": "beside", "correction": BESIDE},
    {"name": "weighted", "mapping": WEIGHTED},
    {"name": "twin", "mapping": TWIN},
]
CELLS = 16 * 16
TILES = {"layer.0.dense": 2 * 5, "layer.1.dense": 2}  # 72 x 8 and 8 x 3, differential pairs


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    directory = tmp_path_factory.mktemp("beside")
    rng = np.random.default_rng(0)
    tensors = {
        "hidden.weight": rng.standard_normal((8, 72)).astype(np.float32),
        "last.weight": rng.standard_normal((3, 8)).astype(np.float32),
    }
    save_image_network(directory / "net", PERCEPTRON, tensors)
    write_images(directory / "images.npz", 30)
    (directory / "cells.toml").write_text(DEVICE)
    study = {
        "model": {"name": str(directory / "net")},
        "task": {"name": str(directory / "images.npz"), "calibration_examples": 6},
        "device": {"name": str(directory / "cells.toml")},
        "mapping": {"word_lines": 16, "bit_lines": 16},
        "wires": {"source_resistance_ohm": 500.0},
        "dac": {"polarity": "two_phase"},
        "case": CASES,
    }
    path = directory / "study.toml"
    path.write_text(tomli_w.dumps(study))
    assert load_image_network(directory / "net").config
    return read_trace(run_study(load_study(path), directory / "runs"))


def layers_of(trace, case):
    return trace.cases[case].chips[0].layers


def test_a_map_is_two_pulses_a_cell(trace):
    for name, tiles in TILES.items():
        found = layers_of(trace, "mapped")[name].attributes
        assert (found.mapped_cells, found.map_pulses) == (tiles * CELLS, 2 * tiles * CELLS)
        assert found.map_energy == pytest.approx(2 * tiles * CELLS * 3e-12)
        assert layers_of(trace, "plain")[name].attributes.mapped_cells is None


def test_dummy_columns_are_cells_conversions_and_multiplications(trace):
    for name, tiles in TILES.items():
        plain = layers_of(trace, "plain")[name]
        beside = layers_of(trace, "beside")[name]
        found = beside.attributes
        assert found.raised_drivers == found.dummy_cells == tiles * 16
        # two phases; the lines of a pair, on two tiles, share a conversion
        assert found.dummy_conversions == 2 * tiles / 2
        assert found.dummy_multiplications == plain.rows.adc_conversions[0]
        more = beside.rows.adc_conversions - plain.rows.adc_conversions
        assert (more == found.dummy_conversions).all()
        assert (beside.rows.multiplications == found.dummy_multiplications).all()
    # the dummies, of mean cells, draw their share from the drivers, and rows are raised
    first = [layers_of(trace, case)["layer.0.dense"].rows for case in ("plain", "beside")]
    assert (first[1].array_energy > 1.03 * first[0].array_energy).all()


def test_several_cells_at_a_crosspoint_are_counted(trace):
    for name, tiles in TILES.items():
        found = layers_of(trace, "weighted")[name].attributes
        assert found.tiles == 2 * tiles  # slices of 3 bits of 6
        assert found.cells == found.tiles * CELLS * 3
        assert found.write_pulses == found.cells


def test_two_lines_of_an_input_take_tiles_and_drives(trace):
    found = layers_of(trace, "twin")["layer.0.dense"]
    assert (found.attributes.inputs, found.attributes.outputs) == (72, 8)
    assert found.attributes.tiles == 9  # 144 lines
    assert (found.rows.dac_drives == 2 * 144).all()


def test_a_report_says_what_stands_beside_arrays(trace):
    cases = {case.name: case.layers for case in summarise(trace).cases}
    assert defect_lines(cases["mapped"]) == [
        "map    stuck cells are known of 3,072 cells, by 6,144 pulses and as many reads, 18.4 nJ"
    ]
    rows, dummies = self_correction_lines(cases["beside"])
    assert rows == "rows   192 word-line drivers are raised, by an amplifier each"
    assert dummies.startswith(
        "dummy  columns of 192 cells; a row of inputs of every matrix takes 12 more conversions, "
    )
    assert defect_lines(cases["plain"]) == self_correction_lines(cases["plain"]) == []
    last = dataclasses.replace(summarise(trace), cases=summarise(trace).cases[2:3])
    assert "\nrows   192 word-line" in render(last)
    cases = {case["name"]: case for case in to_json(summarise(trace))["cases"]}
    first = cases["beside"]["layers"][0]["self_correction"]
    assert first["conversions"] == 10
    assert first["joules"] > 0
    assert cases["mapped"]["layers"][0]["defect_map"]["cells"] == 10 * CELLS
    assert "self_correction" not in cases["plain"]["layers"][0]


def test_a_page_says_how_weights_lie(trace, tmp_path):
    page = tmp_path / "page.html"
    ended = CliRunner().invoke(cli.app, ["report", str(trace.path), "--html", str(page)])
    assert ended.exit_code == 0, ended.output
    text = page.read_text()
    assert "bit lines by stuck cells, assigned" in text
    assert "rows raised, dummy columns" in text
    assert "each in as many binary cells in parallel" in text
    assert "binary weights, twin arrays" in text


SCALES = {"role": "scale-multiply", "level": "tile", "component": "multiply-16b-40nm", "count": 2}


@pytest.mark.parametrize("name", ["multibit", "differential"])
def test_a_chip_with_dummy_columns_counts_them(name):
    plain = load_chip(name).chip
    with pytest.raises(ConfigError, match="scale-multiply"):
        edited(name, organisation={"dummy_columns": True})
    parts = [*load_chip(name).content["part"], SCALES]
    edits = ((("organisation", "dummy_columns"), True), (("part",), parts))
    dummies = load_chip(name).changed(*edits).chip
    shape = (200, 300)
    before = linear_cost(plain, *shape).events
    after = linear_cost(dummies, *shape).events
    blocks = -(-200 // plain.mapping.word_lines)
    per_tile = plain.mapping.bit_lines
    kinds = plain.conversions_per_output
    if plain.mapping.placement == "neighbour":
        per_tile //= plain.planes
        kinds = 1
    expected = plain.phases * blocks * -(-300 // per_tile) * kinds
    assert after["adc"] - before["adc"] == expected
    assert after["scale-multiply"] == before["adc"]
    arrays = plain.organisation.arrays_per_unit
    more = dummies.derived_counts["cell"] - plain.derived_counts["cell"]
    assert more == arrays * plain.mapping.word_lines
    assert dummies.derived_counts["adc"] - plain.derived_counts["adc"] == pytest.approx(
        arrays / plain.organisation.bit_lines_per_adc
    )
