"""The metric of every path: the verdict of a run in a sentence, cards, a picture and a table."""

from __future__ import annotations

from collections.abc import Sequence

from xbarsim.report.accuracy_and_cost import Row
from xbarsim.report.page import charts
from xbarsim.report.page.contents import Block, Card, Grid, Plot, Sheet
from xbarsim.report.page.metric_words import MetricWords, capital, quantity
from xbarsim.report.summary import REFERENCES, CaseSummary, PathSummary, Summary

DIGITAL = "digital reference"
ANALOG = "simulated chip"


def verdict(summary: Summary, words: MetricWords) -> tuple[str, ...]:
    """What the run found, of every case or of the best and the worst of them."""
    cases = summary.cases
    sentences = []
    if len(cases) == 1:
        sentences.append(f"{capital(words.name)} on the simulated chip: {_value(cases[0], words)}.")
        sentences.append(_change(cases[0], words))
    elif cases:
        best = best_of(cases, words)
        worst = worst_of(cases, words)
        sentences.append(
            f"{capital(words.name)} on the simulated chip: {_value(best, words)} at best (“{best.name}”), "
            f"{_value(worst, words)} at worst (“{worst.name}”)."
        )
        sentences.append(f"“{best.name}”: {_change(best, words)}")
        sentences.append(f"“{worst.name}”: {_change(worst, words)}")
    else:
        sentences.append("No case of this run has been evaluated.")
    found = [f"{REFERENCES[path.name]} {_value(path, words)}" for path in summary.references]
    if found:
        sentences.append(f"Without hardware: {', '.join(found)}.")
    return tuple(sentence for sentence in sentences if sentence)


def _value(path: PathSummary, words: MetricWords) -> str:
    return words.value(path.metric.value)


def best_of(cases: Sequence[CaseSummary], words: MetricWords) -> CaseSummary:
    """The case with the best metric, the first of several."""
    return min(cases, key=lambda case: words.loss(case.metric.value))


def worst_of(cases: Sequence[CaseSummary], words: MetricWords) -> CaseSummary:
    """The case with the worst metric, the last of several."""
    return max(reversed(cases), key=lambda case: words.loss(case.metric.value))


def _change(case: CaseSummary, words: MetricWords) -> str:
    """How far a case is from float32, how sure that is, and whether it is a difference at all."""
    change = case.change
    if change is None:
        return ""
    interval = f"95 % interval {words.change_interval(change)}"
    if round(100 * change.value, 2) == 0:
        return f"the same as float32 on {case.examples} examples ({interval})."
    side = "above" if change.value > 0 else "below"
    amount = f"{abs(100 * change.value):.2f}{words.points} {side} float32 ({interval})"
    if change.low <= 0 <= change.high:
        return f"{amount}; {case.examples} examples do not show that the difference is real."
    return f"{amount}."


# ---------------------------------------------------------------- cards


def cards(summary: Summary, rows: Sequence[Row], words: MetricWords) -> tuple[Card, ...]:
    """The references, the cases (of many the best and the worst), and what they cost."""
    found = [_metric_card(REFERENCES[path.name], path, words) for path in summary.references]
    cases = summary.cases
    if len(cases) <= 2:
        found += [_metric_card(case.name, case, words) for case in cases]
    else:
        best = best_of(cases, words)
        worst = worst_of(cases, words)
        found.append(_metric_card(f"best case: {best.name}", best, words))
        found.append(_metric_card(f"worst case: {worst.name}", worst, words))
    if cases:
        found.append(_energy_card(cases))
    if rows:
        found += _chip_cards(rows)
    return tuple(found)


def _metric_card(label: str, path: PathSummary, words: MetricWords) -> Card:
    metric = path.metric
    return Card(
        label=label,
        value=words.value(metric.value),
        note=f"{words.name}, 95 %: {words.interval(metric.low, metric.high)}",
    )


def _energy_card(cases: Sequence[CaseSummary]) -> Card:
    joules = [case.cost.joules for case in cases]
    return Card(
        label="energy of the products",
        value=_span(joules, "J"),
        note="per example, on hardware" + ("" if len(cases) == 1 else ", over the cases"),
    )


