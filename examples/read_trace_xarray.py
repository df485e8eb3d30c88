"""Errors of every layer of a trace as one xarray: python read_trace_xarray.py runs/NAME.h5 [CASE]"""

import sys

import h5py
import xarray

with h5py.File(sys.argv[1]) as trace:
    case = sys.argv[2] if len(sys.argv) > 2 else next(iter(trace["cases"]))
    chips = []
    for chip in trace["cases"][case].values():
        layers = sorted(chip["layers"].items(), key=lambda item: item[1].attrs["number"])
        names = [name for name, _ in layers]
        values = [layer["local_relative_rms"][:] for _, layer in layers]
        chips.append(xarray.DataArray(values, {"matrix": names}, ("matrix", "example")))
    errors = xarray.concat(chips, "chip")  # (chips, matrices, examples)

mean = errors.mean(("chip", "example"))
for name in mean.matrix.values:
    print(f"{name}: {float(mean.sel(matrix=name)):.9f}")
