"""A metric against one key of a study: the cases of a trace as curves."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim.base.errors import ConfigError
from xbarsim.report.case_places import place_of
from xbarsim.report.files import estimate_cells, write_table
from xbarsim.report.metric_form import MetricForm, form_of
from xbarsim.report.summary import CaseSummary, Summary

Point = tuple[float, CaseSummary]  # value of the key, and the case
NAMES = ("name", "row", "column", "chip")  # keys that change no metric


@dataclass(frozen=True)
class Curve:
    """Cases of one series in the order of a key's value.

    series : their row, "" of cases without one
    """

    series: str
    points: tuple[Point, ...]


def against(summary: Summary, key: str) -> list[Curve]:
    """The cases of a Summary as Curves over a key such as `computation.rows_per_conversion`, whose
    values are numbers.

    Cases with the same `row` belong to one curve; cases whose study does not state the key (a
    node's own wire resistance, say) and curves of several cases that share one value of it are left
    out.

    Raises
    ------
    ConfigError : no case states the key, it is no number, or all cases share one value
    """
    series: dict[str, list[Point]] = {}
    for case in summary.cases:
        value = _value(case, key)
        if value is not None:
            series.setdefault(place_of(case).row or "", []).append((value, case))
    values = {value for points in series.values() for value, _ in points}
    if len(values) < 2:
        found = f"is {values.pop()} in all of them" if values else "is stated by none of them"
        raise ConfigError(
            f"the cases of {summary.path} do not differ in {key}, which {found}; "
            "name a key that the study's [[case]] tables vary"
        )
    return [_curve(name, points) for name, points in series.items() if _differ(points)]


def varied_key(summary: Summary) -> str | None:
    """The key that alone differs between the cases of a Summary beside their places and chips, and
    whose values are numbers; None where there is no such key.
    """
    stated = [_leaves(tomllib.loads(case.study), "") for case in summary.cases]
    keys = dict.fromkeys(key for of_case in stated for key in of_case)
    varied = [key for key in keys if key not in NAMES and _varies(key, stated)]
    if len(varied) != 1:
        return None
    if not all(_is_number(of_case.get(varied[0])) for of_case in stated):
        return None
    return varied[0]


def _varies(key: str, stated: Sequence[dict[str, Any]]) -> bool:
    return any(of_case.get(key) != stated[0].get(key) for of_case in stated)


def _leaves(content: dict[str, Any], prefix: str) -> dict[str, Any]:
    """{dotted key: value} of nested tables."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _value(case: CaseSummary, key: str) -> float | None:
    """The number that a case's study states for a key; None where it does not."""
    value = _lookup(tomllib.loads(case.study), key)
    if value is None:
        return None
    if not _is_number(value):
        raise ConfigError(
            f"{key} is {value!r} in case {case.name!r}; allowed: keys whose values are numbers"
        )
    number: float = value
    return number


def _lookup(content: Any, key: str) -> Any:
    """Value of a dotted key in nested tables; None where a table lacks it."""
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return None
        content = content[part]
    return content


def _differ(points: Sequence[Point]) -> bool:
    """Whether points make a curve: several values, or a single case."""
    return len(points) == 1 or len({value for value, _ in points}) > 1


def _curve(series: str, points: Sequence[Point]) -> Curve:
    return Curve(series, tuple(sorted(points, key=lambda point: point[0])))


def table(
    curves: Sequence[Curve], key: str, metric: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(header, rows) of strings."""
    form = form_of(metric)
    header = (
        key,
        "series",
        form.heading,
        "95 % interval",
        form.change,
        "95 % over chips",
        "chips",
    )
    rows = [
        _table_row(form, curve.series, value, case)
        for curve in curves
        for value, case in curve.points
    ]
    return header, rows


def _table_row(form: MetricForm, series: str, value: float, case: CaseSummary) -> tuple[str, ...]:
    change = "-"
    if case.change is not None:
        change = form.changed(case.change)
    over_chips = "-"
    if case.chips.low is not None and case.chips.high is not None:
        over_chips = form.interval(case.chips.low, case.chips.high)
    return (
        f"{value:g}",
        series or "-",
        form.value(case.metric.value),
        form.interval(case.metric.low, case.metric.high),
        change,
        over_chips,
        str(len(case.chips.values)),
    )


def write(curves: Sequence[Curve], key: str, metric: str, path: str | Path) -> Path:
    """The table as CSV, metrics as fractions; returns the path."""
    headings = [key, "series", "case", metric, "low", "high"]
    headings += ["chips_low", "chips_high", "chips", "change", "change_low", "change_high"]
    rows = [
        [
            value,
            curve.series,
            case.name,
            *estimate_cells(case.metric),
            case.chips.low,
            case.chips.high,
            len(case.chips.values),
            *estimate_cells(case.change),
        ]
        for curve in curves
        for value, case in curve.points
    ]
    path = Path(path)
    write_table(path, headings, rows)
    return path
