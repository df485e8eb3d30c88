"""Data and fit of a calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.units import prefixed
from xbarsim.report.plots.figure import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarsim.calibrate.result import Curve, FitResult

MANY_POINTS = 500  # above which points are smaller and paler
FEW: dict[str, Any] = {"markersize": 4, "alpha": 0.5}
MANY: dict[str, Any] = {"markersize": 2, "alpha": 0.3}


def draw(result: FitResult, path: str | Path) -> Path:
    """One panel for each curve of a fit.

    Raises
    ------
    OutOfRangeError : a fit without curves
    """
    if not result.curves:
        raise OutOfRangeError(f"this {result.kind} fit has no curve to draw")
    count = len(result.curves)
    figure, panels = new_figure(min(6 * count, 18), 4.2, ncols=count, squeeze=False)
    for axes, (title, curve) in zip(panels[0], result.curves.items(), strict=True):
        _draw_curve(curve, axes)
        axes.set_title(title, fontsize=10, loc="left")
    figure.suptitle(f"{result.kind}: {result.model}", fontsize=10)
    return save(figure, path)


def _draw_curve(curve: Curve, axes: Axes) -> None:
    x_scale, x_label = _scale_and_label(curve, axis=0)
    y_scale, y_label = _scale_and_label(curve, axis=1)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    for number, (label, (x, y)) in enumerate(curve.data.items()):
        style = FEW
        if len(x) > MANY_POINTS:
            style = MANY
        axes.plot(
            np.asarray(x) / x_scale,
            np.asarray(y) / y_scale,
            "o",
            label=label,
            color=f"C{number}",
            **style,
        )
    first_colour = len(curve.data)
    if len(curve.data) == len(curve.fit) > 1:
        first_colour = 0  # a line has the colour of its points
    for number, (label, (x, y)) in enumerate(curve.fit.items(), first_colour):
        axes.plot(
            np.asarray(x) / x_scale,
            np.asarray(y) / y_scale,
            linewidth=1.5,
            label=label,
            color=f"C{number}",
        )
    if curve.log_x:
        axes.set_xscale("log")
    if curve.log_y:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if len(curve.data) < 5:
        axes.legend(fontsize=8, ncols=1)
    else:
        axes.legend(fontsize=6, ncols=2)


def _scale_and_label(curve: Curve, axis: int) -> tuple[float, str]:
    """What the values of an axis (0 or 1) are divided by, and its label; a logarithmic axis keeps
    its unit.
    """
    name, unit = (curve.x, curve.y)[axis]
    scale = 1.0
    if not (curve.log_x, curve.log_y)[axis]:
        lines = [*curve.data.values(), *curve.fit.values()]
        largest = max(abs(np.asarray(line[axis])).max(initial=0) for line in lines)
        scale, unit = prefixed(largest, unit)
    return scale, f"{name} ({unit})" if unit else name
