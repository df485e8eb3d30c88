"""Summaries as text, CSV and JSON."""

import csv
import dataclasses
import json
import math
from pathlib import Path

from xbarsim.base.files import replacing
from xbarsim.base.units import change_x100, engineering, interval_x100
from xbarsim.report.case_places import table_of
from xbarsim.report.summary import REFERENCES, LayerSummary

FILES = ("report.json", "paths.csv", "layers.csv")
PATH_FIELDS = (
    "trace",
    "study",
    "model",
    "task",
    "metric",
    "path",
    "value",
    "low",
    "high",
    "examples",
    "energy_j_per_example",
    "chips",
    "chips_low",
    "chips_high",
    "change",
    "change_low",
    "change_high",
)
LAYER_UNITS = {
    "write_energy": "write_energy_j",
    "array_energy_per_token": "array_energy_per_token_j",
}
KINDS = ("query", "key", "value", "attention_output", "intermediate", "output")


def render(summary):
    """The table that `xbarsim run` and `xbarsim report` print."""
    lines = [
        f"{summary.model} on {summary.task}: {summary.examples} examples, {summary.tokens:,} tokens, "
        f"head {summary.head}, study {summary.study!r}, seed {summary.seed}"
    ]
    if not summary.complete:
        lines.append(
            "INCOMPLETE: the run was interrupted, or is under way; figures cover the examples that "
            "are finished."
        )
    lines += [f"DAMAGED: {what}; figures cover what can be read." for what in summary.damage]
    if summary.truncated_sentences:
        lines.append(
            f"{summary.truncated_sentences} sentences were cut to the model's or the study's maximum length."
        )
    lines += [f"note: {note}" for note in summary.notes]
    lines += [f"NO EFFECT: {sentence}" for sentence in summary.idle_settings]
    lines += ["", *_grid(summary)]
    several = any(len(case.chips) > 1 for case in summary.cases)
    chips = f"   {'95 % over chips':<18}{'chips':>5}" if several else ""
    named = [(REFERENCES[path.name], path) for path in summary.references]
    named += [(f"analog: {path.name}", path) for path in summary.cases]
    width = max(28, *(len(name) + 1 for name, _ in named))
    lines += [
        f"{'path':<{width}}{summary.metric + ' x 100':>16}   {'95 % interval':<18}{'examples':>8}"
        f"   {'minus float32, paired':<26}{chips}".rstrip()
    ]
    lines += [_metric_row(f"{name:<{width}}", path) for name, path in named]
    for case in summary.cases[:1]:
        lines += [
            "",
            *_layer_grid(case),
            *_products(case),
            *_operations(case),
            "",
            *_hardware(case),
        ]
    lines += [f"trace  {summary.path}"]
    return "\n".join(lines)


def _grid(summary):
    """Cases with a row and a column as a table, where every row has the same two to four columns;
    the references above.
    """
    rows = table_of(summary.cases)
    columns = list(next(iter(rows.values()), ()))
    is_full = all(list(cases) == columns for cases in rows.values())
    if len(rows) < 2 or not 2 <= len(columns) <= 4 or not is_full:
        return []
    lines = [_grid_line(f"{summary.metric} x 100", columns)]
    for path in summary.references:
        lines.append(_grid_line(REFERENCES[path.name], [_grid_cell(path)]))
    for row, cases in rows.items():
        lines.append(_grid_line(row, [_grid_cell(case) for case in cases.values()]))
    return [*lines, ""]


def _grid_line(name, cells):
    return (f"{name:<28}" + "".join(f"{cell:<26}" for cell in cells)).rstrip()


def _grid_cell(path):
    return f"{100 * path.value:.2f} ({interval_x100(path.low, path.high)})"


def _metric_row(name, path):
    row = f"{name}{100 * path.value:>16.2f}   {interval_x100(path.low, path.high):<18}{path.examples:>8}"
    if path.change is not None:
        row += f"   {change_x100(*path.change):<26}"
    if len(path.chips) > 1:
        row += f"   {interval_x100(path.chips_low, path.chips_high):<18}{len(path.chips):>5}"
    return row.rstrip()


def _layer_grid(case):
    """Local SNR of every matrix, one line per encoder layer."""
    grid = {}
    for layer in case.layers:
        _, number, kind = layer.matrix.split(".")
        grid.setdefault(int(number), {})[kind] = layer
    lines = [
        f"local SNR in dB of each matrix on {case.name!r} (last: accumulated SNR after the layer)",
        f"{'layer':<7}" + "".join(f"{kind:>18}" for kind in KINDS) + f"{'accumulated':>14}",
    ]
    for number, row in sorted(grid.items()):
        cells = "".join(f"{row[kind].local_snr_db:>18.1f}" for kind in KINDS)
        lines.append(f"{number:<7}{cells}{row['output'].accumulated_snr_db:>14.1f}")
    return lines


def _by_kind(entries, attribute):
    """{last part of the name: entries of all layers}; `attribute` holds the name."""
    kinds = {}
    for found in entries:
        kinds.setdefault(getattr(found, attribute).split(".")[-1], []).append(found)
    return kinds


