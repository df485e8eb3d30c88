"""A row block of programmed tiles: achieved conductances, exact transfer matrices, power and noise."""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.line_noise import LineNoise, RowBlockNoise
from xbarsim.arrays.in_situ.processes import CellNoise, LineProcesses
from xbarsim.arrays.in_situ.self_correction import BesideTiles, DummyColumns
from xbarsim.arrays.in_situ.tile_wires import solve_wires
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyFloats, Floats, Integers, Singles
from xbarsim.base.units import NANO
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Counts, Programmed
from xbarsim.devices.remembered import RememberedNoise
from xbarsim.devices.streams import Streams
from xbarsim.kernels.arrays.histograms import count_in_bins

MAP_BLOCKS = 32  # of cells, to each side, of the map of a tile, at most
MAP_LINES = 4  # of a block, at least: what leaks to single cells that hardly conduct is no IR drop
CONDUCTANCE_BINS = 64  # of the window of a device, in a histogram of programmed conductances


@dataclass(frozen=True)
class LineCurrents:
    """All bit lines of a row block when every driven word line is at 1 V.

    current : (planes, outputs) A;  variance : A² of read noise
    """

    current: AnyFloats
    variance: AnyFloats


@dataclass(frozen=True)
class TileRow:
    """The tiles of one row block of a matrix, as its inputs and outputs see them.

    transfer : (planes, outputs, rows), bit-line ampere per word-line volt; with planes joined to
        conversions, (conversions * outputs, rows) float32
    variance : the same of read noise, A² per V² of a word line, or None
    noise : what the adjoint says beyond that, of planes; line_noise : of conversions; or None
    cell_noise, processes : the same of noise that is remembered from token to token
    power : (rows, rows), watt drawn from the word-line drivers of all tiles: v @ power @ v
    attenuation_mean, attenuation_std : (tiles,), see `attenuation`
    worst_tile : of the tile with the smallest mean, see `attenuation_map`
    counts : what happened in the write, in all positions of the tiles
    conductances : (bins + 2,), see `count_conductances`
    lines : None where they are not asked for
    dummies : None without
    """

    transfer: AnyFloats
    variance: AnyFloats | None
    noise: RowBlockNoise | None
    line_noise: LineNoise | None
    cell_noise: CellNoise | None
    processes: LineProcesses | None
    power: AnyFloats
    attenuation_mean: Floats
    attenuation_std: Floats
    worst_tile: Singles
    counts: Counts
    conductances: Integers
    lines: LineCurrents | None = None
    dummies: DummyColumns | None = None

    @property
    def variance_or_zero(self) -> AnyFloats:
        """The variance, 0 where there is none."""
        if self.variance is None:
            return np.zeros_like(self.transfer)
        return self.variance


def program_cells(
    target: Floats,
    layout: Layout,
    device: DeviceModel,
    settings: InSituSettings,
    streams: Streams,
) -> Programmed:
    """Programmed cells (tiles, word_lines, bit_lines) of one row block.

    target : (planes, rows, outputs) siemens
    device : with the effects and under the conditions of the study
    streams : of the tiles of this row block: results do not depend on the order of programming
    """
    programmed: Programmed = device.program(
        layout.to_tiles(target, device.conductance_min), streams
    )
    if settings.mapping.unused == "open":
        used = layout.to_tiles(np.ones(target.shape, bool), False)
        programmed.conductance[~used] = 0.0
    return programmed


