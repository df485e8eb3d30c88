"""What is only assumed about a chip: values without a source, the ranges to sweep them over, and
the chip with others.
"""

from dataclasses import dataclass
from typing import Any

from xbarsim.chips.chip import resolve, stated_value
from xbarsim.chips.components import KEYS, SCALE

PRICES = tuple(KEYS[quantity] for quantity in ("energy", "area", "leakage"))


@dataclass(frozen=True)
class Assumption:
    """A value without a source: where it is, what it is, what it could be, and why.

    path : tuple of keys in the chip's content; shared : True for a component of the library, which
        every chip that uses
    it shares
    """

    label: str
    path: tuple
    value: Any
    ends: tuple
    why: str
    shared: bool

    @property
    def is_price(self):
        """Whether it is joules, square metres or leakage of a component: no event, no time and no
        count depends on it, and
        more of it is more whatever else is assumed."""
        return self.path[0] == "component" and self.path[-1] in PRICES


def assumptions(description):
    """Every Assumption behind a chip: its own `[[assumed]]` keys and the assumed quantities of the
    components it uses.
    """
    found = []
    chip = description.chip
    for entry in chip.assumed:
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
    names = dict.fromkeys(part.component for part, _ in chip.parts)
    for name in names:
        component = resolve(name, getattr(chip, "component", {}))
        for quantity in component.assumed:
            if quantity not in component.ranges:
                continue
            unit = SCALE[quantity]
            ends = tuple(bound / unit for bound in component.ranges[quantity])
            found.append(
                Assumption(
                    f"{name}: {KEYS[quantity]}",
                    ("component", name, KEYS[quantity]),
                    getattr(component, quantity) / unit,
                    ends,
                    component.source,
                    name not in getattr(chip, "component", {}),
                )
            )
    return found


def with_assumptions(description, chosen):
    """The description with assumptions at other values; chosen : ((Assumption, value), ...)."""
    edits = []
    for assumption, value in chosen:
        path = assumption.path
        if path[0] == "component" and path[1] not in description.content.get("component", {}):
            edits.append((("component", path[1], "base"), path[1]))
        edits.append((path, round(value) if isinstance(assumption.value, int) else value))
    return description.changed(*edits)
