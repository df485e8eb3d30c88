"""What an image network does, step by step: each of its layers calls the hook for its step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xbarsim.base.array_types import Integers, Singles
from xbarsim.models.graph import Step
from xbarsim.models.image_config import Convolution, Pooling
from xbarsim.models.image_operations import Window, largest_of, mean_of, padded, patches
from xbarsim.models.operations import Hook, linear, relu


class Layer(Protocol):
    """One entry of config.json.

    step : of the graph, None of what is none: a sum, or what was folded away
    """

    @property
    def step(self) -> Step | None: ...

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        """What it makes of the outputs of all before it, the images first."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """A batch norm that is folded into the matrix before it."""

    step: None = None

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        return outputs[-1]


@dataclass(frozen=True)
class Sum:
    """Adds the output of an earlier layer; of : its place, 0 being the images"""

    of: int
    step: None = None

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        return outputs[-1] + outputs[self.of]


@dataclass(frozen=True)
class DenseLayer:
    """One row of inputs per image; weight (outputs, inputs), bias (outputs,)"""

    step: Step
    weight: Singles
    bias: Singles

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        x = flat(outputs[-1])
        return hook(self.step, linear, x, self.weight, self.bias, rows=rows_of(len(x)))


@dataclass(frozen=True)
class ConvolutionLayer:
    """One row of inputs for every sub-image; of im2col that is what one kernel reads.

    weight : (outputs² * channels, pixels² * inputs), bias likewise, of `image_operations.repeated_kernel`
    """

    step: Step
    weight: Singles
    bias: Singles
    stated: Convolution
    window: Window

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        images = padded(outputs[-1], self.stated.padding)
        b, height, width, _ = images.shape
        rows = (height - self.stated.kernel) // self.stated.stride + 1
        columns = (width - self.stated.kernel) // self.stated.stride + 1
        side = self.window.outputs
        down = -(-rows // side)
        across = -(-columns // side)
        made = hook(
            self.step,
            linear,
            self._sub_images(images, down, across),
            self.weight,
            self.bias,
            rows=rows_of(b, down * across),
        )
        blocks = made.reshape(b, down, across, side, side, -1)
        whole = blocks.swapaxes(2, 3).reshape(b, down * side, across * side, -1)
        return whole[:, :rows, :columns]

    def _sub_images(self, images: Singles, down: int, across: int) -> Singles:
        """(b * down * across, pixels² * inputs); what lies beyond the image is 0."""
        step = self.window.outputs * self.stated.stride
        needed = ((down - 1) * step + self.window.pixels, (across - 1) * step + self.window.pixels)
        below = max(needed[0] - images.shape[1], 0)
        beside = max(needed[1] - images.shape[2], 0)
        images = np.pad(images, ((0, 0), (0, below), (0, beside), (0, 0)))
        found = patches(images, self.window.pixels, self.window.pixels, step)
        return np.ascontiguousarray(found[:, :down, :across]).reshape(-1, found.shape[-1])


@dataclass(frozen=True)
class ReluLayer:
    """Of every value; one row per pixel, or per image."""

    step: Step

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        x = outputs[-1]
        values = x.reshape(-1, x.shape[-1])
        rows = rows_of(len(x), len(values) // len(x))
        return hook(self.step, relu, values, rows=rows).reshape(x.shape)


@dataclass(frozen=True)
class PoolingLayer:
    """Windows of an image become pixels, one row for each of these."""

    step: Step
    stated: Pooling

    def __call__(self, outputs: Sequence[Singles], hook: Hook) -> Singles:
        x = outputs[-1]
        b, height, width, channels = x.shape
        size = self.stated.size
        reduced = largest_of if self.stated.kind == "max_pooling" else mean_of

        def reference(images: Singles) -> Singles:
            return reduced(images, size).reshape(-1, channels)

        positions = (height // size) * (width // size)
        found = hook(self.step, reference, x, rows=rows_of(b, positions))
        return found.reshape(b, height // size, width // size, channels)


def flat(x: Singles) -> Singles:
    """(b, values) of images, channel by channel; values as they are."""
    if x.ndim == 2:
        return x
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)


def rows_of(images: int, positions: int = 1) -> Integers:
    """(images * positions, 2): (image, position) of every row of inputs."""
    return np.argwhere(np.ones((images, positions), bool))
