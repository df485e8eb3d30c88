"""What the traces of an error budget say: the metric of every case on every chip, and the errors of every
step by the effects that are on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError
from xbarsim.models.graph import Role
from xbarsim.report.steps import snr_db
from xbarsim.report.summary import check_finite
from xbarsim.studies.budget_points import BudgetPlan
from xbarsim.studies.resampling import Outcome, Resampler
from xbarsim.studies.scores import Scorer, scorer_of
from xbarsim.studies.sweep_directory import State, SweepDirectory
from xbarsim.studies.trace import (
    Chip,
    Trace,
    TracedFunction,
    TracedMatrix,
    TracedProduct,
)
from xbarsim.studies.trace_reader import read_trace
from xbarsim.tasks.language_metrics import PERPLEXITY


@dataclass(frozen=True)
class StepErrors:
    """A step on the chip.

    local_snr_db, accumulated_snr_db : for the same inputs, and against the float32 path; means over
        chips of noise over signal, in dB
    shares : {effect: Shapley's share of the local noise over signal}, of all 1; empty without noise
    adc_saturated : share of the conversions, None of functions
    """

    name: str
    layer: int | None
    local_snr_db: float
    accumulated_snr_db: float
    shares: dict[str, float]
    adc_saturated: float | None

    def plain(self) -> dict[str, Any]:
        """Plain values, infinite ones as None."""
        return vars(self) | {
            "local_snr_db": _finite(self.local_snr_db),
            "accumulated_snr_db": _finite(self.accumulated_snr_db),
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class _Noise:
    """{step: noise over signal} of a chip."""

    local: dict[str, float]
    accumulated: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """sign : -1 of a metric that should be high, 1 of a loss
    is_share : whether the metric is the share of right examples
    cases : {case: outcome of every chip}
    """

    model: str
    task: str
    metric: str
    sign: int
    is_share: bool
    examples: int
    units: int
    chips: int
    float32: Outcome
    cases: dict[str, list[Outcome]]
    steps: tuple[StepErrors, ...]

    def mean(self, case: str) -> float:
        """The metric of a case, mean over its chips."""
        return float(np.mean([chip.value for chip in self.cases[case]]))

    def lost(self, case: str) -> float:
        """The metric as a loss: what should be small."""
        return self.sign * self.mean(case)

    def draws(self, case: str) -> Floats:
        """(b,) what is lost on examples drawn again, mean over chips."""
        drawn: Floats = np.mean([chip.draws for chip in self.cases[case]], axis=0)
        return self.sign * drawn

    def of_chips(self, cases: Sequence[str]) -> Floats:
        """(chips, cases) what is lost."""
        values = [[chip.value for chip in self.cases[case]] for case in cases]
        return self.sign * np.array(values).T


def read_outcomes(opened: SweepDirectory, plan: BudgetPlan) -> Outcomes:
    """The outcomes of a budget's directory.

    Raises
    ------
    ConfigError : a point of it has not been run, or could not be
    """
    _check_done(opened)
    reader = _Reader()
    for point in opened.points:
        reader.add(read_trace(opened.trace(point)))
    run = reader.first.run
    case = reader.cases[plan.case_of(plan.game.everyone)]
    return Outcomes(
        model=run.model,
        task=run.task,
        metric=run.metric,
        sign=1 if run.metric == PERPLEXITY else -1,
        is_share=run.metric.startswith("accuracy"),
        examples=len(reader.first.examples),
        units=reader.resampler.units,
        chips=len(case),
        float32=reader.float32,
        cases=reader.cases,
        steps=_steps(reader, plan),
    )


def _check_done(opened: SweepDirectory) -> None:
    missing = 0
    for point in opened.points:
        state = opened.state(point)
        if state is State.FAILED:
            reason = opened.failure(point).read_text(encoding="utf-8").strip()
            raise ConfigError(f"{point.name} of {opened.path} could not be run: {reason}")
        missing += state is not State.DONE
    if missing:
        raise ConfigError(
            f"{missing} of {len(opened.points)} points of {opened.path} are not done; go on with "
            f"xbarsim budget --resume {opened.path}"
        )


class _Reader:
    """Traces one after the other; of each only its figures are kept."""

    def __init__(self) -> None:
        self.cases: dict[str, list[Outcome]] = {}
        self.noise: dict[str, _Noise] = {}

    def add(self, trace: Trace) -> None:
        check_finite(trace)
        scorer = scorer_of(trace)
        if not self.cases:
            self.first = trace
            reference = trace.reference["float32"]
            self.resampler = Resampler(scorer.units(reference), trace.run.seed)
            self.float32 = scorer.outcome(reference, self.resampler)
        for name, case in trace.cases.items():
            self.cases[name] = [scorer.outcome(chip, self.resampler) for chip in case.chips]
            self.noise[name] = _mean_noise([_noise(trace, scorer, chip) for chip in case.chips])


def _steps_of(chip: Chip) -> dict[str, TracedMatrix | TracedProduct | TracedFunction]:
    return {**chip.layers, **chip.products, **chip.operations}


def _noise(trace: Trace, scorer: Scorer, chip: Chip) -> _Noise:
    tokens = trace.examples.tokens
    predicted = scorer.predictions(chip.done)
    local = {}
    accumulated = {}
    for name, step in _steps_of(chip).items():
        rows = tokens
        if step.place.role is Role.LOGITS and predicted is not None:
            rows = predicted
        local[name] = 10 ** (-snr_db(step.rows.local, rows) / 10)
        accumulated[name] = 10 ** (-snr_db(step.rows.accumulated, rows) / 10)
    return _Noise(local, accumulated)


def _mean_noise(chips: Sequence[_Noise]) -> _Noise:
    return _Noise(
        local=_means([chip.local for chip in chips]),
        accumulated=_means([chip.accumulated for chip in chips]),
    )


def _means(chips: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([chip[name] for chip in chips])) for name in chips[0]}


def _steps(reader: _Reader, plan: BudgetPlan) -> tuple[StepErrors, ...]:
    whole = plan.case_of(plan.game.everyone)
    noise = reader.noise[whole]
    found = []
    for name, step in _steps_of(_first_chip(reader, whole)).items():
        saturated = None
        if not isinstance(step, TracedFunction):
            conversions = int(step.rows.adc_conversions.sum())
            saturated = float(step.rows.adc_saturations.sum() / max(conversions, 1))
        errors = StepErrors(
            name=name,
            layer=step.place.layer,
            local_snr_db=_decibel(noise.local[name]),
            accumulated_snr_db=_decibel(noise.accumulated[name]),
            shares=_local_shares(reader, plan, name),
            adc_saturated=saturated,
        )
        found.append(errors)
    return tuple(found)


def _local_shares(reader: _Reader, plan: BudgetPlan, name: str) -> dict[str, float]:
    """Shapley's shares of the local noise over signal of a step; where the step is left in float32 it
    has none.
    """
    coalitions = plan.game.coalitions
    noise = [reader.noise[plan.case_of(found)].local.get(name, 0.0) for found in coalitions]
    shares = plan.game.matrix() @ np.array(noise)
    total = noise[-1] - noise[0]
    if not np.isfinite(shares).all() or total <= 0:
        return {}
    return dict(zip(plan.names, (shares / total).tolist(), strict=True))


def _first_chip(reader: _Reader, case: str) -> Chip:
    return reader.first.cases[case].chips[0]


def _decibel(noise: float) -> float:
    """SNR of noise over signal."""
    if noise == 0:
        return math.inf
    return -10 * math.log10(noise)
