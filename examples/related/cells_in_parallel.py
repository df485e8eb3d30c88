"""Several cells at one crosspoint (nano-crossbar weighted memristor CNN, J. Nanosci. Nanotechnol. 21, 1833, 2021).

Only the title could be read.  Taken from it: an integer digit is held by k binary cells in parallel
whose conductances are as 1 : 2 : 4 : ...  Compared with slices at equal cells: six binary cells for
the magnitude of a weight, as six slices of a bit, three of two, two of three, or one of six bits.
Error of products of a random matrix (256 x 64, Student's t with 5 degrees of freedom), 10 chips.
Assumed: spread of every cell relative to its conductance; 1 to 100 uS for the largest digit;
converters of 8 bits.

    python cells_in_parallel.py [CHIPS]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import xbarsim

CHIPS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
DEVICE = """
description = "binary cells with a spread"
[read]
voltage_v = 0.2
source = "a parameter of this example"
[conductance]
minimum_us = 1.0
maximum_us = 100.0
valid_range_us = [0.0, 100.0]
source = "a parameter of this example"
[spread]
device_to_device_relative_sigma = {sigma}
source = "a parameter of this example"
"""
rng = np.random.default_rng(0)
WEIGHT = rng.standard_t(5, (64, 256))
X = rng.standard_normal((200, 256))
EXACT = X @ WEIGHT.T


def figures(device: Path, bits: int, crosspoint: str, ohm: float) -> tuple[float, float, float]:
    """Mean relative error of products over chips, its standard error, and conversions per input."""
    errors = []
    for chip in range(CHIPS):
        study = {
            "device": {"name": str(device)},
            "mapping": {
                "encoding": "slices",
                "weight_bits": 7,
                "bits_per_cell": bits,
                "crosspoint": crosspoint,
            },
            "wires": {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm},
        }
        matrix = xbarsim.AnalogMatrix(WEIGHT, study, samples=X[:100], seed=chip)
        output = matrix.multiply(X[100:]).output
        errors.append(np.linalg.norm(output - EXACT[100:]) / np.linalg.norm(EXACT[100:]))
    spread = np.std(errors, ddof=1) / np.sqrt(CHIPS)
    return np.mean(errors), spread, matrix.array.events_per_row.adc_conversions


with tempfile.TemporaryDirectory() as place:
    device = Path(place) / "cell.toml"
    for sigma, ohm in ((0.0, 0.0), (0.05, 0.0), (0.2, 0.0), (0.05, 2.0)):
        device.write_text(DEVICE.format(sigma=sigma))
        for bits in (1, 2, 3, 6):
            error, spread, conversions = figures(device, bits, "weighted", ohm)
            print(
                f"spread {sigma:g}, {ohm:g} ohm, {6 // bits} slices of {bits} cells: "
                f"error {error:.4f} +- {spread:.4f}, {conversions} conversions"
            )
