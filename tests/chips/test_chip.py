"""Chips: ISAAC's published roll-up from its components, events against the simulator, conservation."""

import math

import numpy as np
import pytest
from array_cases import program
from chip_cases import CIRCUITS, IN_SITU, approx, edited, lower, peak

from xbarsim import config
from xbarsim.arrays.digital_scale import ScaleShift
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.base.errors import ConfigError
from xbarsim.chips.components import load_component, storage_area
from xbarsim.chips.files.parts import resolve
from xbarsim.chips.load import describe_chip, load_chip
from xbarsim.chips.lowering_in_situ import linear_cost
from xbarsim.chips.rollup import roll_up
from xbarsim.devices.presets import load_device
from xbarsim.models.graph import Kind
from xbarsim.models.shapes import load_shape, operations


def test_isaac_rolls_up_to_the_published_table():
    found = peak(load_chip("isaac"))
    unit, tile, whole = (found.level(name) for name in ("unit", "tile", "chip"))
    close = {"rel": 5e-3}
    assert (unit.power, unit.area) == (approx(24.08e-3, **close), approx(0.01312e-6, **close))
    assert (tile.power, tile.area) == (approx(329.8e-3, **close), approx(0.3723e-6, **close))
    assert (whole.power, whole.area) == (approx(65.81, **close), approx(85.42e-6, **close))
    assert 168 * tile.power == approx(55.41, **close) and 168 * tile.area == approx(
        62.54e-6, **close
    )
    digital = sum(row.power for row in tile.rows), sum(row.area for row in tile.rows)
    assert digital == (approx(40.85e-3, **close), approx(0.2149e-6, **close))
    assert round(100 * found.adc_power_share) == 58 and round(100 * found.adc_area_share) == 31
    product = found.product
    assert (product.inputs, product.outputs, product.time) == (128, 128, approx(1.6e-6))
    assert product.energy == approx(38.5e-9, **close)
    assert product.energy / product.macs == approx(2.35e-12, **close)
    assert product.operations_per_second == approx(41.3e12, **close)
    assert product.operations_per_second / (whole.area * 1e6) == approx(483e9, **close)
    rows = {row.role: (row.count, row.power, row.area) for row in unit.rows}
    assert rows["adc"] == (8, approx(16e-3, **close), approx(0.0096e-6, **close))
    assert rows["dac"] == (1024, approx(4e-3, **close), approx(0.00017e-6, **close))


def test_storage_of_gpt3():
    """175e9 weights of 8 bits at 14 nm: crosspoint cells of 4 bits, DRAM, SRAM."""
    for cell, square_millimetres in (
        ("cell-rram-4b", 274),
        ("cell-dram", 1646),
        ("cell-sram", 27440),
    ):
        assert (
            round(storage_area(175e9, 8, load_component(cell), 14e-9) * 1e6) == square_millimetres
        )


def test_gpt3_needs_2777_isaac_chips_in_the_papers_arithmetic():
    """The paper divides 175e9 bytes by 63 MB; a chip holds 63 MiB, so its cells suffice on 2650
    chips, and the matrices of the layers alone, mapped, on 2634."""
    isaac = edited("isaac", mapping={"weight_bits": 8}, dac={"bits": 8}).chip
    org, m = isaac.organisation, isaac.mapping
    cells = org.tiles * org.units_per_tile * org.arrays_per_unit * m.word_lines * m.bit_lines
    mebibytes = cells * m.bits_per_cell / 8 / 2**20
    assert mebibytes == 63 and math.floor(175e9 / (mebibytes * 1e6)) == 2777
    assert math.ceil(load_shape("gpt3").parameters / (mebibytes * 2**20)) == 2650
    assert lower(isaac, load_shape("gpt3"), 1, 1).chips == 2634


def test_eight_bit_isaac_converts_a_quarter_per_mac():
    assert (
        peak(
            edited("isaac", mapping={"weight_bits": 8}, dac={"bits": 8})
        ).product.conversions_per_mac
        == 0.25
    )
    assert peak(load_chip("multibit")).product.conversions_per_mac == 0.25
    large = roll_up(load_chip("multibit"), "bert-large", 128, 1)
    linear = 128 * load_shape("bert-large").matrix_weights
    assert sum(n for (role, _), n in large.events.items() if role == "adc") == linear / 4


def test_a_lossless_two_bit_converter_takes_about_21_conversions_per_product():
    found = roll_up(load_chip("synergy"), "bert-large", 128, 1)
    conversions = found.events["adc", "layer.0.query"] / (128 * 1024**2)
    assert conversions == 64 * 8 * math.ceil(128 / 3) / 1024 and 21 < conversions < 22


