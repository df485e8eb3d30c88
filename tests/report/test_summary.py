"""Every figure of a summary, a report and a picture, from a trace made by hand whose sums are done here."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xbarsim import config
from xbarsim.base.errors import TraceError
from xbarsim.chips.components import adc, dac, load_component
from xbarsim.cli.app import app
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.models.graph import Kind, Role
from xbarsim.report import curves
from xbarsim.report.energy import cost_of
from xbarsim.report.files import write_files
from xbarsim.report.plots import runs
from xbarsim.report.steps import snr_db
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.errors import error_statistics
from xbarsim.studies.trace import (
    Attenuation,
    Case,
    Chip,
    Outputs,
    Trace,
    TracedFunction,
    TracedMatrix,
    TracedProduct,
)
from xbarsim.studies.trace_layout import (
    ExampleTable,
    FunctionRows,
    MatrixRows,
    Place,
    ProductRows,
    RunAttributes,
)

TOKENS = np.array([2, 3, 7])  # the third example is not done on the chips
DONE = np.array([True, True, False])
ALL = np.ones(3, bool)
RUN = RunAttributes(
    study='name = "by hand"\n',
    model="m",
    model_sha256="",
    task="t",
    metric="accuracy",
    head="probe",
    task_kind="labels",
    seed=5,
    complete=True,
    created="now",
    software_version="0",
    truncated_sentences=4,
    heads=2,
    classes=2,
    task_sha256="",
    notes="first\nsecond",
)
MATRIX = MatrixAttributes(
    inputs=10,
    outputs=20,
    tiles=2,
    cells=800,
    clipped_weights=7,
    stuck_on=3,
    stuck_off=11,
    bounded_cells=13,
    rounded_cells=0,
    unverified_cells=0,
    write_pulses=17,
    write_energy=2e-9,
    adc_bits=8,
    dac_bits=8,
)


def errors(share):
    """Of two examples whose signals are 1 and 2 and whose errors are this share of them."""
    signal = np.array([1.0, 2.0])
    return ErrorStatistics(
        signal_rms=signal,
        error_rms=share * signal,
        relative_rms=np.full(2, share),
        snr_db=np.full(2, -20 * math.log10(share)),
        cosine=np.ones(2),
        maximum=np.ones(2),
    )


COUNTS = {
    "dac_saturations": np.array([1, 4]),
    "adc_saturations": np.array([2, 6]),
    "tile_reads": np.array([20, 30]),
    "adc_conversions": np.array([400, 600]),
    "dac_drives": np.array([50, 75]),
    "shift_adds": np.array([1000, 1500]),
    "comparisons": np.array([0, 0]),
    "multiplications": np.array([0, 0]),
    "array_energy": np.array([3e-9, 7e-9]),
}
QUERY = TracedMatrix(
    Place(kind=Kind.MATRIX, role=Role.QUERY, layer=0),
    MATRIX,
    MatrixRows(local=errors(0.1), accumulated=errors(0.2), **COUNTS),
    Attenuation(mean=np.array([0.9, 0.8]), std=np.array([0.01, 0.03])),
)
OTHER = TracedMatrix(
    Place(kind=Kind.MATRIX, role=Role.KEY, layer=0),
    dataclasses.replace(
        MATRIX,
        clipped_weights=1,
        stuck_on=0,
        stuck_off=2,
        bounded_cells=0,
        tiles=5,
        cells=100,
        write_pulses=3,
        write_energy=1e-9,
    ),
    MatrixRows(local=errors(0.01), accumulated=errors(0.5), **COUNTS),
    Attenuation(mean=np.full(5, 0.99), std=np.zeros(5)),
)
PRODUCT = TracedProduct(
    Place(kind=Kind.PRODUCT, role=Role.ATTENTION_SCORES, layer=0),
    ProductAttributes(adc_bits=4, dac_bits=1),
    ProductRows(
        local=errors(0.05),
        accumulated=errors(0.1),
        cells_set=np.array([100, 300]),
        write_energy=np.array([1e-9, 5e-9]),
        **COUNTS,
    ),
)
SOFTMAX = TracedFunction(
    Place(kind=Kind.SOFTMAX, role=Role.ATTENTION_SOFTMAX, layer=0),
    FunctionRows(local=errors(0.02), accumulated=errors(0.3), saturations=np.array([1, 2])),
)
KINDS = ("query", "key", "value", "attention_output", "intermediate", "output")


def outputs(*classes):
    """Logits (3, 2) that predict these classes."""
    return np.eye(2, dtype=np.float32)[list(classes)]


def matrix(kind):
    """QUERY, or the other one in the place of another matrix."""
    if kind == "query":
        return QUERY
    return dataclasses.replace(OTHER, place=Place(kind=Kind.MATRIX, role=Role(kind), layer=0))


def chip(*classes, seed=5):
    layers = {f"layer.0.{kind}": matrix(kind) for kind in KINDS}
    return Chip(
        outputs(*classes),
        DONE,
        seed,
        layers,
        {"layer.0.attention_scores": PRODUCT},
        {"layer.0.attention_softmax": SOFTMAX},
    )


def trace(**cases):
    label = np.array([0, 1, 1])
    reference = {
        "float32": Outputs(outputs(0, 1, 0), ALL),
        "int8": Outputs(outputs(1, 1, 1), ALL),
    }
    chosen = cases or {"case": Case('name = "case"\n', (chip(0, 1, 0), chip(1, 1, 0, seed=6)))}
    examples = ExampleTable(label, TOKENS, None, None)
    return Trace(Path("runs/hand.h5"), RUN, examples, reference, chosen)


SUMMARY = summarise(trace())
CASE = SUMMARY.cases[0]


def by_matrix(case=CASE):
    return {layer.name: layer for layer in case.layers}


# ---------------------------------------------------------------- the summary


def test_what_a_trace_says_of_itself():
    assert (SUMMARY.study, SUMMARY.run) == ("by hand", RUN)
    assert (SUMMARY.examples, SUMMARY.tokens, SUMMARY.sentences) == (3, 12, 3)
    assert SUMMARY.notes == ("first", "second")


def test_metrics_of_references_and_chips():
    values = {path.name: (path.metric.value, path.examples) for path in SUMMARY.references}
    assert values == {"float32": (2 / 3, 3), "int8": (2 / 3, 3)}
    assert CASE.chips.values == (1.0, 0.5)  # of the two examples that are done
    assert (CASE.metric.value, CASE.examples) == (0.75, 2)
    assert (CASE.chips.low, CASE.chips.high) == (0, 1)  # Student's half width is 3.2
    assert CASE.change.value == 0.75 - 1.0  # float32 is right on both


def test_layers_pool_signal_and_error_over_tokens_and_chips():
    query = by_matrix()["layer.0.query"]
    np.testing.assert_allclose(query.local_snr_db, 20, rtol=1e-12)
    np.testing.assert_allclose(query.accumulated_snr_db, -20 * math.log10(0.2), rtol=1e-12)
    assert (query.adc_saturated, query.dac_saturated) == (8 / 1000, 5 / (5 * 10))
    np.testing.assert_allclose([query.ir_drop.attenuation, query.ir_drop.spread], [0.85, 0.02])
    assert (query.inputs, query.outputs) == (10, 20)
    found = query.programming
    assert (found.clipped_weights, found.stuck_cells, found.bounded_cells) == (7, 14, 13)
    assert (found.tiles, found.cells) == (2, 800)
    assert (found.write_pulses, found.write_energy) == (17, 2e-9)
    np.testing.assert_allclose(query.array_energy_per_token, 10e-9 / 5, rtol=1e-12)


def test_ir_drop_is_that_of_the_tiles_of_all_chips():
    second = chip(1, 1, 0, seed=6)
    worse = Attenuation(mean=np.array([0.5, 0.6]), std=np.array([0.1, 0.3]))
    second.layers["layer.0.query"] = dataclasses.replace(QUERY, attenuation=worse)
    made = summarise(trace(case=Case('name = "case"\n', (chip(0, 1, 0), second))))
    drop = by_matrix(made.cases[0])["layer.0.query"].ir_drop
    np.testing.assert_allclose(drop.attenuation, (0.9 + 0.8 + 0.5 + 0.6) / 4, rtol=1e-12)
    np.testing.assert_allclose(drop.spread, (0.01 + 0.03 + 0.1 + 0.3) / 4, rtol=1e-12)


def test_the_error_of_read_noise_is_that_of_the_worst_tile_of_all_chips():
    chips = []
    for errors_of_tiles in ([0.001, 0.02], [0.03, 0.004]):
        of_chip = chip(0, 1, 0)
        noisy = dataclasses.replace(QUERY, noise_error=np.array(errors_of_tiles))
        layers = of_chip.layers | {"layer.0.query": noisy}
        chips.append(dataclasses.replace(of_chip, layers=layers))
    (case,) = summarise(trace(c=Case('name = "c"', tuple(chips)))).cases
    assert by_matrix(case)["layer.0.query"].read_noise_error == 0.03
    assert by_matrix(case)["layer.0.key"].read_noise_error is None
    broken = dataclasses.replace(noisy, noise_error=np.array([np.nan]))
    wrong = dataclasses.replace(chips[1], layers=chips[1].layers | {"layer.0.query": broken})
    with pytest.raises(TraceError, match="read_noise_error of chip 2"):
        summarise(trace(c=Case('name = "c"', (chips[0], wrong))))


def test_an_error_of_few_tokens_counts_for_few():
    """Errors .1 of a signal of 1 in two tokens, .3 of a signal of 2 in three."""
    stated = dataclasses.replace(errors(0.1), error_rms=np.array([0.1, 0.6]))
    found = snr_db(stated, TOKENS[:2])
    signal = 2 * 1 + 3 * 4
    error = 2 * 0.01 + 3 * 0.36
    np.testing.assert_allclose(found, 10 * math.log10(signal / error), rtol=1e-12)


def test_products_and_operations():
    product = CASE.products[0]
    assert product.name == "layer.0.attention_scores"
    assert (product.adc_saturated, product.dac_saturated) == (8 / 1000, 2.5)
    assert (product.cells_set, product.write_energy) == (200, 3e-9)
    np.testing.assert_allclose(product.local_snr_db, -20 * math.log10(0.05), rtol=1e-12)
    np.testing.assert_allclose(product.accumulated_snr_db, 20, rtol=1e-12)
    softmax = CASE.operations[0]
    assert (softmax.name, softmax.saturations) == ("layer.0.attention_softmax", 1.5)
    np.testing.assert_allclose(softmax.accumulated_snr_db, -20 * math.log10(0.3), rtol=1e-12)


def test_events_and_energy_are_those_of_one_example():
    """Seven measured steps, each with the counts of two examples, on both chips alike."""
    assert CASE.cost.events == {
        "tile_reads": 7 * 50 / 2,
        "adc_conversions": 7 * 1000 / 2,
        "dac_drives": 7 * 125 / 2,
        "shift_adds": 7 * 2500 / 2,
    }
    expected = {
        "ADC": (6 * 1000 * adc(8).energy + 1000 * adc(4).energy) / 2,
        "DAC": (6 * 125 * dac(8).energy + 125 * dac(1).energy) / 2,
        "array (cells and wires)": 7 * 10e-9 / 2,
        "shift-and-add": 7 * 2500 * load_component("shift-and-add-32nm").energy / 2,
    }
    assert CASE.cost.energy.keys() == expected.keys()
    for part, joule in expected.items():
        np.testing.assert_allclose(CASE.cost.energy[part], joule, rtol=1e-12)


def test_no_error_and_no_signal():
    silent = dataclasses.replace(errors(0.1), signal_rms=np.zeros(2))
    perfect = dataclasses.replace(errors(0.1), error_rms=np.zeros(2))
    assert snr_db(silent, TOKENS[:2]) == -math.inf
    assert snr_db(perfect, TOKENS[:2]) == math.inf


def test_pairs_are_scored_by_their_similarity():
    """Ranks 1 2 3 4 against 1 3 2 4: Spearman's 1 - 6 * 2 / (4 * 15)."""
    cosine = np.array([[0.1], [0.4], [0.6], [0.9]], np.float32)
    made = Trace(
        Path("p.h5"),
        dataclasses.replace(RUN, task_kind="pairs", metric="spearman"),
        ExampleTable(np.array([0.0, 2.0, 1.0, 3.0]), np.array([2, 3, 4, 5]), None, None),
        {"float32": Outputs(cosine, np.ones(4, bool))},
        {},
    )
    found = summarise(made)
    np.testing.assert_allclose(found.references[0].metric.value, 0.8, rtol=1e-12)
    assert (found.examples, found.sentences, found.cases) == (4, 8, ())


