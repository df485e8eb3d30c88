"""What held-out examples say about the float32 path: inputs, ranges."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarsim.base.array_types import Integers, Singles
from xbarsim.hardware import functions
from xbarsim.hardware.build import HeldOut
from xbarsim.hardware.steps import ProductSample
from xbarsim.models import int8
from xbarsim.models.batches import pad
from xbarsim.models.graph import Kind, Role, Step
from xbarsim.models.network import Network
from xbarsim.models.operations import Reference
from xbarsim.studies.examples import Examples

CALIBRATION_TOKENS = 2048  # token vectors per matrix behind ranges and gains
SAMPLE_SEQUENCES = 4  # behind the ranges of causal products, and tokens of each
SAMPLE_TOKENS = 16


@dataclass
class _Seen:
    """The hook that notes the inputs of matrices and the largest values of everything else.

    ranges : {function: (largest |input|, largest |output|)}, {product: (largest |a|, largest |b|)}
    """

    inputs: dict[str, Singles] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    products: dict[str, ProductSample] = field(default_factory=dict)

    def __call__(self, step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        output = reference(*operands)
        if step.kind is Kind.MATRIX:
            self.inputs[step.name] = operands[0]
        elif step.kind is Kind.PRODUCT:
            a, b = operands
            self.ranges[step.name] = float(np.abs(a).max()), float(np.abs(b).max())
            if step.causal:
                self.products[step.name] = sample_of(step, a, b, rows)
        else:
            self.ranges[step.name] = functions.largest(step, operands, output)
        return output


def sample_of(step: Step, a: Singles, b: Singles, rows: Integers) -> ProductSample:
    """Some tokens of the first sequence of a batch."""
    length = int(np.count_nonzero(rows[:, 0] == rows[0, 0]))
    positions = np.unique(np.linspace(0, length - 1, SAMPLE_TOKENS).astype(int))
    group = step.copies // step.second_copies
    inputs = a[0][:, positions]
    values = b[0][::group]
    if step.role is Role.ATTENTION_SCORES:
        values = values.swapaxes(1, 2)
    else:
        inputs = inputs[..., :length]
    return ProductSample(np.array(inputs), np.array(values[:, :length]), positions)


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
    inputs: dict[str, Singles] = {}
    joined: dict[int, Singles] = {}  # query, key and value read the same array: it is kept once
    for name, first in found[0].inputs.items():
        if id(first) not in joined:
            whole = np.concatenate([seen.inputs[name] for seen in found])
            stride = -(-len(whole) // CALIBRATION_TOKENS)
            joined[id(first)] = np.ascontiguousarray(whole[::stride])
        inputs[name] = joined[id(first)]
    spread = found[:: -(-len(found) // SAMPLE_SEQUENCES)]
    products = {}
    for name in found[0].products:
        products[name] = tuple(seen.products[name] for seen in spread)
    return HeldOut(
        inputs=inputs,
        ranges=functions.widest([seen.ranges for seen in found]),
        input_ranges=int8.input_ranges(model, examples.tokens, threads=threads),
        products=products,
    )
