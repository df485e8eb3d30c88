"""BERT and MPNet checkpoints: a Hugging Face directory becomes a `BertModel`.

A directory holds `config.json`, `model.safetensors` (float32, float16 or bfloat16) and
`tokenizer.json` or `vocab.txt`.  What sentence-transformers adds (`1_Pooling/config.json`,
`modules.json`, `sentence_bert_config.json`) is honoured, and so is a key `"pooling"` ("mean", "cls"
or "pooler") in `config.json`.  What is not understood (a further module, a head of another kind, a
tensor without a place) is refused, never left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.models.bert import BertConfig, BertModel, graph_of_bert
from xbarsim.models.checkpoint import read_json
from xbarsim.models.graph import Kind, Role
from xbarsim.models.pooling import Dense
from xbarsim.models.sentence_modules import sentences_of
from xbarsim.models.tensor_files import read_single_file

SUPPORTED = ("bert", "mpnet")
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
DEFAULT_EPSILON = 1e-12
DEFAULT_BUCKETS = 32  # of MPNet's relative position bias

# What pretraining leaves in a file and no sentence needs: heads that predict words, and counters.
LEFT_OUT = ("cls.predictions.", "cls.seq_relationship.", "lm_head.", "embeddings.position_ids")

# our name -> name in the file, per architecture
EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.norm.weight": "embeddings.LayerNorm.weight",
    "embeddings.norm.bias": "embeddings.LayerNorm.bias",
}
EXTRA_EMBEDDINGS = {
    "bert": {"embeddings.token_type": "embeddings.token_type_embeddings.weight"},
    "mpnet": {"relative_attention_bias": "encoder.relative_attention_bias.weight"},
}
LAYER = {
    "bert": {
        Role.QUERY: "attention.self.query",
        Role.KEY: "attention.self.key",
        Role.VALUE: "attention.self.value",
        Role.ATTENTION_OUTPUT: "attention.output.dense",
        Role.ATTENTION_NORM: "attention.output.LayerNorm",
        Role.INTERMEDIATE: "intermediate.dense",
        Role.OUTPUT: "output.dense",
        Role.OUTPUT_NORM: "output.LayerNorm",
    },
    "mpnet": {
        Role.QUERY: "attention.attn.q",
        Role.KEY: "attention.attn.k",
        Role.VALUE: "attention.attn.v",
        Role.ATTENTION_OUTPUT: "attention.attn.o",
        Role.ATTENTION_NORM: "attention.LayerNorm",
        Role.INTERMEDIATE: "intermediate.dense",
        Role.OUTPUT: "output.dense",
        Role.OUTPUT_NORM: "output.LayerNorm",
    },
}


def load_bert(directory: str | Path) -> BertModel:
    """Read a Hugging Face BERT or MPNet directory into a `BertModel`.

    Raises
    ------
    CheckpointError : a file is missing or damaged, a tensor is missing or has another shape than
        `config.json` says, or the architecture is not one of `SUPPORTED`
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory}: not a directory; give a Hugging Face directory with config.json and "
            "model.safetensors, or a name that `xbarsim fetch --list` shows"
        )
    raw = read_json(directory / "config.json")
    architecture = _architecture(directory / "config.json", raw)
    in_file, sha256 = read_single_file(directory)
    path = directory / "model.safetensors"
    tensors = _Tensors(path, architecture, _without_prefix(path, architecture, in_file))
    config = _config(directory, raw, tensors)
    weights = {
        place.name: tensors.take(place.name_in_file, place.shape, config.layers)
        for place in _places(config, has_pooler=tensors.has_pooler)
    }
    head = _head(tensors, config)
    tensors.refuse_unused(config.layers)
    return BertModel(config, weights, head, sha256, directory)


def _architecture(path: Path, raw: Any) -> str:
    architecture = raw.get("model_type") if isinstance(raw, dict) else None
    if architecture not in SUPPORTED:
        raise CheckpointError(
            f"{path}: model_type is {architecture!r}, supported are {' and '.join(SUPPORTED)} "
            "encoders; choose a checkpoint of one of these"
        )
    only = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    for key, value in only.items():
        if raw.get(key, value) != value:
            raise CheckpointError(f"{path}: {key} is {raw[key]!r}, only {value!r} is supported")
    return str(architecture)


