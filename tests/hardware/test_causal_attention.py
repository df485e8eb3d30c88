"""Causal attention on hardware: against float32, brute force over written cells, prefill against
decode, counts by hand.
"""

import numpy as np
import pytest
from decoders_on_chips import IDEAL, chip_of, decode, on_chip, prefill, sequences, study_of
from tiny_decoders import CONFIGS, make_tiny_decoder

from xbarsim.base.errors import ConfigError
from xbarsim.hardware.hook import HardwareHook
from xbarsim.models.attention import Cache
from xbarsim.models.batches import pad
from xbarsim.models.decoder_checkpoint import load_decoder
from xbarsim.models.graph import Kind, Role
from xbarsim.models.operations import float32, product

IN_SITU = {"products": {"attention": "in_situ", "output_matrix": "hardware"}}
COUNTED = {"products": {"attention": "computation", "output_matrix": "hardware"}}
ALL_COUNTED = {
    "products": COUNTED["products"] | {"weights": "computation"},
    "computation": {"telegraph_amplitude": 0.6, "resistor_spread": 0.2},  # conversions do err
}
NO_WIRES = {"effects": {"wires": False}}
WRITTEN = {
    "effects": {
        "wires": False,
        "converters": False,
        "read_noise": False,
        "programming": True,
    },
    "mapping": {"clip": "maximum", "gain": "none"},
}
IDS = sequences(1, 40)[0]  # more than two blocks of positions


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("decoders")
    return {name: load_decoder(make_tiny_decoder(directory / name, name)) for name in CONFIGS}


@pytest.mark.parametrize("family", CONFIGS)
def test_ideal_cells_give_the_logits_of_float32(models, family):
    model = models[family]
    chip = chip_of(model, study_of(IDEAL, IN_SITU), calibration=[IDS])
    assert set(chip.products) == {step.name for step in model.graph.products}
    _, found = prefill(model, on_chip(chip), IDS)
    _, expected = prefill(model, float32, IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi"])
@pytest.mark.parametrize("mode", ["statistical", "direct"])
def test_counted_products_are_those_of_integers(models, family, mode):
    """Against int64 in NumPy, masked; every query head with the keys that it shares."""
    model = models[family]
    chip = chip_of(model, study_of(IDEAL, COUNTED, {"computation": {"mode": mode}}))
    seen = []

    def check(step, reference, *operands, rows):
        output = reference(*operands)
        if step.kind is Kind.PRODUCT:
            a, b = operands
            counted = chip.products[step.name]
            scales = [largest / 127 for largest in counted.largest]
            first, second = (
                np.clip(np.rint(x.astype(float) / scale), -127, 127).astype(np.int64)
                for x, scale in zip(operands, scales, strict=True)
            )
            expected = first @ second * (scales[0] * scales[1])
            if step.role is Role.ATTENTION_SCORES:
                expected = np.tril(expected)
            found = on_chip(chip)(step, product, a, b, rows=rows)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * abs(expected).max())
            seen.append(step.name)
        return output

    prefill(model, check, IDS[:30])
    assert len(seen) == 2 * model.config.layers


# ---------------------------------------------------------------- cells that are written


def drawn_cells(chip, step, sequence, head, values):
    """Conductances (positions, width, 2) of values (n, width): the device's error drawn anew."""
    attention = chip.products[step.name]
    name = np.random.SeedSequence(chip.seed, spawn_key=(attention.index, sequence, head))
    seed = int(name.generate_state(1)[0])
    device = attention.cells.device
    low, high = device.conductance_min, device.conductance_max
    share = np.clip(values / attention.cells.full_scale, -1, 1)
    targets = low + (high - low) * np.stack([np.maximum(share, 0), np.maximum(-share, 0)], axis=2)
    found = []
    for position, target in enumerate(targets):
        stream = np.random.SeedSequence(seed, spawn_key=(0, position, 0))
        tile = target if step.role is Role.ATTENTION_SCORES else target.T  # (lines, lines)
        error = device.programming_sigma(tile) * np.random.Generator(
            np.random.PCG64(stream)
        ).standard_normal(tile.shape)
        cell = np.clip(tile + device.programming_bias(tile) + error, *device.bounds)
        found.append(cell if step.role is Role.ATTENTION_SCORES else cell.T)
    return np.array(found)


