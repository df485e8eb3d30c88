"""Targets chosen so that the weights that arrive through the wires are the wanted ones.

The transfer matrix T of a tile is exact, so the share a = T / g of the current of a cell that
arrives is known for every cell.  It depends on the other cells, but weakly: targets chosen for the
shares of the last solve bring the next solve near what is wanted.  The first shares are those of a
tile whose cells all have the mean conductance, which is solved once and kept.

For a scale s of an output, the cells of a pair take the smaller conductances with

    a+ g+ - a- g- = s wanted,

and a single cell the one with a g = s wanted + low.  Far cells need more conductance than the
weight alone asks for: a scale below one is the headroom for it, at the price of a programming error
that counts for more.  s is the scale with the least expected square error of the product, what is
clipped at the window plus what programming adds; the digital value of the cells takes it out.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xbarsim.arrays.in_situ.encoding import Encoded
from xbarsim.arrays.in_situ.error_left import expected_share
from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.circuit.wires import wire_segments
from xbarsim.config.arrays import Mapping
from xbarsim.config.wires import Wires
from xbarsim.devices.conditions import Effect
from xbarsim.devices.model import DeviceModel
from xbarsim.kernels.arrays.compensation import scale_errors
from xbarsim.kernels.circuit.transfer import transfer_matrix

SCALES = np.geomspace(1 / 64, 1, 13)
AROUND = np.geomspace(1 / 2**0.5, 2**0.5, 11)  # of the best of SCALES, up to its neighbours
LOWER = np.geomspace(0.75, 1, 10)  # of a scale that is too large by now
# Scales whose errors differ by less than this share of the sum of squares of the product are alike:
# the largest of them has the largest currents.
ALIKE = 1e-10
REACHED = (0.25, 2.0)  # of a scale that was asked for, what may be believed to have arrived
MARGIN = 0.98  # of a scale found with shares that are still to change
VARIANCE_STEPS = 1024  # of the window, between which the variance of a cell is interpolated
MEAN_STEP = 1.05  # ratio of the mean conductances whose first shares are kept


@dataclass(frozen=True)
class _Compensation:
    """What is wanted of the cells of a matrix, all as transfer matrices are.

    wanted : (slices, outputs, inputs) S that the cells of a digit are to pass on at scale one
    value : (slices, outputs), weight per siemens of a digit
    """

    wanted: Floats
    value: Floats
    signs: int
    layout: Layout
    moment: Floats
    settings: InSituSettings
    wires: Wires
    device: DeviceModel

    @property
    def low(self) -> float:
        return float(self.device.conductance_min)

    @property
    def high(self) -> float:
        return float(self.device.conductance_max)

    def first_shares(self, target: Floats) -> Floats:
        """(slices, signs, outputs, inputs) of the current that arrives, of tiles whose cells all
        have the mean of these conductances.
        """
        return self._of_row_blocks(target, self._mean_shares)

    def shares(self, target: Floats, otherwise: Floats) -> Floats:
        """(slices, signs, outputs, inputs) of the current that arrives: one solve of every tile.

        otherwise : of cells that do not conduct
        """
        arrives = self._of_row_blocks(target, self._solved)
        shares: Floats = np.divide(arrives, target, out=otherwise.copy(), where=target > 0)
        return shares

    def scale(self, shares: Floats) -> Floats:
        """(outputs,): that of least expected error, the largest of those that are alike.

        Raises
        ------
        OutOfRangeError : even the smallest scale does not fit into the window
        """
        candidates = np.repeat(SCALES[:, None], self.layout.outputs, axis=1)
        coarse = self._largest_of_least_error(shares, candidates)
        if coarse.min() == SCALES[0]:
            self._refuse_window(shares)
        finer = np.minimum(AROUND[:, None] * coarse, 1.0)
        return MARGIN * self._largest_of_least_error(shares, finer)

    def lowered(self, scale: Floats, shares: Floats) -> Floats:
        """(outputs,): the scale, or a smaller one of less expected error."""
        return self._largest_of_least_error(shares, LOWER[:, None] * scale)

    def reached(self, target: Floats, shares: Floats, scale: Floats) -> Floats:
        """(outputs,): the scale that these targets pass on, by least squares over the product.

        scale : that was asked for
        """
        passed_on = self._passed_on(target, shares)
        cross = self._products(passed_on, self.wanted)
        norm = self._products(self.wanted, self.wanted)
        share = np.divide(cross, scale * norm, out=np.ones_like(norm), where=norm > 0)
        reached: Floats = scale * np.clip(share, *REACHED)
        return reached

    def error(self, target: Floats, shares: Floats, scale: Floats) -> float:
        """Relative rms error of the product of these targets, read with this scale."""
        missing = self._passed_on(target, shares) / scale[:, None] - self.wanted
        errors = self._products(missing, missing).sum()
        norm = self._products(self.wanted, self.wanted).sum()
        return float(np.sqrt(errors / norm)) if norm > 0 else 0.0

    def _passed_on(self, target: Floats, shares: Floats) -> Floats:
        """(slices, outputs, inputs) S that the cells of a digit pass on, the low state taken off."""
        arrives = target * shares
        if self.signs == 1:
            return arrives[:, 0] - self.low
        difference: Floats = arrives[:, 0] - arrives[:, 1]
        return difference

    def _products(self, one: Floats, other: Floats) -> Floats:
        """(outputs,): of (slices, outputs, inputs), weighed as errors of the product are; one sum
        for all with one scale.
        """
        products: Floats = np.einsum("so,soi,soi,i->o", self.value**2, one, other, self.moment)
        if self.settings.mapping.scale == "matrix":
            return np.full_like(products, products.sum())
        return products

    def _largest_of_least_error(self, shares: Floats, candidates: Floats) -> Floats:
        """(outputs,) of scales (candidates, outputs) from small to large."""
        variance = self._variance()
        errors = np.zeros(candidates.shape)
        norm = np.zeros(self.layout.outputs)
        for wanted, value, passed in zip(self.wanted, self.value, shares, strict=True):
            of_slice = scale_errors(
                wanted,
                self._with_reference(passed),
                self.moment,
                variance,
                self.low,
                self.high,
                self.signs == 2,
                candidates,
            )
            errors += value**2 * of_slice
            norm += value**2 * (wanted**2 @ self.moment)
        if self.settings.mapping.scale == "matrix":
            errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
            norm = np.full_like(norm, norm.sum())
        alike = errors <= errors.min(axis=0) + ALIKE * norm
        best = len(candidates) - 1 - np.argmax(alike[::-1], axis=0)
        chosen: Floats = candidates[best, np.arange(self.layout.outputs)]
        return chosen

    def targets(self, shares: Floats, scale: Floats) -> Floats:
        """(slices, signs, outputs, inputs) S that pass on what is wanted at this scale (outputs,),
        as far as the window allows.
        """
        wanted = scale[:, None] * self.wanted
        if self.signs == 1:
            single = (wanted + self.low) / shares[:, 0]
            return self._held(single)[:, None]
        positive = shares[:, 0]
        negative = shares[:, 1]
        first = (wanted + negative * self.low) / positive
        second = (positive * self.low - wanted) / negative
        pair = np.stack([first, np.where(first < self.low, second, self.low)], axis=1)
        return self._held(pair)

    def _held(self, target: Floats) -> Floats:
        """Targets within the window."""
        held: Floats = np.clip(target, self.low, self.high)
        return held

    def _with_reference(self, passed: Floats) -> Floats:
        """(2, outputs, inputs): of a single cell with that of its digital reference."""
        if self.signs == 2:
            return np.ascontiguousarray(passed)
        return np.stack([passed[0], np.ones_like(passed[0])])

    def _variance(self) -> Floats:
        window = np.linspace(self.low, self.high, VARIANCE_STEPS + 1)
        share = expected_share(self.settings.mapping)
        variance: Floats = share * self.device.programming_sigma(window) ** 2
        return variance

    def _refuse_window(self, shares: Floats) -> None:
        raise OutOfRangeError(
            f'mapping.compensation = "{self.settings.mapping.compensation}" finds no room in the '
            f"window of {self.device.name}, "
            f"{self.low / MICROSIEMENS:g} to {self.high / MICROSIEMENS:g} uS: as little as "
            f"{shares.min():.3g} of a cell's current arrives; allowed are smaller tiles "
            "(mapping.word_lines, mapping.bit_lines), wires of less resistance, or a wider window"
        )

    # ------------------------------------------------------------ tiles

    def _of_row_blocks(
        self, target: Floats, tiles_of: Callable[[Floats, Booleans], Floats]
    ) -> Floats:
        """(slices, signs, outputs, inputs), block by block, of a function of the conductances
        (tiles, word lines, bit lines) of a row block and which of them hold weights.
        """
        planes = target.reshape(self.layout.planes, self.layout.outputs, -1)
        found = np.empty_like(planes)
        for block in range(self.layout.row_blocks):
            rows = self.layout.rows(block)
            of_block = planes[:, :, rows].transpose(0, 2, 1)
            used = self.layout.to_tiles(np.ones(of_block.shape, bool), False)
            tiles = self.layout.to_tiles(of_block, self._unused)
            length = rows.stop - rows.start
            found[:, :, rows] = self.layout.from_tiles(tiles_of(tiles, used), length)
        return found.reshape(target.shape)

    @property
    def _unused(self) -> float:
        """Siemens of cells that hold no weight."""
        if self.settings.mapping.unused == "open":
            return 0.0
        return self.low

    def _solved(self, tiles: Floats, used: Booleans) -> Floats:
        """Transfer (tiles, bit lines, word lines) of tiles."""
        return np.stack([_transfer(tile, self.wires) for tile in tiles])

    def _mean_shares(self, tiles: Floats, used: Booleans) -> Floats:
        """(tiles, bit lines, word lines) of the current that arrives, of equal cells."""
        shares = []
        for tile, where in zip(tiles, used, strict=True):
            mean = max(tile[where].mean(), 1e-3 * self.high)
            shares.append(
                _equal_cells(
                    self.wires,
                    tile.shape,
                    used=(int(where.any(axis=1).sum()), int(where.any(axis=0).sum())),
                    step=round(np.log(mean / MICROSIEMENS) / np.log(MEAN_STEP)),
                    unused=self._unused,
                )
            )
        return np.stack(shares)


@functools.lru_cache(maxsize=64)
def _equal_cells(
    wires: Wires, shape: tuple[int, int], used: tuple[int, int], step: int, unused: float
) -> Floats:
    """Shares (bit lines, word lines) of a tile whose used cells, the first rows and columns, all
    conduct MEAN_STEP**step uS.
    """
    mean = MEAN_STEP**step * MICROSIEMENS
    tile = np.full(shape, unused)
    tile[: used[0], : used[1]] = mean
    shares: Floats = _transfer(tile, wires) / mean
    return shares


def _transfer(tile: Floats, wires: Wires) -> Floats:
    """Transfer (bit lines, word lines) of a tile; float32 is more than enough on the way."""
    r_word, r_bit = wire_segments(wires, *tile.shape)
    transfer, _ = transfer_matrix(tile.astype(np.float32), r_word, r_bit)
    return np.asarray(transfer, np.float64)


def compensate(
    encoded: Encoded,
    layout: Layout,
    moment: Floats,
    settings: InSituSettings,
    device: DeviceModel,
) -> Encoded:
    """The same weights in conductances whose currents, after the wires, are those of the weights.

    moment : (inputs,), mean square of each input
    settings : `mapping.compensation` "none", or wires without resistance, changes nothing

    Raises
    ------
    ConfigError : cells that take levels only
    OutOfRangeError : a window that has no room for it
    """
    mapping = settings.mapping
    if mapping.compensation == "none":
        return encoded
    _check_levels(device, mapping)
    wires = settings.solved_wires
    if wires is None:
        return encoded
    low = float(device.conductance_min)
    slices, signs = encoded.target.shape[:2]
    by_output = np.ascontiguousarray(encoded.target.transpose(0, 1, 3, 2))
    wanted = by_output[:, 0] - low
    if signs == 2:
        wanted = by_output[:, 0] - by_output[:, 1]
    task = _Compensation(
        wanted=wanted,
        value=encoded.value[:, 0],
        signs=signs,
        layout=layout,
        moment=np.asarray(moment if moment.any() else np.ones(layout.inputs), np.float64),
        settings=settings,
        wires=wires,
        device=device,
    )
    target, scale = _iterate(task, by_output, settings.mapping.compensation_solves)
    value = encoded.value / scale
    without_low = encoded.offset + low * encoded.value.sum(axis=(0, 1))
    return replace(
        encoded,
        target=np.ascontiguousarray(target.transpose(0, 1, 3, 2)),
        aim=low + scale * (encoded.target - low),
        value=value,
        scale=scale,
        offset=without_low - low * value.sum(axis=(0, 1)),
    )


def _iterate(task: _Compensation, target: Floats, solves: int) -> tuple[Floats, Floats]:
    """Targets (slices, signs, outputs, inputs) and scale (outputs,) after some solves of every
    tile.
    """
    for _ in range(2):  # the mean conductance depends on the scale
        shares = task.first_shares(target)
        scale = task.scale(shares)
        target = task.targets(shares, scale)
    best = _Solved(target, scale, np.inf)
    for solved in range(solves):
        shares = task.shares(target, otherwise=shares)
        reached = task.reached(target, shares, scale)
        now = _Solved(target, reached, task.error(target, shares, reached))
        if now.error > best.error:
            return best.target, best.scale
        best = now
        # Shares settle only while the scale stays, but for what a whole line lacks: to ask for it
        # again draws more current, and less arrives.  It is left to the digital value.
        if solved == 0:
            scale = task.scale(shares) * np.minimum(reached / scale, 1.0)
        else:
            scale = task.lowered(reached, shares)
        target = task.targets(shares, scale)
    return target, scale


@dataclass(frozen=True)
class _Solved:
    """Targets whose wires were solved, the scale (outputs,) that they reach, and their error."""

    target: Floats
    scale: Floats
    error: float


def _check_levels(device: DeviceModel, mapping: Mapping) -> None:
    levels = device.file.conductance.levels_us
    if Effect.LEVELS in device.effects and levels:
        raise ConfigError(
            f'mapping.compensation = "{mapping.compensation}" needs cells that hold any '
            f"conductance; device {device.name} has {len(levels)} levels; allowed are other devices, or "
            "effects.levels = false"
        )
