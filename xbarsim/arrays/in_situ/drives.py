"""Voltages of the word lines of a matrix on tiles, and the noise of what is read with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.base.array_types import Floats, Integers, Keys, Singles
from xbarsim.kernels.devices.random import add_normal, row_keys

# Currents held at once by a thread, from GEMM to ADC: 512 KiB of float32 that stay in cache.
CURRENT_ROWS = 256
DRIVE = 2  # what noise of converters is for: the last name of the random numbers of drivers


@dataclass(frozen=True)
class Drive:
    """Voltages (b, p, m) of the word lines of a row block for the inputs of a slice of rows."""

    rows: slice
    block: int
    volts: Singles


@dataclass(frozen=True)
class NamedRows:
    """rows (b, k) and a seed, which name the noise of drivers"""

    rows: Integers
    seed: int


@dataclass(frozen=True)
class ReadNoise:
    """Read noise of the currents of a row block.

    volts : (b * p, m);  keys : (b * p,);  names : (b * p, 2) of the rows
    """

    programmed: ProgrammedMatrix
    block: int
    volts: Singles
    keys: Keys
    names: Integers

    @classmethod
    def of(
        cls, programmed: ProgrammedMatrix, drive: Drive, rows: Integers, seed: int
    ) -> ReadNoise | None:
        """That of a row block, None without read noise."""
        if programmed.variance is None and programmed.processes is None:
            return None
        _, phases, m = drive.volts.shape
        keys = [
            noise_keys(programmed.index, rows, seed, drive.block, phase) for phase in range(phases)
        ]
        return cls(
            programmed=programmed,
            block=drive.block,
            volts=drive.volts.reshape(-1, m),
            keys=np.stack(keys, axis=1).reshape(-1),
            names=np.repeat(rows, phases, axis=0),
        )

    def add_to(self, current: Singles, columns: slice) -> None:
        """Add noise to the currents of some of the columns, in place."""
        programmed = self.programmed
        if programmed.variance is not None:
            variance = programmed.noise_variance(self.block, self.volts, columns)
            add_normal(current, variance, self.keys, columns.start)
        programmed.add_remembered_noise(self.block, current, self.volts, self.names, columns)


def rows_at_once(coder: InputCoder) -> int:
    """Input rows whose phases fill CURRENT_ROWS."""
    return max(1, CURRENT_ROWS // len(coder.phase_weight))


def drives(
    programmed: ProgrammedMatrix, coder: InputCoder, held: Singles, named: NamedRows
) -> Iterator[Drive]:
    """Voltages of held inputs, for every row block of some rows after the other."""
    layout = programmed.layout
    step = rows_at_once(coder)
    for start in range(0, len(held), step):
        rows = slice(start, min(start + step, len(held)))
        for block in range(layout.row_blocks):
            driven = np.ascontiguousarray(coder.phases(held[rows, layout.rows(block)]))
            if coder.noise:
                names = named.rows[rows]
                phases = driven.shape[1]
                keys = keys_of_phases(programmed.index, names, named.seed, block, phases, DRIVE)
                coder.add_noise(driven, keys, first=0)
            yield Drive(rows, block, driven)


def drive_energy(programmed: ProgrammedMatrix, coder: InputCoder, drive: Drive) -> Floats:
    """(b,) joule that the drivers deliver."""
    read_time = programmed.settings.dac.read_time_ns * 1e-9
    whole = rows_at_once(coder) * len(coder.phase_weight)
    return coder.drive_energy(drive.volts, programmed.power[drive.block], read_time, whole)


def keys_of_phases(
    index: int, rows: Integers, seed: int, block: int, phases: int, purpose: int
) -> Keys:
    """(b, phases) names of the random numbers of converters, of one row block."""
    names = np.column_stack([rows, np.full(len(rows), purpose)])
    keys = [noise_keys(index, names, seed, block, phase) for phase in range(phases)]
    return np.stack(keys, axis=1)


def noise_keys(index: int, rows: Integers, seed: int, block: int, phase: int) -> Keys:
    """(b,) names of the random numbers of rows (b, k) in one phase of a row block."""
    names = np.column_stack(
        [
            np.full(len(rows), index),
            np.full(len(rows), block),
            np.full(len(rows), phase),
            rows,
        ]
    )
    keys: Keys = row_keys(np.uint64(seed), names.astype(np.int64))
    return keys
