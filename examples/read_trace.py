"""Read the trace of a run with h5py alone: python read_trace.py runs/NAME.h5"""

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as trace:
    label = trace["examples/label"][:]
    for case in trace["cases"]:
        for chip in trace["cases"][case]:
            output = trace["cases"][case][chip]["output"][:]  # (examples, classes) logits
            accuracy = np.mean(output.argmax(axis=1) == label)
            print(f"accuracy of {case}, chip {chip}: {accuracy:.9f}")
