"""Every matrix of every family of decoders on in-situ tiles and on counting crossbars."""

import numpy as np
import pytest
from decoders_on_chips import IDEAL, chip_of, on_chip, prefill, sequences, study_of
from tiny_decoders import CONFIGS, make_tiny_decoder

from xbarsim.base.errors import ConfigError
from xbarsim.devices.presets import load_device
from xbarsim.hardware import idle
from xbarsim.hardware.build import settings_of
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.models.graph import Kind, Role, Transformer, graph_of
from xbarsim.models.operations import float32

OUTPUT = {"products": {"output_matrix": "hardware"}}
COUNTING = {"products": {"weights": "computation"}}
NOISY = {"dac": {"bits": 6}, "adc": {"bits": 6}}
LOUD = {"telegraph_amplitude": 0.6, "resistor_spread": 0.2}  # conversions do err
IDS = sequences(1, 20)[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("decoders")
    return {name: load_decoder(make_tiny_decoder(directory / name, name)) for name in CONFIGS}


@pytest.mark.parametrize("family", CONFIGS)
def test_ideal_tiles_give_the_logits_of_float32(models, family):
    model = models[family]
    chip = chip_of(model, study_of(IDEAL, OUTPUT))
    assert list(chip.matrices) == [step.name for step in model.graph.matrices]
    _, found = prefill(model, on_chip(chip), IDS)
    _, expected = prefill(model, float32, IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize("family", CONFIGS)
def test_counted_matrices_are_products_of_integers(models, family):
    """Against integers in NumPy: int8 codes of every row of weights and of the inputs."""
    model = models[family]
    chip = chip_of(model, study_of(IDEAL, OUTPUT, COUNTING))
    seen = []

    def check(step, reference, *operands, rows):
        if step.kind is not Kind.MATRIX:
            return reference(*operands)
        x, weight, bias = operands
        matrix = chip.matrices[step.name]
        of_row = np.abs(weight).max(axis=1) / 127
        stored = np.rint(weight / of_row[:, None]).astype(np.int64)
        codes = np.clip(np.rint(x * np.float32(1 / matrix.input_scale)), -127, 127)
        expected = codes.astype(np.int64) @ stored.T * (of_row * matrix.input_scale)
        found = matrix.multiply(x, rows, chip.seed).output
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * abs(expected).max())
        seen.append(step.name)
        return reference(*operands)

    prefill(model, check, IDS)
    assert seen == [step.name for step in model.graph.matrices]


@pytest.mark.parametrize("scaling", ["token", "block"])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_counted_matrices_scale_the_inputs_of_every_token(models, scaling, shift):
    """Against integers in NumPy: int8 codes of each token, or each 16 inputs of it, on their own
    scale.
    """
    model = models["llama"]
    tables = {
        "dac": {"scaling": scaling},
        "mapping": {"scale_shift": shift},
        "computation": {"word_lines": 16},
    }
    chip = chip_of(model, study_of(IDEAL, COUNTING, tables))
    seen = []

    def check(step, reference, *operands, rows):
        output = reference(*operands)
        if step.name not in chip.matrices:
            return output
        x, weight, _ = operands
        matrix = chip.matrices[step.name]
        divisor = np.ones(weight.shape[1]) if not shift else matrix.scale.shift.divisor
        weight = weight * divisor
        of_row = np.abs(weight).max(axis=1) / 127
        stored = np.rint(weight / of_row[:, None])
        width = 16 if scaling == "block" else weight.shape[1]
        expected = np.zeros((len(x), len(weight)))
        for start in range(0, weight.shape[1], width):
            part = (x / divisor)[:, start : start + width]
            step_of_token = np.abs(part).max(axis=1, keepdims=True) / 127
            codes = np.rint(part / step_of_token)
            expected += codes @ stored[:, start : start + width].T * step_of_token
        found = matrix.multiply(x, rows, chip.seed).output
        # a code at the edge of two may fall either way
        error = np.abs(found - expected * of_row)
        assert np.median(error) < 1e-6 * abs(expected * of_row).max()
        assert error.max() < 2e-2 * abs(expected * of_row).max()
        stated = matrix.description()
        assert stated.input_scaling == scaling and (stated.scale_shift or 0.0) == shift
        per_row = matrix.events_per_row
        assert per_row.comparisons == weight.shape[1]
        groups = -(-weight.shape[1] // width)
        inputs = weight.shape[1] * (2 if shift else 1)
        assert per_row.multiplications == inputs + groups * len(weight)
        seen.append(step.name)
        return output

    prefill(model, check, IDS)
    assert seen == list(chip.matrices)


@pytest.mark.parametrize("weights", ["in_situ", "computation"])
def test_the_output_matrix_stays_digital_unless_the_study_says_otherwise(models, weights):
    model = models["qwen2"]  # tied to the embedding
    products = {"products": {"weights": weights}}
    digital = chip_of(model, study_of(products, NOISY))
    assert Role.LOGITS not in {chip.description().role for chip in digital.matrices.values()}
    hardware = chip_of(model, study_of(products, NOISY, OUTPUT))
    assert set(hardware.matrices) - set(digital.matrices) == {"logits"}
    assert hardware.matrices["logits"].description().outputs == 96
    states, first = prefill(model, on_chip(digital), IDS)
    same, second = prefill(model, on_chip(hardware), IDS)
    np.testing.assert_array_equal(states, same)
    np.testing.assert_allclose(first, states @ model.weights["embeddings.word"].T, atol=1e-4)
    assert abs(first - second).max() > 1e-3 * abs(first).max()


@pytest.mark.parametrize(
    "tables",
    [
        {},
        NOISY,
        IDEAL,
        {"adc": {"bits": "ideal"}},
        COUNTING | {"computation": LOUD},
        COUNTING | {"computation": LOUD | {"mode": "direct"}},
        COUNTING | {"effects": {"wires": False}, "computation": LOUD},
        {"mapping": {"encoding": "slices"}, "dac": {"encoding": "bit_serial"}},
    ],
)
def test_a_row_of_a_matrix_is_the_same_bits_alone_and_among_others(models, tables):
    model = models["llama"]
    chip = chip_of(model, study_of(tables, OUTPUT))
    rng = np.random.default_rng(3)
    for step in (*model.graph.matrices[:7], model.graph.matrices[-1]):
        x = rng.standard_normal((21, step.inputs)).astype(np.float32)
        rows = np.column_stack([np.zeros(21, int), np.arange(21)])
        matrix = chip.matrices[step.name]
        together = matrix.multiply(x, rows, chip.seed).output
        for part in (slice(0, 1), slice(20, 21), slice(3, 12)):
            alone = matrix.multiply(x[part], rows[part], chip.seed).output
            np.testing.assert_array_equal(alone, together[part], step.name)


def test_an_integer_layer_norm_does_not_stand_in_for_an_rms_norm(models):
    study = study_of({"functions": {"layer_norm": {"unit": "table"}}})
    with pytest.raises(ConfigError, match="is an RMS norm"):
        chip_of(models["llama"], study)
    assert len(chip_of(models["gpt2"], study).functions) == 5


def test_the_key_of_the_output_matrix_is_idle_without_one(models):
    study = study_of(OUTPUT)
    device = load_device(study.device.name)
    encoder = graph_of(
        Transformer(1, 16, 2, 2, 8, 32, block="post-norm", causal=False, embeddings_norm=True), 8
    )
    for graph, expected in ((models["gpt2"].graph, 0), (encoder, 1)):
        places = idle.places(settings_of(study, graph), device, graph)
        said = idle.idle_settings([idle.CasePlaces("c", study, places)])
        assert sum(text.startswith("products.output_matrix") for text in said) == expected
