"""Encoders of every family against frozen outputs of the reference library; what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_encoders import CONFIGS, make_tiny_encoder

from xbarsim.base.errors import CheckpointError, ShapeError
from xbarsim.models.architectures import load_network
from xbarsim.models.batches import pad
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.models.checkpoint import file_hashes
from xbarsim.models.graph import Kind
from xbarsim.models.shapes import load_shape
from xbarsim.models.tokens import tokenize

FROZEN = json.loads((Path(__file__).parents[1] / "frozen" / "encoders.json").read_text())
SENTENCES = [np.array(sentence) for sentence in FROZEN["token_ids"]]


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("shards", [1, 3])
def test_outputs_are_those_of_the_reference_library(tmp_path, family, shards):
    """Hidden states and the classifier's logits, of a short and a long sentence in one batch."""
    model = load_bert(make_tiny_encoder(tmp_path / "m", family, shards=shards))
    ids, mask = pad(SENTENCES)
    hidden = model.forward(ids, mask)
    weight, bias = model.head
    logits = model.features(hidden, mask) @ weight.T + bias
    np.testing.assert_allclose(logits, FROZEN["logits"][family], atol=1e-5, rtol=0)
    for k, sentence in enumerate(SENTENCES):
        states = hidden[k, : len(sentence)]
        expected = FROZEN["first_and_last_hidden_states"][family][k]
        np.testing.assert_allclose(states[[0, -1]], expected, atol=1e-5, rtol=0)
        mean = FROZEN["mean_of_all"][family][k]
        np.testing.assert_allclose(states.mean(axis=0), mean, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_every_step_of_the_graph_runs_once_in_its_order_and_size(tmp_path, family):
    model = load_bert(make_tiny_encoder(tmp_path / "m", family))
    seen = []

    def hook(step, reference, *operands, rows):
        output = reference(*operands)
        seen.append(step)
        if step.kind is Kind.MATRIX:
            assert operands[1].shape == (step.outputs, step.inputs)
        if step.kind in (Kind.MATRIX, Kind.NORM, Kind.ACTIVATION):
            assert operands[0].shape == (len(rows), step.inputs)
            assert output.shape == (len(rows), step.outputs)
        return output

    model.forward(*pad(SENTENCES), hook)
    assert tuple(seen) == model.graph.steps


def test_layers_of_albert_share_the_weights_of_their_group(tmp_path):
    """Five layers in two groups: 0, 1, 2 and 3, 4 (layer / 2.5, rounded down)."""
    model = load_bert(make_tiny_encoder(tmp_path / "m", "albert-groups"))
    owners = [model.graph.step(f"layer.{layer}.query").owner for layer in range(5)]
    assert owners == ["layer.0.query"] * 3 + ["layer.3.query"] * 2
    first, _ = model.matrix("layer.0.query")
    assert model.matrix("layer.2.query")[0] is first
    assert model.matrix("layer.3.query")[0] is not first
    assert model.graph.step("layer.1.output_norm").shares == "layer.0.output_norm"
    assert model.graph.step("layer.1.attention_scores").shares is None


def test_the_longest_sentence_counts_from_behind_the_padding_token(tmp_path):
    lengths = {"roberta": 68, "xlm-roberta": 65, "distilbert": 70, "albert": 70, "mpnet": 68}
    for family, longest in lengths.items():
        model = load_bert(make_tiny_encoder(tmp_path / family, family))
        assert model.config.max_tokens == longest
        model.forward(*pad([np.full(longest, 7)]))
        with pytest.raises(ShapeError, match=f"the model has {longest} positions"):
            model.forward(*pad([np.full(longest + 1, 7)]))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_network_by_its_directory_has_tokens_and_a_shape(tmp_path, family):
    directory = make_tiny_encoder(tmp_path / "m", family)
    network = load_network(directory)
    (tokens,) = tokenize(network.tokenizer, ["the dog runs"], network.model.config.max_tokens)
    assert len(tokens) >= 5 and not network.generates
    shape = load_shape(directory)
    config = network.model.config
    assert (shape.layers, shape.hidden, shape.heads, shape.intermediate) == (
        config.layers,
        config.hidden,
        config.heads,
        config.intermediate,
    )


# ---------------------------------------------------------------- refused, in one line each


def edit(directory, change):
    """Rewrite model.safetensors with what `change(tensors)` leaves in the dictionary."""
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")


REFUSED = [
    ("roberta", {"position_embedding_type": "relative_key"}, "only 'absolute' is supported"),
    ("roberta", {"hidden_act": "mish"}, "hidden_act is 'mish', supported are gelu"),
    ("roberta", {"is_decoder": True}, "is_decoder is True, only False"),
    ("roberta", {"pad_token_id": None}, "pad_token_id is None, from which positions are counted"),
    ("roberta", {"pad_token_id": 68}, "pad_token_id is 68, .* allowed are 0 to 67"),
    ("roberta", {"max_position_embeddings": 71}, r"position_embeddings.weight' has shape \(70, 24"),
    ("roberta", {"num_hidden_layers": 1}, "holds 2 layers, config.json says num_hidden_layers = 1"),
    ("roberta", {"problem_type": "regression"}, "problem_type is 'regression'"),
    ("xlm-roberta", {"pruned_heads": {"0": [1]}}, "pruned_heads is .*, only {} is supported"),
    ("mpnet", {"relative_attention_num_buckets": 16}, "is 16, only 32 is supported"),
    ("distilbert", {"activation": "silu"}, "activation is 'silu', supported are gelu"),
    ("distilbert", {"n_heads": 5}, "dim 24 is not a multiple of n_heads 5"),
    ("distilbert", {"n_layers": 2}, "holds 3 layers, config.json says n_layers = 2"),
    ("distilbert", {"n_layers": 4}, "'transformer.layer.3.attention.q_lin.weight' is missing"),
    ("distilbert", {"hidden_dim": None}, "hidden_dim is None, a positive integer"),
    ("albert", {"inner_group_num": 2}, "inner_group_num is 2, only 1 is supported"),
    ("albert", {"embedding_size": 12}, r"has shape \(105, 10\), config.json asks for \(105, 12\)"),
    ("albert", {"num_hidden_groups": 4}, "num_hidden_groups is 4; allowed are 1 to 3 layers"),
    ("albert", {"num_hidden_groups": 2}, "albert_layer_groups.1.*is missing"),
    ("albert-groups", {"num_hidden_groups": 1}, "holds 2 layers, .* num_hidden_groups = 1"),
]


@pytest.mark.parametrize(("family", "changes", "message"), REFUSED)
def test_what_is_not_built_is_refused(tmp_path, family, changes, message):
    directory = make_tiny_encoder(tmp_path / "m", family)
    config = json.loads((directory / "config.json").read_text()) | changes
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message) as error:
        load_bert(directory)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("roberta", "roberta.encoder.layer.1.attention.self.key.bias"),
        ("distilbert", "distilbert.transformer.layer.2.ffn.lin2.weight"),
        ("albert", "albert.encoder.embedding_hidden_mapping_in.weight"),
        ("albert", "albert.pooler.bias"),
    ],
)
def test_a_tensor_that_is_missing_is_named(tmp_path, family, name):
    directory = make_tiny_encoder(tmp_path / "m", family)
    edit(directory, lambda tensors: tensors.pop(name))
    short = name.split(".", 1)[1]
    with pytest.raises(CheckpointError, match=f"tensor '{short}' is missing"):
        load_bert(directory)