def test_a_matrix_on_the_computation_crossbars_by_hand():
    """bert-base, 48 tokens of batch 2 with a reuse of 40, three rows per conversion, all columns
    conducting.
    """
    found = edited(
        "synergy",
        dense={"reuse_tokens": 40},
        computation={"bit_lines_conducting": 128, "crossbars": 64},
    )
    result = roll_up(found, "bert-base", 48, 2)
    query = {
        role: count * 2 for (role, name), count in result.events.items() if name == "layer.0.query"
    }
    weights, tokens = 768 * 768, 96
    assert (
        query["adc"] == query["shift-add"] == tokens * 768 * 64 * 6 * 43
    )  # 6 blocks of 128 rows, 43 groups of 3
    assert query["dense-read"] == weights * 8 * 3  # 96 tokens in passes of 40
    assert query["sense-amplifier"] == weights * 8 / 4 * 15 * 3  # 15 comparisons per 4-bit cell
    assert query["dac"] == weights * 8 * 6  # 16 tokens share a word line
    assert query["encoder"] == query["dac"] + tokens * 768 * 8
    cell = 3 * 128 * 0.5**2 * 20.5e-6 * 0.04 * 1e-9
    assert result.energy["cell", "layer.0.query"] * 2 == approx(query["adc"] * cell)
    plan = lower(found.chip, load_shape("bert-base"), 48, 2)
    step = next(stage for stage in plan.stages if stage.name == "layer.0.query")
    assert tokens * step.service == approx(
        query["adc"] * 1e-9 / 64
    )  # one converter per crossbar, settling 1 ns
    slow = lower(
        edited("synergy", dense={"reuse_tokens": 1, "read_bits": 8}).chip,
        load_shape("bert-base"),
        48,
        2,
    )
    step = next(stage for stage in slow.stages if stage.name == "layer.0.query")
    assert 96 * step.service == approx(
        96 * weights * 8 * 10e-9 / (8 * 3)
    )  # three dense arrays read a byte per 10 ns


def test_what_is_idle_pays_by_the_second():
    still = edited("multibit").changed((("idle_fraction",), 0.0))
    base, idle = (
        roll_up(d, "bert-base", 32, 4) for d in (still, still.changed((("idle_fraction",), 0.5)))
    )
    tiles = lower(still.chip, load_shape("bert-base"), 32, 4).copies["tile"]
    leaking = sum(p.count * tiles * c.leakage for p, c in still.chip.parts if p.level == "tile")
    assert base.energy["leakage", "static"] == approx(leaking * base.latency / 4)
    link = still.chip.by_role["link"][1].peak_power / 4
    running = tiles * peak(still).level("tile").power + link
    assert idle.joules - base.joules == approx(0.5 * (running - leaking) * base.latency / 4)


def test_vendor_latencies_are_returned_and_other_points_lie_between_them():
    a100 = load_chip("a100")
    assert roll_up(a100, "bert-large", 128, 1).latency == 1.25e-3
    assert roll_up(a100, "bert-large", 128, 128).time_per_sequence == approx(0.2e-3, rel=0.01)
    macs = {s: 24 * s * (12 * 1024**2 + 2 * s * 1024) for s in (128, 256, 384)}
    two = 2 * macs[128]  # a batch of 2 is the nearest smaller work
    share = math.log(macs[256] / two) / math.log(macs[384] / two)
    rate = (two / 1.47e-3) ** (1 - share) * (macs[384] / 2.81e-3) ** share
    assert roll_up(a100, "bert-large", 256, 1).latency == approx(macs[256] / rate)
    assert "estimated" in roll_up(a100, "bert-large", 256, 1).notes[0]
    tpu = roll_up(load_chip("tpuv4"), "bert-large", 128, 1)
    assert tpu.latency == approx(1.25e-3 * 624 / 275) and "no published latency" in tpu.notes[0]


# ---------------------------------------------------------------- events


