"""Cells that are read back after they were written, and some of them written again.

Once a weight is written, the errors of its cells are known as well as they can be read.  Any one of
its cells can take up what the weight lacks: the other cell of a pair, a lower digit, or the cell
that erred.  A cell that is written again draws its error anew, so it is worth while where the
expected square error of the weight, that of the new write alone and what the window leaves
uncorrected, is below the one that is there.  Each weight is written at most one cell at a time, the
one with which it is expected to come nearest.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.encoding import Encoded
from xbarsim.arrays.in_situ.error_left import share_left
from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.in_situ.tile_wires import solve_wires
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.units import NANO
from xbarsim.devices.ageing import normals
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import READ_BACK, Streams

FAULTY = 6.0  # standard errors from its target: a cell that does not take what is written
FAULTY_LEAST = 0.02  # of the window
LEAST = 1e-4  # of the window: cells are not written again for less


@dataclass(frozen=True)
class RowBlock:
    """What is wanted of the weights of a row block.

    value : (planes, outputs), weight per siemens
    wanted : (outputs, rows), weights that the cells are to stand for, without what is added
        digitally
    """

    layout: Layout
    value: Floats
    wanted: Floats
    device: DeviceModel
    settings: InSituSettings
    streams: Streams

    @classmethod
    def of(
        cls,
        block: int,
        encoded: Encoded,
        layout: Layout,
        device: DeviceModel,
        settings: InSituSettings,
        streams: Streams,
    ) -> "RowBlock":
        """That of a matrix with this number."""
        wanted = encoded.intended_of(layout.rows(block)) - encoded.offset
        return cls(
            layout=layout,
            value=encoded.value.reshape(layout.planes, layout.outputs),
            wanted=np.ascontiguousarray(wanted.T),
            device=device,
            settings=settings,
            streams=streams,
        )

    def written_again(self, cells: Programmed, target: Floats) -> Programmed:
        """Cells (tiles, word_lines, bit_lines) after the rounds of the mapping.

        target : (planes, rows, outputs) S that they were asked for

        Raises
        ------
        OutOfRangeError : more writes than the device endures
        """
        rounds = self.settings.mapping.compensation_rounds
        known = self._asked_for(np.ascontiguousarray(target.transpose(0, 2, 1)))
        low = float(self.device.conductance_min)
        for number in range(rounds):
            device = self.device.after_writes(number + 1)
            found = self._read_back(cells, number)
            known = known.seen(found)
            left = share_left(rounds - 1 - number)
            choice = self._choose(known, found.variance, self._passed(found), left)
            if not choice.chosen.any():
                break
            tiles = self.layout.to_tiles(choice.target.transpose(0, 2, 1), low)
            where = self.layout.to_tiles(choice.chosen.transpose(0, 2, 1), False)
            cells = device.program_again(cells, tiles, where, self.streams)
            known = known.where(choice.chosen, self._asked_for(choice.target))
        return cells

    def _asked_for(self, target: Floats) -> "_Known":
        """What is known of cells (planes, outputs, rows) that were asked for targets."""
        return _Known(
            conductance=target + self.device.programming_bias(target),
            variance=self.device.programming_sigma(target) ** 2,
            faulty=np.zeros(target.shape, bool),
            least=FAULTY_LEAST * (self.device.conductance_max - self.device.conductance_min),
        )

    def _choose(self, known: "_Known", noise: Floats, passed: Floats, left: float) -> "_Choice":
        """Which cells to write next, and with which targets.

        noise : S² of the reads
        passed : share of the current of every cell that arrives
        left : share of the variance of a write that later ones will leave
        """
        slope = self.value[:, :, None] * passed  # weight per siemens of a cell
        lacks = self.wanted - (slope * known.conductance).sum(axis=0)
        low = float(self.device.conductance_min)
        high = float(self.device.conductance_max)

        needed = known.conductance + lacks / slope
        held = np.clip(needed, low, high)
        target = np.clip(needed - self.device.programming_bias(held), low, high)
        variance = self.device.programming_sigma(target) ** 2
        total = variance + noise
        unseen = np.divide(variance * noise, total, out=np.zeros_like(total), where=total > 0)
        missed = target + self.device.programming_bias(target) - needed
        # Beside what the cell adds now; that of the other cells stays.
        scatter = unseen + left * (variance - unseen)
        expected = slope**2 * (missed**2 + scatter - known.variance)
        expected[known.faulty] = np.inf

        best = np.argmin(expected, axis=0)[None]
        least = LEAST * (high - low) * np.abs(slope).max(axis=0)
        gains = np.take_along_axis(expected, best, axis=0)[0] + least**2 < lacks**2
        chosen = np.zeros(target.shape, bool)
        np.put_along_axis(chosen, best, gains[None], axis=0)
        return _Choice(target, chosen)

    def _read_back(self, cells: Programmed, number: int) -> "_Found":
        """What the reads of a round find on average.

        White noise is averaged away; what is slower than the reads, 1/f and telegraph noise, is
        not.
        """
        mapping = self.settings.mapping
        read_time = self.settings.dac.read_time_ns * NANO
        sigma = self.device.read_noise_sigma(cells, self.streams, read_time)
        tiles = cells.conductance
        left = np.zeros_like(tiles)
        if np.any(sigma):
            white = self.device.read_noise_parts(cells, read_time)["white"]
            share = 1 - 1 / mapping.compensation_reads
            left = np.sqrt(np.maximum(sigma**2 - share * white**2, 0.0))
            deviate = normals(self.streams, left.shape, READ_BACK, number)
            tiles = np.maximum(tiles + left * deviate, 0.0)
        conductance = self._planes(tiles)
        factor = self._common_factor(conductance)
        return _Found(
            tiles=tiles,
            conductance=factor * conductance,
            variance=(factor * self._planes(left)) ** 2,
        )

    def _common_factor(self, conductance: Floats) -> float:
        """What brings cells back to the scale of their targets, of which all have lost about the
        same share as they aged, and a digital gain will undo it.

        The error of a write is independent of the wanted weights, so it does not bias the ratio; a
        line that is stuck does not move the median.
        """
        active = self.device.active
        ages = (active.drift, active.temperature, active.read_disturb) != (None, None, None)
        if self.settings.mapping.gain == "none" or not ages:
            return 1.0
        stands_for = (self.value[:, :, None] * conductance).sum(axis=0)
        along = (stands_for * self.wanted).sum(axis=1)
        square = (self.wanted**2).sum(axis=1)
        usable = along > 0
        if not usable.any():
            return 1.0
        return float(np.median(square[usable] / along[usable]))

    def _passed(self, found: "_Found") -> Floats:
        """(planes, outputs, rows): share of the current of a cell that arrives."""
        wires = self.settings.solved_wires
        passed = np.ones_like(found.conductance)
        if wires is None:
            return passed
        transfer, _ = solve_wires(found.tiles, wires)
        arrives = self.layout.from_tiles(transfer, passed.shape[-1])
        measured = self._planes(found.tiles)
        np.divide(arrives, measured, out=passed, where=measured > 0)
        return passed

    def _planes(self, tiles: Floats) -> Floats:
        """(planes, outputs, rows) of (tiles, word_lines, bit_lines)."""
        return self.layout.from_tiles(tiles.transpose(0, 2, 1), self.wanted.shape[1])


@dataclass(frozen=True)
class _Found:
    """What reads found: (tiles, word_lines, bit_lines) S, and in the scale of the targets the
    conductance (planes, outputs, rows) and the variance of the reads.
    """

    tiles: Floats
    conductance: Floats
    variance: Floats


@dataclass(frozen=True)
class _Known:
    """What is known of cells (planes, outputs, rows): their conductance and its variance.

    faulty : cells far from what they were asked for
    least : siemens that are not far
    """

    conductance: Floats
    variance: Floats
    faulty: Booleans
    least: float

    def seen(self, found: _Found) -> "_Known":
        """Together with what reads found; of faulty cells that alone."""
        difference = found.conductance - self.conductance
        total = self.variance + found.variance
        far = np.abs(difference) > np.maximum(FAULTY * np.sqrt(total), self.least)
        weight = np.divide(self.variance, total, out=np.ones_like(total), where=total > 0)
        weight[far] = 1.0
        return _Known(
            conductance=self.conductance + weight * difference,
            variance=np.where(far, found.variance, (1 - weight) * self.variance),
            faulty=self.faulty | far,
            least=self.least,
        )

    def where(self, chosen: Booleans, other: "_Known") -> "_Known":
        """The other's of the chosen cells."""
        return _Known(
            conductance=np.where(chosen, other.conductance, self.conductance),
            variance=np.where(chosen, other.variance, self.variance),
            faulty=self.faulty,
            least=self.least,
        )


@dataclass(frozen=True)
class _Choice:
    """(planes, outputs, rows): targets, S, of the cells that are chosen."""

    target: Floats
    chosen: Booleans
