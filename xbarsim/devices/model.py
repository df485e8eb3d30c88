"""Device models: what a cell makes of the conductance it is told to take, and what a read sees of it.

A device file (`devices/file.py`, docs/devices.md) states each quantity with its unit in the key and a `source`.  Presets
come with xbarsim (`device_names()`); any path to a file of the same form works in their place.

    device = load_device("pcm").at(time=86400.0)
    device.program(target, seed).conductance
"""
import dataclasses
import warnings

import numpy as np

from xbarsim.base.errors import ConfigError, OutOfRangeError, ValidRangeWarning
from xbarsim.base.units import MICRO, MICROSIEMENS, NANO, PICO, engineering
from xbarsim.circuit import cells
from xbarsim.devices import ageing, read_noise
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.streams import CYCLE, DEVICE, PROGRAMMING, STUCK, streams_of
from xbarsim.kernels.devices import variability

# Effects, and the key of a study's [effects] that switches each where it has no switch of its own there.
EFFECTS = {"programming": "programming", "levels": "programming", "spread": "programming", "relaxation": "programming",
           "drift": "programming", "read_disturb": "programming", "temperature": "programming", "stuck": "programming",
           "read_noise": "read_noise", "flicker": "read_noise", "telegraph": "read_noise"}


@dataclasses.dataclass(frozen=True)
class Counts:
    """What happened in a write, in cells: stuck on and off; held at a physical bound; targets that were not one of the
    levels; not verified within the allowed pulses.  pulses : of all cells;  write_energy : J, None if not stated."""

    stuck_on: int = 0
    stuck_off: int = 0
    bounded: int = 0
    rounded: int = 0
    unverified: int = 0
    pulses: int = 0
    write_energy: float | None = None

    def __add__(self, other):
        energies = [energy for energy in (self.write_energy, other.write_energy) if energy is not None]
        return Counts(*(a + b for a, b in zip(dataclasses.astuple(self)[:-1], dataclasses.astuple(other)[:-1], strict=True)),
                      sum(energies) if energies else None)


@dataclasses.dataclass(frozen=True)
class Programmed:
    """Cells after a write: the conductances that a law may mean, of the same shape, S.

    conductance : what is read, at the device's time and temperature (`of = "read"`)
    target : what the write aimed at, levels included
    achieved : just after the write, before ageing
    A stuck cell is aimed at where it is stuck.  counts : of the write
    """

    conductance: np.ndarray
    target: np.ndarray
    achieved: np.ndarray
    counts: Counts = Counts()

    @classmethod
    def exactly(cls, conductance):
        """Cells (m, n) or (tiles, m, n) S that are read exactly where they were aimed at."""
        g = np.asarray(conductance, float)
        return cls(g, g, g)