# ---------------------------------------------------------------- tensors


def _without_prefix(
    path: Path, architecture: str, in_file: dict[str, AnyArray]
) -> dict[str, AnyArray]:
    """Tensors by names without the architecture's prefix, norms as they are called today."""
    renamed: dict[str, AnyArray] = {}
    origin: dict[str, str] = {}
    for name_in_file, tensor in in_file.items():
        name = name_in_file.removeprefix(f"{architecture}.")
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


class _Tensors:
    """Tensors of a file, each taken once."""

    def __init__(self, path: Path, architecture: str, tensors: dict[str, AnyArray]) -> None:
        self.path = path
        self.architecture = architecture
        self.tensors = tensors
        self.used: set[str] = set()

    @property
    def has_pooler(self) -> bool:
        return "pooler.dense.weight" in self.tensors

    @property
    def classifies(self) -> bool:
        return {"classifier.weight", "classifier.bias"} <= set(self.tensors)

    def take(self, name: str, shape: tuple[int, ...], layers: int) -> Singles:
        """The float32 tensor of a name in the file.

        Raises
        ------
        CheckpointError : it is missing, of another shape, of integers, or not finite
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointError(
                f"{self.path}: tensor {name!r} is missing, which {self.architecture} with {layers} "
                "layers needs; the file is incomplete or belongs to another config.json"
            )
        if tensor.shape != shape:
            raise CheckpointError(
                f"{self.path}: tensor {name!r} has shape {tensor.shape}, config.json asks for "
                f"{shape}; the two files do not belong together"
            )
        if tensor.dtype.kind != "f":
            raise CheckpointError(
                f"{self.path}: tensor {name!r} holds integers ({tensor.dtype}); quantised weights "
                "are not read: save the model in float32"
            )
        if not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{self.path}: tensor {name!r} holds {np.count_nonzero(~np.isfinite(tensor))} "
                "values that are NaN or infinite; the file is damaged, or its training failed: "
                "fetch it again"
            )
        self.used.add(name)
        return tensor

    def refuse_unused(self, layers: int) -> None:
        """CheckpointError if a tensor of the file has no place in the model."""
        left = set(self.tensors) - self.used
        names = sorted(name for name in left if not name.startswith(LEFT_OUT))
        if not names:
            return
        in_file = 1 + max(_layer_of(name) for name in names)
        if in_file > layers:
            raise CheckpointError(
                f"{self.path} holds {in_file} layers, config.json says num_hidden_layers = "
                f"{layers}; correct it, or save the model with as many layers as are meant"
            )
        raise CheckpointError(
            f"{self.path}: {len(names)} tensors have no place in a {self.architecture} encoder "
            f"with a classifier, such as {names[0]!r}; the model would be another one without "
            "them: save it without, or choose another checkpoint"
        )


def _layer_of(name: str) -> int:
    """Number of the layer that a tensor of a file belongs to; -1 of none."""
    number = name.removeprefix("encoder.layer.").partition(".")[0]
    return int(number) if number.isdigit() else -1


def _head(tensors: _Tensors, config: BertConfig) -> Dense | None:
    """The checkpoint's classifier."""
    if not tensors.classifies:
        return None
    labels = len(config.labels)
    weight = tensors.take("classifier.weight", (labels, config.hidden), config.layers)
    bias = tensors.take("classifier.bias", (labels,), config.layers)
    return weight, bias


@dataclass(frozen=True)
class _Place:
    """A tensor of the encoder: our name, its name in the file, its shape."""

    name: str
    name_in_file: str
    shape: tuple[int, ...]


