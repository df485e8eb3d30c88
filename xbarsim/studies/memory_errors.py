"""What errors of the dense memory do to a model: bit-error rate and accuracy against the length of
a segment.

The INT8 digital path with its weights read from the dense crossbar once per simulated chip
(`store.Memory`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.arrays.memory import store
from xbarsim.arrays.memory.confusion import Confusion, stated
from xbarsim.base.array_types import AnyArray
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.progress import Progress, silent
from xbarsim.base.units import interval_x100
from xbarsim.config.study import Study
from xbarsim.devices.presets import load_device
from xbarsim.models import int8
from xbarsim.models.network import embed
from xbarsim.models.operations import Hook
from xbarsim.studies.prepare import Prepared, prepare
from xbarsim.tasks.metrics import over_chips, value_of

LENGTHS = (64, 128, 256, 512, 1024, 2048)  # of the segments that are usually compared


@dataclass(frozen=True)
class Row:
    """One segment length or one stated rate.

    columns : None where the rate is stated
    mean, worst_place : bit-error rates over and at the worst of the stretches
    worst_data : at the worst place with 15 of 16 cells conducting, None where the rate is stated
    mean_error, worst_place_error, worst_data_error : their standard errors
    values : metric of each simulated chip, empty if no model was run
    wrong_weights : in all matrices, of each
    """

    columns: int | None
    mean: float
    worst_place: float
    worst_data: float | None
    mean_error: float = 0.0
    worst_place_error: float = 0.0
    worst_data_error: float = 0.0
    values: tuple[float, ...] = ()
    wrong_weights: tuple[int, ...] = ()

    def interval(self, metric: str) -> tuple[float, float | None, float | None]:
        """(mean, low, high) of the values of a metric over chips, see `metrics.over_chips`; of a single
        chip both bounds are None.
        """
        low, high = over_chips(self.values, metric)
        return float(np.mean(self.values)), low, high


@dataclass(frozen=True)
class Report:
    """What was found.

    metric, reference, examples : of the model on error-free weights, None if none was run
    notes : how the examples were chosen
    """

    rows: list[Row]
    metric: str | None = None
    reference: float | None = None
    examples: int | None = None
    notes: tuple[str, ...] = ()


def run(
    study: Study,
    lengths: Sequence[int] = (),
    rates: Sequence[float] = (),
    chips: int = 0,
    threads: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Report of segments of the given lengths and of stated bit-error rates, on `chips` chips each
    (0: no model).

    Rows, device, wires and everything else of a segment are those of the study.

    Raises
    ------
    OutOfRangeError : neither a length nor a rate; rates of cells of several bits
    """
    if not lengths and not rates:
        raise OutOfRangeError("no segment length and no rate is given; needed is one of either")
    if study.memory.bits_per_cell > 1 and rates:
        raise OutOfRangeError(
            f"memory.bits_per_cell is {study.memory.bits_per_cell}; stated bit-error rates need 1"
        )
    device = load_device(study.device.name).in_study(study)
    solved = store.against_length(study.memory, study.wires, device, study.seed, lengths)
    entries = [(_row_of(row), row.confusion) for row in solved]
    entries += [(Row(None, rate, rate, None), stated(rate, 1)) for rate in rates]
    if not chips:
        return Report([row for row, _ in entries])
    prepared = prepare(study, threads, progress)
    reads = _Reads(study, prepared, threads, progress, total=1 + chips * len(entries))
    reference = reads.metric(reads.hook())
    rows = [reads.on_chips(row, confusion, chips) for row, confusion in entries]
    return Report(rows, prepared.metric, reference, len(prepared.scored), prepared.notes)


def _row_of(row: store.LengthRow) -> Row:
    return Row(
        columns=row.columns,
        mean=row.mean.value,
        worst_place=row.worst_place.value,
        worst_data=row.worst_data.value,
        mean_error=row.mean.error,
        worst_place_error=row.worst_place.error,
        worst_data_error=row.worst_data.error,
    )


