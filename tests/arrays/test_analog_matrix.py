"""A matrix of one's own: exact to the LSB where all is ideal, wires by stamping, energy by V² G t,
the bits of a run.
"""

import numpy as np
import pytest
from reference import dense_transfer
from tiny import SENTENCES, make_tiny_place, tiny_study

import xbarsim
from xbarsim.arrays.analog_matrix import AnalogMatrix
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.workers import worker_threads
from xbarsim.config.study import load_study, validate
from xbarsim.devices.presets import load_device
from xbarsim.hardware.build import Design, build_chip
from xbarsim.models import bert_checkpoint, checkpoint
from xbarsim.models.tokens import tokenize
from xbarsim.studies.examples import Examples
from xbarsim.studies.held_out import held_out

IDEAL = {"wires": False, "programming": False, "converters": False, "read_noise": False}
LOW, HIGH, READ = 1e-6, 40e-6, 0.2  # S, S, V of the device `ideal`
WIRES = {
    "word_line_resistance_ohm": 40.0,
    "bit_line_resistance_ohm": 25.0,
    "source_resistance_ohm": 100.0,
    "sense_resistance_ohm": 60.0,
}
SMALL = {
    "word_lines": 8,
    "bit_lines": 6,
    "clip": "maximum",
    "scale": "matrix",
    "gain": "none",
}
PLACEMENTS = [
    {},
    {"placement": "neighbour"},
    {"encoding": "slices", "weight_bits": 5},
    {"encoding": "slices", "sign": "offset", "unused": "open"},
]


def numbers(outputs=9, inputs=13, samples=60):
    """weight (outputs, inputs) and x (samples, inputs), uniform and with a heavy tail"""
    rng = np.random.default_rng(7)
    weight = rng.uniform(-1, 1, (outputs, inputs))
    return weight, rng.standard_t(4, (samples, inputs))


def tables(**changed):
    """A study's tables: 8 x 6 tiles of the device `ideal`, all effects off."""
    return {"device": {"name": "ideal"}, "mapping": SMALL, "effects": IDEAL} | changed


def stamped_matrix(conductances, inputs, outputs):
    """(outputs, inputs) S: positive minus negative tiles, every one solved by stamping."""
    row_blocks, column_blocks = conductances.shape[:2]
    whole = np.zeros((column_blocks * 6, row_blocks * 8))
    r_word, r_bit = np.full((8, 6), 40.0), np.full((8, 6), 25.0)
    r_word[:, 0] += 100.0
    r_bit[-1] += 60.0
    for row in range(row_blocks):
        for column in range(column_blocks):
            positive, negative = conductances[row, column]
            joined = dense_transfer(positive, r_word, r_bit)
            joined = joined - dense_transfer(negative, r_word, r_bit)
            whole[column * 6 : column * 6 + 6, row * 8 : row * 8 + 8] = joined
    return whole[:outputs, :inputs]


def test_ideal_effects_are_the_matrix_to_the_lsb_of_the_converters():
    """Inputs to half an LSB of 8 bits, currents of each of two row blocks to half of theirs."""
    weight, x = numbers()
    chosen = tables(
        effects=IDEAL | {"converters": True},
        dac={"bits": 8, "range": "maximum"},
        adc={"bits": 7, "range": "maximum"},
    )
    product = AnalogMatrix(weight, chosen, samples=x, seed=1).multiply(x)
    input_lsb = abs(x).max() / 127
    held = np.rint(x / input_lsb) * input_lsb
    half = np.zeros(9)
    for block in (slice(0, 8), slice(8, 13)):
        half += 0.5 * abs(held[:, block] @ weight[:, block].T).max(axis=0) / 63
    assert (abs(product.output - held @ weight.T) <= 1.0001 * half).all()
    assert (abs(product.output - x @ weight.T) <= half + 0.5 * input_lsb * 13).all()
    assert abs(product.output - held @ weight.T).max() > 0.5 * half.min()  # they do convert
    assert not product.adc_saturations.any() and not product.dac_saturations.any()


