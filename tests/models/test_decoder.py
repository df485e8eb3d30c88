"""Decoders against frozen logits of the reference library; the key-value cache; what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_decoders import CONFIGS, make_tiny_decoder

from xbarsim.base.errors import CheckpointError, OutOfRangeError, ShapeError
from xbarsim.models.attention import Cache
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.models.graph import Kind

FROZEN = json.loads((Path(__file__).parents[1] / "frozen" / "decoders.json").read_text())
IDS = np.array(FROZEN["token_ids"])


def all_logits(model, ids=IDS):
    """(b, s, v) of sequences of one length."""
    states = model.forward(ids, np.ones(ids.shape))
    rows = np.argwhere(np.ones(ids.shape))
    return model.logits(states.reshape(-1, states.shape[-1]), rows).reshape(*ids.shape, -1)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("shards", [1, 3])
def test_logits_are_those_of_the_reference_library(tmp_path, family, shards):
    model = load_decoder(make_tiny_decoder(tmp_path / "m", family, shards=shards))
    found = all_logits(model)
    scale = np.abs(found).max()
    last = FROZEN["logits_of_the_last_token"][family]
    np.testing.assert_allclose(found[:, -1], last, rtol=0, atol=2e-5 * scale)
    mean = FROZEN["mean_logits_by_position"][family]
    np.testing.assert_allclose(found.mean(axis=2), mean, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_token_sees_nothing_after_it_and_no_padding(tmp_path, family):
    model = load_decoder(make_tiny_decoder(tmp_path / "m", family))
    whole = all_logits(model)
    np.testing.assert_allclose(all_logits(model, IDS[:, :9]), whole[:, :9], rtol=0, atol=1e-4)
    mask = np.ones(IDS.shape, bool)
    mask[1, 9:] = False
    states = model.forward(IDS, mask)
    assert (states[1, 9:] == 0).all()
    alone = model.forward(IDS[1:, :9], np.ones((1, 9)))
    np.testing.assert_allclose(states[1, :9], alone[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_cache_continues_a_sequence(tmp_path, family):
    """Five tokens, then three, then one by one: the states of the whole sequence at once."""
    model = load_decoder(make_tiny_decoder(tmp_path / "m", family))
    whole = model.forward(IDS, np.ones(IDS.shape))
    cache = Cache()
    parts = []
    for piece in np.split(IDS, [5, *range(8, IDS.shape[1])], axis=1):
        parts.append(model.forward(piece, np.ones(piece.shape), cache=cache))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-4)
    assert cache.length == IDS.shape[1]


def test_the_injected_product_sees_every_matrix_in_order(tmp_path):
    model = load_decoder(make_tiny_decoder(tmp_path / "m", "llama"))
    seen = []

    def hook(step, reference, *operands, rows):
        if step.kind is Kind.MATRIX:
            seen.append(step.name)
            x, weight, _ = operands
            assert x.shape == (58, weight.shape[1]) and rows.shape == (58, 2)
            assert weight.shape == (step.outputs, step.inputs)
        return reference(*operands)

    model.forward(IDS, np.ones(IDS.shape), hook)
    names = ("query", "key", "value", "attention_output", "intermediate", "gate", "output")
    assert seen == [f"layer.{layer}.{name}" for layer in range(2) for name in names]


@pytest.mark.parametrize("family", CONFIGS)
def test_every_step_of_the_graph_runs_once_in_its_order_and_size(tmp_path, family):
    model = load_decoder(make_tiny_decoder(tmp_path / "m", family))
    seen = []

    def hook(step, reference, *operands, rows):
        output = reference(*operands)
        seen.append(step)
        if step.kind is not Kind.PRODUCT and step.kind is not Kind.SOFTMAX:
            assert output.shape == (len(rows), step.outputs)
            assert operands[0].shape == (len(rows), step.inputs)
        else:
            assert output.shape[1] == model.config.heads
        if step.kind is Kind.MATRIX:
            assert operands[1].shape == (step.outputs, step.inputs)
        return output

    states = model.forward(IDS, np.ones(IDS.shape), hook)
    model.logits(states[0], np.zeros((IDS.shape[1], 2), int), hook)
    assert tuple(seen) == model.graph.steps


REFUSED = {
    "gpt_neox": (
        {"model_type": "gpt_neox"},
        "model_type is 'gpt_neox', supported decoders are llama",
    ),
    "yarn": ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "type 'yarn' is not supported"),
    "window": ({"model_type": "mistral", "sliding_window": 16}, "sliding_window is 16 of 64"),
    "act": ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
    "layers": ({"num_hidden_layers": 1}, "tensors have no place in llama with 1 layers"),
    "more layers": ({"num_hidden_layers": 3}, "'layer.2.attention_norm.weight' is missing"),
    "heads": ({"num_key_value_heads": 4}, "6 is not a multiple of num_key_value_heads 4"),
    "width": ({"intermediate_size": 41}, "the configuration asks for"),
    "vocabulary": ({"vocab_size": 97}, "the configuration asks for"),
    "epsilon": ({"rms_norm_eps": -1}, "rms_norm_eps is -1, a positive number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_built_is_refused(tmp_path, case):
    changes, message = REFUSED[case]
    directory = make_tiny_decoder(tmp_path / "m", "llama")
    config = json.loads((directory / "config.json").read_text()) | changes
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_decoder(directory)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "only False is supported"),
        ("phi", {"qk_layernorm": True}, "only False is supported"),
        ("opt", {"do_layer_norm_before": False}, "only True is supported"),
        ("opt", {"word_embed_proj_dim": 12}, "only 24 is supported"),
    ],
)
def test_variants_of_other_families_are_refused(tmp_path, family, changes, message):
    directory = make_tiny_decoder(tmp_path / "m", family)
    config = json.loads((directory / "config.json").read_text()) | changes
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_decoder(directory)


def test_damaged_weights_are_named(tmp_path):
    directory = make_tiny_decoder(tmp_path / "m", "llama", shards=2)
    first, second = sorted(directory.glob("*.safetensors"))
    tensors = load_file(second)
    broken = {name: values.copy() for name, values in tensors.items()}
    name = next(iter(broken))
    broken[name].flat[3] = np.nan
    save_file(broken, second)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        load_decoder(directory)
    save_file(tensors | dict(list(load_file(first).items())[:1]), second)
    with pytest.raises(CheckpointError, match="also stands in another file"):
        load_decoder(directory)
    second.write_bytes(second.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        load_decoder(directory)
    second.unlink()
    with pytest.raises(CheckpointError, match="is missing; copy all shards"):
        load_decoder(directory)


def test_ids_that_do_not_fit(tmp_path):
    model = load_decoder(make_tiny_decoder(tmp_path / "m", "gpt2"))
    with pytest.raises(OutOfRangeError, match="the vocabulary has entries 0 to 95"):
        model.forward(np.array([[96]]), np.ones((1, 1)))
    with pytest.raises(ShapeError, match="the model has 64 positions"):
        model.forward(np.zeros((1, 65), int), np.ones((1, 65)))
    with pytest.raises(ShapeError, match="padding stands before a token"):
        model.forward(np.zeros((1, 2), int), np.array([[0, 1]]))
    with pytest.raises(ShapeError, match="without padding"):
        model.forward(np.zeros((1, 2), int), np.array([[1, 0]]), cache=Cache())


def test_a_bias_that_an_rms_norm_does_not_add_is_refused(tmp_path):
    directory = make_tiny_decoder(tmp_path / "m", "llama")
    path = directory / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.0.input_layernorm"
    tensors[f"{name}.bias"] = np.zeros_like(tensors[f"{name}.weight"])
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"'layer.0.attention_norm.bias' .* has no place"):
        load_decoder(directory)


def test_hidden_states_that_overflow_name_their_step(tmp_path):
    directory = make_tiny_decoder(tmp_path / "m", "gpt2")
    model = load_decoder(directory)
    model.weights["layer.1.output.weight"][:] = 1e38
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(OutOfRangeError, match="final_norm: the hidden states of"),
    ):
        model.forward(IDS, np.ones(IDS.shape))
