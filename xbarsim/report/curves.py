"""A metric against one key of a study: the cases of a trace as curves."""

import csv
import tomllib
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.units import change_x100, interval_x100
from xbarsim.report.case_places import place_of
from xbarsim.report.summary import PathSummary


@dataclass(frozen=True)
class Curve:
    """Cases of one series in the order of a key's value.

    series : their row, "" of cases without one
    """

    series: str
    points: tuple[tuple[float, PathSummary], ...]


def against(summary, key):
    """The cases of a Summary as Curves over a key such as `computation.rows_per_conversion`, whose
    values are numbers.

    Cases with the same `row` belong to one curve; cases whose study does not state the key (a
    node's own wire resistance, say) and curves of several cases that share one value of it are left
    out.

    Raises
    ------
    ConfigError : no case states the key, it is no number, or all cases share one value
    """
    curves = {}
    for case in summary.cases:
        value = _lookup(tomllib.loads(case.study), key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(
                f"{key} is {value!r} in case {case.name!r}; allowed: keys whose values are numbers"
            )
        series = place_of(case).row or ""
        curves.setdefault(series, []).append((value, case))
    values = {value for points in curves.values() for value, _ in points}
    curves = {
        series: points
        for series, points in curves.items()
        if len(points) == 1 or len({value for value, _ in points}) > 1
    }
    if len(values) < 2:
        found = f"is {values.pop()} in all of them" if values else "is stated by none of them"
        raise ConfigError(
            f"the cases of {summary.path} do not differ in {key}, which {found}; "
            "name a key that the study's [[case]] tables vary"
        )
    return [
        Curve(series, tuple(sorted(points, key=lambda point: point[0])))
        for series, points in curves.items()
    ]


def _lookup(content, key):
    """Value of a dotted key in nested tables; None where a table lacks it."""
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return None
        content = content[part]
    return content


def table(curves, key, metric):
    """(header, rows) of strings."""
    header = (
        key,
        "series",
        f"{metric} x 100",
        "95 % interval",
        "minus float32, paired",
        "95 % over chips",
        "chips",
    )
    rows = []
    for curve in curves:
        for value, case in curve.points:
            change = "-" if case.change is None else change_x100(*case.change)
            over = interval_x100(case.chips_low, case.chips_high) if len(case.chips) > 1 else "-"
            rows.append(
                (
                    f"{value:g}",
                    curve.series or "-",
                    f"{100 * case.value:.2f}",
                    interval_x100(case.low, case.high),
                    change,
                    over,
                    str(len(case.chips)),
                )
            )
    return header, rows


def write(curves, key, metric, path):
    """The table as CSV, metrics as fractions; returns the path."""
    path = Path(path)
    with replacing(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                key,
                "series",
                "case",
                metric,
                "low",
                "high",
                "chips_low",
                "chips_high",
                "chips",
                "change",
                "change_low",
                "change_high",
            ]
        )
        for curve in curves:
            for value, case in curve.points:
                writer.writerow(
                    [
                        value,
                        curve.series,
                        case.name,
                        case.value,
                        case.low,
                        case.high,
                        case.chips_low,
                        case.chips_high,
                        len(case.chips),
                        *(case.change or ("", "", "")),
                    ]
                )
    return path
