"""What a write makes of targets: error, spread, ageing, physical bounds, stuck cells.

Every function takes the `Conditions` of the device; conductances are in S.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import AnyArray, Booleans, Floats
from xbarsim.base.units import MICROSIEMENS, NANO, PICO
from xbarsim.devices import ageing
from xbarsim.devices.conditions import Conditions, Effect
from xbarsim.devices.laws import stated
from xbarsim.devices.programmed import Counts, Programmed, StuckCells, tiles_of
from xbarsim.devices.streams import CYCLE, DEVICE, PROGRAMMING, STUCK, Streams
from xbarsim.devices.write_tables import Programming, Sigma, Stuck, Write, WriteVerify
from xbarsim.kernels.devices import variability

# ---------------------------------------------------------------- moments of an error


def write_sigma(device: Conditions, target: ArrayLike) -> Floats:
    """Standard deviation of the error of the write itself, element by element of `target`."""
    target = np.asarray(target, float)
    process = device.active.write_verify
    if process is not None:
        return np.full(target.shape, process.tolerance_us * MICROSIEMENS / np.sqrt(3))
    table = device.active.programming
    if table is None:
        return np.zeros(target.shape)
    if table.model == "bounded":
        return np.full(target.shape, stated(table.half_width_us) * MICROSIEMENS / np.sqrt(3))
    if len(table.sigma) == 1:
        sigma = _sigma_us(table, table.sigma[0], target)
    else:
        sigma = _sigma_us_between_times(table, target, device.known_time())
    return np.maximum(sigma, 0.0) * MICROSIEMENS


def _sigma_us(table: Programming, entry: Sigma, target: Floats) -> Floats:
    if entry.target_us:
        return np.interp(target, np.array(entry.target_us) * MICROSIEMENS, entry.sigma_us)
    return table.sigma_of_polynomials(entry, target, MICROSIEMENS)


def _sigma_us_between_times(table: Programming, target: Floats, time: float) -> Floats:
    """Between two stated times linear in log(time), and on the same line outside them."""
    times = np.array(table.times())
    later = int(np.searchsorted(times, time))
    if time > times[0]:
        later = max(later, 1)
    later = min(later, len(times) - 1)
    sigma = _sigma_us(table, table.sigma[later], target)
    if time == times[later]:
        return sigma
    other = later - 1 if later else 1
    share = np.log(times[later] / time) / np.log(times[later] / times[other])
    sigma += share * (_sigma_us(table, table.sigma[other], target) - sigma)
    return sigma


def write_bias(device: Conditions, target: ArrayLike) -> Floats:
    """Mean error of the write itself, element by element of `target`."""
    target = np.asarray(target, float)
    table = device.active.programming
    if table is None or table.bias_us is None:
        return np.zeros(target.shape)
    return table.bias_us(target / MICROSIEMENS) * MICROSIEMENS


def programming_bias(device: Conditions, target: ArrayLike) -> Floats:
    """See `DeviceModel.programming_bias`."""
    target = np.asarray(target, float)
    device.check_target(target)
    bias = write_bias(device, target)
    if device.active.relaxation is not None:
        mean, _ = ageing.relaxation_moments(device)
        bias = bias + mean
    return bias


def programming_sigma(device: Conditions, target: ArrayLike) -> Floats:
    """See `DeviceModel.programming_sigma`."""
    target = np.asarray(target, float)
    device.check_target(target)
    sigma = write_sigma(device, target)
    written = np.maximum(target + write_bias(device, target), 0.0)
    spread = device.active.spread
    if spread is not None:
        sigma = np.hypot(sigma, spread.device_to_device_relative_sigma * written)
        sigma = np.hypot(sigma, spread.cycle_to_cycle_relative_sigma * written)
    if device.active.relaxation is not None:
        _, of_relaxation = ageing.relaxation_moments(device)
        sigma = np.hypot(sigma, of_relaxation)
    drift = device.active.drift
    if drift is not None:
        logarithm = np.log(device.known_time() / drift.reference_s)
        _, of_exponent = ageing.drift_exponent(device, Programmed(written, target, written))
        sigma = np.hypot(sigma, written * of_exponent * logarithm)
    return sigma


# ---------------------------------------------------------------- one write, drawn


def program(
    device: Conditions, target: ArrayLike, streams: Streams, counted: Booleans | None = None
) -> Programmed:
    """See `DeviceModel.program`.

    counted : cells whose pulses and energy count, all if None
    """
    target = np.asarray(target, float)
    device.check_target(target)
    aimed, rounded = _to_levels(device, tiles_of(target))
    written, counts = _write(device, aimed, streams, counted)
    written = _spread(device, written, streams)
    low, high = device.bounds
    cells = Programmed(written, aimed, np.clip(written, low, high))
    g = ageing.age(device, cells, streams)
    bounded = _hold_in_bounds(g, low, high)
    stuck = _stick(device, g, streams)
    counts = counts + Counts(
        stuck_on=int(np.count_nonzero(stuck == variability.ON)),
        stuck_off=int(np.count_nonzero(stuck == variability.OFF)),
        bounded=bounded,
        rounded=rounded,
    )
    return Programmed(
        conductance=g.reshape(target.shape),
        target=_where_stuck(stuck, g, cells.target).reshape(target.shape),
        achieved=_where_stuck(stuck, g, cells.achieved).reshape(target.shape),
        counts=counts,
    )


def program_again(
    device: Conditions,
    cells: Programmed,
    target: Floats,
    chosen: Booleans,
    streams: Streams,
) -> Programmed:
    """See `DeviceModel.program_again`."""
    aimed = np.where(chosen, target, device.conductance_min)
    again = program(device, aimed, streams, chosen)
    counts = Counts(
        unverified=again.counts.unverified,
        pulses=again.counts.pulses,
        write_energy=again.counts.write_energy,
        rewritten=int(np.count_nonzero(chosen)),
    )
    return Programmed(
        conductance=np.where(chosen, again.conductance, cells.conductance),
        target=np.where(chosen, again.target, cells.target),
        achieved=np.where(chosen, again.achieved, cells.achieved),
        counts=cells.counts + counts,
    )


def _to_levels(device: Conditions, tiles: Floats) -> tuple[Floats, int]:
    """Targets at the nearest level, and how many were not at one."""
    if Effect.LEVELS not in device.effects or not device.file.conductance.levels_us:
        return tiles, 0
    levels = np.array(device.file.conductance.levels_us) * MICROSIEMENS
    nearest = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, tiles)]
    return nearest, int(np.count_nonzero(abs(nearest - tiles) > 1e-9 * levels[-1]))


def _hold_in_bounds(g: Floats, low: float, high: float) -> int:
    """Hold cells within physical bounds, in place; returns how many were outside."""
    if g.min(initial=low) >= low and g.max(initial=high) <= high:
        return 0
    below = g < low
    above = g > high
    g[below] = low
    g[above] = high
    return int(np.count_nonzero(below) + np.count_nonzero(above))


def _write(
    device: Conditions, target: Floats, streams: Streams, counted: Booleans | None = None
) -> tuple[Floats, Counts]:
    """Conductances (tiles, m, n) of a write, and its counts.

    counted : cells whose pulses count, all if None
    """
    if device.active.write_verify is not None:
        return _write_verify(device, device.active.write_verify, target, streams, counted)
    g = np.array(target)
    sigma = write_sigma(device, target)
    table = device.active.programming
    if table is not None and sigma.any():
        draw = _ERRORS[table.model]
        generators = streams.generators(len(g), PROGRAMMING, device.write)
        for tile, of_tile, generator in zip(g, sigma, generators, strict=True):
            tile += draw(table, of_tile, generator)
    g += write_bias(device, target)
    pulse = device.file.write
    if pulse is None or device.file.write_verify is not None:
        return g, Counts()  # a process that is switched off counts no pulses
    written = g if counted is None else g[counted]
    energy = _pulse_energy(pulse, written.size, np.maximum(written, 0).sum())
    return g, Counts(pulses=written.size, write_energy=energy)


def _write_verify(
    device: Conditions,
    process: WriteVerify,
    target: Floats,
    streams: Streams,
    counted: Booleans | None,
) -> tuple[Floats, Counts]:
    low, high = device.bounds
    start = device.file.conductance.minimum_us
    if process.start_us is not None:
        start = process.start_us
    g = np.empty(target.shape)
    count = np.empty(target.shape, np.int64)
    total = np.empty(target.shape)
    unverified = variability.write_verify(
        target,
        low=device.conductance_min,
        high=device.conductance_max,
        bottom=low,
        top=high,
        start=start * MICROSIEMENS,
        tolerance=process.tolerance_us * MICROSIEMENS,
        step=np.array([process.step_up_us, process.step_down_us]) * MICROSIEMENS,
        nonlinearity=np.array([process.nonlinearity_up, process.nonlinearity_down]),
        falling=_falling(device, process),
        step_sigma=process.step_relative_sigma,
        read_sigma=process.read_sigma_us * MICROSIEMENS,
        pulses=process.maximum_pulses,
        key=streams.keys(len(target), PROGRAMMING, device.write),
        g=g,
        count=count,
        sum_g=total,
    )
    if counted is not None:
        unverified = int(np.count_nonzero(count[counted] == process.maximum_pulses))
        count = count[counted]
        total = total[counted]
    pulses = int(count.sum())
    energy = None
    if device.file.write is not None:
        energy = _pulse_energy(device.file.write, pulses, total.sum())
    return g, Counts(unverified=unverified, pulses=pulses, write_energy=energy)


def _falling(device: Conditions, process: WriteVerify) -> Floats:
    """(up, down) share of the step that is lost per siemens on the way to saturation."""
    falling = np.zeros(2)
    if process.saturation_up_us is not None:
        falling[0] = 1 / (process.saturation_up_us * MICROSIEMENS - device.conductance_min)
    if process.saturation_down_us is not None:
        falling[1] = 1 / (device.conductance_max - process.saturation_down_us * MICROSIEMENS)
    return falling


def _pulse_energy(pulse: Write, count: int, conductance_sum: float) -> float:
    """Joule of `count` pulses that found conductances with this sum (S)."""
    if pulse.pulse_energy_pj is not None:
        return float(count * pulse.pulse_energy_pj * PICO)
    return float(stated(pulse.pulse_voltage_v) ** 2 * conductance_sum * pulse.pulse_time_ns * NANO)


def _spread(device: Conditions, g: Floats, streams: Streams) -> Floats:
    """Factors of the spread between devices and between cycles on what was written."""
    table = device.active.spread
    if table is None:
        return g
    between_devices = table.device_to_device_relative_sigma
    if between_devices:
        g = g * (1 + between_devices * ageing.normals(streams, g.shape, DEVICE))
    between_cycles = table.cycle_to_cycle_relative_sigma
    if between_cycles:
        g = g * (1 + between_cycles * ageing.normals(streams, g.shape, CYCLE, device.write))
    return g


def _stick(device: Conditions, g: Floats, streams: Streams) -> AnyArray:
    """Set stuck cells of g (t, m, n) in place; returns which are stuck ON or OFF, (t, m, n), or (0,)
    where none can be.
    """
    table = device.active.stuck
    if table is None:
        return np.zeros(0, np.int64)
    state = _stuck_states(table, g.shape, streams)
    at_on, at_off = stuck_conductances(device, table)
    g[state == variability.ON] = at_on
    g[state == variability.OFF] = at_off
    return state


def _stuck_states(table: Stuck, shape: tuple[int, ...], streams: Streams) -> AnyArray:
    """ON, OFF or 0 of cells (t, m, n)."""
    state = np.zeros(shape, np.int8)
    variability.stuck_cells(
        np.array([table.on_rate, table.word_line_on_rate, table.bit_line_on_rate]),
        np.array([table.off_rate, table.word_line_off_rate, table.bit_line_off_rate]),
        streams.keys(shape[0], STUCK),
        state,
    )
    return state


def stuck_cells(device: Conditions, shape: tuple[int, int, int], streams: Streams) -> StuckCells:
    """See `DeviceModel.stuck_cells`."""
    table = device.active.stuck
    if table is None:
        return StuckCells(np.zeros(shape, bool), np.zeros(shape))
    state = _stuck_states(table, shape, streams)
    at_on, at_off = stuck_conductances(device, table)
    return StuckCells(state != 0, np.where(state == variability.ON, at_on, at_off))


def _where_stuck(stuck: AnyArray, g: Floats, others: Floats) -> Floats:
    """Conductances of cells: `g` of those that are stuck."""
    if not stuck.any():
        return np.array(others)
    return np.where(stuck, g, others)


def stuck_conductances(device: Conditions, table: Stuck) -> tuple[float, float]:
    """(on, off) S where stuck cells sit: the ends of the window if the file does not say."""
    on = device.conductance_max
    if table.on_us is not None:
        on = table.on_us * MICROSIEMENS
    off = device.conductance_min
    if table.off_us is not None:
        off = table.off_us * MICROSIEMENS
    return on, off


# ---------------------------------------------------------------- distributions of the error

Draw = Callable[[Programming, Floats, np.random.Generator], Floats]


def _gaussian(table: Programming, sigma: Floats, generator: np.random.Generator) -> Floats:
    return sigma * generator.standard_normal(sigma.shape)


def _student(table: Programming, sigma: Floats, generator: np.random.Generator) -> Floats:
    df = stated(table.degrees_of_freedom)
    error: Floats = sigma * np.sqrt((df - 2) / df) * generator.standard_t(df, sigma.shape)
    return error


def _mixture(table: Programming, sigma: Floats, generator: np.random.Generator) -> Floats:
    wide = stated(table.tail_fraction)
    factor = stated(table.tail_factor)
    deviate = generator.standard_normal(sigma.shape)
    widths = np.where(generator.random(sigma.shape) < wide, factor, 1.0)
    deviate *= widths / np.sqrt(1 - wide + wide * factor**2)
    return sigma * deviate


def _bounded(table: Programming, sigma: Floats, generator: np.random.Generator) -> Floats:
    return stated(table.half_width_us) * MICROSIEMENS * generator.uniform(-1.0, 1.0, sigma.shape)


_ERRORS: dict[str, Draw] = {
    "gaussian": _gaussian,
    "student": _student,
    "mixture": _mixture,
    "bounded": _bounded,
}
