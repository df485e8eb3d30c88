"""Devices in studies and in files: reproducibility, switches, conditions, presets, ranges, mistakes."""

import tomllib

import numpy as np
import pytest
import tomli_w
from device_cases import BASE, DRIFT, RELAXATION, SIGMA, TARGET, VERIFY, device, write
from scipy import stats

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError, ValidRangeWarning
from xbarsim.config.study import validate
from xbarsim.devices.conditions import FOLLOWS
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.presets import device_names, load_device
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import Streams


def test_numbers_depend_on_seed_matrix_tile_and_purpose_alone():
    model = device(
        programming=SIGMA,
        spread={"device_to_device_relative_sigma": 0.1},
        relaxation=RELAXATION,
        drift=DRIFT,
        stuck={"on_rate": 0.1, "bit_line_off_rate": 0.1},
    ).at(time=1000.0)
    whole = write(model, TARGET, Streams(1, matrix=2))
    parts = [
        write(model, TARGET[t : t + 1], Streams(1, matrix=2, first_tile=t))[0] for t in range(4)
    ]
    np.testing.assert_array_equal(whole, np.stack(parts))
    np.testing.assert_array_equal(write(model, TARGET[0], Streams(1, 2)), whole[0])
    for other in (Streams(2, 2), Streams(1, 3), Streams(1, 2, 1)):
        assert (write(model, TARGET, other) != whole).mean() > 0.6
    process = device(write_verify=VERIFY)
    np.testing.assert_array_equal(
        write(process)[2], write(process, TARGET[2:3], Streams(1, first_tile=2))[0]
    )
    # a purpose keeps its numbers when another is switched off
    np.testing.assert_allclose(
        write(model.without("spread", "relaxation", "stuck", "programming")) / TARGET,
        write(device(drift=DRIFT).at(time=1000.0)) / TARGET,
        rtol=1e-12,
    )


@pytest.mark.parametrize("effect", sorted(FOLLOWS))
def test_switches_of_a_study(effect):
    """An effect that is not named follows its group; one that is named does not."""
    model, group = load_device("ideal"), FOLLOWS[effect]
    others = {"programming": False, "read_noise": False}
    assert model.in_study(validate({"effects": others | {effect: True}}, "test")).effects >= {
        effect
    }
    assert effect not in model.in_study(validate({"effects": {effect: False}}, "test")).effects
    assert effect not in model.in_study(validate({"effects": others}, "test")).effects
    assert effect in model.in_study(validate({"effects": others | {group: True}}, "test")).effects


def test_conditions_of_a_study_reach_the_device():
    chosen = validate(
        {
            "device": {
                "name": "pcm",
                "time_s": 86400.0,
                "reads": 5,
                "write": 2,
                "temperature_k": 310.0,
            }
        },
        "test",
    )
    model = load_device("pcm").in_study(chosen)
    assert (model.time, model.reads, model.write, model.temperature) == (86400.0, 5, 2, 310.0)
    late = chosen.model_copy(update={"device": chosen.device.model_copy(update={"time_s": 1.0})})
    with pytest.raises(OutOfRangeError, match=r"1 s; \[drift\].*20 to"):
        load_device("pcm").in_study(late)
    off = late.model_copy(update={"effects": late.effects.model_copy(update={"drift": False})})
    load_device("pcm").in_study(off)  # no range where nothing depends on it


def test_endurance_and_wrong_conditions():
    model = device(endurance={"cycles": 1e5})
    model.at(write=100_000)
    with pytest.raises(OutOfRangeError, match="100001 writes"):
        model.at(write=100_001)
    for wrong in (
        {"time": 0.0},
        {"time": np.inf},
        {"temperature": -1.0},
        {"write": -1},
        {"reads": 1.5},
    ):
        with pytest.raises(OutOfRangeError, match="allowed"):
            model.at(**wrong)


def test_targets_outside_the_valid_range():
    model = device()
    for wrong in (51e-6, -1e-6, np.nan):
        with pytest.raises(OutOfRangeError, match="outside the valid range"):
            model.program(np.full((2, 2), wrong), 1)
    warned = model.at(outside_range="warn")
    with pytest.warns(ValidRangeWarning):
        np.testing.assert_array_equal(write(warned, np.full((2, 2), 51e-6)), 51e-6)
    with pytest.raises(OutOfRangeError):
        warned.program(np.full((2, 2), np.nan), 1)
    with pytest.raises(ShapeError, match="tiles, m, n"):
        model.program(np.ones(3) * 1e-6, 1)
    with pytest.raises(OutOfRangeError, match="interval"):
        model.sample_reads(np.ones((2, 2)) * 1e-6, 5, 1e-9)


