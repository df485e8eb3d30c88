"""What a report prints and writes, word for word, of a summary whose figures are all different."""

import csv
import json
import math
from dataclasses import replace

import pytest
import tomli_w

from xbarsim.models.graph import Kind, Role
from xbarsim.report.energy import Cost
from xbarsim.report.files import to_json, write_files
from xbarsim.report.steps import (
    Compensation,
    Converters,
    DriftScales,
    FunctionSummary,
    IrDrop,
    MatrixSummary,
    ProductSummary,
    Programming,
    SaturatedCodes,
    WorstTile,
)
from xbarsim.report.summary import CaseSummary, OverChips, PathSummary, Summary
from xbarsim.report.text import render
from xbarsim.studies.scores import Estimate
from xbarsim.studies.trace_layout import RunAttributes

KINDS = ("query", "key", "value", "attention_output", "intermediate", "output")


def layer(number, place, **changes):
    """A matrix whose local SNR is its place, and whose other figures tell where they come from."""
    rank = 10 * number + place
    found = MatrixSummary(
        name=f"layer.{number}.{KINDS[place]}",
        kind=Kind.MATRIX,
        role=Role(KINDS[place]),
        layer=number,
        local_snr_db=20.0 + rank,
        accumulated_snr_db=10.0 + rank,
        adc_saturated=0.001 * rank,
        dac_saturated=0.002 * rank,
        ir_drop=IrDrop(0.95 - 0.01 * rank, 0.001),
        programming=Programming(
            tiles=rank + 1,
            cells=1000 + rank,
            clipped_weights=100 + rank,
            stuck_cells=200 + rank,
            bounded_cells=300 + rank,
            write_pulses=5000,
            write_energy=1e-9,
        ),
        inputs=16,
        outputs=32,
        array_energy_per_token=1e-12,
    )
    return replace(found, **changes)


LAYERS = tuple(layer(number, place) for number in (1, 0) for place in range(6))


def softmax(number, local, accumulated, saturations):
    return FunctionSummary(
        name=f"layer.{number}.softmax",
        kind=Kind.SOFTMAX,
        role=Role.ATTENTION_SOFTMAX,
        layer=number,
        local_snr_db=local,
        accumulated_snr_db=accumulated,
        saturations=saturations,
    )


def scores(number, local, accumulated, **figures):
    return ProductSummary(
        name=f"layer.{number}.scores",
        kind=Kind.PRODUCT,
        role=Role.ATTENTION_SCORES,
        layer=number,
        local_snr_db=local,
        accumulated_snr_db=accumulated,
        dac_saturated=0.5,
        **figures,
    )


