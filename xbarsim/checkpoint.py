"""BERT checkpoints: a Hugging Face directory becomes a configuration, float32 arrays and a tokenizer.

A directory holds `config.json`, `model.safetensors` (float32, float16 or bfloat16) and `tokenizer.json` or `vocab.txt`.
What sentence-transformers adds (`1_Pooling/config.json`, `modules.json`, `sentence_bert_config.json`) is honoured, and
so is a key `"pooling"` ("mean", "cls" or "pooler") in `config.json`.
"""
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.errors import CheckpointError

SUPPORTED = ("bert", "mpnet")
POOLINGS = ("mean", "cls", "pooler")
FILES = ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json",
         "1_Pooling/config.json", "modules.json", "sentence_bert_config.json")
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")

# our name -> name in the file, per architecture; {i} is the layer
_EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.norm.weight": "embeddings.LayerNorm.weight",
    "embeddings.norm.bias": "embeddings.LayerNorm.bias",
}
_EXTRA_EMBEDDINGS = {
    "bert": {"embeddings.token_type": "embeddings.token_type_embeddings.weight"},
    "mpnet": {"relative_attention_bias": "encoder.relative_attention_bias.weight"},
}
_LAYER = {
    "bert": {
        "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
        "attention_output": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense", "output": "output.dense", "output_norm": "output.LayerNorm",
    },
    "mpnet": {
        "query": "attention.attn.q", "key": "attention.attn.k", "value": "attention.attn.v",
        "attention_output": "attention.attn.o", "attention_norm": "attention.LayerNorm",
        "intermediate": "intermediate.dense", "output": "output.dense", "output_norm": "output.LayerNorm",
    },
}


@dataclass(frozen=True)
class BertConfig:
    """What the forward pass needs to know of a checkpoint.

    `position_offset` is the position id of the first token, `relative_buckets` the number of buckets of MPNet's
    relative position bias (0: none), `max_tokens` the longest token list the model was made for.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    activation: str
    layer_norm_epsilon: float
    position_offset: int
    relative_buckets: int
    pooling: str
    normalize: bool
    max_tokens: int
    labels: tuple[str, ...]


@dataclass(frozen=True)
class BertModel:
    """A checkpoint in memory.

    `weights` maps our names (`layer.0.query.weight`, `embeddings.word`, ...) to float32 arrays, `head` is the
    classifier's `(weight (labels, hidden), bias (labels,))` or None, `sha256` that of the weights file.
    """

    config: BertConfig
    weights: dict[str, np.ndarray]
    head: tuple[np.ndarray, np.ndarray] | None
    sha256: str
    directory: Path

    def matrix(self, name):
        """`(weight (out, in), bias (out,))` of one dense layer, for example `layer.0.query` or `pooler`."""
        try:
            return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        except KeyError:
            raise CheckpointError(f"{self.directory}: the checkpoint has no matrix {name!r}; layers are "
                                  f"numbered from 0 to {self.config.layers - 1}") from None


def load_bert(directory):
    """Read a Hugging Face BERT or MPNet directory into a `BertModel`.

    Raises
    ------
    CheckpointError : a file is missing or damaged, a tensor is missing or has another shape than `config.json` says,
        or the architecture is not one of `SUPPORTED`.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: not a directory; give a Hugging Face directory with config.json and "
                              "model.safetensors, or a name that `xbarsim fetch --list` shows")
    raw = _read_json(directory / "config.json")
    architecture = _architecture(directory, raw)
    tensors, sha256 = _read_tensors(directory, architecture)
    has_pooler = "pooler.dense.weight" in tensors
    config = _config(directory, raw, architecture, classifies=_classifies(tensors), has_pooler=has_pooler)

    def take(file_name, shape):
        tensor = tensors.get(file_name)
        if tensor is None:
            raise CheckpointError(f"{directory / 'model.safetensors'}: tensor {file_name!r} is missing, which "
                                  f"{architecture} with {config.layers} layers needs; the file is "
                                  "incomplete or belongs to another config.json")
        if tensor.shape != shape:
            raise CheckpointError(f"{directory / 'model.safetensors'}: tensor {file_name!r} has shape {tensor.shape}, "
                                  f"config.json asks for {shape}; the two files do not belong together")
        if not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{directory / 'model.safetensors'}: tensor {file_name!r} holds "
                f"{np.count_nonzero(~np.isfinite(tensor))} values that are NaN or infinite; the "
                "file is damaged, or its training failed: fetch it again"
            )
        return tensor

    weights = {name: take(file_name, shape) for name, file_name, shape in _layout(config, has_pooler)}
    head = None
    if _classifies(tensors):
        labels = len(config.labels)
        head = take("classifier.weight", (labels, config.hidden)), take("classifier.bias", (labels,))
    return BertModel(config, weights, head, sha256, directory)