@pytest.mark.parametrize("name", device_names())
def test_presets_work_and_say_where_they_come_from(name):
    model = load_device(name)
    low, high = model.conductance_min, model.conductance_max
    target = np.random.default_rng(0).uniform(low, high, (2, 32, 32))
    done = model.program(target, 1)
    assert done.conductance.shape == target.shape and done.conductance.min() >= 0
    assert abs(done.conductance - target).mean() <= 4 * model.programming_sigma(target).mean() + (
        high - low if done.counts.rounded or done.counts.stuck_on else 1e-12
    )
    sigma = model.read_noise_sigma(done)
    assert np.isfinite(sigma).all() and (sigma >= 0).all()
    tables = [
        table for table in tomllib.loads(model.file.to_toml()).values() if isinstance(table, dict)
    ]
    assert all(table["source"] for table in tables)
    assert DeviceFile.model_validate(tomllib.loads(model.file.to_toml())) == model.file


def test_published_numbers_of_presets():
    """Of the publications that the files name, computed apart from the files."""
    pcm, g = load_device("pcm"), np.array([2.5e-6, 12.5e-6, 25e-6])
    x = g / 25e-6
    np.testing.assert_allclose(pcm.write_sigma(g) * 1e6, 0.26348 + 1.965 * x - 1.1731 * x**2)
    mean, sigma = pcm.drift_exponent(Programmed.exactly(g))
    np.testing.assert_allclose(mean, np.clip(-0.0155 * np.log(x) + 0.0244, 0.049, 0.1))
    np.testing.assert_allclose(sigma, np.clip(-0.0125 * np.log(x) - 0.0059, 0.008, 0.045))
    noise = pcm.at(time=1e4).read_noise_parts(Programmed.exactly(g), 250e-9)["flicker"]
    np.testing.assert_allclose(
        noise, g * np.minimum(0.0088 / x**0.65, 0.2) * np.sqrt(np.log(1e4 / 500e-9))
    )
    wan, x = load_device("rram-wan2022"), 0.3
    assert wan.at(time=86400.0).write_sigma(12e-6) * 1e6 == pytest.approx(
        0.701 + 22.086 * x - 50.773 * x**2 + 47.095 * x**3 - 16.458 * x**4, rel=1e-6, abs=0
    )
    error = write(load_device("1t1r-hong2025"), np.full((1, 100, 100), 250e-6)) - 250e-6
    assert abs(error).max() <= 5e-6 * (1 + 1e-12) and -1.3 < stats.kurtosis(error.ravel()) < -0.7


