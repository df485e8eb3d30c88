"""Runs on large and small crossbars: computation crossbars, attention on tiles, several chips of a case."""

import numpy as np
import pytest
from full_trace import data_of
from tiny import SENTENCES, make_tiny_place, tiny_study

from xbarsim.base.units import interval_x100
from xbarsim.config.study import load_study
from xbarsim.report import accuracy_and_cost
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies import run
from xbarsim.studies.trace_reader import read_trace

IDEAL = {"wires": False, "programming": False, "converters": False, "read_noise": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny classifier and a task file with train and test sentences."""
    return make_tiny_place(tmp_path_factory.mktemp("place"))


SYNERGY = {
    "products": {"weights": "computation", "attention": "computation"},
    "effects": IDEAL | {"converters": True},
    "computation": {"word_lines": 16, "bit_lines": 16},
}


def test_ideal_computation_crossbars_are_the_int8_reference(place):
    """Weights on them are the int8 path to rounding; attention in int8 beside it costs what 8 bits
    cost.
    """
    cases = [
        {"name": "all", **SYNERGY},
        {"name": "weights", **SYNERGY, "products": {"weights": "computation"}},
    ]
    path = run.run_study(tiny_study(place, case=cases), place / "counted", threads=2)
    data, trace = data_of(path), read_trace(path)
    np.testing.assert_allclose(
        data["cases/weights/0/output"], data["reference/int8/output"], atol=2e-5
    )
    summary = summarise(trace)
    everything, weights = summary.cases
    assert weights.products == ()
    assert [found.name for found in everything.products] == [
        f"layer.{i}.{name}" for i in range(2) for name in ("attention_scores", "attention_context")
    ]
    assert all(
        25 < found.local_snr_db < 60 and found.adc_saturated == 0 for found in everything.products
    )
    assert abs(data["cases/all/0/output"] - data["reference/float32/output"]).max() < 0.2
    # in the first layer the only error so far is that of the 8-bit inputs and weights
    first = "cases/all/0/products/layer.0.attention_scores/"
    assert (
        data[first + "accumulated_relative_rms"] > data[first + "local_relative_rms"]
    ).mean() > 0.5
    # heads of width 4: 2 conversions of 3 and 1 rows, 64 bit pairs, 4 heads; one output per pair of
    # tokens
    lengths = data["examples/tokens"]
    np.testing.assert_array_equal(data[first + "adc_conversions"], 4 * lengths**2 * 64 * 2)
    np.testing.assert_array_equal(data[first + "cells_set"], 4 * 4 * lengths * 8)
    assert "cells set per example" in render(summary)


def test_both_modes_and_any_number_of_threads_say_the_same(place):
    noisy = SYNERGY | {
        "effects": IDEAL | {"converters": True, "read_noise": True, "telegraph_multiplier": 8.0}
    }
    cases = [
        {"name": mode, **noisy, "computation": noisy["computation"] | {"mode": mode}}
        for mode in ("direct", "statistical")
    ]
    first, second = (
        run.run_study(tiny_study(place, case=cases), place / f"modes{threads}", threads=threads)
        for threads in (1, 2)
    )
    data, again = data_of(first), data_of(second)
    for name, values in data.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)
    for layer in (
        "layers/layer.1.query",
        "layers/layer.0.output",
        "products/layer.0.attention_scores",
    ):
        direct, statistical = (
            np.sqrt(
                np.mean(
                    (
                        data[f"cases/{mode}/0/{layer}/local_relative_rms"]
                        * data[f"cases/{mode}/0/{layer}/local_signal_rms"]
                    )
                    ** 2
                )
            )
            for mode in ("direct", "statistical")
        )
        assert statistical == pytest.approx(direct, rel=0.15, abs=0), layer
        conversions = [
            data[f"cases/{mode}/0/{layer}/adc_conversions"] for mode in ("direct", "statistical")
        ]
        np.testing.assert_array_equal(*conversions)


def test_attention_on_in_situ_tiles_is_written_for_every_sentence(place):
    """Ideal tiles give the digital product; programming errors are drawn anew for every sentence
    and cost writes.
    """
    written = {"products": {"attention": "in_situ"}}
    cases = [
        {"name": "exact", "effects": IDEAL, **written},
        {"name": "programmed", **written, "effects": IDEAL | {"programming": True}},
    ]
    path = run.run_study(tiny_study(place, case=cases), place / "written", threads=2)
    data, trace = data_of(path), read_trace(path)
    np.testing.assert_allclose(
        data["cases/exact/0/output"], data["reference/float32/output"], atol=1e-4
    )
    first = "cases/programmed/0/products/layer.0.attention_scores/"
    error = data[first + "local_relative_rms"]
    assert (error > 0.01).all()
    same = [k for k, text in enumerate(SENTENCES * 3) if k >= 4 and text == SENTENCES[0]]
    assert len(set(error[[k - 4 for k in same]])) == len(same) > 1  # equal sentences, other errors
    np.testing.assert_array_equal(data[first + "cells_set"], 2 * 4 * 4 * data["examples/tokens"])
    assert summarise(trace).cases[1].products[0].local_snr_db < 40


def test_layer_overrides_choose_the_hardware(place):
    chosen = tiny_study(
        place,
        **SYNERGY,
        layer=[
            {"match": "layer.0.*", "products": {"weights": "in_situ"}},
            {"match": "*.attention_context", "products": {"attention": "digital"}},
        ],
    )
    chip = read_trace(run.run_study(chosen, place / "mixed", threads=1)).cases["chip"].chips[0]
    assert {name for name, layer in chip.layers.items() if layer.attributes.dac_bits == 1} == {
        f"layer.1.{kind}"
        for kind in ("query", "key", "value", "attention_output", "intermediate", "output")
    }
    assert list(chip.products) == ["layer.0.attention_scores", "layer.1.attention_scores"]


def test_systems_and_physics_become_a_table(place, tmp_path):
    """Of cases with a row and a column; not where a row lacks a column."""
    ideal, full = {"effects": IDEAL}, {"device": {"name": "rram-wan2022"}}
    cases = [
        {"name": f"{system} {name}", "row": system, "column": name, "adc": {"bits": bits}} | physics
        for system, bits in (("coarse", 3), ("fine", 8))
        for name, physics in (("ideal", ideal), ("full", full))
    ]
    for count, rows in ((4, 2), (3, 0)):
        path = run.run_study(tiny_study(place, case=cases[:count]), tmp_path, threads=1)
        summary = summarise(read_trace(path))
        lines = render(summary).splitlines()
        grid = [line for line in lines if line.startswith(("coarse ", "fine "))]
        assert len(grid) == rows
        values = [
            f"{100 * case.metric.value:.2f} ({interval_x100(case.metric.low, case.metric.high)})"
            for case in summary.cases
        ]
        assert [line.split(maxsplit=1)[1].split("  ")[0] for line in grid] == values[
            0 : 2 * rows : 2
        ]
        assert [line.rsplit("  ", 1)[1] for line in grid] == values[1 : 2 * rows : 2]
        assert ("accuracy x 100              ideal                     full" in lines) == (rows > 0)


def test_chips_of_a_case_differ_and_give_an_interval(place):
    path = run.run_study(
        tiny_study(place, run={"batch_examples": 4, "chips": 3}), place / "chips", threads=2
    )
    trace = read_trace(path)
    chips = trace.cases["chip"].chips
    assert chips[0].seed == trace.run.seed and len({chip.seed for chip in chips}) == 3
    assert (chips[0].output != chips[1].output).any()
    other = load_study(place / "study.toml", {"seed": chips[2].seed, "run": {"chips": 1}})
    alone = read_trace(run.run_study(other, place / "alone", threads=1)).cases["chip"].chips[0]
    np.testing.assert_array_equal(alone.output, chips[2].output)  # a chip is its seed
    summary = summarise(trace)
    case = summary.cases[0]
    accuracy = [(chip.output.argmax(axis=1) == trace.examples.label).mean() for chip in chips]
    assert case.chips.values == tuple(accuracy) and case.metric.value == pytest.approx(
        np.mean(accuracy), rel=1e-6, abs=0
    )
    half = 4.302653 * np.std(accuracy, ddof=1) / 3**0.5  # Student's t of 2 degrees, 97.5 %
    assert (case.chips.low, case.chips.high) == pytest.approx(
        (case.metric.value - half, case.metric.value + half), rel=1e-6, abs=0
    )
    assert "95 % over chips" in render(summary)
    float32 = (trace.reference["float32"].output.argmax(axis=1) == trace.examples.label).mean()
    assert case.change.value == pytest.approx(case.metric.value - float32, abs=1e-12)
    assert f"{round(100 * case.change.value, 2) + 0.0:+.2f} (" in render(summary)
    layer = case.layers[0]
    both = np.concatenate([chip.layers[layer.name].rows.local.snr_db for chip in chips])
    assert both.min() < layer.local_snr_db < both.max()


def test_the_figures_of_a_large_and_small_chip_join_its_case(place, tmp_path):
    cases = [
        {"name": "own", **SYNERGY, "computation": {}, "chip": "synergy"},
        {"name": "wide", **SYNERGY, "computation": {"rows_per_conversion": 5}, "chip": "synergy"},
        {"name": "in situ", "effects": IDEAL, "chip": "synergy"},
    ]
    path = run.run_study(tiny_study(place, case=cases), tmp_path)
    rows = accuracy_and_cost.join([summarise(read_trace(path))])
    assert [row.differs for row in rows] == [
        (),
        ("computation.rows_per_conversion 5/3",),
        ("kind in-situ/synergy",),
    ]


def test_a_model_read_from_a_failing_memory_loses_weights_on_computation_crossbars(place):
    cases = [
        {"name": "sound", **SYNERGY},
        {"name": "failing", **SYNERGY, "memory": {"errors": "stated", "cell_error_rate": 0.05}},
    ]
    data = data_of(run.run_study(tiny_study(place, case=cases), place / "memory", threads=1))
    error = [
        data[f"cases/{name}/0/layers/layer.0.query/local_relative_rms"].mean()
        for name in ("sound", "failing")
    ]
    assert error[1] > 5 * error[0]
