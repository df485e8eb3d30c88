"""The device file: tables of measured or published quantities, each with its unit in the key and
its `source`.

docs/devices.md explains every table and its equation; `model.DeviceModel` computes with them.  Only
`description`, `[read]` and `[conductance]` are required: a table that is absent is an effect that
the device does not have.
"""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import tomli_w
from pydantic import model_validator

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import validated
from xbarsim.config.tables import Table
from xbarsim.devices.ageing_tables import Drift, ReadDisturb, Relaxation, Temperature
from xbarsim.devices.laws import Law
from xbarsim.devices.read_tables import IV, Access, Read, ReadNoise
from xbarsim.devices.write_tables import (
    Conductance,
    Endurance,
    Programming,
    Spread,
    Stuck,
    Write,
    WriteVerify,
)


class DeviceFile(Table):
    description: str
    read: Read
    conductance: Conductance
    programming: Programming | None = None
    write: Write | None = None
    write_verify: WriteVerify | None = None
    spread: Spread | None = None
    relaxation: Relaxation | None = None
    drift: Drift | None = None
    read_noise: ReadNoise | None = None
    temperature: Temperature | None = None
    iv: IV | None = None
    access: Access | None = None
    stuck: Stuck | None = None
    read_disturb: ReadDisturb | None = None
    endurance: Endurance | None = None

    @model_validator(mode="after")
    def _one_write(self) -> Self:
        if self.programming is not None and self.write_verify is not None:
            raise ValueError(
                "[programming] states the result of a write and [write_verify] its process; give "
                "one of them"
            )
        ages = self.relaxation is not None or self.drift is not None
        if self.programming is not None and len(self.programming.sigma) > 1 and ages:
            raise ValueError(
                "several times of [[programming.sigma]] already hold what [relaxation] or [drift] "
                "add; give the sigma of the write alone"
            )
        if self.write_verify is None or self.spread is None:
            return self
        if self.spread.device_to_device_relative_sigma:
            raise ValueError(
                "[write_verify] reads every cell until it is right, which leaves no spread between "
                "devices; remove spread.device_to_device_relative_sigma"
            )
        return self

    @model_validator(mode="after")
    def _programming_covers_the_window(self) -> Self:
        if self.programming is None:
            return self
        low = self.conductance.minimum_us
        high = self.conductance.maximum_us
        for entry in self.programming.sigma:
            if entry.target_us and not _covers(entry.target_us, low, high):
                raise ValueError(
                    f"programming.sigma: target_us must cover the window, {low:g} to {high:g} µS"
                )
            if entry.polynomials():
                self.programming.check_polynomials(entry, np.linspace(low, high, 1001))
        bias = self.programming.bias_us
        if bias is None:
            return self
        if bias.of != "target":
            raise ValueError("programming.bias_us means the target; remove its key of")
        if bias.law == "table" and not _covers(bias.conductance_us, low, high):
            raise ValueError(
                f"programming.bias_us: conductance_us must cover the window, {low:g} to {high:g} µS"
            )
        return self

    @model_validator(mode="after")
    def _saturation_beyond_the_window(self) -> Self:
        if self.write_verify is None:
            return self
        low = self.conductance.minimum_us
        high = self.conductance.maximum_us
        upper = self.write_verify.saturation_up_us
        if upper is not None and upper <= low:
            raise ValueError(
                f"write_verify.saturation_up_us = {upper:g} must be above the window's minimum, "
                f"{low:g} µS"
            )
        lower = self.write_verify.saturation_down_us
        if lower is not None and lower >= high:
            raise ValueError(
                f"write_verify.saturation_down_us = {lower:g} must be below the window's maximum, "
                f"{high:g} µS"
            )
        return self

    @model_validator(mode="after")
    def _curve_reaches_the_read(self) -> Self:
        if self.iv is not None and self.iv.valid_voltage_v < self.read.voltage_v:
            raise ValueError(
                f"iv.valid_voltage_v = {self.iv.valid_voltage_v:g} is below read.voltage_v = "
                f"{self.read.voltage_v:g}; lower the read voltage"
            )
        return self

    @model_validator(mode="after")
    def _laws_in_range(self) -> Self:
        if self.drift is not None:
            self._check_law("drift.nu_sigma", self.drift.nu_sigma, math.inf)
        for name, law in self.read_noise_laws():
            if name == "flicker":
                self._check_law("read_noise.flicker.amplitude", law, math.inf)
            else:
                self._check_law("read_noise.telegraph.relative_amplitude", law, 0.999)
        return self

    def _check_law(self, name: str, law: Law, most: float) -> None:
        """Refuse a law that is negative or above `most` somewhere in the window."""
        low = self.conductance.minimum_us
        high = self.conductance.maximum_us
        values = law(np.linspace(low, high, 1001))
        if not 0 <= values.min() <= values.max() <= most:
            raise ValueError(
                f"{name} is {values.min():g} to {values.max():g} in the window; allowed: 0 to "
                f"{most:g}"
            )

    @model_validator(mode="after")
    def _cells_within_bounds(self) -> Self:
        if self.stuck is not None:
            self._check_bounds("stuck.on_us", self.stuck.on_us)
            self._check_bounds("stuck.off_us", self.stuck.off_us)
        if self.write_verify is not None:
            self._check_bounds("write_verify.start_us", self.write_verify.start_us)
        return self

    def _check_bounds(self, name: str, value: float | None) -> None:
        """Refuse a conductance in µS that physical bounds exclude."""
        bottom, top = self.conductance.bounds_us
        if value is not None and not bottom <= value <= top:
            raise ValueError(
                f"{name} = {value:g} µS must lie in conductance.bounds_us, {bottom:g} to {top:g} µS"
            )

    def read_noise_laws(self) -> list[tuple[str, Law]]:
        """[(effect, its law)] of the parts of the read noise whose amplitude is a law."""
        noise = self.read_noise
        laws = []
        if noise is not None and noise.flicker is not None:
            laws.append(("flicker", noise.flicker.law()))
        if noise is not None and noise.telegraph is not None:
            laws.append(("telegraph", noise.telegraph.relative_amplitude))
        return laws

    def within(self, minimum_us: float | None, maximum_us: float | None, where: str) -> Self:
        """The same device, used in another window, µS; an end that is None stays.

        Stuck cells stay where they are.  Laws whose ends are those of the window are refused.

        Raises
        ------
        ConfigError : begins with `where`
        """
        for table in ("write_verify", "read_disturb"):
            if getattr(self, table) is not None:
                raise ConfigError(
                    f"{where}: [{table}] of the device means the ends of its own window, "
                    f"{self.conductance.minimum_us:g} to {self.conductance.maximum_us:g} µS; leave "
                    "device.minimum_us and device.maximum_us away, or write a device file"
                )
        content = self.model_dump(exclude_none=True, exclude_defaults=True)
        window = content["conductance"]
        if "stuck" in content:
            content["stuck"].setdefault("on_us", window["maximum_us"])
            content["stuck"].setdefault("off_us", window["minimum_us"])
        if minimum_us is not None:
            window["minimum_us"] = minimum_us
        if maximum_us is not None:
            window["maximum_us"] = maximum_us
        return validated(type(self), content, where)

    def stated_tables(self) -> list[str]:
        """Names of the optional tables that the file has."""
        optional = [name for name, key in type(self).model_fields.items() if not key.is_required()]
        return [name for name in optional if getattr(self, name) is not None]

    def to_toml(self) -> str:
        """The file as TOML, without what was not set."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude_defaults=True))


def _covers(points: Sequence[float], low: float, high: float) -> bool:
    """Whether increasing points reach over a window."""
    return points[0] <= low < high <= points[-1]
