"""Error rates of the dense memory, and what a model makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xbarsim.report.plots.figure import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarsim.studies.memory_errors import Report, Row


def draw(report: Report, path: str | Path) -> Path:
    """Bit-error rate against the length of a segment, and the metric against the bit-error rate."""
    figure, (rates, metric) = new_figure(10, 4, ncols=2)
    _draw_rates(report, rates)
    _draw_metric(report, metric)
    for axes in (rates, metric):
        axes.grid(alpha=0.3)
    return save(figure, path)


def _draw_rates(report: Report, axes: Axes) -> None:
    solved = [row for row in report.rows if row.columns]
    columns = [row.columns for row in solved]
    drawn: dict[str, list[float | None]] = {
        "mean": [row.mean for row in solved],
        "worst place": [row.worst_place for row in solved],
        "worst place, 15 of 16 cells on": [row.worst_data for row in solved],
    }
    for label, rates in drawn.items():
        shown = [max(rate, 1e-18) for rate in rates if rate is not None]
        axes.loglog(columns, shown, marker="o", markersize=3, label=label)
    axes.set(
        xlabel="columns of a segment",
        ylabel="bit-error rate (below 1e-18 drawn there)",
        ylim=(0.5e-18, 2),
    )
    if solved:
        axes.legend(fontsize=8)


def _draw_metric(report: Report, axes: Axes) -> None:
    ran = sorted((row for row in report.rows if row.values), key=lambda row: row.mean)
    if not ran or report.reference is None:
        return
    rates = [max(row.mean, 1e-9) for row in ran]
    metric = str(report.metric)
    middle = [100 * row.interval(metric)[0] for row in ran]
    to_the_ends = 100 * np.array([_to_the_ends(row, metric) for row in ran]).T
    axes.errorbar(rates, middle, to_the_ends, marker="o", markersize=3, capsize=3, linewidth=1)
    axes.axhline(100 * report.reference, color="0.5", linewidth=0.8, label="no errors")
    axes.set_xscale("log")
    axes.set(
        xlabel="bit-error rate (below 1e-9 drawn there)",
        ylabel=f"{report.metric} x 100, 95 % over chips",
    )
    axes.legend(fontsize=8)


def _to_the_ends(row: Row, metric: str) -> tuple[float, float]:
    """From the mean of a row to both ends of its interval; 0 of a single chip, which has none."""
    mean, low, high = row.interval(metric)
    if low is None or high is None:
        return 0.0, 0.0
    return mean - low, high - mean
