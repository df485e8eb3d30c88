"""Pictures of results.  Needs matplotlib (the extra `plot`); every function takes plain results and writes one file."""
from pathlib import Path

import numpy as np

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.files import replacing
from xbarsim.base.units import prefixed
from xbarsim.report.summary import REFERENCES


def _figure(width, height, **options):
    """(figure, axes) that belong to no window and no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("pictures need matplotlib: pip install 'xbarsim[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**options)


def _save(figure, path):
    """Write a figure, as .png where the path has no suffix; returns the path that was written."""
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix(".png")
    kind = path.suffix[1:].lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise ConfigError(f"{path}: no picture has the suffix {path.suffix!r}; choose a suffix such as "
                          ".png, .pdf or .svg")
    with replacing(path, "wb") as file:
        figure.savefig(file, format=kind, dpi=150)
    return path


def layer_snr(summary, path):
    """SNR of every matrix in execution order, one line per case: of the matrix alone, and accumulated up to it.

    summary : summary.Summary;  path : file to write (.png, .pdf, .svg)
    """
    cases = [case for case in summary.cases if case.layers]
    if not cases:
        raise OutOfRangeError(f"{summary.path} has no case with layers: there is nothing to draw")
    figure, (local, accumulated) = _figure(10, 6, nrows=2, sharex=True)
    names = [layer.matrix for layer in cases[0].layers]
    for case in cases:
        for axes, kind in ((local, "local_snr_db"), (accumulated, "accumulated_snr_db")):
            values = np.array([getattr(layer, kind) for layer in case.layers])
            axes.plot(np.where(np.isfinite(values), values, np.nan), marker="o", markersize=3, linewidth=1, label=case.name)
    for axes, title in ((local, "each matrix alone: analog against float32 for the same input"),
                        (accumulated, "accumulated: against the float32 path")):
        axes.set_title(f"{title}", loc="left", fontsize=10)
        axes.set_ylabel("SNR (dB)")
        axes.grid(alpha=0.3)
    for start in range(6, len(names), 6):
        for axes in (local, accumulated):
            axes.axvline(start - 0.5, color="0.7", linewidth=0.8)
    figure.legend(*local.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    accumulated.set_xticks(range(len(names)), [name.removeprefix("layer.") for name in names], rotation=90, fontsize=7)
    figure.suptitle(f"{summary.model} on {summary.task}, study {summary.study!r}, {summary.examples} examples")
    return _save(figure, path)


def against(summary, curves, key, path):
    """Metric against a key of the study, one line per curve of `curves.against`.

    Bars with caps are 95 % over chips, pale bars 95 % over the sampled examples.  Curves stand a little beside each other.
    """
    figure, axes = _figure(9, 5)
    values = np.unique([value for curve in curves for value, _ in curve.points]).astype(float)
    logarithmic = values[0] > 0 and values[-1] > 10 * values[0]
    if logarithmic:
        axes.set_xscale("log")
    from matplotlib.transforms import ScaledTranslation

    for number, curve in enumerate(curves):
        x, cases = np.array([value for value, _ in curve.points], float), [case for _, case in curve.points]
        aside = ScaledTranslation((number - (len(curves) - 1) / 2) * 3 / 72, 0, figure.dpi_scale_trans)
        style = {"color": f"C{number}", "transform": axes.transData + aside}
        mean = np.array([100 * case.value for case in cases])
        axes.plot(x, mean, marker="o", markersize=4, linewidth=1.2, label=curve.series or "simulated", **style)
        axes.vlines(x, *100 * np.array([(case.low, case.high) for case in cases]).T, linewidth=3, alpha=0.2, **style)
        over = np.array([(at, *interval) for at, m, case in zip(x, mean, cases, strict=True) if len(case.chips) > 1
                         for interval in [(m, m - 100 * case.chips_low, 100 * case.chips_high - m)]])
        if len(over):
            axes.errorbar(over[:, 0], over[:, 1], yerr=np.maximum(over[:, 2:].T, 0), fmt="none", linewidth=1.2, capsize=3,
                          **style)
    for reference, style in zip(summary.references, ("--", ":"), strict=False):
        axes.axhline(100 * reference.value, color="0.3", linestyle=style, linewidth=1, label=REFERENCES[reference.name])
    _limits(axes, summary, [case for curve in curves for _, case in curve.points])
    _value_axis(axes, values, logarithmic)
    chips = sorted({len(case.chips) for curve in curves for _, case in curve.points} - {0, 1})
    bars = "pale bars: 95 % over examples" + (f"; caps: 95 % over {', '.join(map(str, chips))} chips" if chips else "")
    axes.set_xlabel(key)
    axes.set_ylabel(f"{summary.metric} x 100")
    axes.set_title(f"{summary.model} on {summary.task}, {summary.examples} examples; {bars}", loc="left", fontsize=9)
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return _save(figure, path)


def _limits(axes, summary, cases):
    """Heights that show every bar, within the range of the metric (of two chips an interval may go far beyond it)."""
    shown = [edge for path in (*summary.references, *cases) for edge in (path.low, path.high)]
    shown += [edge for case in cases if len(case.chips) > 1 for edge in (case.chips_low, case.chips_high)]
    lowest = 0 if summary.metric in ("accuracy", "f1") else -1
    axes.set_ylim(100 * max(min(shown), lowest) - 3, 100 * min(max(shown), 1) + 3)


def _value_axis(axes, values, logarithmic):
    """An axis from the least to the largest value, ticks at the values but for those too near to the one before."""
    place = np.log(values) if logarithmic else values
    kept = [0]
    for k in range(1, len(values)):
        if place[k] - place[kept[-1]] >= 0.035 * (place[-1] - place[0]):
            kept.append(k)
    axes.set_xticks(values[kept], [f"{value:g}" for value in values[kept]], fontsize=8)
    axes.set_xticks([], minor=True)
    ends = place[[0, -1]] + np.array([-0.05, 0.05]) * (place[-1] - place[0])
    axes.set_xlim(np.exp(ends) if logarithmic else ends)


def device(model, path):
    """A DeviceModel in one picture: error of a write, ageing of simulated cells, read noise, current-voltage curve.

    The window is shaded; a part that the device file does not state is said to be absent.
    """
    figure, ((errors, ageing), (noise, curve)) = _figure(11, 8, nrows=2, ncols=2)
    low, high = model.conductance_min, model.conductance_max
    g = np.linspace(low, high, 401)
    _device_errors(model, g, errors)
    _device_ageing(model, ageing)
    _device_noise(model, g, noise)
    _device_curve(model, curve)
    for axes in (errors, noise):
        axes.axvspan(low * 1e6, high * 1e6, color="0.93", zorder=0)
        axes.set_xlabel("conductance (µS), window shaded")
        bottom, top = model.file.conductance.valid_range_us
        margin = 0.05 * (high - low) * 1e6
        axes.set_xlim(max(bottom, low * 1e6 - margin) - 0.2 * margin, min(top, high * 1e6 + margin) + 0.2 * margin)
        for level in model.file.conductance.levels_us:
            axes.axvline(level, color="0.5", linestyle=":", linewidth=1)
    for axes in (errors, ageing, noise, curve):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    figure.suptitle(f"{model.name}: {model.file.description}", wrap=True)
    return _save(figure, path)


def _device_errors(model, g, axes):
    axes.set(title="deviation from the target, in its scale", ylabel="sigma (µS)")
    moments = _common_times(model) or [None]
    of_write = moments if model.file.programming and len(model.file.programming.sigma) > 1 else moments[:1]
    for time in dict.fromkeys(moments):
        there, after = model.at(time=time), "" if time is None else f", {time:.3g} s"
        write, whole = there.write_sigma(g), there.programming_sigma(g)
        if time in of_write and write.any():
            axes.plot(g * 1e6, write * 1e6, label="write" + after * (len(of_write) > 1))
        if (whole != write).any():
            axes.plot(g * 1e6, whole * 1e6, "--", label=f"with spread, relaxation, drift{after}")
    _from_zero(axes, "no error stated: every conductance is reached exactly")


def _common_times(model):
    """(first, last) s that all parts of a device that depend on the time are stated for; () of none."""
    ranges = [stated for _, stated in model.valid_times()]
    if not ranges:
        return ()
    return max(first for first, _ in ranges), min(last for _, last in ranges)


def _device_ageing(model, axes, cells=2000):
    low, high = model.conductance_min, model.conductance_max
    common = _common_times(model)
    grid = np.geomspace(*common, 13) if common else [None]
    levels = np.array(model.file.conductance.levels_us) * 1e-6
    for target in levels[[0, -1]] if levels.size else low + np.array([0.1, 0.5, 0.9]) * (high - low):
        cells_us = [model.at(time=time).program(np.full((1, cells), target), 1).conductance[0] * 1e6 for time in grid]
        label = f"target {target * 1e6:.3g} µS"
        if common:
            line, = axes.plot(grid, np.mean(cells_us, axis=1), label=label)
            axes.fill_between(grid, *np.quantile(cells_us, [0.05, 0.95], axis=1), alpha=0.25, color=line.get_color())
        else:
            axes.ecdf(cells_us[0], label=label)
    if common:
        axes.set(title=f"{cells} simulated cells: mean, 5 to 95 %", xscale="log", xlabel="time after programming (s)",
                 ylabel="conductance (µS)")
    else:
        axes.set(title=f"{cells} simulated cells; no ageing stated", xlabel="conductance (µS)", ylabel="share of cells")


def _device_noise(model, g, axes):
    from xbarsim.devices.programmed import Programmed

    conducting = g > 0
    for name, part in model.read_noise_parts(Programmed.exactly(g)).items():
        if part.any():
            axes.plot(g[conducting] * 1e6, 100 * part[conducting] / g[conducting], label=name)
    when = "" if model.aged_time is None else f", {model.aged_time:g} s after programming"
    axes.set(title=f"standard deviation of a read of 100 ns{when}", ylabel="sigma / conductance (%)")
    _from_zero(axes, "no read noise stated")


def _from_zero(axes, absent):
    """Start the ordinate at 0; where nothing was drawn, say `absent`."""
    if axes.lines:
        axes.set_ylim(0, None)
    else:
        axes.text(0.5, 0.5, absent, transform=axes.transAxes, ha="center", va="center", color="0.4")
        axes.set_yticks([])


def _device_curve(model, axes):
    from xbarsim.circuit.cells import (
        evaluator,  # loads kernels, which a picture of a report does without
    )

    cell, low, high = model.cell(), model.conductance_min, model.conductance_max
    top = model.file.iv.valid_voltage_v if cell is not None else model.read_voltage
    axes.set(title="current of a cell at the ends of the window" + ("" if cell is not None else "; ohmic"),
             xlabel="voltage (V)", ylabel="current (µA)")
    v = np.linspace(-top, top, 201)
    for g in (low, high):
        axes.plot(v, evaluator(cell, model.access(), np.full(v.shape, g), top)(v)[0] * 1e6, label=f"{g * 1e6:.3g} µS at 0 V")


def _map(matrix, title, unit, path, scale=1.0):
    figure, axes = _figure(5.5, 4.5)
    image = axes.imshow(np.asarray(matrix) * scale, aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set(title=title, xlabel="bit line", ylabel="word line")
    figure.colorbar(image, label=unit)
    return _save(figure, path)


def voltage_map(solution, path):
    """Voltage across every cell of one solution of `Crossbar.solve` (one input vector)."""
    return _map(_single(solution).cell_voltage, "voltage across the cells", "V", path)


def current_map(solution, path):
    """Current through every cell of one solution."""
    return _map(_single(solution).cell_current, "current through the cells", "µA", path, 1e6)


def ir_drop_map(solution, path):
    """Difference between the voltage of the terminals of its lines and that across a cell, in percent of the terminals'.

    White where both lines are at the same voltage.
    """
    applied = _single(solution).terminal_voltage
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(applied == 0, np.nan, 1 - solution.cell_voltage / applied)
    return _map(lost, "voltage lost in wires, drivers and sense nodes", "%", path, 100)


def attenuation(crossbar, path):
    """Transfer matrix over conductance, against the position of the cell: word lines (lines) along the bit lines (axis)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        transfer = crossbar.transfer_matrix()
        share = (transfer if crossbar.transposed else transfer.T) / crossbar.conductance
    figure, axes = _figure(6, 4)
    m = len(share)
    for row in sorted({0, m // 4, m // 2, 3 * m // 4, m - 1}):
        axes.plot(share[row], label=f"word line {row}")
    axes.set(xlabel="bit line", ylabel="transfer / conductance", title="attenuation against position")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return _save(figure, path)


def calibration(result, path):
    """Data and fit of a `calibrate.FitResult`, one panel for each of its curves."""
    if not result.curves:
        raise OutOfRangeError(f"this {result.kind} fit has no curve to draw")
    count = len(result.curves)
    figure, panels = _figure(min(6 * count, 18), 4.2, ncols=count, squeeze=False)
    for axes, (title, curve) in zip(panels[0], result.curves.items(), strict=True):
        for direction, (name, unit), pick in (("x", curve.x, 0), ("y", curve.y, 1)):
            values = [abs(np.asarray(pair[pick])).max(initial=0) for pair in (*curve.data.values(), *curve.fit.values())]
            scale, text = (1.0, unit) if getattr(curve, f"log_{direction}") else prefixed(max(values), unit)
            getattr(axes, f"set_{direction}label")(f"{name} ({text})" if text else name)
            if direction == "x":
                x_scale = scale
        paired = len(curve.data) == len(curve.fit) > 1              # a line in the colour of its points
        for number, (label, (x, y)) in enumerate(curve.data.items()):
            few = len(x) <= 500
            axes.plot(np.asarray(x) / x_scale, np.asarray(y) / scale, "o", markersize=4 if few else 2,
                      alpha=0.5 if few else 0.3, label=label, color=f"C{number}")
        for number, (label, (x, y)) in enumerate(curve.fit.items(), 0 if paired else len(curve.data)):
            axes.plot(np.asarray(x) / x_scale, np.asarray(y) / scale, linewidth=1.5, label=label, color=f"C{number}")
        axes.set_xscale("log" if curve.log_x else "linear")
        axes.set_yscale("log" if curve.log_y else "linear")
        axes.set_title(title, fontsize=10, loc="left")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8 if len(curve.data) < 5 else 6, ncols=1 if len(curve.data) < 5 else 2)
    figure.suptitle(f"{result.kind}: {result.model}", fontsize=10)
    return _save(figure, path)


def _single(solution):
    if solution.cell_voltage.ndim != 2:
        raise OutOfRangeError(f"the solution holds a batch of {len(solution.cell_voltage)} inputs; solve for one vector")
    return solution


def chip_breakdown(results, path):
    """Energy by component and by step, and area by part, of several chips: stacked bars, shares of each chip's total.

    results : rollup.RollUp of each chip
    """
    height = 0.45 * len(results)
    figure, panels = _figure(13, 2.8 + height, ncols=3, sharey=True)
    from matplotlib import colormaps  # after _figure, which says what to install

    names = [r.chip for r in results]
    for axes, title, stacks, totals, unit in (
            (panels[0], "energy by component", [r.by_component() for r in results], [r.joules * 1e3 for r in results], "mJ"),
            (panels[1], "energy by step", [r.by_step() for r in results], [r.joules * 1e3 for r in results], "mJ"),
            (panels[2], "area by part", [r.area_by_role for r in results], [r.area * 1e6 for r in results], "mm²")):
        shares = [{name: value / sum(stack.values()) for name, value in stack.items()} for stack in stacks]
        largest = {name: max(share.get(name, 0.0) for share in shares) for share in shares for name in share}
        shown = [name for name in sorted(largest, key=lambda name: -largest[name]) if largest[name] >= 0.04]
        left = np.zeros(len(results))
        for k, name in enumerate([*shown, "others"]):
            width = 100 * np.array([share.get(name, 0.0) for share in shares]) if name != "others" else 100 - left
            color = "0.85" if name == "others" else colormaps["tab20"](k % 20)
            axes.barh(names, width, left=left, label=name, color=color, edgecolor="white", linewidth=0.4)
            left = left + width
        for row, total in enumerate(totals):
            axes.text(101, row, f"{total:,.4g} {unit}", va="center", fontsize=8)
        axes.set(title=title, xlim=(0, 132), xlabel="share of the chip's total (%)", xticks=range(0, 101, 25))
        axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.6 / height))
    panels[0].invert_yaxis()
    first = results[0]
    figure.suptitle(f"{first.model}, {first.sequence} tokens, batch {first.batch}; per sequence")
    return _save(figure, path)