@pytest.mark.parametrize("polarity", ["signed", "two_phase"])
@pytest.mark.parametrize("name", IN_SITU)
def test_events_of_a_matrix_equal_those_of_the_simulated_array(name, polarity):
    chip = edited(
        name,
        mapping={"word_lines": 32, "bit_lines": 32},
        organisation={"bit_lines_per_adc": 32},
        dac={"polarity": polarity},
    ).chip
    content = {
        "mapping": chip.mapping.model_dump(),
        "dac": chip.dac.model_dump(),
        "adc": chip.adc.model_dump(),
    }
    study = config.validate(content, name)
    x = np.random.default_rng(0).normal(size=(8, 70)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=(19, 70)).astype(np.float32)
    array = with_ranges(
        program("layer.0.query", weight, (x**2).mean(axis=0), study, load_device("ideal")),
        x,
    )
    counted, priced = array.events_per_row.by_name(), linear_cost(chip, 70, 19)
    assert (
        priced.events["adc"]
        == priced.events["shift-add"]
        == counted["adc_conversions"]
        == counted["shift_adds"]
    )
    assert priced.events["dac"] == counted["dac_drives"]
    assert priced.events["array" if name == "isaac" else "cell"] == counted["tile_reads"]


@pytest.mark.parametrize(
    ("dac", "shift"),
    [({"scaling": "token"}, 0.0), ({"scaling": "block"}, 0.5), ({}, 0.5)],
)
def test_scales_of_inputs_are_priced_as_the_simulated_array_counts_them(dac, shift):
    parts = [
        *load_chip("differential").content["part"],
        {"role": "scale-compare", "level": "tile", "component": "compare-16b-40nm", "count": 8},
        {"role": "scale-multiply", "level": "tile", "component": "multiply-16b-40nm", "count": 2},
    ]
    found = load_chip("differential")
    edits = {
        "mapping": {"word_lines": 32, "bit_lines": 32, "scale_shift": shift},
        "organisation": {"bit_lines_per_adc": 32},
        "dac": dac,
    }
    with pytest.raises(ConfigError, match="scale-multiply"):
        found.changed(*(((table,), keys) for table, keys in edits.items()))
    edits["part"] = parts
    chip = found.changed(*(((table,), keys) for table, keys in edits.items())).chip
    content = {
        "device": {"name": "ideal"},
        "mapping": chip.mapping.model_dump(),
        "dac": chip.dac.model_dump(),
    }
    study = config.validate(content, "study")
    x = np.random.default_rng(0).normal(size=(8, 70)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=(19, 70)).astype(np.float32)
    moment = (x**2).mean(axis=0)
    of_array = ScaleShift.of(weight, x, shift)
    programmed = program(
        "layer.0.query", weight, moment, study, load_device("ideal"), shift=of_array
    )
    counted = with_ranges(programmed, x).events_per_row
    priced = linear_cost(chip, 70, 19)
    assert priced.events.get("scale-compare", 0) == counted.comparisons
    assert priced.events["scale-multiply"] == counted.multiplications
    # two multipliers on one tile, a multiplication in a nanosecond at 40 nm
    pace = chip.by_role["scale-multiply"].component.delay
    assert priced.service >= counted.multiplications * pace / 2 * (1 - 1e-12)


# ---------------------------------------------------------------- conservation


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_breakdown_sums_to_the_total_and_is_events_times_prices(name):
    found = load_chip(name)
    result = roll_up(found, "bert-base", 64, 4)
    for part in (result.by_component(), result.by_layer(), result.by_step()):
        assert math.fsum(part.values()) == approx(result.joules, rel=1e-12)
    assert math.fsum(result.area_by_role.values()) == approx(result.area, rel=1e-12)
    components = {
        part.role: resolve(part.component, found.chip.component).at(found.chip.node)
        for part in found.chip.part
    }
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
    found = load_chip(name)
    short, long, many = (roll_up(found, "bert-base", s, b) for s, b in ((32, 1), (96, 1), (32, 5)))
    for key, joule in short.energy.items():
        if key[1].endswith(("query", "output", "intermediate")):
            assert long.energy[key] == approx(3 * joule, rel=1e-12)
        if key[1] != "static":
            assert many.energy[key] == approx(joule, rel=1e-12)
    scores = [
        sum(
            j
            for (role, stage), j in result.energy.items()
            if stage == "layer.1.attention_scores" and role == "mac"
        )
        for result in (short, long)
    ]
    assert scores[1] == approx(9 * scores[0])


