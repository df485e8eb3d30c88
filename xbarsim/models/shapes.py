"""Dimensions of models by name, of a checkpoint or of a trace, and the steps of their layers."""

import functools
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from xbarsim.base.errors import ConfigError
from xbarsim.base.given_files import is_file, read_json
from xbarsim.base.toml_files import describe, packaged
from xbarsim.config.tables import Table
from xbarsim.models.config_reader import LARGEST_SIZE, MOST_LAYERS
from xbarsim.models.encoder_families import ENCODER_FAMILIES, Keys
from xbarsim.models.families import FAMILIES
from xbarsim.models.graph import Block, Role, Step, Transformer, graph_of
from xbarsim.models.operations import Norm


class Shape(Table):
    """Dimensions of a model."""

    layers: int = Field(ge=1, le=MOST_LAYERS)
    hidden: int = Field(ge=1, le=LARGEST_SIZE)
    heads: int = Field(ge=1, le=LARGEST_SIZE)
    key_value_heads: int | None = Field(
        None, ge=1, description="heads of keys and values, shared by query heads; heads if absent"
    )
    head_width: int | None = Field(None, ge=1, description="hidden over heads if absent")
    intermediate: int = Field(ge=1, le=LARGEST_SIZE)
    embedding_width: int | None = Field(
        None, ge=1, description="of embeddings that a matrix makes hidden states of"
    )
    gated: bool = Field(
        False, description="a second product multiplies the activation of the first"
    )
    block: Literal["post-norm", "pre-norm", "parallel"] = Field(
        "post-norm", description="norms after both halves of a layer, before, or one before both"
    )
    norm: Literal["layer", "rms"] = "layer"
    biases: Literal["all", "query-key-value", "none"] = "all"
    attention: Literal["bidirectional", "causal"] = "bidirectional"
    positions: int | None = Field(None, ge=1, description="longest sequence that the model takes")
    rotary: float | None = Field(
        None, gt=0, le=1, description="rotated share of a head; learned positions if absent"
    )
    vocabulary: int | None = Field(None, ge=1, description="rows of the embedding")
    tied: bool = Field(True, description="the output matrix is the embedding")
    parameters: float | None = Field(
        None, gt=0, description="of the whole model, embeddings included, where a claim counts them"
    )
    source: str = ""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.head_width is None and self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is not divisible by heads = {self.heads}")
        if self.heads % self.cached_heads:
            raise ValueError(
                f"heads = {self.heads} is not divisible by key_value_heads = {self.cached_heads}"
            )
        return self

    @property
    def is_decoder(self) -> bool:
        """Whether it predicts the next token, and so keeps keys and values."""
        return self.attention == "causal"

    @property
    def cached_heads(self) -> int:
        """Heads of keys and values."""
        return self.key_value_heads or self.heads

    @property
    def width_of_head(self) -> int:
        return self.head_width or self.hidden // self.heads

    @property
    def query_heads_per_key(self) -> int:
        return self.heads // self.cached_heads

    @property
    def cached_values(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.cached_heads * self.width_of_head

    @property
    def matrix_weights(self) -> int:
        """Weights of the layers' matrices."""
        return sum(step.weights for step in operations(self, 1))

    @property
    def parameter_count(self) -> int:
        """Of a decoder, embeddings, biases and norms included.

        Raises
        ------
        ConfigError : an encoder, whose embeddings and pooler are not described, or no vocabulary
        """
        if not self.is_decoder or self.vocabulary is None:
            raise ConfigError("the parameters of encoders and without a vocabulary are not counted")
        embeddings = self.vocabulary * self.hidden
        count = embeddings + self.matrix_weights + self._norm_parameters() + self._bias_count()
        if self.rotary is None:
            count += (self.positions or 0) * self.hidden
        if not self.tied:
            count += embeddings
        return count

    def _norm_parameters(self) -> int:
        per_layer = 1 if self.block == "parallel" else 2
        of_one = self.hidden if self.norm == "rms" else 2 * self.hidden
        return (self.layers * per_layer + 1) * of_one

    def _bias_count(self) -> int:
        if self.biases == "none":
            return 0
        count = 0
        for step in operations(self, 1):
            if step.weights and (self.biases == "all" or step.role in QUERY_KEY_VALUE):
                count += step.outputs
        if self.biases == "all" and not self.tied:
            count += self.vocabulary or 0
        return count


QUERY_KEY_VALUE = (Role.QUERY, Role.KEY, Role.VALUE)


@functools.lru_cache(maxsize=64)
def operations(shape: Shape, sequence: int, output_matrix: bool = False) -> tuple[Step, ...]:
    """Steps of the layers of one sequence in the order in which they run.

    output_matrix : with the final norm and the logits of the vocabulary after them
    """
    if output_matrix and shape.vocabulary is None:
        raise ConfigError("the model states no vocabulary, which its output matrix needs")
    model = Transformer(
        layers=shape.layers,
        hidden=shape.hidden,
        heads=shape.heads,
        key_value_heads=shape.cached_heads,
        head_width=shape.width_of_head,
        intermediate=shape.intermediate,
        block=Block(shape.block),
        causal=shape.is_decoder,
        gated=shape.gated,
        final_norm=shape.block != "post-norm",
        vocabulary=shape.vocabulary if output_matrix else None,
        activation_name="gelu" if shape.block == "post-norm" else "activation",
        embedding_width=shape.embedding_width,
    )
    return graph_of(model, sequence).steps


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
    if not is_file(path):
        raise ConfigError(
            f"no model {name!r}: it is neither a directory with a config.json nor one of "
            f"{', '.join(shapes())}"
        )
    raw_type = None
    try:
        raw = read_json(path, ConfigError)
        if not isinstance(raw, dict):
            raise TypeError("not a JSON object")
        raw_type = raw.get("model_type")
        if raw.get("model_type") in FAMILIES:
            return _of_decoder(path, raw)
        keys = Keys()
        if raw.get("model_type") in ENCODER_FAMILIES:
            keys = ENCODER_FAMILIES[raw["model_type"]].keys
        return Shape(
            layers=raw[keys.layers],
            hidden=raw[keys.hidden],
            heads=raw[keys.heads],
            intermediate=raw[keys.intermediate],
            embedding_width=None if keys.embedding is None else raw[keys.embedding],
            positions=raw.get("max_position_embeddings"),
            source=str(path),
        )
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error, Shape)}") from None
    except (
        AttributeError,
        KeyError,
        TypeError,
        OSError,
        ValueError,
    ) as error:
        raise _without_dimensions(path, raw_type, error) from None


