"""Weights to conductances and back.

A weight is held by one or several cells, its *planes*: `slices` digits of its magnitude (one analog
level with the `amplitude` encoding), each a differential pair (sign `pair`) or a single cell (sign
`offset`).  Arrays are in the order (slice, sign, input, output); the two signs of a pair are
(positive, negative).

A matrix of `inputs` rows is cut into row blocks of at most `word_lines` rows.  The cells of a row
block lie on tiles of word_lines x bit_lines cells: `twin` placement gives every plane tiles of its
own; with `neighbour` placement the planes of one weight occupy neighbouring bit lines, so a tile
holds bit_lines // planes outputs.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.error_left import expected_share
from xbarsim.arrays.in_situ.layout import slices
from xbarsim.base.array_types import AnyFloats, Floats, Integers
from xbarsim.config.arrays import Mapping
from xbarsim.devices.model import DeviceModel
from xbarsim.kernels.arrays.mapping import clip_errors

# Candidates of the `mse` criterion.
CLIP_QUANTILES = 1 - np.append(np.geomspace(0.1, 1e-4, 13), 0.0)
VARIANCE_STEPS = 1024  # of a weight from 0 to full scale; its variance is interpolated


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
    """

    target: Floats
    value: Floats
    offset: Floats
    clip: Floats
    clipped: int
    step: float
    aim: Floats | None = None

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


def encode(weight: Floats, clip: Floats, mapping: Mapping, device: DeviceModel) -> Encoded:
    """Conductances of a weight matrix (inputs, outputs), the transpose of a checkpoint's.

    clip : (outputs,) full-scale weights, positive
    """
    window = device.conductance_max - device.conductance_min
    held = hold(weight, clip, mapping)
    if mapping.encoding == "amplitude":
        relative, value = _amplitudes(held, clip, window)
        offset = np.zeros_like(clip)
        step = window
    else:
        base = 2**mapping.bits_per_cell
        step = window / (base - 1)
        relative, value = _digits(held, clip, mapping, step)
        offset = np.zeros_like(clip)
        if mapping.sign == "offset":
            highest = _highest(mapping)
            offset = -(highest + 1) * clip / highest
    low = device.conductance_min
    return Encoded(
        target=low + window * relative,
        value=value,
        offset=offset - low * value.sum(axis=(0, 1)),
        clip=clip,
        clipped=int(np.count_nonzero(np.abs(weight) > clip)),
        step=step,
    )


def _highest(mapping: Mapping) -> int:
    """Largest code of a sliced weight."""
    return int(2 ** (mapping.weight_bits - 1) - 1)


def _amplitudes(held: Floats, clip: Floats, window: float) -> tuple[Floats, Floats]:
    """Targets (1, 2, inputs, outputs) over the window, and values per siemens (1, 2, outputs)."""
    magnitude = np.abs(held) / clip
    positive = np.where(held > 0, magnitude, 0.0)
    negative = np.where(held < 0, magnitude, 0.0)
    target = np.stack([positive, negative])[None]
    value = np.stack([clip, -clip])[None] / window
    return target, value


def _digits(held: Floats, clip: Floats, mapping: Mapping, step: float) -> tuple[Floats, Floats]:
    """Targets (slices, signs, inputs, outputs) over the window, and values per siemens (slices,
    signs, outputs); step : siemens between two levels.
    """
    highest = _highest(mapping)
    base = 2**mapping.bits_per_cell
    unsigned = _unsigned(np.rint(held * (highest / clip)).astype(np.int64), mapping)
    digits = np.arange(slices(mapping))
    target = unsigned // base ** digits[:, None, None, None] % base / (base - 1)
    signs = np.array([1.0, -1.0])[: len(unsigned)]
    place = base ** digits[:, None, None].astype(float)
    value = (place * signs[:, None] * clip / highest) / step
    return target, value


def _unsigned(code: Integers, mapping: Mapping) -> Integers:
    """(signs, inputs, outputs) what the cells of each sign hold of codes (inputs, outputs)."""
    if mapping.sign == "pair":
        return np.stack([np.maximum(code, 0), np.maximum(-code, 0)])
    return (code + _highest(mapping) + 1)[None]


def hold(weight: Floats, clip: Floats, mapping: Mapping) -> Floats:
    """Weights (inputs, outputs) as the encoding can state them: clipped and, with `slices`,
    rounded.
    """
    clipped = np.clip(weight, -clip, clip)
    if mapping.encoding == "amplitude":
        return clipped
    highest = _highest(mapping)
    rounded: Floats = np.rint(clipped * (highest / clip)) * (clip / highest)
    return rounded


