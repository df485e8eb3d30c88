"""What wires, cells and converters look like: IR drop, conductances, codes; of every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.base.units import MICROSIEMENS
from xbarsim.report.page import charts
from xbarsim.report.page.contents import Block, Cell, Fold, Grid, Plot, Sheet
from xbarsim.report.page.error_section import label_of
from xbarsim.report.page.run_record import RunRecord
from xbarsim.report.steps import MatrixSummary, WorstTile
from xbarsim.report.summary import CaseSummary
from xbarsim.report.tile_figures import TileFigures, all_conductances

PERCENT = 100.0
TALLEST = 800  # pixels of the rows of a map
SHOWN = 0.9  # quantile of the largest shares of matrices, the brightest colour of a map of codes
NAME_OF_DROP = "IR drop (%)"


def wires(record: RunRecord) -> list[Block]:
    """IR drop of every matrix, and of every tile of the worst one of each case."""
    with_wires = [case for case in record.cases if _worst(case) is not None]
    if not with_wires:
        return []
    maps: dict[str, list[Block]] = {}
    for number, case in enumerate(record.cases, 1):
        worst = _worst(case)
        if worst is not None:
            drawn = (_cells(record, case, worst, number), _map(record, case, worst, number))
            maps[case.name] = [plot for plot in drawn if plot is not None]
    return [_drops(with_wires), *in_folds("Worst tile", maps)]


def in_folds(title: str, of_cases: Mapping[str, Sequence[Block]]) -> list[Block]:
    """Blocks of every case: of the only one as they are, of several in folds, the first open."""
    if len(of_cases) == 1:
        return [block for blocks in of_cases.values() for block in blocks]
    return [
        Fold(f"{title}: {name}", tuple(blocks), is_open=number == 0)
        for number, (name, blocks) in enumerate(of_cases.items())
    ]


def _worst(case: CaseSummary) -> MatrixSummary | None:
    """The matrix with the tile where least of the current arrives; None without IR drop."""
    found = [matrix for matrix in case.layers if _share(matrix) < 1]
    return min(found, key=_share, default=None)


def _share(matrix: MatrixSummary) -> float:
    """Of the current that arrives from the worst tile."""
    place = _worst_tile(matrix)
    if place is None:
        return 1.0
    return place.attenuation


def _worst_tile(matrix: MatrixSummary) -> WorstTile | None:
    if matrix.ir_drop is None:
        return None
    return matrix.ir_drop.worst


def _lost(share: float) -> float:
    return PERCENT * (1 - share)


def _drops(cases: Sequence[CaseSummary]) -> Plot:
    """The mean IR drop of every matrix of every case."""
    series = []
    rows: list[tuple[Cell, ...]] = []
    for case in cases:
        known = [(matrix, matrix.ir_drop) for matrix in case.layers if matrix.ir_drop is not None]
        values = [_lost(drop.attenuation) for _, drop in known]
        series.append(
            charts.Series(
                name=case.name,
                x=[label_of(matrix) for matrix, _ in known],
                y=values,
                hover=[matrix.name for matrix, _ in known],
            )
        )
        for (matrix, drop), value in zip(known, values, strict=True):
            worst = None if drop.worst is None else _lost(drop.worst.attenuation)
            rows.append((case.name, matrix.name, value, worst))
    axes = charts.Axes("matrix, in the order of execution", NAME_OF_DROP, x_type="category")
    return Plot(
        key="ir-drop",
        title="Current lost in the wires of each matrix",
        caption="Mean over the tiles of a matrix: 1 % means that 1 % of the current that the cells would give "
        "without wire resistance does not arrive. The CSV file has the worst tile of each, too.",
        figure=charts.lines(series, axes, unit=" %"),
        sheet=Sheet(("case", "matrix", "mean IR drop (%)", "worst tile (%)"), tuple(rows)),
        height=360,
    )


def _cells(record: RunRecord, case: CaseSummary, worst: MatrixSummary, number: int) -> Plot | None:
    """The IR drop over the worst tile of a case; None in an older trace."""
    share = record.tiles[case.name][worst.name].worst_tile
    place = _worst_tile(worst)
    if share is None or place is None:
        return None
    mapping = record.studies[case.name].for_layer(worst.name).mapping
    rows = _first_lines(share.shape[0], mapping.word_lines)
    columns = _first_lines(share.shape[1], mapping.bit_lines)
    drops = (PERCENT * (1 - share.astype(float))).tolist()
    blocks = ""
    if len(rows) < mapping.word_lines or len(columns) < mapping.bit_lines:
        blocks = " Squares are blocks of cells, named by their first lines."
    return Plot(
        key=f"ir-drop-cells-{number}",
        title=f"The worst tile of “{case.name}”",
        caption=f"Where on the tile the current is lost: {worst.name}, row block {place.row_block}, column block "
        f"{place.column_block}. Word lines are driven from the left, bit lines are sensed at the bottom.{blocks}",
        figure=charts.heat(
            charts.HeatMap(drops, columns, rows, "IR drop", "%"),
            charts.Axes("bit line", "word line"),
        ),
        sheet=Sheet(
            ("word line", "bit line", NAME_OF_DROP),
            tuple(
                (row, column, drops[i][k])
                for i, row in enumerate(rows)
                for k, column in enumerate(columns)
            ),
        ),
        height=400,
    )


def _first_lines(blocks: int, lines: int) -> list[int]:
    """The first line of each of so many blocks of nearly equal size."""
    return [block * lines // blocks for block in range(blocks)]


def _map(record: RunRecord, case: CaseSummary, worst: MatrixSummary, number: int) -> Plot | None:
    """The IR drop of every tile of a matrix, where the tiles lie; None where a damaged trace states
    another number of them."""
    tile = _worst_tile(worst)
    attenuation = record.tiles[case.name][worst.name].attenuation
    mapping = record.studies[case.name].for_layer(worst.name).mapping
    layout = layout_of(worst.inputs, worst.outputs, mapping)
    if tile is None or attenuation is None or attenuation.size != layout.tiles:
        return None
    planes = 1 if tile.plane is None else layout.planes
    drops = np.array([_lost(share) for share in attenuation.tolist()])
    found = drops.reshape(layout.row_blocks, layout.column_blocks * planes)
    columns = [
        _column(column, plane, planes)
        for column in range(layout.column_blocks)
        for plane in range(planes)
    ]
    rows = [str(row) for row in range(layout.row_blocks)]
    return Plot(
        key=f"ir-drop-tiles-{number}",
        title=f"Tiles of {worst.name} in “{case.name}”",
        caption=f"The matrix with the worst tile: row block {tile.row_block}, column block "
        f"{_column(tile.column_block, tile.plane or 0, planes)}, where {_lost(tile.attenuation):.2f} % of the "
        "current is lost."
        + (
            " Behind the stroke stands the plane: cells of either sign, or digits."
            if planes > 1
            else ""
        ),
        figure=charts.heat(
            charts.HeatMap(found.tolist(), columns, rows, "IR drop", "%"),
            charts.Axes("column block", "row block", x_type="category", y_type="category"),
        ),
        sheet=Sheet(
            ("row block", "column block", NAME_OF_DROP),
            tuple(
                (row, column, float(found[i, k]))
                for i, row in enumerate(rows)
                for k, column in enumerate(columns)
            ),
        ),
        height=150 + 22 * len(rows),
    )


def _column(column: int, plane: int, planes: int) -> str:
    if planes == 1:
        return str(column)
    return f"{column}/{plane}"


# ---------------------------------------------------------------- conductances and codes


def distributions(record: RunRecord) -> list[Block]:
    """Conductances of all cells of each case together, and codes of every matrix."""
    conductances = _conductances(record)
    found: list[Block] = [] if conductances is None else [conductances]
    codes: dict[str, list[Block]] = {}
    for number, case in enumerate(record.cases, 1):
        of_case = _codes(case, record.tiles[case.name], number)
        if of_case is not None:
            codes[case.name] = [of_case]
    return [*found, *in_folds("ADC codes", codes)]


def _conductances(record: RunRecord) -> Plot | None:
    series = []
    rows: list[tuple[Cell, ...]] = []
    for case in record.cases:
        for histogram in all_conductances(record.tiles[case.name]):
            total = max(int(histogram.counts.sum()), 1)
            edges = (histogram.edges / MICROSIEMENS).tolist()
            shares = (PERCENT * histogram.counts / total).tolist()
            middles = [(low + high) / 2 for low, high in zip(edges, edges[1:], strict=False)]
            series.append(charts.Series(case.name, middles, shares[1:-1]))
            below: list[float | None] = [None, *edges]
            above: list[float | None] = [*edges, None]
            counts = histogram.counts.tolist()
            rows += [(case.name, *row) for row in zip(below, above, counts, shares, strict=True)]
    if not series:
        return None
    axes = charts.Axes("programmed conductance (µS)", "share of the cells (%)")
    return Plot(
        key="conductances",
        title="Conductances of the cells",
        caption="All cells that hold weights on the first chip, after the write and what follows it, in bins of "
        "the device's window; cells beyond the window are in the CSV file.",
        figure=charts.steps(series, axes),
        sheet=Sheet(("case", "from (µS)", "to (µS)", "cells", "share (%)"), tuple(rows)),
        height=360,
    )


def _codes(case: CaseSummary, tiles: Mapping[str, TileFigures], number: int) -> Plot | None:
    """A row for every matrix whose codes are counted, over the codes of the converter."""
    known = []
    for matrix in case.layers:
        codes = tiles[matrix.name].codes
        if codes is not None:
            known.append((matrix, codes))
    if not known:
        return None
    places = sorted({int(first) for _, codes in known for first in codes.first})
    rows = []
    sheet: list[tuple[Cell, ...]] = []
    for matrix, codes in known:
        share = dict(zip(codes.first.tolist(), (PERCENT * codes.share).tolist(), strict=True))
        rows.append([share.get(place) for place in places])
        sheet += [(matrix.name, first, value) for first, value in share.items()]
    names = [charts.plain(label_of(matrix)) for matrix, _ in known]
    return Plot(
        key=f"codes-{number}",
        title=f"ADC codes in “{case.name}”",
        caption="How often the converters of each matrix give each code. A range that fits has a broad middle; "
        "bright ends are saturation, a thin bright line is a range too wide. The brightest colour stands for all "
        "shares above its value, too.",
        figure=charts.heat(
            charts.HeatMap(rows, places, names, "share", "%", highest=_highest(rows)),
            charts.Axes("ADC code", "", y_type="category"),
        ),
        sheet=Sheet(("matrix", "lowest code of the bin", "share (%)"), tuple(sheet)),
        height=round(90 + len(names) * min(15, TALLEST / len(names))),
    )


def _highest(rows: Sequence[charts.Values]) -> float:
    """The end of the colours: a few matrices that give nearly one code alone are beyond it."""
    peaks = np.array(rows, float)  # NaN where a converter has no such code
    return float(np.quantile(np.nanmax(peaks, axis=1), SHOWN))


# ---------------------------------------------------------------- a table


def table(cases: Sequence[CaseSummary]) -> Grid:
    """What the cells and converters of every case are, and how often they left their range."""
    facts = [_facts(case.layers) for case in cases]
    columns = zip(*(found.values() for found in facts), strict=True)
    return Grid(
        key="hardware",
        header=("", *(case.name for case in cases)),
        rows=tuple((name, *cells) for name, cells in zip(facts[0], columns, strict=True)),
        caption="Of all matrices together, on the first chip.",
    )


def _facts(layers: Sequence[MatrixSummary]) -> dict[str, str]:
    programmed = [layer.programming for layer in layers]
    adc = max((layer.adc_saturated for layer in layers), default=0.0)
    dac = max((layer.dac_saturated for layer in layers), default=0.0)
    return {
        "tiles": f"{sum(one.tiles for one in programmed):,}",
        "cells": f"{sum(one.cells for one in programmed):,}",
        "clipped weights": f"{sum(one.clipped_weights for one in programmed):,}",
        "stuck cells": f"{sum(one.stuck_cells for one in programmed):,}",
        "cells held at a physical bound": f"{sum(one.bounded_cells for one in programmed):,}",
        "write pulses": f"{sum(one.write_pulses for one in programmed):,}",
        "ADC conversions saturated, worst matrix": f"{PERCENT * adc:.2f} %",
        "DAC inputs saturated, worst matrix": f"{PERCENT * dac:.2f} %",
    }
