"""Device models: what a cell makes of the conductance it is told to take, and what a read sees of
it.

A device file (`devices/file.py`, docs/devices.md) states each quantity with its unit in the key and
a `source`.  Presets come with xbarsim (`device_names()`); any path to a file of the same form works
in their place.

    device = load_device("pcm").at(time=86400.0)
    device.program(target, seed).conductance
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.units import PICO
from xbarsim.config.study import Study
from xbarsim.devices import ageing, read_noise, writing
from xbarsim.devices.conditions import Conditions, effects_on, known_effects
from xbarsim.devices.programmed import Programmed, StuckCells
from xbarsim.devices.remembered import RememberedNoise, remembered_noise
from xbarsim.devices.series import Access, Curve, access_of, curve_of
from xbarsim.devices.streams import Streams, streams_of

READ_TIME = 100e-9  # s, of a read where nothing else is said


@dataclass(frozen=True)
class DeviceModel(Conditions):
    """A device, its effects that are switched on and the conditions it is read under (`at`);
    immutable.
    """

    @property
    def read_voltage(self) -> float:
        """Volt that the largest input puts on a word line."""
        return self.file.read.voltage_v

    def with_effects(self, *names: str) -> Self:
        """The same device with only these of its effects (`Effect`); without arguments it is
        exact.
        """
        return replace(self, effects=self.effects & known_effects(names))

    def without(self, *names: str) -> Self:
        """The same device without these effects."""
        return replace(self, effects=self.effects - known_effects(names))

    def at(
        self,
        *,
        time: float | None = None,
        temperature: float | None = None,
        write: int = 0,
        reads: int = 0,
        outside_range: str = "error",
    ) -> Self:
        """The same device read under these conditions.

        Parameters
        ----------
        time : s after programming; the earliest that the file's models state if None
        temperature : K; the file's reference if None
        write : writes before this one
        reads : since this write
        outside_range : "error" or "warn" (ValidRangeWarning) where the file's values are not valid

        Raises
        ------
        OutOfRangeError : a condition outside the valid range of an effect that is on
        """
        _check_above_zero("time", time, "s")
        _check_above_zero("temperature", temperature, "K")
        _check_number("write", write)
        _check_number("reads", reads)
        device = replace(
            self,
            time=time,
            temperature=temperature,
            write=int(write),
            reads=int(reads),
            outside_range=outside_range,
        )
        device.check()
        return device

    def after_writes(self, writes: int) -> Self:
        """The same device, to be written so many times later.

        Raises
        ------
        OutOfRangeError : more writes than it endures
        """
        device = replace(self, write=self.write + writes)
        device.check()
        return device

    def within(self, minimum_us: float | None = None, maximum_us: float | None = None) -> Self:
        """The same device, used in another window, µS; an end that is None stays.

        Raises
        ------
        ConfigError : a window outside the valid range, or one that a table of the file does not
            cover
        """
        if minimum_us is None and maximum_us is None:
            return self
        where = f"device.minimum_us, device.maximum_us of device {self.name}"
        return replace(self, file=self.file.within(minimum_us, maximum_us, where))

    def in_study(self, study: Study) -> Self:
        """The same device with the effects and under the conditions of a study, see `at`."""
        chosen = study.device
        device = replace(
            self.within(chosen.minimum_us, chosen.maximum_us),
            effects=self.effects & effects_on(study.effects),
            telegraph_multiplier=study.effects.telegraph_multiplier,
        )
        return device.at(
            time=chosen.time_s,
            temperature=chosen.temperature_k,
            write=chosen.write,
            reads=chosen.reads,
            outside_range=chosen.outside_range,
        )

    # ------------------------------------------------------------ writes

    def write_sigma(self, target: ArrayLike) -> Floats:
        """Standard deviation in S of the error of the write itself, element by element of `target`
        (S).

        Between two stated times it is linear in log(time), and on the same line outside them.
        """
        return writing.write_sigma(self, target)

    def write_bias(self, target: ArrayLike) -> Floats:
        """Mean error in S of the write itself, element by element of `target` (S)."""
        return writing.write_bias(self, target)

    @property
    def pulse_energy(self) -> float | None:
        """Joule of a pulse that writes, None where the device states none that all pulses have."""
        write = self.file.write
        if write is None or write.pulse_energy_pj is None:
            return None
        joules: float = write.pulse_energy_pj * PICO
        return joules

    def programming_bias(self, target: ArrayLike) -> Floats:
        """Mean deviation in S of the conductance that is read from `target` (S): of the write and
        of relaxation.

        In the scale of the target, like `programming_sigma`, whose standard deviations are about
        this mean.

        Raises
        ------
        OutOfRangeError : a target outside the valid range
        """
        return writing.programming_bias(self, target)

    def programming_sigma(self, target: ArrayLike) -> Floats:
        """Standard deviation in S of all that lies between `target` (S) and the conductance that is
        read, to first order: write, spread, relaxation and drift (temperature, disturb and stuck
        cells left out), each of the conductance that the write reaches on average,
        `target + write_bias(target)`.

        In the scale of the target: where all cells drift, by the same factor on average, a digital
        gain undoes that.  A write-and-verify process counts as uniform within its tolerance.

        Raises
        ------
        OutOfRangeError : a target outside the valid range
        """
        return writing.programming_sigma(self, target)

    def relaxation_moments(self) -> tuple[float, float]:
        """(mean, standard deviation) in S of the relaxation at the device's time."""
        return ageing.relaxation_moments(self)

    def drift_exponent(self, cells: Programmed) -> tuple[Floats, Floats]:
        """(mean, standard deviation) of the drift exponent nu of Programmed cells."""
        return ageing.drift_exponent(self, cells)

    def program(self, target: ArrayLike, streams: Streams | int) -> Programmed:
        """Write cells, and let them age to the device's time and temperature.

        In this order: nearest level, error of the write, spread, relaxation, drift, read disturb,
        temperature, physical bounds, stuck cells.

        Parameters
        ----------
        target : (t, m, n) or (m, n) S, inside the valid range
        streams : Streams, or an int for Streams(seed); alone decides every random number
        """
        return writing.program(self, target, streams_of(streams))

    def program_again(
        self,
        cells: Programmed,
        target: Floats,
        chosen: Booleans,
        streams: Streams | int,
    ) -> Programmed:
        """Cells of which some are written once more, by the write with this device's number.

        They draw their errors anew, but for what belongs to the device, and stay stuck where they
        are.  Counts are those of both writes; rewritten cells have their pulses and energy.

        Parameters
        ----------
        cells : of an earlier write, (t, m, n) or (m, n)
        target : of the same shape, S, inside the valid range where `chosen`
        chosen : of the same shape, which are written
        """
        return writing.program_again(self, cells, target, chosen, streams_of(streams))

    def stuck_cells(self, shape: tuple[int, int, int], streams: Streams | int) -> StuckCells:
        """Cells (t, m, n) that are stuck, the same as `program` finds with these streams."""
        return writing.stuck_cells(self, shape, streams_of(streams))

    # ------------------------------------------------------------ reads

    def read_noise_sigma(
        self,
        cells: Programmed | ArrayLike,
        streams: Streams | int = 0,
        read_time: float = READ_TIME,
    ) -> Floats:
        """Standard deviation (shape of the cells) in S of one read that lasts `read_time` (s).

        White, 1/f over the band of a read and telegraph noise of the cells that have it, each
        averaged over the read; they add as independent variances.  What the parts share between
        successive reads is not in this number (`sample_reads`).

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

    def remembered_noise(
        self, cells: Programmed, streams: Streams, read_time: float, interval: float
    ) -> RememberedNoise:
        """The noise of reads that last `read_time`, one every `interval` (s), by how long it lasts.

        streams : which cells have telegraph noise
        """
        return remembered_noise(self, cells, streams, read_time, interval)

    def read_noise_parts(
        self, cells: Programmed | ArrayLike, read_time: float = READ_TIME
    ) -> dict[str, Floats]:
        """{"white", "flicker", "telegraph": standard deviation in S of one read}, the last of a
        cell that has it.
        """
        return read_noise.noise_parts(self, self._cells(cells), read_time)

    def sample_reads(
        self,
        cells: Programmed | ArrayLike,
        reads: int,
        interval: float,
        streams: Streams | int = 0,
        read_time: float = READ_TIME,
    ) -> Floats:
        """What `reads` successive reads of every cell see, one starting every `interval` (s):
        (reads, ...) S.

        The direct simulation behind `read_noise_sigma`, and its arguments: a two-state process per
        cell, followed switch by switch; 1/f noise as a Gaussian series with exactly its band (what
        lies above 1 / (2 interval) folds down, as in a measurement); white noise.  A read takes one
        sample of the 1/f noise.
        O(cells x reads x log reads), more where a read holds many switches.
        """
        return read_noise.sample(
            self,
            self._cells(cells),
            reads=reads,
            interval=interval,
            streams=streams_of(streams),
            read_time=read_time,
        )

    def _cells(self, cells: Programmed | ArrayLike) -> Programmed:
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

    # ------------------------------------------------------------ circuits

    def cell(self) -> Curve | None:
        """The I-V curve for `Crossbar(conductance, cell=...)`, conductances being those at 0 V;
        None for ohmic cells.

        Beyond `valid_voltage_v` a Crossbar refuses to solve, or a sinh goes on if `outside_range`
        is "warn".
        """
        return curve_of(self)

    def access(self) -> Access | None:
        """What is in series with every cell, for `Crossbar(conductance, access=...)`; None for
        nothing.
        """
        return access_of(self)


def _check_above_zero(name: str, value: float | None, unit: str) -> None:
    if value is not None and not 0 < value < np.inf:
        raise OutOfRangeError(f"{name} is {value!r} {unit}; allowed: above 0, finite")


def _check_number(name: str, value: int) -> None:
    if not (isinstance(value, (int, np.integer)) and value >= 0):
        raise OutOfRangeError(f"{name} is {value!r}; allowed: a whole number, 0 or more")
