"""Chips side by side: figures, breakdowns, remarks and their files."""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim.base.arguments import path_of, shown, whole_number
from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.units import MEGA, MICRO, MILLI, SQUARE_MILLIMETRE, engineering
from xbarsim.chips.load import Description, load_chip
from xbarsim.chips.plans import Phase
from xbarsim.chips.result import Level, Peak, RollUp
from xbarsim.chips.rollup import roll_up

TERA = 1e12
ASKED = ("chip", "phase", "tokens", "batch")  # columns that say what a row is of
Grid = tuple[tuple[str, ...], list[tuple[str, ...]]]  # header and rows of a table
OPERATIONS_PER_MM2 = TERA / SQUARE_MILLIMETRE


def compare(
    chips: Iterable[str | Path | Description],
    model: str | Path = "bert-large",
    sequence: int = 128,
    batch: int = 1,
    phase: str | Phase = Phase.PASS,
    output_matrix: bool | None = None,
) -> list[RollUp]:
    """One model on several chips: energy, area and time.

    Parameters
    ----------
    chips : names, chip files or Descriptions of `load_chip`
    model : a name of data/models.toml, or a checkpoint directory
    sequence, batch : tokens per sequence (in decode the context, the new token included), sequences
        that are there at once
    phase : "pass", all tokens of a sequence together; of decoders also "prefill", a prompt whose
        masked products are left out, or "decode", the next token of every sequence
    output_matrix : whether logits are computed; if absent, in prefill and decode

    Returns
    -------
    list of RollUp, one a chip: `joules` per sequence (J; in decode per token), `latency` of the
    batch (s), `area` (m²), `tokens_per_second`, `energy_per_token` (J); in prefill and decode
    `first_token` (s) and `cache`, the bytes of keys and values and where they are

    Raises
    ------
    ConfigError, OutOfRangeError : what `load_chip` and `roll_up` raise
    """
    if isinstance(chips, str | Path | Description):
        chips = [chips]
    if not isinstance(chips, Iterable):
        raise ConfigError(f"chips is {shown(chips)}; allowed: names or files of chips")
    chips = list(chips)
    if not chips:
        raise ConfigError("chips is []; allowed: one chip or more")
    path_of("model", model)
    whole_number("sequence", sequence, 1)
    whole_number("batch", batch, 1)
    loaded = [chip if isinstance(chip, Description) else load_chip(chip) for chip in chips]
    if not isinstance(phase, str) or phase not in list(Phase):
        raise ConfigError(f"phase {shown(phase)} is not known; allowed: {', '.join(Phase)}")
    return [
        roll_up(
            chip,
            str(model),
            sequence,
            batch,
            phase=Phase(phase),
            output_matrix=output_matrix,
        )
        for chip in loaded
    ]


@dataclass(frozen=True)
class Figure:
    """A figure of a RollUp.

    heading, scale : of tables for readers, and SI units per unit of the heading;  value : function
        of a RollUp, SI units
    unit, written : of files, and SI units per such unit
    """

    heading: str
    scale: float
    value: Callable[[RollUp], float]
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
    "tokens_per_second": "1/s",
    "first_token": "s",
    "cache_bytes": "byte",
    "programming_energy": "J",
    "energy_by_component": "J",
    "energy_by_layer": "J",
    "energy_by_step": "J",
    "area_by_role": "m²",
    "events": "actions",
    "utilisation": "1",
}


def figures(result: RollUp) -> dict[str, float]:
    """{figure: value in the unit of files} of a RollUp, in the order of the table."""
    return {name: figure.value(result) / figure.written for name, figure in FIGURES.items()}


def headings() -> tuple[str, ...]:
    """("area (m²)", ...): the names of the figures with the unit that `figures` has."""
    return tuple(f"{name} ({figure.unit})" for name, figure in FIGURES.items())


def printed(result: RollUp) -> tuple[str, ...]:
    """Figures of a RollUp as a table shows them, four significant digits in the unit of the
    heading.
    """
    return tuple(f"{figure.value(result) / figure.scale:.4g}" for figure in FIGURES.values())


def as_json(result: RollUp) -> dict[str, Any]:
    """A RollUp as plain values: figures, breakdowns by component, layer and step, areas, events,
    notes, and "units" of all.

    SI units but for tops_per_watt (TOPS/W) and tops_per_mm2 (TOPS/mm²).
    """
    events: dict[str, float] = {}
    for (role, _), count in result.events.items():
        events[role] = events.get(role, 0.0) + count
    return {
        "chip": result.chip,
        "model": result.model,
        "sequence": result.sequence,
        "batch": result.batch,
        "phase": result.phase,
        "tokens": result.tokens,
        **figures(result),
        "interval": result.interval,
        "tokens_per_second": result.tokens_per_second,
        "first_token": result.first_token,
        "cache_bytes": result.cache_bytes,
        "cache_place": result.cache_place,
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


def write_files(results: Sequence[RollUp], directory: str | Path) -> tuple[Path, Path, Path]:
    """Write chips.json, chips.csv (one row per chip) and breakdown.csv (joules by component and
    stage); their paths.
    """
    directory = Path(directory)
    as_text = directory / "chips.json"
    table = directory / "chips.csv"
    parts = directory / "breakdown.csv"
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
                "phase",
                "tokens_per_second (1/s)",
                "first_token (s)",
                "cache (byte)",
                "cache_place",
            ]
        )
        writer.writerows(_csv_row(result) for result in results)
    with replacing(parts, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "chip",
                "component",
                "stage",
                "events (actions)",
                "energy (J)",
                "model",
                "phase",
                "sequence (tokens)",
                "batch (sequences)",
            ]
        )
        for result in results:
            asked = result.model, result.phase, result.sequence, result.batch
            for line in result.lines:
                actions = _or_empty(line.actions)
                writer.writerow([result.chip, line.role, line.stage, actions, line.joules, *asked])
    return as_text, table, parts


