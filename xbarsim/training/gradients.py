"""Forward and backward pass of a network of images, step by step of its config.json.

Every step gives its output and a function that takes the gradient of the loss by this output back to
one by its input, and notes those by its tensors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from xbarsim.base.array_types import Floats, Integers, Singles
from xbarsim.models.image_config import (
    BatchNorm,
    Convolution,
    Dense,
    ImageConfig,
    Pooling,
    Relu,
    Residual,
    Stated,
)
from xbarsim.models.image_operations import kernel_matrix, padded, patches
from xbarsim.models.quantised_weights import Weights, rounded

Tensors = Mapping[str, Singles]  # by PyTorch's names, with its axes
Back = Callable[[Singles], Singles]
MOMENTUM = 0.1  # share of a batch in the running statistics of a batch norm


class WeightForm(Protocol):
    """What becomes of the weights (outputs, inputs) of a matrix before they multiply."""

    def __call__(self, name: str, weight: Singles) -> Singles:
        """The weights that multiply."""

    def gradient(self, name: str, gradient: Singles) -> Singles:
        """The gradient by the weights that are kept, of that by those that multiply."""


@dataclass(frozen=True)
class Rounded:
    """Binary or ternary weights; the gradient goes straight through."""

    kind: str = Weights.FLOAT

    def __call__(self, name: str, weight: Singles) -> Singles:
        return rounded(weight, self.kind).astype(np.float32)

    def gradient(self, name: str, gradient: Singles) -> Singles:
        return gradient


@dataclass
class Pass:
    """One batch on its way through a network, and back.

    gradients : {tensor: of the loss}, filled by `back`
    statistics : {tensor: running mean or variance after this batch} of batch norms
    """

    config: ImageConfig
    tensors: Tensors
    form: WeightForm
    outputs: list[Singles] = field(default_factory=list)
    backs: list[Back] = field(default_factory=list)
    gradients: dict[str, Singles] = field(default_factory=dict)
    statistics: dict[str, Singles] = field(default_factory=dict)

    def forward(self, images: Singles) -> Singles:
        """Values (b, classes) of normalised images (b, height, width, channels)."""
        self.outputs = [images]
        for stated in self.config.file.steps:
            output, back = self._step(stated)
            self.outputs.append(output)
            self.backs.append(back)
        return self.outputs[-1]

    def back(self, gradient: Singles) -> None:
        """Fill `gradients` from the one by the values of `forward`."""
        by_output: list[Singles | None] = [None] * len(self.outputs)
        by_output[-1] = gradient
        for place in reversed(range(len(self.backs))):
            arrived = by_output[place + 1]
            if arrived is None:
                continue
            stated = self.config.file.steps[place]
            if isinstance(stated, Residual):
                _add(by_output, stated.of + 1, arrived)
            _add(by_output, place, self.backs[place](arrived))

    def _step(self, stated: Stated) -> tuple[Singles, Back]:
        x = self.outputs[-1]
        if isinstance(stated, Dense):
            return self._dense(stated.name, x)
        if isinstance(stated, Convolution):
            return self._convolution(stated, x)
        if isinstance(stated, BatchNorm):
            return self._batch_norm(stated, x)
        if isinstance(stated, Relu):
            return np.maximum(x, 0), lambda gradient: gradient * (x > 0)
        if isinstance(stated, Pooling):
            return _pooling(stated, x)
        return x + self.outputs[stated.of + 1], lambda gradient: gradient

    def _dense(self, name: str, x: Singles) -> tuple[Singles, Back]:
        values = x if x.ndim == 2 else x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        weight = self.form(name, self.tensors[f"{name}.weight"])

        def back(gradient: Singles) -> Singles:
            self._note(name, gradient.T @ values, gradient)
            by_values: Singles = gradient @ weight
            if x.ndim == 2:
                return by_values
            channel_first = by_values.reshape(len(x), x.shape[3], *x.shape[1:3])
            return channel_first.transpose(0, 2, 3, 1)

        return values @ weight.T + self._bias(name, len(weight)), back

    def _convolution(self, stated: Convolution, x: Singles) -> tuple[Singles, Back]:
        kept = self.tensors[f"{stated.name}.weight"]
        formed = self.form(stated.name, kept.reshape(len(kept), -1)).reshape(kept.shape)
        weight = kernel_matrix(formed, stated.groups)
        images = padded(x, stated.padding)
        rows = patches(images, stated.kernel, stated.kernel, stated.stride)
        output = rows @ weight.T + self._bias(stated.name, len(kept))

        def back(gradient: Singles) -> Singles:
            flat = gradient.reshape(-1, len(kept))
            whole = flat.T @ rows.reshape(len(flat), -1)
            self._note(stated.name, _kernel_gradient(whole, kept, stated.groups), flat)
            return _patches_back(gradient @ weight, images, stated)

        return output, back

    def _batch_norm(self, stated: BatchNorm, x: Singles) -> tuple[Singles, Back]:
        name = stated.name
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axis=axes)
        variance = x.var(axis=axes)
        scale = 1 / np.sqrt(variance + np.float32(stated.epsilon))
        normalised = (x - mean) * scale
        weight = self.tensors[f"{name}.weight"]
        for what, now in (("running_mean", mean), ("running_var", variance)):
            before = self.tensors[f"{name}.{what}"]
            self.statistics[f"{name}.{what}"] = before + np.float32(MOMENTUM) * (now - before)

        def back(gradient: Singles) -> Singles:
            self.gradients[f"{name}.weight"] = (gradient * normalised).sum(axis=axes)
            self.gradients[f"{name}.bias"] = gradient.sum(axis=axes)
            by_normalised = gradient * weight
            along = (by_normalised * normalised).mean(axis=axes)
            centred = by_normalised - by_normalised.mean(axis=axes) - normalised * along
            found: Singles = centred * scale
            return found

        return normalised * weight + self.tensors[f"{name}.bias"], back

    def _bias(self, name: str, outputs: int) -> Singles:
        return self.tensors.get(f"{name}.bias", np.zeros(outputs, np.float32))

    def _note(self, name: str, by_weight: Singles, by_output: Singles) -> None:
        """Gradients of a matrix; by_output (t, outputs)"""
        rows = by_weight.reshape(len(by_weight), -1)
        kept = self.form.gradient(name, rows)
        self.gradients[f"{name}.weight"] = kept.reshape(by_weight.shape)
        if f"{name}.bias" in self.tensors:
            self.gradients[f"{name}.bias"] = by_output.sum(axis=0)


def _add(gradients: list[Singles | None], place: int, gradient: Singles) -> None:
    before = gradients[place]
    gradients[place] = gradient if before is None else before + gradient


def _kernel_gradient(whole: Singles, kept: Singles, groups: int) -> Singles:
    """(channels, inputs / groups, kernel, kernel) of a gradient laid out as `kernel_matrix`."""
    channels, of_group, height, width = kept.shape
    by_pixel = whole.reshape(channels, height, width, of_group * groups)
    per_group = channels // groups
    found = np.empty(kept.shape, np.float32)
    for group in range(groups):
        outputs = slice(group * per_group, (group + 1) * per_group)
        inputs = slice(group * of_group, (group + 1) * of_group)
        found[outputs] = by_pixel[outputs, :, :, inputs].transpose(0, 3, 1, 2)
    return found


def _patches_back(gradient: Singles, images: Singles, stated: Convolution) -> Singles:
    """Gradients (b, rows, columns, kernel * kernel * channels) of patches, added up by pixel; those of
    padding are left out."""
    b, rows, columns, _ = gradient.shape
    kernel = stated.kernel
    stride = stated.stride
    by_pixel = gradient.reshape(b, rows, columns, kernel, kernel, images.shape[3])
    total = np.zeros(images.shape, np.float32)
    for down in range(kernel):
        for across in range(kernel):
            down_to = slice(down, down + rows * stride, stride)
            across_to = slice(across, across + columns * stride, stride)
            total[:, down_to, across_to] += by_pixel[:, :, :, down, across]
    inside = slice(stated.padding, -stated.padding or None)
    return total[:, inside, inside]


def _pooling(stated: Pooling, x: Singles) -> tuple[Singles, Back]:
    b, height, width, channels = x.shape
    size = stated.size
    windows = x.reshape(b, height // size, size, width // size, size, channels)
    if stated.kind == "average_pooling":
        output = windows.mean(axis=(2, 4), dtype=np.float32)
        share = np.full(windows.shape, 1 / size**2, np.float32)
    else:
        output = windows.max(axis=(2, 4))
        is_largest = windows == output[:, :, None, :, None]
        share = is_largest / is_largest.sum(axis=(2, 4), keepdims=True, dtype=np.float32)

    def back(gradient: Singles) -> Singles:
        found: Singles = (share * gradient[:, :, None, :, None]).reshape(x.shape)
        return found

    return output, back


def cross_entropy(values: Singles, classes: Integers) -> tuple[float, Singles]:
    """Mean loss of values (b, k) for classes (b,), and its gradient by them."""
    shifted: Floats = values.astype(np.float64) - values.max(axis=1, keepdims=True)
    likelihood = np.exp(shifted)
    total = likelihood.sum(axis=1, keepdims=True)
    rows = np.arange(len(values))
    loss = float((np.log(total[:, 0]) - shifted[rows, classes]).mean())
    gradient = likelihood / total
    gradient[rows, classes] -= 1
    return loss, (gradient / len(values)).astype(np.float32)