def test_conductances_lie_on_their_tiles():
    """[row block, column block, plane] against the weights; unused cells are in the low state."""
    weight, x = numbers()
    found = AnalogMatrix(weight, tables(), samples=x).conductances
    assert found.shape == (2, 2, 2, 8, 6)
    full = abs(weight).max()
    for row in range(2):
        for column in range(2):
            for plane, sign in enumerate((1, -1)):
                part = weight[column * 6 : column * 6 + 6, row * 8 : row * 8 + 8].T
                tile = np.full((8, 6), LOW)
                tile[: part.shape[0], : part.shape[1]] += np.maximum(sign * part, 0) * (
                    (HIGH - LOW) / full
                )
                np.testing.assert_allclose(found[row, column, plane], tile, rtol=1e-12, atol=0)


def test_every_tile_has_errors_of_its_own():
    """All cells in one state: no two tiles are programmed alike, nor those of another index."""
    device = {"name": "pcm"}
    effects = IDEAL | {"programming": True}
    chosen = tables(device=device, effects=effects)
    zero, x = np.zeros((9, 13)), numbers()[1]
    first = AnalogMatrix(zero, chosen, samples=x, seed=1).conductances.reshape(8, -1)
    second = AnalogMatrix(zero, chosen, samples=x, seed=1, index=1).conductances.reshape(8, -1)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 16


def test_wires_are_those_of_dense_nodal_analysis():
    weight, x = numbers()
    chosen = tables(effects=IDEAL | {"wires": True}, wires=WIRES)
    matrix = AnalogMatrix(weight, chosen, samples=x)
    effective = stamped_matrix(matrix.conductances, 13, 9) * (abs(weight).max() / (HIGH - LOW))
    expected = x @ effective.T
    np.testing.assert_allclose(
        matrix.multiply(x).output, expected, rtol=0, atol=2e-5 * abs(expected).max()
    )
    assert abs(effective - weight).max() > 0.01


def test_given_conductances_are_solved_and_multiplied():
    """Conductances that no weight asked for: wires by stamping; an ideal converter, no gain."""
    weight, x = numbers()
    chosen = tables(effects=IDEAL | {"wires": True}, wires=WIRES)
    matrix = AnalogMatrix(weight, chosen, samples=x)
    given = np.random.default_rng(3).uniform(0, 60e-6, (2, 2, 2, 8, 6))
    given[1, 0, 1, :, 3] = 0.0  # a bit line of open cells
    changed = matrix.with_conductances(given)
    effective = stamped_matrix(given, 13, 9) * (abs(weight).max() / (HIGH - LOW))
    expected = x @ effective.T
    np.testing.assert_allclose(
        changed.multiply(x).output, expected, rtol=0, atol=2e-5 * abs(expected).max()
    )
    np.testing.assert_array_equal(changed.conductances, given)
    assert (matrix.conductances != given).any() and not np.shares_memory(
        matrix.conductances, matrix.conductances
    )


def test_ranges_and_gains_of_given_conductances_are_fitted_again():
    """Halved conductances: half the ampere per code, twice the gain, the same product."""
    weight, x = numbers()
    mapping = SMALL | {"gain": "column"}
    chosen = tables(mapping=mapping, effects=IDEAL | {"converters": True})
    matrix = AnalogMatrix(weight, chosen, samples=x)
    halved = matrix.with_conductances(matrix.conductances / 2)
    for before, after in zip(matrix.array.lsb, halved.array.lsb, strict=True):
        np.testing.assert_allclose(after, before / 2, rtol=1e-6, atol=0)
    np.testing.assert_allclose(halved.array.gain, 2 * matrix.array.gain, rtol=1e-6, atol=0)
    whole = matrix.multiply(x)
    half = halved.multiply(x)
    np.testing.assert_allclose(half.output, whole.output, rtol=0, atol=0.02 * whole.output.std())
    np.testing.assert_allclose(half.energy, whole.energy / 2, rtol=1e-6, atol=0)


