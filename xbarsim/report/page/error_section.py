"""Errors of every matrix, and how they grow through the network; of every case."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xbarsim.models.graph import LAYER, Role
from xbarsim.report.page import charts
from xbarsim.report.page.contents import Block, Cell, Fold, Grid, Plot, Sheet
from xbarsim.report.steps import MatrixSummary, StepSummary
from xbarsim.report.summary import CaseSummary

AXES = charts.Axes("matrix, in the order of execution", "signal over error (dB)", x_type="category")


def blocks(cases: Sequence[CaseSummary]) -> list[Block]:
    """Pictures of all cases together, and a table of each."""
    with_layers = [case for case in cases if case.layers]
    if not with_layers:
        return []
    return [
        _picture(
            with_layers,
            key="error-local",
            title="Error that each matrix adds",
            caption="Signal over error of every matrix by itself, for the same input as in float32: 20 dB are an "
            "error of 10 % of the signal, 40 dB of 1 %. Low points are where the hardware hurts.",
            accumulated=False,
        ),
        _picture(
            with_layers,
            key="error-accumulated",
            title="Error that has gathered up to each matrix",
            caption="Signal over error against the float32 network: what earlier matrices did wrong is in the "
            "input of later ones. At 0 dB the error is as large as the signal.",
            accumulated=True,
        ),
        *(_details(case, number) for number, case in enumerate(with_layers, 1)),
    ]


def _picture(
    cases: Sequence[CaseSummary], *, key: str, title: str, caption: str, accumulated: bool
) -> Plot:
    series = [_series(case, accumulated) for case in cases]
    rows: list[tuple[Cell, ...]] = [
        (case.name, matrix.name, _finite(_snr(matrix, accumulated)))
        for case in cases
        for matrix in case.layers
    ]
    return Plot(
        key=key,
        title=title,
        caption=caption,
        figure=charts.lines(series, AXES, digits=1, unit=" dB"),
        sheet=Sheet(("case", "matrix", "signal over error (dB)"), tuple(rows)),
        height=400,
    )


def _series(case: CaseSummary, accumulated: bool) -> charts.Series:
    return charts.Series(
        name=case.name,
        x=[label_of(matrix) for matrix in case.layers],
        y=[_finite(_snr(matrix, accumulated)) for matrix in case.layers],
        hover=[matrix.name for matrix in case.layers],
    )


def _snr(step: StepSummary, accumulated: bool) -> float:
    if accumulated:
        return step.accumulated_snr_db
    return step.local_snr_db


def _finite(value: float) -> float | None:
    """None without any error, which has no place on an axis."""
    if not math.isfinite(value):
        return None
    return value


def label_of(step: StepSummary) -> str:
    """Layer and short name, in words."""
    return label_of_name(step.name)


def label_of_name(name: str) -> str:
    """The same of the name of a step."""
    return name.removeprefix(LAYER).replace(".", " ", 1).replace("_", " ")


def decibel(value: float) -> str:
    """An SNR in a table: a word where there is no error at all."""
    if not math.isfinite(value):
        return "exact"
    return f"{value:.1f}"


# ---------------------------------------------------------------- a case


def _details(case: CaseSummary, number: int) -> Fold:
    inner: list[Block] = [_layers(case, number)]
    other = [*case.products, *case.operations]
    if other:
        inner.append(_other_steps(other, number))
    return Fold(f"Layer by layer: {case.name}", tuple(inner))


def _layers(case: CaseSummary, number: int) -> Grid:
    """A row for every layer, a column for every matrix in it, and what gathered at its end."""
    by_layer: dict[int | None, list[MatrixSummary]] = {}
    for matrix in case.layers:
        by_layer.setdefault(matrix.layer, []).append(matrix)
    roles = list(dict.fromkeys(matrix.role for matrix in case.layers))
    return Grid(
        key=f"layers-{number}",
        header=("layer", *(str(role).replace("_", " ") for role in roles), "gathered at the end"),
        rows=tuple(_layer(layer, found, roles) for layer, found in by_layer.items()),
        caption="Signal over error in dB that each matrix adds, and the accumulated one after the last of the layer.",
    )


def _layer(
    layer: int | None, matrices: Sequence[MatrixSummary], roles: Sequence[Role]
) -> tuple[str, ...]:
    by_role = {matrix.role: decibel(matrix.local_snr_db) for matrix in matrices}
    name = "outside" if layer is None else str(layer)
    cells = [by_role.get(role, "") for role in roles]
    return (name, *cells, decibel(matrices[-1].accumulated_snr_db))


def _other_steps(steps: Sequence[StepSummary], number: int) -> Grid:
    return Grid(
        key=f"steps-{number}",
        header=("step", "adds (dB)", "gathered (dB)"),
        rows=tuple(
            (label_of(step), decibel(step.local_snr_db), decibel(step.accumulated_snr_db))
            for step in steps
        ),
        caption="Products of two activations and functions that run on hardware.",
    )
