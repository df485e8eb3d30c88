"""`to_trace`: what a model on a chip makes of labelled examples, as a trace of `xbarsim run`."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xbarsim import __version__
from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.base.array_types import AnyArray, Integers, Singles
from xbarsim.base.errors import ConfigError, OutOfRangeError, TaskError
from xbarsim.hardware.steps import ProductCosts
from xbarsim.models.graph import Role, Step
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.errors import check_output, error_statistics
from xbarsim.studies.pieces import chip_head
from xbarsim.studies.run import sources_of
from xbarsim.studies.step_rows import matrix_rows, product_rows
from xbarsim.studies.trace_layout import (
    CodeHistogram,
    Entries,
    ExampleTable,
    FunctionRows,
    RunAttributes,
)
from xbarsim.studies.trace_writer import TraceWriter
from xbarsim.tasks.metrics import METRICS
from xbarsim.torch.analog_model import AnalogModel
from xbarsim.torch.passes import Cost, on_host

METRIC = METRICS["labels"][0]


def to_trace(
    analog: AnalogModel,
    loader: Iterable[Any],
    directory: str | Path = "runs",
    *,
    task: str = "loader",
    metric: str = METRIC,
) -> Path:
    """Classify labelled examples in float32 and on the chip, and write a trace: errors of every step,
    saturations, energies, and the outputs, for `xbarsim report`.

    Parameters
    ----------
    analog : whose outputs are logits (examples, classes), or have a field `logits`
    loader : batches of (inputs, labels), or dictionaries with "labels"; all of them in memory
    directory : where NAME.h5 is written, NAME that of the study
    task : what the trace calls the examples
    metric : accuracy, f1 or matthews

    Returns
    -------
    Path of the trace, for `read_trace`

    Raises
    ------
    TaskError : no examples, batches without labels, labels that are no class of the outputs
    ConfigError : a metric that is none of labels; a module that a pass calls more than once
    OutOfRangeError, TraceError : a result that is no number, a file that cannot be written
    """
    if metric not in METRICS["labels"]:
        raise ConfigError(
            f"metric is {metric!r}; allowed for labels: {', '.join(METRICS['labels'])}"
        )
    batches = [_Batch.of(content) for content in loader]
    if not batches:
        raise TaskError("to_trace got no examples; give at least one batch of inputs and labels")
    training = analog.model.training
    analog.model.eval()
    try:
        with torch.no_grad():
            return _write(analog, batches, Path(directory), task, metric)
    finally:
        analog.model.train(training)


@dataclass(frozen=True)
class _Batch:
    """inputs : of `AnalogModel.listened`;  labels : (n,)"""

    inputs: Any
    labels: Integers

    @classmethod
    def of(cls, content: Any) -> _Batch:
        labels = None
        if isinstance(content, dict):
            labels = content.get("labels")
        elif isinstance(content, Sequence) and len(content) > 1:
            labels = content[1]
        if labels is None:
            raise TaskError(
                'a batch has no labels; give (inputs, labels), or a dictionary with "labels"'
            )
        found = np.asarray(on_host(labels)).astype(np.int64).reshape(-1)
        return cls(content, found)


def _write(
    analog: AnalogModel, batches: list[_Batch], directory: Path, task: str, metric: str
) -> Path:
    float32 = [_Float32() for _ in batches]
    exact = [
        _logits(analog.listened(heard, True, batch.inputs))
        for heard, batch in zip(float32, batches, strict=True)
    ]
    classes = exact[0].shape[1]
    label = np.concatenate([batch.labels for batch in batches])
    if label.min() < 0 or label.max() >= classes:
        raise TaskError(
            f"labels from {label.min()} to {label.max()}, and outputs of {classes} classes; "
            f"allowed: 0 to {classes - 1}"
        )
    study = analog.study.to_toml()
    run = RunAttributes(
        software_version=__version__,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        complete=False,
        seed=analog.study.seed,
        study=study,
        model=type(analog.model).__name__,
        model_sha256=_sha256(analog.model),
        heads=analog.structure.facts.heads,
        task=task,
        task_sha256=hashlib.sha256(label.tobytes()).hexdigest(),
        task_kind="labels",
        metric=metric,
        head="classifier",
        classes=classes,
        truncated_sentences=0,
        notes="examples of a PyTorch loader",
    )
    nothing_cut = np.zeros(len(label), np.int64)
    counts = np.concatenate([_tokens(batch) for batch in batches])
    table = ExampleTable(label, counts, np.arange(len(label)), nothing_cut)
    sources = sources_of(analog.study)
    writer = TraceWriter(directory, analog.study.name, run, table, outputs=classes, sources=sources)
    with writer:
        _write_paths(analog, batches, writer, study, exact=exact, float32=float32)
    return writer.path


def _write_paths(
    analog: AnalogModel,
    batches: list[_Batch],
    writer: TraceWriter,
    study: str,
    *,
    exact: list[Singles],
    float32: list[_Float32],
) -> None:
    """The float32 path, and the chip."""
    places = _places(batches)
    reference = writer.add_reference("float32")
    for place, output in zip(places, exact, strict=True):
        writer.write(reference, place, output)
    writer.add_case("chip", study)
    path = writer.add_chip("chip", chip_head(analog.hardware, analog.structure.graph))
    analog.rewind()
    for number, batch in enumerate(batches):
        measured = _Measured(analog, float32[number], len(batch.labels))
        output = _logits(analog.listened(measured, False, batch.inputs))
        writer.write(path, places[number], output, measured.entries)


def _places(batches: list[_Batch]) -> list[slice]:
    found = []
    start = 0
    for batch in batches:
        found.append(slice(start, start + len(batch.labels)))
        start += len(batch.labels)
    return found


def _logits(output: Any) -> Singles:
    """(n, classes) float32 of whatever a model returns."""
    tensor = getattr(output, "logits", output)
    if not isinstance(tensor, torch.Tensor) or tensor.dim() != 2:
        shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise TaskError(
            f"the model returns {shape}; to_trace needs logits of shape (examples, classes)"
        )
    found: Singles = tensor.detach().cpu().numpy().astype(np.float32)
    if not np.isfinite(found).all():
        raise OutOfRangeError("an output of the model is not finite; look at its weights")
    return found


def _tokens(batch: _Batch) -> Integers:
    """(n,) tokens of each example; 1 of what is no text."""
    if isinstance(batch.inputs, dict) and "attention_mask" in batch.inputs:
        mask = np.asarray(on_host(batch.inputs["attention_mask"]))
        counts: Integers = mask.sum(axis=1).astype(np.int64)
        return counts
    return np.ones(len(batch.labels), np.int64)


def _sha256(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------- steps of a batch


@dataclass
class _Float32:
    """A listener that keeps the outputs of the float32 path, {step: (t, n)}."""

    outputs: dict[str, Singles] = field(default_factory=dict)

    def heard(self, step: Step, output: AnyArray, *operands: Any, rows: Integers) -> None:
        if step.name in self.outputs:
            raise ConfigError(
                f"{step.name} is called more than once in a pass, and a trace has one call of a "
                "step; exclude it, or give every call a module of its own"
            )
        self.outputs[step.name] = _of_tokens(step, output, rows)

    def measured(
        self, step: Step, output: AnyArray, exact: AnyArray, cost: Cost, rows: Integers
    ) -> None:
        """Nothing is on hardware here."""


def _of_tokens(step: Step, output: AnyArray, rows: Integers) -> Singles:
    """(t, n) of an output, (t, n) or (b, heads, s, n) with rows that name its tokens."""
    if output.ndim < 3:
        found: Singles = output
        return found
    if step.role is Role.ATTENTION_SCORES and step.causal:
        output = np.tril(output)
    sentence = rows[:, 0] - rows[0, 0]
    tokens: Singles = output[sentence, :, rows[:, 1]]
    return tokens.reshape(len(rows), -1)


@dataclass
class _Measured:
    """A listener that makes the entries of a trace of what steps on hardware gave."""

    analog: AnalogModel
    float32: _Float32
    examples: int
    entries: Entries = field(default_factory=Entries)

    def heard(self, step: Step, output: AnyArray, *operands: Any, rows: Integers) -> None:
        """Steps in float32 leave no entry."""

    def measured(
        self, step: Step, output: AnyArray, exact: AnyArray, cost: Cost, rows: Integers
    ) -> None:
        starts = np.searchsorted(rows[:, 0] - rows[0, 0], np.arange(self.examples))
        found = _of_tokens(step, output, rows)
        check_output(step.name, found)
        local = error_statistics(found, _of_tokens(step, exact, rows), starts)
        accumulated = error_statistics(found, self.float32.outputs[step.name], starts)
        if isinstance(cost, Product):
            self._matrix(step, local, accumulated, cost, starts)
        elif isinstance(cost, ProductCosts):
            self.entries.products[step.name] = product_rows(local, accumulated, cost, starts)
        else:
            held = cost.reshape(len(rows), -1).sum(axis=1)
            if cost.ndim == 3:  # (b, heads, s)
                held = _of_tokens(step, cost[..., None], rows).sum(axis=1)
            saturations = np.add.reduceat(held, starts).astype(np.int64)
            self.entries.operations[step.name] = FunctionRows(
                local=local, accumulated=accumulated, saturations=saturations
            )

    def _matrix(
        self,
        step: Step,
        local: ErrorStatistics,
        accumulated: ErrorStatistics,
        product: Product,
        starts: Integers,
    ) -> None:
        self.entries.layers[step.name] = matrix_rows(
            local=local,
            accumulated=accumulated,
            product=product,
            events=self.analog.hardware.matrices[step.name].events_per_row,
            starts=starts,
        )
        counted = product.code_counts
        if counted is not None:
            self.entries.codes[step.name] = CodeHistogram(counted.codes, counted.beyond)