EVENTS = {"tile_reads": 1234.0, "adc_conversions": 56789.4}
CASE = CaseSummary(
    name="first: a",
    metric=Estimate(0.75, 0.5, 0.875),
    examples=40,
    layers=LAYERS,
    cost=Cost(
        EVENTS,
        {"ADC": 3e-9, "DAC": 5e-9, "array (cells and wires)": 1e-9},
        assumed=("DAC",),
    ),
    operations=(softmax(0, 31.0, 13.0, 2.5), softmax(1, 33.0, 12.0, 4.0)),
    products=(
        scores(0, 25.0, 15.0, adc_saturated=0.01, cells_set=1200.0, write_energy=2e-9),
        scores(1, 24.0, 16.0, adc_saturated=0.02, cells_set=1300.0, write_energy=3e-9),
    ),
    chips=OverChips((0.7, 0.8), 0.115, 1.385),
    change=Estimate(-0.05, -0.1, 0.025),
    study='name = "of the case"',
)
SECOND = replace(
    CASE,
    name="first: b",
    metric=Estimate(0.5, 0.25, 0.625),
    examples=39,
    chips=OverChips((0.5,), None, None),
    change=Estimate(0.0, -0.1, 0.1),
    cost=Cost(EVENTS, {"ADC": 1e-9}, assumed=("DAC",)),
)
FLOAT = PathSummary(name="float32", metric=Estimate(0.8, 0.7, 0.9), examples=41)
INT8 = PathSummary(name="int8", metric=Estimate(0.78, 0.68, 0.88), examples=42)
RUN = RunAttributes(
    software_version="1",
    created="then",
    complete=False,
    seed=9,
    study='name = "s"',
    model="m",
    model_sha256="",
    task="t",
    task_sha256="",
    task_kind="pairs",
    metric="accuracy",
    head="probe",
    classes=2,
    truncated_sentences=6,
    heads=2,
    notes="a note",
    idle_settings="nothing follows",
)
SUMMARY = Summary(
    path="runs/a.h5",
    study="s",
    run=RUN,
    examples=43,
    tokens=12345,
    sentences=86,
    references=(FLOAT, INT8),
    cases=(CASE, SECOND),
    damage=("a part",),
    chip_texts={"chip": "whole file"},
)
TEXT = """\
m on t: 43 examples, 12,345 tokens, head probe, study 's', seed 9
INCOMPLETE: the run was interrupted, or is under way; figures cover the examples that are finished.
DAMAGED: a part; figures cover what can be read.
6 sentences were cut to the model's or the study's maximum length.
note: a note
NO EFFECT: nothing follows

path                          accuracy x 100   95 % interval     examples   minus float32, paired        95 % over chips   chips
float32                                80.00   70.00 .. 90.00          41
INT8 digital                           78.00   68.00 .. 88.00          42
analog: first: a                       75.00   50.00 .. 87.50          40   -5.00 (-10.00 .. 2.50)       11.50 .. 138.50       2
analog: first: b                       50.00   25.00 .. 62.50          39   +0.00 (-10.00 .. 10.00)

all that follows is of 'first: a', the first of 2 cases; --html FILE and --json have the others

local SNR in dB of each matrix on 'first: a' (last: accumulated SNR after the layer)
layer               query               key             value  attention_output      intermediate            output   accumulated
0                    20.0              21.0              22.0              23.0              24.0              25.0          15.0
1                    30.0              31.0              32.0              33.0              34.0              35.0          25.0

product                worst local SNR in dB   accumulated   ADC saturated     cells set per example    write energy
scores                                  24.0          15.0          2.00 %                     2,500            5 nJ

operation              worst local SNR in dB   accumulated   saturations per example
softmax                                 31.0          12.0                       6.5

tiles  102 with 12,090 cells; clipped weights 1,290, stuck cells 2,490, cells held at a physical bound 3,690
write  60,000 pulses program all cells once, 12 nJ
range  ADC conversions saturated at most 1.50 % in a matrix, inputs 3.00 %; strongest mean IR drop 20.00 %
energy 9 nJ per inference of the products on hardware: DAC 5 nJ (assumed price), ADC 3 nJ, array (cells and wires) 1 nJ
events 1,234 tile reads, 56,789 adc conversions per inference
       softmax, layer norm, GELU, buffers and data movement are not counted
trace  runs/a.h5"""  # noqa: E501


def test_the_whole_text():
    assert render(SUMMARY).splitlines() == TEXT.splitlines()


UNSTATED = replace(LAYERS[0].programming, write_energy=None, write_pulses=0)


def test_a_plain_run_prints_no_line_that_says_nothing():
    bare = tuple(replace(found, ir_drop=None, programming=UNSTATED) for found in LAYERS)
    case = replace(SECOND, name="case", layers=bare, products=(), operations=())
    run = replace(RUN, complete=True, truncated_sentences=0, notes="", idle_settings="")
    plain = replace(SUMMARY, run=run, cases=(case,), damage=())
    lines = render(plain).splitlines()
    assert lines[1] == "" and lines[2].startswith("path ") and lines[2].endswith(", paired")
    words = "INCOMPLETE DAMAGED cut note NO chips product operation write IR".split()
    printed = " ".join(lines[:-2]).replace(":", " ").split()
    assert not set(words) & set(printed)
    assert lines[-2].strip().startswith("attention products, softmax")
    written = replace(bare[-1], programming=replace(UNSTATED, write_pulses=8))
    pulses = replace(case, layers=(*bare[:-1], written))
    text = render(replace(plain, cases=(pulses,)))
    assert "\nwrite  8 pulses program all cells once\n" in text


