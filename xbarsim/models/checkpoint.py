"""BERT checkpoints: a Hugging Face directory becomes a configuration, float32 arrays and a tokenizer.

A directory holds `config.json`, `model.safetensors` (float32, float16 or bfloat16) and `tokenizer.json` or `vocab.txt`.
What sentence-transformers adds (`1_Pooling/config.json`, `modules.json`, `sentence_bert_config.json`) is honoured, and
so is a key `"pooling"` ("mean", "cls" or "pooler") in `config.json`.  What is not understood (a
further module, a head of another kind, a tensor without a place) is refused, never left out.
"""
import hashlib
import json
from pathlib import Path

import numpy as np

from xbarsim.base.errors import CheckpointError
from xbarsim.models.bert import BertConfig, BertModel

SUPPORTED = ("bert", "mpnet")
POOLINGS = ("mean", "cls", "pooler")
FILES = (
    "config.json", "config_sentence_transformers.json", "model.safetensors", "tokenizer.json",
    "vocab.txt", "tokenizer_config.json", "1_Pooling/config.json", "modules.json",
    "sentence_bert_config.json",
)
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")

# What pretraining leaves in a file and no sentence needs: heads that predict words, and counters.
_LEFT_OUT = ("cls.predictions.", "cls.seq_relationship.", "lm_head.", "embeddings.position_ids")

# Modules of sentence-transformers that this reads, by the end of their type.
_MODULES = ("Transformer", "Pooling", "Normalize")

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

    used = set()

    def take(file_name, shape):
        tensor = tensors.get(file_name)
        if tensor is None:
            raise CheckpointError(f"{directory / 'model.safetensors'}: tensor {file_name!r} is missing, which "
                                  f"{architecture} with {config.layers} layers needs; the file is "
                                  "incomplete or belongs to another config.json")
        if tensor.shape != shape:
            raise CheckpointError(f"{directory / 'model.safetensors'}: tensor {file_name!r} has shape {tensor.shape}, "
                                  f"config.json asks for {shape}; the two files do not belong together")
        if tensor.dtype.kind != "f":
            raise CheckpointError(
                f"{directory / 'model.safetensors'}: tensor {file_name!r} holds integers "
                f"({tensor.dtype}); quantised weights are not read: save the model in float32"
            )
        if not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{directory / 'model.safetensors'}: tensor {file_name!r} holds "
                f"{np.count_nonzero(~np.isfinite(tensor))} values that are NaN or infinite; the "
                "file is damaged, or its training failed: fetch it again"
            )
        used.add(file_name)
        return tensor

    weights = {name: take(file_name, shape) for name, file_name, shape in _layout(config, has_pooler)}
    head = None
    if _classifies(tensors):
        labels = len(config.labels)
        head = take("classifier.weight", (labels, config.hidden)), take("classifier.bias", (labels,))
    _refuse_unused(directory, config, set(tensors) - used)
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


def _refuse_unused(directory, config, names):
    """CheckpointError if a tensor of the file has no place in the model."""
    names = sorted(name for name in names if not name.startswith(_LEFT_OUT))
    if not names:
        return
    path = directory / "model.safetensors"
    layers = 1 + max(_layer_of(name) for name in names)
    if layers > config.layers:
        raise CheckpointError(
            f"{path} holds {layers} layers, config.json says num_hidden_layers = "
            f"{config.layers}; correct it, or save the model with as many layers as are meant"
        )
    raise CheckpointError(
        f"{path}: {len(names)} tensors have no place in a {config.architecture} encoder with a "
        f"classifier, such as {names[0]!r}; the model would be another one without them: save it "
        "without, or choose another checkpoint"
    )


def _layer_of(name):
    """Number of the layer that a tensor belongs to; -1 of none."""
    number = name.removeprefix("encoder.layer.").partition(".")[0]
    return int(number) if number.isdigit() else -1


