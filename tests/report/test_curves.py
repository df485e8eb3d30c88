"""Metric against a key: which cases make a curve, what the table and the file say."""

import csv
from dataclasses import replace

import pytest
import summaries

from xbarsim import config
from xbarsim.base.errors import ConfigError
from xbarsim.report.curves import Curve, against, table, write
from xbarsim.report.plots import runs
from xbarsim.report.summary import OverChips
from xbarsim.studies.scores import Estimate

FLOAT = summaries.reference("float32", 0.9, 0.85, 0.95)


def case(name, value, chips=(), **tables):
    """A case that a test calls "ROW: COLUMN" has these keys."""
    row, _, column = name.partition(": ")
    if column:
        tables |= {"row": row, "column": column}
    over = (min(chips) - 0.1, max(chips) + 0.1) if chips else (None, None)
    return summaries.case(
        name,
        value,
        value - 0.05,
        value + 0.05,
        study=config.validate(tables, name).to_toml(),
        chips=chips,
        over=over,
        change=Estimate(value - 0.9, value - 0.92, value - 0.88),
    )


def summary(*cases):
    return summaries.summary(*cases, references=(FLOAT,))


SOME = summary(
    case("wide: 4", 0.6, (0.5, 0.7), adc={"bits": 4}),
    case("wide: 2", 0.5, (0.4, 0.6), adc={"bits": 2}),
    case("narrow: 2", 0.4, adc={"bits": 2}),
    case("ideal", 0.9, adc={"bits": 8}),
)


def test_cases_become_curves_in_the_order_of_the_key():
    curves = against(SOME, "adc.bits")
    assert [(curve.series, [value for value, _ in curve.points]) for curve in curves] == [
        ("wide", [2, 4]),
        ("narrow", [2]),
        ("", [8]),
    ]
    assert curves[0].points[0][1].metric.value == 0.5


def test_defaults_count_and_cases_without_the_key_are_left_out():
    found = summary(
        case("a", 0.5),
        case("b", 0.6, wires={"word_line_resistance_ohm": 3.0}),
        case("c", 0.7, wires={"word_line_resistance_ohm": 5.0}),
    )
    assert [value for value, _ in against(found, "wires.word_line_resistance_ohm")[0].points] == [
        3.0,
        5.0,
    ]
    constant = summary(
        case("a: 1", 0.5), case("a: 2", 0.6), case("b: 1", 0.6, adc={"bits": 4}), case("c: 1", 0.7)
    )
    assert [curve.series for curve in against(constant, "adc.bits")] == [
        "b",
        "c",
    ]  # of "a" nothing varies
    varied = summary(case("a", 0.5), case("b", 0.6, adc={"bits": 4}))
    assert [value for value, _ in against(varied, "adc.bits")[0].points] == [4, 8]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("adc.bit", "is stated by none"),
        ("dac.bits", "is 8 in all of them"),
        ("adc.per", "keys whose values are numbers"),
        ("effects.wires", "keys whose values are numbers"),
        ("adc", "keys whose values are numbers"),
        ("name.x", "by none"),
    ],
)
def test_keys_that_make_no_curve(key, message):
    with pytest.raises(ConfigError, match=message):
        against(SOME, key)


def test_table_file_and_picture_say_the_same(tmp_path):
    curves = against(SOME, "adc.bits")
    _, rows = table(curves, "adc.bits", "accuracy")
    assert rows[1] == (
        "4",
        "wide",
        "60.00",
        "55.00 .. 65.00",
        "-30.00 (-32.00 .. -28.00)",
        "40.00 .. 80.00",
        "2",
    )
    assert rows[2][5] == "-"
    written = list(
        csv.DictReader(write(curves, "adc.bits", "accuracy", tmp_path / "new" / "t.csv").open())
    )
    assert [(row["adc.bits"], row["series"], float(row["accuracy"])) for row in written] == [
        ("2", "wide", 0.5),
        ("4", "wide", 0.6),
        ("2", "narrow", 0.4),
        ("8", "", 0.9),
    ]
    assert float(written[0]["change"]) == pytest.approx(-0.4)
    assert float(written[0]["chips_low"]) == pytest.approx(0.3, abs=1e-12)
    for chosen in (SOME, replace(SOME, references=())):
        assert (
            runs.against_key(chosen, curves, "adc.bits", tmp_path / "p.png").stat().st_size > 10_000
        )


def test_every_cell_of_table_and_file(tmp_path):
    one = case("w: x", 0.6, (0.5, 0.7), adc={"bits": 4})
    other = replace(
        case("w: y", 0.5, adc={"bits": 4}), change=None, chips=OverChips((0.5,), None, None)
    )
    curves = [Curve("w", ((4, one), (6.5, other)))]
    header, rows = table(curves, "adc.bits", "accuracy")
    assert header == (
        "adc.bits",
        "series",
        "accuracy x 100",
        "95 % interval",
        "minus float32, paired",
        "95 % over chips",
        "chips",
    )
    assert rows[1] == ("6.5", "w", "50.00", "45.00 .. 55.00", "-", "-", "1")
    assert table([Curve("", ((4, one),))], "k", "f1")[1][0][1] == "-"
    path = write(curves, "adc.bits", "accuracy", str(tmp_path / "t.csv"))
    written = list(csv.DictReader(path.open()))
    assert list(written[0]) == [
        "adc.bits",
        "series",
        "case",
        "accuracy",
        "low",
        "high",
        "chips_low",
        "chips_high",
        "chips",
        "change",
        "change_low",
        "change_high",
    ]
    first = written[0]
    assert (first["series"], first["case"], first["chips"]) == ("w", "w: x", "2")
    figures = [float(first[key]) for key in ("low", "high", "chips_low", "chips_high")]
    assert figures == pytest.approx([0.55, 0.65, 0.4, 0.8], rel=1e-12)
    assert float(first["change_low"]) < float(first["change"]) < float(first["change_high"])
    assert written[1]["change"] == written[1]["change_high"] == written[1]["chips_low"] == ""


def test_cases_of_one_value_keep_the_order_of_the_study():
    found = summary(
        case("a: x", 0.5, adc={"bits": 4}),
        case("a: y", 0.4, adc={"bits": 4}),
        case("a: b: z", 0.6, adc={"bits": 2}),
    )
    (curve,) = against(found, "adc.bits")
    assert [point.name for _, point in curve.points] == ["a: b: z", "a: x", "a: y"]


@pytest.mark.parametrize(
    ("key", "which"),
    [
        ("dac.bits", "is 8 in all of them"),
        ("adc.bit", "is stated by none of them"),
    ],
)
def test_the_whole_message_where_nothing_differs(key, which):
    with pytest.raises(ConfigError) as caught:
        against(SOME, key)
    assert str(caught.value) == (
        f"the cases of runs/x.h5 do not differ in {key}, which {which}; "
        "name a key that the study's [[case]] tables vary"
    )


def test_a_case_without_a_change_has_three_empty_cells(tmp_path):
    curves = [Curve("", ((4, replace(case("x", 0.5), change=None)),))]
    path = write(curves, "k", "f1", tmp_path / "t.csv")
    assert path.read_bytes().splitlines()[1] == b"4,,x,0.5,0.45,0.55,,,0,,,"
