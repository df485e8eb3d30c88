"""Traces to figures: accuracy with intervals, errors per layer, counted events, energy.  Imports no
kernel.
"""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from xbarsim.base.arguments import instance
from xbarsim.base.errors import TraceError
from xbarsim.models.graph import Role
from xbarsim.report.energy import Cost, cost_of
from xbarsim.report.steps import (
    FunctionSummary,
    MatrixSummary,
    ProductSummary,
    function_summary,
    matrix_summary,
    product_summary,
)
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.scores import Estimate, Scorer, TokenFigures, scorer_of
from xbarsim.studies.trace import (
    Case,
    Chip,
    Outputs,
    Trace,
    TracedFunction,
    TracedMatrix,
    TracedProduct,
)
from xbarsim.studies.trace_layout import (
    CodeHistogram,
    Rows,
    RunAttributes,
    arrays_of,
    columns_of,
)
from xbarsim.studies.training_record import TrainingRecord, record_of
from xbarsim.tasks import metrics

BROKEN = (
    "no figure can be made of it: look at the study's wires and converters there, and run it again"
)
Step = TypeVar("Step", TracedMatrix, TracedProduct, TracedFunction)
REFERENCES = {
    "float32": "float32",
    "int8": "INT8 digital",
}  # digital paths as tables and pictures name them


@dataclass(frozen=True, kw_only=True)
class PathSummary:
    """A digital reference, or what a case has in common with one: the metric, and how many examples
    it has.

    tokens : of a decoder, else None
    """

    name: str
    metric: Estimate
    examples: int
    tokens: TokenFigures | None = None


@dataclass(frozen=True)
class OverChips:
    """The metric of every simulated chip; of several the 95 % interval of their mean by Student's
    t.
    """

    values: tuple[float, ...]
    low: float | None
    high: float | None

    @property
    def several(self) -> bool:
        return len(self.values) > 1