def load_tokenizer(directory):
    """The `tokenizers.Tokenizer` of a directory, from `tokenizer.json` or else `vocab.txt`, without padding."""
    try:
        from tokenizers import Tokenizer, normalizers
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
            stated = _read_json(directory / "tokenizer_config.json", optional=True)
            tokenizer = BertWordPieceTokenizer(
                str(source),
                lowercase=stated.get("do_lower_case", True),
                strip_accents=stated.get("strip_accents"),
                handle_chinese_chars=stated.get("tokenize_chinese_chars", True),
            )
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{source}: not a tokenizer that can be read ({error}); fetch the file again") from error
    tokenizer.no_padding()
    sentences = _read_json(directory / "sentence_bert_config.json", optional=True)
    if sentences.get("do_lower_case") is True:
        then = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *then])
    if len(tokenizer.encode("").ids) != 2:
        raise CheckpointError(
            f"{source}: an empty sentence becomes {tokenizer.encode('').tokens}, where a start and "
            "an end token are needed; its post_processor is missing or another one: save the "
            "tokenizer again with the model's own class"
        )
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
    if path.is_file() and (directory / "model.safetensors.index.json").is_file():
        raise CheckpointError(
            f"{directory} holds its weights twice, in model.safetensors and in the shards of "
            "model.safetensors.index.json; remove one of them"
        )
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
    origin = {}
    for name_in_file, tensor in tensors.items():
        name = name_in_file.removeprefix(f"{architecture}.")
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if name in origin:
            raise CheckpointError(
                f"{path} holds one tensor twice, as {origin[name]!r} and as {name_in_file!r}; save "
                "the model again with one of them"
            )
        origin[name] = name_in_file
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
    kind = raw.get("problem_type")
    if classifies and kind not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{path}: problem_type is {kind!r}; supported are classifiers that give a sentence one "
            "class (single_label_classification)"
        )
    stated = (_read_json(directory / "sentence_bert_config.json", optional=True).get("max_seq_length"),
              _read_json(directory / "tokenizer_config.json", optional=True).get("model_max_length"))
    names = raw.get("id2label") or {}
    count = len(names) or raw.get("num_labels", 2)
    return BertConfig(
        architecture=architecture, layers=need("num_hidden_layers"), hidden=hidden, heads=heads,
        intermediate=need("intermediate_size"), vocabulary=need("vocab_size"), positions=positions,
        token_types=need("type_vocab_size") if architecture == "bert" else 0, activation=activation,
        norm_epsilon=_epsilon(path, raw.get("layer_norm_eps", 1e-12)), position_offset=offset,
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
    modules = _modules(directory)
    pooling = raw.get("pooling")
    if pooling is None:
        pooling = _pooling_of_module(directory, modules)
    if pooling is None and classifies and not has_pooler:
        named = ", ".join(raw.get("architectures") or ()) or "no architectures"
        raise CheckpointError(
            f"{directory}: a classifier without the pooler that it reads (config.json names "
            f"{named}); a classifier of sentences has both: choose one, or write what it was "
            'trained on into config.json as "pooling": "mean" or "cls"'
        )
    if pooling is None:
        pooling = "pooler" if classifies else "mean"
    if pooling not in POOLINGS:
        raise CheckpointError(f"{directory / 'config.json'}: pooling is {pooling!r}, supported are "
                              f"{', '.join(POOLINGS)}")
    if pooling == "pooler" and not has_pooler:
        raise CheckpointError(f"{directory / 'config.json'}: pooling is 'pooler', but the checkpoint has no pooler; "
                              "use 'mean' or 'cls'")
    return pooling, any(kind == "Normalize" for kind, _ in modules)


def _modules(directory):
    """[(kind, folder)] of sentence-transformers' modules in their order, [] without any."""
    path = directory / "modules.json"
    found = _read_json(path, optional=True) or []
    if not isinstance(found, list) or not all(isinstance(module, dict) for module in found):
        raise CheckpointError(f"{path}: not a list of modules; fetch the file again")
    kinds = [str(module.get("type")).rpartition(".")[2] for module in found]
    modules = list(zip(kinds, (str(module.get("path", "")) for module in found), strict=True))
    unknown = [f"{kind} in {folder!r}" for kind, folder in modules if kind not in _MODULES]
    if unknown:
        raise CheckpointError(
            f"{path}: {', '.join(unknown)} would change every embedding and is not supported; "
            f"supported are {', '.join(_MODULES)}: choose a checkpoint of these"
        )
    settings = directory / "config_sentence_transformers.json"
    prompt = _read_json(settings, optional=True).get("default_prompt_name")
    if prompt is not None:
        raise CheckpointError(
            f"{settings}: default_prompt_name is {prompt!r}, a text before every sentence, which "
            "is "
            "not supported; put it into the sentences and set the key to null"
        )
    return modules


def _pooling_of_module(directory, modules):
    """What the module of pooling states; None where there is none."""
    folders = [folder for kind, folder in modules if kind == "Pooling"]
    path = directory / (folders[0] if folders else "1_Pooling") / "config.json"
    modes = _read_json(path, optional=not folders)
    if not modes:
        return None
    stated = [key for key, on in modes.items() if key.startswith("pooling_mode_") and on is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(stated) != 1 or stated[0] not in known:
        raise CheckpointError(
            f"{path}: pooling {' + '.join(stated) or 'none'} is not supported; supported are "
            f"{', '.join(known)}"
        )
    return known[stated[0]]


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
