"""What a transformer asks of a chip: its operations, their sizes, and which waits for which.

Only the encoder's (or decoder's) layers count: embedding look-up, pooler and task head are one row
per sentence and are left out, as in the simulation.  All sizes are per token; s is the sequence
length.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import describe, packaged
from xbarsim.config.tables import Table


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
    def _divisible(self):
        if self.hidden % self.heads:
            raise ValueError(f"hidden = {self.hidden} is not divisible by heads = {self.heads}")
        return self

    @property
    def matrix_weights(self):
        """Weights of the layers' matrices: 4 h² + 2 h f each."""
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)


@dataclass(frozen=True)
class Operation:
    """One step of one layer, per token.

    kind : "linear" (weights of (inputs, outputs)), "product" (`copies` matrices of (inputs,
        outputs), both operands are activations), "softmax", "layer_norm" or "gelu"
    inputs, outputs : of one matrix; values in and out of a nonlinear step;  copies : heads of a
        product, else 1
    second : values of the second operand: keys or values of a product (those of the whole sequence
        are shared by its tokens, so each token pays for one), the residual of a layer norm, else 0
    after : ((name, waits), ...); with `waits` every token of the sequence must be done before the
        first may enter, otherwise tokens stream from one step into the next; "input" is what enters
        the first layer
    """

    name: str
    layer: int
    kind: str
    inputs: int
    outputs: int
    copies: int
    second: int
    after: tuple

    @property
    def macs(self):
        """Multiply-accumulates per token."""
        return self.copies * self.inputs * self.outputs if self.kind in ("linear", "product") else 0

    @property
    def values_in(self):
        return self.copies * self.inputs

    @property
    def values_out(self):
        return self.copies * self.outputs

    @property
    def values(self):
        """All values that the step reads and writes: both operands and the result."""
        return self.values_in + self.second + self.values_out


@functools.lru_cache(maxsize=64)
def operations(shape, sequence):
    """Operations (a tuple) of one sequence in execution order.

    With bidirectional attention a token's scores need the keys of all tokens, so scores and context
    wait for the last key and value; with causal attention they need only earlier ones, so tokens
    stream through (masked products are computed and counted all the same).
    """
    h, f, heads, s = shape.hidden, shape.intermediate, shape.heads, sequence
    waits = shape.attention == "bidirectional"
    found, last = [], "input"
    for layer in range(shape.layers):

        def add(name, kind, inputs, outputs, *after, copies=1, second=0, layer=layer, last=last):
            full = f"layer.{layer}.{name}"
            links = tuple(
                (source if source == last else f"layer.{layer}.{source}", waiting)
                for source, waiting in after
            )
            found.append(Operation(full, layer, kind, inputs, outputs, copies, second, links))
            return full

        for name in ("query", "key", "value"):
            add(name, "linear", h, h, (last, False))
        add(
            "attention_scores",
            "product",
            h // heads,
            s,
            ("query", False),
            ("key", waits),
            copies=heads,
            second=h,
        )
        add("attention_softmax", "softmax", heads * s, heads * s, ("attention_scores", False))
        add(
            "attention_context",
            "product",
            s,
            h // heads,
            ("attention_softmax", False),
            ("value", waits),
            copies=heads,
            second=h,
        )
        add("attention_output", "linear", h, h, ("attention_context", False))
        add("attention_norm", "layer_norm", h, h, ("attention_output", False), second=h)
        add("intermediate", "linear", h, f, ("attention_norm", False))
        add("gelu", "gelu", f, f, ("intermediate", False))
        add("output", "linear", f, h, ("gelu", False))
        last = add("output_norm", "layer_norm", h, h, ("output", False), second=h)
    return tuple(found)


@functools.cache
def shapes():
    """{name: Shape} of data/models.toml."""
    return {name: Shape.model_validate(values) for name, values in packaged("models.toml").items()}


def load_shape(name_or_directory):
    """Shape of a name in data/models.toml, or of a checkpoint directory (its config.json is all
    that is read).

    Raises
    ------
    ConfigError : neither, or a config.json without the dimensions
    """
    if str(name_or_directory) in shapes():
        return shapes()[str(name_or_directory)]
    path = Path(name_or_directory) / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"no model {str(name_or_directory)!r}: it is neither a directory with a config.json nor one of "
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


def shape_of_matrices(sizes, heads):
    """Shape of the traced matrices {"layer.0.query": (inputs, outputs), ...} with this many
    attention heads.

    Raises
    ------
    ConfigError : not the six matrices of every layer of a BERT
    """
    layers = {name.split(".")[1] for name in sizes}
    try:
        hidden, intermediate = sizes["layer.0.intermediate"]
    except KeyError:
        raise ConfigError(
            "the trace lacks layer.0.intermediate: its matrices are not those of a BERT"
        ) from None
    if len(sizes) != 6 * len(layers):
        raise ConfigError(
            f"the trace holds {len(sizes)} matrices of {len(layers)} layers; a BERT has six per layer"
        )
    return Shape(
        layers=len(layers),
        hidden=hidden,
        heads=heads,
        intermediate=intermediate,
        source="matrices of the trace",
    )
