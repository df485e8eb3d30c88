"""Prefill and decode on chips, counted by hand: multiplications, caches, rooflines, conservation."""

import csv
import json
import math

import pytest
from chip_by_hand import run
from chip_cases import CIRCUITS, approx, edited

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.chips import compare
from xbarsim.chips.load import describe_chip, load_chip
from xbarsim.chips.lowering_in_situ import linear_cost
from xbarsim.chips.plans import CachePlace, Phase, Workload
from xbarsim.chips.rollup import roll_up, workload_of
from xbarsim.models.shapes import Shape, load_shape

# Grouped heads, a gate, an output matrix; sizes that fill no tile.
SMALL = Shape(
    layers=2,
    hidden=48,
    heads=6,
    key_value_heads=2,
    intermediate=80,
    gated=True,
    block="pre-norm",
    norm="rms",
    biases="none",
    attention="causal",
    positions=400,
    rotary=1.0,
    vocabulary=300,
)
WEIGHTS = 2 * (2 * 48 * 48 + 2 * 48 * 16 + 3 * 48 * 80)
LOGITS = 48 * 300
RRAM = ("multibit", "singlebit", "differential", "synergy")


def asked(phase, sequence, batch=1, output_matrix=False):
    return Workload("small", SMALL, sequence, batch, phase, output_matrix)


def rolled(chip, phase, sequence, batch=1, output_matrix=False, shape=SMALL):
    found = load_chip(chip) if isinstance(chip, str) else chip
    return roll_up(
        found,
        "small",
        sequence,
        batch,
        shape=shape,
        phase=phase,
        output_matrix=output_matrix,
    )


def actions(result, role, step=None):
    return math.fsum(
        line.actions
        for line in result.lines
        if line.role == role and line.actions is not None and step in (None, line.step)
    )


# ---------------------------------------------------------------- multiplications


def test_multiplications_of_both_phases_in_closed_form():
    n = 37
    of_products = 2 * 2 * 48  # of one token and one key: two layers, keys and values
    assert asked(Phase.DECODE, n).macs == WEIGHTS + of_products * n
    assert asked(Phase.PREFILL, n).macs == n * WEIGHTS + of_products * n * (n + 1) // 2
    assert asked(Phase.PASS, n).macs == n * (WEIGHTS + of_products * n)
    for phase in (Phase.DECODE, Phase.PREFILL):
        more = asked(phase, n, output_matrix=True).macs - asked(phase, n).macs
        assert more == LOGITS  # of one token, whatever the prompt


@pytest.mark.parametrize("sequence", [1, 2, 50])
def test_a_prompt_takes_the_work_of_its_tokens_one_after_the_other(sequence):
    steps = [asked(Phase.DECODE, n) for n in range(1, sequence + 1)]
    assert asked(Phase.PREFILL, sequence).macs == sum(step.macs for step in steps)


CONSERVED = {
    "multibit": ("adc", "dac", "cell", "mac", "softmax", "layer-norm", "gelu"),
    "singlebit": ("adc", "dac", "cell", "mac", "softmax", "layer-norm", "gelu"),
    "differential": ("adc", "dac", "cell", "mac", "softmax", "layer-norm", "gelu"),
    "isaac": ("adc", "dac", "array"),
    "synergy": ("adc", "shift-add", "cell", "function-unit"),
}


@pytest.mark.parametrize("chip", CIRCUITS)
def test_a_prompt_takes_the_actions_of_its_tokens_one_after_the_other(chip):
    """Conversions, products and functions; what tokens share (weights read, lines driven in the
    pool, operands in the buffer) is less.
    """
    sequence = 20
    prompt = rolled(chip, Phase.PREFILL, sequence)
    tokens = [rolled(chip, Phase.DECODE, n) for n in range(1, sequence + 1)]
    for role in CONSERVED[chip]:
        assert actions(prompt, role) == approx(sum(actions(token, role) for token in tokens)), role


