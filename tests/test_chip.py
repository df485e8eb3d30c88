"""Chips: ISAAC's published roll-up from its components, events against the simulator, conservation, schedules, errors."""
import csv
import dataclasses
import functools
import json
import math
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

from xbarsim import chip as chips
from xbarsim import claims, cli, compare, config, joined, plots
from xbarsim.array import calibrate, program_matrix
from xbarsim.components import adc, dac, library, load_component, parse_component, storage_area
from xbarsim.device import load_device
from xbarsim.errors import ConfigError, OutOfRangeError
from xbarsim.lowering import linear_cost, lower
from xbarsim.rollup import peak, roll_up
from xbarsim.schedule import Stage, schedule
from xbarsim.workload import load_shape, operations

approx = functools.partial(pytest.approx, rel=1e-9, abs=0)         # the default tolerance of 1e-12 is blind at picojoules
IN_SITU = ("isaac", "multibit", "singlebit", "differential")
CIRCUITS = (*IN_SITU, "synergy")


def edited(name, **tables):
    """A chip with keys of tables replaced."""
    found = chips.load_chip(name)
    return found.changed(*(((table, key), value) for table, keys in tables.items() for key, value in keys.items()))


# ---------------------------------------------------------------- published figures as oracles

def test_isaac_rolls_up_to_the_published_table():
    found = peak(chips.load_chip("isaac"))
    unit, tile, whole = (found.level(name) for name in ("unit", "tile", "chip"))
    close = {"rel": 5e-3}
    assert (unit.power, unit.area) == (approx(24.08e-3, **close), approx(0.01312e-6, **close))
    assert (tile.power, tile.area) == (approx(329.8e-3, **close), approx(0.3723e-6, **close))
    assert (whole.power, whole.area) == (approx(65.81, **close), approx(85.42e-6, **close))
    assert 168 * tile.power == approx(55.41, **close) and 168 * tile.area == approx(62.54e-6, **close)
    digital = sum(row[2] for row in tile.rows), sum(row[3] for row in tile.rows)
    assert digital == (approx(40.85e-3, **close), approx(0.2149e-6, **close))
    assert round(100 * found.adc_power_share) == 58 and round(100 * found.adc_area_share) == 31
    product = found.product
    assert (product.inputs, product.outputs, product.time) == (128, 128, approx(1.6e-6))
    assert product.energy == approx(38.5e-9, **close)
    assert product.energy / product.macs == approx(2.35e-12, **close)
    assert product.operations_per_second == approx(41.3e12, **close)
    assert product.operations_per_second / (whole.area * 1e6) == approx(483e9, **close)
    rows = {role: (count, power, area) for role, count, power, area in unit.rows}
    assert rows["adc"] == (8, approx(16e-3, **close), approx(0.0096e-6, **close))
    assert rows["dac"] == (1024, approx(4e-3, **close), approx(0.00017e-6, **close))


def test_storage_of_gpt3():
    """175e9 weights of 8 bits at 14 nm: crosspoint cells of 4 bits, DRAM, SRAM."""
    for cell, square_millimetres in (("cell-rram-4b", 274), ("cell-dram", 1646), ("cell-sram", 27440)):
        assert round(storage_area(175e9, 8, load_component(cell), 14e-9) * 1e6) == square_millimetres


def test_gpt3_needs_2777_isaac_chips_in_the_papers_arithmetic():
    """The paper divides 175e9 bytes by 63 MB; a chip holds 63 MiB, so its cells suffice on 2650 chips, and the matrices of
    the layers alone, mapped, on 2634."""
    isaac = edited("isaac", mapping={"weight_bits": 8}, dac={"bits": 8}).chip
    org, m = isaac.organisation, isaac.mapping
    cells = org.tiles * org.units_per_tile * org.arrays_per_unit * m.word_lines * m.bit_lines
    mebibytes = cells * m.bits_per_cell / 8 / 2**20
    assert mebibytes == 63 and math.floor(175e9 / (mebibytes * 1e6)) == 2777
    assert math.ceil(load_shape("gpt3").parameters / (mebibytes * 2**20)) == 2650
    assert lower(isaac, load_shape("gpt3"), 1, 1).chips == 2634


def test_eight_bit_isaac_converts_a_quarter_per_mac():
    assert peak(edited("isaac", mapping={"weight_bits": 8}, dac={"bits": 8})).product.conversions_per_mac == 0.25
    assert peak(chips.load_chip("multibit")).product.conversions_per_mac == 0.25
    large = roll_up(chips.load_chip("multibit"), "bert-large", 128, 1)
    linear = 128 * load_shape("bert-large").matrix_weights
    assert sum(n for (role, _), n in large.events.items() if role == "adc") == linear / 4


