"""The steps of a model in order: what each is, its sizes, and which waits for which.

`graph_of` makes the one list that the forward pass, the hardware, the chip model, pictures and
traces go by.  Embedding look-up, pooler and task head are one row per sentence and are no steps.
All sizes are per token; s is the length of a sequence.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from xbarsim.base.errors import ConfigError

INPUT = "input"  # what enters the first step


class Kind(StrEnum):
    """What a step computes."""

    MATRIX = "matrix"  # a product with weights
    PRODUCT = "product"  # a product of two activations
    SOFTMAX = "softmax"
    NORM = "norm"
    ACTIVATION = "activation"
    POOLING = "pooling"  # windows of an image become pixels

    @property
    def is_function(self) -> bool:
        """Whether the step is no product."""
        return self not in (Kind.MATRIX, Kind.PRODUCT)


class Role(StrEnum):
    """What a step is to its layer, or to the model."""

    EMBEDDINGS_NORM = "embeddings_norm"
    EMBEDDINGS_PROJECTION = "embeddings_projection"
    ATTENTION_NORM = "attention_norm"
    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    ATTENTION_SCORES = "attention_scores"
    ATTENTION_SOFTMAX = "attention_softmax"
    ATTENTION_CONTEXT = "attention_context"
    ATTENTION_OUTPUT = "attention_output"
    FEED_FORWARD_NORM = "feed_forward_norm"
    INTERMEDIATE = "intermediate"
    GATE = "gate"
    ACTIVATION = "activation"
    DENSE = "dense"  # a matrix that is none of the others
    CONVOLUTION = "convolution"
    POOLING = "pooling"
    OUTPUT = "output"
    OUTPUT_NORM = "output_norm"
    FINAL_NORM = "final_norm"
    LOGITS = "logits"


class Link(NamedTuple):
    """A step that another reads.

    waits : every token of the sequence must be done before the first may enter; otherwise tokens
        stream from one step into the next
    """

    name: str
    waits: bool = False


LAYER = "layer."  # begins the name of a step of a layer


def prefix_of(layer: int | None) -> str:
    """What the names of a layer's steps begin with; nothing outside the layers."""
    return "" if layer is None else f"{LAYER}{layer}."


def short_name(name: str, layer: int | None) -> str:
    """What a step is called within its layer, the same in all of them."""
    return name.removeprefix(prefix_of(layer))


@dataclass(frozen=True)
class Step:
    """One step of a model, per token.

    layer : None outside the layers
    inputs, outputs : of one matrix (weights are (outputs, inputs)), values in and out of a function
    copies : heads of a product, else 1
    second : values of the second operand: keys or values of a product (those of the whole sequence
        are shared by its tokens, so each token pays for one), residuals of a norm, what a gate
        multiplies, else 0
    after : what it reads, of a product the second operand last; `INPUT` enters the first step
    shares : an earlier step whose weights these are, None of weights of its own
    rows : of inputs per token: of an image, the positions that a convolution is computed for
    """

    name: str
    kind: Kind
    role: Role
    layer: int | None
    inputs: int
    outputs: int
    copies: int
    second: int
    after: tuple[Link, ...]
    shares: str | None = None
    rows: int = 1

    @property
    def owner(self) -> str:
        """Name of the step whose weights these are."""
        return self.shares or self.name

    @property
    def rows_per_image(self) -> int | None:
        """`rows` of a convolution, None of a step with one row per token."""
        return self.rows if self.rows > 1 else None

    @property
    def weights(self) -> int:
        """Weights of a matrix, else 0."""
        return self.inputs * self.outputs if self.kind is Kind.MATRIX else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates per token."""
        return 0 if self.kind.is_function else self.rows * self.copies * self.inputs * self.outputs

    @property
    def causal(self) -> bool:
        """Whether a token's product needs the second operand of itself and of earlier tokens only."""
        return self.kind is Kind.PRODUCT and not self.after[-1].waits

    @property
    def second_copies(self) -> int:
        """Heads of the second operand of a product, each shared by copies / second_copies heads."""
        width = self.inputs if self.role is Role.ATTENTION_SCORES else self.outputs
        return self.second // width

    @property
    def values_in(self) -> int:
        return self.copies * self.inputs

    @property
    def values_out(self) -> int:
        return self.copies * self.outputs

    @property
    def values(self) -> int:
        """All values that the step reads and writes: both operands and the result."""
        return self.values_in + self.second + self.values_out


