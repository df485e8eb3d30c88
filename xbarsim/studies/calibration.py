"""What held-out examples say about the float32 path: inputs, ranges."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarsim.base.array_types import Integers, Singles
from xbarsim.hardware import functions
from xbarsim.hardware.build import HeldOut
from xbarsim.models import int8
from xbarsim.models.batches import pad
from xbarsim.models.graph import Kind, Step
from xbarsim.models.network import Network
from xbarsim.models.operations import Reference
from xbarsim.studies.examples import Examples

CALIBRATION_TOKENS = 2048  # token vectors per matrix behind ranges and gains


@dataclass
class _Seen:
    """The hook that notes the inputs of matrices and the largest values of everything else.

    ranges : {function: (largest |input|, largest |output|)}, {product: (largest |a|, largest |b|)}
    """

    inputs: dict[str, Singles] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        output = reference(*operands)
        if step.kind is Kind.MATRIX:
            self.inputs[step.name] = operands[0]
        elif step.kind is Kind.PRODUCT:
            a, b = operands
            self.ranges[step.name] = float(np.abs(a).max()), float(np.abs(b).max())
        else:
            self.ranges[step.name] = functions.largest(step, operands, output)
        return output


def held_out(
    model: Network,
    examples: Examples,
    batch_size: int,
    pool: Executor,
    threads: int | None = None,
) -> HeldOut:
    """What held-out examples say about the float32 path; of inputs at most CALIBRATION_TOKENS rows,
    spread evenly.
    """

    def capture(batch: slice) -> _Seen:
        seen = _Seen()
        token_ids, mask = pad(examples.of(batch))
        states = model.forward(token_ids, mask, seen)
        for step in model.graph.after_forward:
            seen.inputs[step.name] = states[mask]
        return seen

    found = list(pool.map(capture, examples.batches(batch_size)))
    stride = -(-int(examples.token_counts.sum()) // CALIBRATION_TOKENS)
    inputs = {
        name: np.concatenate([seen.inputs[name] for seen in found])[::stride]
        for name in found[0].inputs
    }
    return HeldOut(
        inputs=inputs,
        ranges=functions.widest([seen.ranges for seen in found]),
        input_ranges=int8.input_ranges(model, examples.tokens, threads=threads),
    )