def tornado(verdicts, path):
    """What every claim hinges on: the ratio at both ends of its widest assumptions, the interval over all of them together,
    and the claimed range; one panel per claim and batch.

    verdicts : claims.Verdict
    """
    columns = 2
    rows = -(-len(verdicts) // columns)
    figure, panels = _figure(15, 2.6 * rows, nrows=rows, ncols=columns, squeeze=False)
    for axes in panels.flat[len(verdicts):]:
        axes.set_axis_off()
    for axes, v in zip(panels.flat, verdicts, strict=False):
        swings = [swing for swing in v.sweep.swings[:6] if swing.width > 1.01]
        axes.axvspan(*v.claim.range, color="tab:green", alpha=0.5, label="claimed")
        axes.barh(["everything"], [v.sweep.high - v.sweep.low], left=[v.sweep.low], color="0.8")
        axes.plot([v.sweep.quantiles[0], v.sweep.quantiles[2]], ["everything"] * 2, color="0.4", linewidth=4,
                  solid_capstyle="butt")
        for swing in swings:
            name = f"{swing.assumption.label}  [{_end(swing.assumption.ends[0])}, {_end(swing.assumption.ends[1])}]"
            for end, color in ((swing.low, "tab:blue"), (swing.high, "tab:orange")):
                axes.barh([name], [end - v.sweep.nominal], left=[v.sweep.nominal], color=color)
        axes.axvline(v.sweep.nominal, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_title(f"batch {v.batch}: {v.claim.text} — {v.verdict}", fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        axes.invert_yaxis()
    figure.suptitle("ratio to synergy (log); black: nominal, green: claimed, light: all together, dark: 90 % of draws, "
                    "blue and orange: low and high end of one assumption", fontsize=10)
    return _save(figure, path)


def _end(value):
    return value if isinstance(value, str) else f"{value:g}"


def _half_width(row):
    """Half of the interval of a memory.Row; 0 of a single chip, which has none."""
    mean, _, high = row.interval
    return 0.0 if high is None else high - mean


def memory(report, path):
    """Bit-error rate against the length of a segment, and the metric against the bit-error rate.

    report : memory.Report;  path : file to write (.png, .pdf, .svg)
    """
    figure, (rates, metric) = _figure(10, 4, ncols=2)
    solved = [row for row in report.rows if row.columns]
    for name, label in (("mean", "mean"), ("worst_place", "worst place"), ("worst_data", "worst place, 15 of 16 cells on")):
        rates.loglog([row.columns for row in solved], [max(getattr(row, name), 1e-18) for row in solved], marker="o",
                     markersize=3, label=label)
    rates.set(xlabel="columns of a segment", ylabel="bit-error rate (below 1e-18 drawn there)", ylim=(0.5e-18, 2))
    if solved:
        rates.legend(fontsize=8)
    ran = sorted((row for row in report.rows if row.values), key=lambda row: row.mean)
    if ran:
        middle = [100 * row.interval[0] for row in ran]
        half = [100 * _half_width(row) for row in ran]
        x = [max(row.mean, 1e-9) for row in ran]
        metric.errorbar(x, middle, half, marker="o", markersize=3, capsize=3, linewidth=1)
        metric.axhline(100 * report.reference, color="0.5", linewidth=0.8, label="no errors")
        metric.set_xscale("log")
        metric.set(xlabel="bit-error rate (below 1e-9 drawn there)", ylabel=f"{report.metric} x 100, 95 % over chips")
        metric.legend(fontsize=8)
    for axes in (rates, metric):
        axes.grid(alpha=0.3)
    return _save(figure, path)
