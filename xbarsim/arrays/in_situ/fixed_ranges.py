"""Converter ranges and one digital gain that serve matrices which are not known yet.

Keys and values are written while a sequence is read: what is to come is not known, so the ranges of
their arrays are those of matrices that were written for the purpose before.  The full scale of the
inputs is static.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.digital_scale import DigitalScale
from xbarsim.arrays.in_situ.converters import errors_of_row_blocks
from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.layout import subtracts_currents
from xbarsim.arrays.in_situ.matrix import Array, ConvertedArray, IdealArray
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix, fold
from xbarsim.arrays.in_situ.ranges import adc_full_scale, code_range, folded_currents
from xbarsim.base.array_types import Booleans, Floats, Singles
from xbarsim.base.units import MICRO

CURRENTS = 2**16  # sample currents behind the full scale of the ADC


@dataclass(frozen=True)
class SampleProduct:
    """A matrix that was written to find ranges, and what it is multiplied with.

    weight : (outputs, inputs), what it should be
    inputs : (s, inputs);  wanted : (s, outputs), outputs that are converted
    """

    programmed: ProgrammedMatrix
    weight: Floats
    inputs: Singles
    wanted: Booleans


@dataclass(frozen=True)
class FixedRanges:
    """Ranges and gain of all matrices of a kind.

    gain : of every product
    lsb : ampere per code of every conversion;  codes : (lowest, highest); None with ideal currents
    """

    coder: InputCoder
    gain: float
    lsb: float | None
    codes: tuple[int, int] | None

    @classmethod
    def of(cls, coder: InputCoder, samples: Sequence[SampleProduct]) -> FixedRanges:
        """Those that fit sample products; their settings are those of the first."""
        programmed = samples[0].programmed
        settings = programmed.settings
        gain = 1.0
        if settings.mapping.gain != "none":
            gain = _gain(samples)
        bits = settings.adc.bits
        if not settings.effects.with_adc or bits == "ideal":
            return cls(coder, gain, lsb=None, codes=None)
        signed = subtracts_currents(settings.mapping) or coder.signed_voltages
        codes = code_range(bits, signed=signed)
        if settings.adc.range == "unit":
            largest_digit = 2**coder.digit_bits - 1
            unit = programmed.encoded.step * programmed.read_voltage / largest_digit
            return cls(coder, gain, lsb=unit, codes=codes)
        if settings.adc.full_scale_ua is not None:
            stated = settings.adc.full_scale_ua * MICRO / codes[1]
            return cls(coder, gain, lsb=stated, codes=codes)
        currents = np.concatenate([_currents(coder, sample) for sample in samples])
        some = currents[:: -(-len(currents) // CURRENTS)]
        lowest, highest = codes
        scale = adc_full_scale(some[:, None], settings.adc, lowest, highest)
        return cls(coder, gain, lsb=float(scale[0]) / highest, codes=codes)

    def array(self, programmed: ProgrammedMatrix) -> Array:
        """A matrix with these ranges; a row has the same bits in any batch."""
        outputs = programmed.layout.outputs
        gain = np.full(outputs, self.gain)
        scale = DigitalScale(programmed.layout.inputs, shift=None, groups=())
        if self.lsb is None or self.codes is None:
            return IdealArray(
                programmed=programmed,
                coder=self.coder,
                scale=scale,
                gain=gain,
                folded=(programmed.achieved_weight * self.gain).astype(np.float32),
                folded_variance=self._folded_variance(programmed),
                folded_currents=folded_currents(programmed, self.coder, gain),
                any_batch=True,
            )
        lsb = (np.full(programmed.value.shape, self.lsb, np.float32),)
        of_blocks = lsb * programmed.layout.row_blocks
        return ConvertedArray(
            programmed=programmed,
            coder=self.coder,
            scale=scale,
            codes=self.codes,
            gain=gain,
            lsb=of_blocks,
            errors=errors_of_row_blocks(programmed, self.codes, of_blocks),
            input_sum_weight=(programmed.input_sum * self.gain).astype(np.float32),
            constant=np.zeros((1, outputs), np.float32),
        )

    def _folded_variance(self, programmed: ProgrammedMatrix) -> Singles | None:
        if programmed.variance is None:
            return None
        variance = fold(programmed.variance, programmed.value**2)
        return (variance * self.gain**2).astype(np.float32)


def _gain(samples: Iterable[SampleProduct]) -> float:
    """The gain that brings the products of all samples nearest to the right ones."""
    cross = 0.0
    own = 0.0
    for sample in samples:
        right = sample.inputs @ sample.weight.T
        found = sample.inputs @ sample.programmed.achieved_weight.T
        cross += float((right * found)[sample.wanted].sum())
        own += float((found**2)[sample.wanted].sum())
    return cross / own if own > 0 else 1.0


def _currents(coder: InputCoder, sample: SampleProduct) -> Singles:
    """(n,) ampere of all conversions of a sample product that are made."""
    programmed = sample.programmed
    held, _ = coder.hold(sample.inputs)
    volts = coder.phases(held)  # (s, p, in)
    conversions, outputs = programmed.value.shape
    found = []
    for block, transfer in enumerate(programmed.transfer):
        of_block = volts[:, :, programmed.layout.rows(block)]
        current = of_block @ transfer.T
        by_output = current.reshape(*current.shape[:2], conversions, outputs)
        found.append(by_output.transpose(0, 3, 1, 2)[sample.wanted].ravel())
    return np.concatenate(found)
