"""Training around the stuck cells of a chip, epoch by epoch."""

from typing import Any

import numpy as np

from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.base.progress import Done
from xbarsim.config.image_training import Awareness
from xbarsim.config.study import Study
from xbarsim.config.training import Training
from xbarsim.devices.model import DeviceModel
from xbarsim.training.chip_defects import defect_maps
from xbarsim.training.defects import (
    DefectAware,
    chosen_columns,
    columns_by_defects,
    full_scales_of,
    on_defects,
)
from xbarsim.training.fit import Fit
from xbarsim.training.image_material import ImageMaterial
from xbarsim.training.states import State, restore_rng, rng_state
from xbarsim.training.trainers import restore_fit, schedule_of, state_of_fit


class AroundDefects:
    """Backpropagation without defects, and then with what columns know of theirs.

    maps : of the cells of every matrix, by its name in config.json
    first_held : tensors that know of no defects, within their full scales
    """

    def __init__(
        self, training: Training, material: ImageMaterial, case: Study, device: DeviceModel
    ) -> None:
        self.training = training
        self.material = material
        self.images = material.images
        self.seed = case.seed
        self.maps = defect_maps(material, case, device)
        self.before = training.defects.epochs_before
        self.epochs = self.before + training.images.epochs
        schedule = schedule_of(training, self.before, self.seed)
        self.first = Fit(
            material.config, schedule, len(material.training), tensors=material.tensors
        )
        self.first_held: dict[str, Singles] = {}
        self.scales: dict[str, float] = {}
        self.second: Fit | None = None
        if not self.before:
            self._begin_second()

    @property
    def losses(self) -> list[float]:
        if self.second is None:
            return self.first.losses
        return [*self.first.losses, *self.second.losses]

    def epoch(self, done: Done) -> None:
        fit = self.second or self.first
        fit.epoch(self.images, self.material.classes, done)
        if self.second is None and len(self.first.losses) == self.before:
            self._begin_second()
        elif self.second is not None:
            self._hold(self.second.tensors)

    def state(self) -> State:
        first = state_of_fit(self.first)
        arrays = {f"first/{name}": values for name, values in first.arrays.items()}
        numbers: dict[str, Any] = {"first": first.numbers, "second": None}
        if self.second is not None:
            second = state_of_fit(self.second)
            arrays |= {f"second/{name}": values for name, values in second.arrays.items()}
            arrays |= {f"first_held/{name}": values for name, values in self.first_held.items()}
            numbers["second"] = second.numbers
            numbers["scales"] = self.scales
            numbers["shuffles"] = rng_state(self.form.rng)
        return State(arrays, numbers)

    def restore(self, state: State) -> None:
        restore_fit(self.first, State(_below("first", state.arrays), state.numbers["first"]))
        if state.numbers["second"] is None:
            return
        self._begin_second()
        self.first_held = dict(_below("first_held", state.arrays))
        self.scales.update(state.numbers["scales"])
        restore_rng(self.form.rng, state.numbers["shuffles"])
        if self.second is not None:
            of_second = State(_below("second", state.arrays), state.numbers["second"])
            restore_fit(self.second, of_second)

    def tensors(self) -> dict[str, Singles]:
        """Of the network that the chip is written with."""
        if self.second is None:
            return self.first.tensors
        return self.second.tensors

    def facts(self) -> dict[str, Any]:
        stated = {}
        for name, one in self.maps.items():
            stated[name] = {"stuck_share": one.share, "full_scale": self.scales.get(name)}
        return {"matrices": stated}

    def on_chip(self, tensors: dict[str, Singles]) -> dict[str, Singles]:
        """Tensors as the stuck cells make them, with the full scale that the mapping chooses."""
        return on_defects(tensors, self.maps, full_scales_of(tensors, self.maps))

    def _begin_second(self) -> None:
        """Hold the weights within their full scales, and begin to know of defects."""
        defects = self.training.defects
        tensors = dict(self.first.tensors)
        for name in self.maps:
            spread = float(tensors[f"{name}.weight"].std())
            self.scales[name] = defects.full_scale_deviations * spread
        self._hold(tensors)
        self.first_held = tensors
        columns = columns_by_defects(self.maps)
        by_cell = columns[: defects.synapse_aware_columns]
        if defects.aware in (Awareness.NEURON, Awareness.NONE):
            by_cell = []
        by_number = columns
        if defects.aware in (Awareness.SYNAPSE, Awareness.NONE):
            by_number = []
        self.form = DefectAware(
            self.maps,
            self.scales,
            synapse_aware=chosen_columns(self.maps, by_cell),
            neuron_aware=chosen_columns(self.maps, by_number),
            rng=np.random.default_rng([self.seed, 2]),
            by_largest=True,
        )
        schedule = schedule_of(self.training, self.training.images.epochs, self.seed)
        images = len(self.material.training)
        self.second = Fit(self.material.config, schedule, images, self.form, tensors)

    def _hold(self, tensors: dict[str, Singles]) -> None:
        """Clip weights at their full scales."""
        for name, scale in self.scales.items():
            tensors[f"{name}.weight"] = np.clip(tensors[f"{name}.weight"], -scale, scale)


def _below(prefix: str, arrays: dict[str, AnyArray]) -> dict[str, AnyArray]:
    start = f"{prefix}/"
    found = {}
    for name, values in arrays.items():
        if name.startswith(start):
            found[name.removeprefix(start)] = values
    return found