def file_hashes(directory):
    """{file: sha256} of the files of a checkpoint directory that decide what is computed."""
    directory = Path(directory)
    present = [name for name in FILES if (directory / name).is_file()]
    hashes = {}
    for name in present:
        with (directory / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def load_tokenizer(directory):
    """The `tokenizers.Tokenizer` of a directory, from `tokenizer.json` or else `vocab.txt`, without padding."""
    try:
        from tokenizers import Tokenizer
        from tokenizers.implementations import BertWordPieceTokenizer
    except ImportError:
        raise CheckpointError("tokenizers of models need tokenizers: pip install 'xbarsim[bert]'") from None

    directory = Path(directory)
    source = next((directory / name for name in ("tokenizer.json", "vocab.txt") if (directory / name).is_file()), None)
    if source is None:
        raise CheckpointError(f"{directory}: neither tokenizer.json nor vocab.txt is there; copy the tokenizer "
                              "files of the model next to its weights")
    try:
        if source.name == "tokenizer.json":
            tokenizer = Tokenizer.from_file(str(source))
        else:
            lowercase = _read_json(directory / "tokenizer_config.json", optional=True).get("do_lower_case", True)
            tokenizer = BertWordPieceTokenizer(str(source), lowercase=lowercase)
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{source}: not a tokenizer that can be read ({error}); fetch the file again") from error
    tokenizer.no_padding()
    return tokenizer


def _read_json(path, optional=False):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if optional:
            return {}
        raise CheckpointError(f"{path}: file is missing; a checkpoint directory holds config.json, "
                              "model.safetensors and tokenizer.json or vocab.txt") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    return content


def _architecture(directory, raw):
    architecture = raw.get("model_type") if isinstance(raw, dict) else None
    if architecture not in SUPPORTED:
        raise CheckpointError(f"{directory / 'config.json'}: model_type is {architecture!r}, supported are "
                              f"{' and '.join(SUPPORTED)} encoders; choose a checkpoint of one of these")
    unsupported = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
    for key, value in unsupported.items():
        if raw.get(key, value) != value:
            raise CheckpointError(f"{directory / 'config.json'}: {key} is {raw[key]!r}, only {value!r} is supported")
    return architecture


def _read_tensors(directory, architecture):
    """All tensors of `model.safetensors` by name without the architecture's prefix, and the file's sha256."""
    path = directory / "model.safetensors"
    if not path.is_file():
        if any(directory.glob("*.bin")):
            raise CheckpointError(f"{directory}: only pytorch_model.bin is there, a pickle, which is not loaded; "
                                  "write model.safetensors once with transformers: "
                                  "model.save_pretrained(directory, safe_serialization=True)")
        raise CheckpointError(f"{path}: file is missing; weights are read from one model.safetensors"
                              + (" (this one is sharded: save it again with max_shard_size='10GB')"
                                 if any(directory.glob("model-*.safetensors")) else ""))
    try:
        from safetensors import SafetensorError, deserialize, safe_open
    except ImportError:
        raise CheckpointError("weights of models need safetensors: pip install 'xbarsim[bert]'") from None

    try:
        with safe_open(path, "np") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}
            wrong = sorted(set(kinds.values()) - {"F16", "BF16", "F32", "F64", "I64"})
            if wrong:
                raise CheckpointError(f"{path}: tensors of type {', '.join(wrong)}; supported are F32, F16 and BF16")
            if "BF16" in kinds.values():  # NumPy has no bfloat16: its bits are the upper half of a float32
                tensors = {name: _from_bytes(**tensor) for name, tensor in deserialize(path.read_bytes())}
            else:
                tensors = {name: file.get_tensor(name) for name in kinds}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error}); fetch it again") from error
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix(f"{architecture}.")
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        renamed[name] = np.ascontiguousarray(tensor, dtype=np.float32) if tensor.dtype.kind == "f" else tensor
    with path.open("rb") as file:
        return renamed, hashlib.file_digest(file, "sha256").hexdigest()


def _from_bytes(data, dtype, shape):
    if dtype == "BF16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}[dtype]).reshape(shape)


def _classifies(tensors):
    return "classifier.weight" in tensors and "classifier.bias" in tensors