@pytest.mark.parametrize("context", [1, 7, 200])
def test_actions_of_one_token_in_closed_form(context):
    """multibit: 8 phases, 4 cells a weight on tiles of 128 lines, inputs of a byte."""
    result = rolled("multibit", Phase.DECODE, context, 3, output_matrix=True)
    outputs = 2 * (48 + 16 + 16 + 48 + 80 + 80 + 48) + 300  # all inputs fit on 128 lines
    assert actions(result, "adc") == approx(8 * 4 * outputs)
    assert actions(result, "mac") == approx(2 * 2 * 48 * context)
    assert actions(result, "softmax") == approx(2 * 6 * context)
    assert actions(result, "layer-norm") == approx((2 * 2 + 1) * 48)
    assert actions(result, "gelu") == approx(2 * 80)


def test_written_keys_take_the_actions_of_their_tokens():
    found = edited("multibit", operations={"attention": "written"})
    sequence = 140  # more than a tile's lines
    prompt = rolled(found, Phase.PREFILL, sequence)
    tokens = [rolled(found, Phase.DECODE, n) for n in range(1, sequence + 1)]
    for role in ("adc", "dac", "cell", "cell-write"):
        assert actions(prompt, role) == approx(sum(actions(token, role) for token in tokens)), role
    assert actions(tokens[0], "cell-write") == 2 * 2 * 2 * 8 * 4 * 10  # values, cells, pulses
    assert prompt.cache.place is CachePlace.CELLS


def test_weights_are_read_for_a_token_as_for_a_pass_of_one():
    """Decode at a context of one token is a pass over a sequence of one."""
    for chip in CIRCUITS:
        one = rolled(chip, Phase.PASS, 1)
        decode = rolled(chip, Phase.DECODE, 1)
        assert {key: n for key, n in decode.events.items()} == approx(one.events), chip


# ---------------------------------------------------------------- caches


def test_bytes_of_the_cache():
    """2 · layers · heads of keys · width · bytes · context · batch."""
    for name, per_token in (
        ("gpt2", 2 * 12 * 12 * 64),
        ("smollm2-135m", 2 * 30 * 3 * 64),
        ("llama-3.2-1b", 2 * 16 * 8 * 64),
        ("llama-2-7b", 2 * 32 * 32 * 128),
        ("phi-1.5", 2 * 24 * 32 * 64),
        ("gpt3", 2 * 96 * 96 * 128),
    ):
        workload = workload_of(name, 1000, 3, phase=Phase.DECODE)
        assert workload.cache_size(8) == per_token * 1000 * 3
        assert workload.cache_size(16) == 2 * per_token * 1000 * 3
    half = load_chip("a100").changed((("precision",), "fp16"))
    decode = rolled(half, Phase.DECODE, 10, 4)
    assert decode.cache.size == 2 * (2 * 2 * 2 * 8) * 10 * 4
    assert rolled("multibit", Phase.PASS, 10).cache is None


def test_where_the_cache_lives():
    """multibit: 64 KiB in each of its tiles, of which the small model has one; a value a byte."""
    per_token = 2 * 2 * 2 * 8
    tiles = rolled("multibit", Phase.DECODE, 8).copies["tile"]
    fits = 65536 * tiles // (per_token * 8)
    inside = rolled("multibit", Phase.DECODE, 8, fits)
    outside = rolled("multibit", Phase.DECODE, 8, fits + 1)
    assert (inside.cache.place, outside.cache.place) == (CachePlace.BUFFER, CachePlace.OFF_CHIP)
    assert actions(inside, "cache-memory") == 0
    # of one token: all cached keys and values of both layers read, its own written, 8 bits each
    assert actions(outside, "cache-memory") == approx(8 * per_token * (8 + 1))
    assert rolled("isaac", Phase.DECODE, 8).cache.place is CachePlace.HOST
    assert rolled("a100", Phase.DECODE, 8).cache.place is CachePlace.MEMORY
    prompt = rolled("multibit", Phase.PREFILL, 8, fits + 1)
    assert actions(prompt, "cache-memory") == approx(8 * per_token * 2 * 8)