def solve_row_block(
    cells: Programmed,
    layout: Layout,
    device: DeviceModel,
    settings: InSituSettings,
    streams: Streams,
    rows: int,
    beside: BesideTiles | None = None,
) -> TileRow:
    """TileRow of Programmed cells (tiles, word_lines, bit_lines), of which `rows` word lines are
    driven.

    streams : which cells have telegraph noise
    beside : what makes up for losses
    """
    conductance = cells.conductance.transpose(0, 2, 1)
    remembered = _remembered(cells, device, settings, streams)
    if remembered is None:
        sigma = device.read_noise_sigma(cells, streams, settings.dac.read_time_ns * NANO)
    else:
        sigma = remembered.independent
    lasts = remembered is not None and remembered.lasts
    noisy = bool(np.any(sigma))
    variance = np.empty(conductance.shape) if noisy else None
    mean = np.empty(len(conductance))
    std = np.empty(len(conductance))
    dummies = None
    if beside is None:
        transfer, power = solve_wires(cells.conductance, settings.solved_wires)
    else:
        transfer, power, dummies = beside.solve(cells.conductance, settings.solved_wires, rows)
    for tile in range(len(conductance)):  # one by one they stay in cache
        one = slice(tile, tile + 1)
        passed, mean[one], std[one] = attenuation(transfer[one], conductance[one])
        if variance is not None:
            # First order in the IR drop: a cell's fluctuation reaches its bit line attenuated as
            # its signal is.
            variance[one] = sigma[one].transpose(0, 2, 1) ** 2 * passed**2
    worst = int(np.argmin(mean))
    of_planes = None if variance is None else layout.from_tiles(variance, rows)
    noise = None
    wires = settings.solved_wires
    if (noisy or lasts) and settings.read_noise.wires == "adjoint" and wires is not None:
        noise = RowBlockNoise.of(cells.conductance, sigma, transfer, layout, wires, rows)
        of_planes = noise.square
    cell_noise = None
    if remembered is not None and lasts:
        passed = attenuation(transfer, conductance)[0] if noise is None else noise.passed
        cell_noise = CellNoise.of(remembered, passed, layout, rows, settings.read_noise)
    return TileRow(
        transfer=layout.from_tiles(transfer, rows),
        variance=of_planes,
        noise=noise,
        line_noise=None,
        cell_noise=cell_noise,
        processes=None,
        power=power[:rows, :rows],
        attenuation_mean=mean,
        attenuation_std=std,
        worst_tile=attenuation_map(transfer[worst], conductance[worst]),
        counts=cells.counts,
        conductances=count_conductances(layout.from_tiles(conductance, rows), device),
        dummies=dummies,
    )


def _remembered(
    cells: Programmed, device: DeviceModel, settings: InSituSettings, streams: Streams
) -> RememberedNoise | None:
    """The read noise by how long it lasts; None where every token draws anew."""
    if settings.read_noise.correlation == "independent":
        return None
    read_time = settings.dac.read_time_ns * NANO
    return device.remembered_noise(cells, streams, read_time, settings.read_noise.token_interval_s)


def conductance_edges(device: DeviceModel) -> Floats:
    """(bins + 1,) siemens: the window of the device in bins of equal width."""
    low = float(device.conductance_min)
    high = float(device.conductance_max)
    return np.linspace(low, high, CONDUCTANCE_BINS + 1)


def count_conductances(conductance: Floats, device: DeviceModel) -> Integers:
    """(bins + 2,): cells below the window of the device, in each bin of it, and above it."""
    edges = conductance_edges(device)
    counts = np.zeros(len(edges) + 1, np.int64)
    count_in_bins(np.ascontiguousarray(conductance).ravel(), edges, counts)
    return counts


def attenuation(transfer: Floats, conductance: Floats) -> tuple[Floats, Floats, Floats]:
    """Transfer / conductance (tiles, n, m) of cells, 0 where none conducts, and its mean and
    standard deviation (tiles,).

    Every cell counts with its conductance, so the mean is the current that arrives over the current
    without wires when all word lines are at one voltage.  (By the number of cells, those that
    hardly conduct would decide: they pass on what leaks to them from others.)
    """
    total = conductance.sum(axis=(1, 2))
    conducts = total > 0
    mean = np.divide(transfer.sum(axis=(1, 2)), total, out=np.ones(len(total)), where=conducts)
    passed = np.divide(transfer, conductance, out=np.zeros(transfer.shape), where=conductance > 0)
    squares = (conductance * (passed - mean[:, None, None]) ** 2).sum(axis=(1, 2))
    variance = np.divide(squares, total, out=np.zeros(len(total)), where=conducts)
    return passed, mean, np.sqrt(variance)


def attenuation_map(transfer: Floats, conductance: Floats) -> Singles:
    """(rows, columns): the share of the current that arrives from blocks of cells of one tile (n, m),
    by word lines and bit lines.  1 where none conducts.
    """
    word_lines = _block_starts(conductance.shape[1])
    bit_lines = _block_starts(conductance.shape[0])

    def in_blocks(values: Floats) -> Floats:
        by_bit_line = np.add.reduceat(values, bit_lines, axis=0)
        sums: Floats = np.add.reduceat(by_bit_line, word_lines, axis=1)
        return sums.T

    total = in_blocks(conductance)
    share = np.ones(total.shape)
    np.divide(in_blocks(transfer), total, out=share, where=total > 0)
    return share.astype(np.float32)


def _block_starts(lines: int) -> Integers:
    """The first line of each block; blocks have nearly equal sizes."""
    blocks = min(max(lines // MAP_LINES, 1), MAP_BLOCKS)
    starts: Integers = np.arange(blocks, dtype=np.int64) * lines // blocks
    return starts
