"""Chips side by side: figures, breakdowns, remarks and their files."""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.units import MICRO, MILLI, SQUARE_MILLIMETRE, engineering
from xbarsim.chips.chip import Description, load_chip
from xbarsim.chips.rollup import RollUp, roll_up

TERA = 1e12
OPERATIONS_PER_MM2 = TERA / SQUARE_MILLIMETRE


def compare(
    chips: Iterable[str | Path | Description],
    model: str | Path = "bert-large",
    sequence: int = 128,
    batch: int = 1,
) -> list[RollUp]:
    """One model on several chips: energy, area and time.

    Parameters
    ----------
    chips : names, chip files or Descriptions of `load_chip`
    model : a name of data/models.toml, or a checkpoint directory
    sequence, batch : tokens per sequence, sequences that are there at once

    Returns
    -------
    list of RollUp, one a chip: `joules` per sequence (J), `latency` of the batch (s), `area` (m²)

    Raises
    ------
    ConfigError, OutOfRangeError : what `load_chip` and `roll_up` raise
    """
    if isinstance(chips, str | Path | Description):
        chips = [chips]
    loaded = [chip if isinstance(chip, Description) else load_chip(chip) for chip in chips]
    return [roll_up(chip, str(model), sequence, batch) for chip in loaded]


@dataclass(frozen=True)
class Figure:
    """A figure of a RollUp.

    heading, scale : of tables for readers, and SI units per unit of the heading;  value : function
        of a RollUp, SI units
    unit, written : of files, and SI units per such unit
    """

    heading: str
    scale: float
    value: Callable
    unit: str
    written: float = 1.0


FIGURES = {
    "area": Figure("area (mm²)", SQUARE_MILLIMETRE, lambda r: r.area, "m²"),
    "latency": Figure("latency (ms)", MILLI, lambda r: r.latency, "s"),
    "time_per_sequence": Figure("per sequence (ms)", MILLI, lambda r: r.time_per_sequence, "s"),
    "energy": Figure("energy (mJ)", MILLI, lambda r: r.joules, "J"),
    "energy_per_token": Figure("per token (µJ)", MICRO, lambda r: r.energy_per_token, "J"),
    "area_delay": Figure("ADP (mm² s)", SQUARE_MILLIMETRE, lambda r: r.area_delay, "m² s"),
    "tops_per_watt": Figure("TOPS/W", TERA, lambda r: r.operations_per_joule, "TOPS/W", TERA),
    "tops_per_mm2": Figure(
        "TOPS/mm²",
        OPERATIONS_PER_MM2,
        lambda r: r.operations_per_second / r.area,
        "TOPS/mm²",
        OPERATIONS_PER_MM2,
    ),
    "power": Figure("power (W)", 1.0, lambda r: r.power, "W"),
    "power_density": Figure(
        "mW/mm²", MILLI / SQUARE_MILLIMETRE, lambda r: r.power / r.area, "W/m²"
    ),
}
# units of what files say beside these, {key of as_json: unit}
UNITS = {name: figure.unit for name, figure in FIGURES.items()} | {
    "interval": "s",
    "programming_energy": "J",
    "energy_by_component": "J",
    "energy_by_layer": "J",
    "energy_by_step": "J",
    "area_by_role": "m²",
    "events": "actions",
    "utilisation": "1",
}


def figures(result):
    """{figure: value in the unit of files} of a RollUp, in the order of the table."""
    return {name: figure.value(result) / figure.written for name, figure in FIGURES.items()}


def headings():
    """("area (m²)", ...): the names of the figures with the unit that `figures` has."""
    return tuple(f"{name} ({figure.unit})" for name, figure in FIGURES.items())


def printed(result):
    """Figures of a RollUp as a table shows them, four significant digits in the unit of the
    heading.
    """
    return tuple(f"{figure.value(result) / figure.scale:.4g}" for figure in FIGURES.values())


def as_json(result):
    """A RollUp as plain values: figures, breakdowns by component, layer and step, areas, events,
    notes, and "units" of all.

    SI units but for tops_per_watt (TOPS/W) and tops_per_mm2 (TOPS/mm²).
    """
    events = {}
    for (role, _), count in result.events.items():
        events[role] = events.get(role, 0.0) + count
    return {
        "chip": result.chip,
        "model": result.model,
        "sequence": result.sequence,
        "batch": result.batch,
        **figures(result),
        "interval": result.interval,
        "chips": result.chips,
        "parts": result.copies,
        "utilisation": result.utilisation,
        "replication": result.replication,
        "programming_energy": result.programming_energy,
        "energy_by_component": result.by_component(),
        "energy_by_layer": result.by_layer(),
        "energy_by_step": result.by_step(),
        "area_by_role": result.area_by_role,
        "events": events,
        "read_energy": result.read_energy,
        "notes": list(result.notes),
        "assumed": list(result.assumed),
        "units": UNITS,
    }


