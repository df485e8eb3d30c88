"""Charts of plotly: intervals, lines, stacked bars, maps, clouds of points.

Values are in the unit that the axis names.  Colours are told apart by colour-blind readers (Tol's
bright scheme), and every series has a marker or a dash of its own besides.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#999999")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
GREY = "#888888"
LABEL = 30  # characters of a line of a label
MOST_TICKS = 8
MANY = 60  # points of a line, beyond which its markers are small
LINE = 18  # pixels of a line of text

Values = Sequence[float | None]


@dataclass(frozen=True)
class Series:
    """Points of one name.

    low, high : ends of their intervals, or empty
    hover : what is said of each point besides
    """

    name: str
    x: Sequence[Any]
    y: Values
    low: Values = ()
    high: Values = ()
    hover: Sequence[str] = ()


@dataclass(frozen=True)
class Axes:
    """Titles with units.

    x_type, y_type : of plotly: linear, log or category
    x_ticks : values that are marked; plotly's choice if empty
    """

    x: str
    y: str
    x_type: str = "linear"
    y_type: str = "linear"
    x_ticks: Sequence[float] = ()


def plain(text: str) -> str:
    """A text that plotly, which knows some HTML, shows as it is."""
    return html.escape(text, quote=False)


def label(text: str) -> str:
    """The same in short lines."""
    return "<br>".join(map(plain, textwrap.wrap(text, LABEL) or [""]))


def lines_of(text: str) -> int:
    """How many lines a label has."""
    return max(len(textwrap.wrap(text, LABEL)), 1)


def colour_of(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def new_figure(axes: Axes) -> Figure:
    """An empty chart; the page sets fonts and the colours of lines and text."""
    from plotly import graph_objects

    figure = graph_objects.Figure(
        layout=graph_objects.Layout(
            template=graph_objects.layout.Template(),
            margin={"l": 8, "r": 12, "t": 8, "b": 8},
            xaxis=_axis(axes.x, axes.x_type),
            yaxis=_axis(axes.y, axes.y_type),
            legend={
                "orientation": "h",
                "traceorder": "normal",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
            },
            hovermode="closest",
            colorway=COLOURS,
        )
    )
    if axes.x_ticks:
        figure.update_xaxes(tickvals=list(axes.x_ticks))
    return figure


def ticks_of(values: Iterable[float]) -> list[float]:
    """The values themselves where they are few; else none, and plotly chooses."""
    found = sorted(set(values))
    if len(found) > MOST_TICKS:
        return []
    return found


def _axis(title: str, kind: str) -> dict[str, Any]:
    return {
        "title": {"text": plain(title), "standoff": 8},
        "type": kind,
        "automargin": True,
        "ticks": "outside",
        "showline": True,
        "zeroline": False,
        "gridcolor": GREY,
        "exponentformat": "SI",
    }


# ---------------------------------------------------------------- kinds of charts


@dataclass(frozen=True)
class Interval:
    """A value with its interval, in a row of its own; `group` has a colour and a legend."""

    name: str
    group: str
    value: float
    low: float
    high: float


def intervals(rows: Sequence[Interval], axis: str, digits: int) -> Figure:
    """A row for every value, the first at the top."""
    figure = new_figure(Axes(axis, ""))
    groups = dict.fromkeys(row.group for row in rows)
    for number, group in enumerate(groups):
        own = [row for row in rows if row.group == group]
        figure.add_scatter(
            name=plain(group),
            mode="markers",
            x=[row.value for row in own],
            y=[rows.index(row) for row in own],
            customdata=[[plain(row.name), row.low, row.high] for row in own],
            error_x=_bars([(row.value, row.low, row.high) for row in own], colour_of(number)),
            marker={"size": 9, "color": colour_of(number), "symbol": MARKERS[number]},
            hovertemplate=f"%{{customdata[0]}}: %{{x:.{digits}f}}<br>95 %: %{{customdata[1]:.{digits}f}} "
            f"to %{{customdata[2]:.{digits}f}}<extra></extra>",
        )
    _rows_of(figure, [row.name for row in rows])
    return figure


def _bars(points: Iterable[tuple[float, float, float]], colour: str) -> dict[str, Any]:
    """Error bars from (value, low, high)."""
    found = list(points)
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(high - value, 0.0) for value, _, high in found],
        "arrayminus": [max(value - low, 0.0) for value, low, _ in found],
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def _rows_of(figure: Figure, names: Sequence[str]) -> None:
    """Name rows 0, 1, ... from the top."""
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[label(name) for name in names],
        range=[len(names) - 0.4, -0.6],
        ticks="",
        showline=False,
        showgrid=False,
        title=None,
    )


def height_of_rows(names: Sequence[str], least: int = 30) -> int:
    """Pixels of a chart with a row for every name, an axis and a legend."""
    return 110 + sum(max(least, LINE * lines_of(name)) for name in names)


def lines(series: Sequence[Series], axes: Axes, digits: int = 2, unit: str = "") -> Figure:
    """Points that are joined, with intervals where they are stated."""
    figure = new_figure(axes)
    for number, one in enumerate(series):
        figure.add_scatter(
            name=plain(one.name),
            mode="lines+markers",
            x=list(one.x),
            y=list(one.y),
            line={"width": 1.6, "dash": DASHES[number // len(COLOURS) % len(DASHES)]},
            marker={
                "size": 7 if len(one.x) <= MANY else 3,
                "color": colour_of(number),
                "symbol": MARKERS[number % len(MARKERS)],
            },
            **_interval_bars(one, colour_of(number)),
            **_hover(one, f"%{{y:.{digits}f}}{unit}"),
        )
    return figure


def steps(series: Sequence[Series], axes: Axes) -> Figure:
    """Histograms as lines with a step between bins, whose middles are x."""
    figure = new_figure(axes)
    for number, one in enumerate(series):
        figure.add_scatter(
            name=plain(one.name),
            mode="lines",
            x=list(one.x),
            y=list(one.y),
            line={
                "shape": "hvh",
                "width": 1.8,
                "color": colour_of(number),
                "dash": DASHES[number % len(DASHES)],
            },
            hovertemplate="%{x:.3g}: %{y:.3g}<extra>%{fullData.name}</extra>",
        )
    figure.update_yaxes(rangemode="tozero")
    return figure


def _interval_bars(series: Series, colour: str) -> dict[str, Any]:
    if not series.low:
        return {}
    points = zip(series.y, series.low, series.high, strict=True)
    known = [(y or 0.0, low or 0.0, high or 0.0) for y, low, high in points]
    return {"error_y": _bars(known, colour)}


def _hover(series: Series, value: str) -> dict[str, Any]:
    """What a pointer over a point shows: its place, its value, and what is said of it."""
    if series.hover:
        return {
            "customdata": [[plain(text)] for text in series.hover],
            "hovertemplate": f"%{{customdata[0]}}<br>{value}<extra>%{{fullData.name}}</extra>",
        }
    return {"hovertemplate": f"%{{x}}: {value}<extra>%{{fullData.name}}</extra>"}


def points(series: Sequence[Series], axes: Axes) -> Figure:
    """Points that are not joined; each says what it is."""
    figure = new_figure(axes)
    for number, one in enumerate(series):
        figure.add_scatter(
            name=plain(one.name),
            mode="markers",
            x=list(one.x),
            y=list(one.y),
            marker={
                "size": 9,
                "color": colour_of(number),
                "symbol": MARKERS[number % len(MARKERS)],
            },
            **_interval_bars(one, colour_of(number)),
            **_hover(one, "%{y:.4g}"),
        )
    return figure


def stacked(names: Sequence[str], parts: Mapping[str, Sequence[float]], axis: str) -> Figure:
    """A horizontal bar for every name, of parts one beside the other; the first at the top."""
    figure = new_figure(Axes(axis, ""))
    for number, (part, values) in enumerate(parts.items()):
        figure.add_bar(
            name=plain(part),
            orientation="h",
            x=list(values),
            y=list(range(len(names))),
            customdata=[[plain(name)] for name in names],
            marker={"color": colour_of(number), "pattern": {"shape": _pattern(number)}},
            hovertemplate="%{customdata[0]}: %{x:.4g}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.35)
    _rows_of(figure, names)
    return figure


def _pattern(number: int) -> str:
    """Hatches where the colours begin again."""
    return ("", "/", "x", ".")[number // len(COLOURS) % 4]


def columns(names: Sequence[str], parts: Mapping[str, Sequence[float]], axes: Axes) -> Figure:
    """The same as columns on an axis of names."""
    figure = new_figure(axes)
    for number, (part, values) in enumerate(parts.items()):
        figure.add_bar(
            name=plain(part),
            x=list(map(plain, names)),
            y=list(values),
            marker={"color": colour_of(number), "pattern": {"shape": _pattern(number)}},
            hovertemplate="%{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.2)
    return figure


def swings(rows: Sequence[Interval], axis: str) -> Figure:
    """A bar from low to high for every name; the first at the top."""
    figure = new_figure(Axes(axis, ""))
    figure.add_bar(
        orientation="h",
        x=[row.high - row.low for row in rows],
        base=[row.low for row in rows],
        y=list(range(len(rows))),
        customdata=[[plain(row.group), row.low, row.high] for row in rows],
        marker={"color": colour_of(0)},
        hovertemplate="%{customdata[1]:.2f} to %{customdata[2]:.2f}<br>%{customdata[0]}<extra></extra>",
    )
    figure.update_layout(bargap=0.45)
    _rows_of(figure, [row.name for row in rows])
    return figure


@dataclass(frozen=True)
class Bars:
    """Bars of one name, a value with its interval in every row."""

    name: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def grouped(names: Sequence[str], bars: Sequence[Bars], axis: str, digits: int) -> Figure:
    """Several bars in every row; the first row at the top."""
    figure = new_figure(Axes(axis, ""))
    for number, one in enumerate(bars):
        known = zip(one.values, one.low, one.high, strict=True)
        figure.add_bar(
            name=plain(one.name),
            orientation="h",
            x=list(one.values),
            y=list(range(len(names))),
            customdata=[
                list(row) for row in zip(map(plain, names), one.low, one.high, strict=True)
            ],
            error_x=_bars(known, GREY),
            marker={"color": colour_of(number), "pattern": {"shape": _pattern(number)}},
            hovertemplate=f"%{{customdata[0]}}: %{{x:.{digits}f}}<br>95 %: %{{customdata[1]:.{digits}f}} "
            f"to %{{customdata[2]:.{digits}f}}<extra>%{{fullData.name}}</extra>",
        )
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_xaxes(zeroline=True)
    _rows_of(figure, names)
    return figure


@dataclass(frozen=True)
class HeatMap:
    """Values of a map (rows, columns), None where there is nothing.

    name, unit : of the values;  x, y : of columns and rows
    highest : the brightest colour; that of the largest value if None
    """

    values: Sequence[Values]
    x: Sequence[Any]
    y: Sequence[Any]
    name: str
    unit: str
    highest: float | None = None


def heat(found: HeatMap, axes: Axes) -> Figure:
    """A map in colours; the first row at the top."""
    figure = new_figure(axes)
    figure.add_heatmap(
        z=[list(row) for row in found.values],
        x=list(found.x),
        y=list(found.y),
        colorscale="Viridis",
        zmin=None if found.highest is None else 0.0,
        zmax=found.highest,
        colorbar={
            "ticksuffix": f" {plain(found.unit)}",
            "thickness": 12,
            "outlinewidth": 0,
        },
        hovertemplate=f"{plain(axes.y)} %{{y}}, {plain(axes.x)} %{{x}}<br>{plain(found.name)} "
        f"%{{z:.3g}} {plain(found.unit)}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure
