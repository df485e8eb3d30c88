"""Figures that belong to no window and no global state, and the files they become."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes: one, or an array of them.

    options : of matplotlib's `Figure.subplots`

    Raises
    ------
    ConfigError : matplotlib is not installed
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("pictures need matplotlib: pip install 'xbarsim[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**options)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure, as .png where the path has no suffix; returns the path that was written.

    Raises
    ------
    ConfigError : a suffix of no kind of picture
    OutputError : the file cannot be written
    """
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix(".png")
    kind = path.suffix[1:].lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise ConfigError(
            f"{path}: no picture has the suffix {path.suffix!r}; choose a suffix such as "
            ".png, .pdf or .svg"
        )
    with replacing(path, "wb") as file:
        figure.savefig(file, format=kind, dpi=150)
    return path


def from_zero(axes: Axes, absent: str) -> None:
    """Start the ordinate at 0; where nothing was drawn, say `absent`."""
    if axes.lines:
        axes.set_ylim(0, None)
        return
    axes.text(0.5, 0.5, absent, transform=axes.transAxes, ha="center", va="center", color="0.4")
    axes.set_yticks([])