@pytest.mark.parametrize("mapping", PLACEMENTS)
@pytest.mark.parametrize("device", ["pcm", "rram-telegraph"])
def test_conductances_taken_out_and_put_in_give_the_same_bits(mapping, device):
    """Noise whose laws mean the target of a cell, and cells that have telegraph noise, included."""
    weight, x = numbers()
    chosen = {
        "device": {"name": device},
        "mapping": {"word_lines": 8, "bit_lines": 12} | mapping,
        "wires": WIRES,
    }
    matrix = AnalogMatrix(weight, chosen, samples=x, seed=4)
    again = matrix.with_conductances(matrix.conductances)
    before, after = matrix.multiply(x), again.multiply(x)
    for name in ("output", "energy", "dac_saturations", "adc_saturations"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    other = matrix.with_conductances(0.9 * matrix.conductances).multiply(x)
    assert (other.output != before.output).any()


def test_a_row_block_without_current_has_no_noise():
    """All cells of the second row block open: the product is that of the first, with its noise."""
    weight, x = numbers()
    chosen = tables(effects={"wires": False, "converters": False}, device={"name": "pcm"})
    matrix = AnalogMatrix(weight, chosen, samples=x)
    open_cells = matrix.conductances
    open_cells[1] = 0.0
    only = matrix.with_conductances(open_cells)
    x_other = x.copy()
    x_other[:, 8:] = 5.0
    np.testing.assert_array_equal(only.multiply(x).output, only.multiply(x_other).output)
    open_cells[0] = 0.0
    assert not matrix.with_conductances(open_cells).multiply(x).output.any()


@pytest.mark.parametrize("encoding", ["amplitude", "pulse_width"])
def test_energy_is_v_squared_g_t(encoding):
    """Without wires, summed cell by cell.  Pulses have the read voltage for a share of the time."""
    weight, x = numbers()
    chosen = tables(
        effects=IDEAL | {"converters": True},
        dac={"bits": 10, "range": "maximum", "encoding": encoding, "read_time_ns": 50.0},
    )
    matrix = AnalogMatrix(weight, chosen, samples=x)
    share = np.rint(x / abs(x).max() * 511) / 511  # of the full scale
    line = matrix.conductances.sum(axis=(1, 2, 4)).ravel()[:13]  # S of every word line
    if encoding == "amplitude":
        expected = ((READ * share) ** 2 @ line) * 50e-9
    else:
        expected = (READ**2 * abs(share) @ line) * 50e-9
    np.testing.assert_allclose(matrix.multiply(x).energy, expected, rtol=1e-5, atol=0)


def test_numbers_of_rows_name_the_read_noise():
    weight, x = numbers()
    chosen = {"device": {"name": "pcm"}, "mapping": {"word_lines": 8, "bit_lines": 6}}
    matrix = AnalogMatrix(weight, chosen, samples=x, seed=2)
    whole = matrix.multiply(x).output
    np.testing.assert_array_equal(matrix.multiply(x[20:30], first_row=20).output, whole[20:30])
    assert (matrix.multiply(x, first_row=100).output != whole).any()
    same = AnalogMatrix(weight, validate(chosen, "test"), samples=x, seed=2)
    np.testing.assert_array_equal(same.multiply(x).output, whole)
    other = AnalogMatrix(weight, chosen, samples=x, seed=3)
    assert (other.conductances != matrix.conductances).mean() > 0.9
    assert AnalogMatrix(weight, chosen | {"seed": 2}, samples=x).study.seed == 2
    assert matrix.multiply(x[:0]).output.shape == (0, 9)


def test_every_matrix_has_the_bits_of_a_run(tmp_path):
    """Weights, samples, seed and index of a tiny BERT, through both ways to an array."""
    place = make_tiny_place(tmp_path)
    model = bert_checkpoint.load_bert(place / "model")
    study = tiny_study(
        place,
        device={"name": "pcm"},
        layer=[{"match": "layer.1.*", "adc": {"bits": 5}}],
    )
    tokens = tokenize(checkpoint.load_tokenizer(place / "model"), SENTENCES, 32)
    with worker_threads(1) as pool:
        seen = held_out(model, Examples(tokens), 4, pool, threads=1)
        design = Design.of(model, study, load_device("pcm"), seen)
        arrays = build_chip(design, study.seed, pool).matrices
        for index, step in enumerate(model.graph.matrices):
            name = step.name
            x = seen.inputs[name][:40]
            rows = np.column_stack([np.arange(40), np.zeros(40, int)])
            expected = arrays[name].multiply(x, rows, study.seed)
            weight = model.matrix(name)[0]
            own = AnalogMatrix(weight, study, samples=seen.inputs[name], name=name, index=index)
            found = own.multiply(x)
            np.testing.assert_array_equal(found.output, expected.output)
            np.testing.assert_array_equal(found.energy, expected.array_energy)
            np.testing.assert_array_equal(found.adc_saturations, expected.adc_saturations)
            assert (own.study.adc.bits == 5) == name.startswith("layer.1.")


GOOD = np.ones((2, 3))
NOT_FINITE = np.array([[1.0, np.nan, 2.0]])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"weight": np.ones(3)}, ShapeError, r"weight has shape \(3,\); allowed: \(outputs"),
        ({"weight": np.ones((0, 3))}, ShapeError, r"weight has shape \(0, 3\)"),
        ({"weight": NOT_FINITE}, OutOfRangeError, "weight holds nan"),
        ({"weight": 1e39 * GOOD}, OutOfRangeError, r"weight holds 1e\+39"),
        ({"weight": [["a"]]}, ShapeError, "weight holds text"),
        ({"samples": np.ones((4, 2))}, ShapeError, r"shape \(4, 2\); allowed: \(samples, 3\)"),
        ({"samples": np.ones((0, 3))}, ShapeError, r"samples has shape \(0, 3\)"),
        ({"samples": NOT_FINITE}, OutOfRangeError, "samples holds nan"),
        ({"seed": -1}, OutOfRangeError, "seed is -1; allowed: a whole number, 0 to"),
        ({"seed": 1.0}, OutOfRangeError, "seed is 1.0"),
        ({"index": True}, OutOfRangeError, "index is True"),
        ({"study": {"adc": {"bit": 6}}}, ConfigError, "unknown key 'adc.bit'"),
        ({"study": {"adcs": {}}}, ConfigError, "unknown key 'adcs'"),
        ({"study": {"adc": {"bits": 99}}}, ConfigError, "adc.bits.* = 99"),
        ({"study": {"task": {}}}, ConfigError, "task has no effect on one matrix"),
        ({"study": {"layer": [{"match": "x", "adc": {"b": 1}}]}}, ConfigError, "adc.b"),
        ({"study": {"device": {"name": "pmc"}}}, ConfigError, "no device 'pmc'"),
        ({"study": "defualt"}, ConfigError, "no study 'defualt'"),
        ({"study": 3}, ConfigError, "study is a int"),
        (
            {"study": load_study("default", {"products": {"weights": "computation"}})},
            ConfigError,
            "in-situ tiles",
        ),
    ],
)
def test_what_is_no_matrix_or_study_is_refused_in_one_line(arguments, error, said):
    chosen = {"weight": GOOD, "study": {}, "samples": np.ones((4, 3))} | arguments
    with pytest.raises(error, match=said) as caught:
        AnalogMatrix(chosen.pop("weight"), chosen.pop("study"), **chosen)
    assert "\n" not in str(caught.value)