def test_the_pool_keeps_the_cache_in_its_buffer_off_the_chip_or_in_dense_cells():
    shape = load_shape("gpt2")
    per_token = 2 * 12 * 768
    fits = 2**20 // per_token  # tokens in 1 MiB
    inside = rolled("synergy", Phase.DECODE, fits, shape=shape)
    outside = rolled("synergy", Phase.DECODE, fits + 1, shape=shape)
    assert (inside.cache.place, outside.cache.place) == (CachePlace.BUFFER, CachePlace.OFF_CHIP)
    dense = edited("synergy", dense={"holds_cache": True})
    held = rolled(dense, Phase.DECODE, 1000, 200, shape=shape)
    assert held.cache.place is CachePlace.CELLS
    bits = (shape.matrix_weights + per_token * 1000 * 200) * 8
    assert held.copies["dense"] == math.ceil(bits / (1024 * 65536 * 4))
    one = rolled(dense, Phase.DECODE, 1000, shape=shape)
    assert actions(one, "cell-write") == approx(per_token * 8 / 4 * 10)
    read = actions(one, "dense-read", "attention_scores.cache") + actions(
        one, "dense-read", "attention_context.cache"
    )
    assert read == approx(per_token * 8 * 1000)


def test_cached_keys_pass_the_buffer_for_every_token():
    component = load_chip("multibit").chip.by_role["buffer"].component
    result = rolled("multibit", Phase.DECODE, 9)
    for step in ("attention_scores", "attention_context"):
        moved = 48 + 6 * 9 + 9 * 2 * 8  # queries or context, scores, keys or values
        assert actions(result, "buffer", step) * component.bits == approx(2 * 8 * moved)


# ---------------------------------------------------------------- time


def test_a_processor_reads_its_weights_for_every_token():
    """A100: 1555 GB/s, 624 INT8 operations per ps."""
    shape = load_shape("llama-2-7b")
    result = roll_up(load_chip("a100"), "llama-2-7b", 100, 1, phase=Phase.DECODE)
    weights = shape.matrix_weights + 4096 * 32000
    moved = weights + shape.cached_values * 101
    assert result.latency == approx(moved / 1555e9)
    assert "roofline of its memory" in result.notes[0] and "derived" in result.notes[0]
    assert result.tokens_per_second == approx(1555e9 / moved)
    assert result.energy_per_token == approx(400 * moved / 1555e9)
    many = roll_up(load_chip("a100"), "llama-2-7b", 100, 16, phase=Phase.DECODE)
    assert many.latency == approx((weights + 16 * shape.cached_values * 101) / 1555e9)
    prompt = roll_up(load_chip("a100"), "llama-2-7b", 1000, 1, phase=Phase.PREFILL)
    assert prompt.latency == approx(2 * prompt.macs / 624e12)
    assert "roofline of its arithmetic" in prompt.notes[0]


@pytest.mark.parametrize("phase", [Phase.PREFILL, Phase.DECODE])
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_no_processor_exceeds_its_peak(phase, batch):
    for name, watts in (("a100", 400), ("tpuv4", 192)):
        found = load_chip(name)
        result = roll_up(found, "gpt2", 512, batch, phase=phase)
        peak = found.chip.peak_tops["int8"] * 1e12
        assert result.operations_per_second <= peak * 1.000001
        assert result.operations_per_joule <= peak / watts * 1.000001


def test_sequences_of_a_batch_follow_each_other_through_an_in_situ_chip():
    """Until the pipeline is full, more sequences cost no time; then the busiest stage decides."""
    one = rolled("multibit", Phase.DECODE, 64, 1)
    two = rolled("multibit", Phase.DECODE, 64, 2)
    assert two.latency == approx(one.latency)
    assert two.tokens_per_second == approx(2 * one.tokens_per_second)
    many = rolled("multibit", Phase.DECODE, 64, 300)
    more = rolled("multibit", Phase.DECODE, 64, 600)
    assert many.latency > 2 * one.latency
    assert more.tokens_per_second == approx(many.tokens_per_second)


