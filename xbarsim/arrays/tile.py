"""A row block of programmed tiles: achieved conductances, exact transfer matrices, power and noise."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.units import NANO
from xbarsim.devices.programmed import Counts
from xbarsim.devices.streams import Streams
from xbarsim.kernels.circuit.transfer import transfer_matrix


@dataclass(frozen=True)
class TileRow:
    """The tiles of one row block of a matrix, as its inputs and outputs see them.

    transfer : (planes, outputs, rows) float64, bit-line ampere per word-line volt
    variance : (planes, outputs, rows) float64 or None, A² of read noise per V² of a word line
    power : (rows, rows) float64, watt drawn from the word-line drivers of all tiles: v @ power @ v
    attenuation_mean, attenuation_std : (tiles,), see `attenuation`
    counts : what happened in the write, in all positions of the tiles
    """

    transfer: np.ndarray
    variance: np.ndarray | None
    power: np.ndarray
    attenuation_mean: np.ndarray
    attenuation_std: np.ndarray
    counts: Counts

    @property
    def variance_or_zero(self):
        """The variance, 0 where there is none."""
        return np.zeros_like(self.transfer) if self.variance is None else self.variance


def program_row_block(target, layout, device, study, matrix, first_tile):
    """Program the tiles of one row block and solve their wires.

    Parameters
    ----------
    target : (planes, rows, outputs) siemens
    layout : layout.Layout
    device : DeviceModel with the effects and under the conditions of the study
    study : the study of this matrix (wires, effects, mapping, seed)
    matrix, first_tile : int, name the random streams: results do not depend on the order of
        programming
    """
    streams = Streams(study.seed, matrix, first_tile)
    cells = program_cells(target, layout, device, study, streams)
    return solve_row_block(cells, layout, device, study, streams, rows=target.shape[1])


def program_cells(target, layout, device, study, streams):
    """Programmed cells (tiles, word_lines, bit_lines) of one row block; target as in
    `program_row_block`.
    """
    programmed = device.program(layout.to_tiles(target, device.conductance_min), streams)
    if study.mapping.unused == "open":
        used = layout.to_tiles(np.ones(target.shape, bool), False)
        programmed.conductance[~used] = 0.0
    return programmed


def solve_row_block(cells, layout, device, study, streams, rows):
    """TileRow of Programmed cells (tiles, word_lines, bit_lines), of which `rows` word lines are
    driven; streams : which cells have telegraph noise.
    """
    transfer, power = solve_wires(cells.conductance, study)
    conductance = cells.conductance.transpose(0, 2, 1)
    passed, mean, std = attenuation(transfer, conductance)
    variance = None
    sigma = device.read_noise_sigma(cells, streams, study.dac.read_time_ns * NANO)
    if np.any(sigma):
        # First order in the IR drop: a cell's fluctuation reaches its bit line attenuated as its
        # signal is.
        variance = layout.from_tiles(sigma.transpose(0, 2, 1) ** 2 * passed**2, rows)
    return TileRow(
        layout.from_tiles(transfer, rows),
        variance,
        power[:rows, :rows],
        mean,
        std,
        cells.counts,
    )


def attenuation(transfer, conductance):
    """Transfer / conductance (tiles, n, m) of cells, 0 where none conducts, and its mean and
    standard deviation (tiles,).

    Every cell counts with its conductance, so the mean is the current that arrives over the current
    without wires when all word lines are at one voltage.  (By the number of cells, those that
    hardly conduct would decide: they pass on what leaks to them from others.)
    """
    total = conductance.sum(axis=(1, 2))
    mean = np.divide(transfer.sum(axis=(1, 2)), total, out=np.ones(len(total)), where=total > 0)
    passed = np.divide(transfer, conductance, out=np.zeros(transfer.shape), where=conductance > 0)
    square = (conductance * (passed - mean[:, None, None]) ** 2).sum(axis=(1, 2))
    return (
        passed,
        mean,
        np.sqrt(np.divide(square, total, out=np.zeros(len(total)), where=total > 0)),
    )


def has_wires(study):
    """Whether a study's tiles have any resistance beside their cells."""
    wires = study.wires
    return study.effects.wires and any(
        (*wires.resistances(), wires.source_resistance_ohm, wires.sense_resistance_ohm)
    )


def wire_segments(wires, m, n, below=0):
    """Ohm, (m, n) each, of the segments left of and below every cell of m word lines and n bit
    lines, source and sense resistance included; `below` further segments lie between the last cell
    and the sense amplifier.
    """
    word, bit = wires.resistances()
    r_word, r_bit = np.full((m, n), float(word)), np.full((m, n), float(bit))
    r_word[:, 0] += wires.source_resistance_ohm
    r_bit[-1] += wires.sense_resistance_ohm + below * bit
    return r_word, r_bit


def solve_wires(conductance, study):
    """Transfer matrices (t, n, m) of tiles (t, m, n), and the power matrix (m, m) of all of them
    together.
    """
    tiles, m, n = conductance.shape
    if not has_wires(study):
        return conductance.transpose(0, 2, 1), np.diag(conductance.sum(axis=(0, 2)))
    r_word, r_bit = wire_segments(study.wires, m, n)
    transfer, power = np.empty((tiles, n, m)), np.zeros((m, m))
    for t in range(tiles):
        transfer[t], drawn = transfer_matrix(conductance[t], r_word, r_bit)
        power += drawn
    return transfer, power