def _csv_row(result: RollUp) -> list[float | str]:
    return [
        result.chip,
        result.model,
        result.sequence,
        result.batch,
        *figures(result).values(),
        result.chips,
        _or_empty(result.utilisation),
        result.replication,
        _or_empty(result.programming_energy),
        result.phase,
        result.tokens_per_second,
        _or_empty(result.first_token),
        _or_empty(result.cache_bytes),
        result.cache_place or "",
    ]


def _or_empty(value: float | None) -> float | str:
    return "" if value is None else value


def table(results: Iterable[RollUp]) -> Grid:
    """(header, rows) of strings, one row per RollUp; see `generation_table` for prefill and
    decode.
    """
    header = (*ASKED, *(figure.heading for figure in FIGURES.values()), "chips", "used")
    rows = []
    for result in results:
        used = "-"
        if result.utilisation is not None:
            used = f"{100 * result.utilisation:.0f} %"
        rows.append((*_asked(result), *printed(result), str(result.chips), used))
    return header, rows


def generation_table(results: Iterable[RollUp]) -> Grid:
    """(header, rows) of strings on what a decoder generates, one row per RollUp of prefill or
    decode.
    """
    header = (*ASKED, "tokens/s", "per token (µJ)", "first token (ms)", "KV cache (MB)", "kept in")
    rows = []
    for result in results:
        if result.cache is None or result.first_token is None:
            continue
        rows.append(
            (
                *_asked(result),
                f"{result.tokens_per_second:.4g}",
                f"{result.energy_per_token / MICRO:.4g}",
                f"{result.first_token / MILLI:.4g}",
                f"{result.cache.size / MEGA:.4g}",
                str(result.cache.place),
            )
        )
    return header, rows


def _asked(result: RollUp) -> tuple[str, ...]:
    return result.chip, str(result.phase), str(result.sequence), str(result.batch)


def breakdown(results: Sequence[RollUp], by: str) -> Grid:
    """(header, rows) of strings: energy in mJ of every component, layer or step (rows) on every
    chip (columns).

    Raises
    ------
    ConfigError : another `by`
    """
    grouped = {"component": RollUp.by_component, "layer": RollUp.by_layer, "step": RollUp.by_step}
    if by not in grouped:
        raise ConfigError(f"breakdown by {by!r} is not known; allowed: {', '.join(grouped)}")
    columns = [grouped[by](result) for result in results]
    names = list(dict.fromkeys(name for column in columns for name in column))
    if by != "layer":
        names.sort(key=lambda name: -max(column.get(name, 0.0) for column in columns))
    rows = []
    for name in names:
        rows.append((name, *(_millijoules(column.get(name)) for column in columns)))
    rows.append(("total", *(_millijoules(result.joules) for result in results)))
    return (by, *(result.chip for result in results)), rows


def _millijoules(energy: float | None) -> str:
    return "-" if energy is None else f"{energy / MILLI:.4g}"


def remarks(results: Iterable[RollUp]) -> list[str]:
    """Lines: where read energies come from, notes, and what is assumed, per chip."""
    lines = []
    for result in results:
        line = f"{result.chip}: array reads {result.read_energy}"
        if result.replication > 1:
            line += f"; {result.replication} copies of the model"
        if result.programming_energy is not None:
            line += f"; programming once {result.programming_energy:.3g} J"
        lines.append(line)
        lines += [f"  {note}" for note in result.notes]
        if result.assumed:
            labels = [label.removeprefix(f"{result.chip}: ") for label in result.assumed]
            lines.append(f"  assumed ({len(labels)}): {', '.join(labels)}")
    return lines


def peak_table(found: Peak) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
    """(header, rows, lines) of strings of a Peak."""
    rows: list[tuple[str, ...]] = []
    for level in found.levels:
        rows += _peak_rows(level)
    power = 100 * found.adc_power_share
    area = 100 * found.adc_area_share
    lines = [
        f"converters: {power:.0f} % of the power, {area:.0f} % of the area of a tile or crossbar"
    ]
    if found.product is not None:
        product = found.product
        lines.append(
            f"{product.inputs} x {product.outputs} product in a unit: "
            f"{engineering(product.time, 's')}, {engineering(product.energy, 'J')}, "
            f"{engineering(product.energy / product.macs, 'J')} and "
            f"{product.conversions_per_mac:.3g} conversions per MAC"
        )
        peak = product.operations_per_second / TERA
        lines.append(f"peak of a {found.levels[-1].name}: {peak:.4g} TOPS")
    return ("of each", "part", "count", "mW", "mm²"), rows, lines


def peak_json(found: Peak) -> dict[str, Any]:
    """The content of `peak_table` as plain values: W, m², s, J and operations per second."""
    return dataclasses.asdict(found) | {
        "units": {
            "power": "W",
            "area": "m²",
            "time": "s",
            "energy": "J",
            "operations_per_second": "1/s",
        }
    }


def _peak_rows(level: Level) -> list[tuple[str, ...]]:
    rows = [
        (level.name, row.role, f"{row.count:g}", *_power_and_area(row.power, row.area))
        for row in level.rows
    ]
    return [*rows, (level.name, "TOTAL", "", *_power_and_area(level.power, level.area))]


def _power_and_area(power: float, area: float) -> tuple[str, str]:
    return f"{power / MILLI:.4g}", f"{area / SQUARE_MILLIMETRE:.4g}"