def test_the_first_token_comes_after_the_prompt():
    for chip in (*RRAM, "a100"):
        prompt = rolled(chip, Phase.PREFILL, 64, 3, output_matrix=True)
        decode = rolled(chip, Phase.DECODE, 64, 3, output_matrix=True)
        assert prompt.first_token == prompt.latency == decode.first_token > decode.latency
        assert prompt.tokens_per_second == approx(3 * 64 / prompt.latency)
        assert rolled(chip, Phase.PASS, 64).first_token is None


def test_off_chip_memory_limits_decode():
    """A stack of HBM2 gives 307.2 GB/s; gpt2 at 512 tokens keeps 9.4 MB a sequence."""
    result = roll_up(load_chip("multibit"), "gpt2", 512, 64, phase=Phase.DECODE)
    assert result.cache.place is CachePlace.OFF_CHIP
    assert result.tokens_per_second == approx(307.2e9 / (18432 * 513))


def test_logits_of_a_prompt_are_those_of_its_last_token():
    for chip in RRAM:
        prompt = rolled(chip, Phase.PREFILL, 30, output_matrix=True)
        token = rolled(chip, Phase.DECODE, 30, output_matrix=True)
        assert actions(prompt, "adc", "logits") == approx(actions(token, "adc", "logits"))
        assert actions(token, "adc", "logits") > 0


# ---------------------------------------------------------------- sanity


@pytest.mark.parametrize("chip", RRAM)
@pytest.mark.parametrize("model", ["gpt2", "llama-3.2-1b", "phi-1.5"])
def test_energy_of_a_multiplication_in_prefill_is_that_of_published_chips(chip, model):
    """Between .1 and 5 pJ per multiply-accumulate for 8-bit operands."""
    result = roll_up(load_chip(chip), model, 512, 8, phase=Phase.PREFILL)
    assert 0.1e-12 < result.joules / result.macs < 5e-12


# ---------------------------------------------------------------- refusals and outputs


def test_refusals_are_one_clear_line():
    chip = load_chip("multibit")
    with pytest.raises(ConfigError, match="bert-base is an encoder"):
        roll_up(chip, "bert-base", 16, 1, phase=Phase.DECODE)
    with pytest.raises(OutOfRangeError, match="1025 tokens is longer than the 1024 positions"):
        roll_up(chip, "gpt2", 1025, 1, phase=Phase.DECODE)
    with pytest.raises(ConfigError, match="allowed: pass, prefill, decode"):
        compare.compare("multibit", "gpt2", phase="train")
    slow = dict(load_chip("a100").content)
    del slow["memory_gb_per_s"]
    with pytest.raises(ConfigError, match="memory_gb_per_s"):
        roll_up(describe_chip("mine", slow), "gpt2", 16, 1, phase=Phase.DECODE)
    unknown = load_chip("multibit").changed((("cache_memory",), "ddr9"))
    with pytest.raises(ConfigError, match="ddr9"):
        roll_up(unknown, "gpt2", 16, 1, phase=Phase.DECODE)


def test_every_row_says_its_phase_context_and_batch(tmp_path):
    results = compare.compare(["multibit", "a100"], "gpt2", 100, 2, phase="decode")
    paths = compare.write_files(results, tmp_path)
    content = json.loads(paths[0].read_text())
    for entry, result in zip(content, results, strict=True):
        assert (entry["phase"], entry["sequence"], entry["batch"]) == ("decode", 100, 2)
        assert entry["cache_bytes"] == 18432 * 100 * 2
        assert entry["cache_place"] == str(result.cache.place)
        assert entry["first_token"] == result.first_token
        assert entry["energy_per_token"] == result.joules
        assert entry["units"]["tokens_per_second"] == "1/s"
    for path in paths[1:]:
        for row in csv.DictReader(path.open()):
            assert row["phase"] == "decode"
            assert (row["sequence (tokens)"], row["batch (sequences)"]) == ("100", "2")
    header, rows = compare.generation_table(results)
    assert rows[0][:4] == ("multibit", "decode", "100", "2")
    table = dict(zip(header, rows[0], strict=True))
    assert table["KV cache (MB)"] == f"{18432 * 200 / 1e6:.4g}"
    assert table["tokens/s"] == f"{2 / results[0].latency:.4g}"
    assert table["first token (ms)"] == f"{results[0].first_token * 1e3:.4g}"


