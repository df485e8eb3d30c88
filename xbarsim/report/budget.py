"""An error budget: which effect costs how much, in which layers, and how sure that is.

`open_budget` reads a directory of `xbarsim budget`.  Costs are what a metric loses: differences of a
metric, of a perplexity of the mean loss of a token (its logarithm, in nats).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.files import replacing
from xbarsim.report.budget_outcomes import Outcomes, StepErrors, read_outcomes
from xbarsim.report.files import write_table
from xbarsim.studies.budget_points import BudgetPlan, Player, plan_budget
from xbarsim.studies.sweep_directory import open_directory
from xbarsim.tasks.language_metrics import PERPLEXITY
from xbarsim.tasks.metrics import NORMAL_975, student


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What is lost, above 0, or won, below it, with its 95 % interval.

    over_examples, over_chips, over_orders : half widths of the parts of the interval: of the sampled
        examples, of several chips, of sampled orders; their squares add
    """

    value: float
    over_examples: float
    over_chips: float | None = None
    over_orders: float | None = None

    @property
    def half(self) -> float:
        parts = (self.over_examples, self.over_chips or 0.0, self.over_orders or 0.0)
        return float(np.sqrt(np.square(parts).sum()))

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half


@dataclass(frozen=True, kw_only=True)
class EffectCost:
    """An effect, or a remedy.

    share : Shapley's, part of the total;  exact : the same without rounding
    alone : with this effect and no other, from none
    last : what is lost when this one joins all the others: what would be won without it
    """

    name: str
    remedy: bool
    share: Cost
    exact: Fraction
    alone: Cost
    last: Cost


@dataclass(frozen=True, kw_only=True)
class PlaceCost:
    """A layer, a role or another part of the model.

    only : with all effects there and none elsewhere, from none
    last : what is lost when this place joins all the others
    """

    name: str
    only: Cost
    last: Cost


@dataclass(frozen=True, kw_only=True)
class ErrorBudget:
    """Where the loss of a case comes from.

    metric : as it is, of a perplexity `perplexity`, whose costs are nats of a token
    float32, ideal, chip : of the float32 path, of arrays without any of the effects, of the case: means
        over chips, of a perplexity the mean loss in nats
    total : from ideal to chip, what the effects share
    rest : from float32 to ideal: mapping, and what was left out of the budget but acts
    steps : errors of every step on the chip
    evaluations : chips with other effects, those of single places aside;  orders : sampled, 0 if exact
    """

    directory: Path
    study: str
    case: str
    model: str
    task: str
    metric: str
    examples: int
    chips: int
    units: int
    float32: float
    ideal: float
    chip: float
    total: Cost
    rest: Cost
    effects: tuple[EffectCost, ...]
    places: tuple[PlaceCost, ...]
    steps: tuple[StepErrors, ...]
    evaluations: int
    orders: int
    without: tuple[str, ...]

    @property
    def in_nats(self) -> bool:
        return self.metric == PERPLEXITY

    def ordered(self) -> list[EffectCost]:
        """The effects, the dearest first."""
        return sorted(self.effects, key=lambda effect: -effect.share.value)


def open_budget(directory: str | Path) -> ErrorBudget:
    """The error budget of a directory of `xbarsim budget`.

    Parameters
    ----------
    directory : that `--out` named

    Returns
    -------
    ErrorBudget : `total`, `effects`, `places`, `steps`

    Raises
    ------
    ConfigError : it holds no budget, or one whose chips are not all evaluated
    TraceError : a trace of it is damaged
    """
    opened = open_directory(directory, "budget")
    study = opened.study
    assert study.budget is not None
    plan = plan_budget(study)
    outcomes = read_outcomes(opened, plan)
    sums = _Sums(plan, outcomes)
    everyone = plan.case_of(plan.game.everyone)
    none = plan.case_of(0)
    return ErrorBudget(
        directory=opened.path,
        study=study.name,
        case=study.budget.case or study.cases()[0][0],
        model=outcomes.model,
        task=outcomes.task,
        metric=outcomes.metric,
        examples=outcomes.examples,
        chips=outcomes.chips,
        units=outcomes.units,
        float32=outcomes.float32.value,
        ideal=outcomes.mean(none),
        chip=outcomes.mean(everyone),
        total=sums.between(none, everyone),
        rest=sums.from_float32(none),
        effects=sums.effects(),
        places=sums.places(),
        steps=outcomes.steps,
        evaluations=len(plan.game.coalitions),
        orders=len(plan.game.orders),
        without=study.budget.without,
    )