def test_a_lossless_two_bit_converter_takes_about_21_conversions_per_product():
    found = roll_up(chips.load_chip("synergy"), "bert-large", 128, 1)
    conversions = found.events["adc", "layer.0.query"] / (128 * 1024**2)
    assert conversions == 64 * 8 * math.ceil(128 / 3) / 1024 and 21 < conversions < 22


def test_a_matrix_on_the_computation_crossbars_by_hand():
    """bert-base, 48 tokens of batch 2 with a reuse of 40, three rows per conversion, all columns conducting."""
    found = edited("synergy", dense={"reuse_tokens": 40}, computation={"bit_lines_conducting": 128, "crossbars": 64})
    result = roll_up(found, "bert-base", 48, 2)
    query = {role: count * 2 for (role, name), count in result.events.items() if name == "layer.0.query"}
    weights, tokens = 768 * 768, 96
    assert query["adc"] == query["shift-add"] == tokens * 768 * 64 * 6 * 43       # 6 blocks of 128 rows, 43 groups of 3
    assert query["dense-read"] == weights * 8 * 3                                 # 96 tokens in passes of 40
    assert query["sense-amplifier"] == weights * 8 / 4 * 15 * 3                   # 15 comparisons per 4-bit cell
    assert query["dac"] == weights * 8 * 6                                        # 16 tokens share a word line
    assert query["encoder"] == query["dac"] + tokens * 768 * 8
    cell = 3 * 128 * 0.5**2 * 20.5e-6 * 0.04 * 1e-9
    assert result.energy["cell", "layer.0.query"] * 2 == approx(query["adc"] * cell)
    plan = lower(found.chip, load_shape("bert-base"), 48, 2)
    step = next(stage for stage in plan.stages if stage.name == "layer.0.query")
    assert tokens * step.service == approx(query["adc"] * 1e-9 / 64)       # one converter per crossbar, settling 1 ns
    slow = lower(edited("synergy", dense={"reuse_tokens": 1, "read_bits": 8}).chip, load_shape("bert-base"), 48, 2)
    step = next(stage for stage in slow.stages if stage.name == "layer.0.query")
    assert 96 * step.service == approx(96 * weights * 8 * 10e-9 / (8 * 3))  # three dense arrays read a byte per 10 ns


def test_what_is_idle_pays_by_the_second():
    still = edited("multibit").changed((("idle_fraction",), 0.0))
    base, idle = (roll_up(d, "bert-base", 32, 4) for d in (still, still.changed((("idle_fraction",), 0.5))))
    tiles = lower(still.chip, load_shape("bert-base"), 32, 4).copies["tile"]
    leaking = sum(p.count * tiles * c.leakage for p, c in still.chip.parts if p.level == "tile")
    assert base.energy["leakage", "static"] == approx(leaking * base.latency / 4)
    link = still.chip.by_role["link"][1].peak_power / 4
    running = tiles * peak(still).level("tile").power + link
    assert idle.joules - base.joules == approx(0.5 * (running - leaking) * base.latency / 4)


def test_vendor_latencies_are_returned_and_other_points_lie_between_them():
    a100 = chips.load_chip("a100")
    assert roll_up(a100, "bert-large", 128, 1).latency == 1.25e-3
    assert roll_up(a100, "bert-large", 128, 128).time_per_sequence == approx(0.2e-3, rel=0.01)
    macs = {s: 24 * s * (12 * 1024**2 + 2 * s * 1024) for s in (128, 256, 384)}
    share = math.log(macs[256] / macs[128]) / math.log(macs[384] / macs[128])
    rate = (macs[128] / 1.25e-3) ** (1 - share) * (macs[384] / 2.81e-3) ** share
    assert roll_up(a100, "bert-large", 256, 1).latency == approx(macs[256] / rate)
    assert "estimated" in roll_up(a100, "bert-large", 256, 1).notes[0]
    tpu = roll_up(chips.load_chip("tpuv4"), "bert-large", 128, 1)
    assert tpu.latency == approx(1.25e-3 * 624 / 275) and "no published latency" in tpu.notes[0]


# ---------------------------------------------------------------- events are those that the simulator counts

