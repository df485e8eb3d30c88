"""An array around another: what both say alike."""

from __future__ import annotations

from dataclasses import dataclass

from xbarsim.arrays.digital_scale import DigitalScale
from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins
from xbarsim.arrays.in_situ.converters import ConverterErrors
from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.matrix import Array
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.base.array_types import Floats


@dataclass(frozen=True)
class ArrayWithin:
    """What an array whose word lines or outputs lie otherwise than inputs and outputs takes over from
    the one within it; see `matrix.Array`.
    """

    array: Array

    @property
    def programmed(self) -> ProgrammedMatrix:
        return self.array.programmed

    @property
    def coder(self) -> InputCoder:
        return self.array.coder

    @property
    def scale(self) -> DigitalScale:
        return self.array.scale

    @property
    def gain(self) -> Floats:
        return self.array.gain

    @property
    def code_bins(self) -> CodeBins | None:
        return self.array.code_bins

    @property
    def errors(self) -> tuple[ConverterErrors, ...] | None:
        return self.array.errors

    @property
    def events_per_row(self) -> Events:
        return self.array.events_per_row
