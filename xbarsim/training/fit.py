"""Training in floating point: Adam (Kingma & Ba, 2015) with a rate that falls to 0 as a cosine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.base.array_types import Bytes, Integers, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.progress import Done, Progress, silent
from xbarsim.kernels.training.adam import adam_step
from xbarsim.models.image_checkpoint import network_of
from xbarsim.models.image_config import BatchNorm, Convolution, Dense, ImageConfig, image_config
from xbarsim.models.image_network import ImageNetwork, normalised
from xbarsim.training.gradients import Pass, Rounded, WeightForm, cross_entropy

FIRST_MOMENT = 0.9
SECOND_MOMENT = 0.999
SMALLEST = 1e-8  # added to the root of the second moment


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; rate : of the first step"""

    epochs: int = 5
    batch: int = 64
    rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch < 1 or not 0 < self.rate < 1:
            raise OutOfRangeError(
                f"epochs = {self.epochs}, batch = {self.batch}, rate = {self.rate:g}; allowed are 0 or "
                "more epochs, batches of 1 or more, rates between 0 and 1"
            )


SHORT = Schedule()


@dataclass(frozen=True)
class Trained:
    """A network after training.

    content : of its config.json;  tensors : for `image_checkpoint.save_image_network`
    losses : mean of every epoch
    """

    content: Mapping[str, Any]
    tensors: dict[str, Singles]
    losses: tuple[float, ...]

    def network(self) -> ImageNetwork:
        """What classifies."""
        return network_of(self.content, self.tensors)


def initial_tensors(config: ImageConfig, seed: int = 0) -> dict[str, Singles]:
    """Weights of variance 2 / inputs (He et al., 2015), biases 0, batch norms that change nothing."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Singles] = {}
    channels = 0
    for place, stated in enumerate(config.file.steps):
        before = config.shape_before(place)
        if isinstance(stated, Dense):
            channels = stated.outputs
            shape: tuple[int, ...] = (channels, int(np.prod(before)))
        elif isinstance(stated, Convolution):
            channels = stated.channels
            shape = (channels, before[2] // stated.groups, stated.kernel, stated.kernel)
        elif isinstance(stated, BatchNorm):
            tensors[f"{stated.name}.weight"] = np.ones(channels, np.float32)
            tensors[f"{stated.name}.bias"] = np.zeros(channels, np.float32)
            tensors[f"{stated.name}.running_mean"] = np.zeros(channels, np.float32)
            tensors[f"{stated.name}.running_var"] = np.ones(channels, np.float32)
            continue
        else:
            continue
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weight = deviation * rng.standard_normal(shape)
        tensors[f"{stated.name}.weight"] = weight.astype(np.float32)
        tensors[f"{stated.name}.bias"] = np.zeros(channels, np.float32)
    return tensors


class Adam:
    """Steps of tensors along their gradients; it keeps both moments of each."""

    def __init__(self, rate: float, steps: int) -> None:
        """steps : after which the rate has fallen to 0"""
        self.rate = rate
        self.steps = steps
        self.done = 0
        self.first: dict[str, Singles] = {}
        self.second: dict[str, Singles] = {}

    def step(self, tensors: dict[str, Singles], gradients: Mapping[str, Singles]) -> None:
        """Change the tensors that have a gradient."""
        rate = float(self.rate * 0.5 * (1 + np.cos(np.pi * self.done / self.steps)))
        self.done += 1
        for name, gradient in gradients.items():
            flat = np.ascontiguousarray(gradient, np.float32).ravel()
            if name not in self.first:
                self.first[name] = np.zeros(gradient.shape, np.float32)
                self.second[name] = np.zeros(gradient.shape, np.float32)
            changed = adam_step(
                np.ascontiguousarray(tensors[name]).ravel(),
                flat,
                self.first[name].ravel(),
                self.second[name].ravel(),
                rate=rate,
                keep_first=FIRST_MOMENT,
                keep_second=SECOND_MOMENT,
                least=SMALLEST,
                bias_first=1 - FIRST_MOMENT**self.done,
                bias_second=1 - SECOND_MOMENT**self.done,
            )
            tensors[name] = changed.reshape(gradient.shape)


class Fit:
    """A network on its way through training.

    tensors : as they are;  optimiser, rng : what must be kept to go on;  losses : mean of every epoch
    """

    def __init__(
        self,
        config: ImageConfig,
        schedule: Schedule,
        images: int,
        form: WeightForm | None = None,
        tensors: Mapping[str, Singles] | None = None,
    ) -> None:
        """images : that it will see in an epoch; others as of `train`"""
        self.config = config
        self.form = Rounded(config.file.weights) if form is None else form
        if tensors is None:
            tensors = initial_tensors(config, schedule.seed)
        self.tensors = dict(tensors)
        self.batch = schedule.batch
        batches = -(-images // schedule.batch)
        self.optimiser = Adam(schedule.rate, max(batches * schedule.epochs, 1))
        self.rng = np.random.default_rng([schedule.seed, 1])
        self.losses: list[float] = []

    def epoch(self, images: Singles, classes: Integers, done: Done) -> None:
        """Show every normalised image once."""
        total = 0.0
        for chosen in _batches(self.rng, len(images), self.batch):
            one = Pass(self.config, self.tensors, self.form)
            loss, gradient = cross_entropy(one.forward(images[chosen]), classes[chosen])
            one.back(gradient)
            self.tensors |= one.statistics
            self.optimiser.step(self.tensors, one.gradients)
            total += loss * len(chosen)
            done(len(chosen))
        self.losses.append(total / len(images))


def train(
    content: Mapping[str, Any],
    pixels: Bytes,
    classes: Integers,
    schedule: Schedule = SHORT,
    *,
    form: WeightForm | None = None,
    tensors: Mapping[str, Singles] | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train a network on images.

    Parameters
    ----------
    content : of a config.json, see docs/images.md
    pixels : (n, height * width * channels) grey values 0 to 255
    classes : (n,) numbers of the network's labels
    form : what becomes of weights before they multiply; the rounding that config.json states if None
    tensors : to start from; drawn by the schedule's seed if None
    progress : told of the images of every batch

    Raises
    ------
    CheckpointError : content that is no network
    ShapeError, OutOfRangeError : images or classes that do not fit it
    """
    config = image_config(dict(content))
    if len(pixels) != len(classes) or not len(pixels):
        raise ShapeError(
            f"{len(pixels)} images with {len(classes)} classes; one for each is needed"
        )
    if classes.min() < 0 or classes.max() >= config.hidden:
        raise OutOfRangeError(
            f"classes from {classes.min()} to {classes.max()}; the network has outputs 0 to "
            f"{config.hidden - 1}"
        )
    fit = Fit(config, schedule, len(pixels), form, tensors)
    images = normalised(config, pixels)
    done = progress("training", schedule.epochs * len(images))
    for _ in range(schedule.epochs):
        fit.epoch(images, classes, done)
    return Trained(dict(content), fit.tensors, tuple(fit.losses))


def _batches(rng: np.random.Generator, images: int, size: int) -> Iterator[Integers]:
    """All images once, in a random order."""
    order = rng.permutation(images)
    for start in range(0, images, size):
        yield order[start : start + size]