@pytest.mark.parametrize("polarity", ["signed", "two_phase"])
@pytest.mark.parametrize("name", IN_SITU)
def test_events_of_a_matrix_equal_those_of_the_simulated_array(name, polarity):
    chip = edited(name, mapping={"word_lines": 32, "bit_lines": 32}, organisation={"bit_lines_per_adc": 32},
                  dac={"polarity": polarity}).chip
    content = {"mapping": chip.mapping.model_dump(), "dac": chip.dac.model_dump(), "adc": chip.adc.model_dump()}
    study = config.validate(content, name)
    x = np.random.default_rng(0).normal(size=(8, 70)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=(19, 70)).astype(np.float32)
    array = calibrate(program_matrix("layer.0.query", 0, weight, (x**2).mean(axis=0), study, load_device("ideal")), x)
    counted, priced = array.events_per_row, linear_cost(chip, 70, 19)
    assert priced.events["adc"] == priced.events["shift-add"] == counted["adc_conversions"] == counted["shift_adds"]
    assert priced.events["dac"] == counted["dac_drives"]
    assert priced.events["array" if name == "isaac" else "cell"] == counted["tile_reads"]


# ---------------------------------------------------------------- conservation

@pytest.mark.parametrize("name", CIRCUITS)
def test_the_breakdown_sums_to_the_total_and_is_events_times_prices(name):
    found = chips.load_chip(name)
    result = roll_up(found, "bert-base", 64, 4)
    for part in (result.by_component(), result.by_layer(), result.by_step()):
        assert math.fsum(part.values()) == approx(result.joules, rel=1e-12)
    assert math.fsum(result.area_by_role.values()) == approx(result.area, rel=1e-12)
    components = {part.role: chips.resolve(part.component, found.chip.component).at(found.chip.node)
                  for part in found.chip.part}
    by_role = {}
    for (role, _), count in result.events.items():
        by_role[role] = by_role.get(role, 0.0) + count
    for role, count in by_role.items():
        if role != "cell":
            assert result.by_component()[role] == approx(count * components[role].energy, rel=1e-12)
    assert result.power * result.time_per_sequence == approx(result.joules)
    assert result.area_delay == approx(result.area * result.latency / 4)


@pytest.mark.parametrize("name", IN_SITU)
def test_energy_of_a_matrix_is_linear_in_tokens_and_of_attention_in_sequences(name):
    found = chips.load_chip(name)
    short, long, many = (roll_up(found, "bert-base", s, b) for s, b in ((32, 1), (96, 1), (32, 5)))
    for key, joule in short.energy.items():
        if key[1].endswith(("query", "output", "intermediate")):
            assert long.energy[key] == approx(3 * joule, rel=1e-12)
        if key[1] != "static":
            assert many.energy[key] == approx(joule, rel=1e-12)
    scores = [sum(j for (role, stage), j in result.energy.items() if stage == "layer.1.attention_scores" and role == "mac")
              for result in (short, long)]
    assert scores[1] == approx(9 * scores[0])


def test_doubling_tiles_doubles_the_array_area():
    one, two = (edited("isaac", organisation={"tiles": tiles, "replicate": 1}) for tiles in (4000, 8000))
    first, second = roll_up(one, "bert-large", 8, 1), roll_up(two, "bert-large", 8, 1)
    assert first.chips == second.chips == 1
    assert second.area_by_role["array"] == approx(2 * first.area_by_role["array"])
    assert second.area_by_role["link"] == first.area_by_role["link"] and second.joules == approx(first.joules)
    filled = roll_up(edited("isaac", organisation={"tiles": 8000}), "bert-large", 8, 1)
    assert filled.replication == 5 and filled.latency < second.latency


@pytest.mark.parametrize("name", CIRCUITS)
def test_units_by_dimension(name):
    """Joules scale with energies alone, square metres with areas alone, seconds with times alone."""
    found = edited(name, **{"synergy": {"dense": {"read_bits": 512}}}.get(name, {}))
    base = roll_up(found, "bert-base", 32, 2)

    def scaled(energy=1.0, area=1.0, time=1.0):
        content = {"component": {}}
        for part, _ in found.chip.parts:
            c = chips.resolve(part.component, found.chip.component)
            rate = {} if c.delay is None else {"delay_ns": c.delay * time * 1e9}
            content["component"][part.component] = {
                "kind": c.kind, "action": c.action, "node_nm": c.node * 1e9, "bits": c.bits, "scaling": c.scaling,
                "source": "scaled", "energy_pj": c.energy * energy * 1e12, "area_um2": c.area * area * 1e12,
                "leakage_uw": c.leakage * energy / time * 1e6, **rate}
        changed = {k: v for k, v in found.content.items() if k != "component"} | content
        if name == "synergy":
            c = changed["computation"]
            changed["computation"] = c | {"settle_ns": c["settle_ns"] * time,
                                          "conductance_us": c["conductance_us"] * energy / time}
        else:
            changed["dac"] = changed["dac"] | {"read_time_ns": 100 * time}
            if "mean_conductance_us" in changed["cell"]:
                changed["cell"] = changed["cell"] | {"mean_conductance_us": 20.5 * energy / time}
        return roll_up(chips.describe_chip(name, changed), "bert-base", 32, 2)

    for result, expected in ((scaled(energy=3.0), (3, 1, 1)), (scaled(area=5.0), (1, 5, 1)), (scaled(time=7.0), (1, 1, 7))):
        ratio = result.joules / base.joules, result.area / base.area, result.latency / base.latency
        assert ratio == approx(expected, rel=1e-9)