@pytest.mark.parametrize("family", ["roberta", "distilbert", "albert"])
def test_a_tensor_without_a_place_is_named(tmp_path, family):
    directory = make_tiny_encoder(tmp_path / "m", family)
    extra = {"qa_outputs.weight": np.zeros((2, 24), np.float32)}
    edit(directory, lambda tensors: tensors.update(extra))
    with pytest.raises(CheckpointError, match="no place in a .* such as 'qa_outputs.weight'"):
        load_bert(directory)


@pytest.mark.parametrize(
    ("family", "left_over"),
    [
        ("roberta", "lm_head.dense.weight"),
        ("roberta", "roberta.pooler.dense.weight"),  # of older files, which the head never reads
        ("distilbert", "vocab_projector.bias"),
        ("albert", "predictions.dense.weight"),
        ("albert", "sop_classifier.classifier.weight"),
    ],
)
def test_what_pretraining_leaves_changes_nothing(tmp_path, family, left_over):
    directory = make_tiny_encoder(tmp_path / "m", family)
    edit(directory, lambda tensors: tensors.update({left_over: np.ones((3, 3), np.float32)}))
    model = load_bert(directory)
    ids, mask = pad(SENTENCES)
    weight, bias = model.head
    logits = model.features(model.forward(ids, mask), mask) @ weight.T + bias
    np.testing.assert_allclose(logits, FROZEN["logits"][family], atol=1e-5, rtol=0)


def test_a_classifier_without_the_matrix_before_its_last_one(tmp_path):
    directory = make_tiny_encoder(tmp_path / "m", "distilbert")
    edit(directory, lambda tensors: tensors.pop("pre_classifier.weight"))
    with pytest.raises(CheckpointError, match="classifier without the pooler that it reads"):
        load_bert(directory)


def test_shards_decide_a_result_and_are_all_needed(tmp_path):
    directory = make_tiny_encoder(tmp_path / "m", "roberta", shards=2)
    first, second = sorted(directory.glob("*.safetensors"))
    assert {first.name, second.name} < set(file_hashes(directory))
    tensors = load_file(first)
    save_file(load_file(second) | dict(list(tensors.items())[:1]), second)
    with pytest.raises(CheckpointError, match="also stands in another file"):
        load_bert(directory)
    second.unlink()
    with pytest.raises(CheckpointError, match="is missing; copy all shards"):
        load_bert(directory)


def test_sentence_vectors_are_pooled_as_sentence_transformers_states(tmp_path):
    """The mean over real tokens, of length 1, as a directory of sentence-transformers says."""
    directory = make_tiny_encoder(tmp_path / "m", "roberta")
    edit(
        directory,
        lambda tensors: [tensors.pop(name) for name in list(tensors) if "classifier" in name],
    )
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"path": "1_Pooling" if kind == "Pooling" else "", "type": f"models.{kind}"}
        for kind in kinds
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir()
    stated = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(stated))
    (directory / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 62}))
    model = load_bert(directory)
    assert model.config.max_tokens == 62 and model.head is None
    ids, mask = pad(SENTENCES)
    features = model.features(model.forward(ids, mask), mask)
    mean = np.array(FROZEN["mean_of_all"]["roberta"])
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(features, expected, atol=1e-5, rtol=0)
