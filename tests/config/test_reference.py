"""The reference of a study's keys: complete, and true to what validation does."""

import json
import tomllib

import pytest
from study_keys import CHANGES, ELSEWHERE

from xbarsim import config
from xbarsim.base.errors import ConfigError
from xbarsim.base.table_keys import keys_of
from xbarsim.chips.load import load_chip
from xbarsim.config import reference
from xbarsim.config.settings_text import axes_of_texts, cases_of_axes, settings_of_texts
from xbarsim.config.study import Study, validate
from xbarsim.devices.presets import parse_device

KEYS = {key.path: key for key in reference.study_keys()}


def test_every_key_has_a_description_and_says_what_it_takes():
    for key in KEYS.values():
        assert key.description and key.allowed and "any value" not in key.allowed, key.path
        assert key.description == key.description.strip() and len(key.description) < 200


def test_the_list_of_keys_is_complete():
    """Against the list by hand of tests/study_keys.py."""
    by_hand = {*CHANGES, *ELSEWHERE} - {"case", "layer", "sweep", "budget", "training"}
    listed = {key.path for key in KEYS.values() if not key.is_table}
    listed -= {
        path for path in listed if path.startswith(("layer", "sweep", "case", "budget", "training"))
    }
    assert listed == by_hand


def test_a_key_says_its_values_unit_and_default():
    assert KEYS["adc.bits"].summary() == 'whole number from 1 to 16 or "ideal"; default 8'
    found = KEYS["device.time_s"].summary()
    assert found == "number above 0 in s; absent if not stated"
    assert KEYS["memory.sense_noise_ua"].summary() == "number from 0 to 1000 in uA; default 0.0"
    assert KEYS["sweep.design"].allowed.startswith('"grid", "list", "random"')
    assert KEYS["memory.bits_per_cell"].allowed == "1, 2, 4"


def test_the_listing_shows_one_table_or_all():
    everything = reference.listing()
    assert all(key.path in everything for key in KEYS.values())
    lines = reference.listing("dac").splitlines()
    assert lines[1] == "[dac]  inputs of a tile" and lines[2].startswith("dac.bits  ")
    assert max(map(len, everything.splitlines())) <= 140
    with pytest.raises(ConfigError, match="no table 'dca'"):
        reference.listing("dca")


def without_empty(tables):
    """Tables without those that say nothing."""
    found = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            value = without_empty(value)
        if value != {}:
            found[key] = value
    return found


@pytest.mark.parametrize("name", config.study_names())
def test_a_full_study_is_the_study_and_its_comments_are_defaults(name):
    text = reference.full_text(name)
    base = tomllib.loads(config.study_text(name))
    assert validate(tomllib.loads(text), "full").to_toml() == config.load_study(name).to_toml()
    assert not tomllib.loads(text).keys() & {"budget", "layer", "sweep", "training"} - base.keys()
    assert without_empty(tomllib.loads(text)) == tomllib.loads(config.study_text(name))
    lines = [line for line in text.splitlines() if not line.startswith("##")]
    stated = "\n".join(line[1:] if line[:1] == "#" and line[1:2] != " " else line for line in lines)
    stated = stated.split("[[layer]]")[0].split("[sweep]")[0].split("[budget]")[0]
    stated = "\n".join(line for line in stated.splitlines() if not line.endswith(" ="))
    whole = tomllib.loads(stated)
    listed = ("layer", "sweep", "budget", "training", "case")
    whole |= {key: base[key] for key in listed if key in base}
    assert validate(whole, "whole").to_toml() == config.load_study(name).to_toml()
    assert len(whole["adc"]) > 3 and len(whole["functions"]["softmax"]) > 8