def test_written_attention_and_reloading_pay_for_their_writes():
    written = roll_up(edited("multibit", operations={"attention": "written"}), "bert-base", 128, 1)
    pulses = sum(n for (role, _), n in written.events.items() if role == "cell-write")
    assert pulses == 12 * 2 * 128 * 768 * 4 * 10                        # layers, K and V, cells per weight, pulses per cell
    assert written.by_component()["cell-write"] == approx(pulses * 16e-12) and "mac" not in written.by_component()
    digital = roll_up(chips.load_chip("multibit"), "bert-base", 128, 1)
    assert written.area > digital.area
    slow = roll_up(edited("multibit", operations={"attention": "written"}, cell={"write_pulses": 20}), "bert-base", 128, 1)
    assert slow.latency - written.latency == approx(12 * (64 + 128 - 64) * 10 * 40e-9)   # V waits for all its rows
    small = edited("multibit", organisation={"tiles": 48}).changed((("over_capacity",), "reload"), (("part",), [
        *chips.load_chip("multibit").content["part"],
        {"role": "dram", "level": "chip", "component": "dram-bit", "count": 1}]))
    reloaded = roll_up(small, "bert-base", 128, 8)
    weights = load_shape("bert-base").matrix_weights
    assert sum(n for (role, _), n in reloaded.events.items() if role == "dram") * 8 == approx(weights * 8)
    assert reloaded.chips == 1 and "off-chip" in " ".join(reloaded.notes)
    more = roll_up(edited("multibit", organisation={"tiles": 48}), "bert-base", 128, 8)
    assert more.chips == 5 and more.area > reloaded.area and more.joules < reloaded.joules
    sizes = {op.name: op.inputs for op in operations(load_shape("bert-base"), 128) if op.kind == "linear"}
    crossings = sum(count / (128 * sizes[name] * 8) for (role, name), count in more.events.items()
                    if role == "link" and name in sizes)
    assert crossings == approx(more.chips - 1)
    both = roll_up(small.changed((("operations", "attention"), "written")), "bert-base", 128, 8)
    assert sum(n for (role, name), n in both.events.items() if name.endswith(".write")) == approx(pulses)


def test_energy_of_reads_comes_from_the_trace_where_there_is_one():
    found = chips.load_chip("multibit")
    plain = roll_up(found, "bert-base", 16, 1)
    solved = roll_up(found, "bert-base", 16, 1, read_energy={"layer.0.query": 5e-9})
    assert solved.energy["cell", "layer.0.query"] == approx(16 * 5e-9)
    assert solved.energy["cell", "layer.0.key"] == plain.energy["cell", "layer.0.key"]
    assert "mean conductance of 20.5" in plain.read_energy and "circuit solve" in solved.read_energy
    reads = plain.events["cell", "layer.0.query"]
    assert plain.energy["cell", "layer.0.query"] == approx(reads * 128**2 * 20.5e-6 * 0.04 * 0.5 * 100e-9)


# ---------------------------------------------------------------- schedules

def stage(name, service, fill, *after, resource=None, tokens=6):
    return Stage(name, 0, tokens, service, fill, resource or name, after, {})


def test_a_stage_streams_from_one_and_waits_for_another():
    chain = schedule([stage("a", 2, 5), stage("b", 3, 4, ("a", False))])
    assert chain.latency == 5 + 4 + 5 * 3 and chain.interval == 6 * 3           # b is slower: fills, then its own pace
    assert schedule([stage("a", 3, 5), stage("b", 2, 4, ("a", False))]).latency == 5 + 5 * 3 + 4
    barrier = schedule([stage("a", 2, 5), stage("b", 3, 4, ("a", True))])
    assert barrier.latency == (5 + 5 * 2) + (4 + 5 * 3)
    shared = schedule([stage("a", 2, 2, resource="pool"), stage("b", 3, 3, resource="pool")])
    assert shared.latency == 6 * 2 + 6 * 3 == shared.interval


