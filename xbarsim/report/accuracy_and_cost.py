"""Accuracy from traces beside energy, area and latency of chips: one row per case and chip."""

import csv
import json
import tomllib
from dataclasses import dataclass

from xbarsim import config
from xbarsim.base.errors import TraceError
from xbarsim.base.files import replacing
from xbarsim.base.units import interval_x100
from xbarsim.chips.compare import FIGURES, UNITS, figures, headings, printed
from xbarsim.chips.load import load_chip, parse_chip
from xbarsim.chips.result import RollUp
from xbarsim.chips.rollup import roll_up
from xbarsim.models.shapes import shape_of_matrices

# what a trace and an in-situ chip must agree on for the accuracy to be that of the chip
SHARED = {
    "mapping": ("word_lines", "bit_lines", "encoding", "sign", "placement"),
    "dac": ("bits", "encoding", "polarity", "read_time_ns"),
    "adc": ("bits",),
}
FILES = ("joined.json", "joined.csv")
SLICES, PAIR, SERIAL = ("weight_bits", "bits_per_cell"), ("subtraction",), ("digit_bits",)


@dataclass(frozen=True)
class Row:
    """A case of a trace on a chip.  differs : what the simulated case and the chip do not share, as
    "key case/chip"; empty where the accuracy is that of the chip, and only then the array energy of
    the circuit solve is used.
    """

    trace: str
    case: str
    metric: str
    value: float
    low: float
    high: float
    result: RollUp
    differs: tuple


def join(summaries, chips=(), batch=1):
    """Rows of every case of the summaries on the chips named, or on the case's own `chip` where
    none is named.

    The model has the shape of the traced matrices and the sequence the traced sentences' mean
    length, rounded.

    Raises
    ------
    ConfigError : a chip that cannot be loaded, matrices that are not a BERT's
    TraceError : an older trace without the number of attention heads
    """
    rows = []
    for summary in summaries:
        sequence = max(1, round(summary.tokens / summary.sentences))
        for case in summary.cases:
            study = config.validate(tomllib.loads(case.study), f"case {case.name!r}")
            named = chips or ([study.chip] if study.chip else [])
            if named and summary.heads is None:
                raise TraceError(
                    f"{summary.path} does not state the attention heads of its model, which "
                    "the cost of a chip depends on: an older xbarsim wrote it; run the study again"
                )
            for name in named:
                description = _description(summary, name, asked=bool(chips))
                differs = differences(study, description.chip)
                in_situ = description.chip.kind == "in-situ" and not differs
                solved = (
                    {layer.matrix: layer.array_energy_per_token for layer in case.layers}
                    if in_situ
                    else None
                )
                shape = shape_of_matrices(
                    {layer.matrix: (layer.inputs, layer.outputs) for layer in case.layers},
                    summary.heads,
                )
                result = roll_up(
                    description, summary.model, sequence, batch, shape=shape, read_energy=solved
                )
                rows.append(
                    Row(
                        summary.path,
                        case.name,
                        summary.metric,
                        case.value,
                        case.low,
                        case.high,
                        result,
                        differs,
                    )
                )
    return rows


def _description(summary, name, asked):
    """The chip of a case as the trace holds it; as its file is now where it was asked for or an
    older trace."""
    if asked or name not in summary.chip_texts:
        return load_chip(name)
    return parse_chip(name, summary.chip_texts[name])


def differences(study, chip):
    """("key case/chip", ...) of what a simulated study and a chip do not share."""
    kind = "synergy" if study.products.weights == "computation" else "in-situ"
    if chip.kind != kind:
        return (f"kind {kind}/{chip.kind}",)
    if kind == "synergy":
        bits = study.computation.digit_bits
        cells = 2**bits - 1 if study.computation.digit_cells == "equal" else bits
        pairs = [
            (
                f"computation.{name}",
                getattr(study.computation, name),
                getattr(chip.computation, name),
            )
            for name in ("word_lines", "bit_lines", "rows_per_conversion", "adc_bits", "digit_bits")
        ]
        pairs += [
            ("computation cells per digit", cells, chip.computation.cells_per_digit),
            (
                "attention",
                study.products.attention.replace("digital", "host"),
                chip.operations.attention,
            ),
        ]
        return _unequal(pairs)
    if not study.effects.converters:
        return ("effects.converters false/true",)
    keys = {table: list(names) for table, names in SHARED.items()}
    keys["mapping"] += SLICES if chip.mapping.encoding == "slices" else ()
    keys["mapping"] += PAIR if chip.mapping.sign == "pair" else ()
    keys["dac"] += SERIAL if chip.dac.encoding == "bit_serial" else ()
    pairs = [
        (
            f"{table}.{name}",
            getattr(getattr(study, table), name),
            getattr(getattr(chip, table), name),
        )
        for table, names in keys.items()
        for name in names
    ]
    return _unequal([*pairs, ("products.attention", study.products.attention, "digital")])


def _unequal(pairs):
    return tuple(
        f"{key} {simulated}/{described}"
        for key, simulated, described in pairs
        if simulated != described
    )


def table(rows):
    """(header, table rows, lines of remarks) of strings."""
    header = (
        "case",
        "chip",
        f"{rows[0].metric} x 100",
        "95 % interval",
        *(figure.heading for figure in FIGURES.values()),
    )
    body = [
        (
            row.case,
            row.result.chip + ("*" if row.differs else ""),
            f"{100 * row.value:.2f}",
            interval_x100(row.low, row.high),
            *printed(row.result),
        )
        for row in rows
    ]
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


def to_json(rows, trace):
    """{"chips": [...]} of the rows of one trace as plain values, with units; nothing where there
    are none.
    """
    chosen = [_plain(row) for row in rows if row.trace == trace]
    return {"chips": chosen} if chosen else {}


def _plain(row):
    units = {name: UNITS[name] for name in FIGURES}
    return _source(row) | figures(row.result) | _remarks(row) | {"units": units}


def _source(row):
    """What the row is of, and the metric (a fraction, not times 100)."""
    return {
        "trace": row.trace,
        "case": row.case,
        "chip": row.result.chip,
        "metric": row.metric,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "sequence": row.result.sequence,
        "batch": row.result.batch,
    }


def _remarks(row):
    return {"read_energy": row.result.read_energy, "differs": "; ".join(row.differs)}


def write_files(rows, directory):
    """Write joined.json and joined.csv; their paths."""
    as_json, as_csv = (directory / name for name in FILES)
    with replacing(as_json) as file:
        file.write(json.dumps([_plain(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    with replacing(as_csv, newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_source(rows[0]), *headings(), *_remarks(rows[0])])
        for row in rows:
            values = figures(row.result).values()
            writer.writerow([*_source(row).values(), *values, *_remarks(row).values()])
    return as_json, as_csv
