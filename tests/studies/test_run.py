"""The whole chain on a tiny random BERT: ideal arrays, reproducibility, interrupted runs, the
trace.
"""

import csv
import dataclasses
import json
import subprocess
import sys
import tomllib

import h5py
import numpy as np
import pytest
from full_trace import data_of
from tiny import make_tiny_place, tiny_study

from xbarsim.base.errors import ConfigError, OutOfRangeError, TraceError
from xbarsim.chips.load import chip_text
from xbarsim.models import bert_checkpoint, int8
from xbarsim.models.graph import Kind
from xbarsim.models.network import embed
from xbarsim.report import accuracy_and_cost
from xbarsim.report.files import write_files
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies import evaluation, pieces, run
from xbarsim.studies.batch import run_batch
from xbarsim.studies.prepare import prepare
from xbarsim.studies.trace_layout import arrays_of
from xbarsim.studies.trace_reader import read_trace

IDEAL = {"wires": False, "programming": False, "converters": False, "read_noise": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny classifier and a task file with train and test sentences."""
    return make_tiny_place(tmp_path_factory.mktemp("place"))


DEVICE = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [0.0, 40.0], source = "t" }
write = { pulse_energy_pj = 3.0, pulse_time_ns = 40.0, source = "t" }
spread = { cycle_to_cycle_relative_sigma = 0.01, source = "t" }
drift = { reference_s = 1.0, nu_mean = 0.02, nu_sigma = 0.005, valid_time_s = [1.0, 1e6], source = "t" }
temperature = { reference_k = 300.0, activation_energy_ev = 0.01, valid_range_k = [250.0, 400.0], source = "t" }
stuck = { on_rate = 0.01, bit_line_off_rate = 0.03, source = "t" }
read_disturb = { rate_per_read = 1e-6, toward = "minimum", source = "t" }

[write_verify]
step_up_us = 2.0
step_down_us = 2.0
step_relative_sigma = 0.2
tolerance_us = 1.5
maximum_pulses = 100
source = "t"

[relaxation]
variance_offset_us2 = 0.5
variance_slope_us2 = 0.1
valid_time_s = [1.0, 1e6]
source = "t"

[read_noise]
relative_sigma = 0.01
flicker = { amplitude = 0.005, source = "t" }
telegraph = { relative_amplitude = 0.05, dwell_high_s = 1e-3, dwell_low_s = 1e-3, cell_fraction = 0.5, source = "t" }
source = "t"
"""
CASES = [{"name": "chip"}, {"name": "ideal", "effects": IDEAL}]


@pytest.fixture(scope="module")
def trace_path(place):
    return run.run_study(tiny_study(place, case=CASES), place / "runs", threads=2)


def test_ideal_arrays_reproduce_float32(trace_path):
    data = data_of(trace_path)
    exact = data["reference/float32/output"]
    np.testing.assert_allclose(data["cases/ideal/0/output"], exact, atol=1e-5 * abs(exact).max())
    assert (
        max(
            data[f"cases/ideal/0/layers/layer.{i}.output/local_relative_rms"].max()
            for i in range(2)
        )
        < 1e-5
    )
    assert abs(data["cases/chip/0/output"] - exact).max() > 1e-3 * abs(exact).max()


def test_same_bits_for_any_number_of_threads_and_again(place, trace_path):
    again = run.run_study(tiny_study(place, case=CASES), place / "again", threads=1)
    first, second = data_of(trace_path), data_of(again)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_every_device_effect_at_once_is_reproducible_and_counted(place):
    """Write-verify, spread, relaxation, drift, noise, temperature, faults: same bits for 1 and 2
    threads.
    """
    device = tomllib.loads(DEVICE)
    (place / "device.toml").write_text(DEVICE)
    tables = {
        "device": {
            "name": str(place / "device.toml"),
            "time_s": 1000.0,
            "temperature_k": 320.0,
            "reads": 100,
        }
    }
    first, second = (
        run.run_study(tiny_study(place, **tables), place / f"device{threads}", threads=threads)
        for threads in (1, 2)
    )
    again = data_of(second)
    for name, values in data_of(first).items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)
    assert np.isfinite(data_of(first)["cases/chip/0/output"]).all()
    summary = summarise(read_trace(first))
    programmed = [layer.programming for layer in summary.cases[0].layers]
    assert all(found.stuck_cells > 0 and found.write_pulses > found.cells for found in programmed)
    energy = sum(found.write_energy for found in programmed)
    pulses = sum(found.write_pulses for found in programmed)
    assert energy == pytest.approx(
        pulses * device["write"]["pulse_energy_pj"] * 1e-12, rel=1e-6, abs=0
    )
    assert "pulses program all cells once" in render(summary)


