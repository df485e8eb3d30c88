"""Device models: what a cell makes of the conductance it is told to take, and what a read sees of it.

A device file (`devicefile`, docs/devices.md) states each quantity with its unit in the key and a `source`.  Presets come
with xbarsim (`device_names()`); any path to a file of the same form works in their place.

    device = load_device("pcm").at(time=86400.0)
    device.program(target, seed).conductance
"""
import dataclasses
import functools
import importlib.resources
import tomllib
import warnings
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from xbarsim import cells
from xbarsim.config import describe
from xbarsim.devicefile import DeviceFile
from xbarsim.errors import ConfigError, OutOfRangeError, ShapeError, ValidRangeWarning, XbarsimError
from xbarsim.kernels import variability
from xbarsim.units import MICRO, MICROSIEMENS, NANO, PICO, engineering

# Effects, and the key of a study's [effects] that switches each where it has no switch of its own there.
EFFECTS = {"programming": "programming", "levels": "programming", "spread": "programming", "relaxation": "programming",
           "drift": "programming", "read_disturb": "programming", "temperature": "programming", "stuck": "programming",
           "read_noise": "read_noise", "flicker": "read_noise", "telegraph": "read_noise"}

# Purposes of random streams: SeedSequence(seed, spawn_key=(matrix, tile, purpose)).
PROGRAMMING, DEVICE, CYCLE, RELAXATION, DRIFT, STUCK, TELEGRAPH, READS, WHITE = range(9)

BOLTZMANN_EV = 8.617333262e-5                                      # eV/K (CODATA 2018, exact to these digits)
CORNERS_PER_DECADE = 3                                             # of sampled 1/f noise: ripple below 1 %


