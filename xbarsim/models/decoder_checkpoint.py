"""Decoder checkpoints: a Hugging Face directory becomes a `DecoderModel`."""

from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_types import Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.models.checkpoint import read_table
from xbarsim.models.decoder import DecoderConfig, DecoderModel, graph_of_decoder
from xbarsim.models.families import FAMILIES, Family
from xbarsim.models.graph import Kind
from xbarsim.models.operations import Norm
from xbarsim.models.tensor_files import read_safetensors

Weights = dict[str, Singles]


def load_decoder(directory: str | Path) -> DecoderModel:
    """Read a Hugging Face directory of a decoder.

    Raises
    ------
    CheckpointError : a file is missing or damaged; the architecture, or a setting of it, is not
        built; a tensor is missing, left over, not finite or of another shape than config.json says
    """
    directory = Path(directory)
    path = directory / "config.json"
    raw = read_table(path)
    family = FAMILIES.get(str(raw.get("model_type")))
    if family is None:
        raise CheckpointError(
            f"{path}: model_type is {raw.get('model_type')!r}, supported decoders are "
            f"{', '.join(FAMILIES)}"
        )
    config = family.config(path, raw)
    tensors, sha256 = read_safetensors(directory)
    weights = _named(directory, family, config, tensors)
    return DecoderModel(config, checked_weights(directory, config, weights), sha256, directory)


def _named(directory: Path, family: Family, config: DecoderConfig, tensors: Weights) -> Weights:
    """Tensors under our names; what is left over is an error."""
    left: Weights = {}
    for name, tensor in tensors.items():
        if not name.endswith(family.buffers or ("\0",)):
            short = _without_prefix(name, family.prefixes)
            if short in left:
                raise CheckpointError(f"{directory}: two copies of the tensor {short!r}")
            left[short] = tensor
    weights: Weights = {}
    for ours, theirs in family.whole.items():
        _take(left, weights, ours, theirs)
    for layer in range(config.layers):
        start = family.layers.format(i=layer)
        for ours, theirs in family.layer.items():
            _take(left, weights, f"layer.{layer}.{ours}", f"{start}.{theirs}")
        for theirs, parts in family.fused:
            _take_parts(left, weights, layer, f"{start}.{theirs}", parts)
        _transpose(weights, layer, family.transposed)
    for name in ("embeddings.word", "embeddings.position"):
        if f"{name}.weight" in weights:
            weights[name] = weights.pop(f"{name}.weight")
    if left:
        raise CheckpointError(
            f"{directory}: {len(left)} tensors have no place in {config.architecture} with "
            f"{config.layers} layers, {next(iter(left))!r} for example; the weights belong to another "
            "config.json"
        )
    return weights


def _without_prefix(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _take(left: Weights, weights: Weights, ours: str, theirs: str) -> None:
    for part in ("weight", "bias"):
        tensor = left.pop(f"{theirs}.{part}", None)
        if tensor is not None:
            weights[f"{ours}.{part}"] = tensor


def _take_parts(
    left: Weights, weights: Weights, layer: int, theirs: str, parts: tuple[str, ...]
) -> None:
    """One tensor that holds several, side by side in its last axis."""
    for part in ("weight", "bias"):
        tensor = left.pop(f"{theirs}.{part}", None)
        if tensor is not None:
            for name, piece in zip(parts, np.split(tensor, len(parts), axis=-1), strict=True):
                weights[f"layer.{layer}.{name}.{part}"] = np.ascontiguousarray(piece)


def _transpose(weights: Weights, layer: int, names: frozenset[str]) -> None:
    for name in names:
        key = f"layer.{layer}.{name}.weight"
        if key in weights:
            weights[key] = np.ascontiguousarray(weights[key].T)


def checked_weights(path: Path, config: DecoderConfig, weights: Weights) -> Weights:
    """The weights with a tied output matrix filled in, all that the configuration asks for and no
    other.

    Raises
    ------
    CheckpointError : a tensor is missing or has another shape
    """
    if "logits.weight" not in weights and config.tied and "embeddings.word" in weights:
        weights = weights | {"logits.weight": weights["embeddings.word"]}
    expected = expected_shapes(config)
    for name, shape in expected.items():
        tensor = weights.get(name)
        if tensor is None:
            raise CheckpointError(
                f"{path}: {name!r} is missing, which {config.architecture} with {config.layers} layers "
                "needs; the file is incomplete or belongs to another configuration"
            )
        if tensor.shape != shape:
            raise CheckpointError(
                f"{path}: {name!r} has shape {tensor.shape}, the configuration asks for {shape}"
            )
    for name, tensor in weights.items():
        if name in expected:
            continue
        matrix = expected.get(name.removesuffix(".bias") + ".weight")
        without_bias = config.norm is Norm.RMS and matrix is not None and len(matrix) == 1
        if matrix is None or without_bias or tensor.shape != matrix[:1]:
            raise CheckpointError(
                f"{path}: {name!r} of shape {tensor.shape} has no place in the model"
            )
    return weights


def expected_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """{our name: shape} of every weight that a configuration needs; biases of matrices may be
    absent.
    """
    hidden = config.hidden
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word": (config.vocabulary, hidden),
    }
    if config.rotary is None:
        shapes["embeddings.position"] = (config.positions + config.position_offset, hidden)
    for step in graph_of_decoder(config).steps:
        if step.kind is Kind.MATRIX:
            shapes[f"{step.name}.weight"] = (step.outputs, step.inputs)
        elif step.kind is Kind.NORM:
            shapes[f"{step.name}.weight"] = (hidden,)
    return shapes


def load_decoder_tokenizer(directory: str | Path) -> Any:
    """The `tokenizers.Tokenizer` of a directory, from `tokenizer.json`.

    Raises
    ------
    CheckpointError : it is missing, or no tokenizer
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise CheckpointError(
            "tokenizers of models need tokenizers: pip install 'xbarsim[bert]'"
        ) from None
    path = Path(directory) / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{path}: file is missing; copy it next to the model's weights")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(
            f"{path}: not a tokenizer that can be read ({error}); fetch the file again"
        ) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
