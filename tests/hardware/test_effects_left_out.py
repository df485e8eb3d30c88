"""`effects.without` against the switches and converters that say the same one by one: bit by bit."""

import numpy as np
import pytest
from study_keys import DEVICE
from tiny import make_tiny_place, tiny_study

from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import SWITCHES, Effects
from xbarsim.config.study import validate
from xbarsim.devices.conditions import effects_on
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

EVERYTHING = {
    name: True for name in SWITCHES if name not in ("wires", "dac", "adc", "converter_errors")
}
DIGITAL = {"wires": False, "converters": False, "programming": False, "read_noise": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = make_tiny_place(tmp_path_factory.mktemp("place"))
    (place / "device.toml").write_text(DEVICE)
    return place


def output_of(place, tmp_path, case):
    """Outputs of the one chip of a study, and the matrices' statistics of its local errors."""
    tables = {
        "device": {"name": str(place / "device.toml"), "time_s": 1000.0, "reads": 100},
        "products": {"attention": "in_situ"},
        "task": {"name": str(place / "task.tsv"), "limit": 8},
    }
    study = tiny_study(place, **tables, case=[{"name": "chip"} | case])
    chip = read_trace(run_study(study, tmp_path, threads=1)).cases["chip"].chips[0]
    local = [layer.rows.local.error_rms for layer in chip.layers.values()]
    return np.concatenate([chip.output.ravel(), *map(np.ravel, local)])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("without", "the_same"),
    [
        (["wires"], {"effects": {"wires": False}}),
        (["dac", "adc"], {"effects": {"converters": False}}),
        (["dac"], {"dac": {"bits": "ideal"}}),
        (["adc"], {"adc": {"bits": "ideal"}}),
        (["programming"], {"effects": EVERYTHING | {"programming": False}}),
        (["stuck", "drift"], {"effects": {"stuck": False, "drift": False}}),
        (["read_noise"], {"effects": EVERYTHING | {"read_noise": False}}),
        (list(SWITCHES), {"effects": DIGITAL}),
    ],
)
def test_what_is_left_out_is_what_its_switch_leaves_out(place, tmp_path, without, the_same):
    left_out = output_of(place, tmp_path, {"effects": {"without": without}})
    switched = output_of(place, tmp_path, the_same)
    whole = output_of(place, tmp_path, {})
    assert np.array_equal(left_out, switched) and not np.array_equal(left_out, whole)


def test_an_effect_is_left_out_alone_also_where_it_is_switched_on():
    found = effects_on(Effects(stuck=True, without=("programming", "stuck")))
    assert effects_on(Effects()) - found == {"programming", "stuck"}


def test_units_of_current_need_the_digits():
    study = {
        "mapping": {"encoding": "slices"},
        "dac": {"encoding": "bit_serial"},
        "adc": {"range": "unit"},
        "effects": {"without": ["dac"]},
    }
    with pytest.raises(ConfigError, match=r'effects.without = \["dac"\] takes away'):
        validate(study, "study")
    study["effects"]["without"].append("adc")
    validate(study, "study")
    with pytest.raises(ConfigError, match="without"):
        validate({"effects": {"without": ["adcs"]}}, "study")
