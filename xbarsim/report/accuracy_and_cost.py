"""Accuracy from traces beside energy, area and latency of chips: one row per case and chip."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbarsim import config
from xbarsim.base.errors import ConfigError, TraceError
from xbarsim.base.files import replacing
from xbarsim.chips.compare import FIGURES, UNITS, figures, headings, printed
from xbarsim.chips.load import Description, load_chip, parse_chip
from xbarsim.chips.result import RollUp
from xbarsim.chips.rollup import roll_up
from xbarsim.config.study import Study
from xbarsim.models.shapes import OF_A_DECODER, Shape, shape_of_matrices
from xbarsim.report.files import write_table
from xbarsim.report.metric_form import form_of
from xbarsim.report.summary import CaseSummary, Summary
from xbarsim.studies.scores import Estimate
from xbarsim.tasks.language_files import LanguageKind

# what a trace and an in-situ chip must agree on for the accuracy to be that of the chip
SHARED = {
    "mapping": ("word_lines", "bit_lines", "encoding", "sign", "array", "placement"),
    "dac": ("bits", "encoding", "polarity", "read_time_ns"),
    "adc": ("bits",),
}
FILES = ("joined.json", "joined.csv")
# what they must agree on besides, of chips that make use of it
SLICES = ("weight_bits", "bits_per_cell")
PAIR = ("subtraction",)
SERIAL = ("digit_bits",)
COUNTING = ("word_lines", "bit_lines", "rows_per_conversion", "adc_bits", "digit_bits")

Pair = tuple[str, Any, Any]  # key, of the simulated case, of the chip


@dataclass(frozen=True)
class Row:
    """A case of a trace on a chip.

    metric : its name;  estimate : of it
    differs : what the simulated case and the chip do not share, as "key case/chip"; empty where the
        accuracy is that of the chip, and only then the array energy of the circuit solve is used
    """

    trace: str
    case: str
    metric: str
    estimate: Estimate
    result: RollUp
    differs: tuple[str, ...]


def join(summaries: Sequence[Summary], chips: Sequence[str] = (), batch: int = 1) -> list[Row]:
    """Rows of every case of the summaries on the chips named, or on the case's own `chip` where
    none is named.

    The model has the shape of the traced matrices and the sequence the traced sentences' mean
    length, rounded.  Cases of a model that chips do not price are left out, see `not_joined`.

    Raises
    ------
    ConfigError : a chip that cannot be loaded
    TraceError : an older trace without the number of attention heads
    """
    rows = []
    for summary in summaries:
        for case in summary.cases:
            study = _study(case)
            for name in chips or _own_chip(study):
                description = _description(summary, name, asked=bool(chips))
                if _why_not(summary, case) is None:
                    rows.append(_row(summary, case, study, description, batch))
    return rows


def not_joined(summaries: Sequence[Summary], chips: Sequence[str] = ()) -> list[str]:
    """Sentences on the chips, named or of a case's own, that do not price a summary's model."""
    notes = []
    for summary in summaries:
        for case in summary.cases:
            names = chips or _own_chip(_study(case))
            reason = _why_not(summary, case) if names else None
            if reason is not None:
                notes += [f"chip {name}: not joined, {reason}" for name in names]
    return list(dict.fromkeys(notes))


def _study(case: CaseSummary) -> Study:
    return config.validate(tomllib.loads(case.study), f"case {case.name!r}")


def _own_chip(study: Study) -> list[str]:
    return [study.chip] if study.chip else []


def _why_not(summary: Summary, case: CaseSummary) -> str | None:
    """Why chips do not price the model of a case; None where they do."""
    try:
        _shape(summary, case)
    except ConfigError as error:
        return str(error)
    return None


def _shape(summary: Summary, case: CaseSummary) -> Shape:
    """Of the traced matrices.

    Raises
    ------
    ConfigError : a model that chips do not price
    TraceError : an older trace without the number of attention heads
    """
    heads = summary.run.heads
    if heads is None:
        raise TraceError(
            f"{summary.path} does not state the attention heads of its model, which "
            "the cost of a chip depends on: an older xbarsim wrote it; run the study again"
        )
    if summary.run.task_kind in tuple(LanguageKind):
        raise ConfigError(OF_A_DECODER)
    sizes = {layer.name: (layer.inputs, layer.outputs) for layer in case.layers}
    return shape_of_matrices(sizes, heads)


def _description(summary: Summary, name: str, asked: bool) -> Description:
    """The chip of a case as the trace holds it; as its file is now where it was asked for or an
    older trace."""
    description: Description
    if asked or name not in summary.chip_texts:
        description = load_chip(name)
    else:
        description = parse_chip(name, summary.chip_texts[name])
    return description


def _row(
    summary: Summary, case: CaseSummary, study: Study, description: Description, batch: int
) -> Row:
    chip: Any = description.chip  # one of several kinds
    differs = differences(study, chip)
    solved = None
    if chip.kind == "in-situ" and not differs:
        solved = {layer.name: layer.array_energy_per_token for layer in case.layers}
    result = roll_up(
        description,
        summary.run.model,
        max(1, round(summary.tokens / summary.sentences)),
        batch,
        shape=_shape(summary, case),
        read_energy=solved,
    )
    return Row(
        trace=summary.path,
        case=case.name,
        metric=summary.run.metric,
        estimate=case.metric,
        result=result,
        differs=differs,
    )


# ---------------------------------------------------------------- what a case and a chip share


def differences(study: Study, chip: Any) -> tuple[str, ...]:
    """("key case/chip", ...) of what a simulated study and a chip do not share."""
    kind = "in-situ"
    if study.products.weights == "computation":
        kind = "synergy"
    if chip.kind != kind:
        return (f"kind {kind}/{chip.kind}",)
    if kind == "synergy":
        return _unequal(_counting_pairs(study, chip))
    if not study.effects.converters:
        return ("effects.converters false/true",)
    if not (study.effects.with_dac and study.effects.with_adc):
        return (f"effects.without {'+'.join(study.effects.without)}/none",)
    return _unequal(_in_situ_pairs(study, chip))


def _counting_pairs(study: Study, chip: Any) -> list[Pair]:
    simulated = study.computation
    described = chip.computation
    pairs: list[Pair] = [
        (f"computation.{name}", getattr(simulated, name), getattr(described, name))
        for name in COUNTING
    ]
    bits = simulated.digit_bits
    cells = bits
    if simulated.digit_cells == "equal":
        cells = 2**bits - 1
    pairs.append(("computation cells per digit", cells, described.cells_per_digit))
    attention = study.products.attention.replace("digital", "host")
    pairs.append(("attention", attention, chip.operations.attention))
    return pairs


def _in_situ_pairs(study: Study, chip: Any) -> list[Pair]:
    keys = {table: list(names) for table, names in SHARED.items()}
    if chip.mapping.encoding == "slices":
        keys["mapping"] += SLICES
    if chip.mapping.sign == "pair":
        keys["mapping"] += PAIR
    if chip.dac.encoding == "bit_serial":
        keys["dac"] += SERIAL
    pairs: list[Pair] = []
    for table_name, names in keys.items():
        simulated = getattr(study, table_name)
        described = getattr(chip, table_name)
        for name in names:
            key = f"{table_name}.{name}"
            pairs.append((key, getattr(simulated, name), getattr(described, name)))
    columns = "dummy" if chip.organisation.dummy_columns else "none"
    pairs.append(("correction.columns", study.correction.columns, columns))
    pairs.append(("products.attention", study.products.attention, "digital"))
    return pairs


def _unequal(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(
        f"{key} {simulated}/{described}"
        for key, simulated, described in pairs
        if simulated != described
    )


# ---------------------------------------------------------------- text and files


def table(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
    """(header, table rows, lines of remarks) of strings."""
    header = (
        "case",
        "chip",
        form_of(rows[0].metric).heading,
        "95 % interval",
        *(figure.heading for figure in FIGURES.values()),
    )
    body = [_table_row(row) for row in rows]
    remarks = []
    for row in rows:
        remarks.append(
            f"{row.result.model}: {row.result.sequence} tokens per sentence (mean), "
            f"batch {row.result.batch}; energy per sentence"
        )
    for row in rows:
        remarks.append(f"{row.case} on {row.result.chip}: array reads {row.result.read_energy}")
        if row.differs:
            remarks.append(
                "  * the accuracy is of another organisation (case/chip): " + ", ".join(row.differs)
            )
    return header, body, list(dict.fromkeys(remarks))


def _table_row(row: Row) -> tuple[str, ...]:
    star = "*" if row.differs else ""
    form = form_of(row.metric)
    return (
        row.case,
        row.result.chip + star,
        form.value(row.estimate.value),
        form.interval(row.estimate.low, row.estimate.high),
        *printed(row.result),
    )


def to_json(rows: Sequence[Row], trace: str) -> dict[str, list[dict[str, Any]]]:
    """{"chips": [...]} of the rows of one trace as plain values, with units; nothing where there
    are none.
    """
    chosen = [_plain(row) for row in rows if row.trace == trace]
    return {"chips": chosen} if chosen else {}


def _plain(row: Row) -> dict[str, Any]:
    values: dict[str, float] = figures(row.result)
    units = {name: UNITS[name] for name in FIGURES}
    return {**_source(row), **values, **_remarks(row), "units": units}


def _source(row: Row) -> dict[str, Any]:
    """What the row is of, and the metric (a fraction, not times 100)."""
    return {
        "trace": row.trace,
        "case": row.case,
        "chip": row.result.chip,
        "metric": row.metric,
        "value": row.estimate.value,
        "low": row.estimate.low,
        "high": row.estimate.high,
        "sequence": row.result.sequence,
        "batch": row.result.batch,
    }


_IN_UNITS = {"sequence": "sequence (tokens)", "batch": "batch (sequences)"}  # columns of a table


def _remarks(row: Row) -> dict[str, str]:
    return {"read_energy": row.result.read_energy, "differs": "; ".join(row.differs)}


def write_files(rows: Sequence[Row], directory: str | Path) -> tuple[Path, Path]:
    """Write joined.json and joined.csv; their paths."""
    as_json, as_csv = (Path(directory) / name for name in FILES)
    with replacing(as_json) as file:
        file.write(json.dumps([_plain(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    source = [_IN_UNITS.get(key, key) for key in _source(rows[0])]
    header = [*source, *headings(), *_remarks(rows[0])]
    body = [
        [*_source(row).values(), *figures(row.result).values(), *_remarks(row).values()]
        for row in rows
    ]
    write_table(as_csv, header, body)
    return as_json, as_csv
