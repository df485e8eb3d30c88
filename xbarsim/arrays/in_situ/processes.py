"""Read noise of the cells of a row block that is remembered from token to token."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout
from xbarsim.base.array_types import Floats, Integers, Keys, Singles
from xbarsim.config.read_noise import ReadNoise
from xbarsim.devices.remembered import RememberedNoise
from xbarsim.kernels.arrays.cell_processes import HIGH_SCALE, SCALE, add_processes, runs_of
from xbarsim.kernels.devices.random import row_keys

STEPS = 8.0  # of a process in its correlation time, where tokens are no farther apart
CELLS = 7  # sets the names of processes apart from those of other random numbers


@dataclass(frozen=True)
class Processes:
    """The processes of every cell: of the 1/f noise, and of telegraph noise.

    ticks : (k,) tokens of a step;  redraw, high : (k,) probabilities, see
        `kernels/arrays/cell_processes.py`
    value_high, value_low : (k,), of variance 1 and mean 0
    group : (k,), 0 of the 1/f noise, 1 of telegraph noise
    """

    ticks: Integers
    redraw: Keys
    high: Keys
    value_high: Singles
    value_low: Singles
    group: Integers

    @classmethod
    def of(cls, noise: RememberedNoise, interval: float) -> Self:
        """interval : s between tokens"""
        times = list(noise.flicker_times)
        share = [0.5] * len(times)
        group = [0] * len(times)
        if noise.telegraph_time is not None:
            times.append(noise.telegraph_time)
            share.append(noise.telegraph_high)
            group.append(1)
        lasts = np.array(times) / interval  # tokens
        ticks = np.maximum(lasts / STEPS, 1).astype(np.int64)
        redraw = -np.expm1(-ticks / lasts)
        high = np.array(share)
        return cls(
            ticks=ticks,
            redraw=np.rint(redraw * SCALE).astype(np.uint64),
            high=np.rint(high * HIGH_SCALE).astype(np.uint64),
            value_high=np.sqrt((1 - high) / high).astype(np.float32),
            value_low=-np.sqrt(high / (1 - high)).astype(np.float32),
            group=np.array(group, np.int64),
        )


@dataclass(frozen=True)
class TokenTimes:
    """When tokens are read: numbered through all sequences.

    sequence_tokens : from the first token of a sequence to that of the next
    """

    sequence_tokens: int

    def of(self, rows: Integers) -> Integers:
        """(b,) of rows (b, 2): sequence, position."""
        times: Integers = rows[:, 0] * self.sequence_tokens + rows[:, 1]
        return times


@dataclass(frozen=True)
class CellNoise:
    """Remembered noise of the planes of a row block.

    amplitude : (groups, planes, outputs, rows) A/V
    """

    processes: Processes
    amplitude: Floats

    @classmethod
    def of(
        cls,
        noise: RememberedNoise,
        passed: Floats,
        layout: Layout,
        rows: int,
        settings: ReadNoise,
    ) -> Self:
        """Of cells (tiles, m, n);  passed : (tiles, n, m), of a fluctuation to the bit line"""

        def planes(sigma: Floats) -> Floats:
            return layout.from_tiles(sigma.transpose(0, 2, 1) * passed, rows)

        return cls(
            processes=Processes.of(noise, settings.token_interval_s),
            amplitude=np.stack([planes(noise.flicker), planes(noise.telegraph)]),
        )


@dataclass(frozen=True)
class LineProcesses:
    """Remembered noise of the conversions of a row block.

    amplitude : (parts, groups, columns, rows) A/V, of the one or two cells of a conversion
    keys : (parts,) names of the cells
    """

    processes: Processes
    times: TokenTimes
    amplitude: Singles
    keys: Keys

    @classmethod
    def of(
        cls,
        noise: CellNoise,
        times: TokenTimes,
        joined: bool,
        name: tuple[int, int, int],
    ) -> Self:
        """joined : planes are conversions in pairs, the second subtracted, or by themselves
        name : seed, matrix, row block
        """
        groups, planes, outputs, rows = noise.amplitude.shape
        parts = 2 if joined else 1
        by_part = noise.amplitude.reshape(groups, -1, parts, outputs, rows)
        amplitude = np.moveaxis(by_part, 2, 0).reshape(parts, groups, -1, rows)
        signed = amplitude.astype(np.float32)
        signed[1:] *= -1
        seed, matrix, block = name
        names = np.array([[matrix, block, part, CELLS] for part in range(parts)], np.int64)
        return cls(
            processes=noise.processes,
            times=times,
            amplitude=signed,
            keys=row_keys(np.uint64(seed), names),
        )

    def add_to(self, current: Singles, volts: Singles, rows: Integers, columns: slice) -> None:
        """Add the noise to the currents (b, n) of some of the columns, in place.

        volts : (b, m);  rows : (b, 2), names of the tokens
        """
        known = self.processes
        tokens = self.times.of(rows)
        shape = (len(known.ticks), len(tokens))
        step = np.empty(shape, np.int64)
        last = np.empty(shape, np.int64)
        steady = np.empty(shape[:1], np.int64)
        runs_of(tokens, known.ticks, step, last, steady)
        driven = np.ascontiguousarray(volts.T)
        for amplitude, key in zip(self.amplitude, self.keys, strict=True):
            add_processes(
                current,
                driven,
                step,
                last,
                steady,
                np.ascontiguousarray(amplitude[:, columns]),
                known.group,
                known.redraw,
                known.high,
                known.value_high,
                known.value_low,
                key,
                columns.start,
            )
