"""Where energy and area go: of the simulated products, and of whole chips where cases name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xbarsim.base.units import prefixed
from xbarsim.chips.compare import FIGURES, printed
from xbarsim.report.accuracy_and_cost import Row
from xbarsim.report.page import charts
from xbarsim.report.page.contents import Block, Cell, Grid, Plot, Points, Sheet
from xbarsim.report.page.metric_words import quantity
from xbarsim.report.summary import CaseSummary

MOST_PARTS = 7  # of a chip that have a colour; smaller ones are drawn as one
OTHERS = "others"


@dataclass(frozen=True)
class _Breakdown:
    """What is broken down.

    named : {name: {part: value}} in `unit`
    """

    key: str
    title: str
    caption: str
    quantity: str
    unit: str
    named: Mapping[str, Mapping[str, float]]


def blocks(cases: Sequence[CaseSummary], rows: Sequence[Row]) -> list[Block]:
    """Energy of products, and energy and area of chips."""
    found: list[Block] = []
    if cases:
        found += [_drawn(_products(cases)), _table(cases), _events(cases)]
    if rows:
        found += [_chips(rows), _drawn(_chip_energy(rows)), _drawn(_chip_area(rows))]
        found.append(_remarks(rows))
    return found


def _products(cases: Sequence[CaseSummary]) -> _Breakdown:
    return _Breakdown(
        key="energy",
        title="Energy of the products on hardware",
        caption="Per example: counted events times the prices of the component library, and what the circuit "
        "solution says that drivers deliver into cells and wires. Functions, buffers and data movement are "
        "not in it.",
        quantity="energy",
        unit="J",
        named={case.name: case.cost.energy for case in cases},
    )


def _chip_energy(rows: Sequence[Row]) -> _Breakdown:
    return _Breakdown(
        key="chip-energy",
        title="Energy of whole chips by component",
        caption="Per sentence, with functions, buffers, movement, control and leakage.",
        quantity="energy",
        unit="J",
        named={_name(row): row.result.by_component() for row in rows},
    )


def _chip_area(rows: Sequence[Row]) -> _Breakdown:
    return _Breakdown(
        key="chip-area",
        title="Area of whole chips by component",
        caption="All chips that the model needs.",
        quantity="area",
        unit="m²",
        named={_name(row): row.result.area_by_role for row in rows},
    )


def _name(row: Row) -> str:
    return f"{row.case} on {row.result.chip}"


def _drawn(found: _Breakdown) -> Plot:
    """A bar for every name, in a unit that suits the largest."""
    scale, unit = prefixed(max(sum(parts.values()) for parts in found.named.values()), found.unit)
    axis = f"{found.quantity} ({unit})"
    names = list(found.named)
    parts = {part: _values(found.named, part, scale) for part in _parts(found.named)}
    rows: list[tuple[Cell, ...]] = [
        (name, part, value)
        for name, of_name in found.named.items()
        for part, value in of_name.items()
    ]
    return Plot(
        key=found.key,
        title=found.title,
        caption=found.caption,
        figure=charts.stacked(names, _with_others(parts), axis),
        sheet=Sheet(("name", "part", f"{found.quantity} ({found.unit})"), tuple(rows)),
        height=charts.height_of_rows(names, least=44) + 20,
    )


def _values(named: Mapping[str, Mapping[str, float]], part: str, scale: float) -> Sequence[float]:
    """A part of every name, over a scale."""
    return [parts.get(part, 0.0) / scale for parts in named.values()]


def _parts(named: Mapping[str, Mapping[str, float]]) -> list[str]:
    """All parts that are anything, the largest first."""
    largest: dict[str, float] = {}
    for parts in named.values():
        for part, value in parts.items():
            largest[part] = max(value, largest.get(part, 0.0))
    found = [part for part, value in largest.items() if value > 0]
    return sorted(found, key=lambda part: -largest[part])


def _with_others(parts: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """The parts, of which the last are one where they are many."""
    names = list(parts)
    if len(names) <= MOST_PARTS:
        return dict(parts)
    kept = names[: MOST_PARTS - 1]
    rest = [parts[name] for name in names[MOST_PARTS - 1 :]]
    shown = {name: parts[name] for name in kept}
    shown[OTHERS] = [sum(values) for values in zip(*rest, strict=True)]
    return shown


# ---------------------------------------------------------------- tables


def _table(cases: Sequence[CaseSummary]) -> Grid:
    parts = _parts({case.name: case.cost.energy for case in cases})
    return Grid(
        key="energy",
        header=("case", *parts, "sum"),
        rows=tuple(_energies(case, parts) for case in cases),
        caption="Energy per example.",
    )


def _energies(case: CaseSummary, parts: Sequence[str]) -> tuple[str, ...]:
    cells = [quantity(case.cost.energy.get(part, 0.0), "J") for part in parts]
    return (case.name, *cells, quantity(case.cost.joules, "J"))


def _events(cases: Sequence[CaseSummary]) -> Grid:
    names = list(dict.fromkeys(event for case in cases for event in case.cost.events))
    return Grid(
        key="events",
        header=("case", *map(_event, names)),
        rows=tuple(_counts(case, names) for case in cases),
        caption="Counted events per example.",
    )


def _counts(case: CaseSummary, events: Sequence[str]) -> tuple[str, ...]:
    return (case.name, *(f"{case.cost.events.get(event, 0.0):,.0f}" for event in events))


def _event(name: str) -> str:
    """An event in words."""
    return name.replace("_", " ").replace("adc", "ADC").replace("dac", "DAC")


def _chips(rows: Sequence[Row]) -> Grid:
    return Grid(
        key="chips",
        header=("case on chip", *(figure.heading for figure in FIGURES.values())),
        rows=tuple((_name(row), *printed(row.result)) for row in rows),
        caption="The model on whole chips; energy per sentence.",
    )


def _remarks(rows: Sequence[Row]) -> Points:
    sentences = []
    for row in rows:
        result = row.result
        sentences.append(
            f"{_name(row)}: {result.sequence} tokens per sentence (mean), batch {result.batch}; array reads "
            f"{result.read_energy}."
        )
        if row.differs:
            sentences.append(
                f"{_name(row)}: the metric is of another organisation (case/chip): {', '.join(row.differs)}."
            )
    return Points(tuple(dict.fromkeys(sentences)))