def test_chips_that_are_not_finished_do_not_count():
    late = dataclasses.replace(chip(1, 1, 0), done=np.array([True, False, False]))
    found = summarise(trace(only=Case('name = "c"', (chip(0, 1, 0), late)))).cases[0]
    assert found.chips.values == (1.0,) and found.chips.low is None
    cases = {"first": (late, chip(1, 1, 0)), "none": (late, late)}
    made = {name: Case('name = "c"', chips) for name, chips in cases.items()}
    (found,) = summarise(trace(**made)).cases
    assert (found.name, found.chips.values) == ("first", (0.5,))
    one = trace().reference["int8"]
    short = dataclasses.replace(
        trace(),
        reference={
            "float32": trace().reference["float32"],
            "int8": Outputs(one.output, np.array([True, False, False])),
        },
    )
    assert [path.name for path in summarise(short).references] == ["float32"]
    empty = dataclasses.replace(short, reference={}, cases={})
    with pytest.raises(TraceError, match="holds no evaluated examples"):
        summarise(empty)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("layers", "layer.0.query"),
        ("products", "layer.0.attention_scores"),
        ("operations", "layer.0.attention_softmax"),
    ],
)
def test_a_number_that_is_none_is_refused_with_its_place(kind, place):
    made = chip(0, 1, 0)
    old = getattr(made, kind)
    local = dataclasses.replace(old[place].rows.local, error_rms=np.array([1, np.nan]))
    rows = dataclasses.replace(old[place].rows, local=local)
    wrong = dataclasses.replace(old[place], rows=rows)
    broken = dataclasses.replace(made, **{kind: old | {place: wrong}})
    message = f"local_error_rms of chip 2 of case 'c', {place} is not finite"
    with pytest.raises(TraceError, match=message):
        summarise(trace(c=Case('name = "c"', (made, broken))))


