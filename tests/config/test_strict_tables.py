"""No table of a study, device or chip takes another type, infinity or NaN for a number."""

import importlib
import types
import typing

import pytest
import tomli_w
from pydantic import ValidationError

from xbarsim import config
from xbarsim.base.errors import ConfigError
from xbarsim.chips.load import chip_text, load_chip
from xbarsim.devices.presets import load_device

for module in ("chips.claims", "chips.components", "models.shapes"):
    importlib.import_module(f"xbarsim.{module}")


def tables(base=config.Table):
    """Every kind of table, those of tables included."""
    found = []
    for kind in base.__subclasses__():
        found += [kind, *tables(kind)]
    return found


def leaf_types(annotation):
    """Types that a value of this annotation may have; of tuples and dictionaries those inside."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return {type(value) for value in typing.get_args(annotation)}
    if origin in (typing.Annotated, typing.Union, types.UnionType, tuple, dict):
        found = set()
        for inner in typing.get_args(annotation):
            if isinstance(inner, type) or typing.get_origin(inner) is not None:
                found |= leaf_types(inner)
        return found
    return {annotation}


NUMBERS = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}")
    for kind in tables()
    for name, field in kind.model_fields.items()
    if leaf_types(field.annotation) & {int, float}
]


def refused(kind, name, value):
    """Whether a table refuses this value of a key, whatever else it lacks."""
    try:
        kind.model_validate({name: value})
    except ValidationError as error:
        return any(item["loc"][:1] == (name,) for item in error.errors())
    return False


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_numbers_are_numbers_and_finite(kind, name):
    accepted = leaf_types(kind.model_fields[name].annotation)
    wrong = [float("inf"), float("-inf"), float("nan")]
    wrong += [] if bool in accepted else [True]
    wrong += [] if str in accepted else ["8"]
    for value in wrong:
        assert refused(kind, name, value), value
        assert refused(kind, name, [1.0, value]), value


def test_there_are_numbers_in_every_kind_of_file():
    named = {kind.values[0].__module__ for kind in NUMBERS}
    expected = {
        "xbarsim.config.study",
        "xbarsim.devices.ageing_tables",
        "xbarsim.devices.read_tables",
        "xbarsim.devices.write_tables",
        "xbarsim.devices.laws",
        "xbarsim.chips.files.in_situ",
    }
    assert expected <= named
    assert len(NUMBERS) > 150


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"seed": True}, "seed = True"),
        ({"adc": {"bits": "8"}}, "adc.bits = '8'"),
        ({"adc": {"bits": 8.0}}, "adc.bits = 8.0"),
        ({"wires": {"source_resistance_ohm": float("inf")}}, "source_resistance_ohm = inf"),
        ({"device": {"time_s": float("nan")}}, "time_s = nan"),
        ({"effects": {"wires": 1}}, "effects.wires = 1"),
        ({"effects": {"drift": "yes"}}, "effects.drift = 'yes'"),
        ({"memory": {"bits_per_cell": True}}, "memory.bits_per_cell = True"),
        ({"memory": {"bits_per_cell": 2.0}}, "memory.bits_per_cell = 2.0"),
        ({"name": 5}, "name = 5"),
        ({"case": [{"name": "a", "seed": "1"}]}, "seed = '1'"),
        ({"layer": [{"match": "*", "adc": {"bits": True}}]}, "adc.bits = True"),
        ({"layer": [{"match": "nothing.*", "adc": {"bist": 1}}]}, "adc.bist"),
    ],
)
def test_a_study_says_which_value_is_wrong(overrides, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        config.load_study(overrides=overrides)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("read", "voltage_v", True),
        ("conductance", "maximum_us", "40"),
        ("conductance", "bounds_us", [0.0, float("inf")]),
        ("conductance", "minimum_us", float("nan")),
    ],
)
def test_a_device_file_says_which_value_is_wrong(tmp_path, table, key, value):
    content = {
        "description": "t",
        "read": {"voltage_v": 0.2, "source": "t"},
        "conductance": {
            "minimum_us": 1.0,
            "maximum_us": 40.0,
            "valid_range_us": [0.0, 40.0],
            "source": "t",
        },
    }
    content[table][key] = value
    (tmp_path / "device.toml").write_text(tomli_w.dumps(content))
    with pytest.raises(ConfigError, match=f"{table}.{key}"):
        load_device(tmp_path / "device.toml")


@pytest.mark.parametrize(
    ("line", "wrong", "words"),
    [
        ("tiles = 168", "tiles = true", "organisation.tiles = True"),
        ("tiles = 168", 'tiles = "168"', "organisation.tiles = '168'"),
        ("node_nm = 32", "node_nm = inf", "node_nm = inf"),
        ("read_time_ns = 100", "read_time_ns = nan", "dac.read_time_ns = nan"),
    ],
)
def test_a_chip_file_says_which_value_is_wrong(tmp_path, line, wrong, words):
    text = chip_text("isaac")
    assert text.count(f"\n{line}\n") == 1
    (tmp_path / "chip.toml").write_text(text.replace(f"\n{line}\n", f"\n{wrong}\n"))
    with pytest.raises(ConfigError, match=words):
        load_chip(tmp_path / "chip.toml")
