"""Settings of converters that do not go together: one line each that names the value and the
remedy.
"""

import numpy as np
import pytest

from xbarsim.base.errors import ConfigError, ValidRangeWarning
from xbarsim.config.study import load_study, validate

SERIAL = {"encoding": "bit_serial", "digit_bits": 2}
WRONG = [
    ({"adc": {"noise_ua": 1.0, "noise_lsb": 0.5}}, "state the same noise twice; remove one"),
    (
        {"adc": {"full_scale_ua": 20.0, "range": "quantile"}},
        'full_scale_ua = 20 states the full scale that adc.range = "quantile" would choose',
    ),
    (
        {"dac": {"input_full_scale": 2.0, "range": "maximum"}},
        'input_full_scale = 2 states the full scale that dac.range = "maximum" would choose',
    ),
    ({"dac": {"input_full_scale": 0.0}}, "dac.input_full_scale.*greater than 0"),
    ({"adc": {"full_scale_ua": 0.0}}, "adc.full_scale_ua.*greater than 0"),
    ({"adc": {"noise_ua": -1.0}}, "adc.noise_ua.*greater than or equal to 0"),
    ({"adc": {"gain_error": 0.6}}, "adc.gain_error.*less than or equal to 0.5"),
    ({"dac": {"full_scale_v": 0.0}}, "dac.full_scale_v.*greater than 0"),
    (
        {"adc": {"steps": "thermometer", "bits": 11}},
        'adc.steps = "thermometer" with adc.bits = 11 has 2047 elements .* at most 10 bits',
    ),
    ({"adc": {"shared_by": 129}}, "shared_by = 129 is more than .* mapping.bit_lines = 128"),
    ({"adc": {"shared_by": 0}}, "adc.shared_by.*greater than or equal to 1"),
    (
        {"adc": {"inl_lsb": [0.0] * 256}},
        "adc.inl_lsb has 256 entries; allowed: 255, .* adc.bits = 8 and currents with a sign",
    ),
    (
        {
            "adc": {"inl_lsb": [0.0] * 255},
            "mapping": {"subtraction": "digital"},
            "dac": {"polarity": "two_phase"},
        },
        "adc.inl_lsb has 255 entries; allowed: 256, .* currents without a sign",
    ),
    ({"adc": {"bits": 1, "steps": "sar"}}, "adc.bits = 1 .* is one comparison with 0"),
    ({"adc": {"inl_lsb": [0.0, float("nan")]}}, "adc.inl_lsb.*finite number"),
    ({"adc": {"inl_lsb": "nowhere.csv"}}, "adc.inl_lsb = 'nowhere.csv' cannot be read"),
    ({"dac": {"inl_lsb": [0.0] * 254}}, "dac.inl_lsb has 254 entries; allowed: 255"),
    ({"dac": SERIAL | {"inl_lsb": [0.0] * 3}}, "dac.inl_lsb has 3 entries; allowed: 4"),
    (
        {"dac": {"inl_lsb": [0.5] * 255}},
        "dac.inl_lsb has 0.5 LSB for code 0, .*; allowed: 0 in place 127",
    ),
    ({"dac": SERIAL | {"inl_lsb": [0.1, 0, 0, 0]}}, "allowed: 0 in place 0 of the table"),
    ({"dac": {"bits": 1, "inl_lsb": [0.0]}}, "dac.bits = 1 has two of them"),
]


@pytest.mark.parametrize(("tables", "words"), WRONG)
def test_contradictory_converters_are_refused_in_one_line(tables, words):
    with pytest.raises(ConfigError, match=words) as error:
        validate(tables, "study")
    assert "\n" not in str(error.value)


def test_levels_in_reverse_order_are_said():
    table = [0.0] * 255
    table[130] = 1.5
    with pytest.warns(ValidRangeWarning, match=r"code 3 begin above code 4 \(1 such places\)"):
        validate({"adc": {"inl_lsb": table}}, "study")


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
@pytest.mark.parametrize("across", [False, True])
def test_a_table_may_stand_in_a_file(tmp_path, suffix, across):
    table = np.linspace(-1, 1, 15)
    path = tmp_path / f"inl{suffix}"
    if suffix == ".npy":
        np.save(path, table[None] if across else table)
    else:
        np.savetxt(path, table[None] if across else table, delimiter=",")
    stated = {"adc": {"bits": 4, "inl_lsb": str(path)}}
    assert validate(stated, "study").adc.inl_lsb == str(path)
    with pytest.raises(ConfigError, match="15 entries; allowed: 31"):
        validate({"adc": {"bits": 5, "inl_lsb": str(path)}}, "study")
    path.write_text("x,y\n" * 3)  # the file changed: it is read again
    with pytest.raises(ConfigError, match="adc.inl_lsb"):
        validate(stated, "study")


def test_a_layer_is_checked_as_a_study_is(tmp_path):
    (tmp_path / "study.toml").write_text(
        '[[layer]]\nmatch = "*"\nadc = { noise_ua = 1.0, noise_lsb = 1.0 }\n'
    )
    study = load_study(tmp_path / "study.toml")
    with pytest.raises(ConfigError, match="same noise twice"):
        study.for_layer("layer.0.query")


def test_what_is_stated_survives_the_text_of_a_study(tmp_path):
    stated = {"adc": {"full_scale_ua": 20.0, "bits": 4, "inl_lsb": [0.25] * 15, "noise_lsb": 0.5}}
    (tmp_path / "again.toml").write_text(validate(stated, "study").to_toml())
    again = load_study(tmp_path / "again.toml").adc
    assert again.full_scale_ua == 20.0 and again.inl_lsb == (0.25,) * 15
