"""One device in four panels: what a write misses, ageing, read noise, current-voltage curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xbarsim.devices.programmed import Programmed
from xbarsim.report.plots.figure import from_zero, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xbarsim.devices.model import DeviceModel

SIMULATED_CELLS = 2000  # of every target in the panel of ageing


def draw(model: DeviceModel, path: str | Path) -> Path:
    """A device in one picture: error of a write, ageing of simulated cells, read noise,
    current-voltage curve.

    The window is shaded; a part that the device file does not state is said to be absent.
    """
    figure, ((errors, ageing), (noise, curve)) = new_figure(11, 8, nrows=2, ncols=2)
    conductance = np.linspace(model.conductance_min, model.conductance_max, 401)
    _draw_errors(model, conductance, errors)
    _draw_ageing(model, ageing)
    _draw_noise(model, conductance, noise)
    _draw_curve(model, curve)
    for axes in (errors, noise):
        _conductance_axis(model, axes)
    for axes in (errors, ageing, noise, curve):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    figure.suptitle(f"{model.name}: {model.file.description}", wrap=True)
    return save(figure, path)


def _conductance_axis(model: DeviceModel, axes: Axes) -> None:
    """The window shaded, levels dotted, and a little more on both sides where that is valid."""
    low = model.conductance_min
    high = model.conductance_max
    axes.axvspan(low * 1e6, high * 1e6, color="0.93", zorder=0)
    axes.set_xlabel("conductance (µS), window shaded")
    bottom, top = model.file.conductance.valid_range_us
    margin = 0.05 * (high - low) * 1e6
    axes.set_xlim(
        max(bottom, low * 1e6 - margin) - 0.2 * margin,
        min(top, high * 1e6 + margin) + 0.2 * margin,
    )
    for level in model.file.conductance.levels_us:
        axes.axvline(level, color="0.5", linestyle=":", linewidth=1)


def _draw_errors(model: DeviceModel, conductance: NDArray[np.float64], axes: Axes) -> None:
    axes.set(title="deviation from the target, in its scale", ylabel="sigma (µS)")
    moments: tuple[float | None, ...] = _common_times(model) or (None,)
    programming = model.file.programming
    write_depends_on_time = programming is not None and len(programming.sigma) > 1
    of_write = moments[:1]
    if write_depends_on_time:
        of_write = moments
    for time in dict.fromkeys(moments):
        then = model.at(time=time)
        after = "" if time is None else f", {time:.3g} s"
        write = then.write_sigma(conductance)
        whole = then.programming_sigma(conductance)
        if time in of_write and write.any():
            label = "write"
            if len(of_write) > 1:
                label += after
            axes.plot(conductance * 1e6, write * 1e6, label=label)
        if (whole != write).any():
            label = f"with spread, relaxation, drift{after}"
            axes.plot(conductance * 1e6, whole * 1e6, "--", label=label)
    from_zero(axes, "no error stated: every conductance is reached exactly")


def _common_times(model: DeviceModel) -> tuple[float, float] | None:
    """(first, last) s that all parts of a device that depend on the time are stated for; None
    where no part does.
    """
    ranges = [stated for _, stated in model.valid_times()]
    if not ranges:
        return None
    return max(first for first, _ in ranges), min(last for _, last in ranges)


def _draw_ageing(model: DeviceModel, axes: Axes) -> None:
    times = _common_times(model)
    if times is not None:
        _draw_ageing_over(times, model, axes)
        return
    for target in _targets(model):
        axes.ecdf(_simulated_us(model, target), label=f"target {target * 1e6:.3g} µS")
    axes.set(
        title=f"{SIMULATED_CELLS} simulated cells; no ageing stated",
        xlabel="conductance (µS)",
        ylabel="share of cells",
    )


def _draw_ageing_over(times: tuple[float, float], model: DeviceModel, axes: Axes) -> None:
    grid = np.geomspace(times[0], times[1], 13)
    for target in _targets(model):
        cells = [_simulated_us(model.at(time=time), target) for time in grid]
        (line,) = axes.plot(grid, np.mean(cells, axis=1), label=f"target {target * 1e6:.3g} µS")
        low, high = np.quantile(cells, [0.05, 0.95], axis=1)
        axes.fill_between(grid, low, high, alpha=0.25, color=line.get_color())
    axes.set(
        title=f"{SIMULATED_CELLS} simulated cells: mean, 5 to 95 %",
        xscale="log",
        xlabel="time after programming (s)",
        ylabel="conductance (µS)",
    )


def _targets(model: DeviceModel) -> NDArray[np.float64]:
    """Siemens: the lowest and the highest level of a device of levels, else three places of its
    window.
    """
    levels = np.array(model.file.conductance.levels_us) * 1e-6
    if levels.size:
        return levels[[0, -1]]
    low: float = model.conductance_min
    window: float = model.conductance_max - low
    return low + np.array([0.1, 0.5, 0.9]) * window


def _simulated_us(model: DeviceModel, target: float) -> NDArray[np.float64]:
    """Microsiemens of cells written to one target."""
    programmed = model.program(np.full((1, SIMULATED_CELLS), target), 1)
    cells: NDArray[np.float64] = programmed.conductance[0]
    return cells * 1e6


def _draw_noise(model: DeviceModel, conductance: NDArray[np.float64], axes: Axes) -> None:
    conducting = conductance > 0
    for name, part in model.read_noise_parts(Programmed.exactly(conductance)).items():
        if part.any():
            percent = 100 * part[conducting] / conductance[conducting]
            axes.plot(conductance[conducting] * 1e6, percent, label=name)
    when = "" if model.aged_time is None else f", {model.aged_time:g} s after programming"
    axes.set(
        title=f"standard deviation of a read of 100 ns{when}",
        ylabel="sigma / conductance (%)",
    )
    from_zero(axes, "no read noise stated")


def _draw_curve(model: DeviceModel, axes: Axes) -> None:
    # loads kernels, which a picture of a report does without
    from xbarsim.circuit.cells import evaluator

    cell = model.cell()
    title = "current of a cell at the ends of the window"
    if cell is None or model.file.iv is None:
        top = model.read_voltage
        title += "; ohmic"
    else:
        top = model.file.iv.valid_voltage_v
    axes.set(title=title, xlabel="voltage (V)", ylabel="current (µA)")
    voltage = np.linspace(-top, top, 201)
    for conductance in (model.conductance_min, model.conductance_max):
        cells = np.full(voltage.shape, conductance)
        current, _ = evaluator(cell, model.access(), cells, top)(voltage)
        axes.plot(voltage, current * 1e6, label=f"{conductance * 1e6:.3g} µS at 0 V")
