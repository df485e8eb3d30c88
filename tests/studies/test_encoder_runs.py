"""Studies of every family of encoders on hardware: ideal arrays are the float32 path; layers that
share weights share tiles.
"""

import dataclasses

import numpy as np
import pytest
from decoders_on_chips import IDEAL as IDEAL_DEVICE
from decoders_on_chips import chip_of, sequences
from decoders_on_chips import study_of as chip_study
from tiny import SENTENCES, tiny_study
from tiny_encoders import CONFIGS, make_tiny_encoder

from xbarsim.arrays.in_situ.programmed import plan_matrix
from xbarsim.base.errors import ConfigError
from xbarsim.hardware import build
from xbarsim.models import int8
from xbarsim.models.batches import pad
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.report import accuracy_and_cost
from xbarsim.report.summary import summarise
from xbarsim.studies import run
from xbarsim.studies.trace_reader import read_trace

IDEAL = {"wires": False, "programming": False, "converters": False, "read_noise": False}
PROGRAMMED = ("query", "key", "value", "attention_output", "intermediate", "output")


def study_of(place, family, **tables):
    """Three classes of 30 sentences, 6 of them for training."""
    make_tiny_encoder(place / "model", family)
    lines = ["sentence\tlabel\tsplit"]
    for k, sentence in enumerate(SENTENCES * 3):
        lines.append(f"{sentence}\t{k % 3}\t{'train' if k < 6 else 'test'}")
    (place / "task.tsv").write_text("\n".join(lines) + "\n")
    task = {"name": str(place / "task.tsv"), "head": "classifier"}
    return tiny_study(place, **({"task": task} | tables))


def traced(place, family, **tables):
    """The trace of a study."""
    return read_trace(run.run_study(study_of(place, family, **tables), place / "runs", threads=1))


@pytest.mark.parametrize("family", [name for name in CONFIGS if name != "bert"])
def test_ideal_arrays_reproduce_float32(tmp_path, family):
    ideal = {"name": "ideal", "effects": IDEAL, "mapping": {"clip": "maximum"}}
    trace = traced(tmp_path, family, case=[{"name": "chip"}, ideal])
    assert not trace.damage
    exact = trace.reference["float32"].output
    (ideal,) = trace.cases["ideal"].chips
    (chip,) = trace.cases["chip"].chips
    scale = abs(exact).max()
    assert exact.shape[1] == 3
    np.testing.assert_allclose(ideal.output, exact, rtol=0, atol=1e-5 * scale)
    assert abs(chip.output - exact).max() > 1e-3 * scale
    matrices = load_bert(tmp_path / "model").graph.matrices
    assert tuple(chip.layers) == tuple(step.name for step in matrices)


@pytest.mark.parametrize("family", [name for name in CONFIGS if name != "bert"])
def test_integer_weights_are_near_float32_in_the_reference_and_on_computation_crossbars(
    tmp_path, family
):
    tables = {"products": {"weights": "computation"}, "effects": IDEAL | {"converters": True}}
    trace = traced(tmp_path, family, **tables)
    exact = trace.reference["float32"].output
    integers = trace.reference["int8"].output
    assert 0 < abs(integers - exact).max() < 0.2 * abs(exact).max()
    (chip,) = next(iter(trace.cases.values())).chips
    scale = abs(exact).max()
    apart = abs(chip.output - integers)
    assert apart.max() < 0.01 * scale  # an input halfway between two codes may fall either way
    assert (apart < 2e-5 * scale).mean() > 0.8


@pytest.fixture(scope="module")
def albert(tmp_path_factory):
    """Trace of ALBERT's three layers with one set of weights, and of two chips."""
    place = tmp_path_factory.mktemp("albert")
    return place, traced(place, "albert", run={"batch_examples": 4, "chips": 2})


def test_shared_tiles_are_programmed_once_and_counted_once(albert):
    _, trace = albert
    chip, other = next(iter(trace.cases.values())).chips
    for name in PROGRAMMED:
        first, second, third = (chip.layers[f"layer.{layer}.{name}"] for layer in range(3))
        assert first.attributes.tiles > 0 and first.attributes.shares is None
        for shared in (second, third):
            assert shared.attributes.tiles == shared.attributes.cells == 0
            assert shared.attributes.write_pulses == 0
            assert shared.attributes.shares == f"layer.0.{name}"
            np.testing.assert_array_equal(shared.conductances.counts, first.conductances.counts)
            np.testing.assert_array_equal(shared.attenuation.mean, first.attenuation.mean)
    counts = [chip.layers["layer.1.query"].conductances.counts for chip in (chip, other)]
    assert (counts[0] != counts[1]).any()
    assert chip.layers["embeddings.projection"].attributes.tiles > 0


