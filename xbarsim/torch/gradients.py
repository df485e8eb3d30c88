"""What a gradient needs to know of an array: the matrix that it achieves, and what is held.

Converters are straight through: a code counts as the number that it stands for.  What is held at
the end of a range does not move, so nothing passes there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.digital_scale import DigitalScale
from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.input_lines import TwoLineArray
from xbarsim.arrays.in_situ.line_order import OrderedArray
from xbarsim.arrays.in_situ.matrix import Array, ConvertedArray, IdealArray
from xbarsim.arrays.in_situ.programmed import fold
from xbarsim.base.array_types import Booleans, Floats, Singles


def achieved_matrix(array: Array) -> Singles:
    """(outputs, inputs): what inputs are multiplied with on average, wires, gains and scales
    included.
    """
    if isinstance(array, OrderedArray):
        return array.order.back_of_weight(achieved_matrix(array.array))
    if isinstance(array, TwoLineArray):
        return array.lines.back_of_weight(achieved_matrix(array.array))
    shift = array.scale.shift
    if isinstance(array, IdealArray):
        found: Singles = array.folded
    elif isinstance(array, ConvertedArray):
        found = _of_blocks(array)
    else:
        raise TypeError(f"{type(array).__name__} says nothing of its matrix")
    if shift is not None:
        found = found / shift.divisor
    return np.ascontiguousarray(found, np.float32)


def _of_blocks(array: ConvertedArray) -> Singles:
    parts = [
        fold((block,), _values(array, number))
        for number, block in enumerate(array.programmed.transfer)
    ]
    found = np.concatenate(parts, axis=1) + array.input_sum_weight[:, None]
    return found.astype(np.float32)


def _values(array: ConvertedArray, block: int) -> Floats:
    """(conversions, outputs) what an ampere of a row block is worth, per volt of an input."""
    value = array.programmed.value * array.gain
    return value if array.rescaling is None else value * array.rescaling[block]


@dataclass(frozen=True)
class SeenInputs:
    """Inputs x (b, inputs) as an array takes them.

    seen : the numbers that their codes stand for
    passes : where a change of an input changes its code: it is not held at an end of the range
    slope : (b, inputs), change of `seen` with the full scale of the inputs
    """

    seen: Singles
    passes: Booleans
    slope: Singles


def seen_inputs(coder: InputCoder, scale: DigitalScale, x: Singles) -> SeenInputs:
    scaled = scale.scaled(x)
    held, _ = coder.hold(scaled.values)
    inside = np.ones(x.shape, bool)
    if coder.bits == 1:
        inside = np.abs(scaled.values) <= 2 * coder.full_scale
    elif coder.bits != "ideal":
        inside = np.abs(scaled.values) <= (coder.highest + 0.5) * coder.lsb
    ends = np.sign(scaled.values)
    slope = np.where(inside, (held - scaled.values) / np.float32(coder.full_scale), ends)
    seen = scale.restored(held, scaled.scales)
    slope = scale.restored(slope, scaled.scales)
    if scale.shift is not None:
        seen = seen * scale.shift.divisor
        slope = slope * scale.shift.divisor
    return SeenInputs(seen, inside, slope.astype(np.float32))


def lost_in_conversion(array: ConvertedArray, x: Singles, gradient: Singles) -> Singles:
    """(b, inputs): the part of gradient (b, outputs) times the achieved matrix that comes through
    conversions which are held at an end of their range.

    Without read noise; 0 of bit-serial inputs, whose digits are converted one by one.
    """
    lost = np.zeros(x.shape, np.float32)
    coder = array.coder
    if coder.serial:
        return lost
    programmed = array.programmed
    scaled = array.scale.scaled(x)
    held, _ = coder.hold(scaled.values)
    volts = coder.phases(held)
    lowest, highest = array.codes
    for number, transfer in enumerate(programmed.transfer):
        lines = programmed.layout.rows(number)
        worth = _values(array, number).astype(np.float32).ravel()
        inverse_lsb = (np.float32(1) / array.lsb[number]).ravel()
        spread = np.tile(gradient, len(programmed.value)) * worth
        for phase in range(volts.shape[1]):
            codes = (volts[:, phase, lines] @ transfer.T) * inverse_lsb
            outside = (codes > highest + 0.5) | (codes < lowest - 0.5)
            of_phase = np.where(outside, spread, np.float32(0)) @ transfer
            lost[:, lines] += np.where(_drives(held[:, lines], phase, coder), of_phase, 0)
    if array.scale.shift is not None:
        lost /= array.scale.shift.divisor
    return lost


def _drives(held: Singles, phase: int, coder: InputCoder) -> Booleans:
    """Which inputs a phase applies."""
    if coder.polarity == "signed":
        return np.ones(held.shape, bool)
    return held > 0 if phase == 0 else held < 0