@pytest.mark.parametrize("sequence", [0, 5])
def test_products_are_those_of_the_cells_as_they_were_written(models, sequence):
    """Brute force: every position's cells from a stream that names chip, step, sequence, head and
    position, and every product from them.
    """
    model = models["llama"]  # 6 query heads, 2 heads of keys
    chip = chip_of(model, study_of(IN_SITU, WRITTEN))
    seen = []

    def check(step, reference, *operands, rows):
        if step.kind is not Kind.PRODUCT:
            return reference(*operands)
        a, b = operands
        found = on_chip(chip, sequence)(step, product, a, b, rows=rows)
        cells = chip.products[step.name].cells
        scale = cells.full_scale / (cells.device.conductance_max - cells.device.conductance_min)
        expected = np.zeros(found.shape)
        for head in range(6):
            values = b[0, head].T if step.role is Role.ATTENTION_SCORES else b[0, head]
            g = drawn_cells(chip, step, sequence, head // 3, values.astype(float))
            weight = scale * (g[..., 0] - g[..., 1])  # (positions, width)
            for row in range(len(IDS)):
                if step.role is Role.ATTENTION_SCORES:
                    expected[0, head, row, : row + 1] = weight[: row + 1] @ a[0, head, row]
                else:
                    expected[0, head, row] = a[0, head, row, : row + 1] @ weight[: row + 1]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * abs(expected).max())
        exact = reference(a, b)
        if step.role is Role.ATTENTION_SCORES:
            exact = np.tril(exact)
        assert abs(found - exact).max() > 0.01 * abs(exact).max()
        seen.append(step.name)
        return exact

    prefill(model, check, IDS)
    assert len(seen) == 4


def test_programming_error_of_the_cache_moves_the_logits(models):
    model = models["llama"]
    digital = {"products": {"attention": "in_situ"}, "layer": [{"match": "*", "effects": {}}]}
    exact = chip_of(model, study_of(WRITTEN, digital, {"device": {"name": "ideal"}}))
    written = chip_of(model, study_of(WRITTEN, digital))
    written.matrices.clear()
    exact.matrices.clear()
    _, expected = prefill(model, on_chip(exact), IDS)
    _, found = prefill(model, on_chip(written), IDS)
    error = np.sqrt(((found - expected) ** 2).mean() / expected.var())
    assert 0.01 < error < 1
    _, other = prefill(model, on_chip(written, 1), IDS)  # another sequence, other cells
    assert abs(other - found).max() > 0.01 * abs(found).max()


# ---------------------------------------------------------------- the same bits


SAME_BITS = {
    "plain": (IN_SITU, NO_WIRES),
    "ideal converters": (IN_SITU, NO_WIRES, {"adc": {"bits": "ideal"}}),
    "ideal": (IN_SITU, IDEAL),
    "serial slices": (
        IN_SITU,
        NO_WIRES,
        {"mapping": {"encoding": "slices"}, "dac": {"encoding": "bit_serial"}},
    ),
    "two phases": (IN_SITU, NO_WIRES, {"dac": {"polarity": "two_phase"}}),
    "neighbours": (IN_SITU, NO_WIRES, {"mapping": {"placement": "neighbour"}}),
    "offset": (
        IN_SITU,
        NO_WIRES,
        {"mapping": {"encoding": "slices", "sign": "offset", "subtraction": "digital"}},
    ),
    "uneven": (
        IN_SITU,
        NO_WIRES,
        {"adc": {"steps": "sar", "element_spread": 0.2, "offset_lsb": 1.0, "noise_lsb": 0.5}},
        {"dac": {"noise_mv": 1.0, "inl_lsb": [0.0] * 128 + [0.4] * 127}},
    ),
    "noisy drivers": (IN_SITU, NO_WIRES, {"adc": {"bits": "ideal"}, "dac": {"noise_mv": 1.0}}),
    "counted": (ALL_COUNTED, NO_WIRES),
    "counted directly": (ALL_COUNTED, NO_WIRES, {"computation": {"mode": "direct"}}),
    "magnitudes": (ALL_COUNTED, NO_WIRES, {"computation": {"sign": "magnitude"}}),
}


@pytest.mark.parametrize("case", SAME_BITS)
def test_prefill_and_decode_give_the_same_bits(models, case):
    model = models["llama"]
    chip = chip_of(model, study_of(*SAME_BITS[case]))
    states, logits = prefill(model, on_chip(chip, 3), IDS)
    for first, keeps in ((1, True), (19, False)):
        hook = HardwareHook(chip, 3, keeps_cells=keeps)
        again, others = decode(model, hook, IDS, first)
        np.testing.assert_array_equal(again, states)
        np.testing.assert_array_equal(others, logits)


