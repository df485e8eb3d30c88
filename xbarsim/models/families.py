"""Names and settings of decoder checkpoints of Hugging Face: one `Family` per architecture.

A family says which tensor of a file is which of ours, and reads its `config.json` into a
`DecoderConfig`.  A new architecture with the same steps is one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim.base.errors import CheckpointError
from xbarsim.models.config_reader import MOST_LAYERS, Reader
from xbarsim.models.decoder import DecoderConfig
from xbarsim.models.operations import Norm
from xbarsim.models.rotary import rotary_of


@dataclass(frozen=True)
class Family:
    """How one architecture writes its checkpoint.

    prefixes : what may stand before every name
    whole : our name of a matrix, norm or embedding -> name in the file
    layer : likewise within a layer;  layers : name of layer {i} in the file
    transposed : our names of matrices that the file holds as (in, out)
    fused : (name in the file, our names of its parts), of equal size, one after the other
    buffers : ends of names of tensors that are no weights
    config : function (path, content) -> DecoderConfig
    """

    prefixes: tuple[str, ...]
    whole: dict[str, str]
    layers: str
    layer: dict[str, str]
    config: Callable[[Path, dict[str, Any]], DecoderConfig]
    transposed: frozenset[str] = frozenset()
    fused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buffers: tuple[str, ...] = ()


def _check_windows(reader: Reader, positions: int) -> None:
    """A window of attention that is shorter than the context is not built."""
    window = reader.raw.get("sliding_window")
    if window is None or reader.raw.get("use_sliding_window") is False or window >= positions:
        return
    if reader.raw.get("use_sliding_window", reader.raw.get("model_type") != "qwen2"):
        raise CheckpointError(
            f"{reader.path}: sliding_window is {window} of {positions} positions, which is not "
            f"supported; set max_position_embeddings to {window} to use the model that far"
        )


def _llama_config(path: Path, raw: dict[str, Any]) -> DecoderConfig:
    reader = Reader(path, raw)
    hidden = reader.whole("hidden_size")
    heads = reader.whole("num_attention_heads")
    key_value_heads = reader.whole("num_key_value_heads", heads)
    if heads % key_value_heads:
        raise CheckpointError(
            f"{path}: num_attention_heads {heads} is not a multiple of num_key_value_heads "
            f"{key_value_heads}"
        )
    head_width = reader.heads(hidden, heads)
    positions = reader.whole("max_position_embeddings", 2048)
    _check_windows(reader, positions)
    return DecoderConfig(
        architecture=raw["model_type"],
        layers=reader.whole("num_hidden_layers", most=MOST_LAYERS),
        hidden=hidden,
        heads=heads,
        key_value_heads=key_value_heads,
        head_width=head_width,
        intermediate=reader.whole("intermediate_size"),
        vocabulary=reader.whole("vocab_size"),
        positions=positions,
        norm=Norm.RMS,
        norm_epsilon=reader.positive("rms_norm_eps", 1e-6),
        activation=reader.activation("hidden_act", "silu"),
        gated=True,
        parallel=False,
        tied=bool(raw.get("tie_word_embeddings", False)),
        rotary=rotary_of(path, raw, head_width),
        beginning=raw.get("bos_token_id"),
        ends=reader.ends(),
    )


def _gpt2_config(path: Path, raw: dict[str, Any]) -> DecoderConfig:
    reader = Reader(path, raw)
    reader.only("scale_attn_weights", True)
    reader.only("scale_attn_by_inverse_layer_idx", False)
    reader.only("add_cross_attention", False)
    hidden = reader.whole("n_embd")
    heads = reader.whole("n_head")
    return DecoderConfig(
        architecture="gpt2",
        layers=reader.whole("n_layer", most=MOST_LAYERS),
        hidden=hidden,
        heads=heads,
        key_value_heads=heads,
        head_width=reader.heads(hidden, heads),
        intermediate=reader.whole("n_inner", 4 * hidden),
        vocabulary=reader.whole("vocab_size"),
        positions=reader.whole("n_positions"),
        norm=Norm.LAYER,
        norm_epsilon=reader.positive("layer_norm_epsilon", 1e-5),
        activation=reader.activation("activation_function", "gelu_new"),
        gated=False,
        parallel=False,
        tied=bool(raw.get("tie_word_embeddings", True)),
        beginning=raw.get("bos_token_id"),
        ends=reader.ends(),
    )


def _phi_config(path: Path, raw: dict[str, Any]) -> DecoderConfig:
    reader = Reader(path, raw)
    reader.only("qk_layernorm", False)
    hidden = reader.whole("hidden_size")
    heads = reader.whole("num_attention_heads")
    head_width = reader.heads(hidden, heads)
    rope = raw.get("rope_parameters") or {}
    share = rope.get("partial_rotary_factor", raw.get("partial_rotary_factor", 0.5))
    return DecoderConfig(
        architecture="phi",
        layers=reader.whole("num_hidden_layers", most=MOST_LAYERS),
        hidden=hidden,
        heads=heads,
        key_value_heads=reader.whole("num_key_value_heads", heads),
        head_width=head_width,
        intermediate=reader.whole("intermediate_size"),
        vocabulary=reader.whole("vocab_size"),
        positions=reader.whole("max_position_embeddings", 2048),
        norm=Norm.LAYER,
        norm_epsilon=reader.positive("layer_norm_eps", 1e-5),
        activation=reader.activation("hidden_act", "gelu_new"),
        gated=False,
        parallel=True,
        tied=bool(raw.get("tie_word_embeddings", False)),
        rotary=rotary_of(path, raw, int(head_width * share)),
        beginning=raw.get("bos_token_id"),
        ends=reader.ends(),
    )


def _opt_config(path: Path, raw: dict[str, Any]) -> DecoderConfig:
    reader = Reader(path, raw)
    reader.only("do_layer_norm_before", True)
    reader.only("enable_bias", True)
    reader.only("layer_norm_elementwise_affine", True)
    reader.only("_remove_final_layer_norm", False)
    hidden = reader.whole("hidden_size")
    reader.only("word_embed_proj_dim", hidden)
    heads = reader.whole("num_attention_heads")
    return DecoderConfig(
        architecture="opt",
        layers=reader.whole("num_hidden_layers", most=MOST_LAYERS),
        hidden=hidden,
        heads=heads,
        key_value_heads=heads,
        head_width=reader.heads(hidden, heads),
        intermediate=reader.whole("ffn_dim"),
        vocabulary=reader.whole("vocab_size"),
        positions=reader.whole("max_position_embeddings", 2048),
        norm=Norm.LAYER,
        norm_epsilon=1e-5,  # PyTorch's own, which the architecture uses
        activation=reader.activation("activation_function", "relu"),
        gated=False,
        parallel=False,
        tied=bool(raw.get("tie_word_embeddings", True)),
        position_offset=2,  # rows 0 and 1 are for padding
        beginning=raw.get("bos_token_id"),
        ends=reader.ends(),
    )


_LLAMA = Family(
    prefixes=("model.",),
    whole={
        "embeddings.word": "embed_tokens",
        "final_norm": "norm",
        "logits": "lm_head",
    },
    layers="layers.{i}",
    layer={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.o_proj",
        "attention_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "intermediate": "mlp.up_proj",
        "output": "mlp.down_proj",
    },
    config=_llama_config,
    buffers=("rotary_emb.inv_freq",),
)

_GPT2 = Family(
    prefixes=("transformer.",),
    whole={
        "embeddings.word": "wte",
        "embeddings.position": "wpe",
        "final_norm": "ln_f",
        "logits": "lm_head",
    },
    layers="h.{i}",
    layer={
        "attention_output": "attn.c_proj",
        "attention_norm": "ln_1",
        "feed_forward_norm": "ln_2",
        "intermediate": "mlp.c_fc",
        "output": "mlp.c_proj",
    },
    config=_gpt2_config,
    transposed=frozenset({"query", "key", "value", "attention_output", "intermediate", "output"}),
    fused=(("attn.c_attn", ("query", "key", "value")),),
    buffers=(".attn.bias", ".attn.masked_bias"),
)

_PHI = Family(
    prefixes=("model.",),
    whole={
        "embeddings.word": "embed_tokens",
        "final_norm": "final_layernorm",
        "logits": "lm_head",
    },
    layers="layers.{i}",
    layer={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.dense",
        "attention_norm": "input_layernorm",
        "intermediate": "mlp.fc1",
        "output": "mlp.fc2",
    },
    config=_phi_config,
    buffers=("rotary_emb.inv_freq",),
)

_OPT = Family(
    prefixes=("model.decoder.", "decoder."),
    whole={
        "embeddings.word": "embed_tokens",
        "embeddings.position": "embed_positions",
        "final_norm": "final_layer_norm",
        "logits": "lm_head",
    },
    layers="layers.{i}",
    layer={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.out_proj",
        "attention_norm": "self_attn_layer_norm",
        "feed_forward_norm": "final_layer_norm",
        "intermediate": "fc1",
        "output": "fc2",
    },
    config=_opt_config,
)

FAMILIES = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "gpt2": _GPT2,
    "phi": _PHI,
    "opt": _OPT,
}
