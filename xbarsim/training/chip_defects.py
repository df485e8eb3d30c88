"""Where the stuck cells of a study's first chip lie in the matrices of a network of images."""

import numpy as np

from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams
from xbarsim.devices.writing import stuck_conductances
from xbarsim.kernels.training.stuck_cells import FREE, OFF, ON
from xbarsim.models.graph import Step
from xbarsim.models.image_checkpoint import network_of
from xbarsim.models.image_config import BatchNorm, Convolution, Dense
from xbarsim.training.defects import DefectMap
from xbarsim.training.fit import initial_tensors
from xbarsim.training.image_material import ImageMaterial

# What the mapping must be for a weight to be a pair of cells with one full scale per matrix.
NEEDED = {
    "encoding": "amplitude",
    "sign": "pair",
    "clip": "maximum",
    "scale": "matrix",
    "crosspoint": "cell",
    "scale_shift": 0.0,
    "compensation": "none",
    "row_order": "none",
    "column_order": "none",
    "conductances": None,
}


def check_mapping(case: Study, step: str, keys: dict[str, object], why: str) -> None:
    """Refuse a mapping that is not what a way to train assumes.

    Raises
    ------
    ConfigError
    """
    for key, needed in keys.items():
        stated = getattr(case.mapping, key)
        if stated != needed:
            wanted = "absent" if needed is None else f"= {needed!r}"
            raise ConfigError(
                f"mapping.{key} = {stated!r} (of {step}), but {why}; needed: mapping.{key} {wanted}"
            )
    if case.products.weights != "in_situ":
        raise ConfigError(
            f'products.weights = "{case.products.weights}", but {why}; needed: "in_situ"'
        )


def matrix_steps(material: ImageMaterial) -> dict[str, Step]:
    """{name in config.json: step of the graph} of every matrix, in their order."""
    tensors = initial_tensors(material.config)
    graph = network_of(material.content, tensors).graph
    stated = material.config.file.steps
    names = [step.name for step in stated if isinstance(step, Dense | Convolution)]
    return dict(zip(names, graph.matrices, strict=True))


def defect_maps(material: ImageMaterial, study: Study, device: DeviceModel) -> dict[str, DefectMap]:
    """{name in config.json: map} of every matrix on the first chip of a study.

    Raises
    ------
    ConfigError : a network or a mapping in which a weight is no pair of cells; a device without stuck
        cells
    """
    _check_network(material, study)
    maps = {}
    for index, (name, step) in enumerate(matrix_steps(material).items()):
        own = study.for_layer(step.name)
        check_mapping(own, step.name, NEEDED, "training around defects knows pairs of cells")
        at = device.in_study(own)
        if at.active.stuck is None:
            raise ConfigError(
                f"{device.name} has no stuck cells in {step.name}: training around defects needs a "
                "device with a table [stuck], and effects.stuck"
            )
        on, off = stuck_conductances(at, at.active.stuck)
        low = at.conductance_min
        window = at.conductance_max - low
        state = _states(step, own, at, Streams(study.seed, index), middle=(on + off) / 2)
        maps[name] = DefectMap(
            _in_order_of_file(material, name, state),
            on=float((on - low) / window),
            off=float((off - low) / window),
        )
    return maps


def _check_network(material: ImageMaterial, study: Study) -> None:
    """Refuse a network whose weights are not those of the cells."""
    file = material.config.file
    has_norm = any(isinstance(step, BatchNorm) for step in file.steps)
    has_groups = any(isinstance(step, Convolution) and step.groups > 1 for step in file.steps)
    has_convolution = any(isinstance(step, Convolution) for step in file.steps)
    by_parts = has_convolution and study.model.convolution != "im2col"
    if file.weights != "float" or has_norm or has_groups or by_parts:
        raise ConfigError(
            'training.method = "defect-aware" needs weights that lie on cells as they are: weights = '
            '"float", no batch_norm, no groups, and model.convolution = "im2col"'
        )


def _states(
    step: Step, study: Study, device: DeviceModel, streams: Streams, middle: float
) -> Integers:
    """(2, outputs, inputs) of `FREE`, `ON` and `OFF`, as the write of a run meets them."""
    layout = layout_of(step.inputs, step.outputs, study.mapping)
    shape = (layout.tiles_per_row_block, layout.word_lines, layout.bit_lines)
    blocks = []
    for block in range(layout.row_blocks):
        of_block = streams.beyond(block * layout.tiles_per_row_block)
        stuck = device.stuck_cells(shape, of_block)
        state = np.where(stuck.conductance > middle, ON, OFF)
        state = np.where(stuck.mask, state, FREE)
        rows = layout.rows(block)
        planes = layout.from_tiles(
            state.transpose(0, 2, 1).astype(np.float64), rows.stop - rows.start
        )
        blocks.append(planes)
    found: Integers = np.concatenate(blocks, axis=2).astype(np.int64)
    return found


def _in_order_of_file(material: ImageMaterial, name: str, state: Integers) -> Integers:
    """Inputs in the order of a tensor: of a kernel channel by channel, where word lines are pixel by
    pixel."""
    for place, step in enumerate(material.config.file.steps):
        if isinstance(step, Convolution) and step.name == name:
            channels = material.config.shape_before(place)[2]
            by_pixel = state.reshape(2, step.channels, step.kernel, step.kernel, channels)
            return by_pixel.transpose(0, 1, 4, 2, 3).reshape(2, step.channels, -1)
    return state
