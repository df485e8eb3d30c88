"""What errors of the dense memory do to a model: bit-error rate and accuracy against the length of a segment.

The INT8 digital path with its weights read from the dense crossbar once per simulated chip (`dense.Memory`).
"""
import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim import bert, dense, quantize, tasks
from xbarsim.device import load_device
from xbarsim.errors import OutOfRangeError
from xbarsim.metrics import over_chips, value_of
from xbarsim.units import interval_x100


@dataclass(frozen=True)
class Row:
    """One segment length or one stated rate.

    columns : None where the rate is stated;  mean, worst_place : bit-error rates over and at the worst of the stretches
    worst_data : at the worst place with 15 of 16 cells conducting, None where the rate is stated
    values : metric of each simulated chip, empty if no model was run;  wrong_weights : in all matrices, of each
    """

    columns: int | None
    mean: float
    worst_place: float
    worst_data: float | None
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
    """rows : list of Row;  metric, reference, examples : of the model on error-free weights, None if none was run
    notes : how the examples were chosen"""

    rows: list
    metric: str | None = None
    reference: float | None = None
    examples: int | None = None
    notes: tuple[str, ...] = ()


def run(study, lengths=(), rates=(), chips=0, threads=None, progress=None):
    """Report of segments of the given lengths and of stated bit-error rates, on `chips` chips each (0: no model).

    Rows, device, wires and everything else of a segment are those of the study.
    """
    if not lengths and not rates:
        raise OutOfRangeError("no segment length and no rate is given; needed is one of either")
    if study.memory.bits_per_cell > 1 and rates:
        raise OutOfRangeError(f"memory.bits_per_cell is {study.memory.bits_per_cell}; stated bit-error rates need 1")
    device = load_device(study.device.name).in_study(study)
    entries = [(Row(columns, mean, place, data), confusion) for columns, mean, place, data, confusion in
               dense.against_length(study.memory, study.wires.resistances(), device, study.seed, lengths)]
    entries += [(Row(None, rate, rate, None), dense.stated(rate, 1)) for rate in rates]
    if not chips:
        return Report([row for row, _ in entries])
    prepared = tasks.prepare(study, threads, progress)
    model, scored = prepared.model, prepared.scored
    ranges = quantize.input_ranges(model, prepared.calibration, threads=threads)
    names = bert.matrix_names(model.config)
    done = progress and progress("models read from memory", 1 + chips * len(entries))

    def metric(read=None):
        features = bert.embed(model, prepared.tokens, quantize.int8_linear(model, ranges, read), pooling=study.task.pooling,
                              threads=threads)
        if done:
            done(1)
        return value_of(scored, prepared.head.predict(features), prepared.metric)

    reference, rows = metric(), []
    for row, confusion in entries:
        values, wrong = [], []
        for chip in range(chips):
            memory = dense.Memory(row.columns or study.memory.columns, confusion, study.seed + chip,
                                  {name: k for k, name in enumerate(names)})
            count = []
            values.append(metric(lambda name, codes, memory=memory, count=count: _counted(memory, name, codes, count)))
            wrong.append(sum(count))
        rows.append(dataclasses.replace(row, values=tuple(values), wrong_weights=tuple(wrong)))
    return Report(rows, prepared.metric, reference, len(scored), prepared.notes)


def _counted(memory, name, codes, count):
    read = memory.read(name, codes)
    count.append(int((read != codes).sum()))
    return read


def render(report):
    """The report as text."""
    lines = [f"{'columns':>8}{'bit-error rate':>16}{'worst place':>13}{'worst data':>12}"
             + (f"{report.metric + ' x 100':>16}   {'95 % over chips':<18}{'wrong weights':>14}" if report.metric else "")]
    for row in report.rows:
        data = "" if row.worst_data is None else f"{row.worst_data:.1e}"
        line = f"{row.columns or 'stated':>8}{row.mean:>16.1e}{row.worst_place:>13.1e}{data:>12}"
        if row.values:
            mean, low, high = row.interval
            bounds = "-" if low is None else interval_x100(low, high)
            line += f"{100 * mean:>16.2f}   {bounds:<18}{np.mean(row.wrong_weights):>14,.0f}"
        lines.append(line)
    if report.metric:
        lines.append(f"without errors: {report.metric} x 100 = {100 * report.reference:.2f} on {report.examples} examples; "
                     f"{len(report.rows[0].values)} chips each; the sentences are the same")
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)