def _chip_cards(rows: Sequence[Row]) -> list[Card]:
    names = ", ".join(dict.fromkeys(row.result.chip for row in rows))
    return [
        Card(
            "energy of whole chips",
            _span([r.result.joules for r in rows], "J"),
            f"per sentence, {names}",
        ),
        Card("latency", _span([r.result.latency for r in rows], "s"), f"of a batch, {names}"),
        Card("area", f"{_span_of_area([r.result.area for r in rows])} mm²", names),
    ]


def _span(values: Sequence[float], unit: str) -> str:
    """One value, or the least and the largest."""
    least = quantity(min(values), unit)
    largest = quantity(max(values), unit)
    return _from_to(least, largest)


def _from_to(least: str, largest: str) -> str:
    if least == largest:
        return least
    return f"{least} to {largest}"


def _span_of_area(areas: Sequence[float]) -> str:
    least = f"{1e6 * min(areas):.4g}"
    largest = f"{1e6 * max(areas):.4g}"
    return _from_to(least, largest)


# ---------------------------------------------------------------- picture and table


def blocks(summary: Summary, words: MetricWords) -> list[Block]:
    """Every path beside each other."""
    return [_picture(summary, words), _table(summary, words)]


def _named(summary: Summary) -> list[tuple[str, str, PathSummary]]:
    """[(name, group, path)]"""
    named: list[tuple[str, str, PathSummary]] = []
    named += [(REFERENCES[path.name], DIGITAL, path) for path in summary.references]
    named += [(case.name, ANALOG, case) for case in summary.cases]
    return named


def _picture(summary: Summary, words: MetricWords) -> Plot:
    named = _named(summary)
    rows = [
        charts.Interval(
            name=name,
            group=group,
            value=words.scaled(path.metric.value),
            low=words.scaled(path.metric.low),
            high=words.scaled(path.metric.high),
        )
        for name, group, path in named
    ]
    return Plot(
        key="metric",
        title=f"{capital(words.name)} of every path",
        caption="Bars are 95 % intervals over the sampled examples. Paths were evaluated on the same examples, so "
        "that a difference is surer than the bars let think: the table has it with its own interval.",
        figure=charts.intervals(rows, words.axis, words.form.digits),
        sheet=Sheet(
            ("path", words.axis, "low", "high", "examples"),
            tuple(
                (row.name, row.value, row.low, row.high, path.examples)
                for row, (_, _, path) in zip(rows, named, strict=True)
            ),
        ),
        height=charts.height_of_rows([row.name for row in rows]),
    )


def _table(summary: Summary, words: MetricWords) -> Grid:
    header = [
        "path",
        words.axis,
        "95 % interval",
        f"change from float32 ({_unit(words)})",
        "examples",
    ]
    several = any(case.chips.several for case in summary.cases)
    if several:
        header += ["chips", "95 % over chips"]
    header.append("energy of the products")
    return Grid(
        key="metric",
        header=tuple(header),
        rows=tuple(_row(name, path, words, several) for name, _, path in _named(summary)),
    )


def _unit(words: MetricWords) -> str:
    return words.points.strip()


def _row(name: str, path: PathSummary, words: MetricWords, several: bool) -> tuple[str, ...]:
    form = words.form
    metric = path.metric
    interval = f"{form.value(metric.low)} to {form.value(metric.high)}"
    cells = [name, form.value(metric.value), interval]
    if not isinstance(path, CaseSummary):
        chips = ["–", "–"] if several else []
        return (*cells, "–", str(path.examples), *chips, "–")
    cells.append("–" if path.change is None else words.change(path.change))
    cells.append(str(path.examples))
    if several:
        over = path.chips
        cells.append(str(len(over.values)))
        if over.low is None or over.high is None:
            cells.append("–")
        else:
            cells.append(f"{form.value(over.low)} to {form.value(over.high)}")
    cells.append(quantity(path.cost.joules, "J"))
    return tuple(cells)