def test_schedule_against_a_simulation_of_every_token():
    """Random pipelines of dedicated stages, several jobs; the slow twin moves every token of every job by itself."""
    rng = np.random.default_rng(5)
    for _ in range(40):
        tokens, jobs = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        stages = []
        for k in range(6):
            after = tuple((f"s{j}", bool(rng.random() < 0.4)) for j in range(k) if rng.random() < 0.5 or j == k - 1)
            service = float(rng.integers(1, 6))
            stages.append(stage(f"s{k}", service, service + float(rng.integers(0, 4)), *after, tokens=tokens))
        out, ready = {}, {s.name: 0.0 for s in stages}
        for job in range(jobs):
            for s in stages:
                leaves = []
                for token in range(tokens):
                    arrives = max([out[job, name][-1 if waits else token] for name, waits in s.after], default=0.0)
                    enters = max(arrives, ready[s.name])
                    ready[s.name] = enters + s.service
                    leaves.append(enters + s.fill)
                out[job, s.name] = leaves
        timing = schedule(stages)
        assert timing.latency == max(out[0, s.name][-1] for s in stages)
        assert timing.of(jobs) == max(out[jobs - 1, s.name][-1] for s in stages)


def test_bidirectional_attention_waits_and_causal_attention_streams():
    shape = load_shape("bert-base")
    steps = {op.name: op for op in operations(shape, 16)}
    assert dict(steps["layer.3.attention_scores"].after) == {"layer.3.query": False, "layer.3.key": True}
    assert dict(steps["layer.3.query"].after) == {"layer.2.output_norm": False}
    assert sum(op.macs for op in steps.values()) == shape.matrix_weights + 12 * 2 * 16 * 768
    causal = shape.model_copy(update={"attention": "causal"})
    chip = chips.load_chip("multibit").chip
    assert schedule(lower(chip, causal, 64, 1).stages).latency < schedule(lower(chip, shape, 64, 1).stages).latency


# ---------------------------------------------------------------- library and files

def test_every_assumed_value_of_library_and_chips_has_a_range_around_it():
    for component in library().values():
        for quantity in component.assumed:
            low, high = component.ranges[quantity]
            assert low <= getattr(component, quantity) <= high and low < high
    for name in chips.chip_names():
        found = chips.load_chip(name)
        for assumption in chips.assumptions(found):
            ends = [chips.with_assumptions(found, [(assumption, end)]) for end in assumption.ends]
            assert ends[0].content != ends[1].content, assumption.label


def test_scaling_rules():
    digital, analog, cell = (load_component(n) for n in ("add-32b-40nm", "dac-8b-40nm", "cell-dram"))
    small = digital.at(32e-9)
    assert small.area == approx(digital.area * 0.64) and small.delay == approx(digital.delay * 0.8)
    assert small.energy == approx(digital.energy * 0.8 * (0.95 / 1.0) ** 2)
    assert dataclasses.replace(analog.at(32e-9), node=40e-9) == analog
    assert cell.at(28e-9).area == approx(4 * cell.area) and cell.at(28e-9).energy == cell.energy
    with pytest.raises(OutOfRangeError, match="no supply voltage for 33nm"):
        digital.at(33e-9)


def test_converters_by_bits_and_rate():
    assert adc(8).energy == approx(1.6667e-12) and adc(8).peak_power == approx(2e-3, rel=1e-3)
    assert adc(8, 2e9).area == 2 * adc(8).area and adc(8, 2e9).energy == adc(8).energy
    assert adc(12).energy == approx(4 * adc(10).energy) and adc(12).ranges["energy"][1] == 16 * adc(10).energy
    assert "energy" in adc(12).assumed and adc(8).assumed == ()
    assert dac(4).energy == dac(8).energy and dac(4).assumed == ("energy", "area")


@pytest.mark.parametrize(("values", "message"), [
    ({"power_mw": 1.0}, "give either energy_pj or power_mw"),
    ({"assumed": ["energy"]}, "needs energy_pj_range"),
    ({"energy_pj_range": [2.0, 3.0]}, "lie in energy_pj_range"),
    ({"colour": 1}, "unknown key 'colour'"),
    ({"delay_ns": 1.0, "rate_mhz": 1.0}, "delay_ns or rate_mhz, not both"),
])
def test_component_mistakes(values, message):
    good = {"kind": "adder", "action": "addition", "node_nm": 32, "energy_pj": 1.0, "area_um2": 1.0, "source": "x"}
    parse_component("mine", good, "here")
    with pytest.raises(ConfigError, match=message):
        parse_component("mine", good | values, "here")