@dataclasses.dataclass(frozen=True)
class DeviceModel:
    """A device, its effects that are switched on and the conditions it is read under (`at`); immutable."""

    name: str
    file: DeviceFile
    effects: frozenset
    time: float | None = None
    temperature: float | None = None
    write: int = 0
    reads: int = 0
    outside_range: str = "error"
    telegraph_multiplier: float = 1.0

    @property
    def conductance_min(self):
        """Low end of the window, S."""
        return self.file.conductance.minimum_us * MICROSIEMENS

    @property
    def conductance_max(self):
        """High end of the window, S."""
        return self.file.conductance.maximum_us * MICROSIEMENS

    @property
    def read_voltage(self):
        """Volt that the largest input puts on a word line."""
        return self.file.read.voltage_v

    def with_effects(self, *names):
        """The same device with only these of its effects (`EFFECTS`); without arguments it is exact."""
        for name in names:
            if name not in EFFECTS:
                raise ConfigError(f"{name!r} is not an effect of a device; effects are {', '.join(EFFECTS)}")
        return dataclasses.replace(self, effects=self.effects & frozenset(names))

    def without(self, *names):
        """The same device without these effects."""
        self.with_effects(*names)
        return dataclasses.replace(self, effects=self.effects - frozenset(names))

    def at(self, *, time=None, temperature=None, write=0, reads=0, outside_range="error"):
        """The same device read under these conditions.

        time : s after programming; the earliest that the file's models state if None
        temperature : K; the file's reference if None;  write : writes before this one;  reads : since this write
        outside_range : "error" or "warn" (ValidRangeWarning) where the file's values are not valid

        Raises
        ------
        OutOfRangeError : a condition outside the valid range of an effect that is on
        """
        for name, value, unit in (("time", time, "s"), ("temperature", temperature, "K")):
            if value is not None and not 0 < value < np.inf:
                raise OutOfRangeError(f"{name} is {value!r} {unit}; allowed: above 0, finite")
        for name, value in (("write", write), ("reads", reads)):
            if not (isinstance(value, (int, np.integer)) and value >= 0):
                raise OutOfRangeError(f"{name} is {value!r}; allowed: a whole number, 0 or more")
        device = dataclasses.replace(self, time=time, temperature=temperature, write=int(write), reads=int(reads),
                                     outside_range=outside_range)
        file = self.file
        if file.temperature is not None and temperature is not None and "temperature" in self.effects:
            device._check("temperature", temperature, "temperature", file.temperature.valid_range_k, "K", "temperature_k")
        if file.endurance is not None:
            device._check("number of the write", write, "endurance", (0, file.endurance.cycles), "writes", "write")
        if time is not None:
            aged = device._aged(time)
            what = "time after programming" + (", at the reference temperature," if aged != time else "")
            for table, allowed in device.valid_times():
                device._check(what, aged, table, allowed, "s", "time_s")
        return device

    def in_study(self, study):
        """The same device with the effects and under the conditions of a study, see `at`."""
        switches = study.effects.model_dump()
        on = [effect for effect, follows in EFFECTS.items()
              if (switches[effect] if switches[effect] is not None else switches[follows])]
        chosen = study.device
        device = dataclasses.replace(self.with_effects(*on), telegraph_multiplier=study.effects.telegraph_multiplier)
        return device.at(time=chosen.time_s, temperature=chosen.temperature_k, write=chosen.write,
                                         reads=chosen.reads, outside_range=chosen.outside_range)

    def _table(self, effect):
        """The table of the file behind an effect, None where it is absent or switched off."""
        return ageing.table_of(self, effect)

    def _check(self, what, value, table, allowed, unit, key):
        low, high = allowed
        if low <= value <= high:
            return
        message = (f"{what} is {value:g} {unit}; [{table}] of device {self.name} is stated from {low:g} to {high:g} {unit}")
        if self.outside_range == "error":
            raise OutOfRangeError(f"{message}: choose device.{key} in this range, another device, or ask for a warning with "
                                  'device.outside_range = "warn"')
        warnings.warn(ValidRangeWarning(f"{message}; its model is extended beyond that"), stacklevel=3)

    def valid_times(self):
        """[(table, (first, last) s)] of the effects that depend on the time."""
        ranges = [(name, table.valid_time_s) for name in ("relaxation", "drift") if (table := self._table(name)) is not None]
        model = self._table("programming")
        if model is not None and model.sigma and model.sigma[0].time_s is not None \
                and self.file.relaxation is None and self.file.drift is None:
            ranges.append(("programming", (model.sigma[0].time_s, model.sigma[-1].time_s)))
        return ranges

    @property
    def aged_time(self):
        """Time after programming, s at the reference temperature; None where nothing depends on it."""
        if self.time is not None:
            return self._aged(self.time)
        return max((first for _, (first, _) in self.valid_times()), default=None)

    def _aged(self, time):
        table = self._table("temperature")
        return time if table is None else time * ageing.arrhenius(self, table.retention_activation_energy_ev)

    def write_sigma(self, target):
        """Standard deviation in S of the error of the write itself, element by element of `target` (S).

        Between two stated times it is linear in log(time), and on the same line outside them.
        """
        target = np.asarray(target, float)
        model = self._table("programming")
        if "programming" in self.effects and self.file.write_verify is not None:
            return np.full(target.shape, self.file.write_verify.tolerance_us * MICROSIEMENS / np.sqrt(3))
        if model is None:
            return np.zeros(target.shape)
        if model.model == "bounded":
            return np.full(target.shape, model.half_width_us * MICROSIEMENS / np.sqrt(3))

        def sigma_of(entry):
            if entry.target_us:
                return np.interp(target, np.array(entry.target_us) * MICROSIEMENS, entry.sigma_us)
            return np.polynomial.polynomial.polyval(target * (1 / (model.scale_us * MICROSIEMENS)), entry.polynomial_us)

        if len(model.sigma) == 1:
            return np.maximum(sigma_of(model.sigma[0]), 0.0) * MICROSIEMENS
        times = np.array([entry.time_s for entry in model.sigma])
        time = self.aged_time
        later = min(max(int(np.searchsorted(times, time)), 1 if time > times[0] else 0), len(times) - 1)
        sigma = sigma_of(model.sigma[later])
        if time != times[later]:
            before = max(later - 1, 0) if later else 1
            share = np.log(times[later] / time) / np.log(times[later] / times[before])
            sigma += share * (sigma_of(model.sigma[before]) - sigma)
        return np.maximum(sigma, 0.0) * MICROSIEMENS

    def write_bias(self, target):
        """Mean error in S of the write itself, element by element of `target` (S)."""
        target = np.asarray(target, float)
        model = self._table("programming")
        if model is None or model.bias_us is None:
            return np.zeros(target.shape)
        return model.bias_us(target / MICROSIEMENS) * MICROSIEMENS

    def programming_bias(self, target):
        """Mean deviation in S of the conductance that is read from `target` (S): of the write and
        of relaxation.

        In the scale of the target, like `programming_sigma`, whose standard deviations are about
        this mean.

        Raises
        ------
        OutOfRangeError : a target outside the valid range
        """
        target = np.asarray(target, float)
        self._check_target(target)
        bias = self.write_bias(target)
        if self._table("relaxation") is not None:
            bias = bias + self.relaxation_moments()[0]
        return bias

    def programming_sigma(self, target):
        """Standard deviation in S of all that lies between `target` (S) and the conductance that is read, to first order:
        write, spread, relaxation and drift (temperature, disturb and stuck cells left out), each of
        the conductance that the write reaches on average, `target + write_bias(target)`.

        In the scale of the target: where all cells drift, by the same factor on average, a digital gain undoes that.  A
        write-and-verify process counts as uniform within its tolerance.

        Raises
        ------
        OutOfRangeError : a target outside the valid range
        """
        target = np.asarray(target, float)
        self._check_target(target)
        sigma = self.write_sigma(target)
        written = np.maximum(target + self.write_bias(target), 0.0)
        if (spread := self._table("spread")) is not None:
            for relative in (spread.device_to_device_relative_sigma, spread.cycle_to_cycle_relative_sigma):
                sigma = np.hypot(sigma, relative * written)
        if self._table("relaxation") is not None:
            sigma = np.hypot(sigma, self.relaxation_moments()[1])
        if self._table("drift") is not None:
            logarithm = np.log(self.aged_time / self.file.drift.reference_s)
            reached = Programmed(written, target, written)
            sigma = np.hypot(sigma, written * self.drift_exponent(reached)[1] * logarithm)
        return sigma

    def relaxation_moments(self):
        """(mean, standard deviation) in S of the relaxation at the device's time."""
        return ageing.relaxation_moments(self)

    def drift_exponent(self, cells):
        """(mean, standard deviation) of the drift exponent nu of Programmed cells."""
        return ageing.drift_exponent(self, cells)

    def program(self, target, streams):
        """Write cells, and let them age to the device's time and temperature.

        In this order: nearest level, error of the write, spread, relaxation, drift, read disturb, temperature, physical
        bounds, stuck cells.

        Parameters
        ----------
        target : (t, m, n) or (m, n) S, inside the valid range
        streams : Streams, or an int for Streams(seed); alone decides every random number

        Returns
        -------
        Programmed
        """
        target = np.asarray(target, float)
        self._check_target(target)
        tiles, streams = read_noise.tiles_of(target), streams_of(streams)
        tiles, rounded = self._to_levels(tiles)
        g, written = self._write(tiles, streams)
        g = self._spread(g, streams)
        low, high = (bound * MICROSIEMENS for bound in self.file.conductance.bounds_us)
        cells = Programmed(g, tiles, np.clip(g, low, high))
        g = ageing.age(self, cells, streams)
        below, above = g < low, g > high
        g[below], g[above] = low, high
        bounded = int(np.count_nonzero(below) + np.count_nonzero(above))
        on, off = self._stick(g, streams)
        stuck = on | off
        counts = written + Counts(int(np.count_nonzero(on)), int(np.count_nonzero(off)), bounded, rounded)
        return Programmed(conductance=g.reshape(target.shape),
                          target=np.where(stuck, g, cells.target).reshape(target.shape),
                          achieved=np.where(stuck, g, cells.achieved).reshape(target.shape), counts=counts)

    def _to_levels(self, tiles):
        """Targets at the nearest level, and how many were not at one."""
        if "levels" not in self.effects or not self.file.conductance.levels_us:
            return tiles, 0
        levels = np.array(self.file.conductance.levels_us) * MICROSIEMENS
        nearest = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, tiles)]
        return nearest, int(np.count_nonzero(abs(nearest - tiles) > 1e-9 * levels[-1]))

    def _write(self, target, streams):
        """(conductance, Counts) of a write."""
        process, pulse = self.file.write_verify, self.file.write
        if "programming" in self.effects and process is not None:
            return self._write_verify(target, streams)
        model, sigma = self._table("programming"), self.write_sigma(target)
        g = np.array(target)
        if sigma.any():
            generators = streams.generators(len(g), PROGRAMMING, self.write)
            for tile, s, generator in zip(g, sigma, generators, strict=True):
                tile += _write_error(model, s, generator)
        g += self.write_bias(target)
        if pulse is None or process is not None:                   # a process that is switched off counts no pulses
            return g, Counts()
        return g, Counts(pulses=g.size, write_energy=_pulse_energy(pulse, g.size, np.maximum(g, 0).sum()))

    def _write_verify(self, target, streams):
        p, pulse = self.file.write_verify, self.file.write
        bottom, top = self.file.conductance.bounds_us
        start = self.file.conductance.minimum_us if p.start_us is None else p.start_us
        step = np.array([p.step_up_us, p.step_down_us]) * MICROSIEMENS
        nonlinearity = np.array([p.nonlinearity_up, p.nonlinearity_down])
        # of the step, per siemens on the way to saturation
        falling = np.zeros(2)
        if p.saturation_up_us is not None:
            falling[0] = 1 / (p.saturation_up_us * MICROSIEMENS - self.conductance_min)
        if p.saturation_down_us is not None:
            falling[1] = 1 / (self.conductance_max - p.saturation_down_us * MICROSIEMENS)
        g = np.empty(target.shape)
        count = np.empty(target.shape, np.int64)
        total = np.empty(target.shape)
        unverified = variability.write_verify(
            target,
            self.conductance_min,
            self.conductance_max,
            bottom * MICROSIEMENS,
            top * MICROSIEMENS,
            start * MICROSIEMENS,
            p.tolerance_us * MICROSIEMENS,
            step,
            nonlinearity,
            falling,
            p.step_relative_sigma,
            p.read_sigma_us * MICROSIEMENS,
            p.maximum_pulses,
            streams.keys(len(target), PROGRAMMING, self.write),
            g,
            count,
            total,
        )
        pulses = int(count.sum())
        energy = None if pulse is None else _pulse_energy(pulse, pulses, total.sum())
        return g, Counts(unverified=unverified, pulses=pulses, write_energy=energy)

    def _spread(self, g, streams):
        table = self._table("spread")
        if table is None:
            return g
        for sigma, purpose, write in ((table.device_to_device_relative_sigma, DEVICE, 0),
                                      (table.cycle_to_cycle_relative_sigma, CYCLE, self.write)):
            if sigma:
                g = g * (1 + sigma * ageing.normals(streams, g.shape, purpose, write))
        return g

    def _stick(self, g, streams):
        """Set stuck cells of g in place; returns which are on and off, each (t, m, n) bool."""
        table = self._table("stuck")
        state = np.zeros(g.shape, np.int8)
        if table is None:
            return state == variability.ON, state == variability.OFF
        variability.stuck_cells(np.array([table.on_rate, table.word_line_on_rate, table.bit_line_on_rate]),
                                np.array([table.off_rate, table.word_line_off_rate, table.bit_line_off_rate]),
                                streams.keys(len(g), STUCK), state)
        on, off = state == variability.ON, state == variability.OFF
        g[on] = self.conductance_max if table.on_us is None else table.on_us * MICROSIEMENS
        g[off] = self.conductance_min if table.off_us is None else table.off_us * MICROSIEMENS
        return on, off

    def read_noise_sigma(self, cells, streams=0, read_time=100e-9):
        """Standard deviation (shape of the cells) in S of one read that lasts `read_time` (s).

        White, 1/f over the band of a read and telegraph noise of the cells that have it, each averaged over the read; they
        add as independent variances.  What the parts share between successive reads is not in this number (`sample_reads`).

        Parameters
        ----------
        cells : Programmed.  Conductances alone, (m, n) or (tiles, m, n) S, will do where every
            law of the read noise means the conductance that is read, or is a constant
        streams : Streams, or an int for Streams(seed): which cells have telegraph noise

        Raises
        ------
        OutOfRangeError : conductances alone, and a law that means another conductance
        """
        return read_noise.noise_sigma(self, self._cells(cells), streams_of(streams), read_time)

    def read_noise_parts(self, cells, read_time=100e-9):
        """{"white", "flicker", "telegraph": standard deviation in S of one read}, the last of a cell that has it."""
        return read_noise.noise_parts(self, self._cells(cells), read_time)

    def sample_reads(self, cells, reads, interval, streams=0, read_time=100e-9):
        """What `reads` successive reads of every cell see, one starting every `interval` (s): (reads, ...) S.

        The direct simulation behind `read_noise_sigma`, and its arguments: a two-state process per
        cell, followed switch by switch; 1/f noise as a Gaussian series with exactly its band (what
        lies above 1 / (2 interval) folds down, as in a measurement); white noise.  A read takes one
        sample of the 1/f noise.
        O(cells x reads x log reads), more where a read holds many switches.
        """
        return read_noise.sample(self, self._cells(cells), reads, interval, streams_of(streams), read_time)

    def _cells(self, cells):
        """Programmed of what a method on reads was given."""
        if isinstance(cells, Programmed):
            return cells
        for name, law in self.file.read_noise_laws():
            if law.law != "constant" and law.of != "read" and name in self.effects:
                raise OutOfRangeError(
                    f"{name} of device {self.name} depends on the {law.of} conductance of a cell; "
                    "allowed: the whole result of `program`, or Programmed.exactly(conductance) for "
                    "cells that are read where they were aimed at"
                )
        return Programmed.exactly(cells)

    def cell(self):
        """The I-V curve for `Crossbar(conductance, cell=...)`, conductances being those at 0 V; None for ohmic cells.

        Beyond `valid_voltage_v` a Crossbar refuses to solve, or a sinh goes on if `outside_range` is "warn".
        """
        table = self.file.iv
        if table is None:
            return None
        if table.model == "sinh":
            return cells.Sinh(table.v0_v, table.valid_voltage_v if self.outside_range == "error" else np.inf)
        if table.model == "polynomial":
            return cells.Polynomial(table.coefficients, table.valid_voltage_v)
        return cells.Table(table.voltage_v, tuple(current * MICRO for current in table.current_ua))

    def access(self):
        """What is in series with every cell, for `Crossbar(conductance, access=...)`; None for nothing."""
        table = self.file.access
        if table is None:
            return None
        if table.model == "transistor":
            return cells.Transistor(table.on_resistance_ohm, table.overdrive_v, table.channel_length_modulation_per_v or 0.0)
        return cells.Selector(table.conductance_us * MICROSIEMENS, table.v0_v)

    def _check_target(self, target):
        low, high = (bound * MICROSIEMENS for bound in self.file.conductance.valid_range_us)
        # one part in 1e9 of rounding when codes become conductances
        outside = ~((target >= low - 1e-9 * high) & (target <= high * (1 + 1e-9)))
        if outside.any():
            worst = target.ravel()[np.argmax(outside.ravel())]
            message = (f"target conductance {engineering(worst, 'S')} is outside the valid range of device "
                       f"{self.name}, {engineering(low, 'S')} to {engineering(high, 'S')}")
            if self.outside_range == "error" or not np.isfinite(target).all() or target.min() < 0:
                raise OutOfRangeError(message)
            warnings.warn(ValidRangeWarning(message), stacklevel=3)


def _write_error(model, sigma, generator):
    """Errors (S) of one tile: standard deviation `sigma` (m, n), distributed as the [programming] table says."""
    if model.model == "bounded":
        return model.half_width_us * MICROSIEMENS * generator.uniform(-1.0, 1.0, sigma.shape)
    if model.model == "student":
        df = model.degrees_of_freedom
        return sigma * np.sqrt((df - 2) / df) * generator.standard_t(df, sigma.shape)
    deviate = generator.standard_normal(sigma.shape)
    if model.model == "mixture":
        wide, factor = model.tail_fraction, model.tail_factor
        deviate *= np.where(generator.random(sigma.shape) < wide, factor, 1.0) / np.sqrt(1 - wide + wide * factor**2)
    return sigma * deviate


def _pulse_energy(pulse, count, conductance_sum):
    """Joule of `count` pulses that found conductances with this sum (S)."""
    if pulse.pulse_energy_pj is not None:
        return float(count * pulse.pulse_energy_pj * PICO)
    return float(pulse.pulse_voltage_v**2 * conductance_sum * pulse.pulse_time_ns * NANO)
