"""Every printed figure of `chip compare` and `chip show --peak`, computed again from the chip
file.
"""

import csv
import json
import math

import pytest
from chip_by_hand import (
    SMALL,
    TOKENS,
    UNITS,
    expected_figures,
    multiplications,
    price,
    small_checkpoint,
)
from chip_cases import approx, edited, fixed_chip, lower, peak

from xbarsim.chips import compare
from xbarsim.chips.load import load_chip
from xbarsim.chips.rollup import roll_up
from xbarsim.chips.schedule import schedule

JOULES = ("programming_energy", "energy_by_component", "energy_by_layer", "energy_by_step")


@pytest.fixture
def checkpoint(tmp_path):
    return small_checkpoint(tmp_path)


@pytest.mark.parametrize(("batch", "copies"), [(1, 1), (5, 1), (4, 3)])
def test_every_figure_of_compare(checkpoint, batch, copies):
    found = edited("multibit", organisation={"replicate": copies})
    expected, joules, hand = expected_figures(found, batch, copies)
    result = roll_up(found, checkpoint, TOKENS, batch)
    header, (row,) = compare.table([result])
    table = dict(zip(header, row, strict=True))
    assert {heading: table[heading] for heading in expected} == expected
    assert table["chips"] == "1" and table["used"] == f"{100 * hand.used:.0f} %"
    assert result.joules == approx(joules) and result.area == approx(hand.area)
    timing = schedule(lower(found.chip, SMALL, TOKENS, batch).stages)
    assert result.interval == approx(timing.interval if batch > 1 else timing.latency)
    by_role = result.by_component()
    assert set(by_role) == {*hand.events, "leakage"}
    for role, count in hand.events.items():
        assert by_role[role] == approx(count * price(found, hand.components, role)), role
    assert result.programming_energy == approx(hand.programming)
    said = "multibit: array reads mean conductance of 20.5 µS"
    if copies > 1:
        said += f"; {copies} copies of the model"
    said += f"; programming once {hand.programming:.3g} J"
    assert compare.remarks([result])[0] == said


def test_breakdowns_of_compare_in_millijoules(checkpoint):
    found = load_chip("multibit")
    _, joules, hand = expected_figures(found, 1)
    result = roll_up(found, checkpoint, TOKENS, 1)
    header, rows = compare.breakdown([result, result], "component")
    assert header == ("component", "multibit", "multibit")
    table = {row[0]: row[1] for row in rows}
    for role, count in hand.events.items():
        assert table[role] == f"{1e3 * count * price(found, hand.components, role):.4g}"
    assert rows[-1] == ("total", f"{1e3 * joules:.4g}", f"{1e3 * joules:.4g}")
    values = [float(row[1]) for row in rows[:-1]]
    assert values == sorted(values, reverse=True)
    layers = [row[0] for row in compare.breakdown([result], "layer")[1]]
    assert layers == ["0", "1", "input", "result", "static", "total"]
    steps = {row[0]: row[1] for row in compare.breakdown([result], "step")[1]}
    assert steps["attention_softmax"] == f"{1e3 * step_energy(result, 'attention_softmax'):.4g}"
    assert {"query", "gelu", "input", "result", "static", "total"} <= set(steps)


def step_energy(result, step):
    return math.fsum(
        joule
        for (_, stage), joule in result.energy.items()
        if stage in (f"layer.0.{step}", f"layer.1.{step}")
    )


def test_a_part_that_another_chip_lacks_is_a_dash(checkpoint):
    results = [roll_up(load_chip(name), checkpoint, TOKENS, 1) for name in ("multibit", "a100")]
    rows = {row[0]: row[1:] for row in compare.breakdown(results, "component")[1]}
    assert rows["adc"][1] == "-" and rows["processor"][0] == "-"
    assert rows["processor"][1] == f"{1e3 * results[1].joules:.4g}"
    assert compare.table(results)[1][1][-1] == "-"
    lines = compare.remarks(results)
    start = next(k for k, line in enumerate(lines) if line.startswith("a100"))
    assert lines[start] == "a100: array reads included in the power of the processor"
    assert lines[start + 1].startswith("  latency estimated from ")
    assert lines[-1] == "  assumed (2): power_fraction, precision"


