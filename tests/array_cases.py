"""Small programmed arrays for the tests of arrays."""

import numpy as np

from xbarsim.arrays.in_situ.matrix import calibrate, program_matrix
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device

IDEAL = {"wires": False, "programming": False, "converters": False, "read_noise": False}
WIRES = {"word_line_resistance_ohm": 40.0, "bit_line_resistance_ohm": 40.0}


def study(**tables):
    tables.setdefault("device", {"name": "ideal"})
    return validate(tables, "test")


def build(study, inputs=37, outputs=21, seed=0, samples=200, device=None):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
    x = rng.standard_normal((samples, inputs)).astype(np.float32)
    device = device or load_device(study.device.name)
    programmed = program_matrix(
        "layer.0.query", 0, weight, (x.astype(float) ** 2).mean(axis=0), study, device
    )
    return weight, x, calibrate(programmed, x)


def names(count, first=0):
    return np.column_stack([np.arange(first, first + count), np.zeros(count, int)])
