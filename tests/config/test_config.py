"""Studies: defaults, overrides, cases, and what a wrong key says."""

import pytest

from xbarsim import config
from xbarsim.base.errors import ConfigError


def test_embedded_studies_load_and_survive_their_own_toml(tmp_path):
    for name in config.study_names():
        study = config.load_study(name)
        copy = tmp_path / "copy.toml"
        copy.write_text(study.to_toml())
        assert config.load_study(copy) == study


def test_cases_override_the_base_table_by_table():
    study = config.load_study(
        overrides={
            "adc": {"bits": 6},
            "case": [
                {"name": "a"},
                {"name": "b", "adc": {"per": "tile"}, "effects": {"wires": False}},
            ],
        }
    )
    (_, a), (_, b) = study.cases()
    assert (a.adc.bits, a.adc.per, a.effects.wires) == (6, "bit_line", True)
    assert (b.adc.bits, b.adc.per, b.effects.wires) == (6, "tile", False)
    assert b.device == study.device


def test_a_case_like_another_starts_from_its_keys():
    study = config.load_study(
        overrides={
            "case": [
                {"name": "a", "adc": {"bits": 6, "per": "tile"}},
                {"name": "b", "like": "a", "adc": {"bits": 4}},
                {"name": "c", "like": "b", "wires": {"node": "7nm"}, "run": {"chips": 3}},
                {"name": "d"},
            ]
        }
    )
    assert [(case.adc.bits, case.adc.per, case.wires.node) for _, case in study.cases()] == [
        (6, "tile", "32nm"),
        (4, "tile", "32nm"),
        (4, "tile", "7nm"),
        (8, "bit_line", "32nm"),
    ]
    assert [case.run.chips for _, case in study.cases()] == [1, 1, 3, 1]


def test_layer_tables_apply_in_order_to_matching_names():
    study = config.load_study(
        overrides={
            "layer": [
                {"match": "layer.0.*", "adc": {"bits": 4}},
                {"match": "*.output", "adc": {"bits": 10}},
            ]
        }
    )
    assert study.for_layer("layer.0.query").adc.bits == 4
    assert study.for_layer("layer.0.output").adc.bits == 10
    assert study.for_layer("layer.1.query").adc.bits == study.adc.bits
    case = study.cases()[0][1]
    assert case.for_layer("layer.0.query").adc.bits == 4


def test_a_case_has_a_place_in_a_table():
    cases = [
        {"name": "a", "row": "wide", "column": "1"},
        {"name": "b", "like": "a", "column": "2"},
        {"name": "c: d"},
    ]
    found = [(case.row, case.column) for _, case in config.validate({"case": cases}, "x").cases()]
    assert found == [("wide", "1"), ("wide", "2"), (None, None)]
    assert 'row = "wide"' in config.validate({"row": "wide"}, "x").to_toml()
    assert "row = " not in config.validate({}, "x").to_toml()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"adc": {"bit": 3}}, ("adc.bit", "did you mean 'adc.bits'")),
        ({"adc": {"bits": 99}}, ("adc.bits = 99", "16")),
        (
            {"wires": {"word_line_resistance_ohm": -1.0}},
            ("word_line_resistance_ohm = -1.0", "greater than or equal to 0"),
        ),
        ({"wires": {"node": "3nm"}}, ("3nm", "32nm")),
        ({"mapping": {"sign": "offset"}}, ("offset", "slices")),
        ({"dac": {"encoding": "bit_serial", "bits": "ideal"}}, ("bit_serial", "ideal")),
        ({"adc": {"range": "unit"}}, ("unit", "slices")),
        ({"case": [{"name": "a"}, {"name": "a"}]}, ("same name",)),
        ({"case": [{"name": "a", "column": "x"}]}, ("case 'a'", "column = 'x' but no row")),
        ({"case": [{"name": "a", "row": ""}]}, ("case 'a'", "row")),
        (
            {"case": [{"name": k, "row": "r", "column": "c"} for k in "ab"]},
            ("cases 'a' and 'b'", "row = 'r'", "column = 'c'"),
        ),
        ({"case": [{"name": "a/b"}]}, ("a/b",)),
        (
            {"case": [{"name": "a", "like": "b"}, {"name": "b"}]},
            ("case 'a' is like 'b'", "before it"),
        ),
        ({"case": [{"name": "a", "like": ["b"]}]}, ("like ['b']", "before it")),
        ({"case": [{"name": "a", "task": {"limit": 3}}]}, ("task", "second study")),
        (
            {"case": [{"name": "a", "run": {"chips": 2, "batch_examples": 3}}]},
            ("run.batch_examples", "second study"),
        ),
        ({"case": [{"name": "a", "run": {"chips": 0}}]}, ("case 'a'", "run.chips")),
        ({"case": [{"name": "a", "run": 2}]}, ("case 'a'", "run")),
        ({"case": [{"name": "a", "adc": {"bist": 3}}]}, ("case 'a'", "adc.bist")),
        ({"layer": [{"match": "*", "adc": {"bits": 0}}]}, ("bits",)),
    ],
)
def test_a_wrong_study_names_the_key_and_the_remedy(overrides, words):
    with pytest.raises(ConfigError) as error:
        study = config.load_study(overrides=overrides)
        study.for_layer("layer.0.query")
    for word in words:
        assert word in str(error.value)


def test_a_file_that_is_no_toml_and_a_name_that_is_no_study(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("adc = [")
    with pytest.raises(ConfigError, match="not a TOML file"):
        config.load_study(broken)
    with pytest.raises(ConfigError, match="default"):
        config.load_study("no-such-study")


def test_wire_resistance_comes_from_the_node_unless_given():
    assert config.Wires(node="32nm", pitch="4F").resistances() == (2.12, 2.12)
    assert config.Wires(node="32nm", bit_line_resistance_ohm=0.0).resistances() == (1.06, 0.0)


@pytest.mark.parametrize("name", config.study_names())
def test_every_shipped_study_is_valid(name):
    study = config.load_study(name)
    assert study.name == name and len(study.cases()) == len(study.case)
