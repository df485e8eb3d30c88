"""Chips side by side, and a figure swept over everything about it that is only assumed."""
import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.chip import Assumption, assumptions, with_assumptions
from xbarsim.errors import ConfigError
from xbarsim.files import replacing
from xbarsim.rollup import roll_up
from xbarsim.units import MICRO, MILLI, SQUARE_MILLIMETRE, engineering

TERA = 1e12
# figure -> (heading, scale, value of a RollUp in SI units)
FIGURES = {
    "area": ("area (mm²)", SQUARE_MILLIMETRE, lambda r: r.area),
    "latency": ("latency (ms)", MILLI, lambda r: r.latency),
    "time_per_sequence": ("per sequence (ms)", MILLI, lambda r: r.time_per_sequence),
    "energy": ("energy (mJ)", MILLI, lambda r: r.joules),
    "energy_per_token": ("per token (µJ)", MICRO, lambda r: r.energy_per_token),
    "area_delay": ("ADP (mm² s)", SQUARE_MILLIMETRE, lambda r: r.area_delay),
    "tops_per_watt": ("TOPS/W", TERA, lambda r: r.operations_per_joule),
    "tops_per_mm2": ("TOPS/mm²", TERA / SQUARE_MILLIMETRE, lambda r: r.operations_per_second / r.area),
    "power": ("power (W)", 1.0, lambda r: r.power),
    "power_density": ("mW/mm²", MILLI / SQUARE_MILLIMETRE, lambda r: r.power / r.area),
}


def figures(result):
    """{figure: value in SI units} of a RollUp, in the order of the table."""
    return {name: value(result) for name, (_, _, value) in FIGURES.items()}


def as_json(result):
    """A RollUp as plain values in SI units: figures, breakdowns by component, layer and step, areas, events, notes."""
    events = {}
    for (role, _), count in result.events.items():
        events[role] = events.get(role, 0.0) + count
    return {"chip": result.chip, "model": result.model, "sequence": result.sequence, "batch": result.batch,
            **figures(result), "interval": result.interval, "chips": result.chips, "parts": result.copies,
            "utilisation": result.utilisation, "replication": result.replication,
            "programming_energy": result.programming_energy, "energy_by_component": result.by_component(),
            "energy_by_layer": result.by_layer(), "energy_by_step": result.by_step(), "area_by_role": result.area_by_role,
            "events": events, "read_energy": result.read_energy, "notes": list(result.notes),
            "assumed": list(result.assumed)}


def write_files(results, directory):
    """Write chips.json, chips.csv (one row per chip) and breakdown.csv (joules by component and stage); their paths."""
    directory = Path(directory)
    as_text, table, parts = (directory / name for name in ("chips.json", "chips.csv", "breakdown.csv"))
    with replacing(as_text) as file:
        content = [as_json(result) for result in results]
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    with replacing(table, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["chip", "model", "sequence", "batch", *(f"{name} (SI)" for name in FIGURES), "chips",
                         "utilisation", "replication", "programming_energy (J)"])
        for r in results:
            writer.writerow([r.chip, r.model, r.sequence, r.batch, *figures(r).values(), r.chips,
                             "" if r.utilisation is None else r.utilisation, r.replication, r.programming_energy])
    with replacing(parts, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["chip", "component", "stage", "events", "joule"])
        for r in results:
            for (role, stage), joule in r.energy.items():
                writer.writerow([r.chip, role, stage, r.events.get((role, stage), ""), joule])
    return as_text, table, parts


def table(results):
    """(header, rows) of strings, one row per RollUp."""
    header = ("chip", *(heading for heading, _, _ in FIGURES.values()), "chips", "used")
    rows = [(r.chip, *(f"{value(r) / scale:.4g}" for _, scale, value in FIGURES.values()), str(r.chips),
             "-" if r.utilisation is None else f"{100 * r.utilisation:.0f} %") for r in results]
    return header, rows


