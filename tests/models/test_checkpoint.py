"""Checkpoints that would be another model if something were left out: honoured or refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import make_tiny_bert

from xbarsim.base.errors import CheckpointError
from xbarsim.models.batches import pad
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.models.checkpoint import load_tokenizer


@pytest.fixture
def directory(tmp_path):
    return make_tiny_bert(tmp_path / "tiny", classes=2)


def edit_tensors(directory, change):
    """Rewrite model.safetensors with what `change(tensors)` leaves in the dictionary."""
    path = directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def edit_json(path, **changes):
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def modules(directory, *kinds):
    entries = [
        {
            "idx": k,
            "name": str(k),
            "path": "" if k == 0 else f"{k}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for k, kind in enumerate(kinds)
    ]
    (directory / "modules.json").write_text(json.dumps(entries))


def drop_pooler(tensors):
    for name in [name for name in tensors if "pooler" in name]:
        del tensors[name]


def test_a_classifier_without_its_pooler(directory):
    edit_tensors(directory, drop_pooler)
    with pytest.raises(CheckpointError, match="classifier without the pooler.*BertForSequence"):
        load_bert(directory)
    edit_json(directory / "config.json", pooling="cls")
    assert load_bert(directory).config.pooling == "cls"


def test_a_pooler_without_its_bias(directory):
    edit_tensors(directory, lambda tensors: tensors.pop("bert.pooler.dense.bias"))
    with pytest.raises(CheckpointError, match="'pooler.dense.bias' is missing"):
        load_bert(directory)


def test_fewer_layers_than_the_file(directory):
    edit_json(directory / "config.json", num_hidden_layers=1)
    with pytest.raises(CheckpointError, match="holds 2 layers, .* num_hidden_layers = 1"):
        load_bert(directory)
    edit_json(directory / "config.json", num_hidden_layers=3)
    with pytest.raises(CheckpointError, match="layer.2.*is missing"):
        load_bert(directory)


@pytest.mark.parametrize("kind", ["Dense", "LayerNorm", "LSTM"])
def test_a_module_that_would_be_left_out(directory, kind):
    modules(directory, "Transformer", "Pooling", kind)
    (directory / "1_Pooling").mkdir()
    edit_json(directory / "1_Pooling" / "config.json", pooling_mode_mean_tokens=True)
    with pytest.raises(CheckpointError, match=f"{kind} in '2_{kind}' would change every embedding"):
        load_bert(directory)


def test_the_pooling_of_the_folder_that_modules_name(directory):
    modules(directory, "Transformer", "Normalize", "Pooling")
    with pytest.raises(CheckpointError, match="2_Pooling.*file is missing"):
        load_bert(directory)
    for folder, mode in (("1_Pooling", "mean_tokens"), ("2_Pooling", "cls_token")):
        (directory / folder).mkdir()
        edit_json(directory / folder / "config.json", **{f"pooling_mode_{mode}": True})
    config = load_bert(directory).config
    assert config.pooling == "cls" and config.normalize


def test_a_prompt_before_every_sentence(directory):
    settings = directory / "config_sentence_transformers.json"
    edit_json(settings, prompts={"query": "query: "}, default_prompt_name=None)
    load_bert(directory)
    edit_json(settings, default_prompt_name="query")
    with pytest.raises(CheckpointError, match="default_prompt_name is 'query'"):
        load_bert(directory)


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8])
def test_integer_weights(directory, kind):
    name = "bert.encoder.layer.0.attention.self.query.weight"

    def quantise(tensors):
        tensors[name] = np.round(50 * tensors[name]).astype(kind)

    edit_tensors(directory, quantise)
    with pytest.raises(CheckpointError, match="holds integers|tensors of type"):
        load_bert(directory)


@pytest.mark.parametrize(
    "first, second",
    [
        ("bert.encoder.layer.0.output.dense.bias", "encoder.layer.0.output.dense.bias"),
        ("bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.gamma"),
    ],
)
def test_two_copies_of_a_tensor(directory, first, second):
    def double(tensors):
        tensors[second] = tensors[first] + 1

    edit_tensors(directory, double)
    with pytest.raises(CheckpointError, match="one tensor twice") as error:
        load_bert(directory)
    assert first in str(error.value) and second in str(error.value)


def test_whole_and_sharded_at_once(directory):
    edit_json(directory / "model.safetensors.index.json", weight_map={})
    with pytest.raises(CheckpointError, match="weights twice"):
        load_bert(directory)


def test_a_tensor_without_a_place(directory):
    h = 16
    edit_tensors(
        directory,
        lambda tensors: tensors.update(
            {
                "cls.predictions.bias": np.zeros(3, np.float32),  # of pretraining
                "bert.embeddings.position_ids": np.arange(32),
            }
        ),
    )
    load_bert(directory)
    edit_tensors(
        directory,
        lambda tensors: tensors.update({"classifier.out_proj.weight": np.ones((h, h), np.float32)}),
    )
    with pytest.raises(
        CheckpointError, match="1 tensors have no place.*classifier.out_proj.weight"
    ):
        load_bert(directory)


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_a_classifier_of_another_kind(directory, kind):
    edit_json(directory / "config.json", problem_type=kind)
    with pytest.raises(CheckpointError, match=f"problem_type is '{kind}'"):
        load_bert(directory)


def test_a_tokenizer_without_its_post_processor(directory):
    assert load_tokenizer(directory).encode("good").tokens == ["[CLS]", "good", "[SEP]"]
    edit_json(directory / "tokenizer.json", post_processor=None)
    with pytest.raises(CheckpointError, match="an empty sentence becomes .., where a start"):
        load_tokenizer(directory)


def test_sentences_in_lower_case(directory):
    edit_json(directory / "tokenizer.json", normalizer=None)
    assert load_tokenizer(directory).encode("GOOD").tokens[1] == "[UNK]"
    edit_json(directory / "sentence_bert_config.json", do_lower_case=True)
    assert load_tokenizer(directory).encode("GOOD").tokens[1] == "good"


def test_nothing_of_this_changes_a_whole_checkpoint(directory):
    model, ids = load_bert(directory), [np.array([2, 7, 9, 3])]
    before = model.forward(*pad(ids))
    edit_tensors(
        directory,
        lambda tensors: tensors.update(
            {name.removeprefix("bert."): tensors.pop(name) for name in list(tensors)}
        ),
    )
    np.testing.assert_array_equal(load_bert(directory).forward(*pad(ids)), before)
