"""The integer function unit against float64: every bound is derived from bit widths and numbers of
table entries.
"""

import math

import numpy as np
import pytest
from scipy.special import erf
from tiny import make_tiny_bert

from xbarsim.base.errors import ConfigError
from xbarsim.config.functions import Gelu, LayerNorm, Softmax
from xbarsim.config.study import validate
from xbarsim.hardware import functions
from xbarsim.hardware.build import settings_of
from xbarsim.hardware.function_units import GeluUnit, LayerNormUnit, SoftmaxUnit
from xbarsim.models import operations
from xbarsim.models.batches import pad
from xbarsim.models.bert_checkpoint import load_bert


def exact_gelu(x):
    return x / 2 * (1 + erf(x / math.sqrt(2)))


def exact_gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def chebyshev_error(length, degree, derivative):
    """Largest error of interpolation at the Chebyshev points of an interval."""
    return (
        length ** (degree + 1) * derivative / (2 ** (2 * degree + 1) * math.factorial(degree + 1))
    )


def newton(error, steps, grow, bits, roundings):
    """Relative error after Newton steps, from the relative error of the seed."""
    for _ in range(steps):
        error = grow(error) + roundings * 2.0**-bits
    return error


def reciprocal_error(c):
    seed = 1 / (2 * c.seed_entries) + 2.0**-c.seed_bits
    return (
        newton(seed, c.newton_steps, lambda e: e * e, c.reciprocal_bits, 2)
        + 2.0**-c.reciprocal_bits
    )


def root_error(c):
    seed = 1 / (4 * c.seed_entries) / (1 - 1 / (2 * c.seed_entries)) + 2.0**-c.seed_bits
    return (
        newton(seed, c.newton_steps, lambda e: 1.5 * e * e + 0.5 * e**3, c.reciprocal_bits, 4)
        + 2.0**-c.reciprocal_bits
    )


SOFTMAX = [
    Softmax(unit="table"),
    Softmax(unit="table", entries=1024, input_bits=8),
    Softmax(unit="polynomial"),
    Softmax(unit="polynomial", entries=4, degree=3, output_bits=14),
    Softmax(unit="polynomial", entries=1, degree=1, entry_bits=10),
    Softmax(unit="table", newton_steps=0, seed_entries=8, seed_bits=4, output_bits=12),
    Softmax(
        unit="polynomial",
        input_bits=20,
        entries=256,
        entry_bits=20,
        seed_bits=12,
        newton_steps=2,
        reciprocal_bits=22,
        output_bits=20,
        accumulator_bits=32,
    ),
]


