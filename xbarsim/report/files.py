"""Summaries as CSV and JSON."""

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xbarsim.base.files import replacing
from xbarsim.report import training_text
from xbarsim.report.steps import FunctionSummary, MatrixSummary, ProductSummary, StepSummary
from xbarsim.report.summary import CaseSummary, PathSummary, Summary
from xbarsim.studies.scores import Estimate, TokenFigures

FILES = ("report.json", "paths.csv", "layers.csv")
POSITIONS = "positions.csv"
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
    "predictions",
    "bits_per_byte",
    "normalised",
    "normalised_low",
    "normalised_high",
)
POSITION_FIELDS = ("trace", "path", "first", "last", "predictions", "perplexity")
# as a column of a table, where that says more than the key of the JSON
LAYER_UNITS = {
    "write_energy": "write_energy_j",
    "array_energy_per_token": "array_energy_per_token_j",
}

Content = dict[str, Any]  # of a JSON file


def write_files(summaries: Sequence[Summary], directory: str | Path) -> tuple[Path, ...]:
    """Write report.json, paths.csv and layers.csv for several summaries, and positions.csv where one
    is of a decoder; returns their paths.

    Raises
    ------
    OutputError : one of them cannot be written; it is what it was before
    """
    as_json, paths, layers = (Path(directory) / name for name in FILES)
    with replacing(as_json) as file:
        file.write(json.dumps([to_json(summary) for summary in summaries], indent=1) + "\n")
    path_rows = [
        _path_row(summary, path)
        for summary in summaries
        for path in (*summary.references, *summary.cases)
    ]
    write_table(paths, PATH_FIELDS, path_rows)
    layer_rows = [
        {"trace": summary.path, "case": case.name} | _figures_of_matrix(layer)
        for summary in summaries
        for case in summary.cases
        for layer in case.layers
    ]
    keys = ["trace", "case", *_MATRIX_KEYS]
    headings = [LAYER_UNITS.get(key, key) for key in keys]
    write_table(layers, headings, [list(map(row.__getitem__, keys)) for row in layer_rows])
    positions = [row for summary in summaries for row in _position_rows(summary)]
    if not positions:
        return as_json, paths, layers
    by_position = Path(directory) / POSITIONS
    write_table(by_position, POSITION_FIELDS, positions)
    return as_json, paths, layers, by_position


def _position_rows(summary: Summary) -> list[list[Any]]:
    return [
        [summary.path, path.name, *vars(one).values()]
        for path in (*summary.references, *summary.cases)
        if path.tokens is not None
        for one in path.tokens.by_position
    ]


