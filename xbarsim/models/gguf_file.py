"""Decoders in GGUF files: weights with every quantisation undone, configuration and tokenizer.

The de-quantised float32 values are the model.  GGUF of Llama models keeps the rows of queries and
keys so that neighbours turn together; here they are put back to pairs (k, k + d / 2), as everywhere
else.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_types import Singles
from xbarsim.base.errors import CheckpointError
from xbarsim.base.given_files import check_file
from xbarsim.models.decoder import DecoderConfig, DecoderModel
from xbarsim.models.decoder_checkpoint import checked_weights
from xbarsim.models.operations import Norm
from xbarsim.models.rotary import Rotary

WHOLE = {
    "token_embd.weight": "embeddings.word",
    "position_embd.weight": "embeddings.position",
    "output_norm.weight": "final_norm.weight",
    "output_norm.bias": "final_norm.bias",
    "output.weight": "logits.weight",
    "output.bias": "logits.bias",
}
LAYER = {
    "attn_q": "query",
    "attn_k": "key",
    "attn_v": "value",
    "attn_output": "attention_output",
    "attn_norm": "attention_norm",
    "ffn_norm": "feed_forward_norm",
    "ffn_gate": "gate",
    "ffn_up": "intermediate",
    "ffn_down": "output",
}
FUSED = "attn_qkv"
FREQUENCY_FACTORS = "rope_freqs.weight"
NEIGHBOURS_TURN = ("llama",)  # architectures whose rows of queries and keys are permuted
SUPPORTED = ("llama", "qwen2", "gpt2")
CONTROL = 3  # token type of GGUF: a control token such as <|endoftext|>


def open_gguf(path: str | Path) -> Any:
    """The contents of a GGUF file, for `load_gguf` and `load_gguf_tokenizer` to share.

    Raises
    ------
    CheckpointError : no file, or not a whole GGUF file
    """
    return _reader(Path(path))


def load_gguf(path: str | Path, opened: Any = None) -> DecoderModel:
    """Read a GGUF file of a decoder; `opened` is what `open_gguf` returned, if it was called.

    Returns
    -------
    DecoderModel, whose `path` is the file

    Raises
    ------
    CheckpointError : not a whole GGUF file, of an architecture or quantisation that is not
        supported, without a tensor that the configuration needs
    """
    path = Path(path)
    reader = opened or _reader(path)
    fields = _Fields(path, reader)
    architecture = fields.text("general.architecture")
    if architecture not in SUPPORTED:
        raise CheckpointError(
            f"{path}: architecture {architecture!r} is not supported; supported are "
            f"{', '.join(SUPPORTED)}"
        )
    tensors = {tensor.name: _float32(path, tensor) for tensor in reader.tensors}
    factors = tensors.pop(FREQUENCY_FACTORS, None)
    config = _config(fields, architecture, tensors, factors)
    weights = _named(path, config, tensors)
    if architecture in NEIGHBOURS_TURN:
        _pair_halves(config, weights)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return DecoderModel(config, checked_weights(path, config, weights), sha256, path)


def load_gguf_tokenizer(path: str | Path, opened: Any = None) -> Any:
    """The `tokenizers.Tokenizer` of a GGUF file whose vocabulary is byte-level BPE; `opened` as in
    `load_gguf`.

    Raises
    ------
    CheckpointError : another kind of vocabulary
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    path = Path(path)
    fields = _Fields(path, opened or _reader(path))
    kind = fields.text("tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(
            f"{path}: its tokenizer is of kind {kind!r}, only byte-level BPE (gpt2) is supported; put the "
            "model's tokenizer.json beside the file"
        )
    tokens = fields.texts("tokenizer.ggml.tokens")
    merges = [_pair(merge) for merge in fields.texts("tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    pieces = fields.text("tokenizer.ggml.pre", "default")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pieces == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    elif pieces in ("default", "gpt-2"):
        tokenizer.pre_tokenizer = byte_level
    elif pieces == "qwen2":
        split = pre_tokenizers.Split(Regex(QWEN2_PIECES), behavior="isolated")
        whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, whole])
    else:
        raise CheckpointError(
            f"{path}: its text is cut into pieces by the rule {pieces!r}; supported are smollm, gpt-2, "
            "qwen2 and default; put the model's tokenizer.json beside the file"
        )
    tokenizer.decoder = decoders.ByteLevel()
    control = fields.whole_numbers("tokenizer.ggml.token_type")
    special = [token for token, of_kind in zip(tokens, control, strict=True) if of_kind == CONTROL]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special]
    )
    return tokenizer


def _pair(merge: str) -> tuple[str, str]:
    first, _, second = merge.partition(" ")
    return first, second


QWEN2_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)  # Qwen2's published pre-tokenizer


def _reader(path: Path) -> Any:
    """The gguf.GGUFReader of a file."""
    try:
        from gguf import GGUFReader
    except ImportError:
        raise CheckpointError("GGUF files need gguf: pip install 'xbarsim[gguf]'") from None
    try:
        check_file(path, CheckpointError)
        return GGUFReader(path)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except Exception as error:  # the library raises whatever a cut file makes it raise
        raise CheckpointError(
            f"{path}: not a whole GGUF file ({type(error).__name__}: {error}); fetch it again"
        ) from None