def write_files(results, directory):
    """Write chips.json, chips.csv (one row per chip) and breakdown.csv (joules by component and
    stage); their paths.
    """
    directory = Path(directory)
    as_text, table, parts = (
        directory / name for name in ("chips.json", "chips.csv", "breakdown.csv")
    )
    with replacing(as_text) as file:
        content = [as_json(result) for result in results]
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    with replacing(table, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "chip",
                "model",
                "sequence (tokens)",
                "batch (sequences)",
                *headings(),
                "chips",
                "utilisation (1)",
                "replication",
                "programming_energy (J)",
            ]
        )
        for r in results:
            writer.writerow(
                [
                    r.chip,
                    r.model,
                    r.sequence,
                    r.batch,
                    *figures(r).values(),
                    r.chips,
                    _or_empty(r.utilisation),
                    r.replication,
                    _or_empty(r.programming_energy),
                ]
            )
    with replacing(parts, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["chip", "component", "stage", "events (actions)", "energy (J)"])
        for r in results:
            for (role, stage), joule in r.energy.items():
                writer.writerow([r.chip, role, stage, r.events.get((role, stage), ""), joule])
    return as_text, table, parts


def _or_empty(value):
    return "" if value is None else value


def table(results):
    """(header, rows) of strings, one row per RollUp."""
    header = ("chip", *(figure.heading for figure in FIGURES.values()), "chips", "used")
    rows = [
        (
            r.chip,
            *printed(r),
            str(r.chips),
            "-" if r.utilisation is None else f"{100 * r.utilisation:.0f} %",
        )
        for r in results
    ]
    return header, rows


def breakdown(results, by):
    """(header, rows) of strings: energy in mJ of every component, layer or step (rows) on every
    chip (columns).

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
    rows = [
        (name, *(f"{column[name] / MILLI:.4g}" if name in column else "-" for column in columns))
        for name in names
    ]
    return (by, *(r.chip for r in results)), [
        *rows,
        ("total", *(f"{r.joules / MILLI:.4g}" for r in results)),
    ]


def remarks(results):
    """Lines: where read energies come from, notes, and what is assumed, per chip."""
    lines = []
    for r in results:
        lines.append(
            f"{r.chip}: array reads {r.read_energy}"
            + (f"; {r.replication} copies of the model" if r.replication > 1 else "")
            + (
                f"; programming once {r.programming_energy:.3g} J"
                if r.programming_energy is not None
                else ""
            )
        )
        lines += [f"  {note}" for note in r.notes]
        if r.assumed:
            labels = ", ".join(label.removeprefix(f"{r.chip}: ") for label in r.assumed)
            lines.append(f"  assumed ({len(r.assumed)}): {labels}")
    return lines


def peak_table(found):
    """(header, rows, lines) of strings of a rollup.Peak."""
    rows = []
    for level in found.levels:
        rows += [
            (
                level.name,
                role,
                f"{count:g}",
                f"{watt / MILLI:.4g}",
                f"{area / SQUARE_MILLIMETRE:.4g}",
            )
            for role, count, watt, area in level.rows
        ]
        rows.append(
            (
                level.name,
                "TOTAL",
                "",
                f"{level.power / MILLI:.4g}",
                f"{level.area / SQUARE_MILLIMETRE:.4g}",
            )
        )
    power, area = 100 * found.adc_power_share, 100 * found.adc_area_share
    lines = [
        f"converters: {power:.0f} % of the power, {area:.0f} % of the area of a tile or crossbar"
    ]
    if found.product is not None:
        p = found.product
        lines.append(
            f"{p.inputs} x {p.outputs} product in a unit: {engineering(p.time, 's')}, "
            f"{engineering(p.energy, 'J')}, {engineering(p.energy / p.macs, 'J')} and "
            f"{p.conversions_per_mac:.3g} conversions per MAC"
        )
        lines.append(
            f"peak of a {found.levels[-1].name}: {p.operations_per_second / TERA:.4g} TOPS"
        )
    return ("of each", "part", "count", "mW", "mm²"), rows, lines
