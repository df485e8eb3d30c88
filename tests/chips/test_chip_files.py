"""Components and chip files: ranges, scaling between nodes, mistakes."""

import dataclasses
import tomllib

import pytest
from chip_cases import approx, edited, peak

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.chips.assumptions import assumptions, with_assumptions
from xbarsim.chips.components import adc, dac, library, load_component, parse_component
from xbarsim.chips.load import chip_names, chip_text, load_chip
from xbarsim.chips.rollup import roll_up


def test_every_assumed_value_of_library_and_chips_has_a_range_around_it():
    for component in library().values():
        for quantity in component.assumed:
            low, high = component.ranges[quantity]
            assert low <= getattr(component, quantity) <= high and low < high
    for name in chip_names():
        found = load_chip(name)
        for assumption in assumptions(found):
            ends = [with_assumptions(found, [(assumption, end)]) for end in assumption.ends]
            assert ends[0].content != ends[1].content, assumption.label


def test_scaling_rules():
    digital, analog, cell = (
        load_component(n) for n in ("add-32b-40nm", "dac-8b-40nm", "cell-dram")
    )
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
    assert (
        adc(12).energy == approx(4 * adc(10).energy)
        and adc(12).ranges["energy"][1] == 16 * adc(10).energy
    )
    assert "energy" in adc(12).assumed and adc(8).assumed == ()
    assert dac(4).energy == dac(8).energy and dac(4).assumed == ("energy", "area")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"power_mw": 1.0}, "give either energy_pj or power_mw"),
        ({"assumed": ["energy"]}, "needs energy_pj_range"),
        ({"energy_pj_range": [2.0, 3.0]}, "lie in energy_pj_range"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"delay_ns": 1.0, "rate_mhz": 1.0}, "delay_ns or rate_mhz, not both"),
    ],
)
def test_component_mistakes(values, message):
    good = {
        "kind": "adder",
        "action": "addition",
        "node_nm": 32,
        "energy_pj": 1.0,
        "area_um2": 1.0,
        "source": "x",
    }
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


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "multibit",
            "units_per_tile = 12",
            "unit_per_tile = 12",
            "unknown key 'in-situ.organisation.unit_per_tile'",
        ),
        ("multibit", "adc-sar-8b-32nm", "adc-sar-7b-32nm", "7 bits, but adc.bits are 8"),
        ("multibit", "digit_bits = 1", "digit_bits = 2", "the bits that a phase drives are 2"),
        (
            "multibit",
            "bit_lines_per_adc = 128",
            "bit_lines_per_adc = 100",
            "does not divide the 1024 bit lines",
        ),
        (
            "multibit",
            'component = "adc-sar-8b-32nm"',
            'component = "adc-sar-8b-32nm"\ncount = 9',
            "contradicts the 8",
        ),
        ("multibit", 'role = "mac"', 'role = "pool"', "'mac' is needed and absent"),
        (
            "multibit",
            'component = "mac-8b-40nm"',
            'component = "softmax-28nm"',
            "of kind softmax, not mac",
        ),
        ("multibit", 'component = "mac-8b-40nm"', 'component = "mac-9b"', "no component 'mac-9b'"),
        ("multibit", 'kind = "in-situ"', 'kind = "optical"', "optical"),
        ("multibit", "range = [0.1, 0.5]", "range = [0.6, 0.7]", "0.5 is not in"),
        (
            "multibit",
            'key = "cell.activity"',
            'key = "cell.activities"',
            "is not a key of the file",
        ),
        ("synergy", "rows_per_conversion = 3 ", "rows_per_conversion = 300 ", "cannot exceed"),
        ("synergy", "bits_per_cell = 4", "bits_per_cell = 2", "but dense.bits_per_cell = 2"),
        (
            "synergy",
            "bit_lines_per_adc = 128",
            "bit_lines_per_adc = 100",
            "does not divide computation.bit_lines",
        ),
        ("synergy", 'level = "crossbar"', 'level = "tile"', "is not one of dense, crossbar, chip"),
        ("a100", 'precision = "int8"\nmemory', 'precision = "int4"\nmemory', "no peak_tops"),
        ("tpuv4", 'utilisation_of = "a100"', "", "either"),
        ("tpuv4", "int8 = 275", "int8 = 0", "peak_tops.int8 = 0"),
        (
            "multibit",
            'key = "cell.activity"',
            'key = "mapping.encoding"',
            "no number; give its choices",
        ),
        ("multibit", "count = 8\n", "count = inf\n", "finite"),
        (
            "multibit",
            "[[part]]",
            '[component.adc-sar-8b-32nm]\nbase = ["x"]\n[[part]]',
            "is not in the library",
        ),
        (
            "multibit",
            "[[part]]",
            OWN.format("adc-sar-8b-32nm", "adc", "conversion"),
            "no delay_ns or rate_mhz",
        ),
        (
            "multibit",
            "[[part]]",
            OWN.format("edram-64kb-32nm", "edram", "access"),
            "no bits, the width",
        ),
        (
            "synergy",
            "[[part]]",
            OWN.format("dense-read-bit", "dense-read", "bit"),
            "no delay_ns or rate_mhz",
        ),
    ],
)
def test_mistakes_in_chip_files(tmp_path, name, old, new, message):
    text = chip_text(name)
    assert old in text
    (tmp_path / "mine.toml").write_text(text)
    assert load_chip(tmp_path / "mine.toml").name == "mine"
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_chip(tmp_path / "mine.toml")


def test_a_component_of_ones_own():
    found = edited(
        "multibit", component={"adc-sar-8b-32nm": {"base": "adc-sar-8b-32nm", "energy_pj": 3.3334}}
    )
    plain = load_chip("multibit")
    one, two = (roll_up(d, "bert-base", 8, 1).by_component()["adc"] for d in (plain, found))
    assert two == approx(2 * one)
    assert tomllib.loads(chip_text("multibit"))["kind"] == "in-situ"


@pytest.mark.parametrize("name", ["multibit", "a100"])
def test_a_sequence_beyond_the_positions_of_the_model_is_said(name):
    def said(sequence):
        return any(
            "512 positions" in note
            for note in roll_up(load_chip(name), "bert-base", sequence, 1).notes
        )

    assert said(513) and not said(512)


def test_impossible_requests():
    with pytest.raises(ConfigError, match="no model 'bert-huge'"):
        roll_up(load_chip("isaac"), "bert-huge", 8, 1)
    with pytest.raises(OutOfRangeError, match="batch = 0"):
        roll_up(load_chip("isaac"), "bert-base", 8, 0)
    with pytest.raises(ConfigError, match="room for 1 copies"):
        roll_up(edited("isaac", organisation={"replicate": 99}), "bert-large", 8, 1)
    with pytest.raises(ConfigError, match="is a processor"):
        peak(load_chip("a100"))