@pytest.mark.parametrize("family", ["gpt2", "phi", "qwen2"])
def test_prefill_and_decode_of_other_families(models, family):
    model = models[family]
    chip = chip_of(model, study_of(IN_SITU, NO_WIRES))
    states, logits = prefill(model, on_chip(chip), IDS)
    again, others = decode(model, HardwareHook(chip, keeps_cells=True), IDS, 7)
    np.testing.assert_array_equal(again, states)
    np.testing.assert_array_equal(others, logits)


@pytest.mark.parametrize("tables", [(IN_SITU,), (ALL_COUNTED,)])
def test_any_batch_and_any_threads_give_the_same_bits(models, tables):
    """With wires too: three sequences together, and each alone under its number."""
    model = models["llama"]
    lists = sequences(3, 38)
    states = {}
    for threads in (1, 2):
        chip = chip_of(model, study_of(*tables), threads=threads)
        token_ids, mask = pad(lists)
        states[threads] = model.forward(token_ids, mask, on_chip(chip, 10))
        for number, ids in enumerate(lists):
            alone, _ = prefill(model, on_chip(chip, 10 + number), ids)
            np.testing.assert_array_equal(alone, states[threads][number, : len(ids)])
    np.testing.assert_array_equal(states[1], states[2])


def test_kept_cells_of_another_prompt_are_not_used(models):
    model = models["llama"]
    chip = chip_of(model, study_of(IN_SITU))
    hook = HardwareHook(chip, keeps_cells=True)
    decode(model, hook, IDS, 5)
    other = sequences(1, 30, seed=4)[0]
    found, _ = decode(model, hook, other, 4)
    expected, _ = decode(model, HardwareHook(chip, keeps_cells=True), other, 4)
    np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- events, cells, energy


def costs_of(model, chip, ids, pieces):
    """{step: ProductCosts of all tokens}, the sequence read in pieces."""
    found = {}

    def note(step, reference, *operands, rows):
        if step.kind is Kind.PRODUCT:
            a, b = operands
            output, costs = hook.product(step, a, b, rows)
            found.setdefault(step.name, []).append(costs)
            return output
        return hook(step, reference, *operands, rows=rows)

    hook = HardwareHook(chip)
    cache = Cache()
    for piece in np.split(ids, pieces):
        model.forward(piece[None], np.ones((1, len(piece)), bool), note, cache)
    return {
        name: {
            key: np.concatenate([costs.by_name()[key] for costs in parts])
            for key in parts[0].by_name()
        }
        for name, parts in found.items()
    }


