"""Every printed figure of `report --chip`, and the energies of a report, computed again by hand."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import summaries
from chip_by_hand import (
    MATRICES,
    SMALL,
    TOKENS,
    UNITS,
    multibit_by_hand,
    multiplications,
    price,
    printed_by_hand,
    run,
)
from chip_cases import approx, lower

from xbarsim.base.errors import TraceError
from xbarsim.chips.components import load_component
from xbarsim.chips.load import load_chip
from xbarsim.chips.schedule import schedule
from xbarsim.config.study import validate
from xbarsim.hardware.attributes import ProductAttributes
from xbarsim.models.graph import Kind, Role
from xbarsim.report import accuracy_and_cost, summary, text
from xbarsim.report.energy import Cost, cost_of
from xbarsim.report.steps import IrDrop, MatrixSummary, ProductSummary, Programming, product_summary
from xbarsim.studies import trace_reader
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.scores import Estimate
from xbarsim.studies.trace import TracedProduct
from xbarsim.studies.trace_layout import (
    Place,
    ProductRows,
)


def layer(number, role, inputs, outputs):
    one_cell = Programming(
        tiles=1,
        cells=1,
        clipped_weights=0,
        stuck_cells=0,
        bounded_cells=0,
        write_pulses=0,
        write_energy=None,
    )
    return MatrixSummary(
        name=f"layer.{number}.{role}",
        kind=Kind.MATRIX,
        role=Role(role),
        layer=number,
        local_snr_db=30.0,
        accumulated_snr_db=30.0,
        inputs=inputs,
        outputs=outputs,
        adc_saturated=0.0,
        dac_saturated=0.0,
        ir_drop=IrDrop(1.0, 0.0),
        programming=one_cell,
        array_energy_per_token=5e-9,
    )


def small_summary(path="runs/x.h5", heads=4, chip=None, **tables):
    """A summary of the matrices of SMALL with 10 sentences of 6 tokens."""
    multibit = load_chip("multibit").chip
    content = {
        "mapping": multibit.mapping.model_dump(),
        "dac": multibit.dac.model_dump(),
        "adc": multibit.adc.model_dump(),
    } | tables
    study = validate(content | ({"chip": chip} if chip else {}), "case")
    names = ("query", "key", "value", "attention_output", "intermediate", "output")
    layers = tuple(
        layer(number, name, *size)
        for number in (0, 1)
        for name, size in zip(names, MATRICES, strict=True)
    )
    case = summaries.case(
        "wide",
        0.7512,
        0.61,
        0.85,
        examples=10,
        layers=layers,
        cost=Cost({"tile_reads": 1.0}, {"ADC": 1e-9}, ()),
        study=study.to_toml(),
        chips=(0.7512,),
        change=Estimate(-0.1, -0.2, 0.0),
    )
    float32 = summaries.reference("float32", 0.9, 0.85, 0.95, examples=10)
    return summaries.summary(
        case, path=path, references=(float32,), examples=10, tokens=60, heads=heads
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_every_figure_of_the_joined_table(batch):
    """The table of `report --chip`: the array energy is that of the trace, 5 nJ per token and
    matrix.
    """
    found = load_chip("multibit")
    hand = multibit_by_hand(found, batch)
    latency = schedule(lower(found.chip, SMALL, TOKENS, batch).stages).of(batch)
    joules = sum(
        count * price(found, hand.components, role)
        for role, count in hand.events.items()
        if role != "cell"
    )
    joules += 12 * TOKENS * 5e-9 + hand.idle * latency / batch
    expected = printed_by_hand(hand.area, latency, batch, joules, multiplications())
    rows = accuracy_and_cost.join([small_summary()], ["multibit"], batch)
    header, (body,), remarks = accuracy_and_cost.table(rows)
    assert header == ("case", "chip", "accuracy x 100", "95 % interval", *expected)
    assert body == ("wide", "multibit", "75.12", "61.00 .. 85.00", *expected.values())
    assert remarks == [
        f"model: 6 tokens per sentence (mean), batch {batch}; energy per sentence",
        "wide on multibit: array reads circuit solve of the trace (cells and wires)",
    ]


def test_joined_files_carry_their_units(tmp_path):
    rows = accuracy_and_cost.join(
        [small_summary(), small_summary("runs/y.h5")], ["multibit", "isaac"], 2
    )
    as_json, as_csv = accuracy_and_cost.write_files(rows, tmp_path / "out")
    assert (as_json.name, as_csv.name) == ("joined.json", "joined.csv")
    header, *lines = csv.reader(as_csv.open())
    keys = ["trace", "case", "chip", "metric", "value", "low", "high", "sequence", "batch"]
    names = [*keys[:-2], "sequence (tokens)", "batch (sequences)"]
    assert header == [
        *names,
        *(f"{name} ({unit})" for name, unit in UNITS.items()),
        "read_energy",
        "differs",
    ]
    content = json.loads(as_json.read_text())
    assert len(lines) == len(content) == 4
    for row, line, entry in zip(rows, lines, content, strict=True):
        result = row.result
        expected = ["wide", result.chip, "accuracy", 0.7512, 0.61, 0.85, 6, 2]
        assert [entry[name] for name in keys[1:]] == expected and line[1:9] == [
            str(value) for value in expected
        ]
        values = [
            result.area,
            result.latency,
            result.latency / 2,
            result.joules,
            result.joules / 6,
            result.area * result.latency / 2,
            2 * result.macs / result.joules / 1e12,
            2 * result.macs / (result.latency / 2) / (result.area * 1e6) / 1e12,
            result.joules / (result.latency / 2),
            result.joules / (result.latency / 2) / result.area,
        ]
        assert [entry[name] for name in UNITS] == approx(values) and entry["units"] == UNITS
        assert [float(cell) for cell in line[9:19]] == approx(values)
        assert entry["differs"] == line[20] and entry["read_energy"] == line[19]
    assert content[0]["differs"] == "" and content[1]["differs"].startswith(
        "mapping.weight_bits 8/16; "
    )
    assert [entry["trace"] for entry in content] == ["runs/x.h5"] * 2 + ["runs/y.h5"] * 2
    own = accuracy_and_cost.to_json(rows, "runs/y.h5")["chips"]
    assert [entry["chip"] for entry in own] == ["multibit", "isaac"] and own[0] == content[2]
    assert accuracy_and_cost.to_json(rows, "runs/z.h5") == {}


def test_a_chip_of_another_organisation_is_marked():
    (row,) = accuracy_and_cost.join([small_summary(adc={"bits": 6})], ["multibit"])
    header, (body,), remarks = accuracy_and_cost.table([row])
    assert body[1] == "multibit*" and row.differs == ("adc.bits 6/8",)
    assert remarks[-1] == "  * the accuracy is of another organisation (case/chip): adc.bits 6/8"
    assert remarks[-2] == "wide on multibit: array reads mean conductance of 20.5 µS"


def differing(name, **tables):
    multibit = load_chip(name).chip
    content = {
        "mapping": multibit.mapping.model_dump(),
        "dac": multibit.dac.model_dump(),
        "adc": multibit.adc.model_dump(),
    }
    for table, values in tables.items():
        content[table] = content.get(table, {}) | values
    return accuracy_and_cost.differences(validate(content, "case"), multibit)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({}, ()),
        ({"mapping": {"word_lines": 64}}, ("mapping.word_lines 64/128",)),
        ({"mapping": {"bit_lines": 64}}, ("mapping.bit_lines 64/128",)),
        ({"mapping": {"placement": "twin"}}, ("mapping.placement twin/neighbour",)),
        ({"mapping": {"bits_per_cell": 1}}, ("mapping.bits_per_cell 1/2",)),
        ({"mapping": {"weight_bits": 6}}, ("mapping.weight_bits 6/8",)),
        ({"dac": {"bits": 6}}, ("dac.bits 6/8",)),
        ({"dac": {"digit_bits": 2}}, ("dac.digit_bits 2/1",)),
        ({"dac": {"read_time_ns": 50}}, ("dac.read_time_ns 50.0/100.0",)),
        ({"effects": {"converters": False}}, ("effects.converters false/true",)),
        ({"products": {"attention": "in_situ"}}, ("products.attention in_situ/digital",)),
        ({"products": {"weights": "computation"}}, ("kind synergy/in-situ",)),
    ],
)
def test_what_a_case_and_a_chip_do_not_share(tables, expected):
    assert differing("multibit", **tables) == expected


def test_what_pairs_and_computation_crossbars_do_not_share():
    assert differing("differential") == ()
    pair = load_chip("differential").chip
    assert pair.mapping.sign == "pair"
    other = "digital" if pair.mapping.subtraction == "analog" else "analog"
    assert differing("differential", mapping={"subtraction": other}) == (
        f"mapping.subtraction {other}/{pair.mapping.subtraction}",
    )
    synergy = load_chip("synergy").chip
    like = {"products": {"weights": "computation", "attention": "computation"}}
    assert accuracy_and_cost.differences(validate(like, "case"), synergy) == ()
    changed = {
        "word_lines": 64,
        "bit_lines": 32,
        "rows_per_conversion": 6,
        "adc_bits": 3,
        "digit_bits": 2,
        "sign": "offset",
    }
    assert accuracy_and_cost.differences(
        validate(like | {"computation": changed}, "case"), synergy
    ) == (
        "computation.word_lines 64/128",
        "computation.bit_lines 32/128",
        "computation.rows_per_conversion 6/3",
        "computation.adc_bits 3/2",
        "computation.digit_bits 2/1",
        "computation cells per digit 3/1",
    )
    weighted = changed | {"digit_cells": "weighted"}
    found = accuracy_and_cost.differences(
        validate(like | {"computation": weighted}, "case"), synergy
    )
    assert found[-1] == "computation cells per digit 2/1"
    digital = validate({"products": {"weights": "computation"}}, "case")
    assert accuracy_and_cost.differences(digital, synergy) == ("attention host/computation",)


def test_all_keys_that_differ_are_listed():
    case = small_summary(adc={"bits": 6}, dac={"bits": 8, "read_time_ns": 50.0})
    (row,) = accuracy_and_cost.join([case], ["multibit"])
    assert accuracy_and_cost.table([row])[2][-1] == (
        "  * the accuracy is of another organisation (case/chip): dac.encoding amplitude/bit_serial, "
        "dac.read_time_ns 50.0/100.0, adc.bits 6/8"
    )


def test_the_run_of_a_decoder_is_not_priced_as_an_encoder():
    """Matrices of a GPT-2 are those of a BERT; its task says that it predicts tokens."""
    found = small_summary(chip="multibit")
    decoder = dataclasses.replace(found, run=dataclasses.replace(found.run, task_kind="text"))
    assert accuracy_and_cost.not_joined([found]) == []
    assert accuracy_and_cost.join([decoder]) == []
    (note,) = accuracy_and_cost.not_joined([decoder])
    assert note.startswith("chip multibit: not joined, the run of a model that predicts tokens")


def test_which_chip_joins_which_case():
    named = small_summary(chip="multibit")
    assert [row.result.chip for row in accuracy_and_cost.join([named])] == ["multibit"]
    assert [row.result.chip for row in accuracy_and_cost.join([named], ["isaac", "a100"])] == [
        "isaac",
        "a100",
    ]
    assert (
        accuracy_and_cost.join([small_summary()]) == []
        and accuracy_and_cost.join([small_summary(heads=None)]) == []
    )
    with pytest.raises(TraceError, match="runs/x.h5 does not state the attention heads"):
        accuracy_and_cost.join([small_summary(heads=None)], ["multibit"])
    long = dataclasses.replace(named, tokens=76, sentences=10)
    assert accuracy_and_cost.join([long])[0].result.sequence == 8  # 7.6 rounded
    short = dataclasses.replace(named, tokens=3, sentences=10)
    assert accuracy_and_cost.join([short])[0].result.sequence == 1
    assert accuracy_and_cost.join([named])[0].result.batch == 1


def test_the_command_hands_the_batch_on(monkeypatch, tmp_path):
    monkeypatch.setattr(trace_reader, "read_trace", lambda path: path)
    monkeypatch.setattr(summary, "summarise", lambda path: small_summary(str(path)))
    done = run("report", "x.h5", "--chip", "multibit", "--batch", 3, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    expected = accuracy_and_cost.table(
        accuracy_and_cost.join([small_summary("x.h5")], ["multibit"], 3)
    )
    assert (
        all(cell in done.stdout for cell in expected[1][0])
        and "batch 3; energy per sentence" in done.stdout
    )
    assert json.loads((tmp_path / "joined.json").read_text())[0]["batch"] == 3


# ---------------------------------------------------------------- energies of a report


def counted(**events):
    """A traced product with two examples whose events and 8-bit converters are given."""
    counts = {name: np.array(values) for name, values in events.items()}
    return traced(array_energy=np.array([2e-9, 4e-9]), **counts)


def traced(**stated):
    """A traced product with two examples; what is not stated is one of everything."""
    errors = ErrorStatistics(
        relative_rms=np.full(2, 0.1),
        snr_db=np.full(2, 20.0),
        cosine=np.ones(2),
        maximum=np.ones(2),
        signal_rms=np.ones(2),
        error_rms=np.full(2, 0.1),
    )
    names = ("tile_reads", "adc_conversions", "dac_drives", "shift_adds", "cells_set")
    names += ("adc_saturations", "dac_saturations", "array_energy", "write_energy")
    ones = {name: np.ones(2) for name in names}
    ones |= {"comparisons": np.zeros(2), "multiplications": np.zeros(2)}
    return TracedProduct(
        Place(kind=Kind.PRODUCT, role=Role.ATTENTION_SCORES, layer=0),
        ProductAttributes(adc_bits=8, dac_bits=1),
        ProductRows(local=errors, accumulated=errors, **ones | stated),
    )


def test_energy_of_a_report_prices_every_event():
    """8-bit SAR: 2 mW at 1.2 GHz; 1-bit DAC: 1 of 1024 in 4 mW at 10 MHz; shift-and-add: 0.2 mW of
    4 at 1.2 GHz (ISAAC).
    """
    library = {
        name: load_component(name)
        for name in ("adc-sar-8b-32nm", "dac-1b-32nm", "shift-and-add-32nm")
    }
    layer = counted(adc_conversions=(3, 5), dac_drives=(10, 20), shift_adds=(7, 9))
    assert cost_of([layer, layer], 2).energy == {
        "ADC": approx(8 * library["adc-sar-8b-32nm"].energy),
        "DAC": approx(30 * library["dac-1b-32nm"].energy),
        "array (cells and wires)": approx(6e-9),
        "shift-and-add": approx(16 * library["shift-and-add-32nm"].energy),
    }
    assert library["shift-and-add-32nm"].energy > 0


def test_scales_of_inputs_are_priced_where_there_are_any():
    plain = counted(adc_conversions=(3, 5))
    scaled = counted(comparisons=(10, 20), multiplications=(100, 300))
    without = cost_of([plain], 2)
    assert "scales of inputs" not in without.energy and "comparisons" not in without.events
    cost = cost_of([plain, scaled], 2)
    assert (cost.events["comparisons"], cost.events["multiplications"]) == (15, 200)
    # pJ of 16 bits at 40 nm, both assumed
    assert cost.energy["scales of inputs"] == approx(15 * 0.105e-12 + 200 * 3.17e-12)
    assert "scales of inputs" in cost.assumed


def test_write_energy_is_not_known_where_nothing_states_it():
    def product(joules):
        found = traced(write_energy=np.array(joules))
        return product_summary("layer.0.attention_scores", found, np.array([3, 3]))

    unknown, known = product([0.0, 0.0]), product([2e-9, 4e-9])
    assert unknown.write_energy is None and known.write_energy == approx(3e-9)
    assert isinstance(unknown, ProductSummary)
    case = summaries.case("wide", 0.7, 0.6, 0.8, products=(unknown,))
    printed = "\n".join(text._products(case))
    assert "not known" in printed and "0 J" not in printed
    both = dataclasses.replace(case, products=(known, known))
    assert "6 nJ" in "\n".join(text._products(both))