@dataclasses.dataclass(frozen=True)
class Streams:
    """Names the random numbers of consecutive tiles: they depend on nothing but seed, matrix, tile, purpose and write."""

    seed: int
    matrix: int = 0
    first_tile: int = 0

    def of(self, tiles, purpose, write=0):
        """SeedSequences of `tiles` tiles.  write : number of the write, for what every write draws anew."""
        key = (purpose, write) if write else (purpose,)
        return [np.random.SeedSequence(self.seed, spawn_key=(self.matrix, self.first_tile + t, *key)) for t in range(tiles)]

    def generators(self, tiles, purpose, write=0):
        return [np.random.Generator(np.random.PCG64(sequence)) for sequence in self.of(tiles, purpose, write)]

    def keys(self, tiles, purpose, write=0):
        """(tiles,) uint64 for the kernels."""
        return np.array([sequence.generate_state(1, np.uint64)[0] for sequence in self.of(tiles, purpose, write)])


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
    """Conductance (shape of the target) S at the device's time and temperature, and the Counts of the write."""

    conductance: np.ndarray
    counts: Counts


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
        return getattr(self.file, effect) if effect in self.effects else None

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

    def _arrhenius(self, energy_ev):
        """exp(-Ea / k (1 / T - 1 / Tref)); 1 at the reference temperature, or without temperature."""
        table = self._table("temperature")
        if table is None or self.temperature is None:
            return 1.0
        return float(np.exp(-energy_ev / BOLTZMANN_EV * (1 / self.temperature - 1 / table.reference_k)))

    def _aged(self, time):
        table = self._table("temperature")
        return time if table is None else time * self._arrhenius(table.retention_activation_energy_ev)

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
            sigma = np.hypot(sigma, written * self.drift_exponent(written)[1] * logarithm)
        return sigma

    def relaxation_moments(self):
        """(mean, standard deviation) in S of the relaxation at the device's time."""
        table, decades = self.file.relaxation, np.log10(self.aged_time)
        variance = table.variance_offset_us2 + table.variance_slope_us2 * decades
        if variance < 0:
            raise OutOfRangeError(f"the variance of [relaxation] is {variance:g} µS² at {self.aged_time:g} s; allowed: 0 or "
                                  "more; choose device.time_s in the stated range")
        return (table.mean_offset_us + table.mean_slope_us * decades) * MICROSIEMENS, np.sqrt(variance) * MICROSIEMENS

    def drift_exponent(self, conductance):
        """(mean, standard deviation) of the drift exponent nu, element by element of the written conductance (S)."""
        table, g = self.file.drift, np.asarray(conductance) / MICROSIEMENS
        return table.nu_mean(g), table.nu_sigma(g)

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
        tiles, streams = self._tiles(target), self._streams(streams)
        tiles, rounded = self._to_levels(tiles)
        g, written = self._write(tiles, streams)
        g = self._age(self._spread(g, streams), streams)
        if (table := self._table("temperature")) is not None:
            g = g * self._arrhenius(table.activation_energy_ev)
        low, high = (bound * MICROSIEMENS for bound in self.file.conductance.bounds_us)
        below, above = g < low, g > high
        g[below], g[above] = low, high
        bounded = int(np.count_nonzero(below) + np.count_nonzero(above))
        on, off = self._stick(g, streams)
        counts = written + Counts(on, off, bounded, rounded)
        return Programmed(g.reshape(target.shape), counts)

    def _tiles(self, array):
        if array.ndim not in (2, 3):
            raise ShapeError(f"conductances have shape {array.shape}; allowed: (m, n), or (tiles, m, n)")
        return array.reshape(-1, *array.shape[-2:])

    @staticmethod
    def _streams(streams):
        return Streams(streams) if isinstance(streams, (int, np.integer)) else streams

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
                g = g * (1 + sigma * _normals(streams.generators(len(g), purpose, write), g.shape))
        return g

    def _age(self, g, streams):
        written = np.maximum(g, 0.0)                               # what the drift exponent depends on
        if self._table("relaxation") is not None:
            mean, sigma = self.relaxation_moments()
            g = g + mean + sigma * _normals(streams.generators(len(g), RELAXATION, self.write), g.shape)
        if (table := self._table("drift")) is not None:
            mean, sigma = self.drift_exponent(written)
            nu = mean + sigma * _normals(streams.generators(len(g), DRIFT, self.write), g.shape)
            g = g * (self.aged_time / table.reference_s) ** -nu
        if (table := self._table("read_disturb")) is not None:
            end = self.conductance_min if table.toward == "minimum" else self.conductance_max
            g = g - (end - g) * np.expm1(-table.rate_per_read * self.reads)
        return g

    def _stick(self, g, streams):
        """Set stuck cells of g in place; returns how many are on and off."""
        table = self._table("stuck")
        if table is None:
            return 0, 0
        state = np.zeros(g.shape, np.int8)
        variability.stuck_cells(np.array([table.on_rate, table.word_line_on_rate, table.bit_line_on_rate]),
                                np.array([table.off_rate, table.word_line_off_rate, table.bit_line_off_rate]),
                                streams.keys(len(g), STUCK), state)
        on, off = state == variability.ON, state == variability.OFF
        g[on] = self.conductance_max if table.on_us is None else table.on_us * MICROSIEMENS
        g[off] = self.conductance_min if table.off_us is None else table.off_us * MICROSIEMENS
        return int(np.count_nonzero(on)), int(np.count_nonzero(off))

    def read_noise_sigma(self, conductance, streams=0, read_time=100e-9):
        """Standard deviation in S of one read that lasts `read_time` (s), element by element of `conductance` (S).

        White, 1/f over the band of a read and telegraph noise of the cells that have it, each averaged over the read; they
        add as independent variances.  What the parts share between successive reads is not in this number (`sample_reads`).
        """
        g = np.asarray(conductance, float)
        parts = self.read_noise_parts(g, read_time)
        if parts["telegraph"].any() and (fraction := self.file.read_noise.telegraph.cell_fraction) < 1:
            parts["telegraph"] = parts["telegraph"] * self._telegraph_cells(g, self._streams(streams), fraction)
        return np.hypot(np.hypot(parts["flicker"], parts["telegraph"]), parts["white"])

    def read_noise_parts(self, conductance, read_time=100e-9):
        """{"white", "flicker", "telegraph": standard deviation in S of one read}, the last of a cell that has it."""
        g = np.asarray(conductance, float)
        noise, us = self.file.read_noise, np.asarray(conductance) / MICROSIEMENS
        parts = dict.fromkeys(("white", "flicker", "telegraph"), np.zeros(g.shape))
        if noise is None:
            return parts
        if "read_noise" in self.effects:
            parts["white"] = noise.relative_sigma * g
        if "flicker" in self.effects and noise.flicker is not None:
            low, high = self._flicker_band(read_time)
            parts["flicker"] = noise.flicker.amplitude(us) * g * np.sqrt(np.log(high / low))
        if "telegraph" in self.effects and noise.telegraph is not None:
            table = noise.telegraph
            p = table.dwell_high_s / (table.dwell_high_s + table.dwell_low_s)
            x = read_time * (1 / table.dwell_high_s + 1 / table.dwell_low_s)     # read time in correlation times
            averaged = 2 * (x + np.expm1(-x)) / x**2 if x > 1e-4 else 1 - x / 3
            parts["telegraph"] = self._telegraph_step(g) * np.sqrt(p * (1 - p) * averaged)
        return parts

    def _flicker_band(self, read_time):
        table = self.file.read_noise.flicker
        high = table.frequency_high_hz or 1 / (2 * read_time)
        time = self.aged_time if self.time is None else self.time      # by the clock, not the aged time
        if table.frequency_low_hz is None and time is None:
            raise OutOfRangeError(f"device {self.name}: the 1/f noise starts at 1 / (time after programming), which is not "
                                  "known; give device.time_s, or frequency_low_hz in the device file")
        low = table.frequency_low_hz or 1 / time
        if low >= high:
            raise OutOfRangeError(f"device {self.name}: the band of its 1/f noise is {low:g} to {high:g} Hz; allowed: an "
                                  "increasing one; choose a later device.time_s or a shorter dac.read_time_ns")
        return low, high

    def _telegraph_cells(self, g, streams, fraction):
        generators = streams.generators(len(self._tiles(g)), TELEGRAPH)
        return np.stack([generator.random(g.shape[-2:]) < fraction for generator in generators]).reshape(g.shape)

    def _telegraph_step(self, g):
        """High minus low state, S, where g is the mean of both over time."""
        table = self.file.read_noise.telegraph
        a = table.relative_amplitude(g / MICROSIEMENS)
        p_low = table.dwell_low_s / (table.dwell_high_s + table.dwell_low_s)
        return g * a / (1 - a * p_low) * self.telegraph_multiplier

    def sample_reads(self, conductance, reads, interval, streams=0, read_time=100e-9):
        """What `reads` successive reads of every cell see, one starting every `interval` (s): (reads, ...) S.

        The direct simulation behind `read_noise_sigma`: a two-state process per cell, followed switch by switch; 1/f noise
        as a sum of Ornstein-Uhlenbeck processes over its band; white noise.  A read takes one sample of the 1/f noise.
        O(cells x reads), more where a read holds many switches.
        """
        g, streams = np.asarray(conductance, float), self._streams(streams)
        if not (reads >= 1 and read_time > 0 and interval >= read_time):
            raise OutOfRangeError(f"{reads} reads every {interval:g} s of {read_time:g} s each; allowed: one or more, an "
                                  "interval of at least the read time, which is above 0 s")
        tiles = self._tiles(g)
        out = np.repeat(tiles.reshape(len(tiles), -1, 1), reads, axis=2)          # (t, cells, reads)
        noise = self.file.read_noise
        parts = {name: part.reshape(len(tiles), -1) for name, part in self.read_noise_parts(tiles, read_time).items()}
        keys, buffer = streams.keys(len(tiles), READS), np.empty(reads)
        if parts["telegraph"].any():
            table = noise.telegraph
            step = self._telegraph_step(tiles).reshape(len(tiles), -1)
            p = table.dwell_high_s / (table.dwell_high_s + table.dwell_low_s)
            has = self._telegraph_cells(tiles, streams, table.cell_fraction).reshape(len(tiles), -1)
            for t, c in zip(*np.nonzero(has), strict=True):
                variability.telegraph_reads(table.dwell_high_s, table.dwell_low_s, interval, read_time, keys[t],
                                            np.uint64(2 * c), buffer)
                out[t, c] += step[t, c] * (buffer - p)
        if parts["flicker"].any():
            low, high = self._flicker_band(read_time)
            corners = np.geomspace(low, high, int(np.ceil(CORNERS_PER_DECADE * np.log10(high / low))) + 1)
            for t, c in np.ndindex(parts["flicker"].shape):
                variability.flicker_reads(corners, parts["flicker"][t, c], interval, keys[t], np.uint64(2 * c + 1), buffer)
                out[t, c] += buffer
        if parts["white"].any():
            for row, sigma, generator in zip(out, parts["white"], streams.generators(len(tiles), WHITE), strict=True):
                row += sigma[:, None] * generator.standard_normal(row.shape)
        return np.moveaxis(out, 2, 0).reshape(reads, *g.shape)

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


