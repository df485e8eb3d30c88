"""Multilayer perceptrons and convolutional networks in NumPy, on the list of steps.

An image enters as its grey values, 0 to 255, one after the other: what is a token list of other
networks.  A dense step has one row of inputs per image, a convolution one per output position
(im2col), or one per sub-image, whose output positions an array then makes at once.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xbarsim.base.array_types import AnyArray, Booleans, Integers, Singles
from xbarsim.base.errors import ShapeError
from xbarsim.models.graph import INPUT, Graph, Kind, Link, Role, Step, prefix_of
from xbarsim.models.image_config import (
    Convolution,
    Dense,
    ImageConfig,
    Pooling,
    Relu,
    Residual,
    Shape,
)
from xbarsim.models.image_layers import (
    ConvolutionLayer,
    DenseLayer,
    Layer,
    PoolingLayer,
    ReluLayer,
    Sum,
    Unchanged,
)
from xbarsim.models.image_operations import Window, repeated_kernel
from xbarsim.models.operations import Hook, float32

GREY_LEVELS = 255
Matrix = tuple[Singles, Singles]  # weight (outputs, inputs), bias (outputs,)


class ImageNetwork:
    """A network that gives an image one value per class.

    matrices : {name in config.json: matrix}, batch norms folded in, kernels as
        `image_operations.kernel_matrix` lays them out
    sub_image_rows : word lines that the pixels of a sub-image of a convolution may take; None for
        im2col
    """

    head = None

    def __init__(
        self,
        config: ImageConfig,
        matrices: Mapping[str, Matrix],
        sub_image_rows: int | None = None,
        *,
        sha256: str = "",
        path: Path | None = None,
    ) -> None:
        self.config = config
        self.sha256 = sha256
        self.path = path
        self.layers = _Builder(config, matrices, sub_image_rows).layers
        steps = tuple(layer.step for layer in self.layers if layer.step is not None)
        self.graph = Graph(steps, config.max_tokens)
        self._matrices: dict[str, Matrix] = {}
        for layer in self.layers:
            if isinstance(layer, (DenseLayer, ConvolutionLayer)):
                self._matrices[layer.step.name] = layer.weight, layer.bias

    def matrix(self, name: str) -> Matrix:
        """(weight (outputs, inputs), bias (outputs,)) of a step of the graph."""
        return self._matrices[name]

    def forward(self, token_ids: Integers, mask: Booleans, hook: Hook = float32) -> Singles:
        """Values (b, classes) of images whose grey values are token_ids (b, height * width *
        channels); there is no padding, so `mask` is True everywhere.

        Raises
        ------
        ShapeError : images of another size
        """
        return self.classify(normalised(self.config, token_ids), hook)

    def classify(self, images: Singles, hook: Hook = float32) -> Singles:
        """Values (b, classes) of normalised images (b, height, width, channels)."""
        outputs = [images]
        for layer in self.layers:
            outputs.append(layer(outputs, hook))
        return outputs[-1]


def normalised(config: ImageConfig, pixels: AnyArray) -> Singles:
    """Images (b, height, width, channels) as a network reads them, of grey values (b, n).

    Raises
    ------
    ShapeError : images of another size
    """
    file = config.file
    if pixels.shape[1] != config.max_tokens:
        height, width, channels = file.image
        raise ShapeError(
            f"images of {pixels.shape[1]} grey values; the network reads {height} x {width} "
            f"pixels of {channels}"
        )
    shares = pixels.astype(np.float32) / np.float32(GREY_LEVELS)
    images = (shares - np.float32(file.mean)) / np.float32(file.deviation)
    return images.reshape(-1, *file.image)


class _Builder:
    """Makes layers of the steps of a config.json, and their steps of the graph.

    links : what holds the output of every entry so far, the images first
    """

    def __init__(
        self,
        config: ImageConfig,
        matrices: Mapping[str, Matrix],
        sub_image_rows: int | None,
    ) -> None:
        self.config = config
        self.matrices = matrices
        self.sub_image_rows = sub_image_rows
        self.number: int | None = None  # of the matrix that was last built
        self.layers: list[Layer] = []
        self.links: list[tuple[Link, ...]] = [(Link(INPUT),)]
        for place in range(len(config.file.steps)):
            layer = self._layer(place)
            self.layers.append(layer)
            self.links.append(self._links_after(layer))

    def _layer(self, place: int) -> Layer:
        stated = self.config.file.steps[place]
        before = self.config.shape_before(place)
        if isinstance(stated, Dense):
            weight, bias = self.matrices[stated.name]
            return DenseLayer(self._matrix_step(Role.DENSE, weight), weight, bias)
        if isinstance(stated, Convolution):
            return self._convolution(stated, before, self.config.shapes[place])
        if isinstance(stated, Relu):
            return ReluLayer(self._function(Kind.ACTIVATION, Role.ACTIVATION, before, before))
        if isinstance(stated, Pooling):
            after = self.config.shapes[place]
            return PoolingLayer(self._function(Kind.POOLING, Role.POOLING, before, after), stated)
        if isinstance(stated, Residual):
            return Sum(stated.of + 1)
        return Unchanged()

    def _links_after(self, layer: Layer) -> tuple[Link, ...]:
        if layer.step is not None:
            return (Link(layer.step.name),)
        if isinstance(layer, Sum):
            return tuple(dict.fromkeys(self.links[-1] + self.links[layer.of]))
        return self.links[-1]

    def _convolution(self, stated: Convolution, before: Shape, after: Shape) -> ConvolutionLayer:
        weight, bias = self.matrices[stated.name]
        window = Window.of(1, stated.kernel, stated.stride)
        if self.sub_image_rows is not None:
            window = Window.largest(
                self.sub_image_rows,
                channels=before[2],
                kernel=stated.kernel,
                stride=stated.stride,
                most=max(after[:2]),
            )
        across = [-(-side // window.outputs) for side in after[:2]]
        whole = repeated_kernel(weight, stated.kernel, stated.stride, window)
        step = self._matrix_step(Role.CONVOLUTION, whole, rows=across[0] * across[1])
        return ConvolutionLayer(step, whole, np.tile(bias, window.outputs**2), stated, window)

    def _matrix_step(self, role: Role, weight: Singles, rows: int = 1) -> Step:
        self.number = 0 if self.number is None else self.number + 1
        outputs, inputs = weight.shape
        return self._step(Kind.MATRIX, role, inputs=inputs, outputs=outputs, rows=rows)

    def _function(self, kind: Kind, role: Role, before: Shape, after: Shape) -> Step:
        """A step of every value of a pixel."""
        positions = 1
        for side in after[:-1]:
            positions *= side
        return self._step(kind, role, inputs=before[-1], outputs=after[-1], rows=positions)

    def _step(self, kind: Kind, role: Role, *, inputs: int, outputs: int, rows: int) -> Step:
        return Step(
            name=prefix_of(self.number) + role,
            kind=kind,
            role=role,
            layer=self.number,
            inputs=inputs,
            outputs=outputs,
            copies=1,
            second=0,
            after=self.links[-1],
            rows=rows,
        )