@dataclass(frozen=True, kw_only=True)
class CaseSummary(PathSummary):
    """A case; of several chips its metric is their mean, with the means of their intervals (that of
    the sampled examples).

    study : TOML
    change : metric minus that of float32 on the same examples, of a perplexity their ratio minus 1,
        with the paired 95 % interval of the sampled examples (`metrics.change`,
        `language_metrics.language_change`); None where float32 is lost
    cost : per example
    """

    study: str
    chips: OverChips
    change: Estimate | None
    cost: Cost
    layers: tuple[MatrixSummary, ...] = ()
    products: tuple[ProductSummary, ...] = ()
    operations: tuple[FunctionSummary, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a trace says.

    study : its name
    examples, tokens, sentences : that were to be evaluated
    damage : what of the trace cannot be read, one line each
    chip_texts : {name: text} of the chip files of its cases, as they were when it ran
    """

    path: str
    study: str
    run: RunAttributes
    examples: int
    tokens: int
    sentences: int
    references: tuple[PathSummary, ...]
    cases: tuple[CaseSummary, ...]
    damage: tuple[str, ...] = ()
    chip_texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """How the examples were chosen, where a reader of the score must know it."""
        return tuple(self.run.notes.splitlines())

    @property
    def idle_settings(self) -> tuple[str, ...]:
        """Sentences on settings of the study that had no effect."""
        return tuple(self.run.idle_settings.splitlines())

    @property
    def training(self) -> TrainingRecord | None:
        """How `xbarsim train` made the model; None of another one."""
        if self.run.training is None:
            return None
        return record_of(self.run.training, f"the training of {self.path}")


def named_paths(summary: Summary) -> list[tuple[str, PathSummary]]:
    """[(name in tables, path)]: the references, then the cases."""
    named: list[tuple[str, PathSummary]] = []
    named += [(REFERENCES[path.name], path) for path in summary.references]
    named += [(f"analog: {case.name}", case) for case in summary.cases]
    return named


def summarise(trace: Trace) -> Summary:
    """Summary of a Trace; paths without a finished example are left out.

    Parameters
    ----------
    trace : Trace of `read_trace`

    Returns
    -------
    Summary : of every path the metric with its 95 % interval, SNR per layer in dB, events, energy
        in joule per example

    Raises
    ------
    TraceError : no path has two examples, so nothing can be said; a number of the trace that is
        none
    """
    instance("trace", trace, Trace, "what read_trace returns")
    check_finite(trace)
    scorer = scorer_of(trace)
    references = [
        _reference(scorer, name, path)
        for name, path in trace.reference.items()
        if scorer.says_something(path)
    ]
    cases = [
        _case(trace, scorer, name, case)
        for name, case in trace.cases.items()
        if _evaluated(scorer, case)
    ]
    if not references and not cases:
        raise TraceError(
            f"{trace.path} holds no evaluated examples: the run stopped before its first batch; "
            "run it again"
        )
    examples = len(trace.examples)
    sentences_per_example = 2 if trace.run.task_kind == "pairs" else 1
    return Summary(
        path=str(trace.path),
        study=tomllib.loads(trace.run.study).get("name", "study"),
        run=trace.run,
        examples=examples,
        tokens=int(trace.examples.tokens.sum()),
        sentences=examples * sentences_per_example,
        references=tuple(references),
        cases=tuple(cases),
        damage=trace.damage,
        chip_texts=trace.sources.chips,
    )


# ---------------------------------------------------------------- numbers that are none


def check_finite(trace: Trace) -> None:
    """Refuse a trace in which a number that a figure is made of is NaN, or infinite where it is no
    error ratio.

    Raises
    ------
    TraceError : with the place of the first
    """
    for name, path in trace.reference.items():
        _check_outputs(trace, f"reference {name}", path)
    for name, case in trace.cases.items():
        for number, chip in enumerate(case.chips, 1):
            where = f"chip {number} of case {name!r}"
            _check_outputs(trace, where, chip)
            _check_steps(trace, where, chip)


def _check_outputs(trace: Trace, where: str, path: Outputs) -> None:
    if not np.isfinite(path.output[path.done]).all():
        raise TraceError(f"{trace.path}: an output of {where} is not finite; {BROKEN}")
    if path.log_probability is None or trace.predictions is None:
        return
    values = path.log_probability[path.done[trace.predictions.example]]
    if not (np.isfinite(values) & (values <= 0)).all():
        raise TraceError(
            f"{trace.path}: a log-probability of {where} is not finite, or above 0; {BROKEN}"
        )


def _check_steps(trace: Trace, where: str, chip: Chip) -> None:
    steps: dict[str, TracedMatrix | TracedProduct | TracedFunction] = {
        **chip.layers,
        **chip.products,
        **chip.operations,
    }
    for name, step in steps.items():
        wrong = _not_finite(step.rows)
        if isinstance(step, TracedMatrix):
            wrong += _not_finite_of_matrix(step)
        if wrong:
            raise TraceError(f"{trace.path}: {wrong[0]} of {where}, {name} is not finite; {BROKEN}")


def _not_finite(rows: Rows) -> list[str]:
    """Data sets that hold a number that is none."""
    columns = columns_of(type(rows))
    return [name for name, values in arrays_of(rows).items() if not columns[name].is_valid(values)]


def _not_finite_of_matrix(matrix: TracedMatrix) -> list[str]:
    stated: dict[str, Any] = {"write_energy": matrix.attributes.write_energy}
    if matrix.attenuation is not None:
        stated["attenuation_mean"] = matrix.attenuation.mean
        stated["attenuation_std"] = matrix.attenuation.std
    if matrix.noise_error is not None:
        stated["read_noise_error"] = matrix.noise_error
    return [
        name for name, value in stated.items() if value is not None and not np.isfinite(value).all()
    ]


# ---------------------------------------------------------------- cases


def _reference(scorer: Scorer, name: str, path: Outputs) -> PathSummary:
    return PathSummary(
        name=name,
        metric=scorer.metric(path),
        examples=int(path.done.sum()),
        tokens=scorer.tokens([path]),
    )


def _evaluated(scorer: Scorer, case: Case) -> list[Chip]:
    """The chips of a case of which something can be said: all with the same examples, those of the
    first.
    """
    done = [chip for chip in case.chips if scorer.says_something(chip)]
    return [chip for chip in done if np.array_equal(chip.done, done[0].done)]


def _case(trace: Trace, scorer: Scorer, name: str, case: Case) -> CaseSummary:
    chips = _evaluated(scorer, case)
    found = [scorer.metric(chip) for chip in chips]
    values = tuple(metric.value for metric in found)
    chips_low, chips_high = metrics.over_chips(values, trace.run.metric)
    done = chips[0].done
    examples = int(done.sum())
    tokens = np.tile(trace.examples.tokens[done], len(chips))
    predicted = scorer.predictions(done)
    rows_of_logits = tokens if predicted is None else np.tile(predicted, len(chips))
    layers = _joined([chip.layers for chip in chips])
    products = _joined([chip.products for chip in chips])
    operations = _joined([chip.operations for chip in chips])
    return CaseSummary(
        name=name,
        metric=Estimate.mean(found),
        examples=examples,
        tokens=scorer.tokens(chips),
        study=case.study,
        chips=OverChips(values, chips_low, chips_high),
        change=scorer.change(chips),
        cost=cost_of([*layers.values(), *products.values()], examples * len(chips)),
        layers=tuple(
            matrix_summary(
                step, found, rows_of_logits if found.place.role is Role.LOGITS else tokens
            )
            for step, found in layers.items()
        ),
        products=tuple(product_summary(step, found, tokens) for step, found in products.items()),
        operations=tuple(
            function_summary(step, found, tokens) for step, found in operations.items()
        ),
    )


def _joined(chips: Sequence[Mapping[str, Step]]) -> dict[str, Step]:
    """{name: step} of several chips with their rows and tiles one after the other and their codes
    counted together; attributes are those of the first chip, counts of cells and joules among them.
    """
    joined = {}
    for name, first in chips[0].items():
        steps: list[Any] = [chip[name] for chip in chips]
        changes = {"rows": _one_after_the_other([step.rows for step in steps])}
        if isinstance(first, TracedMatrix) and first.attenuation is not None:
            changes["attenuation"] = _one_after_the_other([step.attenuation for step in steps])
        if isinstance(first, TracedMatrix) and first.noise_error is not None:
            changes["noise_error"] = np.concatenate([step.noise_error for step in steps])
        if isinstance(first, TracedMatrix) and first.codes is not None:
            changes["codes"] = _total([step.codes for step in steps])
        joined[name] = dataclasses.replace(first, **changes)
    return joined


def _total(histograms: Sequence[CodeHistogram]) -> CodeHistogram:
    counts = np.sum([histogram.counts for histogram in histograms], axis=0)
    beyond = np.sum([histogram.beyond for histogram in histograms], axis=0)
    return CodeHistogram(counts, beyond)


def _one_after_the_other(records: Sequence[Any]) -> Any:
    """One record of arrays, or of statistics in it, of several."""
    joined: dict[str, Any] = {}
    for name, first in vars(records[0]).items():
        parts = [getattr(record, name) for record in records]
        if isinstance(first, ErrorStatistics):
            joined[name] = _one_after_the_other(parts)
        else:
            joined[name] = np.concatenate(parts)
    return type(records[0])(**joined)