def test_files_of_compare_carry_their_units(checkpoint, tmp_path):
    found = edited("multibit", organisation={"replicate": 2})
    _, joules, hand = expected_figures(found, 3, 2)
    result = roll_up(found, checkpoint, TOKENS, 3)
    processor = roll_up(load_chip("a100"), checkpoint, TOKENS, 3)
    as_json, table, parts = compare.write_files([result, processor], tmp_path / "new")
    each = result.latency / 3
    tops = 2 * multiplications() / 1e12
    expected = [
        hand.area,
        result.latency,
        each,
        joules,
        joules / TOKENS,
        hand.area * each,
        tops / joules,
        tops / each / (hand.area * 1e6),
        joules / each,
        joules / each / hand.area,
    ]
    header, row, second = csv.reader(table.open())
    assert header == [
        "chip",
        "model",
        "sequence (tokens)",
        "batch (sequences)",
        *(f"{name} ({unit})" for name, unit in UNITS.items()),
        "chips",
        "utilisation (1)",
        "replication",
        "programming_energy (J)",
        "phase",
        "tokens_per_second (1/s)",
        "first_token (s)",
        "cache (byte)",
        "cache_place",
    ]
    assert row[:4] == ["multibit", str(checkpoint), "6", "3"]
    assert [float(cell) for cell in row[4:14]] == approx(expected)
    assert [float(cell) for cell in row[14:18]] == approx([1, hand.used, 2, hand.programming])
    assert second[14:18] == ["1", "", "1", ""]
    assert row[18] == "pass" and row[20:] == ["", "", ""]
    assert float(row[19]) == approx(3 * TOKENS / result.latency)
    content = json.loads(as_json.read_text())[0]
    assert [content[name] for name in UNITS] == approx(expected)
    assert content["units"] == UNITS | dict.fromkeys(JOULES, "J") | {
        "interval": "s",
        "area_by_role": "m²",
        "events": "actions",
        "utilisation": "1",
        "tokens_per_second": "1/s",
        "first_token": "s",
        "cache_bytes": "byte",
    }
    assert content["programming_energy"] == approx(hand.programming)
    assert content["events"]["adc"] == approx(hand.events["adc"])
    assert content["energy_by_component"]["mac"] == approx(
        hand.events["mac"] * hand.components["mac"][1].energy
    )
    assert math.fsum(content["energy_by_layer"].values()) == approx(joules)
    assert math.fsum(content["energy_by_step"].values()) == approx(joules)
    assert math.fsum(content["area_by_role"].values()) == approx(hand.area)
    assert content["parts"] == {"unit": 12 * hand.tiles, "tile": hand.tiles, "chip": 1}
    assert (content["sequence"], content["batch"], content["chips"], content["replication"]) == (
        6,
        3,
        1,
        2,
    )
    plain = {
        "chip": "multibit",
        "model": str(checkpoint),
        "utilisation": approx(hand.used),
        "interval": result.interval,
        "read_energy": "mean conductance of 20.5 µS",
        "notes": [],
        "assumed": list(result.assumed),
    }
    assert {key: content[key] for key in plain} == plain
    header, *rows = csv.reader(parts.open())
    assert header == [
        "chip",
        "component",
        "stage",
        "events (actions)",
        "energy (J)",
        "model",
        "phase",
        "sequence (tokens)",
        "batch (sequences)",
    ]
    adc = [row for row in rows if row[:2] == ["multibit", "adc"]]
    assert len(adc) == 12 and math.fsum(float(row[3]) for row in adc) == approx(hand.events["adc"])
    assert all(
        float(row[4]) == approx(float(row[3]) * hand.components["adc"][1].energy) for row in adc
    )
    assert next(row for row in rows if row[1] == "leakage")[3] == ""


