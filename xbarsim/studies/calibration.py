"""What held-out examples say about the float32 path: inputs, ranges."""

import dataclasses

import numpy as np

from xbarsim.hardware import functions
from xbarsim.models import bert

CALIBRATION_TOKENS = 2048  # token vectors per matrix behind ranges and gains


def calibration_inputs(model, examples, batch_size, pool):
    """What held-out examples say about the float32 path.

    Returns
    -------
    {matrix: (samples, in) float32} : inputs of every matrix, at most CALIBRATION_TOKENS rows spread
    evenly {function: (largest |input|, largest |output|)}, {product: (largest |a|, largest |b|)}
    """

    def capture(batch):
        seen, ranges = {}, {}

        def product(name, a, b):
            ranges[name] = float(np.abs(a).max()), float(np.abs(b).max())
            return bert.product(name, a, b)

        def linear(name, x, weight, bias, rows):
            seen[name] = x
            return bert.linear(name, x, weight, bias, rows)

        bert.encode(
            model,
            *bert.pad(examples.of(batch)),
            linear,
            dataclasses.replace(functions.record(ranges, model.config), product=product),
        )
        return seen, ranges

    batches, ranges = zip(*pool.map(capture, examples.batches(batch_size)), strict=True)
    stride = -(-int(examples.token_counts.sum()) // CALIBRATION_TOKENS)
    inputs = {
        name: np.concatenate([batch[name] for batch in batches])[::stride] for name in batches[0]
    }
    return inputs, functions.widest(ranges)
