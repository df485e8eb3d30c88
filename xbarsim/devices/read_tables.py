"""Tables of a device file about reads: voltage, noise, the current-voltage curve, what is in series
with a cell.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from xbarsim.config.tables import Table
from xbarsim.devices.laws import Law, NotNegative, Numbers, Positive, Rate, keys_of, stated


class Read(Table):
    voltage_v: float = Field(gt=0, le=5)
    source: str


class Flicker(Table):
    """1/f noise over the band of a read: S_G(f) = (amplitude G)² / f, or amplitude_us² / f.

    G is the conductance that is read.
    """

    amplitude: Law | None = None
    amplitude_us: Law | None = Field(None, description="in place of the relative amplitude")
    frequency_low_hz: Positive | None = Field(
        None, description="1 / (time after programming) if absent"
    )
    frequency_high_hz: Positive | None = Field(None, description="1 / (2 x read time) if absent")
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.amplitude is None) == (self.amplitude_us is None):
            raise ValueError("give either amplitude, relative to the conductance, or amplitude_us")
        low = self.frequency_low_hz
        high = self.frequency_high_hz
        if low is not None and high is not None and low >= high:
            raise ValueError(
                f"frequency_low_hz = {low:g} must be below frequency_high_hz = {high:g}"
            )
        return self

    def law(self) -> Law:
        """The law of the amplitude, relative or in µS."""
        return self.amplitude or stated(self.amplitude_us)


class Telegraph(Table):
    """Low state = (1 - relative_amplitude) x high state, exponential dwell times.

    The conductance that is read, drift and temperature included, is the mean of both over time.
    """

    relative_amplitude: Law = Field(description="1 - low state / high state")
    dwell_high_s: Positive
    dwell_low_s: Positive
    cell_fraction: Rate = 1.0
    source: str


class ReadNoise(Table):
    """`relative_sigma` of the conductance that is read is white: a new value at every read."""

    relative_sigma: Rate = 0.0
    flicker: Flicker | None = None
    telegraph: Telegraph | None = None
    source: str


class IV(Table):
    """Curve of a cell, I = G f(V), G the conductance at 0 V."""

    model: Literal["sinh", "polynomial", "table"]
    v0_v: Positive | None = None
    coefficients: Numbers = Field((), description="c2 in 1/V, c3 in 1/V², ...")
    voltage_v: Numbers = ()
    current_ua: Numbers = ()
    valid_voltage_v: Positive
    source: str

    @model_validator(mode="after")
    def _complete(self) -> Self:
        keys_of(
            self,
            "model",
            {
                "sinh": ("v0_v",),
                "polynomial": ("coefficients",),
                "table": ("voltage_v", "current_ua"),
            },
        )
        return self


class Access(Table):
    """What is in series with every cell: a transistor (SPICE level 1) or a selector, I = g v0
    sinh(V / v0).
    """

    model: Literal["transistor", "selector"]
    on_resistance_ohm: Positive | None = None
    overdrive_v: Positive | None = None
    channel_length_modulation_per_v: NotNegative | None = None
    conductance_us: Positive | None = None
    v0_v: Positive | None = None
    source: str

    @model_validator(mode="after")
    def _complete(self) -> Self:
        keys_of(
            self,
            "model",
            {
                "transistor": ("on_resistance_ohm", "overdrive_v"),
                "selector": ("conductance_us", "v0_v"),
            },
            {"transistor": ("channel_length_modulation_per_v",)},
        )
        return self
