"""Chips side by side: where energy and area go, and what published ratios hinge on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xbarsim.report.plots.figure import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarsim.chips.claims import Verdict
    from xbarsim.chips.result import RollUp
    from xbarsim.chips.uncertainty import Swing

SMALLEST_SHARE = 0.04  # of the chip where it is largest; what is below is drawn as "others"
LEGEND_COLUMNS = 3
LEGEND_LINE = 0.17  # inches
WORDS_HEIGHT = 1.4  # inches of titles and axes
MOST_SWINGS = 6  # of a claim that are drawn


@dataclass(frozen=True)
class _Stacks:
    """One panel of a breakdown, of each chip.

    parts : {name: value};  totals : in `unit`
    """

    title: str
    unit: str
    parts: Sequence[Mapping[str, float]]
    totals: Sequence[float]


def breakdown(results: Sequence[RollUp], path: str | Path) -> Path:
    """Energy by component and by step, and area by part, of several chips: stacked bars, shares of
    each chip's total.
    """
    millijoule = [result.joules * 1e3 for result in results]
    by_component = [result.by_component() for result in results]
    by_step = [result.by_step() for result in results]
    by_part = [result.area_by_role for result in results]
    square_millimetre = [result.area * 1e6 for result in results]
    names = [result.chip for result in results]
    drawn = (
        _Stacks("energy by component", "mJ", by_component, millijoule),
        _Stacks("energy by step", "mJ", by_step, millijoule),
        _Stacks("area by part", "mm²", by_part, square_millimetre),
    )
    heights = [0.45 * len(results), 0.2 + LEGEND_LINE * max(map(_legend_lines, drawn))]
    figure, (panels, legends) = new_figure(
        13, sum(heights) + WORDS_HEIGHT, nrows=2, ncols=3, sharey="row", height_ratios=heights
    )
    for axes, below, stacks in zip(panels, legends, drawn, strict=True):
        _draw_stacks(stacks, names, axes)
        below.set_axis_off()
        legend = below.legend(
            *axes.get_legend_handles_labels(), fontsize=7, ncols=LEGEND_COLUMNS, loc="upper center"
        )
        legend.set_in_layout(False)  # its room is counted in lines
    panels[0].invert_yaxis()
    first = results[0]
    figure.suptitle(f"{first.asked}; per {first.inference}")
    return save(figure, path)


def _legend_lines(stacks: _Stacks) -> int:
    """Lines of the legend of a panel: its large parts and the others."""
    entries = 1 + len(_large_parts([_shares(parts) for parts in stacks.parts]))
    return -(-entries // LEGEND_COLUMNS)


def _draw_stacks(stacks: _Stacks, chips: list[str], axes: Axes) -> None:
    from matplotlib import colormaps

    shares = [_shares(parts) for parts in stacks.parts]
    left = np.zeros(len(chips))
    for number, name in enumerate(_large_parts(shares)):
        width = 100 * np.array([share.get(name, 0.0) for share in shares])
        _draw_bars(axes, chips, width, left=left, label=name, color=colormaps["tab20"](number % 20))
        left = left + width
    _draw_bars(axes, chips, 100 - left, left=left, label="others", color="0.85")
    for row, total in enumerate(stacks.totals):
        axes.text(101, row, f"{total:,.4g} {stacks.unit}", va="center", fontsize=8)
    axes.set(
        title=stacks.title,
        xlim=(0, 132),
        xlabel="share of the chip's total (%)",
        xticks=range(0, 101, 25),
    )


def _draw_bars(axes: Axes, chips: list[str], width: NDArray[np.float64], **style: Any) -> None:
    axes.barh(chips, width, edgecolor="white", linewidth=0.4, **style)


def _shares(parts: Mapping[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    return {name: value / total for name, value in parts.items()}


def _large_parts(shares: list[dict[str, float]]) -> list[str]:
    """Parts that are large on any chip, the largest first."""
    largest: dict[str, float] = {}
    for share in shares:
        for name, value in share.items():
            largest[name] = max(value, largest.get(name, 0.0))
    in_order = sorted(largest, key=lambda name: -largest[name])
    return [name for name in in_order if largest[name] >= SMALLEST_SHARE]


def tornado(verdicts: Sequence[Verdict], path: str | Path) -> Path:
    """What every claim hinges on: the ratio at both ends of its widest assumptions, the interval
    over all of them together, and the claimed range; one panel per claim and batch.
    """
    columns = 2
    rows = -(-len(verdicts) // columns)
    figure, panels = new_figure(15, 2.6 * rows, nrows=rows, ncols=columns, squeeze=False)
    for axes in panels.flat[len(verdicts) :]:
        axes.set_axis_off()
    for axes, verdict in zip(panels.flat, verdicts, strict=False):
        _draw_verdict(verdict, axes)
    figure.suptitle(
        "ratio to synergy (log); black: nominal, green: claimed, light: all together, "
        "dark: 90 % of draws, blue and orange: low and high end of one assumption",
        fontsize=10,
    )
    return save(figure, path)


def _draw_verdict(verdict: Verdict, axes: Axes) -> None:
    extent = verdict.extent
    axes.axvspan(*verdict.claim.range, color="tab:green", alpha=0.5, label="claimed")
    axes.barh(["everything"], [extent.high - extent.low], left=[extent.low], color="0.8")
    axes.plot(
        [extent.quantiles[0], extent.quantiles[2]],
        ["everything", "everything"],
        color="0.4",
        linewidth=4,
        solid_capstyle="butt",
    )
    for swing in extent.swings[:MOST_SWINGS]:
        if swing.width > 1.01:
            _draw_swing(swing, extent.nominal, axes)
    axes.axvline(extent.nominal, color="black", linewidth=0.8)
    axes.set_xscale("log")
    title = f"batch {verdict.batch}: {verdict.claim.text} — {verdict.verdict}"
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.invert_yaxis()


def _draw_swing(swing: Swing, nominal: float, axes: Axes) -> None:
    low, high = (_end(end) for end in swing.assumption.ends)
    name = f"{swing.assumption.label}  [{low}, {high}]"
    axes.barh([name], [swing.low - nominal], left=[nominal], color="tab:blue")
    axes.barh([name], [swing.high - nominal], left=[nominal], color="tab:orange")


def _end(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