def test_the_command_shows_generation():
    shown = run(
        *("chip", "compare", "multibit", "a100", "--model", "gpt2"),
        *("--phase", "decode", "--context", 64, "--batch", 2),
    )
    assert shown.exit_code == 0
    assert "gpt2, decode, context 64, batch 2" in shown.stdout
    assert "tokens/s" in shown.stdout and "latency derived" in shown.stdout
    without = run(
        *("chip", "compare", "multibit", "--model", "gpt2", "--phase", "decode", "--context", 64),
        *("--no-output-matrix", "--json"),
    )
    steps = json.loads(without.stdout)[0]["energy_by_step"]
    assert "logits" not in steps and "attention_scores" in steps


# ---------------------------------------------------------------- shared arrays, and too few


def test_query_heads_that_share_keys_take_turns_on_their_arrays():
    found = edited("multibit", operations={"attention": "written"}).chip
    stages = {stage.name: stage for stage in found.plan(asked(Phase.DECODE, 90)).stages}
    for step, (inputs, outputs) in (("scores", (8, 90)), ("context", (90, 8))):
        single = linear_cost(found, inputs, outputs)
        stage = stages[f"layer.1.attention_{step}"]
        assert stage.service == approx(3 * single.service)  # six heads, two of keys
        assert stage.fill == approx(single.fill + 2 * single.service)
        assert stage.events["adc"] == 6 * single.events["adc"]


def test_a_chip_that_is_too_small_brings_all_weights_for_every_step_of_a_batch():
    dram = {"role": "dram", "level": "chip", "component": "dram-bit", "count": 1}
    found = load_chip("multibit")
    small = found.changed(
        (("organisation",), {"tiles": 1, "units_per_tile": 1}),
        (("over_capacity",), "reload"),
        (("part",), [*found.content["part"], dram]),
    )
    for batch in (1, 4):
        result = rolled(small, Phase.DECODE, 16, batch, output_matrix=True)
        assert result.chips == 1
        assert actions(result, "dram") * batch == approx(8 * (WEIGHTS + LOGITS))


# ---------------------------------------------------------------- a processor by batch and length

# BERT-Large in INT8: tokens, batch -> J and mm² s of a sequence, from the vendor's latencies, 400 W
# and 826 mm².
PUBLISHED = {
    (128, 1): (0.50, 1.03),
    (128, 128): (0.080, 0.164),
    (384, 1): (1.12, 2.32),
    (384, 4): (0.403, 0.83),
    (384, 128): (0.278, 0.574),
}


@pytest.mark.parametrize(("sequence", "batch"), PUBLISHED)
def test_energy_and_area_delay_of_an_a100_at_its_measured_points(sequence, batch):
    result = roll_up(load_chip("a100"), "bert-large", sequence, batch)
    energy, area_delay = PUBLISHED[sequence, batch]
    assert result.notes[0] == "latency measured (int8)"
    assert result.joules == pytest.approx(energy, rel=0.01)
    assert result.area_delay * 1e6 == pytest.approx(area_delay, rel=0.01)


@pytest.mark.parametrize(
    ("phase", "words", "unit"),
    [
        (Phase.PASS, "small, 9 tokens, batch 2", "sequence"),
        (Phase.PREFILL, "small, prefill, 9 tokens, batch 2", "sequence"),
        (Phase.DECODE, "small, decode, context 9, batch 2", "token"),
    ],
)
def test_a_figure_says_what_it_is_of(phase, words, unit):
    result = rolled("multibit", phase, 9, 2)
    assert (result.asked, result.inference) == (words, unit)
    assert result.energy_per_token == approx(result.joules / (9 if unit == "sequence" else 1))
