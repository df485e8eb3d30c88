"""Conditions that a device is written and read under: effects that are on, time, temperature,
numbers of writes and reads; and the ranges that its file is valid for.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError, ValidRangeWarning
from xbarsim.base.units import MICROSIEMENS, engineering
from xbarsim.config.arrays import Effects
from xbarsim.devices.file import DeviceFile

BOLTZMANN_EV = 8.617333262e-5  # eV/K (CODATA 2018, exact to these digits)
ROUNDING = 1e-9  # relative, of codes that become conductances


class Effect(StrEnum):
    """What may happen to a cell beside taking its target and being read exactly."""

    PROGRAMMING = "programming"
    LEVELS = "levels"
    SPREAD = "spread"
    RELAXATION = "relaxation"
    DRIFT = "drift"
    READ_DISTURB = "read_disturb"
    TEMPERATURE = "temperature"
    STUCK = "stuck"
    READ_NOISE = "read_noise"
    FLICKER = "flicker"
    TELEGRAPH = "telegraph"


GROUP_OF_READS = (Effect.READ_NOISE, Effect.FLICKER, Effect.TELEGRAPH)

# The key of a study's [effects] that an effect follows where it has no switch of its own there.
FOLLOWS = {
    effect: Effect.READ_NOISE if effect in GROUP_OF_READS else Effect.PROGRAMMING
    for effect in Effect
}

# Tables of the device file that an effect switches as a whole.
SWITCHED_TABLES = {
    "programming": Effect.PROGRAMMING,
    "write_verify": Effect.PROGRAMMING,
    "spread": Effect.SPREAD,
    "relaxation": Effect.RELAXATION,
    "drift": Effect.DRIFT,
    "read_disturb": Effect.READ_DISTURB,
    "temperature": Effect.TEMPERATURE,
    "stuck": Effect.STUCK,
}


def effects_on(switches: Effects) -> frozenset[Effect]:
    """Effects that the table [effects] of a study switches on, by themselves or with the one that
    they follow.
    """
    return frozenset(effect for effect in Effect if _is_on(switches, effect))


def _is_on(switches: Effects, effect: Effect) -> bool:
    if effect in switches.without:
        return False
    own: bool | None = getattr(switches, effect)
    if own is not None:
        return own
    followed: bool = getattr(switches, FOLLOWS[effect])
    return followed


def known_effects(names: Iterable[str]) -> frozenset[Effect]:
    """Effects of these names.

    Raises
    ------
    ConfigError : a name is not that of an effect
    """
    for name in names:
        if name not in FOLLOWS:
            raise ConfigError(
                f"{name!r} is not an effect of a device; effects are {', '.join(FOLLOWS)}"
            )
    return frozenset(Effect(name) for name in names)


class TimeRange(NamedTuple):
    """First and last time, s, that a table of a device file is stated for."""

    table: str
    times: tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    """A device file under conditions: all that the laws of a write and of a read depend on.

    name : of the device, for messages
    effects : that are on
    time : s after programming; the earliest that the file's models state if None
    temperature : K; the file's reference if None
    write : writes before this one
    reads : since this write
    outside_range : "error" or "warn" where the file's values are not valid
    telegraph_multiplier : of the amplitude of telegraph noise
    """

    name: str
    file: DeviceFile
    effects: frozenset[str]
    time: float | None = None
    temperature: float | None = None
    write: int = 0
    reads: int = 0
    outside_range: str = "error"
    telegraph_multiplier: float = 1.0

    @cached_property
    def active(self) -> DeviceFile:
        """The device file without the tables of effects that are off."""
        absent = {
            table: None for table, effect in SWITCHED_TABLES.items() if effect not in self.effects
        }
        return self.file.model_copy(update=absent)

    @property
    def conductance_min(self) -> float:
        """Low end of the window, S."""
        return self.file.conductance.minimum_us * MICROSIEMENS

    @property
    def conductance_max(self) -> float:
        """High end of the window, S."""
        return self.file.conductance.maximum_us * MICROSIEMENS

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds that physics sets to a conductance, S."""
        low, high = self.file.conductance.bounds_us
        return low * MICROSIEMENS, high * MICROSIEMENS

    def valid_times(self) -> list[TimeRange]:
        """Times that the tables of the effects that depend on the time are stated for."""
        active = self.active
        ranges = []
        if active.relaxation is not None:
            ranges.append(TimeRange("relaxation", active.relaxation.valid_time_s))
        if active.drift is not None:
            ranges.append(TimeRange("drift", active.drift.valid_time_s))
        ages = self.file.relaxation is not None or self.file.drift is not None
        if active.programming is not None and not ages:
            times = active.programming.times()
            if times:
                ranges.append(TimeRange("programming", (times[0], times[-1])))
        return ranges

    @property
    def aged_time(self) -> float | None:
        """Time after programming, s at the reference temperature; None where nothing depends on
        it.
        """
        if self.time is not None:
            return self.at_reference(self.time)
        return max((times[0] for _, times in self.valid_times()), default=None)

    def known_time(self) -> float:
        """`aged_time` of a device with an effect that depends on it."""
        time = self.aged_time
        if time is None:
            raise OutOfRangeError(
                f"device {self.name}: the time after programming is not known; give device.time_s"
            )
        return time

    def at_reference(self, time: float) -> float:
        """Time, s, that ages cells at the reference temperature as `time` does at this one."""
        table = self.active.temperature
        if table is None:
            return time
        return time * self.arrhenius(table.retention_activation_energy_ev)

    def arrhenius(self, energy_ev: float) -> float:
        """exp(-Ea / k (1 / T - 1 / Tref)); 1 at the reference temperature, or without
        temperature.
        """
        table = self.active.temperature
        if table is None or self.temperature is None:
            return 1.0
        inverse = 1 / self.temperature - 1 / table.reference_k
        return float(np.exp(-energy_ev / BOLTZMANN_EV * inverse))

    def check(self) -> None:
        """Refuse conditions outside the valid range of an effect that is on, or warn of them.

        Raises
        ------
        OutOfRangeError
        """
        file = self.file
        if self.active.temperature is not None and self.temperature is not None:
            allowed = self.active.temperature.valid_range_k
            self._check("temperature", self.temperature, "temperature", allowed, "K")
        if file.endurance is not None:
            allowed = (0, file.endurance.cycles)
            self._check("number of the write", self.write, "endurance", allowed, "writes")
        if self.time is not None:
            aged = self.at_reference(self.time)
            what = "time after programming"
            if aged != self.time:
                what += ", at the reference temperature,"
            for table, times in self.valid_times():
                self._check(what, aged, table, times, "s")

    def _check(
        self, what: str, value: float, table: str, allowed: tuple[float, float], unit: str
    ) -> None:
        low, high = allowed
        if low <= value <= high:
            return
        message = (
            f"{what} is {value:g} {unit}; [{table}] of device {self.name} is stated from {low:g} "
            f"to {high:g} {unit}"
        )
        if self.outside_range == "error":
            raise OutOfRangeError(
                f"{message}: choose device.{KEYS[unit]} in this range, another device, or ask for "
                'a warning with device.outside_range = "warn"'
            )
        warnings.warn(
            ValidRangeWarning(f"{message}; its model is extended beyond that"), stacklevel=4
        )

    def check_target(self, target: Floats) -> None:
        """Refuse targets (S) outside the valid range of the file, or warn of them.

        Raises
        ------
        OutOfRangeError
        """
        low_us, high_us = self.file.conductance.valid_range_us
        low = low_us * MICROSIEMENS
        high = high_us * MICROSIEMENS
        inside = (target >= low - ROUNDING * high) & (target <= high * (1 + ROUNDING))
        if inside.all():
            return
        worst = target.ravel()[np.argmin(inside.ravel())]
        message = (
            f"target conductance {engineering(worst, 'S')} is outside the valid range of device "
            f"{self.name}, {engineering(low, 'S')} to {engineering(high, 'S')}"
        )
        possible = np.isfinite(target).all() and target.min() >= 0
        if self.outside_range == "error" or not possible:
            raise OutOfRangeError(message)
        warnings.warn(ValidRangeWarning(message), stacklevel=4)


KEYS = {"K": "temperature_k", "s": "time_s", "writes": "write"}  # of [device], by unit