OWN = """[component.{}]
kind = "{}"
action = "{}"
node_nm = 32
energy_pj = 1.0
area_um2 = 1.0
source = "x"
[[part]]"""


@pytest.mark.parametrize(("name", "old", "new", "message"), [
    ("multibit", "units_per_tile = 12", "unit_per_tile = 12", "unknown key 'in-situ.organisation.unit_per_tile'"),
    ("multibit", "adc-sar-8b-32nm", "adc-sar-7b-32nm", "7 bits, but adc.bits are 8"),
    ("multibit", "digit_bits = 1", "digit_bits = 2", "the bits that a phase drives are 2"),
    ("multibit", "bit_lines_per_adc = 128", "bit_lines_per_adc = 100", "does not divide the 1024 bit lines"),
    ("multibit", 'component = "adc-sar-8b-32nm"', 'component = "adc-sar-8b-32nm"\ncount = 9', "contradicts the 8"),
    ("multibit", 'role = "mac"', 'role = "pool"', "'mac' is needed and absent"),
    ("multibit", 'component = "mac-8b-40nm"', 'component = "softmax-28nm"', "of kind softmax, not mac"),
    ("multibit", 'component = "mac-8b-40nm"', 'component = "mac-9b"', "no component 'mac-9b'"),
    ("multibit", 'kind = "in-situ"', 'kind = "optical"', "optical"),
    ("multibit", "range = [0.1, 0.5]", "range = [0.6, 0.7]", "0.5 is not in"),
    ("multibit", 'key = "cell.activity"', 'key = "cell.activities"', "is not a key of the file"),
    ("synergy", "rows_per_conversion = 3 ", "rows_per_conversion = 300 ", "cannot exceed"),
    ("synergy", "bits_per_cell = 4", "bits_per_cell = 2", "but dense.bits_per_cell = 2"),
    ("synergy", "bit_lines_per_adc = 128", "bit_lines_per_adc = 100", "does not divide computation.bit_lines"),
    ("synergy", 'level = "crossbar"', 'level = "tile"', "is not one of dense, crossbar, chip"),
    ("a100", 'precision = "int8"\nmemory', 'precision = "int4"\nmemory', "no peak_tops"),
    ("tpuv4", 'utilisation_of = "a100"', "", "either"),
    ("tpuv4", "int8 = 275", "int8 = 0", "peak_tops.int8 = 0"),
    ("multibit", 'key = "cell.activity"', 'key = "mapping.encoding"', "no number; give its choices"),
    ("multibit", "count = 8\n", "count = inf\n", "finite"),
    ("multibit", "[[part]]", '[component.adc-sar-8b-32nm]\nbase = ["x"]\n[[part]]', "is not in the library"),
    ("multibit", "[[part]]", OWN.format("adc-sar-8b-32nm", "adc", "conversion"), "no delay_ns or rate_mhz"),
    ("multibit", "[[part]]", OWN.format("edram-64kb-32nm", "edram", "access"), "no bits, the width"),
    ("synergy", "[[part]]", OWN.format("dense-read-bit", "dense-read", "bit"), "no delay_ns or rate_mhz"),
])
def test_mistakes_in_chip_files(tmp_path, name, old, new, message):
    text = chips.chip_text(name)
    assert old in text
    (tmp_path / "mine.toml").write_text(text)
    assert chips.load_chip(tmp_path / "mine.toml").name == "mine"
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        chips.load_chip(tmp_path / "mine.toml")


def test_a_component_of_ones_own():
    found = edited("multibit", component={"adc-sar-8b-32nm": {"base": "adc-sar-8b-32nm", "energy_pj": 3.3334}})
    plain = chips.load_chip("multibit")
    one, two = (roll_up(d, "bert-base", 8, 1).by_component()["adc"] for d in (plain, found))
    assert two == approx(2 * one)
    assert tomllib.loads(chips.chip_text("multibit"))["kind"] == "in-situ"


@pytest.mark.parametrize("name", ["multibit", "a100"])
def test_a_sequence_beyond_the_positions_of_the_model_is_said(name):
    def said(sequence):
        return any("512 positions" in note for note in roll_up(chips.load_chip(name), "bert-base", sequence, 1).notes)

    assert said(513) and not said(512)