def test_a_processor_by_hand(tmp_path):
    """100 mm², 10 W at .5, 1 ms measured for bert-base with 128 tokens: 5 mJ."""
    found = fixed_chip(tmp_path, power_w=(10.0, (5.0, 40.0)), power_fraction=(0.5, (0.25, 1.0)))
    result = roll_up(found, "bert-base", 128, 1)
    macs = 128 * 12 * (12 * 768**2 + 2 * 128 * 768)
    row = dict(zip(*(compare.table([result])[0], compare.table([result])[1][0]), strict=True))
    assert row["area (mm²)"] == "100" and row["latency (ms)"] == "1" and row["energy (mJ)"] == "5"
    assert row["per token (µJ)"] == f"{5000 / 128:.4g}" and row["ADP (mm² s)"] == "0.1"
    assert row["TOPS/W"] == f"{2 * macs / 5e-3 / 1e12:.4g}"
    assert row["TOPS/mm²"] == f"{2 * macs / 1e-3 / 1e12 / 100:.4g}"
    assert (
        row["power (W)"] == "5"
        and row["mW/mm²"] == "50"
        and row["chips"] == "1"
        and row["used"] == "-"
    )
    assert result.programming_energy is None and "programming" not in "".join(
        compare.remarks([result])
    )
    assert result.events["processor", "layer.3.query"] == 128 * 768**2
    assert result.energy["processor", "layer.3.query"] == approx(5e-3 * 128 * 768**2 / macs)
    four = roll_up(found, "bert-base", 128, 4)  # one point: the rate is held
    assert (
        four.latency == approx(4e-3)
        and four.joules == approx(5e-3)
        and four.interval == approx(1e-3)
    )
    assert (
        four.time_per_sequence == approx(1e-3)
        and "latency estimated from 1 measured points" in four.notes[0]
    )


def test_weights_that_exceed_the_memory_take_more_processors():
    """gpt3: 96 layers of 12 h² weights with h = 12288, a byte each in int8 and two in fp16, 40 GiB
    on a chip.
    """
    weights = 96 * 12 * 12288**2
    for precision, width in (("int8", 1), ("fp16", 2)):
        found = load_chip("a100").changed((("precision",), precision))
        result = roll_up(found, "gpt3", 128, 1)
        count = math.ceil(weights * width / (40 * 2**30))
        assert result.chips == count > 1 and result.area == approx(count * 826e-6)
        assert f"{count} chips for the weights" in result.notes[0]
        points = [point for point in found.chip.measured if point.precision == precision]
        best = max(
            128 * 24 * (12 * 1024**2 + 2 * 128 * 1024) * point.batch / point.latency_ms * 1e3
            for point in points
            if (point.model, point.sequence) == ("bert-large", 128)
        )
        assert (
            result.joules == approx(400 * result.latency * count)
            and result.macs / result.latency / count < 2 * best
        )


# ---------------------------------------------------------------- chip show --peak


