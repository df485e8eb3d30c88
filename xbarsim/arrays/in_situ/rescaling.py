"""Weights that are used later than their ranges and gains were fitted, and scales that follow the
drift between.

What is known from the fit stays: ranges, digital gains, codes.  A reference was read then, and is
read again when the weights are used, both with read noise; the ratio of its currents multiplies the
codes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.layout import Layout, subtracts_currents
from xbarsim.arrays.in_situ.matrix import Array, ConvertedArray, IdealArray
from xbarsim.arrays.in_situ.programmed import MatrixPlan, ProgrammedMatrix
from xbarsim.base.array_types import AnyFloats, Floats, Singles
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICROSIEMENS, NANO
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import REFERENCE, Streams


def fitted_device(device: DeviceModel, study: Study) -> DeviceModel:
    """The device of a study when ranges and gains are fitted."""
    fitted = study.correction.fitted_s
    if fitted is None:
        return device.in_study(study)
    if study.device.time_s is None:
        raise ConfigError(
            f"correction.fitted_s = {fitted:g} s needs device.time_s, the time when the weights are "
            "used"
        )
    at_fit = study.device.model_copy(update={"time_s": fitted})
    return device.in_study(study.model_copy(update={"device": at_fit}))


@dataclass(frozen=True)
class LaterUse:
    """The cells of a matrix when it is used, and the scales that follow their drift, if any."""

    used: ProgrammedMatrix
    rescaling: Rescaling | None

    def of(self, array: Array) -> Array:
        """An array, fitted before, as it is used."""
        return used_later(
            array, dataclasses.replace(self.used, index=array.programmed.index), self.rescaling
        )


@dataclass(frozen=True)
class Rescaling:
    """Scales of a matrix, and what its reference costs every time it is read.

    scales : of every row block, (conversions, outputs)
    events : of the reads
    array_energy : joule, of all word lines at the read voltage
    """

    scales: tuple[Floats, ...]
    events: Events
    array_energy: float

    @property
    def mean(self) -> float:
        return float(np.mean([scales.mean() for scales in self.scales]))

    @property
    def spread(self) -> float:
        """Standard deviation of the scales."""
        return float(np.std(np.concatenate([scales.ravel() for scales in self.scales])))


def rescaling_of(
    plan: MatrixPlan, fitted: ProgrammedMatrix, used: ProgrammedMatrix, at_fit: DeviceModel
) -> Rescaling | None:
    """The scales that follow drift from `fitted` to `used`, the same cells at two times.

    plan : of the matrix when it is used;  at_fit : the device when it was fitted
    """
    correction = plan.settings.correction
    if correction.rescaling == "none":
        return None
    if correction.reference == "column":
        then = _reference_columns(plan, at_fit, number=0)
        now = _reference_columns(plan, plan.device, number=1)
        scales = _everywhere(plan.layout, len(used.value), _ratio(then, now))
        return _rescaling(plan, used, scales, lines=plan.layout.tiles)
    before = _line_currents(fitted, number=0)
    after = _line_currents(used, number=1)
    if correction.rescaling == "global":
        ratio = _ratio(np.sum([each.sum() for each in before]), np.sum([s.sum() for s in after]))
        scales = _everywhere(plan.layout, len(used.value), ratio)
    else:
        scales = tuple(map(_ratio, before, after))
    lines = plan.layout.row_blocks * plan.layout.planes * plan.layout.outputs
    return _rescaling(plan, used, scales, lines=lines)


def _ratio(then: AnyFloats | np.floating, now: AnyFloats | np.floating) -> Floats:
    """What a current has to be multiplied by to be what it was; 1 where none is left."""
    return np.divide(then, now, out=np.ones(np.shape(now)), where=np.asarray(now) > 0)


def _everywhere(layout: Layout, conversions: int, scale: Floats) -> tuple[Floats, ...]:
    of_block = np.full((conversions, layout.outputs), float(scale))
    return (of_block,) * layout.row_blocks


def _line_currents(programmed: ProgrammedMatrix, number: int) -> tuple[Floats, ...]:
    """(conversions, outputs) A/V of every row block, as they are read with noise; the lines of a
    pair are read one by one and added.

    number : of the reading, names its noise
    """
    correction = programmed.settings.correction
    layout = programmed.layout
    found = []
    for block, lines in enumerate(programmed.lines or ()):
        streams = programmed.periphery.beyond(block * layout.tiles_per_row_block)
        generator = streams.generators(1, REFERENCE, number)[0]
        noise = generator.standard_normal(lines.current.shape)
        read = lines.current + np.sqrt(lines.variance / correction.reads) * noise
        if subtracts_currents(programmed.settings.mapping):
            read = read.reshape(-1, 2, layout.outputs).sum(axis=1)
        found.append(read)
    return tuple(found)


def _reference_columns(plan: MatrixPlan, device: DeviceModel, number: int) -> np.floating:
    """A/V of the reference columns of all tiles, as they are read with noise, at their foot: no wire
    lies between.
    """
    correction = plan.settings.correction
    layout = plan.layout
    target = float(plan.encoded.target.mean())
    if correction.reference_us is not None:
        target = correction.reference_us * MICROSIEMENS
    key = np.random.SeedSequence(plan.seed, spawn_key=(plan.index, REFERENCE))
    streams = Streams(int(key.generate_state(1)[0]), plan.index)
    cells = device.program(np.full((layout.tiles, layout.word_lines, 1), target), streams)
    sigma = device.read_noise_sigma(cells, streams, plan.settings.dac.read_time_ns * NANO)
    driven = np.zeros(cells.conductance.shape)
    for block in range(layout.row_blocks):
        rows = layout.rows(block)
        first = block * layout.tiles_per_row_block
        driven[first : first + layout.tiles_per_row_block, : rows.stop - rows.start] = 1.0
    variance = (driven * np.broadcast_to(sigma, driven.shape) ** 2).sum() / correction.reads
    noise = streams.generators(1, REFERENCE, number)[0].standard_normal()
    return np.float64((driven * cells.conductance).sum() + np.sqrt(variance) * noise)


def _rescaling(
    plan: MatrixPlan, used: ProgrammedMatrix, scales: tuple[Floats, ...], lines: int
) -> Rescaling:
    """lines : that are converted in a read of the reference"""
    layout = plan.layout
    settings = plan.settings
    reads = settings.correction.reads
    watts = sum(float(power.sum(dtype=np.float64)) for power in used.power)
    watts *= used.read_voltage**2
    events = Events(
        tile_reads=reads * layout.tiles,
        adc_conversions=reads * lines,
        dac_drives=reads * layout.tiles_per_row_block * layout.inputs,
        shift_adds=reads * lines,
    )
    return Rescaling(scales, events, reads * watts * settings.dac.read_time_ns * NANO)


# ---------------------------------------------------------------- an array at another time


def used_later(array: Array, used: ProgrammedMatrix, rescaling: Rescaling | None) -> Array:
    """An array, fitted before, whose cells are now those of `used`."""
    scales = None
    if rescaling is not None:
        scales = rescaling.scales
    if isinstance(array, ConvertedArray):
        return dataclasses.replace(array, programmed=used, rescaling=scales)
    if isinstance(array, IdealArray):
        return _ideal_later(array, used, scales)
    raise TypeError(f"{type(array).__name__} is no array of tiles")


def _ideal_later(
    array: IdealArray, used: ProgrammedMatrix, scales: tuple[Floats, ...] | None
) -> IdealArray:
    gain = array.gain[:, None]
    now = _folded(used.transfer, used.value, scales)
    then = _folded(array.programmed.transfer, used.value, None)
    variance = None
    if used.variance is not None:
        squares = None if scales is None else tuple(each**2 for each in scales)
        variance = (_folded(used.variance, used.value**2, squares) * gain**2).astype(np.float32)
    currents = None
    if array.folded_currents is not None:
        currents = (now * gain).astype(np.float32)
    return dataclasses.replace(
        array,
        programmed=used,
        folded=(array.folded + (now - then) * gain).astype(np.float32),
        folded_variance=variance,
        folded_currents=currents,
    )


def _folded(
    blocks: tuple[Singles, ...], value: Floats, scales: tuple[Floats, ...] | None
) -> Floats:
    """(outputs, inputs), see `programmed.fold`, each row block with its own scales."""
    conversions, outputs = value.shape
    folded = []
    for number, block in enumerate(blocks):
        of_block = value if scales is None else value * scales[number]
        by_output = block.reshape(conversions, outputs, -1)
        folded.append(np.einsum("co,coi->oi", of_block, by_output))
    return np.concatenate(folded, axis=1)
