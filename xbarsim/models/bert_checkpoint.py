"""Checkpoints of BERT and its kin: a Hugging Face directory becomes a `BertModel`.

A directory holds `config.json`, `model.safetensors` or its shards (float32, float16 or bfloat16)
and `tokenizer.json` or `vocab.txt`.  What sentence-transformers adds (`1_Pooling/config.json`,
`modules.json`, `sentence_bert_config.json`) is honoured, and so is a key `"pooling"` ("mean", "cls"
or "pooler") in `config.json`.  What is not understood (a further module, a head of another kind, a
tensor without a place) is refused, never left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim.base.arguments import shown
from xbarsim.base.array_types import AnyArray
from xbarsim.base.errors import CheckpointError
from xbarsim.models.bert import BertConfig, BertModel, transformer_of
from xbarsim.models.checkpoint import class_names, model_type, read_table
from xbarsim.models.config_reader import MOST_LAYERS, Reader
from xbarsim.models.encoder_families import ENCODER_FAMILIES, EncoderFamily
from xbarsim.models.graph import Kind, Role, Step, Transformer, graph_of
from xbarsim.models.pooling import Dense
from xbarsim.models.sentence_modules import sentences_of
from xbarsim.models.tensor_files import Tensors, read_all_tensors

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
LENGTHS = {
    "sentence_bert_config.json": "max_seq_length",
    "tokenizer_config.json": "model_max_length",
}  # keys that state the longest token list
DEFAULT_EPSILON = 1e-12


def load_bert(directory: str | Path) -> BertModel:
    """Read a Hugging Face directory of one of `ENCODER_FAMILIES` into a `BertModel`.

    Raises
    ------
    CheckpointError : a file is missing or damaged, a tensor is missing or has another shape than
        `config.json` says, or the architecture is not one of `ENCODER_FAMILIES`
    """
    directory = Path(directory)
    architecture = model_type(directory, ENCODER_FAMILIES)
    config_file = directory / "config.json"
    raw = read_table(config_file)
    family = ENCODER_FAMILIES[architecture]
    reader = Reader(config_file, raw)
    for key, form in family.only.items():
        reader.only(key, form)
    in_file, sha256 = read_all_tensors(directory)
    tensors = _Tensors(directory, architecture, _without_prefix(directory, family, in_file))
    config = _config(reader, tensors)
    weights = {
        place.name: tensors.take(place.name_in_file, place.shape, config.layers)
        for place in _places(config, tensors.pooler)
    }
    head = _head(tensors, config)
    tensors.refuse_unused(config)
    return BertModel(config, weights, head, sha256, directory)


# ---------------------------------------------------------------- tensors


def _without_prefix(
    path: Path, family: EncoderFamily, in_file: dict[str, AnyArray]
) -> dict[str, AnyArray]:
    """Tensors by names without the architecture's prefix, norms as they are called today."""
    renamed: dict[str, AnyArray] = {}
    origin: dict[str, str] = {}
    for name_in_file, tensor in in_file.items():
        name = name_in_file.removeprefix(family.prefix)
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        if name in origin:
            raise CheckpointError(
                f"{path} holds one tensor twice, as {origin[name]!r} and as {name_in_file!r}; save "
                "the model again with one of them"
            )
        origin[name] = name_in_file
        renamed[name] = tensor
    return renamed


class _Tensors(Tensors):
    """Tensors of a checkpoint of one of the families."""

    def __init__(self, path: Path, architecture: str, tensors: dict[str, AnyArray]) -> None:
        super().__init__(path, architecture, tensors)
        self.family = ENCODER_FAMILIES[architecture]

    @property
    def classifies(self) -> bool:
        last = self.family.classifier.last
        return {f"{last}.weight", f"{last}.bias"} <= set(self.tensors)

    @property
    def pooler(self) -> str | None:
        """Name of the matrix that pools: the classifier's, else the model's; None without one."""
        name = self.family.classifier.pooler if self.classifies else self.family.pooler
        return name if f"{name}.weight" in self.tensors else None

    def refuse_unused(self, config: BertConfig) -> None:
        """CheckpointError if a tensor of the checkpoint has no place in the model."""
        left_out = self.family.left_out
        if self.classifies and self.family.pooler != self.pooler:
            left_out = (*left_out, f"{self.family.pooler}.")  # which the classifier does not read
        names = sorted(name for name in self.unused() if not name.startswith(left_out))
        if not names:
            return
        keys = self.family.keys
        layers = config.layer_sets or config.layers
        in_file = 1 + max(self._layer_of(name) for name in names)
        if in_file > layers:
            raise CheckpointError(
                f"{self.path} holds {in_file} layers, config.json says "
                f"{keys.layer_sets or keys.layers} = {layers}; correct it, or save the model with "
                "as many layers as are meant"
            )
        raise CheckpointError(
            f"{self.path}: {len(names)} tensors have no place in a {self.architecture} encoder "
            f"with a classifier, such as {names[0]!r}; the model would be another one without "
            "them: save it without, or choose another checkpoint"
        )

    def _layer_of(self, name: str) -> int:
        """Number of the layer that a tensor of a file belongs to; -1 of none."""
        before = self.family.layers.partition("{i}")[0]
        if not name.startswith(before):
            return -1
        number = name.removeprefix(before).partition(".")[0]
        return int(number) if number.isdigit() else -1


def _head(tensors: _Tensors, config: BertConfig) -> Dense | None:
    """The last matrix of the checkpoint's classifier."""
    if not tensors.classifies:
        return None
    labels = len(config.labels)
    name = tensors.family.classifier.last
    weight = tensors.take(f"{name}.weight", (labels, config.hidden), config.layers)
    bias = tensors.take(f"{name}.bias", (labels,), config.layers)
    return weight, bias


