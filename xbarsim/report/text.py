"""Summaries as text."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from xbarsim.base.units import engineering
from xbarsim.models.graph import Role
from xbarsim.report import training_text
from xbarsim.report.array_text import convolution_lines, defect_lines, self_correction_lines
from xbarsim.report.case_places import table_of
from xbarsim.report.converter_text import converter_lines, drift_lines
from xbarsim.report.metric_form import MetricForm, form_of
from xbarsim.report.steps import FunctionSummary, MatrixSummary, ProductSummary, StepSummary
from xbarsim.report.summary import REFERENCES, CaseSummary, PathSummary, Summary, named_paths
from xbarsim.report.token_text import token_tables

Step = TypeVar("Step", bound=StepSummary)


def render(summary: Summary) -> str:
    """The table that `xbarsim run` and `xbarsim report` print."""
    lines = [*_head(summary), "", *_grid(summary), *_paths(summary), *token_tables(summary)]
    if summary.cases:
        first = summary.cases[0]
        if len(summary.cases) > 1:
            lines += ["", _which(first.name, len(summary.cases))]
        lines += ["", *_layer_grid(first), *_products(first), *_operations(first)]
        lines += ["", *_hardware(first)]
    if summary.training is not None:
        lines += ["", "training", *training_text.lines(summary.training), ""]
    lines.append(f"trace  {summary.path}")
    return "\n".join(lines)


def _which(name: str, cases: int) -> str:
    """Whose details follow."""
    return f"all that follows is of {name!r}, the first of {cases} cases; --html FILE and --json have the others"


def _head(summary: Summary) -> list[str]:
    run = summary.run
    lines = [
        f"{run.model} on {run.task}: {_size(summary)}, "
        f"head {run.head}, study {summary.study!r}, seed {run.seed}"
    ]
    if not run.complete:
        lines.append(
            "INCOMPLETE: the run was interrupted, or is under way; figures cover the examples that "
            "are finished."
        )
    lines += [f"DAMAGED: {what}; figures cover what can be read." for what in summary.damage]
    if run.truncated_sentences:
        lines.append(
            f"{run.truncated_sentences} sentences were cut to the model's or the study's maximum "
            "length."
        )
    lines += [f"note: {note}" for note in summary.notes]
    lines += [f"NO EFFECT: {sentence}" for sentence in summary.idle_settings]
    return lines


def _size(summary: Summary) -> str:
    """How much was to be evaluated."""
    if summary.run.task_kind == "images":
        return f"{summary.examples:,} images"
    return f"{summary.examples} examples, {summary.tokens:,} tokens"


# ---------------------------------------------------------------- the metric


def _grid(summary: Summary) -> list[str]:
    """Cases with a row and a column as a table, where every row has the same two to four columns;
    the references above.
    """
    rows = table_of(summary.cases)
    columns = list(next(iter(rows.values()), ()))
    is_full = all(list(cases) == columns for cases in rows.values())
    if len(rows) < 2 or not 2 <= len(columns) <= 4 or not is_full:
        return []
    form = form_of(summary.run.metric)
    lines = [_grid_line(form.heading, columns)]
    for path in summary.references:
        lines.append(_grid_line(REFERENCES[path.name], [form.estimate(path.metric)]))
    for row, cases in rows.items():
        lines.append(_grid_line(row, [form.estimate(case.metric) for case in cases.values()]))
    return [*lines, ""]


def _grid_line(name: str, cells: Iterable[str]) -> str:
    return (f"{name:<28}" + "".join(f"{cell:<26}" for cell in cells)).rstrip()


def _paths(summary: Summary) -> list[str]:
    """The metric of every path, a line each."""
    form = form_of(summary.run.metric)
    named = named_paths(summary)
    width = max(28, *(len(name) + 1 for name, _ in named))
    heading = (
        f"{'path':<{width}}{form.heading:>16}   {'95 % interval':<18}{'examples':>8}"
        f"   {form.change:<26}"
    )
    if any(case.chips.several for case in summary.cases):
        heading += f"   {'95 % over chips':<18}{'chips':>5}"
    rows = [_metric_row(form, f"{name:<{width}}", path) for name, path in named]
    return [heading.rstrip(), *rows]


def _metric_row(form: MetricForm, name: str, path: PathSummary) -> str:
    metric = path.metric
    interval = form.interval(metric.low, metric.high)
    row = f"{name}{form.value(metric.value):>16}   {interval:<18}{path.examples:>8}"
    if not isinstance(path, CaseSummary):
        return row
    if path.change is not None:
        row += f"   {form.changed(path.change):<26}"
    chips = path.chips
    if chips.low is not None and chips.high is not None:
        row += f"   {form.interval(chips.low, chips.high):<18}{len(chips.values):>5}"
    return row.rstrip()


# ---------------------------------------------------------------- steps


def _layer_grid(case: CaseSummary) -> list[str]:
    """Local SNR of every matrix, one line per layer, and the accumulated one after its last."""
    layers: dict[int | None, list[MatrixSummary]] = {}
    for matrix in case.layers:
        layers.setdefault(matrix.layer, []).append(matrix)
    roles = list(dict.fromkeys(matrix.role for matrix in case.layers))
    headings = "".join(f"{role:>18}" for role in roles)
    lines = [
        f"local SNR in dB of each matrix on {case.name!r} (last: accumulated SNR after the layer)",
        f"{'layer':<7}{headings}{'accumulated':>14}",
    ]
    numbered = sorted(number for number in layers if number is not None)
    lines += [_layer_line(str(number), layers[number], roles) for number in numbered]
    if None in layers:
        lines.append(_layer_line("-", layers[None], roles))
    return lines


def _layer_line(name: str, matrices: Sequence[MatrixSummary], roles: Sequence[Role]) -> str:
    by_role = {matrix.role: f"{matrix.local_snr_db:.1f}" for matrix in matrices}
    cells = "".join(f"{by_role.get(role, ''):>18}" for role in roles)
    return f"{name:<7}{cells}{matrices[-1].accumulated_snr_db:>14.1f}"


def _by_role(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """{name within the layer: steps of all layers}."""
    found: dict[Role, list[Step]] = {}
    for step in steps:
        found.setdefault(step.role, []).append(step)
    return {of_role[0].short_name: of_role for of_role in found.values()}


def _worst(steps: Sequence[StepSummary]) -> str:
    local = min(step.local_snr_db for step in steps)
    accumulated = min(step.accumulated_snr_db for step in steps)
    return f"{local:>22.1f}{accumulated:>14.1f}"


def _products(case: CaseSummary) -> list[str]:
    """Errors of the products of activations, one line per role: the worst of the layers."""
    if not case.products:
        return []
    heading = (
        f"{'product':<22}{'worst local SNR in dB':>22}{'accumulated':>14}{'ADC saturated':>16}"
        f"{'cells set per example':>26}{'write energy':>16}"
    )
    lines = [_product_line(name, found) for name, found in _by_role(case.products).items()]
    return ["", heading, *lines]


def _product_line(name: str, products: Sequence[ProductSummary]) -> str:
    saturated = f"{100 * max(product.adc_saturated for product in products):.2f} %"
    cells_set = sum(product.cells_set for product in products)
    return (
        f"{name:<22}{_worst(products)}{saturated:>16}{cells_set:>26,.0f}"
        f"{_write_energy(products):>16}"
    )


def _write_energy(products: Sequence[ProductSummary]) -> str:
    """Joule of the writes of products of all layers, "not known" where any does not state it."""
    joules = [product.write_energy for product in products]
    if None in joules:
        return "not known"
    return engineering(sum(joule for joule in joules if joule is not None), "J")


def _operations(case: CaseSummary) -> list[str]:
    """Errors of the steps without weight matrix, one line per role: the worst of the layers."""
    if not case.operations:
        return []
    heading = (
        f"{'operation':<22}{'worst local SNR in dB':>22}{'accumulated':>14}"
        f"{'saturations per example':>26}"
    )
    lines = [_operation_line(name, found) for name, found in _by_role(case.operations).items()]
    return ["", heading, *lines]


def _operation_line(name: str, operations: Sequence[FunctionSummary]) -> str:
    saturations = sum(operation.saturations for operation in operations)
    return f"{name:<22}{_worst(operations)}{saturations:>26.1f}"


# ---------------------------------------------------------------- hardware


def _hardware(case: CaseSummary) -> list[str]:
    if not case.layers:
        return _cost(case)
    return [
        _tiles(case.layers),
        *_writing(case.layers),
        *convolution_lines(case.layers),
        *defect_lines(case.layers),
        *_compensation(case.layers),
        *self_correction_lines(case.layers),
        _ranges(case.layers),
        *_saturated_codes(case.layers),
        *converter_lines(case.study, case.layers),
        *drift_lines(case.layers),
        *_worst_tile(case.layers),
        *_read_noise(case.layers),
        *_cost(case),
    ]


def _tiles(layers: Sequence[MatrixSummary]) -> str:
    programmed = [layer.programming for layer in layers]
    tiles = sum(found.tiles for found in programmed)
    cells = sum(found.cells for found in programmed)
    clipped = sum(found.clipped_weights for found in programmed)
    stuck = sum(found.stuck_cells for found in programmed)
    bounded = sum(found.bounded_cells for found in programmed)
    return (
        f"tiles  {tiles:,} with {cells:,} cells; clipped weights {clipped:,}, stuck cells "
        f"{stuck:,}, cells held at a physical bound {bounded:,}"
    )


def _writing(layers: Sequence[MatrixSummary]) -> list[str]:
    pulses = sum(layer.programming.write_pulses for layer in layers)
    if not pulses:
        return []
    line = f"write  {pulses:,} pulses program all cells once"
    stated = [layer.programming.write_energy for layer in layers]
    joules = [joule for joule in stated if joule is not None]
    if joules:
        line += f", {engineering(sum(joules), 'J')}"
    return [line]


def _compensation(layers: Sequence[MatrixSummary]) -> list[str]:
    """What compensation made of the matrices that have it, and the one with the largest error."""
    found = {layer.name: layer.compensation for layer in layers if layer.compensation is not None}
    if not found:
        return []
    scales = [one.scale for one in found.values()]
    held = sum(one.held_cells for one in found.values())
    kinds = " and ".join(sorted({one.kind for one in found.values()}))
    worst = max(found, key=lambda name: found[name].weight_error)
    line = (
        f"compensation  {kinds}: weights use {100 * min(scales):.0f} to {100 * max(scales):.0f} % "
        f"of the window, {held:,} cells held at its end"
    )
    rewritten = [one.rewritten_cells for one in found.values() if one.rewritten_cells is not None]
    if rewritten:
        line += f", {sum(rewritten):,} cells written again"
    error = found[worst].weight_error
    return [f"{line}; weights err most in {worst}, {error:.2g} rms of them"]


def _ranges(layers: Sequence[MatrixSummary]) -> str:
    conversions = 100 * max(layer.adc_saturated for layer in layers)
    inputs = 100 * max(layer.dac_saturated for layer in layers)
    line = (
        f"range  ADC conversions saturated at most {conversions:.2f} % in a matrix, inputs "
        f"{inputs:.2f} %"
    )
    drops = [1 - layer.ir_drop.attenuation for layer in layers if layer.ir_drop is not None]
    if drops:
        line += f"; strongest mean IR drop {100 * max(drops):.2f} %"
    return line


def _saturated_codes(layers: Sequence[MatrixSummary]) -> list[str]:
    """The matrix whose codes are most often held at either end of their range."""
    held = {}
    for layer in layers:
        codes = layer.saturated_codes
        if codes is not None and codes.low + codes.high > 0:
            held[layer.name] = codes
    if not held:
        return []
    name, codes = max(held.items(), key=lambda item: item[1].low + item[1].high)
    return [
        f"codes  most at the ends of their range in {name}: {100 * codes.low:.2f} % at the lowest, "
        f"{100 * codes.high:.2f} % at the highest code"
    ]


def _worst_tile(layers: Sequence[MatrixSummary]) -> list[str]:
    """The tile of all matrices with the strongest IR drop."""
    tiles = {}
    for layer in layers:
        if layer.ir_drop is not None and layer.ir_drop.worst is not None:
            tiles[layer.name] = layer.ir_drop.worst
    if not tiles:
        return []
    name, worst = min(tiles.items(), key=lambda item: item[1].attenuation)
    if worst.attenuation >= 1:
        return []
    plane = "" if worst.plane is None else f", plane {worst.plane}"
    return [
        f"wires  worst tile: row block {worst.row_block}, column block {worst.column_block}{plane} "
        f"of {name}, IR drop {100 * (1 - worst.attenuation):.2f} %"
    ]


def _read_noise(layers: Sequence[MatrixSummary]) -> list[str]:
    """How far off the read noise behind wires may be on any tile."""
    errors = {}
    for layer in layers:
        if layer.read_noise_error is not None:
            errors[layer.name] = layer.read_noise_error
    if not errors:
        return []
    name, error = max(errors.items(), key=lambda item: item[1])
    return [
        f"noise  standard deviation of read noise behind wires: off by at most {100 * error:.2g} % on "
        f"any bit line (a tile of {name}), even for inputs that drive a quarter of the word lines "
        "and nothing else"
    ]


def _cost(case: CaseSummary) -> list[str]:
    cost = case.cost
    by_size = sorted(cost.energy.items(), key=lambda item: -item[1])
    parts = ", ".join(_part(part, joule, cost.assumed) for part, joule in by_size)
    events = ", ".join(
        f"{count:,.0f} {event.replace('_', ' ')}" for event, count in cost.events.items()
    )
    uncounted = "softmax, layer norm, GELU, buffers and data movement are not counted"
    if not case.products:
        uncounted = f"attention products, {uncounted}"
    if case.layers and all(layer.role is Role.DENSE for layer in case.layers):  # no transformer
        uncounted = "functions, buffers and data movement are not counted"
    total = engineering(cost.joules, "J")
    return [
        f"energy {total} per inference of the products on hardware: {parts}",
        f"events {events} per inference",
        f"       {uncounted}",
    ]


def _part(part: str, joule: float, assumed: Sequence[str]) -> str:
    text = f"{part} {engineering(joule, 'J')}"
    return f"{text} (assumed price)" if part in assumed else text