def inputs_of(model, name, ids):
    """(inputs, rows) of a matrix in a float32 pass."""
    seen = {}

    def hook(step, reference, *operands, rows):
        seen[step.name] = (operands[0], rows)
        return reference(*operands)

    model.forward(*pad([ids]), hook)
    return seen[name]


NOISE = {"telegraph_multiplier": 8.0, "programming": True, "wires": False, "converters": False}
COUNTED = {"products": {"weights": "computation"}, "computation": {"rows_per_conversion": 5}}
KEPT = {"mapping": {"gain": "none"}, "device": {"name": "pcm"}}


@pytest.mark.parametrize("products", [KEPT, COUNTED])
def test_every_use_of_shared_cells_is_a_read_of_its_own(tmp_path, products):
    """The same cells for the same inputs: two uses differ by the noise of their reads, and not at
    all without it.
    """
    model = load_bert(make_tiny_encoder(tmp_path / "m", "albert"))
    x, rows = inputs_of(model, "layer.0.intermediate", sequences()[0])
    differences = {}
    for noisy in (False, True):
        study = chip_study({"effects": NOISE | {"read_noise": noisy}}, products)
        chip = chip_of(model, study)
        uses = [chip.matrices[f"layer.{layer}.intermediate"] for layer in range(3)]
        if products is COUNTED:
            scale = uses[0].input_scale
            uses = [dataclasses.replace(use, input_scale=scale) for use in uses]
        outputs = [use.multiply(x, rows, chip.seed).output for use in uses]
        differences[noisy] = [abs(outputs[0] - other).max() for other in outputs[1:]]
    assert differences[False] == [0, 0]
    assert min(differences[True]) > 0


def test_uses_that_want_the_same_tiles_in_two_ways_are_refused(tmp_path):
    model = load_bert(make_tiny_encoder(tmp_path / "m", "albert"))
    one = {"layer": [{"match": "layer.1.query", "mapping": {"word_lines": 8}}]}
    with pytest.raises(ConfigError, match="layer.1.query in another way than layer.0.query"):
        chip_of(model, chip_study(IDEAL_DEVICE, one))
    all_uses = {"layer": [{"match": "*.query", "mapping": {"word_lines": 8}}]}
    chip = chip_of(model, chip_study(IDEAL_DEVICE, all_uses))
    assert chip.matrices["layer.1.query"].array.programmed.layout.word_lines == 8


def test_the_full_scale_of_shared_weights_regards_the_inputs_of_all_uses(tmp_path):
    """Mean squares over every layer, and one programming."""
    model = load_bert(make_tiny_encoder(tmp_path / "m", "albert"))
    moments = []

    def seen(**arguments):
        moments.append((arguments["name"], arguments["moment"]))
        return plan_matrix(**arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "plan_matrix", seen)
        chip = chip_of(model, chip_study(IDEAL_DEVICE))
    assert [name for name, _ in moments] == [
        "embeddings.projection",
        *(f"layer.0.{name}" for name in PROGRAMMED),
    ]
    calibration = sequences(4, 24, seed=9)
    inputs = [
        inputs_of(model, f"layer.{layer}.output", ids)[0]
        for layer in range(3)
        for ids in calibration
    ]
    expected = (np.concatenate(inputs).astype(float) ** 2).mean(axis=0)
    np.testing.assert_allclose(dict(moments)["layer.0.output"], expected, rtol=1e-5)
    arrays = [chip.matrices[f"layer.{layer}.output"].array for layer in range(3)]
    assert arrays[2].programmed.transfer is arrays[0].programmed.transfer


def test_a_memory_reads_shared_weights_once(tmp_path):
    model = load_bert(make_tiny_encoder(tmp_path / "m", "albert"))
    ids = sequences()
    ranges = int8.input_ranges(model, ids)
    names = []

    def read(name, codes):
        names.append(name)
        return codes

    hook = int8.int8_hook(model, ranges, read)
    assert names == ["embeddings.projection", *(f"layer.0.{name}" for name in PROGRAMMED)]
    exact = model.forward(*pad(ids))
    np.testing.assert_allclose(model.forward(*pad(ids), hook), exact, atol=0.3, rtol=0)


@pytest.mark.parametrize("family", ["roberta", "distilbert", "albert"])
def test_accuracy_beside_the_cost_of_a_chip(tmp_path, family):
    """The shape of the traced matrices, a projection of the embeddings among them."""
    trace = traced(tmp_path, family)
    (row,) = accuracy_and_cost.join([summarise(trace)], ["isaac"])
    config = load_bert(tmp_path / "model").config
    of_layer = config.hidden * (4 * config.hidden + 2 * config.intermediate)
    attention = 2 * config.hidden * row.result.sequence
    projection = (config.embedding_width or 0) * config.hidden
    per_token = config.layers * (of_layer + attention) + projection
    assert row.result.macs == row.result.sequence * per_token