def test_impossible_requests():
    with pytest.raises(ConfigError, match="no model 'bert-huge'"):
        roll_up(chips.load_chip("isaac"), "bert-huge", 8, 1)
    with pytest.raises(OutOfRangeError, match="batch = 0"):
        roll_up(chips.load_chip("isaac"), "bert-base", 8, 0)
    with pytest.raises(ConfigError, match="room for 1 copies"):
        roll_up(edited("isaac", organisation={"replicate": 99}), "bert-large", 8, 1)
    with pytest.raises(ConfigError, match="is a processor"):
        peak(chips.load_chip("a100"))


# ---------------------------------------------------------------- sweeps

def fixed_chip(tmp_path, **numbers):
    """A processor of 100 mm² and 1 ms whose assumed keys and ranges are given: {key: (value, range)}."""
    keys = "\n".join(f"{key} = {value}" for key, (value, _) in numbers.items())
    ranges = "\n".join(f'[[assumed]]\nkey = "{key}"\nrange = {list(bounds)}\nwhy = "x"'
                       for key, (_, bounds) in numbers.items())
    (tmp_path / "p.toml").write_text(f"""
kind = "processor"
description = "x"
source = "x"
node_nm = 7
{"" if "area_mm2" in numbers else "area_mm2 = 100"}
{"" if "power_w" in numbers else "power_w = 10"}
precision = "int8"
memory_gib = 40
{keys}
[peak_tops]
int8 = 100
[[measured]]
model = "bert-base"
sequence = 128
batch = 1
precision = "int8"
latency_ms = 1.0
{ranges}
""")
    return chips.load_chip(tmp_path / "p.toml")


def test_a_sweep_of_a_closed_form(tmp_path):
    """Energy of this chip is power x fraction x 1 ms: the interval is the product of the ends."""
    found = fixed_chip(tmp_path, power_w=(10.0, (5.0, 40.0)), power_fraction=(0.5, (0.25, 1.0)),
                       area_mm2=(100.0, (50.0, 300.0)))
    space = compare.Space({"p": found}, "bert-base", 128, 1)
    result = compare.sweep(space, ["p"], lambda p: p["energy"])
    assert (result.nominal, result.low, result.high) == approx((5e-3, 1.25e-3, 40e-3))
    assert [s.assumption.label for s in result.swings] == ["p: power_w", "p: power_fraction", "p: area_mm2"]
    assert [s.width for s in result.swings] == approx([8, 4, 1])
    assert result.low < result.quantiles[0] < result.quantiles[2] < result.high
    assert result.high_at["p: power_w"] == 40.0 and result.low_at["p: power_fraction"] == 0.25
    held = compare.sweep(compare.Space({"p": found}, "bert-base", 128, 1, ["p: power_w"]), ["p"], lambda p: p["energy"])
    assert (held.low, held.high) == approx((2.5e-3, 10e-3))
    turning = compare.sweep(space, ["p"], lambda p: abs(math.log(p["energy"] / 10e-3)) + 1, samples=0)
    assert turning.low < 1.2                                      # the least value lies inside the ranges, not at an end
    with pytest.raises(ConfigError, match="nothing assumed is called 'p: colour'"):
        compare.Space({"p": found}, "bert-base", 128, 1, ["p: colour"])


def test_a_shared_component_moves_in_both_chips():
    names = ("multibit", "singlebit")
    space = compare.Space({name: chips.load_chip(name).changed((("idle_fraction",), 0.0)) for name in names},
                          "all-MiniLM-L6-v2", 16, 1)
    label = "softmax-28nm: energy_pj"
    both = [space.figures(name, {label: 5.0})["energy"] - space.figures(name, {})["energy"] for name in names]
    assert both[0] == approx(both[1], rel=1e-6) and both[0] > 0
    assert space.figures("singlebit", {"multibit: idle_fraction": 0.3}) == space.figures("singlebit", {})


