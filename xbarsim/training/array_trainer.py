"""Training in the array, epoch by epoch: pulses to pairs of cells, and what they then are."""

from dataclasses import asdict
from typing import Any

import numpy as np

from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.base.errors import ConfigError
from xbarsim.base.progress import Done
from xbarsim.config.image_training import Pulses
from xbarsim.config.study import Study
from xbarsim.config.training import Training
from xbarsim.devices.model import DeviceModel
from xbarsim.models.image_config import Dense, ImageConfig, Pooling, Relu
from xbarsim.models.image_operations import mean_of
from xbarsim.training.image_material import ImageMaterial
from xbarsim.training.in_situ import InSituNetwork, Pulsing
from xbarsim.training.pulsed_cells import Divider, Heat
from xbarsim.training.states import State, restore_rng, rng_state

PULSE_RATE = 0.3


class InSitu:
    """Pulses to pairs of cells; no copy of the weights is kept.

    names : of the matrices in config.json, in their order
    """

    def __init__(
        self, training: Training, material: ImageMaterial, case: Study, device: DeviceModel
    ) -> None:
        """
        Raises
        ------
        ConfigError : a network with other steps than dense ones, ReLU between and pooling before; a
            device without pulses
        """
        if material.tensors is not None:
            raise ConfigError(
                f"model.name = {case.model.name!r} has weights, and training in the array begins with "
                "cells at random; name a directory with config.json alone, or state "
                "training.images.hidden"
            )
        self.material = material
        self.names = dense_names(material.config)
        self.epochs = training.images.epochs
        self.images = pooled(material.config, material.images)
        device = device.in_study(case)
        sizes = (self.images.shape[1], *outputs_of(material.config))
        pulsing = pulsing_of(training, case.seed)
        self.network = InSituNetwork.of(sizes, device, pulsing, divisor=1.0)

    @property
    def losses(self) -> list[float]:
        return self.network.losses

    def epoch(self, done: Done) -> None:
        self.network.epoch(self.images, self.material.classes, done)

    def state(self) -> State:
        arrays: dict[str, AnyArray] = {}
        numbers: dict[str, Any] = {"rng": rng_state(self.network.rng), "losses": self.losses}
        for number, layer in enumerate(self.network.layers):
            numbers[f"layer{number}"] = rng_state(layer.rng)
            for sign, cells in enumerate(layer.cells):
                name = f"{number}/{sign}"
                arrays[f"{name}/conductance"] = cells.conductance
                arrays[f"{name}/heat"] = cells.heat
                arrays[f"{name}/pulses"] = cells.pulses
                numbers[name] = [cells.heating_pulses, cells.energy]
        return State(arrays, numbers)

    def restore(self, state: State) -> None:
        self.network.losses = list(state.numbers["losses"])
        restore_rng(self.network.rng, state.numbers["rng"])
        for number, layer in enumerate(self.network.layers):
            restore_rng(layer.rng, state.numbers[f"layer{number}"])
            for sign, cells in enumerate(layer.cells):
                name = f"{number}/{sign}"
                cells.conductance = state.arrays[f"{name}/conductance"]
                cells.heat = state.arrays[f"{name}/heat"]
                cells.pulses = state.arrays[f"{name}/pulses"]
                cells.heating_pulses, cells.energy = state.numbers[name]

    def tensors(self) -> dict[str, Singles]:
        """Weights and biases that the cells stand for."""
        found = {}
        for name, layer in zip(self.names, self.network.layers, strict=True):
            weight = layer.weight
            found[f"{name}.weight"] = np.ascontiguousarray(weight[:-1].T, np.float32)
            found[f"{name}.bias"] = weight[-1].astype(np.float32)
        return found

    def facts(self) -> dict[str, Any]:
        return {"wear": asdict(self.network.wear)}


def dense_names(config: ImageConfig) -> list[str]:
    """Names of the matrices of a perceptron.

    Raises
    ------
    ConfigError : steps that training in the array does not know, or ReLU where there is none in it
    """
    steps = list(config.file.steps)
    while steps and isinstance(steps[0], Pooling) and steps[0].kind == "average_pooling":
        steps.pop(0)
    dense = [step for step in steps if isinstance(step, Dense)]
    alternate = len(steps) == 2 * len(dense) - 1 and config.file.weights == "float"
    for number, step in enumerate(steps):
        alternate &= isinstance(step, Relu if number % 2 else Dense)
    if not alternate:
        kinds = ", ".join(step.kind for step in config.file.steps)
        raise ConfigError(
            f'training.method = "in-situ" trains perceptrons: average_pooling, if any, then dense steps '
            f'with relu between them, and weights = "float"; the network has {kinds} and weights = '
            f'"{config.file.weights}"'
        )
    return [step.name for step in dense]


def outputs_of(config: ImageConfig) -> list[int]:
    """Outputs of every dense step."""
    return [step.outputs for step in config.file.steps if isinstance(step, Dense)]


def pooled(config: ImageConfig, images: Singles) -> Singles:
    """(n, inputs) of the first dense step, after what stands before it."""
    for step in config.file.steps:
        if not isinstance(step, Pooling):
            break
        images = mean_of(images, step.size)
    channels_first = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(channels_first).reshape(len(images), -1)


def pulsing_of(training: Training, seed: int) -> Pulsing:
    """What `[training.pulses]` and `[training.images]` state."""
    pulses = training.pulses
    images = training.images
    return Pulsing(
        rule=pulses.rule,
        rate=images.rate or PULSE_RATE,
        batch=images.batch,
        epochs=images.epochs,
        train=pulses.train,
        least=pulses.least,
        most=pulses.most,
        weight_range=pulses.weight_range,
        seed=seed,
        heat=_heat_of(pulses),
        divider=_divider_of(pulses),
        half_select=pulses.half_select,
    )


def _heat_of(pulses: Pulses) -> Heat | None:
    stated = pulses.heat
    if not stated.gain:
        return None
    return Heat(stated.gain, stated.decay_s, stated.interval_s, stated.heating_pulse)


def _divider_of(pulses: Pulses) -> Divider | None:
    stated = pulses.divider
    if not stated.up_ohm and not stated.down_ohm:
        return None
    return Divider(stated.up_ohm, stated.down_ohm, stated.voltage_v, stated.slope_v)
