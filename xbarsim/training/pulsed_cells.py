"""Cells that are trained where they are: pulses up and down, by the law of a device file.

A pulse moves a cell by the step of `[write_verify]`, the law that `xbarsim calibrate pulses` fits:
large at one end of the window, falling on the way to the other, with noise of its own.  Two things
may be added that such a file does not state: heat, a second state that every pulse raises and that
decays between updates, and a divider, which takes a part of the voltage as the cell conducts.
"""

from dataclasses import dataclass, field

import numpy as np

from xbarsim.base.array_types import Booleans, Floats, Integers
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.units import MICROSIEMENS, NANO, PICO
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.write_tables import Write, WriteVerify
from xbarsim.kernels.training.cell_pulses import DOWN, UP, pulse_cells

SIGNS = {UP: 1, DOWN: -1}


@dataclass(frozen=True)
class Heat:
    """A second state of every cell, in units of its own: a pulse adds 1, an update is `interval_s`
    after the last.

    gain : a pulse at heat h moves the cell by exp(gain h) of the step
    decay_s : time in which heat falls to 1 / e
    heating_pulse : whether a pulse that moves nothing first brings every cell that is to be written
        to the same heat, that of 1 pulse; it takes an energy of its own
    """

    gain: float
    decay_s: float
    interval_s: float
    heating_pulse: bool = False

    def __post_init__(self) -> None:
        if self.decay_s <= 0 or self.interval_s <= 0:
            raise OutOfRangeError(
                f"decay_s = {self.decay_s:g}, interval_s = {self.interval_s:g}; allowed are times above "
                "0 s"
            )

    @property
    def kept(self) -> float:
        """Share of the heat that is left at the next update."""
        return float(np.exp(-self.interval_s / self.decay_s))


@dataclass(frozen=True)
class Divider:
    """A resistor in series with a cell while it is written; a diode for each direction.

    Sources are raised such that a cell at the middle of the window has the voltage that it would have
    without.

    up_ohm, down_ohm : of the path of pulses up and down
    voltage_v : over that cell;  slope_v : by which the step of a pulse falls to 1 / e
    """

    up_ohm: float
    down_ohm: float
    voltage_v: float
    slope_v: float

    def __post_init__(self) -> None:
        if min(self.up_ohm, self.down_ohm) < 0 or min(self.voltage_v, self.slope_v) <= 0:
            raise OutOfRangeError(
                f"up_ohm = {self.up_ohm:g}, down_ohm = {self.down_ohm:g}, voltage_v = "
                f"{self.voltage_v:g}, slope_v = {self.slope_v:g}; allowed are 0 ohm or more, and "
                "voltages above 0 V"
            )

    def ohm(self, way: int) -> float:
        """Of the path of pulses up or down."""
        return self.down_ohm if way == DOWN else self.up_ohm

    def share(self, way: int, conductance: Floats, middle: float) -> Floats:
        """Voltage over cells, of that over one at the middle of the window (S)."""
        ohm = self.ohm(way)
        found: Floats = (1 + middle * ohm) / (1 + conductance * ohm)
        return found

    def factor(self, way: int, conductance: Floats, middle: float) -> Floats:
        """What becomes of the steps of cells, 1 at the middle of the window."""
        more = self.voltage_v * (self.share(way, conductance, middle) - 1)
        found: Floats = np.exp(more / self.slope_v)
        return found

    def energy_factor(self, way: int, conductance: Floats, middle: float) -> Floats:
        """What becomes of the energy of pulses, resistor included."""
        found: Floats = (1 + middle * self.ohm(way)) * self.share(way, conductance, middle)
        return found


NO_DIVIDER = Divider(up_ohm=0.0, down_ohm=0.0, voltage_v=1.0, slope_v=1.0)


@dataclass(frozen=True)
class PulseLaw:
    """Steps of a device file in siemens.

    low, high : the window;  step, nonlinearity, falling : (up, down), see `variability.pulse_step`
    sigma : of a step, relative to it
    """

    low: float
    high: float
    step: tuple[float, float]
    nonlinearity: tuple[float, float]
    falling: tuple[float, float]
    sigma: float

    @classmethod
    def of(cls, device: DeviceModel) -> "PulseLaw":
        """
        Raises
        ------
        ConfigError : a device without [write_verify]
        """
        table = device.file.write_verify
        if table is None:
            raise ConfigError(
                f"device {device.file.description!r} has no [write_verify], which says what a pulse "
                "does; fit one to trains of pulses with xbarsim calibrate pulses"
            )
        low = float(device.conductance_min)
        high = float(device.conductance_max)
        return cls(
            low=low,
            high=high,
            step=(table.step_up_us * MICROSIEMENS, table.step_down_us * MICROSIEMENS),
            nonlinearity=(table.nonlinearity_up, table.nonlinearity_down),
            falling=_falling(table, low, high),
            sigma=table.step_relative_sigma,
        )

    @property
    def middle(self) -> float:
        """S of the middle of the window."""
        return (self.low + self.high) / 2

    def mean_step(self, way: int, conductance: Floats) -> Floats:
        """Siemens that a pulse moves cells by, without its sign."""
        moved = conductance - self.low if way == UP else self.high - conductance
        share = np.clip(moved / (self.high - self.low), 0, 1)
        line = np.maximum(1 - self.falling[way] * moved, 0)
        found: Floats = self.step[way] * np.exp(-self.nonlinearity[way] * share) * line
        return found