def test_saturated_codes_and_the_worst_tile_have_a_line_each():
    quiet = replace(LAYERS[0], saturated_codes=SaturatedCodes(0.0, 0.001))
    loud = replace(LAYERS[1], saturated_codes=SaturatedCodes(0.02, 0.0105))
    far = replace(loud, ir_drop=IrDrop(0.9, 0.0, WorstTile(1, 2, None, 0.75)))
    near = replace(quiet, ir_drop=IrDrop(0.9, 0.0, WorstTile(0, 3, 1, 0.8)))
    case = replace(CASE, layers=(near, far))
    lines = render(replace(SUMMARY, cases=(case,))).splitlines()
    assert (
        "codes  most at the ends of their range in layer.1.key: 2.00 % at the lowest, 1.05 % at the "
        "highest code"
    ) in lines
    assert (
        "wires  worst tile: row block 1, column block 2 of layer.1.key, IR drop 25.00 %"
    ) in lines
    lines = render(replace(SUMMARY, cases=(replace(CASE, layers=(near,)),))).splitlines()
    assert (
        "wires  worst tile: row block 0, column block 3, plane 1 of layer.1.query, IR drop "
        + ("20.00 %")
        in lines
    )
    found = to_json(replace(SUMMARY, cases=(case,)))["cases"][0]["layers"]
    assert found[1]["saturated_codes"] == {"low": 0.02, "high": 0.0105}
    assert found[0]["worst_tile"] == {
        "row_block": 0,
        "column_block": 3,
        "plane": 1,
        "attenuation": 0.8,
    }


def test_the_error_of_read_noise_behind_wires_has_a_line():
    first = replace(LAYERS[0], read_noise_error=0.004)
    second = replace(LAYERS[1], read_noise_error=0.0132)
    case = replace(CASE, layers=(first, second, *LAYERS[2:]))
    summary = replace(SUMMARY, cases=(case,))
    assert (
        "noise  standard deviation of read noise behind wires: off by at most 1.3 % on any bit line "
        "(a tile of layer.1.key), even for inputs that drive a quarter of the word lines and "
        "nothing else"
    ) in render(summary).splitlines()
    found = to_json(summary)["cases"][0]["layers"]
    assert [one.get("read_noise_error") for one in found[:3]] == [0.004, 0.0132, None]
    assert "read noise" not in render(SUMMARY)


def test_compensation_has_a_line():
    wires = Compensation("wires", 0.5, 3, 0.001, None)
    measured = Compensation("measured", 0.75, 20, 0.0625, 1500)
    first = replace(LAYERS[0], compensation=wires)
    second = replace(LAYERS[1], compensation=measured)
    case = replace(CASE, layers=(first, second, LAYERS[2]))
    assert (
        "compensation  measured and wires: weights use 50 to 75 % of the window, 23 cells held at "
        "its end, 1,500 cells written again; weights err most in layer.1.key, 0.062 rms of them"
    ) in render(replace(SUMMARY, cases=(case,))).splitlines()
    case = replace(CASE, layers=(first, LAYERS[2]))
    assert (
        "compensation  wires: weights use 50 to 50 % of the window, 3 cells held at its end; weights "
        "err most in layer.1.query, 0.001 rms of them"
    ) in render(replace(SUMMARY, cases=(case,))).splitlines()
    found = to_json(replace(SUMMARY, cases=(case,)))["cases"][0]["layers"]
    assert found[1]["compensation"] is None
    assert found[0]["compensation"] == {
        "kind": "wires",
        "scale": 0.5,
        "held_cells": 3,
        "weight_error": 0.001,
        "rewritten_cells": None,
    }


def test_models_with_other_steps_have_a_table():
    """A gate beside the six matrices of BERT, and logits outside the layers."""
    gate = replace(layer(0, 4), name="layer.0.gate", role=Role.GATE, local_snr_db=77.0)
    logits = replace(layer(0, 5), name="logits", role=Role.LOGITS, layer=None, local_snr_db=88.0)
    case = replace(CASE, layers=(*(layer(0, place) for place in range(6)), gate, logits))
    lines = render(replace(SUMMARY, cases=(case,))).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("layer  "))
    assert lines[start].split() == ["layer", *KINDS, "gate", "logits", "accumulated"]
    assert lines[start + 1].split() == "0 20.0 21.0 22.0 23.0 24.0 25.0 77.0 14.0".split()
    assert lines[start + 2].split() == ["-", "88.0", "15.0"]
    assert lines[start + 2].index("88.0") + 4 == lines[start].index("logits") + 6


def test_references_alone():
    lines = render(replace(SUMMARY, cases=())).splitlines()
    assert lines[-2].startswith("INT8 digital ") and lines[-1] == "trace  runs/a.h5"


def test_a_long_name_widens_its_column():
    long = replace(CASE, name="n" * 40)
    lines = render(replace(SUMMARY, cases=(long,))).splitlines()
    row = next(line for line in lines if line.startswith("analog: "))
    assert row.split()[:3] == ["analog:", "n" * 40, "75.00"]
    head = next(line for line in lines if line.startswith("path "))
    assert head.index("accuracy x 100") + len("accuracy x 100") == row.index("75.00") + 5
    assert len("analog: " + 40 * "n") + 1 + 16 == row.index("75.00") + 5


