"""What held-out examples say about the float32 pass of a PyTorch model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarsim.base.array_types import AnyArray, Integers, Singles
from xbarsim.hardware import functions
from xbarsim.hardware.build import HeldOut
from xbarsim.hardware.steps import ProductSample
from xbarsim.models.graph import Kind, Step
from xbarsim.studies.held_out import CALIBRATION_TOKENS, SAMPLE_SEQUENCES, sample_of
from xbarsim.torch.passes import Cost

KEPT_OF_A_CALL = 8 * CALIBRATION_TOKENS  # rows; those of a convolution are very many


@dataclass
class Heard:
    """A listener that keeps the inputs of matrices and the largest values of everything else."""

    inputs: dict[str, list[Singles]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    products: dict[str, list[ProductSample]] = field(default_factory=dict)

    def heard(self, step: Step, output: AnyArray, *operands: Any, rows: Integers) -> None:
        if step.kind is Kind.MATRIX:
            x = operands[0]
            kept = x[:: -(-len(x) // KEPT_OF_A_CALL)]
            self.inputs.setdefault(step.name, []).append(kept)
            return
        if step.kind is Kind.PRODUCT:
            a, b = operands
            found = float(np.abs(a).max()), float(np.abs(b).max())
            if step.causal:
                self.products.setdefault(step.name, []).append(sample_of(step, a, b, rows))
        else:
            found = functions.largest(step, operands, output)
        before = self.ranges.get(step.name, (0.0, 0.0))
        self.ranges[step.name] = max(before[0], found[0]), max(before[1], found[1])

    def measured(
        self, step: Step, output: AnyArray, exact: AnyArray, cost: Cost, rows: Integers
    ) -> None:
        """Nothing of a chip is of interest here."""

    def held_out(self) -> HeldOut:
        """At most CALIBRATION_TOKENS inputs of every matrix, spread evenly."""
        inputs: dict[str, Singles] = {}
        largest: dict[str, float] = {}
        for name, found in self.inputs.items():
            whole = np.concatenate(found)
            largest[name] = float(np.abs(whole).max(initial=0.0))
            stride = -(-len(whole) // CALIBRATION_TOKENS)
            inputs[name] = _once(np.ascontiguousarray(whole[::stride]), inputs)
        products = {}
        for name, samples in self.products.items():
            spread = samples[:: -(-len(samples) // SAMPLE_SEQUENCES)]
            products[name] = tuple(spread)
        return HeldOut(inputs, self.ranges, largest, products)


def _once(found: Singles, inputs: dict[str, Singles]) -> Singles:
    """The inputs of the last matrix where these are the same: query, key and value read them."""
    if not inputs:
        return found
    last = inputs[next(reversed(inputs))]
    if np.array_equal(last, found):
        return last
    return found