def _places(config: BertConfig, *, has_pooler: bool) -> Iterator[_Place]:
    hidden = config.hidden
    shapes = {
        "embeddings.word": (config.vocabulary, hidden),
        "embeddings.position": (config.positions, hidden),
        "embeddings.token_type": (config.token_types, hidden),
        "embeddings.norm.weight": (hidden,),
        "embeddings.norm.bias": (hidden,),
        "relative_attention_bias": (config.relative_buckets, config.heads),
    }
    embeddings = EMBEDDINGS | EXTRA_EMBEDDINGS[config.architecture]
    for name, name_in_file in embeddings.items():
        yield _Place(name, name_in_file, shapes[name])
    for step in graph_of_bert(config).steps:
        if step.layer is None or step.role not in LAYER[config.architecture]:
            continue
        theirs = f"encoder.layer.{step.layer}.{LAYER[config.architecture][step.role]}"
        weight = (step.outputs, step.inputs) if step.kind is Kind.MATRIX else (hidden,)
        yield _Place(f"{step.name}.weight", f"{theirs}.weight", weight)
        yield _Place(f"{step.name}.bias", f"{theirs}.bias", weight[:1])
    if has_pooler:
        yield _Place("pooler.weight", "pooler.dense.weight", (hidden, hidden))
        yield _Place("pooler.bias", "pooler.dense.bias", (hidden,))


# ---------------------------------------------------------------- config.json


def _config(directory: Path, raw: dict[str, Any], tensors: _Tensors) -> BertConfig:
    path = directory / "config.json"

    def need(key: str) -> int:
        value = raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{path}: {key} is {value!r}, a positive integer is needed")
        return value

    hidden = need("hidden_size")
    heads = need("num_attention_heads")
    positions = need("max_position_embeddings")
    if hidden % heads:
        raise CheckpointError(
            f"{path}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}"
        )
    is_mpnet = tensors.architecture == "mpnet"
    offset = 2 if is_mpnet else 0  # MPNet keeps ids 0 and 1 for padding
    sentences = sentences_of(
        directory, raw, classifies=tensors.classifies, has_pooler=tensors.has_pooler
    )
    return BertConfig(
        architecture=tensors.architecture,
        layers=need("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        intermediate=need("intermediate_size"),
        vocabulary=need("vocab_size"),
        positions=positions,
        token_types=0 if is_mpnet else need("type_vocab_size"),
        activation=_activation(path, raw),
        norm_epsilon=_epsilon(path, raw.get("layer_norm_eps", DEFAULT_EPSILON)),
        position_offset=offset,
        relative_buckets=_relative_buckets(raw) if is_mpnet else 0,
        pooling=sentences.pooling,
        normalize=sentences.normalize,
        max_tokens=_max_tokens(directory, positions - offset),
        labels=_labels(path, raw) if tensors.classifies else (),
    )


def _activation(path: Path, raw: dict[str, Any]) -> str:
    activation = raw.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}: hidden_act is {activation!r}, supported are {', '.join(ACTIVATIONS)}"
        )
    return str(activation)


def _epsilon(path: Path, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise CheckpointError(
            f"{path}: layer_norm_eps is {value!r}; allowed are numbers between 0 and 1, such as "
            "1e-12"
        )
    return float(value)


def _relative_buckets(raw: dict[str, Any]) -> int:
    return int(raw.get("relative_attention_num_buckets", DEFAULT_BUCKETS))


def _max_tokens(directory: Path, longest: int) -> int:
    """The longest token list that the model was made for, of at most `longest`."""
    sentences = read_json(directory / "sentence_bert_config.json", optional=True)
    tokenizer = read_json(directory / "tokenizer_config.json", optional=True)
    stated = (sentences.get("max_seq_length"), tokenizer.get("model_max_length"))
    lengths: list[int] = [length for length in stated if length]
    return min([longest, *lengths])


def _labels(path: Path, raw: dict[str, Any]) -> tuple[str, ...]:
    """Names of the classes of the checkpoint's classifier."""
    kind = raw.get("problem_type")
    if kind not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{path}: problem_type is {kind!r}; supported are classifiers that give a sentence one "
            "class (single_label_classification)"
        )
    names = raw.get("id2label") or {}
    count = len(names) or raw.get("num_labels", 2)
    return tuple(str(names.get(str(number), number)) for number in range(count))
