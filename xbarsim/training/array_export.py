"""Cells that were trained in the array, as the files that `mapping.conductances` names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim import __version__
from xbarsim.arrays.in_situ.conductance_export import Form, export_matrix
from xbarsim.arrays.in_situ.conductance_files import INDEX, ConductanceIndex
from xbarsim.arrays.in_situ.encoding import Encoded
from xbarsim.arrays.in_situ.layout import Layout, layout_of
from xbarsim.arrays.in_situ.programmed import MatrixPlan
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.files import replacing
from xbarsim.config.arrays import Mapping
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Counts, Programmed
from xbarsim.models.graph import Step
from xbarsim.models.image_checkpoint import load_image_network
from xbarsim.training.chip_defects import check_mapping
from xbarsim.training.in_situ import Layer

# What a pair of cells of one analog level each is, in the keys of [mapping].
NEEDED = {
    "encoding": "amplitude",
    "sign": "pair",
    "crosspoint": "cell",
    "scale_shift": 0.0,
    "compensation": "none",
    "row_order": "none",
    "column_order": "none",
    "conductances": None,
}


def check_export(study: Study, steps: dict[str, Step]) -> None:
    """Refuse a study whose arrays cannot be cells that were trained as pairs.

    Raises
    ------
    ConfigError
    """
    for step in steps.values():
        own = study.for_layer(step.name)
        check_mapping(own, step.name, NEEDED, "cells are trained in the array as pairs")


def export_cells(
    layers: list[Layer],
    steps: dict[str, Step],
    model: Path,
    directory: Path,
    study: Study,
    case: str,
    device: DeviceModel,
) -> Path:
    """Write the conductances of trained layers, whose network lies in `model`; returns the index.

    Cells of biases are no cells of the matrix: the network holds what they stand for.

    Raises
    ------
    OutputError : files that cannot be written
    """
    network = load_image_network(model)
    matrices = []
    for index, (layer, step) in enumerate(zip(layers, steps.values(), strict=True)):
        own = study.for_layer(step.name)
        weight, _ = network.matrix(step.name)
        cells = _Cells.of(layer, own.mapping)
        plan = MatrixPlan(
            name=step.name,
            index=index,
            seed=study.seed,
            settings=InSituSettings.of(own),
            device=device.in_study(own),
            weight=weight,
            encoded=cells.encoded(layer),
            layout=cells.layout,
            cells=cells.programmed,
        )
        matrices.append(export_matrix(plan, weight, directory, Form.NPY, _nobody))
    index_of = ConductanceIndex(
        format="xbarsim-conductances",
        version=1,
        software_version=__version__,
        checkpoint=str(model),
        checkpoint_sha256=network.sha256,
        study=study.to_toml(),
        case=case,
        chip=1,
        seed=study.seed,
        device=device.name,
        matrices=tuple(matrices),
    )
    with replacing(directory / INDEX) as file:
        file.write(index_of.model_dump_json(indent=1, exclude_none=True) + "\n")
    return directory / INDEX


def _nobody(count: int) -> None:
    """Tiles written, of which nobody wants to know: there are few."""


@dataclass(frozen=True)
class _Cells:
    """Trained cells of a matrix on tiles.

    conductance, responds : (2, inputs, outputs), of positive and negative cells
    low, middle : S of the window; a cell that no weight uses is low, and read as 0 where it `is_open`
    """

    layout: Layout
    conductance: Floats
    responds: Booleans
    low: float
    middle: float
    is_open: bool

    @classmethod
    def of(cls, layer: Layer, mapping: Mapping) -> "_Cells":
        conductance = np.stack([one.conductance[:-1] for one in layer.cells])
        _, inputs, outputs = conductance.shape
        return cls(
            layout=layout_of(inputs, outputs, mapping),
            conductance=conductance,
            responds=np.stack([one.responds[:-1] for one in layer.cells]),
            low=layer.cells[0].law.low,
            middle=layer.cells[0].law.middle,
            is_open=mapping.unused == "open",
        )

    def encoded(self, layer: Layer) -> Encoded:
        """What they stand for: weights between the ends of the layer's range."""
        outputs = self.conductance.shape[2]
        law = layer.cells[0].law
        clip = np.full(outputs, layer.weight_of_window)
        value = np.stack([clip, -clip])[None] / (law.high - law.low)
        return Encoded(
            target=self.conductance[None],
            value=value,
            offset=np.zeros(outputs),
            clip=clip,
            clipped=0,
            step=law.high - law.low,
        )

    def programmed(self, block: int) -> Programmed:
        """The cells of a row block; those that no weight uses are as the mapping says."""
        rows = self.layout.rows(block)
        tiles = self.layout.to_tiles(self.conductance[:, rows], self.low)
        read = tiles
        if self.is_open:
            used = self.layout.to_tiles(np.ones(self.conductance[:, rows].shape, bool), False)
            read = np.where(used, tiles, 0.0)
        stuck = self.conductance[:, rows][~self.responds[:, rows]]
        on = int(np.count_nonzero(stuck > self.middle))
        counts = Counts(stuck_on=on, stuck_off=len(stuck) - on)
        return Programmed(conductance=read, target=tiles, achieved=read, counts=counts)
