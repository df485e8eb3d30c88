"""GGUF files: written here by the format's own library, read back, compared with safetensors."""

import numpy as np
import pytest
from tiny_decoders import CONFIGS, make_tiny_decoder, tensors_of

from xbarsim.base.errors import CheckpointError
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.models.gguf_file import load_gguf, load_gguf_tokenizer

gguf = pytest.importorskip("gguf", reason="GGUF files need the extra gguf")

SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "tie_word_embeddings": True,
}
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
IDS = np.random.default_rng(0).integers(0, 96, (2, 17))
TOKENS = ["<|endoftext|>", "a", "b", "c", "Ġ", "ab", "Ġa", "1", "2"]


def neighbours(rows, heads):
    """Rows of a head from pairs (k, k + d / 2) to neighbours (0, 1), (2, 3), ..., one by one."""
    width = len(rows) // heads
    result = np.empty_like(rows)
    for head in range(heads):
        for k in range(width // 2):
            result[head * width + 2 * k] = rows[head * width + k]
            result[head * width + 2 * k + 1] = rows[head * width + width // 2 + k]
    return result


def write_gguf(path, kind="F32", architecture="llama", tokens=TOKENS, pieces="smollm"):
    """A tiny Llama as GGUF, its matrices of a quantisation."""
    config = CONFIGS["llama"] | SIZES
    kind = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pieces)
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges(["a b", "Ġ a"])
    writer.add_bos_token_id(0)
    for name, values in tensors_of(config).items():
        _add(writer, config, kind, name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer, config, kind, name, values):
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in whole:
        theirs = whole[name]
    else:
        _, _, number, *matrix = name.removesuffix(".weight").split(".")
        theirs = f"blk.{number}.{NAMES['.'.join(matrix)]}.weight"
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    turned = values
    for projection, count in heads.items():
        if projection in name:
            turned = neighbours(values, count)
    if values.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
        writer.add_tensor(theirs, turned)
    else:
        writer.add_tensor(theirs, gguf.quants.quantize(turned, kind), raw_dtype=kind)


def test_a_gguf_is_the_model_that_its_safetensors_are(tmp_path):
    write_gguf(tmp_path / "m.gguf")
    expected = load_decoder(make_tiny_decoder(tmp_path / "m", "llama", **SIZES))
    found = load_gguf(tmp_path / "m.gguf")
    ones = np.ones(IDS.shape)
    np.testing.assert_allclose(
        found.forward(IDS, ones), expected.forward(IDS, ones), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("kind", "step"), [("Q8_0", 1 / 127), ("Q4_1", 1 / 15), ("Q5_0", 1 / 16)])
def test_quantised_values_are_within_a_step_of_what_was_written(tmp_path, kind, step):
    write_gguf(tmp_path / "m.gguf", kind)
    expected = load_decoder(make_tiny_decoder(tmp_path / "m", "llama", **SIZES))
    found = load_gguf(tmp_path / "m.gguf")
    for name in ("layer.0.query", "layer.1.output", "layer.0.value"):
        weight = expected.matrix(name)[0]
        difference = np.abs(found.matrix(name)[0] - weight)
        assert 0 < difference.max() <= 2 * step * np.abs(weight).max()


def test_the_tokenizer_is_that_of_the_file(tmp_path):
    write_gguf(tmp_path / "m.gguf")
    tokenizer = load_gguf_tokenizer(tmp_path / "m.gguf")
    ids = tokenizer.encode("<|endoftext|>ab ab12").ids
    assert [TOKENS[k] for k in ids] == ["<|endoftext|>", "ab", "Ġ", "ab", "1", "2"]
    assert tokenizer.decode(ids) == "ab ab12"


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "m.gguf"
    write_gguf(path, architecture="mamba")
    with pytest.raises(CheckpointError, match="architecture 'mamba' is not supported"):
        load_gguf(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="not a whole GGUF file"):
        load_gguf(path)
    path.write_bytes(b"no GGUF at all")
    with pytest.raises(CheckpointError, match="not a whole GGUF file"):
        load_gguf(path)
    with pytest.raises(CheckpointError, match="no such file"):
        load_gguf(tmp_path / "nowhere.gguf")
    write_gguf(tmp_path / "pieces.gguf", pieces="tekken")
    with pytest.raises(CheckpointError, match="the rule 'tekken'"):
        load_gguf_tokenizer(tmp_path / "pieces.gguf")