def test_inputs_and_conductances_that_are_none_are_refused():
    matrix = xbarsim.AnalogMatrix(GOOD, tables(), samples=np.ones((4, 3)))
    for x, error, said in (
        (np.ones(3), ShapeError, r"x has shape \(3,\); allowed: \(b, 3\)"),
        (np.ones((2, 4)), ShapeError, r"x has shape \(2, 4\)"),
        (NOT_FINITE, OutOfRangeError, "x holds nan"),
        (1j * GOOD, ShapeError, "x holds complex"),
        (3e38 * GOOD, OutOfRangeError, "leaves the range of float32"),
    ):
        with pytest.raises(error, match=said):
            matrix.multiply(x)
    with pytest.raises(OutOfRangeError, match="first_row is -1"):
        matrix.multiply(GOOD, first_row=-1)
    given = matrix.conductances
    with pytest.raises(ShapeError, match=r"shape \(1, 1, 2, 8\); allowed: \(1, 1, 2, 8, 6\)"):
        matrix.with_conductances(given[..., 0])
    for wrong in (np.nan, np.inf, -1e-6):
        given[0, 0, 0, 0, 0] = wrong
        with pytest.raises(OutOfRangeError, match="conductances hold .* S; allowed: finite, 0 S"):
            matrix.with_conductances(given)