class _Reads:
    """A model that is evaluated on weights as memories return them."""

    def __init__(
        self,
        study: Study,
        prepared: Prepared,
        threads: int | None,
        progress: Progress,
        total: int,
    ) -> None:
        self.study = study
        self.prepared = prepared
        self.threads = threads
        self.ranges = int8.input_ranges(prepared.model, prepared.calibration, threads=threads)
        matrices = prepared.model.graph.matrices
        self.index = {step.name: number for number, step in enumerate(matrices)}
        self.done = progress("models read from memory", total)

    def hook(self, read: int8.Read | None = None) -> Hook:
        return int8.int8_hook(self.prepared.model, self.ranges, read)

    def metric(self, hook: Hook) -> float:
        """The metric of all scored examples."""
        features = embed(
            self.prepared.model,
            self.prepared.tokens,
            hook,
            pooling=self.study.task.pooling,
            threads=self.threads,
        )
        self.done(1)
        predicted = self.prepared.head.predict(features)
        return value_of(self.prepared.scored, predicted, self.prepared.metric)

    def on_chips(self, row: Row, confusion: Confusion, chips: int) -> Row:
        """The row with the metric and the wrong weights of every chip."""
        values = []
        wrong_weights = []
        for chip in range(chips):
            memory = store.Memory(
                columns=row.columns or self.study.memory.columns,
                confusion=confusion,
                seed=self.study.seed + chip,
                index=self.index,
            )
            counting = _CountingRead(memory)
            values.append(self.metric(self.hook(counting)))
            wrong_weights.append(counting.wrong)
        return dataclasses.replace(row, values=tuple(values), wrong_weights=tuple(wrong_weights))


class _CountingRead:
    """The read of a memory that counts the weights it returns wrong."""

    def __init__(self, memory: store.Memory) -> None:
        self.memory = memory
        self.wrong = 0

    def __call__(self, name: str, codes: AnyArray) -> AnyArray:
        read = self.memory.read(name, codes)
        self.wrong += int((read != codes).sum())
        return read


# ---------------------------------------------------------------- text


def render(report: Report) -> str:
    """The report as text; after a rate that was solved the half width of its 95 % interval, from
    the drawn surroundings.
    """
    header = f"{'columns':>8}{'bit-error rate':>20}{'worst place':>20}{'worst data':>20}"
    if report.metric:
        header += f"{report.metric + ' x 100':>16}   {'95 % over chips':<18}{'wrong weights':>14}"
    lines = [header]
    lines += [_line(row, report.metric) for row in report.rows]
    if report.metric and report.reference is not None:
        lines.append(
            f"without errors: {report.metric} x 100 = {100 * report.reference:.2f} on "
            f"{report.examples} examples; {len(report.rows[0].values)} chips each; the sentences "
            "are the same"
        )
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values; rates and metrics are shares of one."""
    rows = []
    for row in report.rows:
        facts = dataclasses.asdict(row)
        if row.values and report.metric is not None:
            interval = row.interval(report.metric)
            facts["metric"], facts["metric_low"], facts["metric_high"] = interval
        rows.append(facts)
    return {
        "rows": rows,
        "metric": report.metric,
        "without_errors": report.reference,
        "examples": report.examples,
        "notes": list(report.notes),
    }


def _line(row: Row, metric: str | None) -> str:
    line = f"{row.columns or 'stated':>8}"
    line += f"{_rate(row.mean, row.mean_error):>20}"
    line += f"{_rate(row.worst_place, row.worst_place_error):>20}"
    line += f"{_rate(row.worst_data, row.worst_data_error):>20}"
    if not row.values or metric is None:
        return line
    mean, low, high = row.interval(metric)
    bounds = "-"
    if low is not None and high is not None:
        bounds = interval_x100(low, high)
    return line + f"{100 * mean:>16.2f}   {bounds:<18}{np.mean(row.wrong_weights):>14,.0f}"


def _rate(value: float | None, error: float) -> str:
    """A rate as text, with 1.96 standard errors in percent of it where there are any."""
    if value is None:
        return ""
    if not value or not error:
        return f"{value:.1e}"
    return f"{value:.1e} +- {100 * 1.96 * error / value:.0f} %"