class _Fields:
    """Metadata of a GGUF file, each value checked when it is read."""

    def __init__(self, path: Path, reader: Any) -> None:
        self.path = path
        self.fields = reader.fields

    def value(self, key: str, default: object = None) -> Any:
        field = self.fields.get(key)
        if field is not None:
            return field.contents()
        if default is None:
            raise CheckpointError(f"{self.path}: the key {key!r} is missing")
        return default

    def text(self, key: str, default: str | None = None) -> str:
        value = self.value(key, default)
        if not isinstance(value, str):
            raise CheckpointError(f"{self.path}: {key} is {value!r}, a text is needed")
        return value

    def token(self, key: str) -> int | None:
        """A token id, or None where the file states none."""
        return int(self.value(key)) if key in self.fields else None

    def texts(self, key: str) -> list[str]:
        return list(self.value(key))

    def whole_numbers(self, key: str) -> list[int]:
        return [int(value) for value in self.value(key)]

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{self.path}: {key} is {value!r}, a positive integer is needed")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self.value(key, default)
        if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise CheckpointError(f"{self.path}: {key} is {value!r}, a positive number is needed")
        return float(value)


def _float32(path: Path, tensor: Any) -> Singles:
    """A tensor with its quantisation undone, in the order (out, in)."""
    from gguf.quants import dequantize

    try:
        values = dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
        raise CheckpointError(
            f"{path}: {tensor.name} is quantised as {tensor.tensor_type.name}, which cannot be undone; "
            "take a file of another quantisation"
        ) from None
    values = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(values).all():
        raise CheckpointError(f"{path}: {tensor.name} holds NaN or infinity; the file is damaged")
    return values.reshape(tuple(int(size) for size in tensor.shape[::-1]))


def _config(
    fields: _Fields,
    architecture: str,
    tensors: dict[str, Singles],
    frequency_factors: Singles | None,
) -> DecoderConfig:
    def key(name: str) -> str:
        return f"{architecture}.{name}"

    heads = fields.whole(key("attention.head_count"))
    hidden = fields.whole(key("embedding_length"))
    head_width = fields.whole(key("attention.key_length"), max(hidden // heads, 1))
    learned = architecture == "gpt2"
    epsilon = "attention.layer_norm_epsilon" if learned else "attention.layer_norm_rms_epsilon"
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise CheckpointError(f"{fields.path}: the tensor token_embd.weight is missing")
    end = fields.token("tokenizer.ggml.eos_token_id")
    return DecoderConfig(
        architecture=architecture,
        layers=fields.whole(key("block_count")),
        hidden=hidden,
        heads=heads,
        key_value_heads=fields.whole(key("attention.head_count_kv"), heads),
        head_width=head_width,
        intermediate=fields.whole(key("feed_forward_length")),
        vocabulary=embedding.shape[0],
        positions=fields.whole(key("context_length")),
        norm=Norm.LAYER if learned else Norm.RMS,
        norm_epsilon=fields.number(key(epsilon)),
        activation="gelu_new" if learned else "silu",
        gated=not learned,
        parallel=False,
        tied="output.weight" not in tensors,
        rotary=None if learned else _rotary(fields, architecture, head_width, frequency_factors),
        beginning=fields.token("tokenizer.ggml.bos_token_id"),
        ends=() if end is None else (end,),
    )


def _rotary(fields: _Fields, architecture: str, head_width: int, factors: Singles | None) -> Rotary:
    scaling = fields.text(f"{architecture}.rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise CheckpointError(f"{fields.path}: rope scaling of type {scaling!r} is not supported")
    width = fields.whole(f"{architecture}.rope.dimension_count", head_width)
    base = np.float32(fields.number(f"{architecture}.rope.freq_base", 10000.0))
    exponent = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    frequencies = (1.0 / np.power(base, exponent)).astype(np.float32)
    if scaling == "linear":
        frequencies = frequencies / np.float32(fields.number(f"{architecture}.rope.scaling.factor"))
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float32)
    return Rotary(width, frequencies)


def _named(path: Path, config: DecoderConfig, tensors: dict[str, Singles]) -> dict[str, Singles]:
    """Tensors under our names; what has no place is an error."""
    weights = {}
    for name, tensor in tensors.items():
        if name in WHOLE:
            weights[WHOLE[name]] = tensor
            continue
        try:
            block, number, matrix, part = name.split(".")
        except ValueError:
            block = ""
        if block != "blk" or (matrix not in LAYER and matrix != FUSED):
            raise CheckpointError(
                f"{path}: the tensor {name!r} has no place in {config.architecture}"
            )
        if matrix == FUSED:
            for ours, piece in zip(("query", "key", "value"), np.split(tensor, 3), strict=True):
                weights[f"layer.{number}.{ours}.{part}"] = piece
        else:
            weights[f"layer.{number}.{LAYER[matrix]}.{part}"] = tensor
    return weights


def _pair_halves(config: DecoderConfig, weights: dict[str, Singles]) -> None:
    """Rows of queries and keys from neighbouring pairs (0, 1), (2, 3), ... to pairs (k, k + d / 2)."""
    for layer in range(config.layers):
        for name, heads in (("query", config.heads), ("key", config.key_value_heads)):
            for part in ("weight", "bias"):
                key = f"layer.{layer}.{name}.{part}"
                if key in weights:
                    rows = weights[key]
                    pairs = rows.reshape(heads, config.head_width // 2, 2, -1)
                    halves = pairs.swapaxes(1, 2).reshape(rows.shape)
                    weights[key] = np.ascontiguousarray(halves)