def test_a_time_outside_the_device_is_refused_before_anything_runs(place):
    with pytest.raises(OutOfRangeError, match="device.time_s"):
        run.run_study(tiny_study(place, device={"name": "pcm", "time_s": 1.0}), place / "x")
    assert not (place / "x").exists()


def test_another_seed_is_another_chip(place, trace_path):
    other = data_of(run.run_study(tiny_study(place, seed=7), place / "other"))
    assert (other["cases/chip/0/output"] != data_of(trace_path)["cases/chip/0/output"]).any()
    np.testing.assert_array_equal(
        other["reference/float32/output"], data_of(trace_path)["reference/float32/output"]
    )


def test_memory_equals_the_file_and_every_array_has_a_unit(trace_path):
    trace, data = read_trace(trace_path), data_of(trace_path)
    assert trace.run.complete
    np.testing.assert_array_equal(trace.examples.label, data["examples/label"])
    np.testing.assert_array_equal(trace.cases["chip"].chips[0].output, data["cases/chip/0/output"])
    for matrix, layer in trace.cases["chip"].chips[0].layers.items():
        for name, values in arrays_of(layer.rows).items():
            np.testing.assert_array_equal(values, data[f"cases/chip/0/layers/{matrix}/{name}"])
    with h5py.File(trace_path) as file:
        missing = []
        file.visititems(
            lambda name, item: (
                missing.append(name)
                if isinstance(item, h5py.Dataset) and "unit" not in item.attrs
                else None
            )
        )
    assert not missing


def test_errors_and_events_of_the_report_are_those_of_the_raw_file(trace_path):
    summary, data = summarise(read_trace(trace_path)), data_of(trace_path)
    chip = summary.cases[0]
    correct = data["cases/chip/0/output"].argmax(axis=1) == data["examples/label"]
    assert chip.metric.value == correct.mean() and chip.examples == len(correct)
    layer = next(layer for layer in chip.layers if layer.name == "layer.1.output")
    raw = "cases/chip/0/layers/layer.1.output/"
    tokens = data["examples/tokens"]
    signal = (data[raw + "local_signal_rms"] ** 2 * tokens).sum()
    error = (
        (data[raw + "local_relative_rms"] * data[raw + "local_signal_rms"]) ** 2 * tokens
    ).sum()
    assert layer.local_snr_db == pytest.approx(10 * np.log10(signal / error), rel=1e-6, abs=0)
    conversions = sum(
        data[f"cases/chip/0/layers/{m.name}/adc_conversions"].sum() for m in chip.layers
    )
    assert chip.cost.events["adc_conversions"] == pytest.approx(
        conversions / len(tokens), rel=1e-6, abs=0
    )
    # 16 and 32 wide matrices on 16 x 16 tiles: 4 of 16 x 16, one 16 -> 32, one 32 -> 16;
    # conversions per token
    per_token = 2 * (4 * 16 + 32 + 2 * 16)
    assert conversions == per_token * tokens.sum()
    assert chip.cost.energy["ADC"] == pytest.approx(
        conversions / len(tokens) * 1.6667e-12, rel=1e-6, abs=0
    )


def test_text_csv_and_json_say_the_same(trace_path, tmp_path):
    summary = summarise(read_trace(trace_path))
    text = render(summary)
    as_json, paths, layers = write_files([summary], tmp_path)
    content = json.loads(as_json.read_text())[0]
    rows = list(csv.DictReader(paths.open()))
    assert [row["path"] for row in rows] == ["float32", "int8", "chip", "ideal"]
    for row, path in zip(rows[2:], content["cases"], strict=True):
        assert float(row["value"]) == path["value"] and f"{100 * path['value']:.2f}" in text
    assert len(list(csv.DictReader(layers.open()))) == 2 * 12


