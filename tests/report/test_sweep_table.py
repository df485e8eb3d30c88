"""A sweep side by side: figures are those of its traces; the front and the swings by hand."""

import json
from pathlib import Path

import pytest

from xbarsim.base.errors import ConfigError
from xbarsim.config.sweep import Range
from xbarsim.report import sweep_table
from xbarsim.report.summary import Estimate, OverChips, summarise
from xbarsim.report.sweep_table import SweepRow, SweepTable, open_study
from xbarsim.studies.sweep_directory import State
from xbarsim.studies.trace_reader import read_trace


def row(point, metric, joules, area=None, latency=None, **values):
    return SweepRow(
        point=point,
        values=values,
        case="chip",
        metric=Estimate(metric, metric - 0.1, metric + 0.1),
        chips=OverChips((metric,), None, None),
        change=None,
        joules=joules,
        area=area,
        latency=latency,
        trace=Path(f"point-{point:05}.h5"),
    )


def table_of(*rows, metric="accuracy", axes=None):
    return SweepTable(
        directory=Path("sweeps"),
        study="by hand",
        metric=metric,
        axes=axes or {"a.x": (1, 2), "a.y": (1, 2)},
        rows=rows,
        states={1: State.DONE, 2: State.DONE, 3: State.WAITING, 4: State.FAILED},
        failures={4: "no device"},
    )


FOUR = (
    row(1, 0.70, 3e-6, **{"a.x": 1, "a.y": 1}),
    row(2, 0.80, 4e-6, **{"a.x": 1, "a.y": 2}),
    row(3, 0.75, 5e-6, **{"a.x": 2, "a.y": 1}),
    row(4, 0.60, 2e-6, **{"a.x": 2, "a.y": 2}),
)


def test_the_front_holds_what_nothing_beats():
    assert [found.point for found in table_of(*FOUR).pareto()] == [1, 2, 4]
    # of a perplexity the smaller is the better: point 4 beats all
    assert [found.point for found in table_of(*FOUR, metric="perplexity").pareto()] == [4]
    slower = row(5, 0.60, 2e-6, area=2e-6, latency=1e-3)
    larger = row(6, 0.60, 2e-6, area=3e-6, latency=1e-3)
    faster = row(7, 0.60, 2e-6, area=3e-6, latency=5e-4)
    assert [found.point for found in table_of(slower, larger, faster).pareto()] == [5, 7]


def test_swings_are_differences_of_means_widest_first():
    x, y = table_of(*FOUR).swings()
    assert (x.axis, x.lowest, x.highest) == ("a.x", pytest.approx(0.675), pytest.approx(0.75))
    assert (x.at_lowest, x.at_highest) == ("2", "1") and x.width == pytest.approx(0.075)
    assert (y.axis, y.lowest, y.highest) == ("a.y", pytest.approx(0.70), pytest.approx(0.725))


def test_a_range_is_cut_into_quarters_of_its_points():
    rows = [row(k, 0.1 * k, 1.0, **{"a.x": float(k)}) for k in range(1, 9)]
    (swing,) = table_of(*rows, axes={"a.x": Range(low=0.0, high=10.0)}).swings()
    assert swing.lowest == pytest.approx(0.15) and swing.at_lowest == "1 to 3"
    assert swing.highest == pytest.approx(0.75) and swing.at_highest == "7 to 8"


def test_words_and_columns():
    found = table_of(*FOUR)
    header, rows = sweep_table.table(found)
    assert header[:5] == ("point", "a.x", "a.y", "case", "accuracy x 100")
    assert rows[1][:6] == ("2", "1", "2", "chip", "80.00", "70.00 .. 90.00")
    assert rows[1][7] == "4" and [cells[-1] for cells in rows] == ["*", "*", "", "*"]
    words = sweep_table.remarks(found)
    assert words[:2] == ["2 done, 0 running, 1 failed, 1 waiting", "point 4 failed: no device"]
    assert words[2] == "a.x: 67.50 at 2 to 75.00 at 1"
    header, rows = sweep_table.table(table_of(*FOUR, metric="perplexity"))
    assert header[4] == "perplexity" and rows[1][4] == "0.80"


@pytest.fixture(scope="module")
def directory(swept):
    return swept


def test_rows_are_those_of_the_traces(directory):
    found = open_study(directory.path)
    assert found.metric == "accuracy" and found.count(State.DONE) == 4
    for of_point, point in zip(found.rows, directory.points, strict=True):
        summary = summarise(read_trace(directory.trace(point)))
        case = summary.cases[0]
        assert of_point.values == point.values and of_point.metric == case.metric
        assert of_point.joules == sum(case.cost.energy.values())
        assert of_point.area > 0 and of_point.latency > 0
    as_json = json.loads(json.dumps(found.to_json()))
    assert as_json["rows"][2]["adc.bits"] == 2 and as_json["points"]["done"] == 4


def test_a_sweep_under_way_has_the_points_that_are_done(directory, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in directory.path.iterdir():
        if path.name != "point-00003.h5":
            (copy / path.name).write_bytes(path.read_bytes())
    found = open_study(copy)
    assert [of_point.point for of_point in found.rows] == [1, 2, 4]
    assert found.states[3] is State.WAITING
    with pytest.raises(ConfigError, match="holds no sweep"):
        open_study(tmp_path)


def test_the_table_as_csv(directory, tmp_path):
    path = sweep_table.write(open_study(directory.path), tmp_path / "sweep.csv")
    lines = path.read_text().splitlines()
    assert lines[0].startswith("point,wires.word_line_resistance_ohm,adc.bits,case,value,low,high")
    assert len(lines) == 5 and lines[3].startswith("3,200.0,2,chip,")


def test_pandas_and_xarray(directory):
    pytest.importorskip("pandas")
    found = open_study(directory.path)
    frame = found.to_pandas()
    assert list(frame["adc.bits"]) == [2, 8, 2, 8] and len(frame) == 4
    pytest.importorskip("xarray")
    data = found.to_xarray()
    one = data["value"].sel(
        {"wires.word_line_resistance_ohm": 200.0, "adc.bits": 8, "case": "chip"}
    )
    assert float(one) == found.rows[3].metric.value
