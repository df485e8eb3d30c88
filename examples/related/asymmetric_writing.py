"""Fine or coarse program-verify of binary crossbars (Pham et al., Micromachines 10, 141, 2019).

Cells are written on or off by pulses until a read is within a tolerance: fine (small pulses) or coarse
(large ones), for each state by itself.  Error: of the column currents, over their own spread.
Energy: pulses, all alike.  Assumed: 100 uS on, pulses and tolerances of 4 % (fine) and 40 % (coarse)
of the state's own conductance, half of the cells on, columns of 128 cells, half of the inputs on.
"""

import tempfile
from pathlib import Path

import numpy as np

import xbarsim

ON_US = 100.0
SHARES = {"F": 0.04, "C": 0.4}  # of the state's conductance: a pulse, and the tolerance
CHIPS = 20
DEVICE = """
description = "pulses up from {start} uS"
[read]
voltage_v = 0.1
source = "a parameter of this example"
[conductance]
minimum_us = 0.001
maximum_us = 400.0
valid_range_us = [0.0, 400.0]
source = "a parameter of this example"
[write_verify]
step_up_us = {step}
step_down_us = {step}
step_relative_sigma = 0.3
tolerance_us = {tolerance}
maximum_pulses = 10000
start_us = {start}
source = "a parameter of this example"
"""


def write(state_us: float, how: str, shape: tuple[int, int], seed: int, place: Path):
    """Conductances in uS that cells reach, and pulses per cell."""
    size = SHARES[how] * state_us
    path = place / "cell.toml"
    path.write_text(DEVICE.format(start=2 * state_us, step=size, tolerance=size))
    device = xbarsim.load_device(path).at()
    written = device.program(np.full(shape, state_us * 1e-6), seed)
    return 1e6 * written.conductance, written.counts.pulses / np.prod(shape)


def figures(on_how: str, off_how: str, ratio: float, chip: int, place: Path) -> tuple[float, float]:
    """Relative error of the column currents, and pulses per cell."""
    rng = np.random.default_rng(chip)
    pixels = rng.random((128, 128)) < 0.5
    on, on_pulses = write(ON_US, on_how, pixels.shape, 2 * chip, place)
    off, off_pulses = write(ON_US / ratio, off_how, pixels.shape, 2 * chip + 1, place)
    wanted = np.where(pixels, ON_US, ON_US / ratio)
    achieved = np.where(pixels, on, off)
    inputs = (rng.random((200, 128)) < 0.5).astype(float)
    ideal = inputs @ wanted
    error = np.std(inputs @ achieved - ideal) / np.std(ideal)
    return error, (on_pulses + off_pulses) / 2


with tempfile.TemporaryDirectory() as name:
    for ratio in (2.0, 10.0, 100.0):
        print(f"off over on resistance {ratio:g}; high resistance state first")
        for off_how in "FC":
            for on_how in "FC":
                chips = [figures(on_how, off_how, ratio, chip, Path(name)) for chip in range(CHIPS)]
                error, pulses = np.array(chips).T
                spread = error.std(ddof=1) / np.sqrt(CHIPS)
                print(
                    f"  {off_how}-{on_how}: error {error.mean():.5f} +- {spread:.5f}, "
                    f"pulses {pulses.mean():.2f}, product {(error * pulses).mean():.5f}"
                )
