"""The one list of steps against the names, orders and sizes of traces, checkpoints and by hand."""

import pytest

from xbarsim.base.errors import ConfigError
from xbarsim.models.graph import (
    INPUT,
    Block,
    Graph,
    Kind,
    Link,
    Role,
    Step,
    Transformer,
    graph_of,
)
from xbarsim.models.shapes import Shape, operations, shape_of_matrices

SIZES = {"layers": 2, "hidden": 12, "heads": 3, "head_width": 4, "intermediate": 20}
BERT = Transformer(
    **SIZES,
    key_value_heads=3,
    block=Block.POST_NORM,
    causal=False,
    embeddings_norm=True,
    activation_name="gelu",
)
LLAMA = Transformer(
    **SIZES,
    key_value_heads=1,
    block=Block.PRE_NORM,
    causal=True,
    gated=True,
    final_norm=True,
    vocabulary=50,
)
PHI = Transformer(
    **SIZES, key_value_heads=3, block=Block.PARALLEL, causal=True, final_norm=True, vocabulary=50
)


def names(steps):
    return [step.name for step in steps]


def test_a_bert_has_the_steps_of_its_traces():
    graph = graph_of(BERT, 8)
    layer = "query key value attention_output intermediate output".split()
    assert names(graph.matrices) == [f"layer.{i}.{name}" for i in range(2) for name in layer]
    layer = ["attention_scores", "attention_context"]
    assert names(graph.products) == [f"layer.{i}.{name}" for i in range(2) for name in layer]
    layer = ["attention_softmax", "attention_norm", "gelu", "output_norm"]
    expected = [f"layer.{i}.{name}" for i in range(2) for name in layer]
    assert names(graph.functions) == ["embeddings.norm", *expected]
    assert len(graph.steps) == 25


def test_a_llama_has_a_gate_and_small_keys_and_values():
    graph = graph_of(LLAMA, 8)
    first = (
        "attention_norm query key value attention_scores attention_softmax attention_context "
        "attention_output feed_forward_norm intermediate gate activation output"
    ).split()
    assert names(graph.steps[:13]) == [f"layer.0.{name}" for name in first]
    assert names(graph.steps[-2:]) == ["final_norm", "logits"]
    layer = graph.of_layer(1)
    assert [layer[role].outputs for role in (Role.QUERY, Role.KEY, Role.VALUE)] == [12, 4, 4]
    assert layer[Role.ATTENTION_SCORES].second == 4 and layer[Role.ATTENTION_SCORES].copies == 3
    activation = layer[Role.ACTIVATION]
    assert activation.after == (Link("layer.1.gate"), Link("layer.1.intermediate"))
    assert activation.values == 3 * 20
    assert graph.step("logits").weights == 50 * 12 and graph.step("logits").layer is None


def test_halves_of_a_phi_read_one_norm_and_meet_in_the_next():
    graph = graph_of(PHI, 8)
    assert Role.FEED_FORWARD_NORM not in graph.of_layer(0)
    for role in (Role.QUERY, Role.INTERMEDIATE):
        assert graph.of_layer(0)[role].after == (Link("layer.0.attention_norm"),)
    norm = graph.of_layer(1)[Role.ATTENTION_NORM]
    assert norm.after == (Link("layer.0.attention_output"), Link("layer.0.output"))
    assert norm.second == 2 * 12 and graph.of_layer(0)[Role.ATTENTION_NORM].second == 0


@pytest.mark.parametrize("model", [BERT, LLAMA, PHI], ids=["bert", "llama", "phi"])
def test_a_step_reads_what_ran_before_it(model):
    seen = {INPUT}
    for step in graph_of(model, 8).steps:
        assert {name for name, _ in step.after} <= seen
        seen.add(step.name)
    assert len(seen) == 1 + len(graph_of(model, 8).steps)


def test_only_bidirectional_attention_waits_for_the_last_token():
    for model, waiting in ((BERT, True), (LLAMA, False)):
        found = {
            step.role for step in graph_of(model, 8).steps for link in step.after if link.waits
        }
        assert found == ({Role.ATTENTION_SCORES, Role.ATTENTION_CONTEXT} if waiting else set())


def test_a_step_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no step 'layer.2.query'; its 25 steps are embeddings"):
        graph_of(BERT, 8).step("layer.2.query")


def test_the_chip_model_has_the_layers_of_the_same_list():
    shape = Shape(layers=2, hidden=12, heads=3, intermediate=20)
    layers = [step for step in graph_of(BERT, 8).steps if step.layer is not None]
    assert names(operations(shape, 8)) == names(layers)
    assert shape.matrix_weights == 2 * (4 * 12 * 12 + 2 * 12 * 20)
    scores = layers[3]
    assert scores.kind is Kind.PRODUCT and scores.macs == 12 * 8


def test_matrices_of_a_trace_become_a_shape():
    sizes = {step.name: (step.inputs, step.outputs) for step in graph_of(BERT, 8).matrices}
    shape = shape_of_matrices(sizes, 3)
    assert (shape.layers, shape.hidden, shape.intermediate) == (2, 12, 20)
    with pytest.raises(ConfigError, match="of 1 layers with 6 each layer.0.output is missing"):
        shape_of_matrices({k: v for k, v in list(sizes.items())[:5]}, 3)
    with pytest.raises(ConfigError, match="layer.1.key is missing, left over or of another size"):
        shape_of_matrices(sizes | {"layer.1.key": (12, 4)}, 3)
    with pytest.raises(ConfigError, match="priced only where .* this one has layer.0.gate$"):
        shape_of_matrices({"layer.0.gate": (12, 20)}, 3)


def dense(name, *, role=Role.DENSE, layer=None, reads=INPUT):
    return Step(name, Kind.MATRIX, role, layer, 4, 4, copies=1, second=0, after=(Link(reads),))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (dense("first", layer=1), "two steps of the graph are called 'first'"),
        (dense(INPUT, layer=1), "two steps of the graph are called 'input'"),
        (dense("second"), "'first' and 'second' are both the dense outside the layers"),
        (dense("second", layer=0, reads="third"), "'second' reads 'third', which is no step"),
        (dense("second", layer=0, reads="second"), "'second' reads 'second', which is no step"),
    ],
)
def test_a_graph_made_by_hand_is_checked(second, said):
    assert len(Graph((dense("first"), dense("second", layer=0, reads="first")), 4).steps) == 2
    with pytest.raises(ConfigError, match=said):
        Graph((dense("first"), second), 4)