def choose_clip(weight: Floats, moment: Floats, mapping: Mapping, device: DeviceModel) -> Floats:
    """Full-scale weight of every output column, (outputs,): equal ones with `scale = "matrix"`.

    With `clip = "mse"` it is the quantile of |weight| (of the matrix, or of each column) with the
    least expected square error of the product y = x W, for independent inputs of second moment
    `moment` (inputs,): sum_i moment_i ((held_ij - w_ij)² + sum over the cells of the weight of
    value² σ(target)²), what clipping and rounding change plus what programming adds.  Inputs are
    weighted because a few of them are far larger than the rest in a transformer, and a clipped
    weight behind such an input costs most.  Correlations of the inputs would change the SNR of a
    product by 0.03 dB or less here, at O(inputs) the cost.  Where the mean error of a write depends
    on its target, held_ij and value are those after `reached`.
    """
    magnitude = np.abs(weight)
    by_matrix = mapping.scale == "matrix"
    axis = None if by_matrix else 0
    largest = np.broadcast_to(magnitude.max(axis=axis), weight.shape[1])
    # An all-zero matrix or column has no scale of its own.
    largest = np.where(largest > 0, largest, 1.0)
    if mapping.clip == "maximum":
        return largest
    if mapping.clip == "quantile":
        of_quantile: Floats = _quantiles(magnitude, [mapping.clip_quantile], axis, largest)[0]
        return of_quantile
    candidates = _quantiles(magnitude, CLIP_QUANTILES, axis, largest)
    if _mean_error_varies(device):
        errors = _errors_of_reached(weight, candidates, moment, mapping, device)
    else:
        errors = clip_errors(
            np.ascontiguousarray(weight.T),
            candidates,
            moment,
            programming_variance(mapping, device),
            mapping.encoding == "slices",
        )
    if by_matrix:
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    best = np.argmin(errors, axis=0)
    chosen: Floats = candidates[best, np.arange(weight.shape[1])]
    return chosen


def _quantiles(
    magnitude: Floats, quantiles: list[float] | Floats, axis: int | None, largest: Floats
) -> Floats:
    """(quantiles, outputs) of |weight|, the largest where a quantile is 0."""
    found: Floats = np.quantile(magnitude, quantiles, axis=axis).reshape(len(quantiles), -1)
    return np.where(found > 0, found, largest)


def _mean_error_varies(device: DeviceModel) -> bool:
    """Whether the mean error of a write depends on its target."""
    window = np.linspace(device.conductance_min, device.conductance_max, 33)
    return bool(np.ptp(device.programming_bias(window)) != 0)


def _errors_of_reached(
    weight: Floats,
    candidates: Floats,
    moment: Floats,
    mapping: Mapping,
    device: DeviceModel,
) -> Floats:
    """(candidates, outputs) expected squared errors with weights and gains of `reached`."""
    variance = programming_variance(mapping, device)
    steps = len(variance) // 2
    errors = []
    for clip in candidates:
        held, gain = reached(weight, clip, moment, mapping, device)
        code = np.rint(np.clip(weight / clip, -1, 1) * steps).astype(int)
        scatter = clip**2 * variance[code + steps]
        errors.append(moment @ ((held - weight) ** 2 + gain**2 * scatter))
    return np.array(errors)


def programming_variance(mapping: Mapping, device: DeviceModel) -> Floats:
    """(2 k + 1,): variance over clip² that programming adds to weights held at -clip ... clip, in
    equal steps.

    The steps are the codes of `slices`; with `amplitude`, whose weights lie between them, there are
    VARIANCE_STEPS.
    """
    steps = _highest(mapping)
    if mapping.encoding == "amplitude":
        steps = VARIANCE_STEPS
    relative = np.arange(-steps, steps + 1) / steps
    encoded = encode(relative[:, None], np.ones(1), mapping, device)
    variance = expected_share(mapping) * device.programming_sigma(encoded.target) ** 2
    of_weights: Floats = np.einsum("sqo,sqio->io", encoded.value**2, variance)
    return of_weights[:, 0]


def reached(
    weight: Floats, clip: Floats, moment: Floats, mapping: Mapping, device: DeviceModel
) -> tuple[Floats, Floats]:
    """Weights (inputs, outputs) that cells with the device's mean error stand for, and the gain
    (outputs,) they hold.

    The gain brings them nearest to the weights that can be held, as the digital gain of an array
    does: it undoes a mean error that is proportional to the target, and widens the scatter by as
    much.  An error that is the same at all targets cancels in a pair, and is taken off with the
    offset of a single cell.
    """
    held = hold(weight, clip, mapping)
    if not _mean_error_varies(device):
        return held, np.ones(weight.shape[1])
    encoded = encode(weight, clip, mapping, device)
    mean = encoded.decode(encoded.target + device.programming_bias(encoded.target))
    if mapping.gain == "none":
        return mean, np.ones(weight.shape[1])
    middle: AnyFloats = np.zeros(weight.shape[1])
    average = middle
    if mapping.sign == "offset" and moment.any():
        middle = moment @ held / moment.sum()
        average = moment @ mean / moment.sum()
    own = moment @ (mean - average) ** 2
    cross = moment @ ((mean - average) * (held - middle))
    if mapping.gain == "matrix":
        own = np.full_like(own, own.sum())
        cross = np.full_like(cross, cross.sum())
    usable = own > 0
    gain = np.where(usable, cross / np.where(usable, own, 1.0), 1.0)
    return gain * (mean - average) + middle, gain
