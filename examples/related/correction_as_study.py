"""Raised rows and dummy columns as keys of a study (after Nguyen, An, Min, Micromachines 12, 791, 2021).

The perceptron of neuron_correction.py, 784-100-10 with binary weights, on MNIST (or on SET, a directory
of images of 28 x 28): pairs of binary cells on twin tiles of 128 x 128, converters of 8 bits, drivers of
500 ohm, neurons of 50 ohm.  Every line is a case of one study: error of the outputs of both
matrices (signal over error, dB), accuracy, joule of the arrays.

    python correction_as_study.py [SET [TRAINING_IMAGES [TESTED]]]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import tomli_w

from xbarsim.config.study import load_study
from xbarsim.models.image_checkpoint import save_image_network
from xbarsim.report.summary import summarise
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace
from xbarsim.tasks.image_files import load_image_task
from xbarsim.training.fit import Schedule, train

CELLS = """
description = "two states"
[read]
voltage_v = 0.1
source = "assumed"
[conductance]
minimum_us = 0.1
maximum_us = 10.0
valid_range_us = [0.0, 10.0]
source = "assumed"
"""
WAYS = {
    "none": {},
    "rows": {"rows": "raised"},
    "columns": {"columns": "dummy"},
    "columns amid": {"columns": "dummy", "dummy_place": "middle"},
    "both": {"rows": "raised", "columns": "dummy", "dummy_place": "middle"},
}
name = sys.argv[1] if len(sys.argv) > 1 else "mnist"
training_images = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
tested = int(sys.argv[3]) if len(sys.argv) > 3 else 500
task = load_image_task(name).split()
training = task.training().limited(training_images)
NETWORK = {
    "model_type": "image-network",
    "image": [28, 28, 1],
    "weights": "binary",
    "steps": [
        {"kind": "dense", "name": "hidden", "outputs": 100},
        {"kind": "relu"},
        {"kind": "dense", "name": "last", "outputs": len(task.classes)},
    ],
}
trained = train(NETWORK, np.array(training.pixels()), training.targets, Schedule(epochs=4))
cases = []
for gain in ("none", "column"):
    for ohm in (0.0, 2.0):
        wires = {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm}
        for way, correction in WAYS.items():
            case = {"name": f"gain {gain}, {ohm:g} ohm, {way}", "wires": wires}
            cases.append(case | {"correction": correction, "mapping": {"gain": gain}})
with tempfile.TemporaryDirectory() as directory:
    place = Path(directory)
    save_image_network(place / "net", NETWORK, trained.tensors)
    (place / "cells.toml").write_text(CELLS)
    study = {
        "model": {"name": str(place / "net")},
        "task": {"name": name, "limit": tested, "calibration_examples": 128},
        "device": {"name": str(place / "cells.toml")},
        "mapping": {"encoding": "binary"},
        "dac": {"polarity": "two_phase"},
        "wires": {"source_resistance_ohm": 500.0, "sense_resistance_ohm": 50.0},
        "effects": {"read_noise": False},
        "case": cases,
    }
    (place / "study.toml").write_text(tomli_w.dumps(study))
    trace = read_trace(run_study(load_study(place / "study.toml"), place / "runs"))
    found = summarise(trace)
for case in found.cases:
    hidden, last = (layer.local_snr_db for layer in case.layers)
    joules = sum(layer.array_energy_per_token for layer in case.layers)
    print(
        f"{case.name}: {hidden:.2f} dB, {last:.2f} dB, accuracy {case.metric.value:.4f}, "
        f"{joules * 1e9:.3f} nJ"
    )
