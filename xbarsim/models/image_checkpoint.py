"""Image networks in files: config.json and model.safetensors of a directory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_types import Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.base.files import replacing
from xbarsim.models.image_config import (
    BatchNorm,
    Convolution,
    Dense,
    ImageConfig,
    image_config,
    read_image_config,
)
from xbarsim.models.image_network import ImageNetwork, Matrix
from xbarsim.models.image_operations import kernel_matrix
from xbarsim.models.quantised_weights import rounded
from xbarsim.models.tensor_files import Tensors, read_safetensors

COUNTERS = "num_batches_tracked"  # which PyTorch keeps beside the statistics of a batch norm


def load_image_network(directory: str | Path, sub_image_rows: int | None = None) -> ImageNetwork:
    """Read a network of a directory.

    sub_image_rows : see `ImageNetwork`

    Raises
    ------
    CheckpointError : a file that is missing or damaged, a tensor that is missing, left over or of
        another shape than config.json asks for
    """
    directory = Path(directory)
    config = read_image_config(directory)
    found, sha256 = read_safetensors(directory)
    tensors = Tensors(directory, "an image network", dict(found))
    matrices = matrices_of(config, tensors)
    left = {name for name in tensors.unused() if not name.endswith(COUNTERS)}
    if left:
        raise CheckpointError(
            f"{directory}: tensor {min(left)!r} belongs to no step of config.json; the two files do "
            "not belong together"
        )
    return ImageNetwork(config, matrices, sub_image_rows, sha256=sha256, path=directory)


def network_of(content: Mapping[str, Any], tensors: Mapping[str, Singles]) -> ImageNetwork:
    """The network of the content of a config.json and of tensors in memory; errors as of
    `load_image_network`."""
    config = image_config(dict(content))
    named = Tensors(Path("tensors"), "an image network", dict(tensors))
    return ImageNetwork(config, matrices_of(config, named))


def matrices_of(config: ImageConfig, tensors: Tensors) -> dict[str, Matrix]:
    """{name: matrix} with weights rounded as config.json states and batch norms folded in."""
    matrices: dict[str, Matrix] = {}
    name = ""
    for place, stated in enumerate(config.file.steps):
        before = config.shape_before(place)
        if isinstance(stated, Dense):
            name = stated.name
            shape: tuple[int, ...] = (stated.outputs, int(np.prod(before)))
            weight = tensors.take(f"{name}.weight", shape, len(config.shapes))
            matrices[name] = _with_bias(config, tensors, name, weight)
        elif isinstance(stated, Convolution):
            name = stated.name
            of_group = before[2] // stated.groups
            shape = (stated.channels, of_group, stated.kernel, stated.kernel)
            weight = tensors.take(f"{name}.weight", shape, len(config.shapes))
            weight = _rounded(config, weight)
            whole = kernel_matrix(weight, stated.groups)
            matrices[name] = whole, _bias(config, tensors, name, stated.channels)
        elif isinstance(stated, BatchNorm):
            matrices[name] = _folded(config, stated, tensors, matrices[name])
    return matrices


def _with_bias(config: ImageConfig, tensors: Tensors, name: str, weight: Singles) -> Matrix:
    return _rounded(config, weight), _bias(config, tensors, name, len(weight))


def _rounded(config: ImageConfig, weight: Singles) -> Singles:
    """Of any shape whose first axis is that of the outputs."""
    by_output = rounded(weight.reshape(len(weight), -1), config.file.weights)
    return by_output.reshape(weight.shape).astype(np.float32)


def _bias(config: ImageConfig, tensors: Tensors, name: str, outputs: int) -> Singles:
    """A matrix may have none."""
    if f"{name}.bias" not in tensors.tensors:
        return np.zeros(outputs, np.float32)
    return tensors.take(f"{name}.bias", (outputs,), len(config.shapes))


def _folded(config: ImageConfig, stated: BatchNorm, tensors: Tensors, matrix: Matrix) -> Matrix:
    """A matrix and the batch norm after it as one."""
    weight, bias = matrix
    shape = (len(bias),)

    def take(what: str) -> Singles:
        return tensors.take(f"{stated.name}.{what}", shape, len(config.shapes))

    variance = take("running_var")
    if (variance < 0).any():
        raise CheckpointError(
            f"{tensors.path}: tensor '{stated.name}.running_var' holds a negative variance; the file "
            "is damaged"
        )
    scale = take("weight") / np.sqrt(variance + np.float32(stated.epsilon))
    shifted = take("bias") + scale * (bias - take("running_mean"))
    return scale[:, None] * weight, shifted


def save_image_network(
    directory: str | Path, content: Mapping[str, Any], tensors: Mapping[str, Singles]
) -> Path:
    """Write config.json of its content and model.safetensors of tensors with PyTorch's names and
    axes; returns the directory.

    Raises
    ------
    CheckpointError : tensors that are not those of the content, which then are not written
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise CheckpointError(
            "weights of models need safetensors: pip install 'xbarsim[bert]'"
        ) from None
    directory = Path(directory)
    network_of(content, tensors)
    directory.mkdir(parents=True, exist_ok=True)
    written = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
    with replacing(directory / "model.safetensors", "wb") as file:
        file.write(save(written))
    with replacing(directory / "config.json") as file:
        file.write(json.dumps(dict(content), indent=2) + "\n")
    return directory
