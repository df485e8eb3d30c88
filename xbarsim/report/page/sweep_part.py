"""A sweep as a part of a page: what is best, what it costs, and what matters."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xbarsim.config.study import Study
from xbarsim.config.sweep import Range
from xbarsim.report import sweep_table
from xbarsim.report.page import charts
from xbarsim.report.page.contents import (
    Block,
    Card,
    Cell,
    Command,
    Fold,
    Grid,
    Listing,
    Part,
    Plot,
    Points,
    Section,
    Sheet,
    Words,
)
from xbarsim.report.page.metric_words import MetricWords, capital, last_name, quantity, words_of
from xbarsim.report.sweep_table import SweepRow, SweepTable
from xbarsim.studies.sweep_directory import State

MOST_LINES = 7  # of an axis; with more, points are not joined
FRONT = "best compromises"
BEATEN = "beaten by another"


def sweep_part(found: SweepTable, study: Study) -> Part:
    """Everything that a directory of `xbarsim sweep` says, finished or not."""
    words = words_of(found.metric or "metric")
    cards: tuple[Card, ...] = ()
    sections: list[Section] = []
    if found.rows:
        cards = _cards(found, words)
        sections += [
            Section("What the metric costs", _costs(found, words)),
            Section("What matters", _matters(found, words)),
            Section(f"{capital(words.name)} over each axis", _axes(found, words)),
            Section("All points", [_table(found)]),
        ]
    sections.append(Section("What was run, and how to repeat it", _origin(found, study)))
    return Part(
        title=found.study,
        subtitle=f"Sweep of {last_name(study.model.name)} on {last_name(study.task.name)} over {', '.join(found.axes)}",
        verdict=_verdict(found, words),
        cards=cards,
        alarms=_alarms(found),
        sections=tuple(sections),
    )


# ---------------------------------------------------------------- verdict


def _verdict(found: SweepTable, words: MetricWords) -> tuple[str, ...]:
    if not found.rows:
        return ("No point of this sweep is finished yet.",)
    best = _best(found, words)
    worst = _worst(found, words)
    sentences = [
        f"The best {words.name} is {words.value(best.metric.value)}, at {_where(best, found)}.",
        f"The worst is {words.value(worst.metric.value)}, at {_where(worst, found)}.",
    ]
    swings = found.swings()
    if swings:
        first = swings[0]
        sentences.append(
            f"What matters most is {first.axis}: {words.value(first.lowest)} at {first.at_lowest}, "
            f"{words.value(first.highest)} at {first.at_highest}, the other axes averaged over."
        )
    front = len(found.pareto())
    sentences.append(
        f"Best compromises between {words.name} and cost: {front} of {len(found.rows)} evaluated chips."
    )
    return tuple(sentences)


def _best(found: SweepTable, words: MetricWords) -> SweepRow:
    return min(found.rows, key=lambda row: words.loss(row.metric.value))


def _worst(found: SweepTable, words: MetricWords) -> SweepRow:
    return max(found.rows, key=lambda row: words.loss(row.metric.value))


def _where(row: SweepRow, found: SweepTable) -> str:
    """The values of a row, and its case where there are several."""
    values = ", ".join(f"{axis} = {_printed(value)}" for axis, value in row.values.items())
    if len({other.case for other in found.rows}) == 1:
        return values
    return f"{values} (“{row.case}”)"


def _printed(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _cards(found: SweepTable, words: MetricWords) -> tuple[Card, ...]:
    best = _best(found, words)
    cheapest = min(found.rows, key=lambda row: row.joules)
    return (
        Card(
            f"best {words.name}",
            words.value(best.metric.value),
            f"95 %: {words.interval(best.metric.low, best.metric.high)}",
        ),
        Card("its energy", quantity(best.joules, "J"), "of the products, per example"),
        Card(
            "least energy",
            quantity(cheapest.joules, "J"),
            f"with {words.name} {words.value(cheapest.metric.value)}",
        ),
        Card("points done", f"{found.count(State.DONE)} of {len(found.states)}"),
    )


def _alarms(found: SweepTable) -> tuple[str, ...]:
    return tuple(f"Point {number} failed: {reason}" for number, reason in found.failures.items())


# ---------------------------------------------------------------- costs


@dataclass(frozen=True)
class _Cost:
    """What a point costs, as it is drawn; value : of a row, None where it is not known."""

    key: str
    name: str
    axis: str
    value: Callable[[SweepRow], float | None]


COSTS = (
    _Cost(
        "energy", "energy", "energy of the products per example (µJ)", lambda row: 1e6 * row.joules
    ),
    _Cost("latency", "latency", "latency of the chip (ms)", lambda row: _scaled(row.latency, 1e3)),
    _Cost("area", "area", "area of the chip (mm²)", lambda row: _scaled(row.area, 1e6)),
)


def _scaled(value: float | None, scale: float) -> float | None:
    if value is None:
        return None
    return scale * value


def _costs(found: SweepTable, words: MetricWords) -> list[Block]:
    """The metric over every cost that differs between points."""
    first, *others = COSTS
    shown = [first, *(cost for cost in others if _differs(cost, found))]
    return [_cloud(found, cost, words) for cost in shown]


def _differs(cost: _Cost, found: SweepTable) -> bool:
    """Whether points cost different amounts."""
    return len({cost.value(row) for row in found.rows}) > 1


def _cloud(found: SweepTable, cost: _Cost, words: MetricWords) -> Plot:
    front = set(map(id, found.pareto()))
    groups = {
        FRONT: [row for row in found.rows if id(row) in front],
        BEATEN: [row for row in found.rows if id(row) not in front],
    }
    rows: list[tuple[Cell, ...]] = [
        (row.point, _where(row, found), cost.value(row), *_scaled_metric(row, words), name)
        for name, of_group in groups.items()
        for row in of_group
    ]
    return Plot(
        key=f"front-{cost.key}",
        title=f"{capital(words.name)} against {cost.name}",
        caption="Best compromises: no other point is at least as good in the metric, energy, area and latency, and "
        "better in one of them. Bars are 95 % intervals over the sampled examples.",
        figure=charts.points(
            [
                _series(found, name, of_group, cost.value, words)
                for name, of_group in groups.items()
                if of_group
            ],
            charts.Axes(cost.axis, words.axis),
        ),
        sheet=Sheet(
            ("point", "values", cost.axis, words.axis, "low", "high", "front"), tuple(rows)
        ),
        height=420,
    )


def _scaled_metric(row: SweepRow, words: MetricWords) -> tuple[float, float, float]:
    metric = row.metric
    return words.scaled(metric.value), words.scaled(metric.low), words.scaled(metric.high)


def _series(
    found: SweepTable,
    name: str,
    rows: Sequence[SweepRow],
    x: Callable[[SweepRow], Any],
    words: MetricWords,
) -> charts.Series:
    metrics = [_scaled_metric(row, words) for row in rows]
    return charts.Series(
        name=name,
        x=[x(row) for row in rows],
        y=[value for value, _, _ in metrics],
        low=[low for _, low, _ in metrics],
        high=[high for _, _, high in metrics],
        hover=[f"point {row.point}: {_where(row, found)}" for row in rows],
    )


# ---------------------------------------------------------------- what matters


def _matters(found: SweepTable, words: MetricWords) -> list[Block]:
    rows = [
        charts.Interval(
            name=swing.axis,
            group=f"{swing.at_lowest} to {swing.at_highest}",
            value=words.scaled(swing.highest),
            low=words.scaled(swing.lowest),
            high=words.scaled(swing.highest),
        )
        for swing in found.swings()
    ]
    picture = Plot(
        key="swings",
        title=f"How far each axis moves the {words.name}",
        caption="From the lowest to the highest mean over the levels of an axis (of a range, the quarters of its "
        "points); the other axes are averaged over.",
        figure=charts.swings(rows, words.axis),
        sheet=Sheet(
            ("axis", "lowest", "at", "highest", "at"),
            tuple(
                (
                    swing.axis,
                    words.scaled(swing.lowest),
                    swing.at_lowest,
                    words.scaled(swing.highest),
                    swing.at_highest,
                )
                for swing in found.swings()
            ),
        ),
        height=charts.height_of_rows([row.name for row in rows], least=44),
    )
    return [picture]


def _axes(found: SweepTable, words: MetricWords) -> list[Block]:
    return [_axis(found, axis, number, words) for number, axis in enumerate(found.axes, 1)]


def _axis(found: SweepTable, axis: str, number: int, words: MetricWords) -> Plot:
    """The metric over an axis, a line for every choice of the other axes where these are few."""
    groups = _groups(found, axis)
    is_range = isinstance(found.axes[axis], Range)
    is_number = all(_is_number(row.values[axis]) for row in found.rows)

    def place(row: SweepRow) -> Any:
        value = row.values[axis]
        return value if is_number else charts.plain(str(value))

    series = [_series(found, name, rows, place, words) for name, rows in groups.items()]
    axes = charts.Axes(axis, words.axis, x_type="category")
    if is_number:
        axes = charts.Axes(
            axis, words.axis, x_ticks=charts.ticks_of(row.values[axis] for row in found.rows)
        )
    joined = not is_range and len(series) <= MOST_LINES
    if joined:
        figure = charts.lines(series, axes, digits=words.form.digits)
    else:
        figure = charts.points([_series(found, "points", found.rows, place, words)], axes)
    rows: list[tuple[Cell, ...]] = [
        (row.point, row.case, _cell(row.values[axis]), *_scaled_metric(row, words))
        for row in found.rows
    ]
    return Plot(
        key=f"axis-{number}",
        title=f"{capital(words.name)} over {axis}",
        caption="Bars are 95 % intervals over the sampled examples."
        + (" A line for every choice of the other axes." if joined and len(series) > 1 else ""),
        figure=figure,
        sheet=Sheet(("point", "case", axis, words.axis, "low", "high"), tuple(rows)),
        height=400,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> Cell:
    if isinstance(value, (int, float, str)):
        return value
    return str(value)


def _groups(found: SweepTable, axis: str) -> dict[str, list[SweepRow]]:
    """{other values and the case: rows in the order of the axis}."""
    groups: dict[str, list[SweepRow]] = {}
    cases = {row.case for row in found.rows}
    for row in found.rows:
        parts = [f"{key} = {_printed(value)}" for key, value in row.values.items() if key != axis]
        if len(cases) > 1 or not parts:
            parts.append(row.case)
        groups.setdefault(", ".join(parts), []).append(row)
    for rows in groups.values():
        if all(_is_number(row.values[axis]) for row in rows):
            rows.sort(key=lambda row: float(row.values[axis]))
    return groups


# ---------------------------------------------------------------- tables


def _table(found: SweepTable) -> Grid:
    header, rows = sweep_table.table(found)
    return Grid("points", header, tuple(rows), "A star marks the best compromises.")


def _origin(found: SweepTable, study: Study) -> list[Block]:
    directory = str(found.directory)
    name = f"{found.study}.toml"
    return [
        Words(f"Every point has a trace of its own in {directory}."),
        Points(tuple(f"{state.value}: {found.count(state)} points" for state in State)),
        Command(
            shlex.join(["xbarsim", "sweep", name, "--out", "DIRECTORY"]),
            "The same sweep again, from the text of its study, which is below:",
        ),
        Command(
            shlex.join(["xbarsim", "sweep", "--resume", directory]), "Go on with what is waiting:"
        ),
        Command(
            shlex.join(["xbarsim", "report", directory, "--json"]),
            "Every figure of this page as JSON:",
        ),
        Fold("The study", (Listing(name, study.to_toml()),)),
    ]