@dataclass(frozen=True)
class Graph:
    """The steps of a model in the order in which they run; sizes are for sequences of `sequence`
    tokens.

    Names are distinct, and so are roles within a layer; a step reads only what stands before it.

    Raises
    ------
    ConfigError : steps that break one of these
    """

    steps: tuple[Step, ...]
    sequence: int

    def __post_init__(self) -> None:
        places: dict[tuple[int | None, Role], str] = {}
        names = {INPUT}
        for step in self.steps:
            if step.name in names:
                raise ConfigError(
                    f"two steps of the graph are called {step.name!r}; a name is that of one step, "
                    f"and {INPUT!r} that of none"
                )
            other = places.setdefault((step.layer, step.role), step.name)
            if other != step.name:
                where = "outside the layers" if step.layer is None else f"in layer {step.layer}"
                raise ConfigError(
                    f"{other!r} and {step.name!r} are both the {step.role} {where}; give each "
                    "another role or layer"
                )
            for link in step.after:
                if link.name not in names:
                    raise ConfigError(
                        f"step {step.name!r} reads {link.name!r}, which is no step before it; a "
                        f"step reads earlier ones or {INPUT!r}"
                    )
            names.add(step.name)

    @cached_property
    def matrices(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind is Kind.MATRIX)

    @cached_property
    def products(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind is Kind.PRODUCT)

    @cached_property
    def functions(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind.is_function)

    def uses(self, step: Step) -> tuple[Step, ...]:
        """The matrices whose weights are those of a step, itself first."""
        return tuple(other for other in self.matrices if other.owner == step.name)

    @cached_property
    def after_forward(self) -> tuple[Step, ...]:
        """Matrices that read the states which a forward pass returns: that of the logits."""
        return tuple(step for step in self.matrices if step.role is Role.LOGITS)

    @cached_property
    def causal(self) -> bool:
        """Whether a token sees those before it only, so that tokens may come one by one."""
        return any(step.causal for step in self.products)

    @cached_property
    def _by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    @cached_property
    def _by_layer(self) -> dict[int | None, dict[Role, Step]]:
        layers: dict[int | None, dict[Role, Step]] = {}
        for step in self.steps:
            layers.setdefault(step.layer, {})[step.role] = step
        return layers

    def step(self, name: str) -> Step:
        """The step of a name.

        Raises
        ------
        ConfigError : no step is called so
        """
        try:
            return self._by_name[name]
        except KeyError:
            last = self.steps[-1].name
            raise ConfigError(
                f"the model has no step {name!r}; its {len(self.steps)} steps are "
                f"{self.steps[0].name} to {last}"
            ) from None

    def of_layer(self, layer: int | None) -> dict[Role, Step]:
        """The steps of one layer by their roles; of None those outside the layers."""
        return self._by_layer.get(layer, {})


class Block(StrEnum):
    """How a layer goes about its two halves, attention and feed-forward."""

    POST_NORM = "post-norm"  # each half, plus its input, is normalised (BERT)
    PRE_NORM = "pre-norm"  # each half reads the normalised input and is added to it (Llama, GPT-2)
    PARALLEL = "parallel"  # both halves read the same normalised input (Phi)