def _falling(table: WriteVerify, low: float, high: float) -> tuple[float, float]:
    up = 0.0
    down = 0.0
    if table.saturation_up_us is not None:
        up = 1 / (table.saturation_up_us * MICROSIEMENS - low)
    if table.saturation_down_us is not None:
        down = 1 / (high - table.saturation_down_us * MICROSIEMENS)
    return up, down


@dataclass
class PulsedCells:
    """Cells (m, n) under pulses; counts grow with every one.

    conductance : S;  responds : False of cells that no pulse moves
    half_select : share of its step by which a pulse disturbs the other cells of its lines
    heat : of every cell, which matters where `second_state` is given
    pulses : per cell, for its wear;  energy : joule, None where the device states none
    """

    law: PulseLaw
    conductance: Floats
    responds: Booleans
    rng: np.random.Generator
    write: Write | None = None
    second_state: Heat | None = None
    divider: Divider | None = None
    half_select: float = 0.0
    heat: Floats = field(init=False)
    pulses: Integers = field(init=False)
    heating_pulses: int = 0
    energy: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.half_select < 1:
            raise OutOfRangeError(
                f"half_select = {self.half_select:g}; allowed are shares of a step from 0 to below 1"
            )
        self.heat = np.zeros(self.conductance.shape)
        self.pulses = np.zeros(self.conductance.shape, np.int64)
        if self.write is not None:
            self.energy = 0.0

    @property
    def typical_step(self) -> float:
        """Siemens of a pulse at the middle of the window, mean of both directions: behind the divider,
        and at the heat of a heating pulse, where there is one.
        """
        middle = np.array(self.law.middle)
        steps = []
        for way in (UP, DOWN):
            step = self.law.mean_step(way, middle)
            if self.divider is not None:
                step = step * self.divider.factor(way, middle, self.law.middle)
            steps.append(step)
        heat = self.second_state
        heated = 1.0
        if heat is not None and heat.heating_pulse:
            heated = float(np.exp(heat.gain))
        return heated * float(np.mean(steps))

    def apply(self, counts: Integers) -> None:
        """So many pulses (m, n) to every cell, up where positive and down where negative, and the time
        to the next update.

        Raises
        ------
        ShapeError : counts of another shape
        """
        if counts.shape != self.conductance.shape:
            raise ShapeError(
                f"pulses have shape {counts.shape}; the cells are {self.conductance.shape}"
            )
        if self.second_state is not None and self.second_state.heating_pulse:
            self._heat_up(counts != 0)
        for way, sign in SIGNS.items():
            self._train(way, np.flatnonzero(sign * counts > 0), counts)
        if self.half_select:
            self._disturb(counts)
        if self.second_state is not None:
            self.heat *= self.second_state.kept

    def _train(self, way: int, cells: Integers, counts: Integers) -> None:
        """The pulses of one direction, to the cells of these numbers."""
        of_cells = np.abs(counts.ravel()[cells])
        total = int(of_cells.sum())
        if not total:
            return
        law = self.law
        divider = self.divider or NO_DIVIDER
        drawn = pulse_cells(
            self.conductance.ravel(),
            heat=self.heat.ravel(),
            pulses=self.pulses.ravel(),
            responds=self.responds.ravel(),
            cells=cells,
            counts=of_cells,
            normals=self.rng.standard_normal(total),
            way=way,
            low=law.low,
            high=law.high,
            step=law.step[way],
            nonlinearity=law.nonlinearity[way],
            falling=law.falling[way],
            sigma=law.sigma,
            gain=0.0 if self.second_state is None else self.second_state.gain,
            ohm=divider.ohm(way),
            volts=divider.voltage_v,
            slope=divider.slope_v,
        )
        self._count_energy(total, drawn)

    def _steps(self, way: int) -> Floats:
        """Mean siemens of the next pulse of every cell."""
        step = self.law.mean_step(way, self.conductance)
        if self.second_state is not None:
            step = step * np.exp(self.second_state.gain * self.heat)
        if self.divider is not None:
            step = step * self.divider.factor(way, self.conductance, self.law.middle)
        return step

    def _heat_up(self, chosen: Booleans) -> None:
        """Cells that are to be written are brought to the heat of one pulse."""
        self.heat[chosen] = np.maximum(self.heat[chosen], 1)
        count = int(np.count_nonzero(chosen))
        self.heating_pulses += count
        drawn = self.conductance[chosen]
        if self.divider is not None:
            drawn = drawn * self.divider.energy_factor(UP, drawn, self.law.middle)
        self._count_energy(count, float(drawn.sum()))

    def _disturb(self, counts: Integers) -> None:
        """What pulses on other cells of its lines add up to, by the mean step."""
        for way, sign in SIGNS.items():
            those = np.where(sign * counts > 0, np.abs(counts), 0)
            beside = those.sum(axis=0)[None, :] + those.sum(axis=1)[:, None] - 2 * those
            change = sign * self.half_select * beside * self._steps(way)
            moved = np.clip(self.conductance + change, self.law.low, self.law.high)
            self.conductance = np.where(self.responds, moved, self.conductance)

    def _count_energy(self, pulses: int, drawn: float) -> None:
        """Of so many pulses to cells that together draw `drawn` siemens at the pulse's voltage."""
        if self.write is None or self.energy is None:
            return
        if self.write.pulse_energy_pj is not None:
            self.energy += pulses * self.write.pulse_energy_pj * PICO
            return
        volts = self.write.pulse_voltage_v or 0.0
        self.energy += volts**2 * drawn * self.write.pulse_time_ns * NANO
