"""Training of networks of images, epoch by epoch: what all methods are, and backpropagation in floating
point.
"""

from typing import Any, Protocol

from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.base.errors import ConfigError
from xbarsim.base.progress import Done
from xbarsim.config.training import Training
from xbarsim.training.fit import Fit, Schedule
from xbarsim.training.image_material import ImageMaterial
from xbarsim.training.states import State, restore_rng, rng_state

ADAM_RATE = 2e-3


class Trainer(Protocol):
    """A training that is taken epoch by epoch."""

    epochs: int

    @property
    def losses(self) -> list[float]:
        """Mean of every epoch that is done."""

    def epoch(self, done: Done) -> None:
        """Show every image once."""

    def state(self) -> State:
        """What must be kept to go on."""

    def restore(self, state: State) -> None:
        """Go on from there."""

    def tensors(self) -> dict[str, Singles]:
        """Of the network as it is, for `image_checkpoint.save_image_network`."""

    def facts(self) -> dict[str, Any]:
        """What else there is to say, for JSON."""


class Backpropagation:
    """Adam in floating point."""

    def __init__(self, training: Training, material: ImageMaterial, seed: int) -> None:
        self.material = material
        self.images = material.images
        self.epochs = training.images.epochs
        schedule = schedule_of(training, self.epochs, seed)
        self.fit = Fit(material.config, schedule, len(material.training), tensors=material.tensors)

    @property
    def losses(self) -> list[float]:
        return self.fit.losses

    def epoch(self, done: Done) -> None:
        self.fit.epoch(self.images, self.material.classes, done)

    def state(self) -> State:
        return state_of_fit(self.fit)

    def restore(self, state: State) -> None:
        restore_fit(self.fit, state)

    def tensors(self) -> dict[str, Singles]:
        return self.fit.tensors

    def facts(self) -> dict[str, Any]:
        return {}


def schedule_of(training: Training, epochs: int, seed: int) -> Schedule:
    """Of some epochs of a training in floating point.

    Raises
    ------
    ConfigError : a rate that Adam cannot use
    """
    rate = training.images.rate or ADAM_RATE
    if rate >= 1:
        raise ConfigError(
            f"training.images.rate = {rate:g}; allowed are rates below 1 with Adam, which "
            f'training.method = "{training.method}" uses; {ADAM_RATE:g} if absent'
        )
    return Schedule(epochs=epochs, batch=training.images.batch, rate=rate, seed=seed)


def state_of_fit(fit: Fit) -> State:
    """What a fit needs to go on."""
    arrays: dict[str, AnyArray] = {}
    parts = {"tensor": fit.tensors, "first": fit.optimiser.first, "second": fit.optimiser.second}
    for what, named in parts.items():
        for name, values in named.items():
            arrays[f"{what}/{name}"] = values
    numbers = {"done": fit.optimiser.done, "rng": rng_state(fit.rng), "losses": fit.losses}
    return State(arrays, numbers)


def restore_fit(fit: Fit, state: State) -> None:
    """Put a fit where another one was."""
    parts = {"tensor": fit.tensors, "first": fit.optimiser.first, "second": fit.optimiser.second}
    for path, values in state.arrays.items():
        what, _, name = path.partition("/")
        parts[what][name] = values
    fit.optimiser.done = state.numbers["done"]
    fit.losses = list(state.numbers["losses"])
    restore_rng(fit.rng, state.numbers["rng"])