def test_a_device_file_brings_its_cell_to_a_crossbar():
    model = load_device("hrs-hong2025")
    g = np.full((1, 1), 30e-6)
    current = Crossbar(g, 0.0, 0.0, cell=model.cell()).solve([0.5]).output_current
    np.testing.assert_allclose(current, 30e-6 * 0.65 * np.sinh(0.5 / 0.65), rtol=1e-9)
    with pytest.raises(OutOfRangeError, match="0.8 V"):
        Crossbar(g, 0.0, 0.0, cell=model.cell()).solve([0.9])
    Crossbar(g, 0.0, 0.0, cell=model.at(outside_range="warn").cell()).solve([0.9])
    table = {
        "model": "table",
        "voltage_v": [-1.0, 0.0, 1.0],
        "current_ua": [-2.0, 0.0, 2.0],
        "valid_voltage_v": 1.0,
    }
    polynomial = {"model": "polynomial", "coefficients": [0.0, 0.5], "valid_voltage_v": 1.0}
    transistor = {"model": "transistor", "on_resistance_ohm": 1e4, "overdrive_v": 1.0}
    for iv, factor in ((table, 1.0), (polynomial, 1 + 0.5 * 0.25)):
        current = Crossbar(g, 0.0, 0.0, cell=device(iv=iv).cell()).solve([0.5]).output_current
        np.testing.assert_allclose(current, 15e-6 * factor, rtol=1e-9)
    assert device(access=transistor).access().on_resistance == 1e4
    assert (
        device(access={"model": "selector", "conductance_us": 5.0, "v0_v": 0.3})
        .access()
        .voltage_scale
        == 0.3
    )
    assert load_device("ideal").cell() is None and load_device("ideal").access() is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"programing": {}}, "unknown key 'programing'"),
        ({"programming": {"source": "t", "model": "bounded"}}, "needs the key half_width_us"),
        ({"programming": {"source": "t", "half_width_us": 5.0}}, "needs the key sigma"),
        (
            {
                "programming": {
                    "source": "t",
                    "model": "bounded",
                    "half_width_us": 5.0,
                    "tail_factor": 2.0,
                }
            },
            "does not use tail_f",
        ),
        ({"programming": {"source": "t", "sigma": [{"polynomial_us": [1.0, 2.0]}]}}, "scale_us"),
        (
            {
                "programming": {
                    "source": "t",
                    "sigma": [{"target_us": [0.0, 20.0], "sigma_us": [1.0, 1.0]}],
                }
            },
            "cover the window",
        ),
        (
            {
                "programming": {
                    "source": "t",
                    "sigma": [{"target_us": [0.0, 40.0], "sigma_us": [1.0]}],
                }
            },
            "same length",
        ),
        (
            {
                "programming": {
                    "source": "t",
                    "sigma": [
                        {
                            "polynomial_us": [1.0],
                            "pieces": [{"from_us": 0.0, "polynomial_us": [1.0]}],
                        }
                    ],
                }
            },
            "one of polynomial_us, pieces",
        ),
        (
            {
                "programming": {
                    "source": "t",
                    "sigma": [
                        {
                            "pieces": [
                                {"from_us": 9.0, "polynomial_us": [1.0]},
                                {"from_us": 2.0, "polynomial_us": [1.0]},
                            ]
                        }
                    ],
                }
            },
            "from_us of pieces.*must increase",
        ),
        (
            {
                "programming": {
                    "source": "t",
                    "sigma": [{"pieces": [{"from_us": 9.0, "polynomial_us": [-1.0]}]}],
                }
            },
            "the polynomial is -1 µS",
        ),
        ({"conductance": BASE["conductance"] | {"bounds_us": [5.0, 60.0]}}, "bounds_us"),
        ({"conductance": BASE["conductance"] | {"levels_us": [5.0, 4.0]}}, "must increase"),
        (
            {
                "drift": {
                    "source": "t",
                    "reference_s": 1.0,
                    "nu_mean": "fast",
                    "valid_time_s": [1.0, 2.0],
                }
            },
            "a number, or a table",
        ),
        (
            {
                "drift": {
                    "source": "t",
                    "reference_s": 1.0,
                    "nu_mean": 0.1,
                    "nu_sigma": -1.0,
                    "valid_time_s": [1.0, 2.0],
                }
            },
            "nu_si",
        ),
        (
            {
                "drift": {
                    "source": "t",
                    "reference_s": 1.0,
                    "nu_mean": 0.1,
                    "valid_time_s": [2.0, 1.0],
                }
            },
            "increasing times",
        ),
        (
            {"relaxation": RELAXATION | {"source": "t", "variance_offset_us2": -1.0}},
            "variance is -1",
        ),
        (
            {
                "read_noise": {
                    "source": "t",
                    "relative_sigma": 0.1,
                    "flicker": {
                        "amplitude": {
                            "law": "power",
                            "scale_us": 1.0,
                            "coefficient": 1.0,
                            "exponent": -1.0,
                        },
                        "source": "t",
                    },
                }
            },
            "give maximum",
        ),
        (
            {
                "read_noise": {
                    "source": "t",
                    "telegraph": {
                        "relative_amplitude": 1.5,
                        "dwell_high_s": 1.0,
                        "dwell_low_s": 1.0,
                        "source": "t",
                    },
                }
            },
            "relative_amplitude is 1.5",
        ),
        ({"stuck": {"source": "t", "on_rate": 0.6, "off_rate": 0.6}}, "must not exceed 1"),
        (
            {
                "iv": {
                    "source": "t",
                    "model": "polynomial",
                    "coefficients": [0.0, -5.0],
                    "valid_voltage_v": 1.0,
                }
            },
            "falls",
        ),
        (
            {"iv": {"source": "t", "model": "sinh", "v0_v": 0.5, "valid_voltage_v": 0.1}},
            "lower the read voltage",
        ),
        ({"write": {"source": "t", "pulse_time_ns": 1.0}}, "pulse_energy_pj"),
        ({"read": {"voltage_v": 0.2}}, "read.source: field required"),
        (
            {
                "programming": {
                    "source": "t",
                    "model": "bounded",
                    "half_width_us": 5.0,
                    "bias_us": {
                        "law": "table",
                        "conductance_us": [5.0, 40.0],
                        "values": [1.0, 2.0],
                    },
                }
            },
            "bias_us: conductance_us must cover",
        ),
        (
            {
                "programming": {
                    "source": "t",
                    "model": "bounded",
                    "half_width_us": 5.0,
                    "bias_us": {"law": "polynomial", "coefficients": [1.0, 2.0]},
                }
            },
            "needs the key scale_us",
        ),
        (
            {
                "write_verify": VERIFY
                | {"source": "t", "nonlinearity_up": 1.0, "saturation_up_us": 50.0}
            },
            "give either nonlin",
        ),
        (
            {"write_verify": VERIFY | {"source": "t", "saturation_up_us": 0.5}},
            "must be above the window's minimum",
        ),
        (
            {"write_verify": VERIFY | {"source": "t", "saturation_down_us": 41.0}},
            "must be below the window's maximum",
        ),
    ],
)
def test_a_wrong_device_file_names_table_and_remedy(tmp_path, change, words):
    file = tmp_path / "wrong.toml"
    file.write_text(tomli_w.dumps(BASE | change))
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
        load_device(file)
