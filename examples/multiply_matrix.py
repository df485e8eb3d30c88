"""Multiply a vector by a matrix whose weights are conductances of phase-change cells."""

import numpy as np

import xbarsim

rng = np.random.default_rng(0)
weight = rng.standard_normal((20, 60))  # (outputs, inputs)
samples = rng.standard_normal((100, 60))  # typical inputs: they set the ranges of the converters
x = rng.standard_normal(60)

study = {"device": {"name": "pcm"}, "wires": {"node": "32nm"}, "adc": {"bits": 8}}
matrix = xbarsim.AnalogMatrix(weight, study, samples=samples, seed=1)
product = matrix.multiply(x[None])

for value in product.output[0]:
    print(f"output: {value:.6f}")