def _without_dimensions(path: Path, stated: object, error: Exception) -> ConfigError:
    """What a config.json lacks that chips need; stated : its model_type."""
    known = sorted((*ENCODER_FAMILIES, *FAMILIES))
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, KeyError):
        what = f"{error.args[0]} is missing"
    if stated in known:
        return ConfigError(f"{path}, of a {stated}, does not state its dimensions: {what}")
    return ConfigError(
        f"{path} does not state the dimensions of a transformer ({what}); its model_type is "
        f"{stated!r}, supported are {', '.join(known)}, and others with the keys of bert"
    )


BIASES: dict[str, Literal["query-key-value", "none"]] = {
    "llama": "none",
    "mistral": "none",
    "qwen2": "query-key-value",
}  # of other families: all


def _of_decoder(path: Path, raw: dict[str, Any]) -> Shape:
    """Shape of a decoder's config.json, read as its weights would be."""
    config = FAMILIES[raw["model_type"]].config(path, raw)
    return Shape(
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        key_value_heads=config.key_value_heads,
        head_width=config.head_width,
        intermediate=config.intermediate,
        gated=config.gated,
        block="parallel" if config.parallel else "pre-norm",
        norm="rms" if config.norm is Norm.RMS else "layer",
        biases=BIASES.get(config.architecture, "all"),
        attention="causal",
        positions=config.positions,
        rotary=None if config.rotary is None else config.rotary.width / config.head_width,
        vocabulary=config.vocabulary,
        tied=config.tied,
        source=str(path),
    )


def shape_of_matrices(sizes: dict[str, tuple[int, int]], heads: int) -> Shape:
    """Shape of the matrices {"layer.0.query": (inputs, outputs), ...} of a model with this many
    attention heads.

    Raises
    ------
    ConfigError : not the matrices of the layers of an encoder such as BERT
    """
    if "layer.0.intermediate" not in sizes:
        raise _not_of_an_encoder(sizes)
    hidden, intermediate = sizes["layer.0.intermediate"]
    if heads < 1 or hidden % heads:
        raise _not_of_an_encoder(sizes)
    projection = sizes.get("embeddings.projection")

    def with_layers(layers: int) -> Shape:
        return Shape(
            layers=layers,
            hidden=hidden,
            heads=heads,
            intermediate=intermediate,
            embedding_width=None if projection is None else projection[0],
            source="matrices of the trace",
        )

    outside = 0 if projection is None else 1
    per_layer = len(_matrix_sizes(with_layers(1))) - outside
    shape = with_layers(max(1, (len(sizes) - outside) // per_layer))
    expected = _matrix_sizes(shape)
    if sizes != expected:
        odd = sorted(sizes.items() ^ expected.items())[0][0]
        raise _not_of_an_encoder(
            sizes,
            f"; of {shape.layers} layers with {per_layer} each {odd} is missing, left over or of "
            "another size",
        )
    return shape


OF_A_DECODER = (
    "the run of a model that predicts tokens is not priced; `xbarsim chip compare --model` prices "
    "the model itself"
)
NAMED = 8  # matrices that a message names


def _not_of_an_encoder(sizes: dict[str, tuple[int, int]], odd: str = "") -> ConfigError:
    names = ", ".join(list(sizes)[:NAMED])
    if len(sizes) > NAMED:
        names += f" and {len(sizes) - NAMED} more"
    return ConfigError(
        "a run is priced only where its matrices are those of the layers of an encoder such as "
        f"BERT; this one has {names or 'none'}{odd}"
    )


def _matrix_sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    return {step.name: (step.inputs, step.outputs) for step in operations(shape, 1) if step.weights}
