"""Devices of a single table for the tests of devices."""

import copy

import numpy as np

from xbarsim.devices.conditions import Effect
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.model import DeviceModel

LEVEL = 0.01
BASE = {
    "description": "test",
    "read": {"voltage_v": 0.2, "source": "test"},
    "conductance": {
        "minimum_us": 1.0,
        "maximum_us": 40.0,
        "valid_range_us": [0.0, 50.0],
        "source": "test",
    },
}
TARGET = np.full((4, 64, 50), 20e-6)
SIGMA = {"sigma": [{"target_us": [0.0, 40.0], "sigma_us": [1.0, 3.0]}]}  # 2 µS at 20 µS
RELAXATION = {
    "variance_offset_us2": 4.283,
    "variance_slope_us2": 1.777,
    "mean_offset_us": -0.265,
    "mean_slope_us": -0.2342,
    "valid_time_s": [1.0, 1e5],
}
DRIFT = {
    "reference_s": 20.0,
    "valid_time_s": [20.0, 1e8],
    "nu_sigma": 0.01,
    "nu_mean": {
        "law": "log",
        "scale_us": 25.0,
        "slope": -0.0155,
        "offset": 0.0244,
        "minimum": 0.03,
        "maximum": 0.1,
    },
}
VERIFY = {
    "step_up_us": 1.0,
    "step_down_us": 1.0,
    "step_relative_sigma": 0.3,
    "tolerance_us": 0.8,
    "maximum_pulses": 200,
}


def device(**tables):
    content = copy.deepcopy(BASE)
    for name, table in tables.items():
        content[name] = content.get(name, {"source": "test"}) | table
    return DeviceModel("test", DeviceFile.model_validate(content), frozenset(Effect))


def write(model, target=TARGET, seed=1):
    return model.program(target, seed).conductance