def test_every_figure_of_peak():
    """Counts, powers and areas of `multibit` by level; a tile holds 12 units."""
    found = load_chip("multibit")
    own = {"adc": 8, "dac": 1024, "sample-hold": 1024, "cell": 8 * 128 * 128}
    header, rows, lines = compare.peak_table(peak(found))
    assert header == ("of each", "part", "count", "mW", "mm²")
    total, adc = {"unit": [0.0, 0.0], "tile": [0.0, 0.0]}, [0.0, 0.0]
    expected = []
    for level in ("unit", "tile"):
        if level == "tile":
            total["tile"] = [12 * value for value in total["unit"]]
            adc = [12 * value for value in adc]
        for part, component in found.chip.parts:
            if part.level != level:
                continue
            count = own.get(part.role, part.count)
            power = component.leakage + (
                component.energy / component.delay if component.delay else 0.0
            )
            expected.append(
                (
                    level,
                    part.role,
                    f"{count:g}",
                    f"{count * power * 1e3:.4g}",
                    f"{count * component.area * 1e6:.4g}",
                )
            )
            total[level][0] += count * power
            total[level][1] += count * component.area
            if part.role == "adc":
                adc = [count * power, count * component.area]
        expected.append(
            (level, "TOTAL", "", f"{total[level][0] * 1e3:.4g}", f"{total[level][1] * 1e6:.4g}")
        )
    assert rows == expected
    shares = [round(100 * adc[k] / total["tile"][k]) for k in (0, 1)]
    assert (
        lines[0]
        == f"converters: {shares[0]} % of the power, {shares[1]} % of the area of a tile or crossbar"
    )
    price = {part.role: component.energy for part, component in found.chip.parts}
    joules = (
        8
        * 4
        * 64
        * (price["adc"] + price["sample-hold"] + price["shift-add"] + price["output-register"])
        + 8 * 8 * 128 * (price["dac"] + price["input-register"])
        + 8 * 8 * 128 * 128 * 20.5e-6 * 0.04 * 0.5 * 100e-9
    )
    conversions = 8 * 4 * 256
    joules += (conversions - 8 * 4 * 64) * (
        price["adc"] + price["sample-hold"] + price["shift-add"] + price["output-register"]
    )
    product = peak(found).product
    assert (product.inputs, product.outputs) == (128, 256) and product.energy == approx(joules)
    assert lines[1] == (
        f"128 x 256 product in a unit: 853 ns, {joules * 1e9:.3g} nJ, "
        f"{joules / 128 / 256 * 1e12:.3g} pJ and {conversions / 128 / 256:.3g} conversions per MAC"
    )
    time = 8 * 128 / 1.2e9  # the converter takes longer than 100 ns for 128 lines
    assert product.time == approx(time)
    assert lines[2] == f"peak of a tile: {2 * 128 * 256 * 12 / time / 1e12:.4g} TOPS"


def test_peak_of_a_synergy_chip():
    """One crossbar, and one dense array beside it; neither holds the other."""
    found = load_chip("synergy")
    result = peak(found)
    assert [level.name for level in result.levels] == [
        "crossbar",
        "dense",
    ] and result.product is None
    crossbar, dense = result.levels
    own = {
        "adc": 1,
        "dac": 128,
        "cell": 128 * 128,
        "dense-cell": 1024 * 65536 / 0.5,
        "sense-amplifier": 1024 / 4 * 15,
    }
    for level in (crossbar, dense):
        parts = [
            (part, component) for part, component in found.chip.parts if part.level == level.name
        ]
        area = sum(own.get(part.role, part.count) * component.area for part, component in parts)
        power = sum(
            own.get(part.role, part.count) * component.peak_power for part, component in parts
        )
        assert (level.area, level.power) == (approx(area), approx(power)) and area > 0
    adc = found.chip.by_role["adc"][1]
    assert result.adc_power_share == approx(adc.peak_power / crossbar.power)
    assert result.adc_area_share == approx(adc.area / crossbar.area)
    assert len(compare.peak_table(result)[2]) == 1


def test_notes_of_a_processor_and_of_long_sequences():
    tpu = roll_up(load_chip("tpuv4"), "bert-base", 513, 1)
    assert tpu.notes == (
        "513 tokens are more than the 512 positions of the model: figures of its layers alone",
        "no published latency: 1 times the share of its peak that a100 reaches",
        "1 of 192 W while it computes",
    )


def test_rates_of_a_processor_are_held_beyond_what_was_measured():
    """bert-large: 8 tokens at the rate of 128 tokens of batch 1, 512 of batch 256 at that of 384
    of batch 128.
    """
    a100 = load_chip("a100")

    def macs(tokens, batch):
        return batch * 24 * tokens * (12 * 1024**2 + 2 * tokens * 1024)

    small, large = roll_up(a100, "bert-large", 8, 1), roll_up(a100, "bert-large", 512, 256)
    assert small.latency == approx(1.25e-3 * macs(8, 1) / macs(128, 1))
    assert large.latency == approx(89.01e-3 * macs(512, 256) / macs(384, 128))