@dataclass(frozen=True)
class Transformer:
    """What decides the steps of a transformer.

    key_value_heads : heads of keys and values, each shared by heads / key_value_heads query heads
    causal : a token sees those before it only
    gated : the activation of one product multiplies a second product of the same input
    embeddings_norm, final_norm : whether there is one before the first, after the last layer
    vocabulary : outputs of the logits' matrix; None without one
    activation_name : of the step; BERT's is called gelu, whatever the checkpoint states
    embedding_width : of embeddings that a matrix makes hidden states of; None without one
    layer_sets : how many layers have weights of their own, which those after them share; None: all
    """

    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_width: int
    intermediate: int
    block: Block
    causal: bool
    gated: bool = False
    embeddings_norm: bool = False
    final_norm: bool = False
    vocabulary: int | None = None
    activation_name: str = "activation"
    embedding_width: int | None = None
    layer_sets: int | None = None

    def set_of(self, layer: int) -> int:
        """Number of the set of weights that a layer uses."""
        if self.layer_sets is None:
            return layer
        return int(layer / (self.layers / self.layer_sets))

    def first_with_weights_of(self, layer: int) -> int:
        """The first layer that uses the same set of weights."""
        wanted = self.set_of(layer)
        return next(first for first in range(layer + 1) if self.set_of(first) == wanted)


def graph_of(model: Transformer, sequence: int) -> Graph:
    """The steps of a transformer that reads sequences of so many tokens.

    Scores and context of bidirectional attention wait for the last key and value of the sequence.
    Causal attention needs only earlier ones, so tokens stream through (masked products are computed
    and counted all the same).
    """
    builder = _Builder(model, sequence)
    builder.build()
    return Graph(tuple(builder.steps), sequence)


