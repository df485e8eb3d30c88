"""An error budget in a picture: what effects and places cost, and what makes the errors of every step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xbarsim.report.budget import Cost, ErrorBudget
from xbarsim.report.budget_outcomes import StepErrors
from xbarsim.report.budget_text import Form, title_of
from xbarsim.report.plots.figure import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR = 0.26  # height of one of three bars


def costs(budget: ErrorBudget, path: str | Path) -> Path:
    """Shares with intervals, beside each effect alone and what is won without it; the same of places; and
    the local noise of every step, stacked by effect.
    """
    has_places = bool(budget.places)
    count = len(budget.effects) + len(budget.places)
    figure, axes = new_figure(
        11, 4.5 + 0.3 * count, nrows=2, ncols=1 + has_places, squeeze=False, height_ratios=[3, 2]
    )
    form = Form(budget)
    effects = budget.ordered()
    _bars(
        axes[0, 0],
        [title_of(effect.name) for effect in effects],
        {
            "share (they sum to the loss)": [effect.share for effect in effects],
            "alone": [effect.alone for effect in effects],
            "won without it": [effect.last for effect in effects],
        },
        form,
    )
    if has_places:
        _bars(
            axes[0, 1],
            [place.name for place in budget.places],
            {
                "errors only there": [place.only for place in budget.places],
                "won without errors there": [place.last for place in budget.places],
            },
            form,
        )
    grid = axes[1, 0].get_gridspec()
    for below in axes[1]:
        below.remove()
    _stacked(figure.add_subplot(grid[1, :]), budget.steps, [effect.name for effect in effects])
    figure.suptitle(
        f"{budget.model} on {budget.task}, study {budget.study!r}, case {budget.case!r}: lost "
        f"{form.cost(budget.total)}",
        fontsize=10,
    )
    return save(figure, path)


def _bars(axes: Axes, names: Sequence[str], groups: dict[str, Sequence[Cost]], form: Form) -> None:
    """Horizontal bars with intervals, the first name at the top."""
    places = np.arange(len(names))
    for number, (label, found) in enumerate(groups.items()):
        values = form.scale * np.array([cost.value for cost in found])
        halves = form.scale * np.array([cost.half for cost in found])
        axes.barh(
            places + (number - (len(groups) - 1) / 2) * BAR,
            values,
            height=BAR,
            xerr=halves,
            color=f"C{number}",
            error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": "0.3"},
            label=label,
        )
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_xlabel(f"lost, {form.unit}", fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def _stacked(axes: Axes, steps: Sequence[StepErrors], effects: Sequence[str]) -> None:
    """Local noise over signal of every step in percent of power, by effect."""
    places = np.arange(len(steps))
    noise = np.array([10 ** (-step.local_snr_db / 10) for step in steps])
    below = np.zeros(len(steps))
    for number, effect in enumerate(effects):
        part = np.array([step.shares.get(effect, 0.0) for step in steps])
        height = 100 * noise * np.maximum(part, 0.0)
        axes.bar(places, height, bottom=below, color=f"C{number + 3}", label=title_of(effect))
        below += height
    axes.set_ylabel("noise / signal (%)")
    axes.set_title("power of local errors of every step, by effect", loc="left", fontsize=10)
    labels = [step.name.removeprefix("layer.") for step in steps]
    axes.set_xticks(places, labels, rotation=90, fontsize=6)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