def test_the_int8_row_has_the_ranges_of_all_calibration_tokens(place, monkeypatch):
    """However few tokens calibrate the arrays: `evaluate` and a plain loop, sentence by sentence,
    have the same outputs.
    """
    monkeypatch.setattr("xbarsim.studies.held_out.CALIBRATION_TOKENS", 3)
    study = tiny_study(place, case=[{"name": "ideal", "effects": IDEAL}])
    found = read_trace(run.run_study(study, place / "runs", threads=1)).reference["int8"].output
    prepared = prepare(study)
    largest = {}

    def widen(step, reference, *operands, rows):
        if step.kind is Kind.MATRIX:
            of_sentence = float(np.abs(operands[0]).max())
            largest[step.name] = max(largest.get(step.name, 0.0), of_sentence)
        return reference(*operands)

    for sentence in prepared.calibration:
        embed(prepared.model, [sentence], widen, threads=1)
    shared = int8.input_ranges(prepared.model, prepared.calibration)
    assert shared == pytest.approx(largest, rel=1e-5)
    assert found.shape == (26, 2)
    for ranges in (shared, largest):
        hook = int8.int8_hook(prepared.model, ranges)
        features = embed(prepared.model, prepared.tokens, hook, threads=1)
        np.testing.assert_allclose(found, prepared.head.outputs(features), rtol=0, atol=2e-5)
    whole = evaluation.evaluate_files(study.model.name, study.task.name, "int8")
    assert (found.argmax(axis=1) == prepared.scored.targets).mean() == whole.metrics[0].value


def test_an_interrupted_run_keeps_what_it_had(place, monkeypatch):
    calls = []

    def failing(model, hardware, examples, batch, real=run_batch):
        calls.append(batch)
        if batch.start >= 8:
            raise KeyboardInterrupt
        return real(model, hardware, examples, batch)

    monkeypatch.setattr(pieces, "run_batch", failing)
    with pytest.raises(KeyboardInterrupt):
        run.run_study(tiny_study(place), place / "broken", threads=1)
    trace = read_trace(place / "broken" / "tiny.h5")
    assert not trace.run.complete
    assert trace.cases["chip"].chips[0].done.tolist() == [True] * 8 + [False] * (
        len(trace.examples.label) - 8
    )
    summary = summarise(trace)
    assert summary.cases[0].examples == 8 and "INCOMPLETE" in render(summary)


def test_a_killed_process_leaves_every_finished_path(place, tmp_path):
    """And of the path under way what was saved meanwhile: every batch, where saving may take all
    the time."""
    code = (
        "import os, time\n"
        "from xbarsim.config import load_study\n"
        "from xbarsim.studies import pieces, run, trace_writer\n"
        "trace_writer.SAVING_SHARE = float('inf')\n"
        "real = pieces.run_batch\n"
        "def kill(model, hardware, examples, batch):\n"
        "    if batch.start >= 8:\n"
        "        time.sleep(1)                       # the batches before are being written\n"
        "        os._exit(9)\n"
        "    return real(model, hardware, examples, batch)\n"
        "pieces.run_batch = kill\n"
        f"run.run_study(load_study({str(place / 'study.toml')!r}), {str(tmp_path)!r}, "
        f"threads=1)\n"
    )
    tiny_study(place)
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 9
    assert not (tmp_path / "tiny.h5").exists()
    for name in ("tiny.h5", "tiny.parts"):  # the name of the finished trace finds its parts
        trace = read_trace(tmp_path / name)
        assert trace.path == tmp_path / "tiny.parts" and not trace.run.complete
        assert trace.reference["int8"].done.all()
        assert trace.cases["chip"].chips[0].done.sum() == 8


def test_a_trace_that_an_older_run_is_writing_says_so(trace_path, tmp_path):
    (tmp_path / "open.h5").write_bytes(trace_path.read_bytes())
    code = "import sys, h5py\nfile = h5py.File(sys.argv[1], 'a')\nprint('open', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "open.h5")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        writer.stdout.readline()
        with pytest.raises(TraceError, match="is being written by a run"):
            read_trace(tmp_path / "open.h5")
        writer.stdin.close()


