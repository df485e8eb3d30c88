"""Calibrate a device: fit programming errors, and draw cells from the file that comes out."""

from pathlib import Path

import numpy as np

from xbarsim import calibrate, load_device

# A measurement: 400 cells, written to four levels with errors of 3 µS.
rng = np.random.default_rng(0)
target = np.repeat([20.0, 40.0, 60.0, 80.0], 100)  # µS
achieved = target + 3.0 * rng.standard_normal(400)
rows = [f"{want},{got}" for want, got in zip(target, achieved, strict=True)]
Path("cells.csv").write_text("\n".join(["target_uS,achieved_uS", *rows]) + "\n")

fit = calibrate.calibrate_files("programming", ["cells.csv"])
print(fit.render())
calibrate.write_device(fit, "device.toml", base="ideal", files=["cells.csv"])

device = load_device("device.toml").at()
written = device.program(np.full((100, 100), 50e-6), 1)  # S, seed 1
print(f"standard deviation of drawn cells: {1e6 * written.conductance.std():.4f} uS")
