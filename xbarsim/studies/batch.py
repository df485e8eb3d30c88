"""One batch through the float32 path and the hardware."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.hardware.build import Hardware
from xbarsim.hardware.hook import HardwareHook
from xbarsim.models.batches import pad
from xbarsim.models.graph import Kind, Role, Step
from xbarsim.models.operations import Reference
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.errors import check_output, error_statistics, token_rows
from xbarsim.studies.examples import Examples
from xbarsim.studies.readers import LOGIT_ROWS, Reader, Reading
from xbarsim.studies.step_rows import matrix_rows, product_rows, total
from xbarsim.studies.trace_layout import (
    CodeHistogram,
    Entries,
    FunctionRows,
    MatrixRows,
    joined_rows,
)


def run_batch(
    reader: Reader, hardware: Hardware, examples: Examples, batch: slice
) -> tuple[Reading, Entries]:
    """One batch through the float32 path, then through the hardware.

    Returns
    -------
    what is read off the hardware's path, and the Entries of its steps
    """
    _, mask = pad(examples.of(batch))
    examples_of_batch = _Examples.of(mask, examples.parts, batch.stop - batch.start)
    output_matrices = reader.model.graph.after_forward
    logit_rows: int | None = LOGIT_ROWS
    if any(step.name in hardware for step in output_matrices):
        logit_rows = None  # errors are those of all logits of an example
    exact = _Float32(hardware, examples_of_batch)
    reader.read(examples, batch, exact, logit_rows)
    measured = _Measured(hardware, examples_of_batch, exact.outputs, batch.start * examples.parts)
    reading = reader.read(examples, batch, measured, logit_rows)
    return reading, measured.finished()


@dataclass(frozen=True)
class _Examples:
    """Where the examples of a batch lie among its tokens.

    mask : (b, s) real tokens;  starts : (n,) first real token of each example
    """

    mask: Booleans
    starts: Integers

    @classmethod
    def of(cls, mask: Booleans, parts: int, examples: int) -> "_Examples":
        """parts : consecutive sentences of an example"""
        example_of_token = np.argwhere(mask)[:, 0] // parts
        return cls(mask, np.searchsorted(example_of_token, np.arange(examples)))

    def of_step(self, step: Step, rows: Integers) -> "_Examples":
        """Of a step with rows (t, 2) of its own: several for every example, one or more for an image,
        or those of the one example that it is called for.
        """
        if step.role is Role.LOGITS:
            return _Examples(np.ones((1, len(rows)), bool), np.zeros(1, np.int64))
        if len(rows) == np.count_nonzero(self.mask):
            return self
        return _Examples(self.mask, np.searchsorted(rows[:, 0], np.arange(len(self.starts))))

    def rows(self, step: Step, output: Singles) -> Singles:
        """Results (t, n) of the real tokens of a step, (t, n) or (b, heads, s, ...); scores of
        padding, and of later tokens in causal attention, are 0.
        """
        if step.role is Role.ATTENTION_SCORES:
            real = self.mask[:, None, :, None] & self.mask[:, None, None, :]
            if step.causal:
                real = np.tril(real)
            output = np.where(real, output, np.float32(0))
        return token_rows(output, self.mask)


class _Float32:
    """The hook of the float32 path: keeps what the hardware's results are compared with.

    outputs : {call: (t, n)} of all matrices, and of products and functions on hardware
    """

    def __init__(self, hardware: Hardware, examples: _Examples) -> None:
        self.hardware = hardware
        self.examples = examples
        self.outputs: dict[str, Singles] = {}

    def __call__(self, step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        output = reference(*operands)
        if step.name in self.hardware:
            self.outputs[_call(step, rows)] = self.examples.rows(step, output)
        return output


def _call(step: Step, rows: Integers) -> str:
    """Name of a call of a step: that of the logits is called once for every example."""
    if step.role is not Role.LOGITS:
        return step.name
    return f"{step.name} of {rows[0, 0]}"


class _Measured:
    """The hook of the hardware's path: what the hardware makes of every step, beside the float32
    result for the same input and that of the float32 path.

    first_sentence : number of the batch's first sentence, which seeds its noise
    """

    def __init__(
        self,
        hardware: Hardware,
        examples: _Examples,
        float32: dict[str, Singles],
        first_sentence: int,
    ) -> None:
        self.hardware = hardware
        self.steps = HardwareHook(hardware, first_sentence)
        self.examples = examples
        self.float32 = float32
        self.entries = Entries()
        self.calls: dict[str, list[MatrixRows]] = {}

    def finished(self) -> Entries:
        """The entries of all steps, when the batch is through."""
        for name, calls in self.calls.items():
            self.entries.layers[name] = joined_rows(calls)
        return self.entries

    def __call__(self, step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        if step.name not in self.hardware:
            return self.steps.digital(step, reference, *operands)
        exact = reference(*operands)
        if step.kind is Kind.MATRIX:
            return self.matrix(step, exact, rows, *operands)
        if step.kind is Kind.PRODUCT:
            return self.product(step, exact, rows, *operands)
        return self.function(step, exact, rows, *operands)

    def matrix(
        self, step: Step, exact: Singles, rows: Integers, x: Singles, weight: Singles, bias: Singles
    ) -> Singles:
        product = self.steps.matrix(step, x, rows)
        output: Singles = product.output + bias
        examples = self.examples.of_step(step, rows)
        float32 = self.float32[_call(step, rows)]
        check_output(step.name, output)
        found = matrix_rows(
            local=error_statistics(output, exact, examples.starts),
            accumulated=error_statistics(output, float32, examples.starts),
            product=product,
            events=self.hardware.matrices[step.name].events_per_row,
            starts=examples.starts,
        )
        self.calls.setdefault(step.name, []).append(found)
        counted = product.code_counts
        if counted is not None:
            self.count_codes(step.name, CodeHistogram(counted.codes, counted.beyond))
        return output

    def count_codes(self, name: str, found: CodeHistogram) -> None:
        """Add the codes of a call to those of a matrix."""
        earlier = self.entries.codes.get(name)
        if earlier is not None:
            found = CodeHistogram(earlier.counts + found.counts, earlier.beyond + found.beyond)
        self.entries.codes[name] = found

    def product(
        self, step: Step, exact: Singles, rows: Integers, a: Singles, b: Singles
    ) -> Singles:
        output: Singles
        output, costs = self.steps.product(step, a, b, rows)
        local, accumulated = self.errors(
            step,
            self.examples.rows(step, output),
            self.examples.rows(step, exact),
            self.examples,
        )
        self.entries.products[step.name] = product_rows(
            local, accumulated, costs, self.examples.starts
        )
        return output

    def function(self, step: Step, exact: Singles, rows: Integers, *operands: Any) -> Singles:
        output: Singles
        output, saturations = self.steps.function(step, *operands)
        examples = self.examples.of_step(step, rows)
        local, accumulated = self.errors(
            step, examples.rows(step, output), examples.rows(step, exact), examples
        )
        held = token_rows(saturations[..., None], examples.mask).sum(axis=1)
        self.entries.operations[step.name] = FunctionRows(
            local=local, accumulated=accumulated, saturations=total(held, examples.starts)
        )
        return output

    def errors(
        self, step: Step, output: Singles, exact: Singles, examples: _Examples
    ) -> tuple[ErrorStatistics, ErrorStatistics]:
        """Of rows (t, n) against the float32 result for the same input, and against that of the
        float32 path.
        """
        check_output(step.name, output)
        starts = examples.starts
        local = error_statistics(output, exact, starts)
        accumulated = error_statistics(output, self.float32[step.name], starts)
        return local, accumulated