def test_files_that_are_no_trace_of_ours(trace_path, tmp_path):
    with pytest.raises(TraceError, match="no trace at"):
        read_trace(tmp_path / "nowhere.h5")
    (tmp_path / "cut.h5").write_bytes(trace_path.read_bytes()[:5000])
    with pytest.raises(TraceError, match="truncated or not HDF5"):
        read_trace(tmp_path / "cut.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(TraceError, match="not a trace of xbarsim"):
        read_trace(tmp_path / "foreign.h5")
    (tmp_path / "old.h5").write_bytes(trace_path.read_bytes())
    with h5py.File(tmp_path / "old.h5", "a") as file:
        file.attrs["version"] = 0
    with pytest.raises(TraceError, match="version 0; this xbarsim reads versions 2 to 5"):
        read_trace(tmp_path / "old.h5")


def test_a_metric_that_does_not_fit_is_refused_before_anything_runs(place):
    with pytest.raises(ConfigError, match="task.metric = 'spearman' does not fit"):
        run.run_study(
            tiny_study(place, task={"name": str(place / "task.tsv"), "metric": "spearman"}),
            place / "x",
        )
    assert not (place / "x").exists()


def test_a_report_loads_no_kernel(trace_path):
    code = (
        "import sys; from xbarsim.cli.app import main; sys.argv = ['xbarsim', 'report', sys.argv[1]]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'numba', 'xbarsim.kernels'} & set(sys.modules), 'kernels were loaded'"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(trace_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def test_functions_are_traced_like_matrices(place):
    tables = {
        "softmax": {"unit": "table", "input_bits": 12, "output_bits": 12},
        "gelu": {"unit": "table", "range": 0.5},
    }
    cases = [
        {"name": "narrow", "effects": IDEAL, "functions": tables},
        {"name": "float", "effects": IDEAL},
    ]
    path = run.run_study(tiny_study(place, case=cases), place / "functions", threads=2)
    summary = summarise(read_trace(path))
    narrow, exact = summary.cases
    assert [found.name for found in narrow.operations] == [
        f"layer.{i}.{name}" for i in range(2) for name in ("attention_softmax", "gelu")
    ]
    assert exact.operations == ()
    assert all(10 < found.local_snr_db < 80 for found in narrow.operations)
    held = {found.name: found.saturations for found in narrow.operations}
    assert held["layer.0.gelu"] > 0 and held["layer.0.attention_softmax"] == 0
    # In the first layer the input is that of the float path, so that both kinds of error are the
    # same there.
    data, first = data_of(path), "cases/narrow/0/operations/layer.0.attention_softmax/"
    np.testing.assert_allclose(
        data[first + "local_relative_rms"], data[first + "accumulated_relative_rms"], rtol=1e-3
    )
    assert "worst local SNR" in render(summary)
    alone = run.run_study(
        tiny_study(place, case=cases, run={"batch_examples": 1}), place / "functions", threads=1
    )
    counts = "cases/narrow/0/operations/layer.0.gelu/saturations"
    np.testing.assert_array_equal(data[counts], data_of(alone)[counts])


def test_accuracy_joins_the_figures_of_chips(place, tmp_path):
    """A case that is the chip takes its array energy from the circuit solve; another is marked as
    different.
    """
    text = chip_text("differential").replace(
        "word_lines = 128\nbit_lines = 128", "word_lines = 16\nbit_lines = 16"
    )
    (place / "small.toml").write_text(
        text.replace("bit_lines_per_adc = 128", "bit_lines_per_adc = 16")
    )
    cases = [
        {"name": "chip", "chip": str(place / "small.toml")},
        {"name": "ideal", "effects": IDEAL},
    ]
    summary = summarise(
        read_trace(run.run_study(tiny_study(place, case=cases), tmp_path, threads=1))
    )
    own = accuracy_and_cost.join([summary])
    assert [(row.case, row.result.chip, row.differs) for row in own] == [("chip", "small", ())]
    heads = bert_checkpoint.load_bert(place / "model").config.heads
    scores = [
        count
        for (role, stage), count in own[0].result.events.items()
        if role == "softmax" and stage == "layer.0.attention_softmax"
    ]
    assert scores == [heads * own[0].result.sequence ** 2]
    with pytest.raises(TraceError, match="does not state the attention heads"):
        accuracy_and_cost.join(
            [dataclasses.replace(summary, run=dataclasses.replace(summary.run, heads=None))]
        )
    result = own[0].result
    assert "circuit solve" in result.read_energy
    solved = (
        sum(layer.array_energy_per_token for layer in summary.cases[0].layers) * result.sequence
    )
    assert result.by_component()["cell"] == pytest.approx(solved, rel=1e-9, abs=0)
    per_example = summary.cases[0].cost.events["adc_conversions"]
    conversions = (
        sum(count for (role, _), count in result.events.items() if role == "adc") / result.sequence
    )
    assert conversions == pytest.approx(
        per_example * summary.examples / summary.tokens, rel=1e-6, abs=0
    )
    rows = accuracy_and_cost.join([summary], ["multibit", "a100"])
    assert len(rows) == 4 and "mapping.word_lines 16/128" in rows[0].differs
    assert rows[2].differs == ("effects.converters false/true",) and rows[1].differs == (
        "kind in-situ/processor",
    )
    header, body, remarks = accuracy_and_cost.table(rows)
    assert body[0][1] == "multibit*" and any("another organisation" in line for line in remarks)
    as_json, as_csv = accuracy_and_cost.write_files(rows, tmp_path / "out")
    assert len(json.loads(as_json.read_text())) == len(list(csv.DictReader(as_csv.open()))) == 4