@pytest.mark.parametrize("pieces", [[], [1], [5, 6, 30]])
def test_costs_of_written_cells_by_hand(models, pieces):
    """6 query heads, 2 heads of keys, width 8, blocks of 16 positions, pairs on twin tiles."""
    model = models["llama"]
    study = study_of(IN_SITU, NO_WIRES, {"device": {"name": "pcm"}})
    chip = chip_of(model, study)
    costs = costs_of(model, chip, IDS, pieces)
    seen = np.arange(1, 41)
    blocks = -(-seen // 16)
    scores = costs["layer.0.attention_scores"]
    np.testing.assert_array_equal(scores["cells_set"], np.full(40, 2 * 8 * 2))
    np.testing.assert_array_equal(scores["adc_conversions"], 6 * seen)
    np.testing.assert_array_equal(scores["shift_adds"], 6 * seen)
    np.testing.assert_array_equal(scores["tile_reads"], 6 * 2 * blocks)
    np.testing.assert_array_equal(scores["dac_drives"], 6 * 2 * 8 * blocks)
    context = costs["layer.0.attention_context"]
    np.testing.assert_array_equal(context["cells_set"], np.full(40, 2 * 8 * 2))
    np.testing.assert_array_equal(context["adc_conversions"], 6 * 8 * blocks)
    np.testing.assert_array_equal(context["tile_reads"], 6 * 2 * blocks)
    np.testing.assert_array_equal(context["dac_drives"], 6 * 2 * seen)


def test_write_energy_is_one_pulse_a_cell(models, tmp_path):
    """3 pJ a pulse: 2 heads of 8 values on pairs are 32 cells a token, whatever the pieces."""
    device = tmp_path / "pulsed.toml"
    device.write_text(
        'description = "t"\n'
        'read = { voltage_v = 0.2, source = "t" }\n'
        'write = { pulse_energy_pj = 3.0, pulse_time_ns = 40.0, source = "t" }\n'
        "[conductance]\nminimum_us = 1.0\nmaximum_us = 40.0\n"
        'valid_range_us = [0.0, 40.0]\nsource = "t"\n'
    )
    model = models["llama"]
    chip = chip_of(model, study_of(IN_SITU, NO_WIRES, {"device": {"name": str(device)}}))
    for pieces in ([], [7, 8]):
        costs = costs_of(model, chip, IDS, pieces)
        for step in model.graph.products:
            energy = costs[step.name]["write_energy"]
            np.testing.assert_allclose(energy, np.full(40, 32 * 3e-12), rtol=1e-12, atol=0)
    hook = HardwareHook(chip, keeps_cells=True)
    decode(model, hook, IDS, 3)
    assert hook.cells_set == 4 * 40 * 32
    np.testing.assert_allclose(hook.write_energy, 4 * 40 * 32 * 3e-12, rtol=1e-12, atol=0)


def test_energy_of_a_decode_by_hand(models):
    """v² G t of all cells of a block on the driven word lines, of one token after the other."""
    model = models["llama"]
    chip = chip_of(model, study_of(IN_SITU, WRITTEN))
    step = model.graph.products[0]
    attention = chip.products[step.name]
    rng = np.random.default_rng(2)
    keys = rng.standard_normal((1, 2, 8, 20)).astype(np.float32)
    query = rng.standard_normal((1, 6, 1, 8)).astype(np.float32)
    rows = np.array([[0, 19]])
    _, costs = on_chip(chip).product(step, query, np.repeat(keys, 3, axis=1), rows)
    device = attention.cells.device
    low = device.conductance_min
    coder = attention.ranges.coder
    total = 0.0
    for head in range(6):
        g = drawn_cells(chip, step, 0, head // 3, keys[0, head // 3].T.astype(float))
        of_line = g.sum(axis=(0, 2)) + 2 * (2 * 16 - 20) * low  # two blocks of 16 positions
        volts = query[0, head, 0] * coder.read_voltage / coder.full_scale
        total += (volts**2 * of_line).sum() * 100e-9
    np.testing.assert_allclose(costs.array_energy, [total], rtol=1e-5, atol=0)


def test_costs_of_counted_products_by_hand(models):
    """Two's complement, 8 bits of each operand, 3 word lines at once, tiles of 16 x 16."""
    model = models["llama"]
    chip = chip_of(model, study_of(COUNTED, NO_WIRES))
    costs = costs_of(model, chip, IDS, [])
    seen = np.arange(1, 41)
    scores = costs["layer.1.attention_scores"]
    np.testing.assert_array_equal(scores["adc_conversions"], 6 * 64 * 3 * seen)
    np.testing.assert_array_equal(scores["dac_drives"], 6 * 64 * 8 * -(-seen // 16))
    np.testing.assert_allclose(scores["cells_set"].sum(), 2 * 8 * 8 * 40)
    context = costs["layer.1.attention_context"]
    groups = 6 * (seen // 16) + -(-(seen % 16) // 3)
    np.testing.assert_array_equal(context["adc_conversions"], 6 * 64 * 8 * groups)
    np.testing.assert_array_equal(context["dac_drives"], 6 * 64 * seen)
    np.testing.assert_allclose(context["cells_set"].sum(), 2 * 8 * 8 * 40)
    one_by_one = costs_of(model, chip, IDS, list(range(1, 40)))
    again = one_by_one["layer.1.attention_context"]
    np.testing.assert_array_equal(again["cells_set"], 2 * 8 * 8 * seen)  # set for every token
    np.testing.assert_array_equal(again["dac_drives"], context["dac_drives"])


@pytest.mark.parametrize(
    ("dac", "said"),
    [
        ({"bits": 1}, "no code for 0"),
        ({"encoding": "bit_serial", "digit_bits": 2}, "offset binary"),
    ],
)
def test_inputs_that_cannot_leave_a_word_line_undriven_are_refused(models, dac, said):
    with pytest.raises(ConfigError, match=said):
        chip_of(models["llama"], study_of(IN_SITU, {"dac": dac}))
