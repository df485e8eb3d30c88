"""Dimensions of models: their parameters, counted apart, and configurations of decoders."""

import json

import pytest

from xbarsim.base.errors import CheckpointError, ConfigError
from xbarsim.models.graph import Kind
from xbarsim.models.shapes import Shape, load_shape, operations

# Parameters that the publishers of the checkpoints count.
PUBLISHED = {
    "gpt2": 124_439_808,
    "smollm2-135m": 134_515_008,
    "llama-3.2-1b": 1_235_814_400,
    "llama-2-7b": 6_738_415_616,
    "phi-1.5": 1_418_270_720,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_have_the_parameters_of_the_models(name):
    assert load_shape(name).parameter_count == PUBLISHED[name]


def test_weights_of_the_layers_in_closed_form():
    hidden, inner = 576, 1536
    keys = 3 * 64
    layer = 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner
    shape = load_shape("smollm2-135m")
    assert shape.matrix_weights == 30 * layer == 106_168_320
    steps = operations(shape, 5, output_matrix=True)
    assert steps[-1].weights == 49152 * hidden
    assert sum(step.weights for step in steps) == 30 * layer + 49152 * hidden
    assert load_shape("gpt3").matrix_weights == 96 * 12 * 12288**2


@pytest.mark.parametrize("name", ["gpt2", "smollm2-135m", "llama-2-7b", "phi-1.5"])
def test_multiplications_of_a_token_in_closed_form(name):
    """Weights, and of every query head one product with `n` keys and one with `n` values."""
    shape, n = load_shape(name), 7
    macs = sum(step.macs for step in operations(shape, n))
    width = shape.heads * shape.width_of_head
    assert macs == shape.matrix_weights + shape.layers * 2 * n * width


def test_a_layer_has_the_steps_of_its_architecture():
    def of_kind(name, kind):
        return [s.name for s in operations(load_shape(name), 4) if s.layer == 0 and s.kind is kind]

    assert of_kind("phi-1.5", Kind.NORM) == ["layer.0.attention_norm"]
    assert of_kind("gpt2", Kind.NORM) == ["layer.0.attention_norm", "layer.0.feed_forward_norm"]
    assert "layer.0.gate" in of_kind("llama-2-7b", Kind.MATRIX)
    assert "layer.0.gate" not in of_kind("gpt2", Kind.MATRIX)


LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 3,
    "hidden_size": 48,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def directory(tmp_path, content):
    (tmp_path / "config.json").write_text(json.dumps(content))
    return tmp_path


def test_the_shape_of_a_decoder_directory(tmp_path):
    shape = load_shape(directory(tmp_path, LLAMA))
    assert shape.is_decoder and shape.gated and not shape.tied
    assert (shape.cached_heads, shape.width_of_head, shape.positions) == (2, 8, 64)
    assert shape.cached_values == 2 * 3 * 2 * 8
    weights = 3 * (2 * 48 * 48 + 2 * 48 * 16 + 3 * 48 * 80)
    assert shape.matrix_weights == weights
    assert shape.parameter_count == weights + 2 * 100 * 48 + (3 * 2 + 1) * 48


def test_biases_of_a_family_are_counted(tmp_path):
    qwen = directory(tmp_path, LLAMA | {"model_type": "qwen2"})
    (tmp_path / "other").mkdir()
    llama = directory(tmp_path / "other", LLAMA)
    more = load_shape(qwen).parameter_count - load_shape(llama).parameter_count
    assert more == 3 * (48 + 16 + 16)


def test_what_a_configuration_asks_for_and_is_not_built_is_refused(tmp_path):
    content = LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    with pytest.raises(CheckpointError, match="yarn"):
        load_shape(directory(tmp_path, content))


def test_contradictory_shapes_are_refused():
    with pytest.raises(ValueError, match="key_value_heads = 4"):
        Shape(layers=1, hidden=12, heads=6, key_value_heads=4, intermediate=4)
    with pytest.raises(ConfigError, match="not counted"):
        _ = load_shape("bert-base").parameter_count
    shape = Shape(layers=1, hidden=12, heads=6, intermediate=4, attention="causal")
    with pytest.raises(ConfigError, match="no vocabulary"):
        operations(shape, 4, output_matrix=True)


def test_a_configuration_without_dimensions_names_what_is_known(tmp_path):
    with pytest.raises(ConfigError, match="model_type is 'bagofwords', supported are albert, bert"):
        load_shape(directory(tmp_path, {"model_type": "bagofwords"}))
    with pytest.raises(
        ConfigError, match="of a bert, does not state .* hidden_size is missing|num"
    ):
        load_shape(directory(tmp_path, {"model_type": "bert"}))