@pytest.mark.parametrize("config", SOFTMAX, ids=str)
def test_softmax_error_is_bounded_by_its_widths(config):
    rng = np.random.default_rng(1)
    x = (4 * rng.standard_normal((60, 50))).astype(np.float32)
    mask = np.arange(50) < rng.integers(1, 51, 60)[:, None]
    full_scale = float(np.abs(x).max())
    unit = SoftmaxUnit.design(config, full_scale, 50)
    p, saturations = unit(x, mask)
    highest = 2 ** (config.input_bits - 1) - 1
    assert full_scale <= unit.lsb * highest and (
        unit.fraction_bits == 0 or full_scale > unit.lsb * highest / 2
    )
    assert (p[~mask] == 0).all()

    def softmax(x):
        e = np.where(
            mask, np.exp(x - x.max(axis=1, where=mask, initial=-np.inf, keepdims=True)), 0.0
        )
        return e / e.sum(axis=1, keepdims=True)

    rounded = softmax(np.rint(x.astype(np.float64) / unit.lsb) * unit.lsb)
    exact, k = softmax(x.astype(np.float64)), mask.sum(axis=1)[:, None]
    ratio = rounded[mask] / exact[mask]
    assert (
        abs(np.log(ratio)) <= unit.lsb * (1 + 1e-6)
    ).all()  # half an LSB in the score, half in the sum

    degree = 0 if config.unit == "table" else config.degree
    length = 1 / config.entries if config.entries < 2**unit.fraction_bits else 0
    degree_used = min(degree, max(2**unit.fraction_bits // config.entries, 1) - 1)
    approximation = chebyshev_error(length, degree_used, math.log(2) ** (degree_used + 1))
    one = (2**config.entry_bits - 1) / (
        1 + approximation
    )  # largest entry; the table is scaled to fit
    power = 2 * (approximation + (2 * degree + 1) / 2 / one)  # relative: the powers are above 1/2
    low = power + 51 / (2 * one)
    ends, quantum = reciprocal_error(config), 1 / (2**config.output_bits - 1)
    bound = (
        (2 * power * rounded + (1 + k * rounded) / (2 * one)) / (1 - low)
        + 1.1 * ends * rounded
        + 0.5 * quantum
    )
    assert (abs(p - rounded)[mask] <= bound[mask] + 1e-7).all()  # float32 result
    total = p.sum(axis=1, dtype=np.float64)
    allowed = k[:, 0] / 2 * quantum + ends + (saturations > 0) * ends
    assert (abs(total - 1) <= allowed + 1e-6).all()


def test_softmax_is_monotone_in_the_score():
    for config in (
        Softmax(
            unit="table", entries=1024, output_bits=20, accumulator_bits=32, reciprocal_bits=22
        ),
        Softmax(unit="table", entries=8, output_bits=20, accumulator_bits=32, reciprocal_bits=22),
    ):
        unit = SoftmaxUnit.design(config, 6.0, 1023)
        x = (np.arange(-511, 512) * unit.lsb).astype(np.float32)[None]
        p, _ = unit(x, np.ones_like(x, bool))
        assert (np.diff(p[0]) >= 0).all()
        assert p[0, -1] > 10 * p[0, 0]


@pytest.mark.parametrize("positions", [1, 256, 257, 512, 4096])
def test_equal_scores_share_one_however_many_positions_a_model_has(positions):
    """The accumulator is as wide as the positions need: probabilities are 1 / n, nothing saturates."""
    config = Softmax(unit="table", output_bits=20)
    unit = SoftmaxUnit.design(config, 5.0, positions)
    p, saturations = unit(np.zeros((1, positions), np.float32), np.ones((1, positions), bool))
    assert p.sum(dtype=np.float64) == pytest.approx(
        1, abs=positions * 2.0**-20 + reciprocal_error(config)
    )
    assert saturations.tolist() == [0]
    largest_entry = 2**config.entry_bits - 1
    assert 2**unit.accumulator_bits > positions * largest_entry >= 2 ** (unit.accumulator_bits - 1)


def test_an_accumulator_too_narrow_for_the_longest_sentence_is_refused(tmp_path):
    """16 + 5 bits hold 32 entries of 16 bits and 33 no more; the check counts the tokens that a
    study lets pass.
    """
    model = load_bert(make_tiny_bert(tmp_path, positions=64))
    ranges = {step.name: (4.0, 1.0) for step in model.graph.functions}
    softmax = {"unit": "table", "accumulator_bits": 21}

    def build(length):
        tables = {"functions": {"softmax": softmax}, "model": {"max_length": length}}
        return functions.build(settings_of(validate(tables, "test"), model.graph), model, ranges)

    assert build(32)["layer.0.attention_softmax"].accumulator_bits == 21
    with pytest.raises(
        ConfigError, match="64 equal scores of entry_bits = 16 exceed it; allowed: 22 or more"
    ):
        build(128)
    del softmax["accumulator_bits"]
    unit = build(128)["layer.0.attention_softmax"]
    p, saturations = unit(np.zeros((2, 64), np.float32), np.ones((2, 64), bool))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0.01)
    assert not saturations.any()


def test_softmax_counts_what_leaves_a_range():
    unit = SoftmaxUnit.design(Softmax(unit="table"), 5.0, 8)
    x = np.zeros((3, 8), np.float32)
    x[1, 2:4], x[2, 1], x[2, 7] = [50, -50], 50, np.nan
    mask = np.ones((3, 8), bool)
    mask[2, 7] = False  # what is masked is never looked at
    assert unit(x, mask)[1].tolist() == [0, 2, 1]
    small = SoftmaxUnit.design(Softmax(unit="table", entry_bits=16, accumulator_bits=16), 5.0, 4)
    p, saturations = small(
        np.zeros((2, 4), np.float32), np.array([[True] * 4, [True, False, False, False]])
    )
    assert saturations[0] >= 1 and saturations[1] == 0 and p[1, 0] == 1


GELU = [
    Gelu(unit="table"),
    Gelu(unit="table", input_bits=8, entries=1024),
    Gelu(unit="polynomial"),
    Gelu(unit="polynomial", entries=8, degree=3, input_bits=14, output_bits=14, entry_bits=20),
    Gelu(unit="table", input_bits=6, output_bits=10, entries=64, entry_bits=16),
    Gelu(unit="polynomial", input_bits=20, output_bits=20, entry_bits=30, entries=128, degree=3),
]
# largest |derivative| of GELU(x) - x for x >= 0, both forms, orders 1 to 4: generous, by central
# differences
DERIVATIVES = {1: 1.13, 2: 0.80, 3: 0.97, 4: 2.0}


@pytest.mark.parametrize("full_scale", [0.8, 7.9, 31.0])
@pytest.mark.parametrize(
    "activation, exact", [(operations.gelu, exact_gelu), (operations.gelu_tanh, exact_gelu_tanh)]
)
@pytest.mark.parametrize("config", GELU, ids=str)
def test_gelu_of_every_code(config, activation, exact, full_scale):
    unit = GeluUnit.design(config, full_scale, activation)
    step = max(1, unit.highest // 20000)
    codes = np.arange(-unit.highest, unit.highest + 1, step)
    y, saturations = unit((codes * unit.lsb).astype(np.float32)[None])
    assert saturations.sum() == 0
    degree = 0 if config.unit == "table" else config.degree
    length = unit.lsb * unit.covered / min(config.entries, unit.covered)
    used = min(degree, 2**unit.width - 1)
    approximation = chebyshev_error(length if unit.width else 0, used, DERIVATIVES[used + 1])
    coefficient = unit.lsb / 2**unit.guard
    bound = (
        approximation
        + (2 * degree + 1) / 2 * coefficient
        + 0.5 * unit.output_lsb
        + 1e-6 * full_scale
    )
    assert abs(y[0] - exact(codes * unit.lsb)).max() <= bound
    far = abs(codes * unit.lsb) > 6
    relu = np.maximum(codes[far], 0) * unit.lsb
    assert (abs(y[0, far] - relu) <= 0.5 * unit.output_lsb * (1 + 1e-6) + 1e-6 * full_scale).all()


def test_gelu_table_is_monotone_on_both_sides_of_its_minimum():
    for activation in (operations.gelu, operations.gelu_tanh):
        unit = GeluUnit.design(Gelu(unit="table", entries=1024), 5.0, activation)
        codes = np.arange(-unit.highest, unit.highest + 1)
        y = unit((codes * unit.lsb).astype(np.float32)[None])[0][0]
        right = codes * unit.lsb > -0.75
        assert (np.diff(y[right]) >= 0).all() and (np.diff(y[~right]) <= 0).all()


def test_gelu_counts_saturations_and_refuses_narrow_tables():
    unit = GeluUnit.design(Gelu(unit="table"), 4.0, operations.gelu)
    y, saturations = unit(np.array([[0, 4, -4], [4.1, -9, np.inf]], np.float32))
    assert saturations.tolist() == [0, 3] and y[1, 2] == y[0, 1]
    relu = GeluUnit.design(Gelu(unit="table"), 4.0, operations.relu)
    assert relu(np.array([[-3, 0, 4]], np.float32))[0] == pytest.approx(np.array([[0, 0, 4]]))
    with pytest.raises(ConfigError, match="entry_bits = 4"):
        GeluUnit.design(Gelu(unit="table", input_bits=16, entry_bits=4), 4.0, operations.gelu)


NORM = [
    LayerNorm(unit="table"),
    LayerNorm(unit="table", newton_steps=0, input_bits=8, output_bits=8),
    LayerNorm(unit="table", seed_entries=1, seed_bits=4, newton_steps=3),
    LayerNorm(
        unit="table",
        input_bits=20,
        seed_bits=10,
        newton_steps=2,
        reciprocal_bits=26,
        scale_bits=20,
        output_bits=20,
    ),
]


@pytest.mark.parametrize("config", NORM, ids=str)
@pytest.mark.parametrize("width", [1, 16, 384])
def test_layer_norm_error_is_bounded_by_its_widths(config, width):
    rng = np.random.default_rng(2)
    x = (rng.uniform(0.2, 3, (40, 1)) * rng.standard_normal((40, width)) + 1).astype(np.float32)
    weight, bias = (
        (1 + 0.3 * rng.standard_normal(width)).astype(np.float32),
        rng.standard_normal(width).astype(np.float32),
    )
    epsilon, full_scale = 1e-5, float(np.abs(x).max())
    lsb = full_scale / (2 ** (config.input_bits - 1) - 1)
    q = np.rint(x.astype(np.float64) / lsb) * lsb  # the input as the unit sees it
    deviation, variance = q - q.mean(axis=1, keepdims=True), q.var(axis=1, keepdims=True)
    z = deviation / np.sqrt(variance + epsilon)
    exact = z * weight + bias
    unit = LayerNormUnit.design(config, full_scale, float(np.abs(exact).max()))
    y, saturations = unit(x, weight, bias, epsilon)
    integer = (
        width**2 / lsb**2 * (variance + epsilon)
    )  # the sum whose root is taken, rounded by 1/2
    relative = root_error(config) + 0.25 / np.maximum(integer - 0.5, 0.5)
    scale = np.abs(weight).max() * 2 / (2 ** (config.scale_bits - 1) - 1)
    unit_z = 2.0**-config.reciprocal_bits
    bound = (
        (abs(z) * relative + unit_z / 2) * (abs(weight) + scale / 2)
        + abs(z) * scale / 2
        + scale * unit_z / 2
        + unit.output_lsb(weight) / 2
    )
    assert (abs(y - exact) <= bound + 1e-6 * np.abs(exact).max()).all()
    clipped = abs(exact) + bound > unit.output_lsb(weight) * (2 ** (config.output_bits - 1) - 1)
    assert (saturations <= clipped.sum(axis=1)).all()


def test_layer_norm_counts_saturations_and_survives_constant_rows():
    unit = LayerNormUnit.design(LayerNorm(unit="table"), 2.0, 1.9)
    one, zero = np.ones(64, np.float32), np.zeros(64, np.float32)
    x = np.full((3, 64), 1.0, np.float32)
    x[1, :3], x[2, 0] = 2.5, -2.0  # row 2: a normalised value of -7.9
    y, saturations = unit(x, one, zero, 1e-12)
    assert (y[0] == 0).all() and saturations[0] == 0
    assert saturations[1] >= 3 and saturations[2] == 1 and y[2, 0] == pytest.approx(-2, rel=0.01)


def test_rows_do_not_depend_on_each_other():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((30, 48)).astype(np.float32)
    mask = np.ones((30, 48), bool)
    softmax = SoftmaxUnit.design(Softmax(unit="polynomial"), 3.0, 64)
    gelu = GeluUnit.design(Gelu(unit="polynomial"), 3.0, operations.gelu)
    for together, alone in (
        (softmax(x, mask)[0], softmax(x[7:8], mask[7:8])[0]),
        (gelu(x)[0], gelu(x[7:8])[0]),
    ):
        assert np.array_equal(together[7:8], alone)


WIDE = {
    "softmax": {
        "unit": "polynomial",
        "input_bits": 20,
        "entries": 256,
        "entry_bits": 20,
        "seed_bits": 12,
        "newton_steps": 2,
        "reciprocal_bits": 22,
        "output_bits": 20,
        "accumulator_bits": 32,
    },
    "layer_norm": {
        "unit": "table",
        "input_bits": 20,
        "newton_steps": 2,
        "reciprocal_bits": 28,
        "scale_bits": 20,
        "output_bits": 20,
    },
    "gelu": {
        "unit": "polynomial",
        "input_bits": 20,
        "output_bits": 20,
        "entry_bits": 32,
        "entries": 256,
    },
}


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_a_wide_unit_reproduces_the_float_path_of_a_model(tmp_path, activation):
    model = load_bert(make_tiny_bert(tmp_path / "bert", hidden_act=activation))
    rng = np.random.default_rng(4)
    sentences = [rng.integers(5, 30, k) for k in (3, 9, 5, 12)]
    ids, mask = pad(sentences)
    exact = model.forward(ids, mask)
    names = [step.name for step in model.graph.functions]
    ranges = {}

    def note(step, reference, *operands, rows):
        output = reference(*operands)
        if step.kind.is_function:
            ranges[step.name] = functions.largest(step, operands, output)
        return output

    model.forward(ids, mask, note)
    assert sorted(ranges) == sorted(names)
    errors = []
    for tables in (WIDE, {name: {"unit": "table"} for name in WIDE}):
        unit, seen = (
            functions.build(
                settings_of(validate({"functions": tables}, "test"), model.graph), model, ranges
            ),
            [],
        )

        def hook(step, reference, *operands, rows, unit=unit, seen=seen):
            if step.name not in unit:
                return reference(*operands)
            output, saturations = unit[step.name](*operands)
            assert saturations.shape == output.shape[:-1] and output.dtype == np.float32
            seen.append(step.name)
            return output

        errors.append(float(abs(model.forward(ids, mask, hook) - exact).max()))
        assert seen == names
    assert errors[0] < 2e-4 < errors[1] < 0.3
    only_first = validate({"layer": [{"match": "layer.0.*", "functions": WIDE}]}, "test")
    assert sorted(functions.build(settings_of(only_first, model.graph), model, ranges)) == sorted(
        name for name in names if name.startswith("layer.0.")
    )
    assert functions.build(settings_of(validate({}, "test"), model.graph), model, ranges) == {}


def test_configuration_is_checked():
    for tables, message in (
        ({"softmax": {"seed_bits": 20, "reciprocal_bits": 10}}, "at most as many"),
        ({"softmax": {"entry_bits": 20, "accumulator_bits": 19}}, "accumulator_bits"),
        ({"gelu": {"entries": 100}}, "powers of two"),
    ):
        with pytest.raises(ConfigError, match=message):
            validate({"functions": tables}, "test")