def test_doubling_tiles_doubles_the_array_area():
    one, two = (
        edited("isaac", organisation={"tiles": tiles, "replicate": 1}) for tiles in (4000, 8000)
    )
    first, second = roll_up(one, "bert-large", 8, 1), roll_up(two, "bert-large", 8, 1)
    assert first.chips == second.chips == 1
    assert second.area_by_role["array"] == approx(2 * first.area_by_role["array"])
    assert second.area_by_role["link"] == first.area_by_role["link"] and second.joules == approx(
        first.joules
    )
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
            c = resolve(part.component, found.chip.component)
            rate = {} if c.delay is None else {"delay_ns": c.delay * time * 1e9}
            content["component"][part.component] = {
                "kind": c.kind,
                "action": c.action,
                "node_nm": c.node * 1e9,
                "bits": c.bits,
                "scaling": c.scaling,
                "source": "scaled",
                "energy_pj": c.energy * energy * 1e12,
                "area_um2": c.area * area * 1e12,
                "leakage_uw": c.leakage * energy / time * 1e6,
                **rate,
            }
        changed = {k: v for k, v in found.content.items() if k != "component"} | content
        if name == "synergy":
            c = changed["computation"]
            changed["computation"] = c | {
                "settle_ns": c["settle_ns"] * time,
                "conductance_us": c["conductance_us"] * energy / time,
            }
        else:
            changed["dac"] = changed["dac"] | {"read_time_ns": 100 * time}
            if "mean_conductance_us" in changed["cell"]:
                changed["cell"] = changed["cell"] | {"mean_conductance_us": 20.5 * energy / time}
        return roll_up(describe_chip(name, changed), "bert-base", 32, 2)

    for result, expected in (
        (scaled(energy=3.0), (3, 1, 1)),
        (scaled(area=5.0), (1, 5, 1)),
        (scaled(time=7.0), (1, 1, 7)),
    ):
        ratio = result.joules / base.joules, result.area / base.area, result.latency / base.latency
        assert ratio == approx(expected, rel=1e-9)


def test_written_attention_and_reloading_pay_for_their_writes():
    written = roll_up(edited("multibit", operations={"attention": "written"}), "bert-base", 128, 1)
    pulses = sum(n for (role, _), n in written.events.items() if role == "cell-write")
    assert (
        pulses == 12 * 2 * 128 * 768 * 4 * 10
    )  # layers, K and V, cells per weight, pulses per cell
    assert (
        written.by_component()["cell-write"] == approx(pulses * 16e-12)
        and "mac" not in written.by_component()
    )
    digital = roll_up(load_chip("multibit"), "bert-base", 128, 1)
    assert written.area > digital.area
    slow = roll_up(
        edited("multibit", operations={"attention": "written"}, cell={"write_pulses": 20}),
        "bert-base",
        128,
        1,
    )
    assert slow.latency - written.latency == approx(
        12 * (64 + 128 - 64) * 10 * 40e-9
    )  # V waits for all its rows
    small = edited("multibit", organisation={"tiles": 48}).changed(
        (("over_capacity",), "reload"),
        (
            ("part",),
            [
                *load_chip("multibit").content["part"],
                {"role": "dram", "level": "chip", "component": "dram-bit", "count": 1},
            ],
        ),
    )
    reloaded = roll_up(small, "bert-base", 128, 8)
    weights = load_shape("bert-base").matrix_weights
    assert sum(n for (role, _), n in reloaded.events.items() if role == "dram") * 8 == approx(
        weights * 8
    )
    assert reloaded.chips == 1 and "off-chip" in " ".join(reloaded.notes)
    more = roll_up(edited("multibit", organisation={"tiles": 48}), "bert-base", 128, 8)
    assert more.chips == 5 and more.area > reloaded.area and more.joules < reloaded.joules
    sizes = {
        op.name: op.inputs
        for op in operations(load_shape("bert-base"), 128)
        if op.kind is Kind.MATRIX
    }
    crossings = sum(
        count / (128 * sizes[name] * 8)
        for (role, name), count in more.events.items()
        if role == "link" and name in sizes
    )
    assert crossings == approx(more.chips - 1)
    both = roll_up(small.changed((("operations", "attention"), "written")), "bert-base", 128, 8)
    assert sum(
        n
        for (role, name), n in both.events.items()
        if role == "cell-write" and name.endswith(".write")
    ) == approx(pulses)


def test_energy_of_reads_comes_from_the_trace_where_there_is_one():
    found = load_chip("multibit")
    plain = roll_up(found, "bert-base", 16, 1)
    solved = roll_up(found, "bert-base", 16, 1, read_energy={"layer.0.query": 5e-9})
    assert solved.energy["cell", "layer.0.query"] == approx(16 * 5e-9)
    assert solved.energy["cell", "layer.0.key"] == plain.energy["cell", "layer.0.key"]
    assert "mean conductance of 20.5" in plain.read_energy and "circuit solve" in solved.read_energy
    reads = plain.events["cell", "layer.0.query"]
    assert plain.energy["cell", "layer.0.query"] == approx(
        reads * 128**2 * 20.5e-6 * 0.04 * 0.5 * 100e-9
    )