def test_the_json_schema_has_every_key_and_unit():
    schema = reference.json_schema()
    json.dumps(schema)
    definitions = schema["$defs"]
    for key in keys_of(Study):
        owner = definitions.get(key.table.__name__, schema)
        assert key.path.rpartition(".")[2] in owner["properties"], key.path
    assert definitions["Device"]["properties"]["time_s"]["unit"] == "s"
    assert not schema["additionalProperties"]
    jsonschema = pytest.importorskip("jsonschema")
    for name in config.study_names():
        jsonschema.validate(tomllib.loads(config.study_text(name)), schema)
    sweep = {"sweep": {"adc.bits": [4, 8]}}
    jsonschema.validate(sweep, schema)
    for wrong in ({"adc": {"bist": 4}}, {"adc": {"bits": 17}}, {"sweep": {"adc.bits": 4}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


# ---------------------------------------------------------------- did you mean


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"adc": {"bist": 6}}, "unknown key 'adc.bist'; did you mean 'adc.bits'?"),
        ({"adcs": {}}, "unknown key 'adcs'; did you mean 'adc'?"),
        (
            {"word_lines": 8},
            "unknown key 'word_lines'; did you mean 'mapping.word_lines' or 'computation.word_lines'?",
        ),
        ({"functions": {"softmax": {"rang": 1}}}, "did you mean 'functions.softmax.range'?"),
        ({"layer": [{"match": "*", "mappings": {}}]}, "did you mean 'layer.0.mapping'?"),
        ({"sweep": {"desing": "grid", "adc.bits": [4]}}, "did you mean 'sweep.design'?"),
        ({"quite": {"other": 1}}, "unknown key 'quite'; remove it or correct its spelling"),
    ],
)
def test_an_unknown_key_of_a_study_names_the_nearest(content, words):
    with pytest.raises(ConfigError) as caught:
        validate(content, "study")
    assert words in str(caught.value)


def test_cases_and_layers_and_axes_name_the_nearest_too():
    study = validate({"case": [{"name": "a", "wires": {"nodes": "7nm"}}]}, "study")
    with pytest.raises(ConfigError, match=r"did you mean 'wires\.node'"):
        study.cases()
    study = validate({"layer": [{"match": "*", "adc": {"bist": 4}}]}, "study")
    with pytest.raises(ConfigError, match=r"did you mean 'adc\.bits'"):
        study.check_layers()


def test_devices_and_chips_name_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="unknown key 'programing'; did you mean 'programming'"):
        parse_device("mine", "programing = {}")
    file = tmp_path / "chip.toml"
    from xbarsim.chips.load import chip_text

    text = chip_text("isaac").replace("units_per_tile", "unit_per_tile", 1)
    assert "unit_per_tile" in text
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"did you mean 'in-situ\.organisation\.units_per_tile'"):
        load_chip(file)


# ---------------------------------------------------------------- names, and keys from the shell


def test_a_study_without_a_name_takes_that_of_its_file(tmp_path):
    file = tmp_path / "wires at 7 nm.toml"
    file.write_text("[adc]\nbits = 6\n")
    assert config.load_study(file).name == "wires at 7 nm"
    assert config.load_study(file, {"name": "other"}).name == "other"
    file.write_text('name = "stated"\n')
    assert config.load_study(file).name == "stated"


def test_keys_in_words_are_values_of_toml_or_texts():
    texts = ["adc.bits=6", "device.name=pcm", "effects.wires=false", "seed = 3", 'task.name="a,b"']
    assert settings_of_texts(texts) == {
        "adc": {"bits": 6},
        "device": {"name": "pcm"},
        "effects": {"wires": False},
        "seed": 3,
        "task": {"name": "a,b"},
    }
    axes = axes_of_texts(["adc.bits=4,6", "device.name=pcm, mine.toml"])
    assert axes == {"adc.bits": [4, 6], "device.name": ["pcm", "mine.toml"]}
    cases = cases_of_axes(axes)
    assert [case["name"] for case in cases][:2] == [
        "adc.bits = 4, device.name = pcm",
        "adc.bits = 4, device.name = mine.toml",
    ]
    assert cases[3]["adc"] == {"bits": 6} and cases[3]["device"] == {"name": "mine.toml"}


@pytest.mark.parametrize("text", ["adc.bits", "=6", "adc.=6", ".bits=6"])
def test_words_of_another_form_are_refused(text):
    with pytest.raises(ConfigError, match=r"is not of the form KEY=VALUE"):
        settings_of_texts([text])
    with pytest.raises(ConfigError, match="given twice"):
        axes_of_texts(["adc.bits=4", "adc.bits=6"])
