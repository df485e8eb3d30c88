"""Small programmed arrays for the tests of arrays."""

import numpy as np

from xbarsim.arrays.in_situ.programmed import program_matrix
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.in_situ.tiles import program_cells, solve_row_block
from xbarsim.arrays.settings import InSituSettings
from xbarsim.config.study import validate
from xbarsim.devices.presets import load_device
from xbarsim.devices.streams import Streams

IDEAL = {"wires": False, "programming": False, "converters": False, "read_noise": False}
WIRES = {"word_line_resistance_ohm": 40.0, "bit_line_resistance_ohm": 40.0}
ALL_WIRES = {
    "word_line_resistance_ohm": 40.0,
    "bit_line_resistance_ohm": 25.0,
    "source_resistance_ohm": 100.0,
    "sense_resistance_ohm": 60.0,
}
NOISY = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [0.0, 50.0], source = "t" }
read_noise = { relative_sigma = 0.05, source = "t" }
"""


def study(**tables):
    tables.setdefault("device", {"name": "ideal"})
    return validate(tables, "test")


def build(study, inputs=37, outputs=21, seed=0, samples=200, device=None):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
    x = rng.standard_normal((samples, inputs)).astype(np.float32)
    device = device or load_device(study.device.name)
    programmed = program(
        "layer.0.query", weight, (x.astype(float) ** 2).mean(axis=0), study, device
    )
    return weight, x, with_ranges(programmed, x)


def program(name, weight, moment, study, device, index=0, shift=None):
    """ProgrammedMatrix under a study and its `[[layer]]` tables."""
    own = study.for_layer(name)
    return program_matrix(
        name=name,
        index=index,
        weight=weight,
        moment=moment,
        settings=InSituSettings.of(own),
        device=device.in_study(own),
        seed=own.seed,
        shift=shift,
    )


def program_row_block(target, layout, device, study):
    """TileRow of targets (planes, rows, outputs) S; device : with the study's effects."""
    settings, streams = InSituSettings.of(study), Streams(study.seed)
    cells = program_cells(target, layout, device, settings, streams)
    return solve_row_block(cells, layout, device, settings, streams, rows=target.shape[1])


def names(count, first=0):
    return np.column_stack([np.arange(first, first + count), np.zeros(count, int)])