def test_an_output_that_is_none_is_refused_with_its_path():
    bad = np.full((3, 2), np.nan, np.float32)
    made = trace()
    made.reference["int8"] = Outputs(bad, ALL)
    with pytest.raises(TraceError, match="an output of reference int8 is not finite"):
        summarise(made)
    broken = dataclasses.replace(chip(0, 1, 0), output=bad)
    with pytest.raises(TraceError, match="an output of chip 1 of case 'c' is not finite"):
        summarise(trace(c=Case('name = "c"', (broken,))))


def test_one_output_of_many_that_is_none_is_refused():
    bad = outputs(1, 1, 1)
    bad[2, 1] = np.inf
    made = trace()
    made.reference["int8"] = Outputs(bad, ALL)
    with pytest.raises(TraceError, match="an output of reference int8 is not finite"):
        summarise(made)


def test_intervals_are_those_of_wilson():
    """Two of three right, z = 1.96."""
    z, n, share = 1.959963984540054, 3, 2 / 3
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    ends = [(share + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    found = SUMMARY.references[0].metric
    np.testing.assert_allclose([found.low, found.high], ends, rtol=1e-9)
    assert CASE.change.low < CASE.change.value < CASE.change.high


@pytest.mark.parametrize("done", [[True, True, True], [True, False, True]])
def test_chips_of_other_examples_do_not_count(done):
    other = dataclasses.replace(chip(1, 1, 0), done=np.array(done))
    found = summarise(trace(only=Case('name = "c"', (chip(0, 1, 0), other)))).cases[0]
    assert (found.chips.values, found.examples) == ((1.0,), 2)


def test_the_metric_that_the_trace_names():
    """Of 0 1 1 read as 1 1 1, class 1 has a precision of 2/3 and a recall of 1: F1 is 0.8."""
    made = dataclasses.replace(trace(), run=dataclasses.replace(RUN, metric="f1"))
    found = summarise(made)
    assert found.run.metric == "f1"
    np.testing.assert_allclose(found.references[1].metric.value, 0.8, rtol=1e-12)
    np.testing.assert_allclose(found.cases[0].chips.values, [1, 2 / 3], rtol=1e-12)


def test_bounds_of_a_case_are_the_means_of_its_chips():
    """Wilson's intervals of 2 of 2 and 1 of 2."""
    z2 = 1.959963984540054**2
    certain = (2 / (2 + z2), 1.0)
    half = math.sqrt(z2 * 0.5 * 0.5 / 2 + z2**2 / 16) / (1 + z2 / 2)
    bounds = [(certain[0] + 0.5 - half) / 2, (certain[1] + 0.5 + half) / 2]
    np.testing.assert_allclose([CASE.metric.low, CASE.metric.high], bounds, rtol=1e-9)


def test_parts_of_an_assumed_price_are_named_once_each():
    plain = ProductAttributes(adc_bits=8, dac_bits=1)
    assumed = ProductAttributes(adc_bits=2, dac_bits=2)
    for attributes, expected in ((plain, ()), (assumed, ("ADC", "DAC"))):
        priced = dataclasses.replace(PRODUCT, attributes=attributes)
        cost = cost_of([priced, priced], 2)
        assert cost.assumed == expected
        np.testing.assert_allclose(
            cost.energy["ADC"], 2000 * adc(attributes.adc_bits).energy / 2, rtol=1e-12
        )


# ---------------------------------------------------------------- text, CSV, JSON


def words(line):
    return line.split()


def line_with(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def test_the_text_says_the_same():
    text = render(SUMMARY)
    assert "m on t: 3 examples, 12 tokens, head probe, study 'by hand', seed 5" in text
    assert "4 sentences were cut" in text
    assert "note: first\nnote: second" in text
    assert words(line_with(text, "float32"))[1] == "66.67"
    assert words(line_with(text, "analog: case"))[2] == "75.00"
    assert "-25.00" in line_with(text, "analog: case")
    row = words(line_with(text, "0 "))
    assert row[1:] == ["20.0", "40.0", "40.0", "40.0", "40.0", "40.0", "6.0"]
    tiles = line_with(text, "tiles")
    assert "tiles  27 with 1,300 cells; clipped weights 12, stuck cells 24" in tiles
    assert "physical bound 13" in tiles
    assert "32 pulses program all cells once, 7 nJ" in line_with(text, "write ")
    assert "0.80 % in a matrix, inputs 10.00 %; strongest mean IR drop 15.00 %" in line_with(
        text, "range"
    )
    total = sum(CASE.cost.energy.values())
    assert line_with(text, "energy").startswith(f"energy {1e9 * total:.3g} nJ per inference")
    assert "array (cells and wires) 35 nJ" in line_with(text, "energy")
    assert "175 tile reads, 3,500 adc conversions, 438 dac drives, 8,750 shift adds" in text


def test_products_and_operations_in_the_text():
    text = render(SUMMARY)
    product = words(line_with(text, "attention_scores"))
    assert product == ["attention_scores", "26.0", "20.0", "0.80", "%", "200", "3", "nJ"]
    assert words(line_with(text, "attention_softmax")) == [
        "attention_softmax",
        "34.0",
        "10.5",
        "1.5",
    ]


def test_files_hold_the_same_numbers(tmp_path):
    as_json, paths, layers = write_files([SUMMARY], tmp_path)
    content = json.loads(as_json.read_text())[0]
    assert content["cases"][0]["value"] == 0.75 and content["references"][0]["value"] == 2 / 3
    rows = list(csv.DictReader(paths.open()))
    assert [row["path"] for row in rows] == ["float32", "int8", "case"]
    last = rows[-1]
    assert (float(last["value"]), int(last["examples"]), int(last["chips"])) == (0.75, 2, 2)
    np.testing.assert_allclose(
        float(last["energy_j_per_example"]), sum(CASE.cost.energy.values()), rtol=1e-12
    )
    assert float(last["change"]) == -0.25
    first = next(csv.DictReader(layers.open()))
    assert first["matrix"] == "layer.0.query" and float(first["dac_saturated"]) == 0.1
    assert (int(first["clipped_weights"]), int(first["bounded_cells"])) == (7, 13)
    np.testing.assert_allclose(float(first["attenuation"]), 0.85)
    np.testing.assert_allclose(float(first["attenuation_spread"]), 0.02)


# ---------------------------------------------------------------- pictures


def test_the_picture_of_layers_shows_each_kind_of_error_in_its_panel(drawn):
    runs.layer_snr(SUMMARY, "x.png")
    local, accumulated = drawn[0].axes
    np.testing.assert_allclose(local.lines[0].get_ydata(), [20] + 5 * [40])
    expected = -20 * np.log10([0.2] + 5 * [0.5])
    np.testing.assert_allclose(accumulated.lines[0].get_ydata(), expected)
    labels = [label.get_text() for label in accumulated.get_xticklabels()]
    assert labels == [f"0.{kind}" for kind in KINDS]


def test_the_picture_of_a_sweep_shows_metric_and_intervals(drawn):
    def case(bits, *classes):
        study = config.validate({"adc": {"bits": bits}}, "s").to_toml()
        return Case(study, (chip(*classes), chip(*classes, seed=6)))

    summary = summarise(trace(four=case(4, 0, 1, 0), eight=case(8, 1, 1, 0)))
    found = curves.against(summary, "adc.bits")
    runs.against_key(summary, found, "adc.bits", "x.png")
    axes = drawn[0].axes[0]
    line = axes.lines[0]
    assert line.get_xdata().tolist() == [4, 8] and line.get_ydata().tolist() == [100, 50]
    reference = [found for found in axes.lines if found.get_linestyle() == "--"][0]
    np.testing.assert_allclose(reference.get_ydata(), 2 * [200 / 3])
    bars = axes.collections[0].get_segments()
    ends = [(100 * case.metric.low, 100 * case.metric.high) for case in summary.cases]
    np.testing.assert_allclose([(bar[0][1], bar[1][1]) for bar in bars], ends)


# ---------------------------------------------------------------- errors of an example


def test_error_statistics_by_hand():
    """Two examples of two rows and one row: sums of their own rows only."""
    reference = np.array([[3.0, 4.0], [0.0, 5.0], [1.0, 0.0]], np.float32)
    output = np.array([[3.0, 4.5], [0.5, 5.0], [0.0, 1.0]], np.float32)
    found = error_statistics(output, reference, np.array([0, 2]))
    np.testing.assert_allclose(found.relative_rms, [math.sqrt(0.5 / 50), math.sqrt(2)])
    np.testing.assert_allclose(found.snr_db, [20, -10 * math.log10(2)])
    cosine = (9 + 18 + 25) / math.sqrt(50 * (9 + 20.25 + 0.25 + 25))
    np.testing.assert_allclose(found.cosine, [cosine, 0], atol=1e-12)
    np.testing.assert_allclose(found.maximum, [0.5, 1])
    np.testing.assert_allclose(found.signal_rms, [math.sqrt(50 / 4), math.sqrt(1 / 2)])
    np.testing.assert_allclose(found.error_rms, [math.sqrt(0.5 / 4), 1])


def test_report_prints_and_writes_the_curve_of_a_key(tmp_path, monkeypatch):
    """`xbarsim report TRACE --against KEY --out FILE`: the metric falls from 1 to a half."""

    def case(bits, *classes):
        study = config.validate({"adc": {"bits": bits}}, "s").to_toml()
        return Case(study, (chip(*classes), chip(*classes, seed=6)))

    summary = summarise(trace(four=case(4, 0, 1, 0), eight=case(8, 1, 1, 0)))
    monkeypatch.setattr("xbarsim.cli.report.summaries_of", lambda traces: [summary])
    table = tmp_path / "curve.csv"
    words = ["report", "x.h5", "--against", "adc.bits", "--out", str(table)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rows = [line.split()[0:3:2] for line in done.stdout.splitlines()[1:]]
    assert rows == [["4", "100.00"], ["8", "50.00"]]
    with table.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["adc.bits"], row["case"]) for row in written] == [("4", "four"), ("8", "eight")]
