"""Converters of a matrix that are not ideal: noise, offsets, gains, and steps that are not equal.

A converter is the levels where its codes begin.  Ideal ones lie half an LSB below each code.  A
table moves them in all converters alike; elements that differ move them in each by itself; a gain
and an offset move what is compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout, subtracts_currents
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Codes, Floats, Integers, Keys, Singles
from xbarsim.base.units import MICRO
from xbarsim.config.arrays import Adc
from xbarsim.config.converters import table_of
from xbarsim.devices.streams import CONVERTERS, Streams
from xbarsim.kernels.arrays.converter_levels import add_conversion_noise, through_levels


@dataclass(frozen=True)
class CodeRange:
    """Codes from the lowest to the highest.  Those with a sign are symmetric: a converter of b bits
    has one more below them, which is held at the lowest.
    """

    lowest: int
    highest: int

    @property
    def first(self) -> int:
        """Elements of a converter that are on at the lowest code."""
        return 1 if self.lowest < 0 else 0

    @property
    def elements(self) -> int:
        """Unit elements of a converter: 2^bits - 1."""
        return self.highest - self.lowest + self.first

    @property
    def on(self) -> Integers:
        """(codes + 1,): elements that are on at every code, and one more than there are."""
        return self.first + np.arange(self.highest - self.lowest + 2)


@dataclass(frozen=True)
class ConverterErrors:
    """The converters of the k columns of one row block.

    noise : (k,) A, None without
    factor : (k,), of the current;  offset : (k,) LSB, added to it
    table : (k,), line of `levels` of every column
    levels : (tables, codes + 1) LSB, rising: where every code begins, and where the range ends;
        (0, 0) where all lie evenly
    lowest : code
    converters : that serve the columns
    """

    noise: Singles | None
    factor: Singles
    offset: Singles
    table: Codes
    levels: Singles
    lowest: int
    converters: int

    def disturb(self, current: Singles, columns: slice, inverse_lsb: Singles, keys: Keys) -> None:
        """Change currents (rows, columns) in place to those that ideal converters would have to see
        to give the same codes.

        inverse_lsb : of the columns;  keys : (rows,), name the noise
        """
        if self.noise is not None:
            add_conversion_noise(current, self.noise[columns], keys, columns.start)
        through_levels(
            current,
            inverse_lsb=inverse_lsb,
            factor=self.factor[columns],
            offset=self.offset[columns],
            table=self.table[columns],
            levels=self.levels,
            lowest=self.lowest,
        )

    @property
    def missing_codes(self) -> int:
        """Codes of all converters that no current gives."""
        missing = int(np.count_nonzero(np.diff(self.levels, axis=1) <= 0))
        if len(self.levels) == 1:
            return missing * self.converters
        return missing


def has_errors(adc: Adc) -> bool:
    """Whether converters of codes are anything but ideal."""
    noisy = adc.noise_ua > 0 or adc.noise_lsb > 0
    return noisy or adc.inl_lsb is not None or converters_differ(adc)


def converters_differ(adc: Adc) -> bool:
    """Whether one converter is not as the next."""
    return adc.offset_lsb > 0 or adc.gain_error > 0 or _elements_differ(adc)


def _elements_differ(adc: Adc) -> bool:
    return adc.steps != "ideal" and adc.element_spread > 0


def errors_of_row_blocks(
    programmed: ProgrammedMatrix, codes: tuple[int, int], lsb: tuple[Singles, ...]
) -> tuple[ConverterErrors, ...] | None:
    """The converters of every row block of a matrix; None if all are ideal.

    codes : (lowest, highest);  lsb : of every row block, (conversions, outputs) A
    """
    settings = programmed.settings
    if not (settings.effects.with_converter_errors and has_errors(settings.adc)):
        return None
    return tuple(
        _of_row_block(programmed, CodeRange(*codes), block, of_block.ravel())
        for block, of_block in enumerate(lsb)
    )


def _of_row_block(
    programmed: ProgrammedMatrix, codes: CodeRange, block: int, lsb: Singles
) -> ConverterErrors:
    adc = programmed.settings.adc
    layout = programmed.layout
    paired = subtracts_currents(programmed.settings.mapping)
    conversions = len(programmed.value)
    place = converter_places(layout, conversions, adc.shared_by, paired=paired)
    per_tile = converters_per_tile(layout, adc.shared_by)
    streams = programmed.periphery.beyond(block * layout.tiles_per_row_block)
    drawn = draw_converters(adc, codes, streams, layout.tiles_per_row_block, per_tile)
    used, table = np.unique(place, return_inverse=True)
    levels = _levels(adc, codes, drawn.levels[used])
    noise = None
    if adc.noise_ua or adc.noise_lsb:
        noise = (adc.noise_ua * MICRO + adc.noise_lsb * lsb).astype(np.float32)
    if len(levels) == 1:
        table = np.zeros_like(table)
    return ConverterErrors(
        noise=noise,
        factor=drawn.factor[place].astype(np.float32),
        offset=drawn.offset[place].astype(np.float32),
        table=table.astype(np.int32),
        levels=levels.astype(np.float32),
        lowest=codes.lowest,
        converters=len(used),
    )


def errors_of_lines(
    settings: InSituSettings, codes: CodeRange, streams: Streams, lsb: Singles
) -> ConverterErrors | None:
    """Converters of some lines, one for each, by the random streams of as many tiles; None if all
    are ideal.
    """
    adc = settings.adc
    if not (settings.effects.with_converter_errors and has_errors(adc)):
        return None
    drawn = draw_converters(adc, codes, streams, tiles=len(lsb), per_tile=1)
    levels = _levels(adc, codes, drawn.levels)
    table = np.arange(len(lsb)) if len(levels) > 1 else np.zeros(len(lsb))
    noise = None
    if adc.noise_ua or adc.noise_lsb:
        noise = (adc.noise_ua * MICRO + adc.noise_lsb * lsb).astype(np.float32)
    return ConverterErrors(
        noise=noise,
        factor=drawn.factor.astype(np.float32),
        offset=drawn.offset.astype(np.float32),
        table=table.astype(np.int32),
        levels=levels.astype(np.float32),
        lowest=codes.lowest,
        converters=len(lsb),
    )


# ---------------------------------------------------------------- which converter, where


def converters_per_tile(layout: Layout, shared_by: int) -> int:
    """Converters beside the bit lines of a tile."""
    return -(-layout.bit_lines // shared_by)


def converter_places(layout: Layout, conversions: int, shared_by: int, *, paired: bool) -> Integers:
    """(conversions * outputs,): number of the converter of every column of a row block, counted
    through its tiles.

    paired : whether a conversion takes the difference of two lines, of the positive one's converter
    """
    per_tile = layout.outputs_per_tile
    converters = converters_per_tile(layout, shared_by)
    output = np.arange(layout.outputs)
    column_block = output // per_tile
    place = output % per_tile
    planes = 2 if paired else 1
    number = np.arange(conversions)[:, None]
    if layout.placement == "twin":
        tile = column_block * layout.planes + number * planes
        line = np.broadcast_to(place, tile.shape)
    else:
        tile = np.broadcast_to(column_block, (conversions, layout.outputs))
        line = place * conversions + number
    found: Integers = (tile * converters + line // shared_by).ravel()
    return found


# ---------------------------------------------------------------- draws


@dataclass(frozen=True)
class DrawnConverters:
    """The converters of some tiles, one after the other.

    factor, offset : (converters,), see `ConverterErrors`
    levels : (converters, codes + 1) LSB, where elements alone let every code begin; (converters, 0)
        where they are equal
    """

    factor: Floats
    offset: Floats
    levels: Floats


def draw_converters(
    adc: Adc, codes: CodeRange, streams: Streams, tiles: int, per_tile: int
) -> DrawnConverters:
    """The converters of so many tiles, of each tile by a random stream of its own."""
    factors = []
    offsets = []
    levels = []
    for generator in streams.generators(tiles, CONVERTERS):
        gain_and_offset = generator.standard_normal((2, per_tile))
        factors.append(1 + adc.gain_error * gain_and_offset[0])
        offsets.append(adc.offset_lsb * gain_and_offset[1])
        if not _elements_differ(adc):
            levels.append(np.zeros((per_tile, 0)))
        elif adc.steps == "thermometer":
            unit = generator.standard_normal((per_tile, codes.elements))
            levels.append(thermometer_levels(1 + adc.element_spread * unit, codes))
        else:
            bits = codes.elements.bit_length()
            # A capacitor of 2^b units varies by the root of their number less.
            relative = adc.element_spread / np.sqrt(2.0 ** np.arange(bits))
            deviation = relative * generator.standard_normal((per_tile, bits))
            levels.append(sar_levels(2.0 ** np.arange(bits) * (1 + deviation), codes))
    return DrawnConverters(
        factor=np.concatenate(factors),
        offset=np.concatenate(offsets),
        levels=np.concatenate(levels),
    )


def thermometer_levels(elements: Floats, codes: CodeRange) -> Floats:
    """(c, codes + 1) LSB where every code begins, of elements (c, 2^bits - 1) that are switched on
    one after the other; all of them are the full scale.
    """
    total = elements.sum(axis=1, keepdims=True)
    steps = elements * (codes.elements / total)
    nothing = np.zeros((len(elements), 1))
    beyond = np.full((len(elements), 1), codes.elements + 1.0)
    level = np.concatenate([nothing, steps.cumsum(axis=1), beyond], axis=1)
    return _begin(level[:, codes.on], codes)


def sar_levels(capacitors: Floats, codes: CodeRange) -> Floats:
    """(c, codes + 1) LSB where every code begins, of capacitors (c, bits), lowest bit first, that
    are tried from the largest to the smallest; all of them are the full scale.

    A code is reached from the level where the first of its bits that is kept is kept, whatever the
    trials of the smaller ones say: where a capacitor is larger than all smaller ones and one unit,
    codes below it are never given.
    """
    bits = capacitors.shape[1]
    code = np.arange(codes.elements + 1)
    kept = code[:, None] >> np.arange(bits) & 1
    weights = capacitors * (codes.elements / capacitors.sum(axis=1, keepdims=True))
    value = weights @ kept.T  # (c, codes of all bits)
    begin = np.full_like(value, -np.inf)
    for bit in range(bits):
        tried = (code >> bit | 1) << bit  # this bit kept, larger ones as in the code
        at_trial = value[:, tried]
        begin = np.where(kept[:, bit], np.maximum(begin, at_trial), np.minimum(begin, at_trial))
    begin[:, 0] = 0.0
    beyond = np.full((len(capacitors), 1), codes.elements + 1.0)
    return _begin(np.concatenate([begin, beyond], axis=1)[:, codes.on], codes)


def _begin(level: Floats, codes: CodeRange) -> Floats:
    """Levels of `codes.on` elements as currents in LSB: half an LSB before their codes."""
    return level - codes.first + codes.lowest - 0.5


def _levels(adc: Adc, codes: CodeRange, of_elements: Floats) -> Floats:
    """(tables, codes + 1) LSB, rising; (0, 0) where all lie evenly."""
    if adc.inl_lsb is None and not of_elements.size:
        return np.zeros((0, 0))
    levels = of_elements
    if not levels.size:
        even: Floats = np.arange(codes.lowest, codes.highest + 2, dtype=np.float64) - 0.5
        levels = even[None]
    if adc.inl_lsb is not None:
        shift = table_of("adc.inl_lsb", adc.inl_lsb)
        levels = levels + np.append(shift, shift[-1])
    return np.sort(levels, axis=1)
