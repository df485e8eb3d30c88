"""What errors of the dense memory do to a model: bit-error rate and accuracy against the length of
a segment.

The INT8 digital path with its weights read from the dense crossbar once per simulated chip
(`store.Memory`).
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.memory import store
from xbarsim.arrays.memory.confusion import stated
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.progress import silent
from xbarsim.base.units import interval_x100
from xbarsim.devices.presets import load_device
from xbarsim.models import int8
from xbarsim.models.network import embed
from xbarsim.studies.prepare import prepare
from xbarsim.tasks.metrics import over_chips, value_of

LENGTHS = (64, 128, 256, 512, 1024, 2048)  # of the segments that are usually compared


@dataclass(frozen=True)
class Row:
    """One segment length or one stated rate.

    columns : None where the rate is stated;  mean, worst_place : bit-error rates over and at the
        worst of the stretches
    worst_data : at the worst place with 15 of 16 cells conducting, None where the rate is stated
    mean_error, worst_place_error, worst_data_error : their standard errors
    values : metric of each simulated chip, empty if no model was run;  wrong_weights : in all
        matrices, of each
    """

    columns: int | None
    mean: float
    worst_place: float
    worst_data: float | None
    mean_error: float = 0.0
    worst_place_error: float = 0.0
    worst_data_error: float = 0.0
    values: tuple = ()
    wrong_weights: tuple = ()

    @property
    def interval(self):
        """(mean, low, high) of the metric over chips, see `metrics.over_chips`; of a single chip
        both bounds are None."""
        low, high = over_chips(self.values)
        return float(np.mean(self.values)), low, high


@dataclass(frozen=True)
class Report:
    """rows : list of Row;  metric, reference, examples : of the model on error-free weights, None
    if none was run
    notes : how the examples were chosen"""

    rows: list
    metric: str | None = None
    reference: float | None = None
    examples: int | None = None
    notes: tuple[str, ...] = ()


def run(study, lengths=(), rates=(), chips=0, threads=None, progress=silent):
    """Report of segments of the given lengths and of stated bit-error rates, on `chips` chips each
    (0: no model).

    Rows, device, wires and everything else of a segment are those of the study.
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
    model, scored = prepared.model, prepared.scored
    ranges = int8.input_ranges(model, prepared.calibration, threads=threads)
    names = [step.name for step in model.graph.matrices]
    done = progress("models read from memory", 1 + chips * len(entries))

    def metric(read=None):
        features = embed(
            model,
            prepared.tokens,
            int8.int8_hook(model, ranges, read),
            pooling=study.task.pooling,
            threads=threads,
        )
        done(1)
        return value_of(scored, prepared.head.predict(features), prepared.metric)

    reference, rows = metric(), []
    for row, confusion in entries:
        values, wrong = [], []
        for chip in range(chips):
            memory = store.Memory(
                row.columns or study.memory.columns,
                confusion,
                study.seed + chip,
                {name: k for k, name in enumerate(names)},
            )
            count = []
            values.append(
                metric(
                    lambda name, codes, memory=memory, count=count: _counted(
                        memory, name, codes, count
                    )
                )
            )
            wrong.append(sum(count))
        rows.append(dataclasses.replace(row, values=tuple(values), wrong_weights=tuple(wrong)))
    return Report(rows, prepared.metric, reference, len(scored), prepared.notes)


def _row_of(row):
    """Row of a store.LengthRow."""
    rates = row.mean, row.worst_place, row.worst_data
    return Row(row.columns, *(rate.value for rate in rates), *(rate.error for rate in rates))


def _counted(memory, name, codes, count):
    read = memory.read(name, codes)
    count.append(int((read != codes).sum()))
    return read


def render(report):
    """The report as text; after a rate that was solved the half width of its 95 % interval, from
    the drawn surroundings.
    """
    lines = [
        f"{'columns':>8}{'bit-error rate':>20}{'worst place':>20}{'worst data':>20}"
        + (
            f"{report.metric + ' x 100':>16}   {'95 % over chips':<18}{'wrong weights':>14}"
            if report.metric
            else ""
        )
    ]
    for row in report.rows:
        line = (
            f"{row.columns or 'stated':>8}{_rate(row.mean, row.mean_error):>20}"
            f"{_rate(row.worst_place, row.worst_place_error):>20}{_rate(row.worst_data, row.worst_data_error):>20}"
        )
        if row.values:
            mean, low, high = row.interval
            bounds = "-" if low is None else interval_x100(low, high)
            line += f"{100 * mean:>16.2f}   {bounds:<18}{np.mean(row.wrong_weights):>14,.0f}"
        lines.append(line)
    if report.metric:
        lines.append(
            f"without errors: {report.metric} x 100 = {100 * report.reference:.2f} on {report.examples} examples; "
            f"{len(report.rows[0].values)} chips each; the sentences are the same"
        )
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def _rate(value, error):
    """A rate as text, with 1.96 standard errors in percent of it where there are any."""
    if value is None:
        return ""
    if not value or not error:
        return f"{value:.1e}"
    return f"{value:.1e} +- {100 * 1.96 * error / value:.0f} %"