def breakdown(results, by):
    """(header, rows) of strings: energy in mJ of every component, layer or step (rows) on every chip (columns).

    Raises
    ------
    ConfigError : another `by`
    """
    if by not in ("component", "layer", "step"):
        raise ConfigError(f"breakdown by {by!r} is not known; allowed: component, layer, step")
    columns = [getattr(result, f"by_{by}")() for result in results]
    names = dict.fromkeys(name for column in columns for name in column)
    if by != "layer":
        names = sorted(names, key=lambda name: -max(column.get(name, 0.0) for column in columns))
    rows = [(name, *(f"{column[name] / MILLI:.4g}" if name in column else "-" for column in columns)) for name in names]
    return (by, *(r.chip for r in results)), [*rows, ("total", *(f"{r.joules / MILLI:.4g}" for r in results))]


def remarks(results):
    """Lines: where read energies come from, notes, and what is assumed, per chip."""
    lines = []
    for r in results:
        lines.append(f"{r.chip}: array reads {r.read_energy}"
                     + (f"; {r.replication} copies of the model" if r.replication > 1 else "")
                     + (f"; programming once {r.programming_energy:.3g} J" if r.programming_energy else ""))
        lines += [f"  {note}" for note in r.notes]
        if r.assumed:
            labels = ", ".join(label.removeprefix(f"{r.chip}: ") for label in r.assumed)
            lines.append(f"  assumed ({len(r.assumed)}): {labels}")
    return lines


def peak_table(found):
    """(header, rows, lines) of strings of a rollup.Peak."""
    rows = []
    for level in found.levels:
        rows += [(level.name, role, f"{count:g}", f"{watt / MILLI:.4g}", f"{area / SQUARE_MILLIMETRE:.4g}")
                 for role, count, watt, area in level.rows]
        rows.append((level.name, "TOTAL", "", f"{level.power / MILLI:.4g}", f"{level.area / SQUARE_MILLIMETRE:.4g}"))
    power, area = 100 * found.adc_power_share, 100 * found.adc_area_share
    lines = [f"converters: {power:.0f} % of the power, {area:.0f} % of the area of a tile or crossbar"]
    if found.product is not None:
        p = found.product
        lines.append(f"{p.inputs} x {p.outputs} product in a unit: {engineering(p.time, 's')}, "
                     f"{engineering(p.energy, 'J')}, {engineering(p.energy / p.macs, 'J')} and {p.conversions_per_mac:.3g} "
                     "conversions per MAC")
        lines.append(f"peak of a {found.levels[-1].name}: {p.operations_per_second / TERA:.4g} TOPS")
    return ("of each", "part", "count", "mW", "mm²"), rows, lines


# ---------------------------------------------------------------- sweeps

@dataclass(frozen=True)
class Swing:
    """What one assumption does to a figure: its value at the low and at the high end, everything else nominal."""

    assumption: Assumption
    low: float
    high: float

    @property
    def width(self):
        """Ratio of the two ends, at least 1."""
        return max(self.low, self.high) / min(self.low, self.high)


@dataclass(frozen=True)
class Sweep:
    """A figure over everything assumed: nominal value, the interval between the worst and the best case, swings from the
    widest to the narrowest, and the quantiles 5, 50 and 95 % of independent draws from the ranges.

    low_at, high_at : {label: value} where the interval's ends lie
    """

    nominal: float
    low: float
    high: float
    swings: tuple
    quantiles: tuple
    low_at: dict
    high_at: dict