def write_table(path: Path, headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file; None becomes an empty cell."""
    with replacing(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(headings)
        writer.writerows(rows)


def _path_row(summary: Summary, path: PathSummary) -> list[Any]:
    found: list[Any] = [
        summary.path,
        summary.study,
        summary.run.model,
        summary.run.task,
        summary.run.metric,
        path.name,
        *estimate_cells(path.metric),
        path.examples,
    ]
    of_tokens = _token_cells(path.tokens)
    if not isinstance(path, CaseSummary):
        return [*found, "", 0, None, None, *estimate_cells(None), *of_tokens]
    chips = path.chips
    found += [path.cost.joules, len(chips.values), chips.low, chips.high]
    return [*found, *estimate_cells(path.change), *of_tokens]


def _token_cells(tokens: TokenFigures | None) -> list[Any]:
    if tokens is None:
        return ["", "", *estimate_cells(None)]
    return [tokens.predictions, tokens.bits_per_byte, *estimate_cells(tokens.normalised)]


def estimate_cells(estimate: Estimate | None) -> tuple[float | str, float | str, float | str]:
    """Value, low and high as cells of a table, empty of None."""
    if estimate is None:
        return "", "", ""
    return estimate.value, estimate.low, estimate.high


# ---------------------------------------------------------------- JSON


def to_json(summary: Summary) -> Content:
    """A Summary as plain JSON values; an infinite SNR (no error at all) becomes null."""
    run = summary.run
    content = {
        "path": summary.path,
        "study": summary.study,
        "model": run.model,
        "task": run.task,
        "metric": run.metric,
        "head": run.head,
        "examples": summary.examples,
        "tokens": summary.tokens,
        "sentences": summary.sentences,
        "seed": run.seed,
        "complete": run.complete,
        "created": run.created,
        "software_version": run.software_version,
        "truncated_sentences": run.truncated_sentences,
        "heads": run.heads,
        "references": [_path(path) for path in summary.references],
        "cases": [_path(path) for path in summary.cases],
        "notes": summary.notes,
        "idle_settings": summary.idle_settings,
        "damage": summary.damage,
    }
    if summary.training is not None:
        content["training"] = training_text.to_json(summary.training)
    found: Content = _plain(content)
    return found


def _plain(value: Any) -> Any:
    """Lists for tuples, None for what is not finite."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _path(path: PathSummary) -> Content:
    """A reference has the keys of a case, with nothing in them."""
    found: Content = {"name": path.name, **dataclasses.asdict(path.metric)}
    found["examples"] = path.examples
    found["tokens"] = None if path.tokens is None else dataclasses.asdict(path.tokens)
    if not isinstance(path, CaseSummary):
        return found | NO_CASE
    change = path.change
    return found | {
        "layers": [_matrix(layer) for layer in path.layers],
        "events": path.cost.events,
        "energy": path.cost.energy,
        "assumed": path.cost.assumed,
        "operations": [_function(function) for function in path.operations],
        "study": path.study,
        "products": [_product(product) for product in path.products],
        "chips": path.chips.values,
        "chips_low": path.chips.low,
        "chips_high": path.chips.high,
        "change": None if change is None else estimate_cells(change),
    }


NO_CASE: Content = {
    "layers": [],
    "events": None,
    "energy": None,
    "assumed": [],
    "operations": [],
    "study": "",
    "products": [],
    "chips": [],
    "chips_low": None,
    "chips_high": None,
    "change": None,
}


def _errors(step: StepSummary) -> Content:
    return {"local_snr_db": step.local_snr_db, "accumulated_snr_db": step.accumulated_snr_db}


def _place(step: StepSummary) -> Content:
    """What the step is to the model."""
    return {"kind": str(step.kind), "role": str(step.role), "layer": step.layer}


_MATRIX_KEYS = (
    "matrix",
    "local_snr_db",
    "accumulated_snr_db",
    "adc_saturated",
    "dac_saturated",
    "attenuation",
    "attenuation_spread",
    "clipped_weights",
    "stuck_cells",
    "bounded_cells",
    "tiles",
    "cells",
    "write_pulses",
    "write_energy",
    "inputs",
    "outputs",
    "array_energy_per_token",
)


def _figures_of_matrix(layer: MatrixSummary) -> Content:
    """The figures of `_MATRIX_KEYS`."""
    attenuation = None
    spread = None
    if layer.ir_drop is not None:
        attenuation = layer.ir_drop.attenuation
        spread = layer.ir_drop.spread
    programming = layer.programming
    return {
        "matrix": layer.name,
        **_errors(layer),
        "adc_saturated": layer.adc_saturated,
        "dac_saturated": layer.dac_saturated,
        "attenuation": attenuation,
        "attenuation_spread": spread,
        "clipped_weights": programming.clipped_weights,
        "stuck_cells": programming.stuck_cells,
        "bounded_cells": programming.bounded_cells,
        "tiles": programming.tiles,
        "cells": programming.cells,
        "write_pulses": programming.write_pulses,
        "write_energy": programming.write_energy,
        "inputs": layer.inputs,
        "outputs": layer.outputs,
        "array_energy_per_token": layer.array_energy_per_token,
    }


def _matrix(layer: MatrixSummary) -> Content:
    found = _figures_of_matrix(layer) | _place(layer)
    found["saturated_codes"] = None
    found["worst_tile"] = None
    found["compensation"] = None
    if layer.compensation is not None:
        found["compensation"] = dataclasses.asdict(layer.compensation)
    found["converters"] = None
    found["drift_scales"] = None
    if layer.drift_scales is not None:
        found["drift_scales"] = dataclasses.asdict(layer.drift_scales)
    if layer.read_noise_error is not None:
        found["read_noise_error"] = layer.read_noise_error
    if layer.rows_per_image is not None:
        found["rows_per_image"] = layer.rows_per_image
    if layer.defect_map is not None:
        found["defect_map"] = dataclasses.asdict(layer.defect_map)
    if layer.self_correction is not None:
        found["self_correction"] = dataclasses.asdict(layer.self_correction)
    if layer.converters is not None:
        found["converters"] = dataclasses.asdict(layer.converters)
    if layer.saturated_codes is not None:
        found["saturated_codes"] = dataclasses.asdict(layer.saturated_codes)
    if layer.ir_drop is not None and layer.ir_drop.worst is not None:
        found["worst_tile"] = dataclasses.asdict(layer.ir_drop.worst)
    return found


def _product(product: ProductSummary) -> Content:
    return {
        "product": product.name,
        **_errors(product),
        "adc_saturated": product.adc_saturated,
        "dac_saturated": product.dac_saturated,
        "cells_set": product.cells_set,
        "write_energy": product.write_energy,
        **_place(product),
    }


def _function(function: FunctionSummary) -> Content:
    return {
        "operation": function.name,
        **_errors(function),
        "saturations": function.saturations,
        **_place(function),
    }
