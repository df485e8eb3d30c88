"""What a trace says of the tiles of each matrix beyond a summary: the wires of every tile, programmed
conductances, codes of converters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Floats, Integers, Singles
from xbarsim.hardware.attributes import MatrixAttributes
from xbarsim.studies.trace import Chip, ConductanceHistogram, Trace, TracedMatrix
from xbarsim.studies.trace_layout import CodeHistogram


@dataclass(frozen=True)
class CodeShares:
    """Conversions of a matrix by their codes, on the first chip.

    first : lowest code of each bin (bins,);  share : of all conversions, those held at either end
        included
    """

    first: Integers
    share: Floats

    @classmethod
    def of(cls, attributes: MatrixAttributes, histogram: CodeHistogram) -> CodeShares | None:
        """None without conversions, or in a trace that does not state the bins."""
        if attributes.lowest_code is None or attributes.codes_per_bin is None:
            return None
        counts = histogram.counts.astype(float)
        counts[0] += histogram.beyond[0]
        counts[-1] += histogram.beyond[1]
        if counts.sum() == 0:
            return None
        places = np.arange(len(counts), dtype=np.int64)
        first = attributes.lowest_code + attributes.codes_per_bin * places
        return cls(first, counts / counts.sum())


@dataclass(frozen=True)
class TileFigures:
    """A matrix on the first chip.

    attenuation : (tiles,) share of the current that the wires of each let arrive; None on computation
        crossbars
    worst_tile : (rows, columns) the same of blocks of cells of the tile where it is least; None without
        wires and in older traces
    conductances, codes : None where none are counted
    """

    attenuation: Floats | None
    worst_tile: Singles | None
    conductances: ConductanceHistogram | None
    codes: CodeShares | None


def tile_figures(trace: Trace) -> dict[str, dict[str, TileFigures]]:
    """{case: {matrix: its tiles}} of the first chip of every case."""
    return {name: _of_chip(case.chips[0]) for name, case in trace.cases.items() if case.chips}


def _of_chip(chip: Chip) -> dict[str, TileFigures]:
    return {matrix: _of_matrix(found) for matrix, found in chip.layers.items()}


def _of_matrix(matrix: TracedMatrix) -> TileFigures:
    codes = None
    if matrix.codes is not None:
        codes = CodeShares.of(matrix.attributes, matrix.codes)
    attenuation = None
    if matrix.attenuation is not None:
        attenuation = matrix.attenuation.mean
    return TileFigures(attenuation, matrix.worst_tile, matrix.conductances, codes)


def all_conductances(tiles: Mapping[str, TileFigures]) -> list[ConductanceHistogram]:
    """The histograms of matrices counted together, one for each window of conductances."""
    found: dict[bytes, ConductanceHistogram] = {}
    for one in tiles.values():
        histogram = one.conductances
        if histogram is None:
            continue
        window = histogram.edges.tobytes()
        counts = histogram.counts
        if window in found:
            counts = counts + found[window].counts
        found[window] = ConductanceHistogram(histogram.edges, counts)
    return list(found.values())