def _normals(generators, shape):
    """(t, m, n) standard normal deviates, each tile from its own generator."""
    return np.stack([generator.standard_normal(shape[1:]) for generator in generators])


def _pulse_energy(pulse, count, conductance_sum):
    """Joule of `count` pulses that found conductances with this sum (S)."""
    if pulse.pulse_energy_pj is not None:
        return float(count * pulse.pulse_energy_pj * PICO)
    return float(pulse.pulse_voltage_v**2 * conductance_sum * pulse.pulse_time_ns * NANO)


def device_names():
    """Names of the devices that come with xbarsim."""
    entries = importlib.resources.files("xbarsim.data").joinpath("devices").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))


@functools.cache
def load_device(name_or_path):
    """DeviceModel of a preset's name or of a device file.

    Raises
    ------
    ConfigError : unknown name, not TOML, unknown or missing key, value out of range
    """
    text = device_text(name_or_path)
    try:
        file = DeviceFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"device file {name_or_path} is not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"device file {name_or_path}: {describe(error)}") from None
    name = Path(name_or_path).stem if Path(name_or_path).is_file() else str(name_or_path)
    device = DeviceModel(name, file, frozenset(EFFECTS))
    try:
        device.cell(), device.access()
    except XbarsimError as error:
        raise ConfigError(f"device file {name_or_path}: [iv] or [access]: {error}") from None
    return device


def device_text(name_or_path):
    """The TOML text of a preset or of a device file."""
    path = Path(name_or_path)
    if path.is_file():
        source = path
    elif str(name_or_path) in device_names():
        source = importlib.resources.files("xbarsim.data").joinpath("devices", f"{name_or_path}.toml")
    else:
        raise ConfigError(f"no device {str(name_or_path)!r}: it is neither a file nor one of {', '.join(device_names())}")
    try:
        return source.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"device file {name_or_path} is not readable text: {error}") from None
