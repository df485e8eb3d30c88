"""The points of a sweep side by side: metric, energy, area and time, what is best, and what matters.

`open_study` reads a directory of `xbarsim sweep`, whether it is finished or under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarsim.base.errors import ConfigError
from xbarsim.config.sweep import Range
from xbarsim.report import accuracy_and_cost
from xbarsim.report.files import write_table
from xbarsim.report.metric_form import form_of
from xbarsim.report.summary import CaseSummary, OverChips, Summary, summarise
from xbarsim.studies.points import Point
from xbarsim.studies.scores import Estimate
from xbarsim.studies.sweep_directory import State, SweepDirectory, open_directory
from xbarsim.studies.trace_reader import read_trace
from xbarsim.tasks.language_metrics import PERPLEXITY

if TYPE_CHECKING:
    import pandas
    import xarray

BINS = 4  # levels that a range is cut into for its swing


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """A case of a point.

    values : {axis: its value here}
    change : metric minus that of float32, paired
    joules : per example, of the products on hardware
    area, latency : m² and s per sequence of the chip that the case names, None without one
    """

    point: int
    values: dict[str, Any]
    case: str
    metric: Estimate
    chips: OverChips
    change: Estimate | None
    joules: float
    area: float | None
    latency: float | None
    trace: Path


@dataclass(frozen=True)
class Swing:
    """How far a metric goes along one axis: the means at the levels of the axis with the lowest and
    the highest mean; the other axes are averaged over.
    """

    axis: str
    lowest: float
    highest: float
    at_lowest: str
    at_highest: str

    @property
    def width(self) -> float:
        return self.highest - self.lowest


@dataclass(frozen=True, kw_only=True)
class SweepTable:
    """What a sweep has found so far.

    states : {point: where it stands};  failures : {point: why it could not be run}
    """

    directory: Path
    study: str
    metric: str
    axes: dict[str, Any]
    rows: tuple[SweepRow, ...]
    states: dict[int, State]
    failures: dict[int, str]

    @property
    def lower_is_better(self) -> bool:
        return self.metric == PERPLEXITY

    def count(self, state: State) -> int:
        """Points in a state."""
        return sum(found is state for found in self.states.values())

    def pareto(self) -> tuple[SweepRow, ...]:
        """Rows that no other row beats: none is at least as good in the metric, energy, area and
        latency, and better in one of them.
        """
        return tuple(
            row for row in self.rows if not any(self._beats(other, row) for other in self.rows)
        )

    def _beats(self, row: SweepRow, other: SweepRow) -> bool:
        pairs = list(zip(self._costs(row), self._costs(other), strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    def _costs(self, row: SweepRow) -> tuple[float, ...]:
        """What should be small."""
        metric = row.metric.value if self.lower_is_better else -row.metric.value
        return (metric, row.joules, row.area or 0.0, row.latency or 0.0)

    def swings(self) -> tuple[Swing, ...]:
        """The swing of the metric along every axis, widest first (a tornado)."""
        found = [self._swing(axis) for axis in self.axes]
        return tuple(sorted((swing for swing in found if swing), key=lambda swing: -swing.width))

    def _swing(self, axis: str) -> Swing | None:
        levels: dict[str, list[float]] = {}
        for row in self.rows:
            level = self._level(axis, row.values[axis])
            levels.setdefault(level, []).append(row.metric.value)
        if not levels:
            return None
        means = {level: sum(values) / len(values) for level, values in levels.items()}
        lowest = min(means, key=lambda level: means[level])
        highest = max(means, key=lambda level: means[level])
        return Swing(axis, means[lowest], means[highest], at_lowest=lowest, at_highest=highest)

    def _level(self, axis: str, value: Any) -> str:
        """The value of a list; of a range the quarter of the points' own span that it lies in."""
        if not isinstance(self.axes[axis], Range):
            return str(value)
        stated = sorted(row.values[axis] for row in self.rows)
        share = stated.index(value) / len(stated)
        first = int(share * BINS)
        ends = [stated[int(len(stated) * number / BINS)] for number in range(BINS)]
        upper = ends[first + 1] if first + 1 < BINS else stated[-1]
        return f"{ends[first]:.4g} to {upper:.4g}"

    def to_json(self) -> dict[str, Any]:
        """Plain values; units: metric as it is, joule per example, m², s."""
        return {
            "directory": str(self.directory),
            "study": self.study,
            "metric": self.metric,
            "lower_is_better": self.lower_is_better,
            "points": {state.value: self.count(state) for state in State},
            "failures": {str(number): reason for number, reason in self.failures.items()},
            "rows": [_plain(row) for row in self.rows],
            "pareto": [[row.point, row.case] for row in self.pareto()],
            "swings": [vars(swing) | {"width": swing.width} for swing in self.swings()],
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row per point and case, with a column per axis.

        Raises
        ------
        ConfigError : pandas is not installed
        """
        try:
            import pandas
        except ImportError:
            raise ConfigError("a table for pandas needs pandas: pip install pandas") from None
        return pandas.DataFrame([_plain(row) for row in self.rows])

    def to_xarray(self) -> xarray.Dataset:
        """Of a grid: metric, energy, area and latency by the axes and the case; what has not been run is
        NaN.

        Raises
        ------
        ConfigError : xarray is not installed
        """
        try:
            import xarray  # noqa: F401
        except ImportError:
            raise ConfigError(
                "a data set for xarray needs xarray and pandas: pip install xarray"
            ) from None
        frame = self.to_pandas().set_index([*self.axes, "case"])
        columns = ["value", "low", "high", "joules", "area_m2", "latency_s"]
        return frame[columns].astype(float).to_xarray()


def open_study(directory: str | Path) -> SweepTable:
    """What a directory of `xbarsim sweep` holds now.

    Parameters
    ----------
    directory : that `--out` named

    Returns
    -------
    SweepTable : `rows`, `pareto()`, `swings()`, `to_pandas()`, `to_xarray()`

    Raises
    ------
    ConfigError : it holds no sweep, or a damaged one
    TraceError : a trace of a finished point is damaged
    """
    opened = open_directory(directory, "sweep")
    states = {point.number: opened.state(point) for point in opened.points}
    rows: list[SweepRow] = []
    metric = ""
    for point in opened.points:
        if states[point.number] is State.DONE:
            summary = summarise(read_trace(opened.trace(point)))
            metric = summary.run.metric
            rows += _rows(point, summary)
    assert opened.study.sweep is not None
    return SweepTable(
        directory=opened.path,
        study=opened.study.name,
        metric=metric,
        axes=dict(opened.study.sweep.axes),
        rows=tuple(rows),
        states=states,
        failures=_failures(opened, states),
    )


def _rows(point: Point, summary: Summary) -> list[SweepRow]:
    joined = {row.case: row.result for row in accuracy_and_cost.join([summary])}
    return [
        _row(point, summary, case, joined[case.name] if case.name in joined else None)
        for case in summary.cases
    ]


def _row(point: Point, summary: Summary, case: CaseSummary, result: Any) -> SweepRow:
    return SweepRow(
        point=point.number,
        values=point.values,
        case=case.name,
        metric=case.metric,
        chips=case.chips,
        change=case.change,
        joules=case.cost.joules,
        area=None if result is None else result.area,
        latency=None if result is None else result.latency,
        trace=Path(summary.path),
    )


def _failures(opened: SweepDirectory, states: dict[int, State]) -> dict[int, str]:
    return {
        point.number: opened.failure(point).read_text(encoding="utf-8").strip()
        for point in opened.points
        if states[point.number] is State.FAILED
    }


def _plain(row: SweepRow) -> dict[str, Any]:
    change = row.change
    return {
        "point": row.point,
        **row.values,
        "case": row.case,
        "value": row.metric.value,
        "low": row.metric.low,
        "high": row.metric.high,
        "chips": len(row.chips.values),
        "chips_low": row.chips.low,
        "chips_high": row.chips.high,
        "change": None if change is None else change.value,
        "change_low": None if change is None else change.low,
        "change_high": None if change is None else change.high,
        "joules": row.joules,
        "area_m2": row.area,
        "latency_s": row.latency,
        "trace": str(row.trace),
    }


def write(table: SweepTable, path: str | Path) -> Path:
    """The rows as CSV, columns as of `to_json`; returns the path."""
    rows = [_plain(row) for row in table.rows]
    headings = list(rows[0]) if rows else ["point"]
    path = Path(path)
    write_table(path, headings, [list(row.values()) for row in rows])
    return path


def table(found: SweepTable) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(header, rows) of strings; a star marks rows of the Pareto front."""
    best = set(map(id, found.pareto()))
    form = form_of(found.metric or "metric")
    header = (
        "point",
        *found.axes,
        "case",
        form.heading,
        "95 % interval",
        "95 % over chips",
        "energy (µJ)",
        "area (mm²)",
        "latency (ms)",
        "front",
    )
    rows = [
        _cells(row, tuple(found.axes), form.scale) + ("*" if id(row) in best else "",)
        for row in found.rows
    ]
    return header, rows


def _cells(row: SweepRow, axes: Sequence[str], scale: float) -> tuple[str, ...]:
    return (
        str(row.point),
        *(_printed(row.values[axis]) for axis in axes),
        row.case,
        f"{scale * row.metric.value:.2f}",
        f"{scale * row.metric.low:.2f} .. {scale * row.metric.high:.2f}",
        _over_chips(row.chips, scale),
        f"{1e6 * row.joules:.4g}",
        "-" if row.area is None else f"{1e6 * row.area:.4g}",
        "-" if row.latency is None else f"{1e3 * row.latency:.4g}",
    )


def _printed(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _over_chips(chips: OverChips, scale: float) -> str:
    if chips.low is None or chips.high is None:
        return "-"
    return f"{scale * chips.low:.2f} .. {scale * chips.high:.2f}"


def remarks(found: SweepTable) -> list[str]:
    """Lines below the table: how many points stand where, why some failed, and the swings."""
    lines = [", ".join(f"{found.count(state)} {state.value}" for state in State)]
    lines += [f"point {number} failed: {reason}" for number, reason in found.failures.items()]
    scale = form_of(found.metric).scale
    lines += [
        f"{swing.axis}: {scale * swing.lowest:.2f} at {swing.at_lowest} to "
        f"{scale * swing.highest:.2f} at {swing.at_highest}"
        for swing in found.swings()
    ]
    return lines