def _config(directory, raw, architecture, classifies, has_pooler):
    path = directory / "config.json"

    def need(key):
        value = raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{path}: {key} is {value!r}, a positive integer is needed")
        return value

    hidden, heads, positions = need("hidden_size"), need("num_attention_heads"), need("max_position_embeddings")
    if hidden % heads:
        raise CheckpointError(f"{path}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}")
    activation = raw.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise CheckpointError(f"{path}: hidden_act is {activation!r}, supported are {', '.join(ACTIVATIONS)}")
    offset = 2 if architecture == "mpnet" else 0  # MPNet keeps ids 0 and 1 for padding
    pooling, normalize = _pooling(directory, raw, classifies, has_pooler)
    stated = (_read_json(directory / "sentence_bert_config.json", optional=True).get("max_seq_length"),
              _read_json(directory / "tokenizer_config.json", optional=True).get("model_max_length"))
    names = raw.get("id2label") or {}
    count = len(names) or raw.get("num_labels", 2)
    return BertConfig(
        architecture=architecture, layers=need("num_hidden_layers"), hidden=hidden, heads=heads,
        intermediate=need("intermediate_size"), vocabulary=need("vocab_size"), positions=positions,
        token_types=need("type_vocab_size") if architecture == "bert" else 0, activation=activation,
        layer_norm_epsilon=_epsilon(path, raw.get("layer_norm_eps", 1e-12)), position_offset=offset,
        relative_buckets=raw.get("relative_attention_num_buckets", 32) if architecture == "mpnet" else 0,
        pooling=pooling, normalize=normalize, max_tokens=min(positions - offset, *filter(None, stated), positions),
        labels=tuple(str(names.get(str(k), k)) for k in range(count)) if classifies else ())


def _epsilon(path, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise CheckpointError(
            f"{path}: layer_norm_eps is {value!r}; allowed are numbers between 0 and 1, such as "
            "1e-12"
        )
    return float(value)


def _pooling(directory, raw, classifies, has_pooler):
    """(pooling, normalize): what the files state, else the pooler for a classifier and the mean for the rest."""
    pooling = raw.get("pooling")
    modes = _read_json(directory / "1_Pooling" / "config.json", optional=True)
    if pooling is None and modes:
        stated = [key for key, on in modes.items() if key.startswith("pooling_mode_") and on is True]
        known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        if len(stated) != 1 or stated[0] not in known:
            raise CheckpointError(f"{directory / '1_Pooling' / 'config.json'}: pooling {' + '.join(stated) or 'none'} "
                                  f"is not supported; supported are {', '.join(known)}")
        pooling = known[stated[0]]
    if pooling is None:
        pooling = "pooler" if classifies and has_pooler else "mean"
    if pooling not in POOLINGS:
        raise CheckpointError(f"{directory / 'config.json'}: pooling is {pooling!r}, supported are "
                              f"{', '.join(POOLINGS)}")
    if pooling == "pooler" and not has_pooler:
        raise CheckpointError(f"{directory / 'config.json'}: pooling is 'pooler', but the checkpoint has no pooler; "
                              "use 'mean' or 'cls'")
    modules = _read_json(directory / "modules.json", optional=True) or []
    return pooling, any(str(module.get("type", "")).endswith(".Normalize") for module in modules)


def _layout(config, has_pooler):
    """(our name, name in the file, shape) of every tensor of the encoder."""
    h, f = config.hidden, config.intermediate
    shapes = {"embeddings.word": (config.vocabulary, h), "embeddings.position": (config.positions, h),
              "embeddings.token_type": (config.token_types, h), "embeddings.norm.weight": (h,),
              "embeddings.norm.bias": (h,), "relative_attention_bias": (config.relative_buckets, config.heads)}
    for name, file_name in (_EMBEDDINGS | _EXTRA_EMBEDDINGS[config.architecture]).items():
        yield name, file_name, shapes[name]
    for i in range(config.layers):
        for name, file_name in _LAYER[config.architecture].items():
            shape = (h,) if name.endswith("norm") else {"intermediate": (f, h), "output": (h, f)}.get(name, (h, h))
            yield f"layer.{i}.{name}.weight", f"encoder.layer.{i}.{file_name}.weight", shape
            yield f"layer.{i}.{name}.bias", f"encoder.layer.{i}.{file_name}.bias", shape[:1]
    if has_pooler:
        yield "pooler.weight", "pooler.dense.weight", (h, h)
        yield "pooler.bias", "pooler.dense.bias", (h,)
