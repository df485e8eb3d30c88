"""What the predicted tokens of a decoder say."""

from __future__ import annotations

from collections.abc import Sequence

from xbarsim.report.page import charts
from xbarsim.report.page.contents import Block, Cell, Grid, Plot, Sheet
from xbarsim.report.page.metric_words import words_of
from xbarsim.report.summary import Summary, named_paths
from xbarsim.studies.scores import TokenFigures
from xbarsim.tasks.language_metrics import NORMALISED, PositionBin

Named = list[tuple[str, TokenFigures]]
UNKNOWN = "–"
AXES = charts.Axes("tokens before the predicted one", "perplexity", x_type="category")


def blocks(summary: Summary) -> list[Block]:
    """Perplexity by position, and bits per byte or the normalised accuracy; none of an encoder."""
    named: Named = []
    for name, path in named_paths(summary):
        if path.tokens is not None:
            named.append((name.removeprefix("analog: "), path.tokens))
    if not named:
        return []
    return [_picture(named), _positions(named), *_figures(named)]


def _span(one: PositionBin) -> str:
    return f"{one.first} to {one.last}"


def _picture(named: Named) -> Plot:
    series = [_series(name, figures.by_position) for name, figures in named]
    rows: list[tuple[Cell, ...]] = [
        (name, one.first, one.last, one.predictions, one.perplexity)
        for name, figures in named
        for one in figures.by_position
    ]
    return Plot(
        key="positions",
        title="Perplexity by position",
        caption="Later tokens have more context. A path that falls behind to the right loses context: errors of "
        "earlier tokens reach later ones through keys and values.",
        figure=charts.lines(series, AXES, digits=3),
        sheet=Sheet(("path", "first", "last", "predictions", "perplexity"), tuple(rows)),
        height=380,
    )


def _series(name: str, bins: Sequence[PositionBin]) -> charts.Series:
    return charts.Series(
        name=name,
        x=[_span(one) for one in bins],
        y=[one.perplexity for one in bins],
    )


def _positions(named: Named) -> Grid:
    longest = max((figures.by_position for _, figures in named), key=len)
    return Grid(
        key="positions",
        header=("tokens before", "predictions", *(name for name, _ in named)),
        rows=tuple(
            (_span(one), f"{one.predictions:,}", *_perplexities(named, number))
            for number, one in enumerate(longest)
        ),
        caption="Perplexity by the number of tokens before the predicted one.",
    )


def _perplexities(named: Named, number: int) -> list[str]:
    cells = []
    for _, figures in named:
        bins = figures.by_position
        cells.append(f"{bins[number].perplexity:.3f}" if number < len(bins) else "")
    return cells


def _figures(named: Named) -> list[Block]:
    """Figures beside the metric, of the paths that have them."""
    words = words_of(NORMALISED)
    rows = []
    for name, figures in named:
        bits = figures.bits_per_byte
        normalised = figures.normalised
        cells = [UNKNOWN, UNKNOWN]
        if bits is not None:
            cells[0] = f"{bits:.4f}"
        if normalised is not None:
            interval = words.interval(normalised.low, normalised.high)
            cells[1] = f"{words.value(normalised.value)} ({interval})"
        rows.append((name, f"{figures.predictions:,}", *cells))
    header = ("path", "predicted tokens", "bits per byte", words.axis)
    columns = list(zip(header, *rows, strict=True))
    known = [column for column in columns if set(column[1:]) != {UNKNOWN}]
    kept_header, *kept_rows = zip(*known, strict=True)
    return [Grid(key="tokens", header=kept_header, rows=tuple(kept_rows))]
