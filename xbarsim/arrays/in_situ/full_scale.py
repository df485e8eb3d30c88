"""The choice of the full-scale weight of every output.

Weights are taken some outputs at a time, so that what is needed of them beside stays in cache.
"""

from collections.abc import Sequence

import numpy as np

from xbarsim.arrays.in_situ.encoding import encode, has_signs, highest_code, hold
from xbarsim.arrays.in_situ.error_left import expected_share
from xbarsim.base.array_types import AnyFloats, Floats
from xbarsim.config.arrays import Mapping
from xbarsim.devices.model import DeviceModel
from xbarsim.kernels.arrays.mapping import clip_errors

# Candidates of the `mse` criterion.
CLIP_QUANTILES = 1 - np.append(np.geomspace(0.1, 1e-4, 13), 0.0)
TERNARY_THRESHOLD = 0.7  # of the mean of |weight| (Li et al., Ternary weight networks, 2016)
VARIANCE_STEPS = 1024  # of a weight from 0 to full scale; its variance is interpolated
OUTPUTS_AT_ONCE = 64


def choose_clip(weight: AnyFloats, moment: Floats, mapping: Mapping, device: DeviceModel) -> Floats:
    """Full-scale weight of every output column of a matrix (inputs, outputs), (outputs,): equal
    ones with `scale = "matrix"`.

    With `clip = "mse"` it is the quantile of |weight| (of the matrix, or of each column) with the
    least expected square error of the product y = x W, for independent inputs of second moment
    `moment` (inputs,): sum_i moment_i ((held_ij - w_ij)² + sum over the cells of the weight of
    value² σ(target)²), what clipping and rounding change plus what programming adds.  Inputs are
    weighted because a few of them are far larger than the rest in a transformer, and a clipped
    weight behind such an input costs most.  Correlations of the inputs would change the SNR of a
    product by 0.03 dB or less here, at O(inputs) the cost.  Where the mean error of a write depends
    on its target, held_ij and value are those after `reached`.
    """
    if has_signs(mapping):
        return scale_of_signs(weight, mapping)
    candidates = _candidates(weight, mapping)
    if mapping.clip != "mse":
        stated: Floats = candidates[0]
        return stated
    if _mean_error_varies(device):
        errors = _errors_of_reached(weight, candidates, moment, mapping, device)
    else:
        errors = _errors(weight, candidates, moment, mapping, device)
    if mapping.scale == "matrix":
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    best = np.argmin(errors, axis=0)
    chosen: Floats = candidates[best, np.arange(weight.shape[1])]
    return chosen


def scale_of_signs(weight: AnyFloats, mapping: Mapping) -> Floats:
    """(outputs,) what the signs of weights (inputs, outputs) are times: the mean magnitude of the
    weights of an output, or of all with `scale = "matrix"`; with `ternary` of those above
    TERNARY_THRESHOLD of it.  Weights that have two values, or these and 0, are met exactly.
    """
    magnitude = np.abs(np.asarray(weight, np.float64))
    if mapping.scale == "matrix":
        of_matrix = _mean_of_signs(magnitude.reshape(-1, 1), mapping)
        repeated: Floats = np.repeat(of_matrix, weight.shape[1])
        return repeated
    return _mean_of_signs(magnitude, mapping)


def _mean_of_signs(magnitude: Floats, mapping: Mapping) -> Floats:
    """(n,) of magnitudes (values, n); 1 where all are 0."""
    kept = magnitude > 0
    if mapping.encoding == "ternary":
        kept = magnitude > TERNARY_THRESHOLD * magnitude.mean(axis=0)
    count = kept.sum(axis=0)
    total = np.where(kept, magnitude, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.ones(len(total)), where=count > 0)
    return mean


def _candidates(weight: AnyFloats, mapping: Mapping) -> Floats:
    """(candidates, outputs) full-scale weights: the one that is asked for, or those of `mse`."""
    quantiles: Sequence[float] | Floats = CLIP_QUANTILES
    if mapping.clip == "maximum":
        quantiles = [1.0]
    elif mapping.clip == "quantile":
        quantiles = [mapping.clip_quantile]
    outputs = weight.shape[1]
    if mapping.scale == "matrix":
        of_matrix = _quantiles(np.abs(weight.T).reshape(1, -1), quantiles)
        return np.repeat(of_matrix, outputs, axis=1)
    found = np.empty((len(quantiles), outputs))
    for some in _some_outputs(outputs):
        found[:, some] = _quantiles(np.abs(weight.T[some]), quantiles)
    return found


def _some_outputs(outputs: int) -> list[slice]:
    return [
        slice(first, min(first + OUTPUTS_AT_ONCE, outputs))
        for first in range(0, outputs, OUTPUTS_AT_ONCE)
    ]


def _quantiles(magnitude: AnyFloats, quantiles: Sequence[float] | Floats) -> Floats:
    """(quantiles, n) of magnitudes (n, values), which are sorted in place: those of `np.quantile`
    in float64.  The largest where a quantile is 0, and 1 where all are: what is all zero has no
    scale of its own.
    """
    magnitude.sort(axis=1)
    last = magnitude.shape[1] - 1
    place = last * np.asarray(quantiles)
    before = np.floor(place).astype(np.int64)
    low = magnitude[:, before].T.astype(np.float64)
    high = magnitude[:, np.minimum(before + 1, last)].T.astype(np.float64)
    share = (place - before)[:, None]
    rise = high - low
    found = np.where(share < 0.5, low + rise * share, high - rise * (1 - share))
    largest = magnitude[:, last].astype(np.float64)
    largest = np.where(largest > 0, largest, 1.0)
    return np.where(found > 0, found, largest)


def _errors(
    weight: AnyFloats,
    candidates: Floats,
    moment: Floats,
    mapping: Mapping,
    device: DeviceModel,
) -> Floats:
    """(candidates, outputs) expected squared errors where the mean error of a write is the same for
    all targets.
    """
    variance = programming_variance(mapping, device)
    rounds = mapping.encoding == "slices"
    errors = np.empty(candidates.shape)
    for some in _some_outputs(weight.shape[1]):
        of_some = np.ascontiguousarray(weight[:, some], np.float64)
        clip = np.ascontiguousarray(candidates[:, some])
        errors[:, some] = clip_errors(of_some, clip, moment, variance, rounds)
    return errors


def _mean_error_varies(device: DeviceModel) -> bool:
    """Whether the mean error of a write depends on its target."""
    window = np.linspace(device.conductance_min, device.conductance_max, 33)
    return bool(np.ptp(device.programming_bias(window)) != 0)


def _errors_of_reached(
    weight: AnyFloats,
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
    steps = highest_code(mapping)
    if mapping.encoding == "amplitude":
        steps = VARIANCE_STEPS
    relative = np.arange(-steps, steps + 1) / steps
    encoded = encode(relative[:, None], np.ones(1), mapping, device)
    variance = expected_share(mapping) * device.programming_sigma(encoded.target) ** 2
    of_weights: Floats = np.einsum("sqo,sqio->io", encoded.value**2, variance)
    return of_weights[:, 0]


def reached(
    weight: AnyFloats, clip: Floats, moment: Floats, mapping: Mapping, device: DeviceModel
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
