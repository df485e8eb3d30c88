"""An error budget as a part of a page: which effect costs how much, and where."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from xbarsim.config.study import Study
from xbarsim.report import budget_text
from xbarsim.report.budget import Cost, ErrorBudget
from xbarsim.report.budget_text import Form, title_of
from xbarsim.report.page import charts
from xbarsim.report.page.contents import (
    Block,
    Card,
    Cell,
    Command,
    Fold,
    Grid,
    Listing,
    Part,
    Plot,
    Points,
    Section,
    Sheet,
)
from xbarsim.report.page.error_section import label_of_name
from xbarsim.report.page.metric_words import MetricWords, capital, last_name, typeset, words_of

Named = dict[str, list[Cost]]


def budget_part(budget: ErrorBudget, study: Study) -> Part:
    """Everything that a directory of `xbarsim budget` says."""
    words = words_of(budget.metric)
    chips = "1 chip" if budget.chips == 1 else f"{budget.chips} chips"
    return Part(
        title=budget.study,
        subtitle=f"Error budget of “{budget.case}”: {last_name(budget.model)} on "
        f"{last_name(budget.task)}, {budget.examples:,} examples, {chips}",
        verdict=(_lost(budget, words), budget_text.verdict(budget)),
        cards=_cards(budget, words),
        alarms=(),
        sections=(
            Section("What each effect costs", _effects(budget)),
            Section("Where it is lost", _places(budget)),
            Section("Errors of every step", _steps(budget)),
            Section("What was run, and how to repeat it", _origin(budget, study)),
        ),
    )


def _lost(budget: ErrorBudget, words: MetricWords) -> str:
    """How much is lost, and to what most of it."""
    form = Form(budget)
    what = f"{_unit(budget, words)} of {words.name}"
    if budget.in_nats:
        what = "nats of the mean loss of a token"
    sentence = (
        f"{typeset(form.value(budget.total.value))} {what} are lost to these effects (95 % interval "
        f"{_interval(budget.total, form)})."
    )
    costly = [effect for effect in budget.ordered() if effect.share.value > 0]
    if not costly:
        return sentence
    first = costly[0]
    share = typeset(form.value(first.share.value))
    return f"{sentence} The largest share, {share}, is {title_of(first.name)}."


def _unit(budget: ErrorBudget, words: MetricWords) -> str:
    """Of what is lost."""
    if budget.in_nats:
        return "nats"
    return words.points.strip()


def _interval(cost: Cost, form: Form) -> str:
    return typeset(f"{form.value(cost.low)} .. {form.value(cost.high)}")


def _cards(budget: ErrorBudget, words: MetricWords) -> tuple[Card, ...]:
    form = Form(budget)
    unit = words.unit
    note = words.name
    if budget.in_nats:
        unit = ""
        note = "mean loss of a token, nats"
    return (
        Card("float32", form.value(budget.float32) + unit, note),
        Card("arrays without these effects", form.value(budget.ideal) + unit, note),
        Card("with all of them", form.value(budget.chip) + unit, note),
        Card(
            "lost to them",
            f"{typeset(form.value(budget.total.value))} {_unit(budget, words)}",
            f"95 %: {_interval(budget.total, form)}",
        ),
    )


# ---------------------------------------------------------------- effects and places


def _effects(budget: ErrorBudget) -> list[Block]:
    effects = budget.ordered()
    names = [title_of(effect.name) for effect in effects]
    costs = {
        "share (they sum to the loss)": [effect.share for effect in effects],
        "alone": [effect.alone for effect in effects],
        "won without it": [effect.last for effect in effects],
    }
    header, rows = budget_text.effect_table(budget)
    return [
        _bars(
            budget,
            key="effects",
            title="Loss by effect",
            caption="Above 0 is lost, below it is won. Grey bars are 95 % intervals.",
            names=names,
            costs=costs,
        ),
        _grid("effects", header, rows),
        Points(tuple(map(capital, budget_text.how_shared(budget)))),
    ]


def _places(budget: ErrorBudget) -> list[Block]:
    if not budget.places:
        return []
    costs = {
        "errors only there": [place.only for place in budget.places],
        "won without errors there": [place.last for place in budget.places],
    }
    header, rows = budget_text.place_table(budget)
    return [
        _bars(
            budget,
            key="places",
            title="Loss by place",
            caption="Errors in one place and ideal arrays elsewhere; and what is won with ideal arrays there alone.",
            names=[place.name for place in budget.places],
            costs=costs,
        ),
        _grid("places", header, rows),
    ]


def _grid(key: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Grid:
    """A text table, whose first column is names."""
    return Grid(key, header, tuple(map(_in_words, rows)))


def _in_words(row: Sequence[str]) -> tuple[str, ...]:
    name, *figures = row
    return (name, *(typeset(cell).replace("_", " ") for cell in figures))


def _bars(
    budget: ErrorBudget, *, key: str, title: str, caption: str, names: Sequence[str], costs: Named
) -> Plot:
    """Bars of costs with intervals, a row for every name."""
    form = Form(budget)
    bars = [
        charts.Bars(
            name=name,
            values=_scaled(form, found, lambda cost: cost.value),
            low=_scaled(form, found, lambda cost: cost.low),
            high=_scaled(form, found, lambda cost: cost.high),
        )
        for name, found in costs.items()
    ]
    rows: list[tuple[Cell, ...]] = [
        (name, one.name, *values)
        for one in bars
        for name, *values in zip(names, one.values, one.low, one.high, strict=True)
    ]
    return Plot(
        key=key,
        title=title,
        caption=caption,
        figure=charts.grouped(names, bars, f"lost, {form.unit}", form.digits),
        sheet=Sheet(("name", "cost", f"lost ({form.unit})", "low", "high"), tuple(rows)),
        height=charts.height_of_rows(names, least=22 * len(bars)) + 20,
    )


def _scaled(form: Form, costs: Sequence[Cost], value: Callable[[Cost], float]) -> list[float]:
    return [form.scale * value(cost) for cost in costs]


# ---------------------------------------------------------------- steps


def _steps(budget: ErrorBudget) -> list[Block]:
    header, rows = budget_text.step_table(budget)
    return [_noise(budget), _grid("steps", header, rows)]


def _noise(budget: ErrorBudget) -> Plot:
    """Local noise over signal of every step, stacked by effect."""
    steps = budget.steps
    parts: dict[str, list[float]] = {}
    for effect in budget.ordered():
        parts[title_of(effect.name)] = [
            100 * 10 ** (-step.local_snr_db / 10) * max(step.shares.get(effect.name, 0.0), 0.0)
            for step in steps
        ]
    rows: list[tuple[Cell, ...]] = [
        (step.name, effect, values[number])
        for effect, values in parts.items()
        for number, step in enumerate(steps)
    ]
    return Plot(
        key="noise",
        title="Local errors of every step, by effect",
        caption="Power of the error over that of the signal, of every step by itself; colours say which effect "
        "makes it.",
        figure=charts.columns(
            [label_of_name(step.name) for step in steps],
            parts,
            charts.Axes(
                "step, in the order of execution", "noise over signal (%)", x_type="category"
            ),
        ),
        sheet=Sheet(("step", "effect", "noise over signal (%)"), tuple(rows)),
        height=420,
    )


def _origin(budget: ErrorBudget, study: Study) -> list[Block]:
    directory = str(budget.directory)
    name = f"{budget.study}.toml"
    return [
        Command(
            shlex.join(["xbarsim", "budget", name, "--out", "DIRECTORY"]),
            "The same budget again, from the text of its study, which is below:",
        ),
        Command(
            shlex.join(["xbarsim", "report", directory, "--json"]),
            "Every figure of this page as JSON:",
        ),
        Fold("The study", (Listing(name, study.to_toml()),)),
    ]
