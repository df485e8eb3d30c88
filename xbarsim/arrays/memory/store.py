"""Weights as the dense memory returns them, and error rates against the length of a segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.memory.confusion import Confusion, segment_confusion, stated
from xbarsim.arrays.memory.segment import READ
from xbarsim.base.array_types import AnyArray, Integers
from xbarsim.base.errors import OutOfRangeError
from xbarsim.config.study import Study
from xbarsim.config.synergy import Memory as MemorySettings
from xbarsim.config.wires import Wires
from xbarsim.devices.model import DeviceModel

WEIGHT_BITS = 8
AT_ONCE = 1 << 16  # weights that are read at once
LOWEST = -128
HIGHEST = 127
MANY_ONES = 15 / 16  # share of conducting cells of the worst data


def read_codes(
    codes: AnyArray, confusion: Confusion, columns: int, seed: np.random.SeedSequence
) -> tuple[AnyArray, int]:
    """Integer codes of 8 bits after a read, and the number of wrong cells.

    codes : integers in -128 ... 127, any shape and type; the returned ones are like them
    seed : alone decides the errors
    Weights lie one after the other, a weight's cells (least significant bits first) on consecutive
    bit lines, segment by segment of `columns` cells.

    Raises
    ------
    OutOfRangeError : codes that do not fit 8 bits
    """
    levels = confusion.probability.shape[1]
    bits = int(levels - 1).bit_count()
    stored = np.asarray(codes).astype(np.int64).ravel()
    if stored.size and not LOWEST <= stored.min() <= stored.max() <= HIGHEST:
        raise OutOfRangeError(
            f"codes from {stored.min()} to {stored.max()} do not fit 8 bits; allowed: -128 to 127"
        )
    shifts = np.arange(0, WEIGHT_BITS, bits)
    generator = np.random.default_rng(seed)
    read = np.empty_like(stored)
    wrong = 0
    for start in range(0, stored.size, AT_ONCE):
        part = stored[start : start + AT_ONCE]
        level = ((part & 255)[:, None] >> shifts) & (levels - 1)
        first_cell = (start + np.arange(len(part)))[:, None] * len(shifts)
        column = (first_cell + np.arange(len(shifts))) % columns
        found = _read_levels(level, column, confusion, columns, generator)
        wrong += int((found != level).sum())
        value = (found << shifts).sum(axis=1)
        read[start : start + len(part)] = np.where(value > HIGHEST, value - 256, value)
    return read.reshape(np.shape(codes)).astype(np.asarray(codes).dtype), wrong


def _read_levels(
    level: Integers,
    column: Integers,
    confusion: Confusion,
    columns: int,
    generator: np.random.Generator,
) -> Integers:
    """What is read of stored levels in columns of a segment, both (weights, cells)."""
    cumulative = np.cumsum(confusion.probability, axis=2)[..., :-1]
    stretch = column * len(confusion.probability) // columns
    draw = generator.random(level.shape)[..., None]
    found: Integers = (draw >= cumulative[stretch, level]).sum(axis=-1)
    return found


@dataclass(frozen=True)
class Memory:
    """The dense crossbar of a study: `read(name, codes)` returns codes as they come out of it.

    confusion : None where reads have no errors
    index : {matrix name: number of its random stream}
    """

    columns: int
    confusion: Confusion | None
    seed: int
    index: Mapping[str, int]

    @classmethod
    def of(
        cls, study: Study, device: DeviceModel, names: Iterable[str], seed: int | None = None
    ) -> Memory:
        """The memory of a study for the matrices `names`; seed : another one than the study's, for
        another chip.
        """
        memory = study.memory
        if seed is None:
            seed = study.seed
        confusion = None
        if memory.errors == "stated":
            confusion = stated(memory.cell_error_rate, memory.bits_per_cell)
        elif memory.errors == "segment":
            confusion = segment_confusion(memory, study.wires, device, seed)
        index = {name: number for number, name in enumerate(names)}
        return cls(memory.columns, confusion, seed, index)

    def read(self, name: str, codes: AnyArray) -> AnyArray:
        """Integers of 8 bits of the matrix `name` as a read returns them."""
        if self.confusion is None:
            return codes
        seed = np.random.SeedSequence(self.seed, spawn_key=(self.index[name], 0, READ))
        return read_codes(codes, self.confusion, self.columns, seed)[0]


@dataclass(frozen=True)
class Rate:
    """A bit-error rate and its standard error, from the drawn surroundings."""

    value: float
    error: float = 0.0

    @classmethod
    def worst_of(cls, confusion: Confusion) -> Rate:
        """That of the worst stretch."""
        rates = confusion.bit_error_rate
        worst = int(rates.argmax())
        errors = np.broadcast_to(confusion.standard_error, rates.shape)
        return cls(float(rates[worst]), float(errors[worst]))


@dataclass(frozen=True)
class LengthRow:
    """Bit-error rates of a segment: over all stretches, at the worst, there with 15 of 16 cells
    conducting.
    """

    columns: int
    mean: Rate
    worst_place: Rate
    worst_data: Rate
    confusion: Confusion


def against_length(
    memory: MemorySettings,
    wires: Wires,
    device: DeviceModel,
    seed: int,
    lengths: Sequence[int],
) -> list[LengthRow]:
    """LengthRow of segments of each of the given lengths, in bit lines."""
    rows = []
    for columns in lengths:
        chosen = memory.model_copy(update={"columns": int(columns)})
        average = segment_confusion(chosen, wires, device, seed)
        worst = segment_confusion(
            chosen, wires, device, seed, ones=MANY_ONES, threshold=average.threshold
        )
        mean = Rate(float(average.bit_error_rate.mean()), average.mean_error)
        row = LengthRow(
            columns=int(columns),
            mean=mean,
            worst_place=Rate.worst_of(average),
            worst_data=Rate.worst_of(worst),
            confusion=average,
        )
        rows.append(row)
    return rows
