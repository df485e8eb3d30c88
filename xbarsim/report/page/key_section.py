"""The metric of a trace's cases over a key of the study that they vary."""

from __future__ import annotations

from xbarsim.report import curves
from xbarsim.report.curves import Curve
from xbarsim.report.page import charts
from xbarsim.report.page.contents import Block, Cell, Plot, Sheet
from xbarsim.report.page.metric_words import MetricWords, capital
from xbarsim.report.summary import REFERENCES, Summary

WIDE = 10  # ratio of the largest to the least value from which an axis is logarithmic


def blocks(summary: Summary, key: str | None, words: MetricWords) -> list[Block]:
    """The metric over a key; if None over the only one that the cases vary, if there is one.

    Raises
    ------
    ConfigError : as of `curves.against`
    """
    chosen = key or curves.varied_key(summary)
    if chosen is None:
        return []
    return [_picture(summary, chosen, words)]


def _picture(summary: Summary, key: str, words: MetricWords) -> Plot:
    found = curves.against(summary, key)
    series = [_series(curve, words) for curve in found]
    values = [value for curve in found for value, _ in curve.points]
    for path in summary.references:
        level = words.scaled(path.metric.value)
        ends = [min(values), max(values)]
        series.append(charts.Series(REFERENCES[path.name], ends, [level, level]))
    rows: list[tuple[Cell, ...]] = [
        (
            case.name,
            value,
            words.scaled(case.metric.value),
            words.scaled(case.metric.low),
            words.scaled(case.metric.high),
        )
        for curve in found
        for value, case in curve.points
    ]
    return Plot(
        key="against",
        title=f"{capital(words.name)} over {key}",
        caption="Bars are 95 % intervals over the sampled examples; the digital paths are level lines.",
        figure=charts.lines(
            series,
            charts.Axes(key, words.axis, x_type=_type(values), x_ticks=charts.ticks_of(values)),
            digits=words.form.digits,
        ),
        sheet=Sheet(("case", key, words.axis, "low", "high"), tuple(rows)),
        height=400,
    )


def _series(curve: Curve, words: MetricWords) -> charts.Series:
    metrics = [case.metric for _, case in curve.points]
    return charts.Series(
        name=curve.series or "simulated chip",
        x=[value for value, _ in curve.points],
        y=[words.scaled(metric.value) for metric in metrics],
        low=[words.scaled(metric.low) for metric in metrics],
        high=[words.scaled(metric.high) for metric in metrics],
        hover=[f"{case.name}: {value:g}" for value, case in curve.points],
    )


def _type(values: list[float]) -> str:
    """Of an axis."""
    if min(values) > 0 and max(values) > WIDE * min(values):
        return "log"
    return "linear"
