"""Read noise of bit lines behind wires, by the adjoint.

To first order in the fluctuations, the variance of the current of bit line j is

    sum over cells of (sigma s (a v - sum over sections k of h_k I_k))²  +  sum of x v²,

where v drives the cell's word line and I_k is the current that the word lines of section k send
into bit line j.  a v is the voltage across a cell that is driven alone and s its adjoint voltage;
h_k I_k is what the currents of the bit line take from it; x is the noise of the other cells of the
word line (`kernels/arrays/line_noise.py`).  h_k is exact where all word lines of a section have one
voltage: the profile of a bit line is taken from there.  So a token costs a few matrix products.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.base.array_types import Floats, Singles
from xbarsim.circuit.wires import wire_segments
from xbarsim.config.wires import Wires
from xbarsim.kernels.arrays.line_noise import cell_noise
from xbarsim.kernels.arrays.row_products import multiply_rows
from xbarsim.kernels.circuit import nodal

SECTIONS = 2  # of the driven word lines, whose currents are told apart
TOLERANCE = 1e-6  # of the node voltages behind the profiles
# A bit line whose noise is a smaller share of the loudest one's has no relative error.
QUIET = 1e-6


@dataclass(frozen=True)
class TileNoise:
    """Read noise of the bit lines of one tile of m word lines by n bit lines, `rows` driven.

    square : (n, m), A² per V² of a word line
    cross : (sections, n, m), A² per V of a word line and A of the current of a section
    own : (sections, sections, n), A² per A² of the currents of two sections
    passed : (n, m), A per V and S of a fluctuation, each word line driven alone
    error : largest relative error of a standard deviation over the bit lines, where the word lines
        of half a section are driven: no profile is worse by much
    """

    square: Floats
    cross: Floats
    own: Floats
    passed: Floats
    error: float


@dataclass(frozen=True)
class RowBlockNoise:
    """Read noise of the planes of a row block, as `TileNoise`.

    square : (planes, outputs, rows);  cross : (sections, planes, outputs, rows)
    own : (sections, sections, planes, outputs);  error : (tiles,)
    transfer : (planes, outputs, rows) A/V;  passed : (tiles, n, m)
    """

    square: Floats
    cross: Floats
    own: Floats
    error: Floats
    transfer: Floats
    passed: Floats

    @classmethod
    def of(
        cls,
        conductance: Floats,
        sigma: Floats,
        transfer: Floats,
        layout: Layout,
        wires: Wires,
        rows: int,
    ) -> Self:
        """Of tiles: conductance, sigma (tiles, m, n) S, transfer (tiles, n, m) A/V."""
        segments = wire_segments(wires, *conductance.shape[1:])
        tiles = [
            tile_noise(*tile, segments, rows)
            for tile in zip(conductance, sigma, transfer, strict=True)
        ]
        cross = np.stack([tile.cross for tile in tiles], axis=1)
        own = np.stack([tile.own for tile in tiles], axis=2)
        count = len(cross)
        of_lines = np.repeat(own[..., None], layout.word_lines, axis=-1)
        planes = [
            [layout.from_tiles(of_lines[k, other], 1)[..., 0] for other in range(count)]
            for k in range(count)
        ]
        return cls(
            square=layout.from_tiles(np.stack([tile.square for tile in tiles]), rows),
            cross=np.stack([layout.from_tiles(of_section, rows) for of_section in cross]),
            own=np.array(planes),
            error=np.array([tile.error for tile in tiles]),
            transfer=layout.from_tiles(transfer, rows),
            passed=np.stack([tile.passed for tile in tiles]),
        )


@dataclass(frozen=True)
class LineNoise:
    """Read noise of the conversions of a row block, beside the part that is one matrix (`square`).

    A conversion joins the currents of one or two cells (parts), each of a bit line of its own.

    transfer : of every section, (parts, columns, rows of the section) A/V
    cross : (sections, parts, columns, rows);  own : (sections, sections, parts, columns)
    error : (tiles,), see `TileNoise`
    """

    transfer: tuple[Singles, ...]
    cross: Singles
    own: Singles
    error: Floats

    @classmethod
    def of(cls, noise: RowBlockNoise, slices: int, joined: bool) -> Self:
        """Of planes that are conversions by themselves, or joined in pairs."""

        def by_parts(planes: Floats) -> Singles:
            """(..., planes, outputs, rows) -> (..., parts, columns, rows)"""
            *first, count, outputs, rows = planes.shape
            if not joined:
                return planes.reshape(*first, 1, count * outputs, rows).astype(np.float32)
            pairs = planes.reshape(*first, slices, 2, outputs, rows)
            parts = np.moveaxis(pairs, -3, -4)
            return parts.reshape(*first, 2, slices * outputs, rows).astype(np.float32)

        transfer = by_parts(noise.transfer)
        return cls(
            transfer=tuple(
                np.ascontiguousarray(transfer[..., section])
                for section in sections(transfer.shape[-1])
            ),
            cross=by_parts(noise.cross),
            own=by_parts(noise.own[..., None])[..., 0],
            error=noise.error,
        )

    def variance(self, volts: Singles, square: Singles, columns: slice) -> Singles:
        """(b, columns) A² of inputs (b, rows) V;  square : (columns, rows), of some columns."""
        total: Singles = multiply_rows(volts**2, square)
        for part in range(self.own.shape[2]):
            currents = self._currents(volts, part, columns)
            for k, current in enumerate(currents):
                crossed = multiply_rows(volts, self.cross[k, part, columns])
                total -= np.float32(2) * current * crossed
                for other, second in enumerate(currents):
                    total += self.own[k, other, part, columns] * current * second
        return np.maximum(total, np.float32(0))

    def _currents(self, volts: Singles, part: int, columns: slice) -> list[Singles]:
        """(b, columns) A of every section."""
        found = []
        start = 0
        for transfer in self.transfer:
            of_section = transfer[part, columns]
            stop = start + of_section.shape[1]
            driven = np.ascontiguousarray(volts[:, start:stop])
            found.append(multiply_rows(driven, of_section))
            start = stop
        return found


def sections(rows: int) -> list[slice]:
    """Word lines in SECTIONS of nearly equal length, none of them empty."""
    edges = np.linspace(0, rows, min(SECTIONS, rows) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def tile_noise(
    conductance: Floats,
    sigma: Floats,
    transfer: Floats,
    segments: tuple[Floats, Floats],
    rows: int,
) -> TileNoise:
    """Read noise of a tile.

    conductance, sigma : (m, n) S;  transfer : (n, m) A/V;  rows : word lines that are driven
    segments : ohm of the word lines and of the bit lines, see `wires.wire_segments`
    """
    driven, sensed, others = cell_noise(conductance, *segments, sigma)
    weight = (sigma * sensed) ** 2
    # Each half of a section is solved: their sums are the profiles, each alone tells how far off
    # inputs of another distribution are.
    halves = [half for section in sections(rows) for half in sections_of(section)]
    volts = _cell_voltages(conductance, segments, halves)
    alone = driven.copy()  # of a cell, with what its own current takes from it given back
    profiles = []
    for section in sections(rows):
        across = np.zeros_like(driven)
        for half, found in zip(halves, volts, strict=True):
            if section.start <= half.start < section.stop:
                across += found
        profile = _profile(section, across, driven, transfer.T)
        alone[section] += profile[section] * transfer.T[section]
        profiles.append(profile)
    stacked = np.stack(profiles)
    noise = TileNoise(
        square=(weight * alone**2 + others).T,
        cross=(weight * alone * stacked).transpose(0, 2, 1),
        own=np.einsum("ij,kij,lij->klj", weight, stacked, stacked),
        passed=(driven * sensed).T,
        error=0.0,
    )
    errors = [
        _error(noise, transfer, half, rows, (weight * found**2).sum(axis=0) + others[half].sum(0))
        for half, found in zip(halves, volts, strict=True)
    ]
    return replace(noise, error=max(errors))


def sections_of(section: slice) -> list[slice]:
    """A section in halves."""
    rows = section.stop - section.start
    return [slice(section.start + half.start, section.start + half.stop) for half in sections(rows)]


def _profile(section: slice, across: Floats, driven: Floats, passed: Floats) -> Floats:
    """(m, n) V that a cell loses per ampere of the section in its bit line.

    across : V, with the section at one volt;  driven : volts across a cell that is driven alone
    passed : A/V, the transfer matrix transposed
    """
    lost = -across
    lost[section] += driven[section]
    current = np.repeat(passed[section].sum(axis=0)[None], len(passed), axis=0)
    total = current.copy()
    current[section] -= passed[section]  # its own, which `driven` has lost already
    profile: Floats = np.divide(
        lost, current, out=np.zeros_like(lost), where=current > QUIET * total
    )
    return profile


def _cell_voltages(
    conductance: Floats, segments: tuple[Floats, Floats], driven: list[slice]
) -> Floats:
    """(b, m, n) V across the cells with some word lines at one volt."""
    m, n = conductance.shape
    r_word, r_bit = segments
    network = nodal.factor(
        conductance,
        np.column_stack([r_word, np.full(m, np.inf)]),
        np.vstack([np.full(n, np.inf), r_bit]),
    )
    left = np.zeros((len(driven), m))
    for inputs, word_lines in zip(left, driven, strict=True):
        inputs[word_lines] = 1.0
    ends = nodal.Terminals(
        left=left,
        right=np.zeros_like(left),
        top=np.zeros((len(driven), n)),
        bottom=np.zeros((len(driven), n)),
    )
    across: Floats = nodal.node_voltages(network, ends, tolerance=TOLERANCE).across
    return across


def _error(noise: TileNoise, transfer: Floats, half: slice, rows: int, exact: Floats) -> float:
    """Largest relative error over the bit lines for word lines at one volt, whose variance (n,) in
    A² is `exact`.
    """
    currents = np.zeros((len(noise.own), len(transfer)))
    for current, section in zip(currents, sections(rows), strict=True):
        if section.start <= half.start < section.stop:
            current += transfer[:, half].sum(axis=1)
    found = noise.square[:, half].sum(axis=1)
    found = found - 2 * (currents * noise.cross[:, :, half].sum(axis=2)).sum(axis=0)
    found = found + np.einsum("klj,kj,lj->j", noise.own, currents, currents)
    loud = exact > QUIET * exact.max()
    if not loud.any():
        return 0.0
    ratio = np.sqrt(np.maximum(found[loud], 0) / exact[loud])
    return float(abs(ratio - 1).max())
