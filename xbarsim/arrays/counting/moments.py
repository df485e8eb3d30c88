"""Mean, variance and saturation of a conversion for every set of conducting lines."""

import functools
import threading
import warnings
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.counting.lines import Lines
from xbarsim.arrays.counting.physics import PATTERNS, Physics
from xbarsim.arrays.counting.quantities import (
    OfSets,
    Quantity,
    Statistics,
    sets_that_matter,
    single_lines,
)
from xbarsim.base.array_types import Booleans, Floats, Singles
from xbarsim.base.errors import ValidRangeWarning
from xbarsim.kernels.arrays.counting import conversion_moments, moebius

PATTERN_COUNT = 8  # switch patterns per crossbar behind the statistics of the IR drop
GRID = 32  # used word and bit lines are rounded up to this, or a power of two, for the statistics
NEGLIGIBLE = 1e-9  # codes: a mean or variance below this in every conversion is not followed
# Conversions, and share of the variance, that IR drop may decide without a warning.
FLIPS = 1e-7
FLIPS_OF_NOISE = 0.1


@dataclass(frozen=True)
class Attenuation:
    """What the IR drop leaves of the current of a cell.

    mean : (crossbars, word lines, bit lines), over random switches
    relative_sigma : of a cell's share over its mean, from one pattern of switches to another
    """

    mean: Floats
    relative_sigma: float