def test_claims_are_judged_by_their_interval(tmp_path):
    known = claims.load_claims()
    assert {c.chip for c in known.claim} == {"multibit", "singlebit", "a100", "tpuv4"}
    easy = known.claim[0].model_copy(update={"range": (0.1, 0.2)})
    small = known.model_copy(update={"model": "all-MiniLM-L6-v2", "sequence": 16, "claim": (easy,)})
    verdicts, together = claims.judge(small, (1,), samples=4)
    verdict = verdicts[0]
    low, high = verdict.sweep.low, verdict.sweep.high
    assert low < verdict.sweep.nominal < high
    for claimed, expected in (((high * 1.1, high * 2), "above"), ((low / 3, low / 2), "below"), ((low, low), "inside")):
        assert dataclasses.replace(verdict, claim=verdict.claim.model_copy(update={"range": claimed})).verdict == expected
    header, rows = claims.table([verdict])
    assert f"{verdict.sweep.nominal:.3g}" in rows[0]
    content = json.loads(claims.write_files([verdict], together, tmp_path)[0].read_text())["claims"][0]
    assert content["low"] == low and content["verdict"] == verdict.verdict
    swings = list(csv.DictReader((tmp_path / "swings.csv").open()))
    assert len(swings) == len(verdict.sweep.swings)
    assert together[0].shortfall == 1 and "reached by at least one setting" in claims.together_lines(together)[0]
    both = [easy.model_copy(update={"range": (high * 2, high * 2)})]
    missed = claims.judge(small.model_copy(update={"claim": both}), (1,), samples=0)[1]
    assert missed[0].shortfall == approx(2, rel=0.05) and "misses multibit area" in claims.together_lines(missed)[0]
    assert plots.tornado([verdict], tmp_path / "t.png").stat().st_size > 5000
    (tmp_path / "c.toml").write_text("subject = 1")
    with pytest.raises(ConfigError, match="subject = 1"):
        claims.load_claims(tmp_path / "c.toml")


def test_storage_rows_are_computed_and_say_where_2777_comes_from():
    rows = claims.storage_rows()
    assert [row[1] for row in rows] == ["274.4 mm²", "1646.4 mm²", "27440.0 mm²", "2650", "2777"]


# ---------------------------------------------------------------- tables, files, commands

def test_tables_and_files_say_the_same(tmp_path):
    results = [roll_up(chips.load_chip(name), "bert-base", 32, 2) for name in ("multibit", "a100")]
    as_json, table, parts = compare.write_files(results, tmp_path)
    content, rows = json.loads(as_json.read_text()), list(csv.DictReader(table.open()))
    assert content[0]["energy"] == float(rows[0]["energy (SI)"]) == results[0].joules
    joules = [float(row["joule"]) for row in csv.DictReader(parts.open()) if row["chip"] == "multibit"]
    assert math.fsum(joules) == approx(results[0].joules, rel=1e-12)
    for kind in ("component", "layer", "step"):
        header, body = compare.breakdown(results, kind)
        assert header == (kind, "multibit", "a100") and body[-1][1] == f"{results[0].joules * 1e3:.4g}"
    assert "adc" in dict(content[0]["energy_by_component"]) and "mean conductance" in "\n".join(compare.remarks(results))
    with pytest.raises(ConfigError, match="breakdown by 'colour'"):
        compare.breakdown(results, "colour")
    assert plots.chip_breakdown(results, tmp_path / "b.png").stat().st_size > 5000


def test_commands(tmp_path):
    def xbarsim(*arguments):
        return CliRunner().invoke(cli.app, list(map(str, arguments)))

    assert all(name in xbarsim("chip", "list").stdout for name in chips.chip_names())
    text = xbarsim("chip", "show", "synergy").stdout
    (tmp_path / "mine.toml").write_text(text)
    assert "rows_per_conversion" in xbarsim("chip", "show", tmp_path / "mine.toml", "--assumed").stdout
    peak_text = xbarsim("chip", "show", "isaac", "--peak").stdout
    assert "38.5 nJ" in peak_text and "58 % of the power, 31 % of the area" in peak_text and "41.29 TOPS" in peak_text
    done = xbarsim("chip", "compare", "multibit", tmp_path / "mine.toml", "--model", "bert-base", "--by", "layer", "--out",
                   tmp_path / "out", "--picture", tmp_path / "b.svg")
    assert done.exit_code == 0 and "mine" in done.stdout and "energy by layer" in done.stdout, done.output
    assert json.loads(xbarsim("chip", "compare", "a100", "--json").stdout)[0]["latency"] == 1.25e-3
    (tmp_path / "study.toml").write_text('chip = "nothing"')
    refused = xbarsim("run", tmp_path / "study.toml", "--out", tmp_path / "runs")
    assert "no chip 'nothing'" in str(refused.exception) and not (tmp_path / "runs").exists()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"chips.json", "chips.csv", "breakdown.csv"}


def test_the_embedded_study_simulates_the_chips_it_names():
    cases = config.load_study("chips").cases()
    assert [case.chip for _, case in cases] == ["differential", "multibit", "singlebit"]
    for name, case in cases:
        assert joined.differences(case, chips.load_chip(case.chip).chip) == (), name
