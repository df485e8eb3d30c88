"""Traces in pictures: errors of every matrix, and a metric against a key of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.errors import OutOfRangeError
from xbarsim.report.curves import Curve
from xbarsim.report.metric_form import form_of
from xbarsim.report.plots.figure import new_figure, save
from xbarsim.report.steps import MatrixSummary
from xbarsim.report.summary import REFERENCES, CaseSummary, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_STYLES = ("--", ":")  # of the references


def layer_snr(summary: Summary, path: str | Path) -> Path:
    """SNR of every matrix in execution order, one line per case: of the matrix alone, and
    accumulated up to it.

    Raises
    ------
    OutOfRangeError : no case has layers
    """
    cases = [case for case in summary.cases if case.layers]
    if not cases:
        raise OutOfRangeError(f"{summary.path} has no case with layers: there is nothing to draw")
    figure, (local, accumulated) = new_figure(10, 6, nrows=2, sharex=True)
    for case in cases:
        _draw_snr([layer.local_snr_db for layer in case.layers], case.name, local)
        _draw_snr([layer.accumulated_snr_db for layer in case.layers], case.name, accumulated)
    _snr_axis(local, "each matrix alone: analog against float32 for the same input")
    _snr_axis(accumulated, "accumulated: against the float32 path")
    layers = [matrix.layer for matrix in cases[0].layers]
    for place in range(1, len(layers)):
        if layers[place] != layers[place - 1]:
            local.axvline(place - 0.5, color="0.7", linewidth=0.8)
            accumulated.axvline(place - 0.5, color="0.7", linewidth=0.8)
    figure.legend(*local.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    labels = [_label(matrix) for matrix in cases[0].layers]
    accumulated.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    figure.suptitle(
        f"{summary.run.model} on {summary.run.task}, study {summary.study!r}, {summary.examples} examples"
    )
    return save(figure, path)


def _label(matrix: MatrixSummary) -> str:
    """Layer and short name, such as 0.query."""
    if matrix.layer is None:
        return matrix.short_name
    return f"{matrix.layer}.{matrix.short_name}"


def layer_snr_of_each(summaries: Sequence[Summary], path: str | Path) -> list[Path]:
    """`layer_snr` of every summary; of several the files are numbered, NAME-1.png and so on."""
    path = Path(path)
    if len(summaries) == 1:
        return [layer_snr(summaries[0], path)]
    return [
        layer_snr(summary, path.with_stem(f"{path.stem}-{number}"))
        for number, summary in enumerate(summaries, start=1)
    ]


def _draw_snr(values: list[float], label: str, axes: Axes) -> None:
    finite = np.where(np.isfinite(values), values, np.nan)
    axes.plot(finite, marker="o", markersize=3, linewidth=1, label=label)


def _snr_axis(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel("SNR (dB)")
    axes.grid(alpha=0.3)


def against_key(summary: Summary, curves: Sequence[Curve], key: str, path: str | Path) -> Path:
    """Metric against a key of the study, one line per curve of `curves.against`.

    Bars with caps are 95 % over chips, pale bars 95 % over the sampled examples.  Curves stand a
    little beside each other.
    """
    figure, axes = new_figure(9, 5)
    points = [point for curve in curves for point in curve.points]
    values = np.unique([value for value, _ in points]).astype(float)
    logarithmic = bool(values[0] > 0 and values[-1] > 10 * values[0])
    if logarithmic:
        axes.set_xscale("log")
    form = form_of(summary.run.metric)
    for number, curve in enumerate(curves):
        aside = (number - (len(curves) - 1) / 2) * 3 / 72
        _draw_curve(curve, axes, form.scale, color=f"C{number}", transform=_moved(axes, aside))
    for reference, style in zip(summary.references, LINE_STYLES, strict=False):
        axes.axhline(
            form.scale * reference.metric.value,
            color="0.3",
            linestyle=style,
            linewidth=1,
            label=REFERENCES[reference.name],
        )
    cases = [case for _, case in points]
    _limits(axes, summary, cases)
    _value_axis(axes, values, logarithmic)
    axes.set_xlabel(key)
    axes.set_ylabel(form.heading)
    title = (
        f"{summary.run.model} on {summary.run.task}, {summary.examples} examples; {_bars(cases)}"
    )
    axes.set_title(title, loc="left", fontsize=9)
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return save(figure, path)


def _moved(axes: Axes, aside: float) -> Any:
    """The axes' place of data, so many inches to the right."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)


def _draw_curve(curve: Curve, axes: Axes, scale: float, **style: Any) -> None:
    values = np.array([value for value, _ in curve.points], float)
    cases = [case for _, case in curve.points]
    metric = np.array([scale * case.metric.value for case in cases])
    label = curve.series or "simulated"
    axes.plot(values, metric, marker="o", markersize=4, linewidth=1.2, label=label, **style)
    low, high = scale * np.array([(case.metric.low, case.metric.high) for case in cases]).T
    axes.vlines(values, low, high, linewidth=3, alpha=0.2, **style)
    bars = [
        (value, scale * case.metric.value, scale * case.chips.low, scale * case.chips.high)
        for value, case in zip(values, cases, strict=True)
        if case.chips.low is not None and case.chips.high is not None
    ]
    if bars:
        value, middle, bottom, top = np.array(bars).T
        lengths = np.maximum([middle - bottom, top - middle], 0)
        axes.errorbar(value, middle, yerr=lengths, fmt="none", linewidth=1.2, capsize=3, **style)


def _bars(cases: Sequence[CaseSummary]) -> str:
    """What the bars of a picture are."""
    chips = sorted({len(case.chips.values) for case in cases} - {0, 1})
    text = "pale bars: 95 % over examples"
    if chips:
        text += f"; caps: 95 % over {', '.join(map(str, chips))} chips"
    return text


def _limits(axes: Axes, summary: Summary, cases: Sequence[CaseSummary]) -> None:
    """Heights that show every bar, within the range of the metric (of two chips an interval may go
    far beyond it).
    """
    edges: list[float] = []
    for path in (*summary.references, *cases):
        edges += [path.metric.low, path.metric.high]
    for case in cases:
        if case.chips.low is not None and case.chips.high is not None:
            edges += [case.chips.low, case.chips.high]
    form = form_of(summary.run.metric)
    drawn = form.scale * np.array(edges)
    margin = 0.03 * form.highest if np.isfinite(form.highest) else 0.03 * np.ptp(drawn) + 0.01
    bottom = max(drawn.min(), form.lowest) - margin
    axes.set_ylim(bottom, min(drawn.max(), form.highest) + margin)


def _value_axis(axes: Axes, values: NDArray[np.float64], logarithmic: bool) -> None:
    """An axis from the least to the largest value, ticks at the values but for those too near to
    the one before.
    """
    place = np.log(values) if logarithmic else values
    length = place[-1] - place[0]
    kept = [0]
    for k in range(1, len(values)):
        if place[k] - place[kept[-1]] >= 0.035 * length:
            kept.append(k)
    axes.set_xticks(values[kept], [f"{value:g}" for value in values[kept]], fontsize=8)
    axes.set_xticks([], minor=True)
    ends = place[[0, -1]] + np.array([-0.05, 0.05]) * length
    axes.set_xlim(np.exp(ends) if logarithmic else ends)
