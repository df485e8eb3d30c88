"""Weights to conductances and back.

A weight is held by one or several cells, its *planes*: `slices` digits of its magnitude (one analog
level with the `amplitude` encoding, one cell that is on or off with `binary` and `ternary`), each a
differential pair (sign `pair`) or a single cell (sign `offset`).  Arrays are in the order (slice,
sign, input, output); the two signs of a pair are (positive, negative).

A matrix of `inputs` rows is cut into row blocks of at most `word_lines` rows.  The cells of a row
block lie on tiles of word_lines x bit_lines cells: `twin` placement gives every plane tiles of its
own; with `neighbour` placement the planes of one weight occupy neighbouring bit lines, so a tile
holds bit_lines // planes outputs.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.layout import slices
from xbarsim.base.array_types import AnyFloats, Floats, Integers
from xbarsim.config.arrays import Mapping
from xbarsim.devices.model import DeviceModel
from xbarsim.kernels.arrays.mapping import pair_targets

INPUTS_AT_ONCE = 128  # of a matrix, whose codes are cut into slices


@dataclass(frozen=True)
class Encoded:
    """A weight matrix as conductances, and how to read weights back.

    target : (slices, signs, inputs, outputs) siemens
    value : (slices, signs, outputs), weight per siemens of a slice, negative for the negative cell
        of a pair
    offset : (outputs,), weight to add to every decoded weight (removes the low state and the
        unsigned offset)
    clip : (outputs,), the full-scale weight
    clipped : weights whose magnitude exceeded it
    step : siemens between two levels of a cell (the whole window for `amplitude`)
    aim : like `target`, the siemens that the cells are to seem to have behind the wires; None
        where those are the targets
    scale : (outputs,), share of the window that compensation of the wires uses; None without
    """

    target: Floats
    value: Floats
    offset: Floats
    clip: Floats
    clipped: int
    step: float
    aim: Floats | None = None
    scale: Floats | None = None

    @property
    def intended(self) -> Floats:
        """(inputs, outputs): the clipped and rounded weights that are to be programmed."""
        if self.aim is None:
            return self.decode(self.target)
        return self.decode(self.aim)

    def intended_of(self, rows: slice) -> Floats:
        """(rows, outputs): the same of some of the inputs."""
        aim = self.target if self.aim is None else self.aim
        return self.decode(aim[:, :, rows])

    def decode(self, conductance: Floats) -> Floats:
        """Weights (inputs, outputs) that conductances of the shape of `target` stand for."""
        weights: Floats = np.einsum("sqo,sqio->io", self.value, conductance)
        return weights + self.offset


def encode(weight: AnyFloats, clip: Floats, mapping: Mapping, device: DeviceModel) -> Encoded:
    """Conductances of a weight matrix (inputs, outputs), the transpose of a checkpoint's.

    clip : (outputs,) full-scale weights, positive
    """
    if mapping.encoding == "amplitude":
        return _amplitudes(weight, clip, device)
    if has_signs(mapping):
        return _signs(weight, clip, mapping, device)
    return _digits(weight, clip, mapping, device)


def _amplitudes(weight: AnyFloats, clip: Floats, device: DeviceModel) -> Encoded:
    """Pairs of cells of one analog level each."""
    low = device.conductance_min
    window = device.conductance_max - low
    target = np.empty((1, 2, *weight.shape))
    clipped = pair_targets(weight, clip, low, window, target[0, 0], target[0, 1])
    value = np.stack([clip, -clip])[None] / window
    return Encoded(
        target=target,
        value=value,
        offset=np.zeros_like(clip) - low * value.sum(axis=(0, 1)),
        clip=clip,
        clipped=clipped,
        step=window,
    )


def _signs(weight: AnyFloats, clip: Floats, mapping: Mapping, device: DeviceModel) -> Encoded:
    """Cells that are on or off; a single one is on for a positive weight and off for a negative."""
    low = device.conductance_min
    window = device.conductance_max - low
    held = hold(weight, clip, mapping)
    on = (held > 0)[None, None]
    value = (2 * clip / window)[None, None]
    offset = -clip
    if mapping.sign == "pair":
        on = np.stack([held > 0, held < 0])[None]
        value = np.stack([clip, -clip])[None] / window
        offset = np.zeros_like(clip)
    return Encoded(
        target=np.where(on, device.conductance_max, low),
        value=value,
        offset=offset - low * value.sum(axis=(0, 1)),
        clip=clip,
        clipped=0,
        step=window,
    )


def _digits(weight: AnyFloats, clip: Floats, mapping: Mapping, device: DeviceModel) -> Encoded:
    """Slices of whole numbers, some inputs at a time."""
    low = device.conductance_min
    window = device.conductance_max - low
    highest = highest_code(mapping)
    base = 2**mapping.bits_per_cell
    step = window / (base - 1)
    signs = np.array([1.0, -1.0])
    offset = np.zeros_like(clip)
    if mapping.sign == "offset":
        signs = np.ones(1)
        offset = -(highest + 1) * clip / highest
    digits = np.arange(slices(mapping))
    divisor = base ** digits[:, None, None, None]
    target = np.empty((len(digits), len(signs), *weight.shape))
    for first in range(0, len(weight), INPUTS_AT_ONCE):
        some = slice(first, first + INPUTS_AT_ONCE)
        held = hold(weight[some], clip, mapping)
        unsigned = _unsigned(np.rint(held * (highest / clip)).astype(np.int64), mapping)
        target[:, :, some] = low + window * (unsigned // divisor % base / (base - 1))
    place = base ** digits[:, None, None].astype(float)
    value = (place * signs[:, None] * clip / highest) / step
    return Encoded(
        target=target,
        value=value,
        offset=offset - low * value.sum(axis=(0, 1)),
        clip=clip,
        clipped=int(np.count_nonzero(np.abs(weight) > clip)),
        step=step,
    )


def has_signs(mapping: Mapping) -> bool:
    """Whether weights are signs, or 0, times one scale."""
    return mapping.encoding in ("binary", "ternary")


def highest_code(mapping: Mapping) -> int:
    """Largest code of a sliced weight."""
    return int(2 ** (mapping.weight_bits - 1) - 1)


def _unsigned(code: Integers, mapping: Mapping) -> Integers:
    """(signs, inputs, outputs) what the cells of each sign hold of codes (inputs, outputs)."""
    if mapping.sign == "pair":
        return np.stack([np.maximum(code, 0), np.maximum(-code, 0)])
    return (code + highest_code(mapping) + 1)[None]


def hold(weight: AnyFloats, clip: Floats, mapping: Mapping) -> Floats:
    """Weights (inputs, outputs) as the encoding can state them: clipped, and rounded to codes of
    `slices`, or to signs.
    """
    clipped: Floats = np.clip(weight, -clip, clip)
    if mapping.encoding == "amplitude":
        return clipped
    if mapping.encoding == "binary":
        signs: Floats = np.sign(weight) * clip
        return signs
    if mapping.encoding == "ternary":
        nearest: Floats = np.rint(clipped / clip) * clip
        return nearest
    highest = highest_code(mapping)
    rounded: Floats = np.rint(clipped * (highest / clip)) * (clip / highest)
    return rounded