class Moments:
    """Statistics of the conversions of the crossbars of a chip, measured when they are needed."""

    def __init__(self, physics: Physics) -> None:
        self.physics = physics
        self._measured: dict[tuple[int, int, float], Statistics] = {}
        self._lock = threading.Lock()
        self._warned = False

    def of_currents(self, current: Floats, relative_sigma: float = 0.0) -> Floats:
        """Möbius coefficients (3, ..., 2^r) of conversions of lines with currents (..., r) LSB, in
        the order of `Quantity`.

        relative_sigma : of the currents, from one conversion to another
        """
        physics = self.physics
        flat = np.ascontiguousarray(current).reshape(-1, current.shape[-1])
        moments: Floats = conversion_moments(
            flat, relative_sigma * flat, physics.half_swing, physics.top
        )
        for each in moments:
            moebius(each)
        return moments.reshape(3, *current.shape[:-1], -1)

    def of_products(self, depth: int, outputs: int, density: float) -> Statistics:
        """Statistics of the conversions of products of this size whose switches are closed with
        this density.

        Without wires neither matters: one set serves all products.
        """
        computation = self.physics.computation
        if not self.physics.effects.with_wires:
            depth = computation.word_lines
            outputs = computation.bit_lines
            density = 0.5
        rows = min(rounded(depth * self.physics.cells), computation.word_lines)
        columns = min(rounded(outputs), computation.bit_lines)
        key = (rows, columns, round(density * 8) / 8)
        with self._lock:
            if key not in self._measured:
                self._measured[key] = self._measure(*key)
            return self._measured[key]

    def _measure(self, rows: int, columns: int, density: float) -> Statistics:
        physics = self.physics
        computation = physics.computation
        current = physics.current
        relative_sigma = 0.0
        if physics.effects.with_wires:
            attenuation = self._attenuation(rows, columns, density)
            current = current * attenuation.mean
            relative_sigma = attenuation.relative_sigma
        lines = Lines.of(
            max(rows // physics.cells, 1),
            physics.cells,
            computation.word_lines,
            computation.rows_per_conversion,
        )
        line = lines.line.T  # (groups, r)
        of_lines = current[:, :, :columns][:, np.maximum(line, 0)]
        current = np.where(line < 0, 0.0, of_lines.transpose(0, 3, 1, 2))  # (x, n, groups, r)
        moments = self.of_currents(current, relative_sigma)
        self._check_ir_drop(current, relative_sigma, moments[1], density)
        units = np.where(line < 0, 0.0, np.resize(physics.coding.units, line.shape[1]))
        single = single_lines(line.shape[1])
        moments[0][..., single] -= units  # the exact count
        matter, whole = sets_that_matter(np.abs(moments).max(axis=(1, 2, 3)) > NEGLIGIBLE)
        if whole:
            moments[0][..., single] += units
        quantities = {}
        for quantity, moment, own in zip(Quantity, moments, matter, strict=True):
            if own.any():
                coefficients = moment[..., own].swapaxes(2, 3)
                values = np.ascontiguousarray(coefficients, np.float32)
                quantities[quantity] = OfSets(np.flatnonzero(own), values)
        return Statistics(quantities, whole)

    def _attenuation(self, rows: int, columns: int, density: float) -> Attenuation:
        """Attenuation of random switches on `rows` word lines and `columns` bit lines."""
        mean = np.ones_like(self.physics.current)
        squares = 0.0
        count = 0.0
        for crossbar in range(len(mean)):
            total = np.zeros(mean.shape[1:])
            seen = np.zeros(mean.shape[1:])
            shares = self._shares(crossbar, rows, columns, density)
            for share, conducts in shares:
                total = total + share
                seen = seen + conducts
            everywhere = total.sum() / max(seen.sum(), 1)
            mean[crossbar] = np.where(seen > 0, total / np.maximum(seen, 1), everywhere)
            for share, conducts in shares:  # how the other switches move a cell's share
                free = conducts & (seen > 1)
                squares += ((share / mean[crossbar] - 1)[free] ** 2).sum()
                count += ((seen - 1)[free] / seen[free]).sum()
        return Attenuation(mean, float(np.sqrt(squares / max(count, 1))))

    def _shares(
        self, crossbar: int, rows: int, columns: int, density: float
    ) -> list[tuple[Floats, Booleans]]:
        """For patterns of random switches: the share of its current that arrives of every cell, and
        which cells conduct, each (word lines, bit lines).
        """
        physics = self.physics
        generator = physics.generator(crossbar, PATTERNS)
        current = physics.current[crossbar]
        shares = []
        for _ in range(PATTERN_COUNT):
            closed = np.zeros(current.shape, bool)
            draw = generator.random((rows, columns))
            closed[:rows, :columns] = draw < max(density, 1 / GRID)
            conducts = physics.conducts(crossbar, closed)
            transfer = physics.transfer(crossbar, closed).T
            shares.append((np.where(conducts, transfer, 0) / current, conducts))
        return shares

    def _check_ir_drop(
        self, current: Floats, relative_sigma: float, variance: Floats, density: float
    ) -> None:
        """Warn, once, where the switches of other cells decide conversions.

        current, variance : of `_measure`, the latter as Möbius coefficients F: if every line
            conducts with probability p, the mean of a quantity is Σ_U F(U) p^|U|
        """
        size = np.array([lines.bit_count() for lines in range(variance.shape[-1])])
        probability = (density / 2) ** size  # half of the word lines are driven
        total = variance @ probability
        if self._warned or not relative_sigma or total.mean() < FLIPS:
            return
        alone = self.of_currents(current)[1] @ probability
        flips = float(np.abs(total - alone).mean())
        if flips <= max(FLIPS, FLIPS_OF_NOISE * total.mean()):
            return
        self._warned = True
        message = (
            f"IR drop: the other switches of a tile of {variance.shape[1]} bit lines move what a "
            "cell of computation.resistance_ohm = "
            f"{self.physics.computation.resistance_ohm:g} ohm adds to a current by "
            f"{relative_sigma:.2%} (standard deviation) and decide {flips:.1e} of the conversions; "
            'the statistical mode takes them as independent. Set computation.ir_drop = "solved" or '
            'computation.mode = "direct", larger resistances or smaller tiles'
        )
        warnings.warn(ValidRangeWarning(message), stacklevel=2)


def rounded(lines: int) -> int:
    """Lines rounded up to the size that one set of statistics serves."""
    return max(GRID, 1 << (int(lines) - 1).bit_length())


@functools.cache
def normal_quantiles() -> Singles:
    """(2^16,): equally likely values with the distribution of a standard normal number,
    variance exactly 1.
    """
    from scipy.special import ndtri

    values = ndtri((np.arange(2**16) + 0.5) / 2**16)
    quantiles: Singles = (values / values.std()).astype(np.float32)
    return quantiles
