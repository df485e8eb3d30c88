"""What is only assumed about a chip: values without a source, the ranges to sweep them over, and
the chip with others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from xbarsim.chips.components import KEYS, SCALE
from xbarsim.chips.files.parts import resolve
from xbarsim.chips.load import Description, Edit, stated_value

Grid = tuple[tuple[str, ...], list[tuple[str, ...]]]  # header and rows of a table
PRICES = tuple(KEYS[quantity] for quantity in ("energy", "area", "leakage"))


@dataclass(frozen=True)
class Assumption:
    """A value without a source: where it is, what it is, what it could be, and why.

    path : keys in the chip's content
    ends : the least and the largest value, or the first and the last choice
    shared : True for a component of the library, which every chip that uses it shares
    """

    label: str
    path: tuple[str, ...]
    value: Any
    ends: tuple[Any, Any]
    why: str
    shared: bool

    @property
    def is_price(self) -> bool:
        """Whether it is joules, square metres or leakage of a component: no event, no time and no
        count depends on it, and more of it is more whatever else is assumed.
        """
        return self.path[0] == "component" and self.path[-1] in PRICES


def assumptions(description: Description) -> list[Assumption]:
    """Every Assumption behind a chip: its own `[[assumed]]` keys and the assumed quantities of the
    components it uses.
    """
    found = []
    for entry in description.chip.assumed:
        found.append(
            Assumption(
                label=f"{description.name}: {entry.key}",
                path=tuple(entry.key.split(".")),
                value=stated_value(description, entry),
                ends=entry.ends,
                why=entry.why,
                shared=False,
            )
        )
    for name in dict.fromkeys(part.component for part, _ in description.chip.parts):
        found += _of_component(name, description)
    return found


def _of_component(name: str, description: Description) -> Iterator[Assumption]:
    """What is assumed about one component, in the units of its keys."""
    own = description.chip.own_components
    component = resolve(name, own)
    for quantity in component.assumed:
        if quantity not in component.ranges:
            continue
        unit = SCALE[quantity]
        low, high = component.ranges[quantity]
        yield Assumption(
            label=f"{name}: {KEYS[quantity]}",
            path=("component", name, KEYS[quantity]),
            value=getattr(component, quantity) / unit,
            ends=(low / unit, high / unit),
            why=component.source,
            shared=name not in own,
        )


def with_assumptions(
    description: Description, chosen: Iterable[tuple[Assumption, Any]]
) -> Description:
    """The description with assumptions at other values."""
    edits: list[Edit] = []
    for assumption, value in chosen:
        path = assumption.path
        if path[0] == "component" and path[1] not in description.content.get("component", {}):
            edits.append((("component", path[1], "base"), path[1]))
        if isinstance(assumption.value, int):
            value = round(value)
        edits.append((path, value))
    return description.changed(*edits)


def overview(descriptions: Iterable[Description]) -> Grid:
    """(header, rows) of strings: one row a chip, with how many of its values are assumed."""
    rows: list[tuple[str, ...]] = []
    for description in descriptions:
        chip = description.chip
        count = str(len(assumptions(description)))
        node = f"{chip.node_nm:g} nm"
        rows.append((description.name, chip.kind, node, count, chip.description))
    return ("name", "kind", "node", "assumed values", "what"), rows


def overview_json(descriptions: Iterable[Description]) -> list[dict[str, Any]]:
    """The content of `overview` as plain values."""
    return [
        {
            "name": description.name,
            "kind": description.chip.kind,
            "node_nm": description.chip.node_nm,
            "assumed_values": len(assumptions(description)),
            "description": description.chip.description,
        }
        for description in descriptions
    ]


def as_json(description: Description) -> list[dict[str, Any]]:
    """The content of `table` as plain values, in the unit that the name of the key ends in."""
    return [
        {
            "assumed": found.label,
            "value": found.value,
            "from": found.ends[0],
            "to": found.ends[1],
            "why": found.why,
        }
        for found in assumptions(description)
    ]


def table(description: Description) -> Grid:
    """(header, rows) of strings: one row an assumption behind a chip."""
    rows: list[tuple[str, ...]] = []
    for found in assumptions(description):
        low, high = map(_printed, found.ends)
        rows.append((found.label, _printed(found.value), low, high, found.why))
    return ("assumed", "value", "from", "to", "why"), rows


def _printed(value: str | float) -> str:
    """A choice as it is, a number with four figures."""
    if isinstance(value, str):
        return value
    return f"{value:.4g}"