def placed(name):
    """Study of a case at "ROW: COLUMN"; of a name without a colon in no table."""
    row, _, column = name.partition(": ")
    return tomli_w.dumps({"row": row, "column": column}) if column else ""


def grid_of(*names):
    cases = tuple(
        replace(
            SECOND,
            name=str(k),
            metric=Estimate(0.01 * k, 0.25, 0.625),
            study=placed(name),
        )
        for k, name in enumerate(names)
    )
    lines = render(replace(SUMMARY, cases=cases)).splitlines()
    return lines[7:] if lines[7].startswith("accuracy x 100 ") else []


def test_cases_with_a_row_and_a_column_are_a_table():
    grid = grid_of("one: a", "one: b", "two: a", "two: b")
    assert grid[:6] == [
        "accuracy x 100              a                         b",
        "float32                     80.00 (70.00 .. 90.00)",
        "INT8 digital                78.00 (68.00 .. 88.00)",
        "one                         0.00 (25.00 .. 62.50)     1.00 (25.00 .. 62.50)",
        "two                         2.00 (25.00 .. 62.50)     3.00 (25.00 .. 62.50)",
        "",
    ]
    assert grid_of("one: a", "one: b", "one: c", "one: d", "two: a", "two: b", "two: c", "two: d")


@pytest.mark.parametrize(
    "names",
    [
        ("one: a", "one: b"),  # a single row
        ("one: a", "two: a"),  # a single column
        ("one: a", "one: b", "two: a", "two: c"),  # other columns
        ("one: a", "one: b", "two: a"),
        tuple(f"{row}: {column}" for row in "xy" for column in "abcde"),
    ],
)
def test_other_places_are_no_table(names):
    assert grid_of(*names) == []


def test_names_are_just_names():
    cases = [replace(SECOND, name=name) for name in ("one: a", "one: b", "two: a", "two: b")]
    lines = render(replace(SUMMARY, cases=tuple(cases))).splitlines()
    assert not any(line.startswith("accuracy x 100 ") for line in lines)


NO_TOKENS = dict.fromkeys(
    ("predictions", "bits_per_byte", "normalised", "normalised_low", "normalised_high"), ""
)


def test_every_column_of_the_files(tmp_path):
    write_files([SUMMARY, replace(SUMMARY, path="b")], tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "layers.csv",
        "paths.csv",
        "report.json",
    ]
    rows = list(csv.DictReader((tmp_path / "new" / "paths.csv").open()))
    assert [row["trace"] for row in rows] == 4 * ["runs/a.h5"] + 4 * ["b"]
    assert rows[0] == NO_TOKENS | {
        "trace": "runs/a.h5",
        "study": "s",
        "model": "m",
        "task": "t",
        "metric": "accuracy",
        "path": "float32",
        "value": "0.8",
        "low": "0.7",
        "high": "0.9",
        "examples": "41",
        "energy_j_per_example": "",
        "chips": "0",
        "chips_low": "",
        "chips_high": "",
        "change": "",
        "change_low": "",
        "change_high": "",
    }
    energy = rows[2].pop("energy_j_per_example")
    assert math.isclose(float(energy), 9e-9, rel_tol=1e-12)
    assert rows[2] == NO_TOKENS | {
        "trace": "runs/a.h5",
        "study": "s",
        "model": "m",
        "task": "t",
        "metric": "accuracy",
        "path": "first: a",
        "value": "0.75",
        "low": "0.5",
        "high": "0.875",
        "examples": "40",
        "chips": "2",
        "chips_low": "0.115",
        "chips_high": "1.385",
        "change": "-0.05",
        "change_low": "-0.1",
        "change_high": "0.025",
    }
    layers = list(csv.DictReader((tmp_path / "new" / "layers.csv").open()))
    assert len(layers) == 2 * 2 * 12
    assert layers[0] == {
        "trace": "runs/a.h5",
        "case": "first: a",
        "matrix": "layer.1.query",
        "local_snr_db": "30.0",
        "accumulated_snr_db": "20.0",
        "adc_saturated": "0.01",
        "dac_saturated": "0.02",
        "attenuation": str(0.95 - 0.01 * 10),
        "attenuation_spread": "0.001",
        "clipped_weights": "110",
        "stuck_cells": "210",
        "bounded_cells": "310",
        "tiles": "11",
        "cells": "1010",
        "write_pulses": "5000",
        "write_energy_j": "1e-09",
        "inputs": "16",
        "outputs": "32",
        "array_energy_per_token_j": "1e-12",
    }


