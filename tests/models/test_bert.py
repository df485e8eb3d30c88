"""The forward pass against an independent slow statement in float64; checkpoints that cannot be
used.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import make_tiny_bert, make_tiny_mpnet

from xbarsim.base.errors import CheckpointError, OutOfRangeError, ShapeError
from xbarsim.models.batches import pad
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.models.checkpoint import load_tokenizer
from xbarsim.models.graph import Kind


def slow_bert(directory, ids):
    """Hidden states (s, h) of one sentence, from the file's own tensor names, head by head and
    position by position.
    """
    config = json.loads((directory / "config.json").read_text())
    t = {
        name.removeprefix("bert."): value.astype(float)
        for name, value in load_file(directory / "model.safetensors").items()
    }
    heads, size = (
        config["num_attention_heads"],
        config["hidden_size"] // config["num_attention_heads"],
    )

    def norm(x, name):
        return (
            np.array(
                [(row - row.mean()) / math.sqrt(row.var() + config["layer_norm_eps"]) for row in x]
            )
            * t[f"{name}.weight"]
            + t[f"{name}.bias"]
        )

    def dense(x, name):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    x = norm(
        t["embeddings.word_embeddings.weight"][ids]
        + t["embeddings.position_embeddings.weight"][: len(ids)]
        + t["embeddings.token_type_embeddings.weight"][0],
        "embeddings.LayerNorm",
    )
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        q, k, v = (dense(x, f"{layer}.attention.self.{name}") for name in ("query", "key", "value"))
        context = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for p in range(len(ids)):
                weights = np.exp(
                    [q[p, part] @ k[s, part] / math.sqrt(size) for s in range(len(ids))]
                )
                context[p, part] = weights / weights.sum() @ v[:, part]
        x = norm(
            x + dense(context, f"{layer}.attention.output.dense"),
            f"{layer}.attention.output.LayerNorm",
        )
        inner = np.vectorize(lambda y: y / 2 * (1 + math.erf(y / math.sqrt(2))))(
            dense(x, f"{layer}.intermediate.dense")
        )
        x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return make_tiny_bert(tmp_path_factory.mktemp("model") / "tiny")


def test_forward_pass_and_padding(directory):
    model = load_bert(directory)
    sentences = [
        np.array([2, 7, 9, 11, 3]),
        np.array([2, 5, 3]),
        np.array([2, 8, 30, 6, 12, 14, 3]),
    ]
    ids, mask = pad(sentences)
    hidden = model.forward(ids, mask)
    for k, sentence in enumerate(sentences):
        np.testing.assert_allclose(
            hidden[k, : len(sentence)], slow_bert(directory, sentence), atol=1e-5
        )
        assert (hidden[k, len(sentence) :] == 0).all()


def test_the_injected_product_sees_every_matrix_and_no_padding(directory):
    model = load_bert(directory)
    seen = []

    def hook(step, reference, *operands, rows):
        seen.append(step)
        if step.kind is Kind.MATRIX:
            x, weight, _ = operands
            assert x.shape == (5, step.inputs) and weight.shape == (step.outputs, step.inputs)
        assert rows.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]
        return reference(*operands)

    model.forward(*pad([np.array([2, 7, 3]), np.array([2, 3])]), hook)
    assert tuple(seen) == model.graph.steps


def test_ids_and_masks_that_do_not_fit(directory):
    model = load_bert(directory)
    with pytest.raises(OutOfRangeError, match="vocabulary"):
        model.forward(np.array([[2, 10**6]]), np.ones((1, 2)))
    with pytest.raises(ShapeError):
        model.forward(np.array([[2, 3]]), np.ones((1, 3)))


def change_config(directory, tmp_path, **values):
    copy = make_tiny_bert(tmp_path / "copy")
    content = json.loads((copy / "config.json").read_text()) | values
    (copy / "config.json").write_text(json.dumps(content))
    return copy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2', supported encoders are albert, bert,"),
        ({"hidden_act": "silu"}, "hidden_act is 'silu', supported are gelu"),
        ({"num_attention_heads": 3}, "not a multiple of num_attention_heads 3"),
        ({"hidden_size": -1}, "hidden_size is -1, a positive integer"),
        ({"intermediate_size": 33}, "has shape"),
        ({"num_hidden_layers": 3}, "is missing"),
        ({"pooling": "last"}, "pooling is 'last', supported are mean, cls, pooler"),
    ],
)
def test_variants_that_are_not_supported(directory, tmp_path, values, message):
    with pytest.raises(CheckpointError, match=message):
        load_bert(change_config(directory, tmp_path, **values))


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(CheckpointError, match="not a directory"):
        load_bert(tmp_path / "nowhere")
    copy = make_tiny_bert(tmp_path / "copy")
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a complete safetensors file.*fetch it again"):
        load_bert(copy)
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match="only pytorch_model.bin is there"):
        load_bert(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        load_bert(copy)
    (copy / "tokenizer.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not a tokenizer"):
        load_tokenizer(copy)


def test_half_precision_weights_are_read(directory, tmp_path):
    copy = make_tiny_bert(tmp_path / "half")
    tensors = load_file(copy / "model.safetensors")
    save_file(
        {name: value.astype(np.float16) for name, value in tensors.items()},
        copy / "model.safetensors",
    )
    weight, _ = load_bert(copy).matrix("layer.0.query")
    expected = tensors["bert.encoder.layer.0.attention.self.query.weight"].astype(np.float16)
    np.testing.assert_array_equal(weight, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("absent", "call"), [("safetensors", load_bert), ("tokenizers", load_tokenizer)]
)
def test_an_extra_that_is_not_installed_is_named(directory, monkeypatch, absent, call):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(CheckpointError, match=rf"need {absent}: pip install 'xbarsim\[bert\]'"):
        call(directory)


def test_mpnet_is_that_of_the_reference_library(tmp_path):
    """Hidden states of `frozen/make_mpnet.py`; 200 tokens reach every bucket of the relative
    positions.
    """
    frozen = json.loads((Path(__file__).parents[1] / "frozen" / "mpnet.json").read_text())
    model = load_bert(make_tiny_mpnet(tmp_path / "m"))
    sentences = [np.array(sentence) for sentence in frozen["token_ids"]]
    hidden = model.forward(*pad(sentences))
    for k, sentence in enumerate(sentences):
        states = hidden[k, : len(sentence)]
        expected = frozen["first_and_last_hidden_states"][k]
        np.testing.assert_allclose(states[[0, -1]], expected, atol=2e-5, rtol=0)
        np.testing.assert_allclose(states.mean(axis=0), frozen["mean_of_all"][k], atol=2e-5, rtol=0)