class _Builder:
    """Collects the steps; every method adds one or more and returns the name to read on from."""

    def __init__(self, model: Transformer, sequence: int) -> None:
        self.model = model
        self.sequence = sequence
        self.layer: int | None = None
        self.steps: list[Step] = []

    def build(self) -> None:
        model = self.model
        hidden: tuple[str, ...] = (INPUT,)
        if model.embeddings_norm:
            hidden = (self.embeddings_norm(),)
        if model.embedding_width is not None:
            width = model.embedding_width
            role = Role.EMBEDDINGS_PROJECTION
            hidden = (self.matrix(role, width, model.hidden, hidden),)
        for self.layer in range(model.layers):
            if model.block is Block.POST_NORM:
                hidden = self.post_norm_layer(hidden)
            else:
                hidden = self.pre_norm_layer(hidden)
        self.layer = None
        if model.final_norm:
            hidden = (self.norm(Role.FINAL_NORM, hidden),)
        if model.vocabulary is not None:
            self.matrix(Role.LOGITS, model.hidden, model.vocabulary, hidden)

    def post_norm_layer(self, hidden: tuple[str, ...]) -> tuple[str, ...]:
        attended = self.attention(hidden)
        normed = self.norm(Role.ATTENTION_NORM, (attended,))
        return (self.norm(Role.OUTPUT_NORM, (self.feed_forward(normed),)),)

    def pre_norm_layer(self, hidden: tuple[str, ...]) -> tuple[str, ...]:
        """`hidden` : what was added to the hidden states last; the rest is the residual."""
        normed = self.norm(Role.ATTENTION_NORM, hidden, residual=hidden != (INPUT,))
        attended = self.attention((normed,))
        if self.model.block is Block.PARALLEL:
            return attended, self.feed_forward(normed)
        normed = self.norm(Role.FEED_FORWARD_NORM, (attended,))
        return (self.feed_forward(normed),)

    def attention(self, hidden: tuple[str, ...]) -> str:
        model = self.model
        queries = model.heads * model.head_width
        keys = model.key_value_heads * model.head_width
        query = self.matrix(Role.QUERY, model.hidden, queries, hidden)
        key = self.matrix(Role.KEY, model.hidden, keys, hidden)
        value = self.matrix(Role.VALUE, model.hidden, keys, hidden)
        scores = self.product(
            Role.ATTENTION_SCORES, model.head_width, self.sequence, first=query, second=key
        )
        probabilities = self.add(
            Role.ATTENTION_SOFTMAX,
            Kind.SOFTMAX,
            inputs=model.heads * self.sequence,
            outputs=model.heads * self.sequence,
            after=(Link(scores),),
        )
        context = self.product(
            Role.ATTENTION_CONTEXT,
            self.sequence,
            model.head_width,
            first=probabilities,
            second=value,
        )
        return self.matrix(Role.ATTENTION_OUTPUT, queries, model.hidden, (context,))

    def feed_forward(self, normed: str) -> str:
        model = self.model
        inner = self.matrix(Role.INTERMEDIATE, model.hidden, model.intermediate, (normed,))
        read: tuple[Link, ...] = (Link(inner),)
        if model.gated:
            gate = self.matrix(Role.GATE, model.hidden, model.intermediate, (normed,))
            read = (Link(gate), Link(inner))
        activated = self.add(
            Role.ACTIVATION,
            Kind.ACTIVATION,
            inputs=model.intermediate,
            outputs=model.intermediate,
            second=model.intermediate if model.gated else 0,
            after=read,
        )
        return self.matrix(Role.OUTPUT, model.intermediate, model.hidden, (activated,))

    def matrix(self, role: Role, inputs: int, outputs: int, read: tuple[str, ...]) -> str:
        after = tuple(Link(name) for name in read)
        return self.add(role, Kind.MATRIX, inputs=inputs, outputs=outputs, after=after)

    def product(self, role: Role, inputs: int, outputs: int, *, first: str, second: str) -> str:
        return self.add(
            role,
            Kind.PRODUCT,
            inputs=inputs,
            outputs=outputs,
            copies=self.model.heads,
            second=self.model.key_value_heads * self.model.head_width,
            after=(Link(first), Link(second, waits=not self.model.causal)),
        )

    def embeddings_norm(self) -> str:
        width = self.model.embedding_width or self.model.hidden
        after = (Link(INPUT),)
        return self.add(Role.EMBEDDINGS_NORM, Kind.NORM, inputs=width, outputs=width, after=after)

    def norm(self, role: Role, read: tuple[str, ...], *, residual: bool = True) -> str:
        """A norm of the sum of what it reads and, with `residual`, of the hidden states before."""
        width = self.model.hidden
        added = len(read) - 1 + residual
        after = tuple(Link(name) for name in read)
        return self.add(
            role, Kind.NORM, inputs=width, outputs=width, second=added * width, after=after
        )

    def add(
        self,
        role: Role,
        kind: Kind,
        *,
        inputs: int,
        outputs: int,
        after: tuple[Link, ...],
        copies: int = 1,
        second: int = 0,
    ) -> str:
        name = self.name_of(role, self.layer)
        shares = self.shared(role) if kind in (Kind.MATRIX, Kind.NORM) else None
        step = Step(
            name=name,
            kind=kind,
            role=role,
            layer=self.layer,
            inputs=inputs,
            outputs=outputs,
            copies=copies,
            second=second,
            after=after,
            shares=shares,
        )
        self.steps.append(step)
        return name

    def shared(self, role: Role) -> str | None:
        """The step of an earlier layer whose weights those of this layer are."""
        if self.layer is None:
            return None
        first = self.model.first_with_weights_of(self.layer)
        return None if first == self.layer else self.name_of(role, first)

    def name_of(self, role: Role, layer: int | None) -> str:
        """The name of a step in traces and in `[[layer]] match`."""
        if role is Role.EMBEDDINGS_NORM:
            return "embeddings.norm"
        if role is Role.EMBEDDINGS_PROJECTION:
            return "embeddings.projection"
        if layer is None:
            return role.value
        own = self.model.activation_name if role is Role.ACTIVATION else role.value
        return prefix_of(layer) + own