@dataclass(frozen=True)
class _Place:
    """A tensor of the encoder: our name, its name in the file, its shape."""

    name: str
    name_in_file: str
    shape: tuple[int, ...]


def _places(config: BertConfig, pooler: str | None) -> Iterator[_Place]:
    """pooler : its name in the file, None without one"""
    family = ENCODER_FAMILIES[config.architecture]
    width = config.embedding_width or config.hidden
    shapes = {
        "embeddings.word": (config.vocabulary, width),
        "embeddings.position": (config.positions, width),
        "embeddings.token_type": (config.token_types, width),
        "embeddings.norm.weight": (width,),
        "embeddings.norm.bias": (width,),
        "relative_attention_bias": (config.relative_buckets, config.heads),
    }
    for name, name_in_file in family.embeddings.items():
        yield _Place(name, name_in_file, shapes[name])
    transformer = transformer_of(config)
    for step in graph_of(transformer, config.max_tokens).steps:
        theirs = _name_in_file(family, transformer, step)
        if theirs is None or step.shares is not None:
            continue
        weight = (step.outputs, step.inputs) if step.kind is Kind.MATRIX else (step.outputs,)
        yield _Place(f"{step.name}.weight", f"{theirs}.weight", weight)
        yield _Place(f"{step.name}.bias", f"{theirs}.bias", weight[:1])
    if pooler is not None:
        yield _Place("pooler.weight", f"{pooler}.weight", (config.hidden, config.hidden))
        yield _Place("pooler.bias", f"{pooler}.bias", (config.hidden,))


def _name_in_file(family: EncoderFamily, transformer: Transformer, step: Step) -> str | None:
    """Of the weights of a step after the embeddings; None of a step without any."""
    if step.role is Role.EMBEDDINGS_PROJECTION:
        return family.projection
    if step.layer is None or step.role not in family.layer:
        return None
    start = family.layers.format(i=transformer.set_of(step.layer))
    return f"{start}.{family.layer[step.role]}"


# ---------------------------------------------------------------- config.json


def _config(reader: Reader, tensors: _Tensors) -> BertConfig:
    path = reader.path
    raw = reader.raw
    family = tensors.family
    keys = family.keys
    hidden = reader.whole(keys.hidden)
    heads = reader.whole(keys.heads)
    positions = reader.whole("max_position_embeddings")
    if hidden % heads:
        raise CheckpointError(
            f"{path}: {keys.hidden} {hidden} is not a multiple of {keys.heads} {heads}"
        )
    offset = _position_offset(reader, family, positions)
    sentences = sentences_of(
        path.parent,
        raw,
        classifies=tensors.classifies,
        has_pooler=tensors.pooler is not None,
    )
    layers = reader.whole(keys.layers, most=MOST_LAYERS)
    return BertConfig(
        architecture=tensors.architecture,
        layers=layers,
        hidden=hidden,
        heads=heads,
        intermediate=reader.whole(keys.intermediate),
        vocabulary=reader.whole("vocab_size"),
        positions=positions,
        token_types=0 if keys.token_types is None else reader.whole(keys.token_types),
        activation=_activation(path, keys.activation, raw.get(keys.activation, family.activation)),
        norm_epsilon=_epsilon(path, _stated(raw, keys.epsilon, DEFAULT_EPSILON)),
        position_offset=offset,
        relative_buckets=family.relative_buckets,
        pooling=sentences.pooling,
        normalize=sentences.normalize,
        max_tokens=_max_tokens(path.parent, positions - offset),
        labels=class_names(path, raw) if tensors.classifies else (),
        pooler_function=family.classifier.function if tensors.classifies else "tanh",
        embedding_width=None if keys.embedding is None else reader.whole(keys.embedding),
        layer_sets=None
        if keys.layer_sets is None
        else _layer_sets(reader, keys.layer_sets, layers),
    )


def _stated(raw: dict[str, Any], key: str | None, default: float) -> object:
    """The value of a key, where the architecture has it."""
    return default if key is None else raw.get(key, default)


def _position_offset(reader: Reader, family: EncoderFamily, positions: int) -> int:
    """Position id of the first token: the one after that of padding, where padding has one."""
    padding = family.padding
    if padding is None:
        return 0
    if family.states_padding:
        padding = reader.raw.get("pad_token_id", padding)
    is_whole = isinstance(padding, int) and not isinstance(padding, bool)
    if not is_whole or not 0 <= padding < positions - 2:
        raise CheckpointError(
            f"{reader.path}: pad_token_id is {shown(padding)}, from which positions are counted; allowed "
            f"are 0 to {positions - 3}, so that two of the {positions} positions are left"
        )
    return int(padding) + 1


def _layer_sets(reader: Reader, key: str, layers: int) -> int:
    sets = reader.whole(key, 1)
    if sets > layers:
        raise CheckpointError(f"{reader.path}: {key} is {sets}; allowed are 1 to {layers} layers")
    return sets


def _activation(path: Path, key: str, activation: object) -> str:
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}: {key} is {shown(activation)}, supported are {', '.join(ACTIVATIONS)}"
        )
    return str(activation)


def _epsilon(path: Path, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise CheckpointError(
            f"{path}: layer_norm_eps is {shown(value)}; allowed are numbers between 0 and 1, such as "
            "1e-12"
        )
    return float(value)


def _max_tokens(directory: Path, longest: int) -> int:
    """The longest token list that the model was made for, of at most `longest`."""
    most = longest
    for file, key in LENGTHS.items():
        path = directory / file
        stated = read_table(path, optional=True).get(key)
        if stated is None:
            continue
        if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated >= 2:
            raise CheckpointError(
                f"{path}: {key} is {shown(stated)}; allowed: a number of tokens, 2 or more"
            )
        if stated < most:
            most = int(stated)
    return most
