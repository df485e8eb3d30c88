"""Weights on tiles whose targets are chosen for what arrives: settings, devices, encodings."""

import numpy as np
from array_cases import program

from xbarsim.config.study import merge, validate
from xbarsim.devices.presets import load_device

WINDOW = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [0.0, 50.0], source = "t" }
"""
STUDY = {
    "mapping": {"word_lines": 24, "bit_lines": 16, "clip": "maximum", "compensation": "wires"},
    "wires": {
        "word_line_resistance_ohm": 30.0,
        "bit_line_resistance_ohm": 20.0,
        "source_resistance_ohm": 80.0,
        "sense_resistance_ohm": 50.0,
    },
    "effects": {"programming": False, "read_noise": False, "converters": False},
}
SLICES = {"encoding": "slices", "weight_bits": 6, "bits_per_cell": 2}
ENCODINGS = {
    "twin": {},
    "digital": {"subtraction": "digital"},
    "neighbour": {"placement": "neighbour"},
    "open": {"unused": "open"},
    "one scale": {"scale": "matrix"},
    "slices": SLICES,
    "slices side by side": SLICES | {"placement": "neighbour"},
    "offset": SLICES | {"sign": "offset"},
    "digital offset": SLICES | {"sign": "offset", "subtraction": "digital"},
}


def device(tmp_path, text=WINDOW):
    path = tmp_path / "device.toml"
    path.write_text(text)
    return load_device(str(path))


def programmed(tmp_path, weight, text=WINDOW, **tables):
    study = validate(merge(STUDY, tables), "test")
    moment = np.random.default_rng(8).uniform(0.5, 2.0, weight.shape[1])
    return program("m", weight, moment, study, device(tmp_path, text))


def student(outputs, inputs, seed=0):
    drawn = np.random.default_rng(seed).standard_t(5, (outputs, inputs))
    largest = np.quantile(np.abs(drawn), 0.99)
    return np.clip(drawn, -largest, largest) / largest


def relative_error(found, wanted):
    return np.sqrt(((found - wanted) ** 2).sum() / (wanted**2).sum())