def _products(case):
    """Errors of the products of activations, one line per kind: the worst of the layers."""
    kinds = _by_kind(case.products, "product")
    if not kinds:
        return []
    lines = [
        "",
        f"{'product':<22}{'worst local SNR in dB':>22}{'accumulated':>14}{'ADC saturated':>16}"
        f"{'cells set per example':>26}{'write energy':>16}",
    ]
    return lines + [
        f"{kind:<22}{min(k.local_snr_db for k in found):>22.1f}{min(k.accumulated_snr_db for k in found):>14.1f}"
        f"{f'{100 * max(k.adc_saturated for k in found):.2f} %':>16}{sum(k.cells_set for k in found):>26,.0f}"
        f"{_write_energy(found):>16}"
        for kind, found in kinds.items()
    ]


def _write_energy(products):
    """Joule of the writes of products of all layers, "not known" where any does not state it."""
    joules = [product.write_energy for product in products]
    return "not known" if None in joules else engineering(sum(joules), "J")


def _operations(case):
    """Errors of the steps without weight matrix, one line per kind: the worst of the layers."""
    kinds = _by_kind(case.operations, "operation")
    if not kinds:
        return []
    return [
        "",
        f"{'operation':<22}{'worst local SNR in dB':>22}{'accumulated':>14}{'saturations per example':>26}",
    ] + [
        f"{kind:<22}{min(k.local_snr_db for k in found):>22.1f}{min(k.accumulated_snr_db for k in found):>14.1f}"
        f"{sum(k.saturations for k in found):>26.1f}"
        for kind, found in kinds.items()
    ]


def _hardware(case):
    tiles, cells = (
        sum(layer.tiles for layer in case.layers),
        sum(layer.cells for layer in case.layers),
    )

    def total(name):
        return sum(getattr(layer, name) for layer in case.layers)

    def worst(name):
        return max(getattr(layer, name) for layer in case.layers)

    drops = [1 - layer.attenuation for layer in case.layers if layer.attenuation is not None]
    drop = f"; strongest mean IR drop {100 * max(drops):.2f} %" if drops else ""
    joules = [layer.write_energy for layer in case.layers if layer.write_energy is not None]
    writing = (
        [
            f"write  {total('write_pulses'):,} pulses program all cells once"
            + (f", {engineering(sum(joules), 'J')}" if joules else "")
        ]
        if total("write_pulses")
        else []
    )
    energy = sum(case.energy.values())
    parts = ", ".join(
        f"{part} {engineering(joule, 'J')}{' (assumed price)' if part in case.assumed else ''}"
        for part, joule in sorted(case.energy.items(), key=lambda item: -item[1])
    )
    events = ", ".join(
        f"{count:,.0f} {event.replace('_', ' ')}" for event, count in case.events.items()
    )
    return [
        f"tiles  {tiles:,} with {cells:,} cells; clipped weights {total('clipped_weights'):,}, stuck cells "
        f"{total('stuck_cells'):,}, cells held at a physical bound {total('bounded_cells'):,}",
        *writing,
        f"range  ADC conversions saturated at most {100 * worst('adc_saturated'):.2f} % in a matrix, inputs "
        f"{100 * worst('dac_saturated'):.2f} %{drop}",
        f"energy {engineering(energy, 'J')} per inference of the products on hardware: {parts}",
        f"events {events} per inference",
        f"       {'' if case.products else 'attention products, '}softmax, layer norm, GELU, buffers and data movement are "
        "not counted",
    ]


def write_files(summaries, directory):
    """Write report.json, paths.csv and layers.csv for several summaries; returns the three paths.

    Raises
    ------
    OutputError : one of them cannot be written; it is what it was before
    """
    directory = Path(directory)
    as_json, paths, layers = (directory / name for name in FILES)
    with replacing(as_json) as file:
        file.write(json.dumps([to_json(summary) for summary in summaries], indent=1) + "\n")
    with replacing(paths, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(PATH_FIELDS)
        for summary in summaries:
            for path in (*summary.references, *summary.cases):
                writer.writerow(_path_row(summary, path))
    with replacing(layers, newline="") as file:
        writer = csv.writer(file)
        fields = [field.name for field in dataclasses.fields(LayerSummary)]
        writer.writerow(["trace", "case", *(LAYER_UNITS.get(field, field) for field in fields)])
        for summary in summaries:
            for case in summary.cases:
                for layer in case.layers:
                    writer.writerow([summary.path, case.name, *dataclasses.astuple(layer)])
    return as_json, paths, layers


def _path_row(summary, path):
    energy = "" if path.energy is None else sum(path.energy.values())
    return [
        summary.path,
        summary.study,
        summary.model,
        summary.task,
        summary.metric,
        path.name,
        path.value,
        path.low,
        path.high,
        path.examples,
        energy,
        len(path.chips),
        path.chips_low,
        path.chips_high,
        *(path.change or ("", "", "")),
    ]


def to_json(summary):
    """A Summary as plain JSON values; an infinite SNR (no error at all) becomes null."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    content = dataclasses.asdict(summary)
    content.pop("chip_texts")  # whole files, which the trace holds
    return plain(content)