def test_json_holds_no_infinity_and_no_chip_file():
    perfect = replace(CASE, layers=(layer(0, 0, local_snr_db=math.inf),))
    content = to_json(replace(SUMMARY, cases=(perfect,)))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    found = content["cases"][0]
    assert found["layers"][0]["local_snr_db"] is None
    assert found["layers"][0]["accumulated_snr_db"] == 10.0
    assert found["energy"] == CASE.cost.energy and found["chips"] == [0.7, 0.8]
    assert "chip_texts" not in content and content["notes"] == ["a note"]


def test_products_without_operations_are_counted():
    case = replace(CASE, operations=())
    last = render(replace(SUMMARY, cases=(case,))).splitlines()[-2]
    assert last == "       softmax, layer norm, GELU, buffers and data movement are not counted"
    case = replace(CASE, products=())
    last = render(replace(SUMMARY, cases=(case,))).splitlines()[-2]
    assert last.strip().startswith("attention products, softmax, layer norm")


def test_a_folder_by_its_name_and_a_file_that_can_be_read(tmp_path):
    as_json, _, _ = write_files([SUMMARY], str(tmp_path))
    text = as_json.read_text()
    assert text.startswith('[\n {\n  "path": "runs/a.h5",\n  "study": "s",\n')
    assert text.endswith("}\n]\n")


def test_an_energy_that_one_layer_does_not_state_is_not_known():
    first, second = CASE.products
    case = replace(CASE, products=(first, replace(second, write_energy=None)))
    lines = render(replace(SUMMARY, cases=(case,))).splitlines()
    row = next(line for line in lines if line.startswith("scores "))
    assert row.endswith("   not known") and "nJ" not in row


def test_converters_that_are_not_ideal_have_a_line():
    study = tomli_w.dumps(
        {
            "adc": {"noise_lsb": 0.5, "noise_ua": 0.0, "offset_lsb": 1.25, "gain_error": 0.01}
            | {"steps": "sar", "element_spread": 0.02, "shared_by": 8, "full_scale_ua": 20.0}
            | {"inl_lsb": [0.0] * 4},
            "dac": {"full_scale_v": 0.3, "noise_mv": 0.5, "inl_lsb": "drivers.csv"},
        }
    )
    counted = {"adc_conversions": 1_000, "adc_saturations": 12.0}
    first = replace(LAYERS[0], converters=Converters(10, 4), **counted)
    second = replace(LAYERS[1], converters=Converters(30, 6), **counted)
    case = replace(CASE, layers=(first, second), study=study)
    lines = render(replace(SUMMARY, cases=(case,))).splitlines()
    assert (
        "ADC    full scale 20 µA, noise 0.5 LSB, offsets of 1.25 LSB, gain errors of 0.01, elements "
        "that vary by 0.02, one for 8 bit lines, steps sar, a table of INL, 24 of 2,000 conversions "
        "saturated; 40 converters that never give 0.2 of their codes on average"
    ) in lines
    assert "DAC    full scale 0.3 V, noise 0.5 mV, a table of INL" in lines
    found = to_json(replace(SUMMARY, cases=(case,)))["cases"][0]["layers"]
    assert found[1]["converters"] == {"converters": 30, "missing_codes": 6}
    plain = replace(CASE, study=tomli_w.dumps({"adc": {"noise_ua": 0.0, "shared_by": 1}}))
    lines = render(replace(SUMMARY, cases=(plain,))).splitlines()
    assert not [line for line in lines if line.startswith(("ADC", "DAC"))]


def test_scales_that_follow_drift_have_a_line_with_their_cost():
    first = DriftScales(mean=1.2, std=0.1, tile_reads=4, conversions=1_000, joules=1e-9)
    second = DriftScales(mean=1.31, std=0.2, tile_reads=6, conversions=500, joules=2e-9)
    scaled = (replace(LAYERS[0], drift_scales=first), replace(LAYERS[1], drift_scales=second))
    case = replace(CASE, layers=scaled)
    lines = render(replace(SUMMARY, cases=(case,))).splitlines()
    assert (
        "drift  scales of matrices 1.2 to 1.31; each reading of their reference takes 10 tile reads "
        "and 1,500 conversions, 3 nJ"
    ) in lines
    found = to_json(replace(SUMMARY, cases=(case,)))["cases"][0]["layers"]
    assert found[0]["drift_scales"]["conversions"] == 1_000
    assert not [line for line in render(SUMMARY).splitlines() if line.startswith("drift")]