class _Sums:
    """Costs of the cases of a budget, with their intervals."""

    def __init__(self, plan: BudgetPlan, outcomes: Outcomes) -> None:
        self.plan = plan
        self.outcomes = outcomes

    def effects(self) -> tuple[EffectCost, ...]:
        game = self.plan.game
        cases = [self.plan.case_of(coalition) for coalition in game.coalitions]
        exact = game.shares(
            {
                coalition: self.outcomes.lost(case)
                for coalition, case in zip(game.coalitions, cases, strict=True)
            }
        )
        weights = game.matrix()
        of_pairs = self._of_pairs()
        found = []
        for number, player in enumerate(self.plan.players):
            share = self.cost(cases, weights[number])
            over_orders = None if of_pairs is None else _over(of_pairs[:, number])
            share = replace(share, value=float(exact[number]), over_orders=over_orders)
            found.append(self._effect(player, exact[number], share))
        return tuple(found)

    def _of_pairs(self) -> Floats | None:
        """(pairs, players): shares by each pair of orders; None where the shares are exact."""
        game = self.plan.game
        if game.exact:
            return None
        values = {
            coalition: self.outcomes.lost(self.plan.case_of(coalition))
            for coalition in game.coalitions
        }
        return np.array([[float(share) for share in pair.shares(values)] for pair in game.pairs])

    def _effect(self, player: Player, exact: Fraction, share: Cost) -> EffectCost:
        number = self.plan.players.index(player)
        game = self.plan.game
        own = self.plan.case_of(1 << number)
        others = self.plan.case_of(game.everyone ^ (1 << number))
        return EffectCost(
            name=player.name,
            remedy=player.remedy,
            share=share,
            exact=exact,
            alone=self.between(self.plan.case_of(0), own),
            last=self.between(others, self.plan.case_of(game.everyone)),
        )

    def places(self) -> tuple[PlaceCost, ...]:
        none = self.plan.case_of(0)
        everyone = self.plan.case_of(self.plan.game.everyone)
        return tuple(
            PlaceCost(
                name=place,
                only=self.between(none, self.plan.only(place)),
                last=self.between(self.plan.all_but(place), everyone),
            )
            for place in self.plan.places
        )

    def between(self, before: str, after: str) -> Cost:
        """What is lost from one case to another."""
        return self.cost([before, after], np.array([-1.0, 1.0]))

    def from_float32(self, case: str) -> Cost:
        """What is lost from float32 to a case."""
        outcomes = self.outcomes
        reference = outcomes.float32
        lost = outcomes.draws(case) - outcomes.sign * reference.draws
        return Cost(
            value=outcomes.lost(case) - outcomes.sign * reference.value,
            over_examples=self._over_examples(lost),
            over_chips=_over(outcomes.of_chips([case])[:, 0]),
        )

    def cost(self, cases: Sequence[str], weights: Floats) -> Cost:
        """A weighted sum of what cases lose."""
        lost = np.array([self.outcomes.lost(case) for case in cases])
        draws = np.array([self.outcomes.draws(case) for case in cases])
        return Cost(
            value=float(weights @ lost),
            over_examples=self._over_examples(weights @ draws),
            over_chips=_over(self.outcomes.of_chips(cases) @ weights),
        )

    def _over_examples(self, draws: Floats) -> float:
        """Half width over the sampled examples: of an accuracy with one example more that is newly right
        and one that is newly wrong (Bonett and Price 2012), so that few examples are not sure.
        """
        variance = float(draws.var(ddof=1))
        if self.outcomes.is_share:
            variance += 2 / (self.outcomes.units + 2) ** 2
        return float(NORMAL_975 * variance**0.5)


def _over(values: Floats) -> float | None:
    """Half width of the mean of values (n,) by Student's t; None of one."""
    if len(values) < 2:
        return None
    return float(student(len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


# ---------------------------------------------------------------- plain values


def unit_of(budget: ErrorBudget) -> str:
    """Of costs: the metric, as a share of one, or nats of a token."""
    if budget.in_nats:
        return "nats"
    return budget.metric


def to_json(budget: ErrorBudget) -> dict[str, Any]:
    """Plain values, in the metric's own unit, of a perplexity nats of a token."""
    return {
        "directory": str(budget.directory),
        "study": budget.study,
        "case": budget.case,
        "model": budget.model,
        "task": budget.task,
        "metric": budget.metric,
        "unit": unit_of(budget),
        "examples": budget.examples,
        "chips": budget.chips,
        "evaluations": budget.evaluations,
        "sampled_orders": budget.orders,
        "without": list(budget.without),
        "float32": budget.float32,
        "ideal": budget.ideal,
        "chip": budget.chip,
        "total": _plain(budget.total),
        "rest": _plain(budget.rest),
        "effects": [
            {
                "name": effect.name,
                "remedy": effect.remedy,
                "share": _plain(effect.share),
                "alone": _plain(effect.alone),
                "last": _plain(effect.last),
            }
            for effect in budget.effects
        ],
        "places": [
            {"name": place.name, "only": _plain(place.only), "last": _plain(place.last)}
            for place in budget.places
        ],
        "steps": [step.plain() for step in budget.steps],
    }


def write_files(budget: ErrorBudget, directory: str | Path) -> list[Path]:
    """budget.json, as of `to_json`, and budget.csv: the costs of effects and places."""
    path = Path(directory) / "budget.json"
    with replacing(path) as file:
        json.dump(to_json(budget), file, indent=1)
        file.write("\n")
    rows: list[list[object]] = [["all", "total", *_plain(budget.total).values()]]
    for effect in budget.effects:
        rows.append([effect.name, "share", *_plain(effect.share).values()])
        rows.append([effect.name, "alone", *_plain(effect.alone).values()])
        rows.append([effect.name, "last", *_plain(effect.last).values()])
    for place in budget.places:
        rows.append([place.name, "only", *_plain(place.only).values()])
        rows.append([place.name, "last", *_plain(place.last).values()])
    table = Path(directory) / "budget.csv"
    unit = unit_of(budget)
    write_table(
        table, ["name", "cost", *_plain(budget.total), "unit"], [[*row, unit] for row in rows]
    )
    return [path, table]


def _plain(cost: Cost) -> dict[str, float | None]:
    return {
        "value": cost.value,
        "low": cost.low,
        "high": cost.high,
        "over_examples": cost.over_examples,
        "over_chips": cost.over_chips,
        "over_orders": cost.over_orders,
    }
