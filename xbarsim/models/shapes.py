"""Dimensions of models by name, of a checkpoint or of a trace, and the steps of their layers."""

import functools
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import describe, packaged
from xbarsim.config.tables import Table
from xbarsim.models.graph import Block, Step, Transformer, graph_of


class Shape(Table):
    """Dimensions of a model."""

    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    heads: int = Field(ge=1)
    intermediate: int = Field(ge=1)
    attention: Literal["bidirectional", "causal"] = "bidirectional"
    positions: int | None = Field(None, ge=1, description="longest sequence that the model takes")
    parameters: float | None = Field(
        None, gt=0, description="of the whole model, embeddings included"
    )
    source: str = ""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is not divisible by heads = {self.heads}")
        return self

    @property
    def matrix_weights(self) -> int:
        """Weights of the layers' matrices."""
        return sum(step.weights for step in operations(self, 1))


@functools.lru_cache(maxsize=64)
def operations(shape: Shape, sequence: int) -> tuple[Step, ...]:
    """Steps of the layers of one sequence in the order in which they run, as of a BERT."""
    layers = Transformer(
        layers=shape.layers,
        hidden=shape.hidden,
        heads=shape.heads,
        key_value_heads=shape.heads,
        head_width=shape.hidden // shape.heads,
        intermediate=shape.intermediate,
        block=Block.POST_NORM,
        causal=shape.attention == "causal",
        activation_name="gelu",
    )
    return graph_of(layers, sequence).steps


@functools.cache
def shapes() -> dict[str, Shape]:
    """{name: Shape} of data/models.toml."""
    return {name: Shape.model_validate(values) for name, values in packaged("models.toml").items()}


def load_shape(name_or_directory: str | Path) -> Shape:
    """Shape of a name in data/models.toml, or of a checkpoint directory (its config.json is all
    that is read).

    Raises
    ------
    ConfigError : neither, or a config.json without the dimensions
    """
    name = str(name_or_directory)
    if name in shapes():
        return shapes()[name]
    path = Path(name_or_directory) / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"no model {name!r}: it is neither a directory with a config.json nor one of "
            f"{', '.join(shapes())}"
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Shape(
            layers=raw["num_hidden_layers"],
            hidden=raw["hidden_size"],
            heads=raw["num_attention_heads"],
            intermediate=raw["intermediate_size"],
            positions=raw.get("max_position_embeddings"),
            source=str(path),
        )
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} does not state the dimensions of a BERT ({type(error).__name__}: {error})"
        ) from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from None


def shape_of_matrices(sizes: dict[str, tuple[int, int]], heads: int) -> Shape:
    """Shape of the traced matrices {"layer.0.query": (inputs, outputs), ...} with this many
    attention heads.

    Raises
    ------
    ConfigError : not the matrices of the layers of a BERT
    """
    try:
        hidden, intermediate = sizes["layer.0.intermediate"]
    except KeyError:
        raise ConfigError(
            "the trace lacks layer.0.intermediate: its matrices are not those of a BERT"
        ) from None

    def with_layers(layers: int) -> Shape:
        return Shape(
            layers=layers,
            hidden=hidden,
            heads=heads,
            intermediate=intermediate,
            source="matrices of the trace",
        )

    per_layer = len(_matrix_sizes(with_layers(1)))
    shape = with_layers(max(1, len(sizes) // per_layer))
    expected = _matrix_sizes(shape)
    if sizes != expected:
        other = sorted(sizes.items() ^ expected.items())
        raise ConfigError(
            f"the {len(sizes)} matrices of the trace are not those of a BERT of {shape.layers} "
            f"layers with {per_layer} each; {other[0][0]} is missing, left over or of another size"
        )
    return shape


def _matrix_sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    return {step.name: (step.inputs, step.outputs) for step in operations(shape, 1) if step.weights}