class Space:
    """Chips on one model, batch and sequence length, as functions of what is assumed about them.

    A component of the library that several chips use is one assumption and moves in all of them together.
    """

    def __init__(self, descriptions, model, sequence, batch, held=()):
        """descriptions : {name: Description};  held : labels of assumptions that stay at their value

        Raises
        ------
        ConfigError : a held label that no chip has
        """
        self.descriptions, self.request = descriptions, (model, sequence, batch)
        every = {name: {a.label: a for a in assumptions(found)} for name, found in descriptions.items()}
        for label in held:
            if not any(label in known for known in every.values()):
                labels = sorted({label for known in every.values() for label in known})
                raise ConfigError(f"nothing assumed is called {label!r}; known: {'; '.join(labels)}")
        self.by_chip = {name: {label: a for label, a in known.items() if label not in held}
                        for name, known in every.items()}
        self._known = {}

    def assumptions(self, names):
        """{label: Assumption} of some chips."""
        return {label: a for name in names for label, a in self.by_chip[name].items()}

    def figures(self, name, setting):
        """`figures` of a chip with the values {label: value} of assumptions, those of other chips ignored."""
        own = tuple((label, value) for label, value in sorted(setting.items()) if label in self.by_chip[name])
        if (name, own) not in self._known:
            found = self.descriptions[name]
            if own:
                found = with_assumptions(found, [(self.by_chip[name][label], value) for label, value in own])
            self._known[name, own] = figures(roll_up(found, *self.request))
        return self._known[name, own]


def sweep(space, names, figure, samples=64, seed=0):
    """Sweep of figure(*figures of the chips `names`) -> float over the assumptions of these chips.

    Every assumption goes to both ends alone (swings), then all at once to those ends that lower, or raise, the figure.
    Because one assumption can hide another (few conversions hide their energy), single ends are tried again from there
    until none goes further, for those that matter also three values between them (a figure may turn within a range: more
    crossbars shorten the time and add area), and the interval covers the random draws as well (uniform, in the logarithm
    where a range spans more than a factor of 4).

    Raises
    ------
    ConfigError : nothing is assumed about these chips
    """
    known = space.assumptions(names)
    if not known:
        raise ConfigError(f"nothing is assumed about {', '.join(names)}: there is nothing to sweep")

    def value(setting):
        return figure(*(space.figures(name, setting) for name in names))

    nominal = value({})
    swings = {label: Swing(a, *(value({label: end}) for end in a.ends)) for label, a in known.items()}
    rng = np.random.default_rng(seed)
    draws = [{label: _draw(a, rng) for label, a in known.items()} for _ in range(samples)]
    found = [(value(setting), setting) for setting in draws]
    quantiles = tuple(np.quantile([each for each, _ in found], (0.05, 0.5, 0.95))) if found else (math.nan,) * 3
    candidates = {label: candidate_values(swing.assumption) if swing.width >= 1.2 else swing.assumption.ends
                  for label, swing in swings.items()}
    for sign in (-1, 1):
        corner = {label: swing.assumption.ends[sign * (swing.high - swing.low) > 0] for label, swing in swings.items()}
        found.append(climb(corner, candidates, value, sign))
    found.append((nominal, {}))
    (low, low_at), (high, high_at) = (choose(found, key=lambda pair: pair[0]) for choose in (min, max))
    return Sweep(nominal, low, high, tuple(sorted(swings.values(), key=lambda swing: -swing.width)), quantiles, low_at,
                 high_at)


def candidate_values(assumption):
    """Values of an assumption that a climb tries: the ends and three between."""
    low, high = assumption.ends
    return (low, high) if isinstance(low, str) else tuple(_between(low, high, k / 4) for k in range(5))


def climb(corner, candidates, value, sign):
    """(value, setting) from which no candidate of a single assumption goes further in the direction of `sign` (1 or -1).

    corner : {label: value} to start from;  candidates : {label: values};  value : function of a setting
    """
    best, moved = value(corner), True
    while moved:
        moved = False
        for label, choices in candidates.items():
            for choice in choices:
                tried = corner | {label: choice}
                found = value(tried)
                if sign * (found - best) > 1e-9 * best:
                    best, corner, moved = found, tried, True
    return best, corner


def _draw(assumption, rng):
    low, high = assumption.ends
    share = rng.random()
    return (low if share < 0.5 else high) if isinstance(low, str) else _between(low, high, share)


def _between(low, high, share):
    """Share of the way from low to high: in the logarithm where the range spans more than a factor of 4."""
    return low * (high / low) ** share if low > 0 and high / low > 4 else low + (high - low) * share


def ratio(name):
    """Figure of FIGURES of the first chip over that of the second."""
    return lambda first, second: first[name] / second[name]
