"""What hardware is asked to do, counted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Events:
    """Counts of what happens in arrays and their converters.

    Attributes
    ----------
    tile_reads : reads of a tile, one for every set of voltages on its word lines
    adc_conversions : currents that a converter turns into a code
    dac_drives : word lines that a converter drives
    shift_adds : codes that are shifted and added to a sum
    comparisons : of inputs, in the search for the largest of a token or a row block
    multiplications : of inputs and outputs by digital scales, see `digital_scale`
    """

    tile_reads: int = 0
    adc_conversions: int = 0
    dac_drives: int = 0
    shift_adds: int = 0
    comparisons: int = 0
    multiplications: int = 0

    def __add__(self, other: Events) -> Events:
        return Events(
            tile_reads=self.tile_reads + other.tile_reads,
            adc_conversions=self.adc_conversions + other.adc_conversions,
            dac_drives=self.dac_drives + other.dac_drives,
            shift_adds=self.shift_adds + other.shift_adds,
            comparisons=self.comparisons + other.comparisons,
            multiplications=self.multiplications + other.multiplications,
        )

    def __mul__(self, times: int) -> Events:
        return Events(
            tile_reads=self.tile_reads * times,
            adc_conversions=self.adc_conversions * times,
            dac_drives=self.dac_drives * times,
            shift_adds=self.shift_adds * times,
            comparisons=self.comparisons * times,
            multiplications=self.multiplications * times,
        )

    def by_name(self) -> dict[str, int]:
        """{name: count} for the data sets of a trace, which have these names."""
        return dataclasses.asdict(self)
