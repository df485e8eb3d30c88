"""The device file: tables of measured or published quantities, each with its unit in the key and its `source`.

docs/devices.md explains every table and its equation; `model.DeviceModel` computes with them.  Only `description`,
`[read]` and `[conductance]` are required: a table that is absent is an effect that the device does not have.
"""
import math
from typing import Literal

import numpy as np
import tomli_w
from pydantic import Field, model_validator

from xbarsim.config.tables import Table
from xbarsim.devices.laws import (
    Finite,
    Law,
    NotNegative,
    Numbers,
    Positive,
    Rate,
    increasing,
    keys_of,
)


class Read(Table):
    voltage_v: float = Field(gt=0, le=5)
    source: str


class Conductance(Table):
    """The window that a mapping uses; what its values are valid for; bounds that physics sets (none above if absent)."""

    minimum_us: float = Field(ge=0)
    maximum_us: float = Field(gt=0)
    valid_range_us: tuple[float, float]
    bounds_us: tuple[NotNegative, float] = (0.0, math.inf)
    levels_us: Numbers = Field((), description="the only conductances a write aims at; all if absent")
    source: str

    @model_validator(mode="after")
    def _ordered(self):
        low, high = self.valid_range_us
        if not low <= self.minimum_us < self.maximum_us <= high:
            raise ValueError(f"the window {self.minimum_us:g} to {self.maximum_us:g} µS must be increasing and lie in "
                             f"valid_range_us, {low:g} to {high:g} µS")
        bottom, top = self.bounds_us
        if not bottom <= self.minimum_us < self.maximum_us <= top:
            raise ValueError(f"the window {self.minimum_us:g} to {self.maximum_us:g} µS must lie in bounds_us, "
                             f"{bottom:g} to {top:g} µS")
        increasing("levels_us", self.levels_us, "µS")
        if self.levels_us and not (len(self.levels_us) > 1 and self.minimum_us <= self.levels_us[0]
                                   and self.levels_us[-1] <= self.maximum_us):
            raise ValueError(f"levels_us must be two or more values from {self.minimum_us:g} to {self.maximum_us:g} µS")
        return self


class Sigma(Table):
    """Standard deviation of the achieved conductance, `time_s` after programming: a polynomial in target / scale_us,
    lowest order first, or a table, linear between its points."""

    time_s: Positive | None = None
    polynomial_us: Numbers = ()
    target_us: Numbers = ()
    sigma_us: tuple[NotNegative, ...] = ()

    @model_validator(mode="after")
    def _one_form(self):
        if bool(self.polynomial_us) == bool(self.target_us) or len(self.target_us) != len(self.sigma_us):
            raise ValueError("give either polynomial_us, or target_us and sigma_us of the same length")
        increasing("target_us", self.target_us, "µS")
        return self


class Programming(Table):
    """Error of a write.  `sigma` is always the standard deviation of the whole distribution, tails included."""

    model: Literal["gaussian", "student", "mixture", "bounded"] = "gaussian"
    scale_us: Positive | None = None
    sigma: tuple[Sigma, ...] = ()
    degrees_of_freedom: float | None = Field(None, gt=2, le=1e6)
    tail_fraction: float | None = Field(None, gt=0, lt=1)
    tail_factor: float | None = Field(None, gt=1, le=1000)
    half_width_us: Positive | None = None
    bias_us: Law | None = Field(
        None, description="mean of achieved minus target, at the target; 0 if absent"
    )
    source: str

    @model_validator(mode="after")
    def _complete(self):
        keys_of(self, "model", {"gaussian": ("sigma",), "student": ("sigma", "degrees_of_freedom"),
                                 "mixture": ("sigma", "tail_fraction", "tail_factor"), "bounded": ("half_width_us",)})
        times = [entry.time_s for entry in self.sigma]
        if len(times) > 1 and None in times:
            raise ValueError("several programming.sigma need a time_s each")
        if None not in times:
            increasing("times of programming.sigma", times, "s")
        if any(entry.polynomial_us for entry in self.sigma) and self.scale_us is None:
            raise ValueError("polynomial_us needs the key scale_us, what a target is divided by")
        return self


    def check_polynomial(self, entry, targets_us):
        """Refuse a polynomial of sigma that is negative at one of these targets."""
        sigma = np.polynomial.polynomial.polyval(targets_us / self.scale_us, entry.polynomial_us)
        if sigma.min() < 0:
            where = targets_us[sigma.argmin()]
            raise ValueError(
                f"programming.sigma: the polynomial is {sigma.min():g} µS at {where:g} µS, in the window; "
                "a standard deviation is 0 or more: give target_us and sigma_us instead"
            )


class Write(Table):
    """Pulses that write a cell, to count their time and energy: one per cell, or as many as [write_verify] takes."""

    pulse_voltage_v: Positive | None = None
    pulse_time_ns: Positive
    pulse_energy_pj: Positive | None = Field(None, description="of one pulse; voltage² x conductance x time if absent")
    source: str

    @model_validator(mode="after")
    def _energy(self):
        if (self.pulse_energy_pj is None) == (self.pulse_voltage_v is None):
            raise ValueError("give either pulse_energy_pj, or pulse_voltage_v, from which and the conductance it follows")
        return self


class WriteVerify(Table):
    """Write as a process: pulses up or down until the cell reads within `tolerance_us` of its target.

    A pulse changes the conductance by step fall (1 + step_relative_sigma N(0, 1)).  `step` is that
    of the first pulse from the end of the window.  fall = exp(-nonlinearity u), u the share of the
    window that the cell has already moved in that direction; or, with `saturation`, a straight line
    from 1 at the end of the window to 0 at the saturation.
    """

    step_up_us: Positive = Field(description="of a pulse up, at the window's minimum")
    step_down_us: Positive = Field(description="of a pulse down, at the window's maximum")
    nonlinearity_up: Finite = 0.0
    nonlinearity_down: Finite = 0.0
    saturation_up_us: Finite | None = Field(
        None, description="where pulses up end, in place of nonlinearity_up"
    )
    saturation_down_us: Finite | None = Field(
        None, description="where pulses down end, in place of nonlinearity_down"
    )
    step_relative_sigma: NotNegative = 0.0
    read_sigma_us: NotNegative = Field(0.0, description="noise of the verify read")
    tolerance_us: Positive
    maximum_pulses: int = Field(ge=1, le=100_000)
    start_us: NotNegative | None = Field(None, description="before the first pulse; the window's minimum if absent")
    source: str

    @model_validator(mode="after")
    def _one_law(self):
        for way in ("up", "down"):
            if (
                getattr(self, f"nonlinearity_{way}")
                and getattr(self, f"saturation_{way}_us") is not None
            ):
                raise ValueError(
                    f"give either nonlinearity_{way} or saturation_{way}_us: each says how the "
                    "step falls"
                )
        return self


class Spread(Table):
    """Factors 1 + sigma N(0, 1): one that a cell keeps through all its writes, one that every write draws anew."""

    device_to_device_relative_sigma: Rate = 0.0
    cycle_to_cycle_relative_sigma: Rate = 0.0
    source: str


def _valid_time(table):
    first, last = table.valid_time_s
    if not 0 < first < last:
        raise ValueError(f"valid_time_s must be two increasing times above 0 s, got {first:g} and {last:g}")


class Relaxation(Table):
    """Shift of the conductance after a write, the same for every conductance.

    Its mean is a straight line in log10(time / 1 s), and so is its variance or standard deviation.
    """

    variance_offset_us2: Finite | None = Field(None, description="at 1 s")
    variance_slope_us2: Finite = Field(0.0, description="per decade of time")
    sigma_offset_us: NotNegative | None = Field(None, description="standard deviation at 1 s, in place of the variance")
    sigma_slope_us: Finite = Field(0.0, description="per decade of time")
    mean_offset_us: Finite = 0.0
    mean_slope_us: Finite = 0.0
    valid_time_s: tuple[float, float]
    source: str

    @model_validator(mode="after")
    def _one_form(self):
        if (self.variance_offset_us2 is None) == (self.sigma_offset_us is None):
            raise ValueError("give either variance_offset_us2 (and variance_slope_us2), or sigma_offset_us (and "
                             "sigma_slope_us)")
        unused = "variance_slope_us2" if self.variance_offset_us2 is None else "sigma_slope_us"
        if unused in self.model_fields_set:
            raise ValueError(f"{unused} has no offset; remove it or give both of its line")
        return self

    @model_validator(mode="after")
    def _never_negative(self):
        _valid_time(self)
        decades = [math.log10(time) for time in self.valid_time_s]
        worst = min(self.variance_us2(place) for place in decades)
        if worst < 0:
            raise ValueError(f"the variance is {worst:g} µS² within valid_time_s; allowed: 0 or more")
        return self

    def variance_us2(self, decades):
        """Variance in µS² at 10**decades s; negative where the line of the standard deviation is."""
        if self.sigma_offset_us is None:
            return self.variance_offset_us2 + self.variance_slope_us2 * decades
        sigma = self.sigma_offset_us + self.sigma_slope_us * decades
        return math.copysign(sigma**2, sigma)


class Drift(Table):
    """g (time / reference_s)^-nu, nu of each cell normal with this mean and standard deviation.

    g is the achieved conductance, relaxation included.
    The laws of nu mean the target, or the achieved conductance.
    """

    reference_s: Positive
    nu_mean: Law
    nu_sigma: Law = Field(0.0, validate_default=True)
    valid_time_s: tuple[float, float]
    source: str

    @model_validator(mode="after")
    def _ordered(self):
        _valid_time(self)
        return self

    @model_validator(mode="after")
    def _known_before_the_read(self):
        for name, law in (("nu_mean", self.nu_mean), ("nu_sigma", self.nu_sigma)):
            if law.of == "read":
                raise ValueError(f'{name}.of = "read" would be what it leads to; allowed: "target" or "achieved"')
        return self


class Flicker(Table):
    """1/f noise over the band of a read: S_G(f) = (amplitude G)² / f, or amplitude_us² / f.

    G is the conductance that is read.
    """

    amplitude: Law | None = None
    amplitude_us: Law | None = Field(None, description="in place of the relative amplitude")
    frequency_low_hz: Positive | None = Field(None, description="1 / (time after programming) if absent")
    frequency_high_hz: Positive | None = Field(None, description="1 / (2 x read time) if absent")
    source: str

    @model_validator(mode="after")
    def _ordered(self):
        if (self.amplitude is None) == (self.amplitude_us is None):
            raise ValueError("give either amplitude, relative to the conductance, or amplitude_us")
        low, high = self.frequency_low_hz, self.frequency_high_hz
        if None not in (low, high) and low >= high:
            raise ValueError(f"frequency_low_hz = {low:g} must be below frequency_high_hz = {high:g}")
        return self


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


class Temperature(Table):
    """Arrhenius: G(T) = G exp(-Ea / k (1 / T - 1 / Tref)); time runs faster by the same factor of the retention energy."""

    reference_k: Positive
    activation_energy_ev: Finite = Field(0.0, description="of the conductance")
    retention_activation_energy_ev: NotNegative = Field(0.0, description="of relaxation and drift")
    valid_range_k: tuple[Positive, Positive]
    source: str

    @model_validator(mode="after")
    def _ordered(self):
        low, high = self.valid_range_k
        if not low <= self.reference_k <= high:
            raise ValueError(f"reference_k = {self.reference_k:g} must lie in valid_range_k, {low:g} to {high:g} K")
        return self


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
    def _complete(self):
        keys_of(self, "model", {"sinh": ("v0_v",), "polynomial": ("coefficients",), "table": ("voltage_v", "current_ua")})
        return self


class Access(Table):
    """What is in series with every cell: a transistor (SPICE level 1) or a selector, I = g v0 sinh(V / v0)."""

    model: Literal["transistor", "selector"]
    on_resistance_ohm: Positive | None = None
    overdrive_v: Positive | None = None
    channel_length_modulation_per_v: NotNegative | None = None
    conductance_us: Positive | None = None
    v0_v: Positive | None = None
    source: str

    @model_validator(mode="after")
    def _complete(self):
        keys_of(self, "model", {"transistor": ("on_resistance_ohm", "overdrive_v"), "selector": ("conductance_us", "v0_v")},
                 {"transistor": ("channel_length_modulation_per_v",)})
        return self


class Stuck(Table):
    """Rates of cells, and of whole lines, that no write moves; they sit at the ends of the window if not told."""

    on_rate: Rate = 0.0
    off_rate: Rate = 0.0
    word_line_on_rate: Rate = 0.0
    word_line_off_rate: Rate = 0.0
    bit_line_on_rate: Rate = 0.0
    bit_line_off_rate: Rate = 0.0
    on_us: NotNegative | None = None
    off_us: NotNegative | None = None
    source: str

    @model_validator(mode="after")
    def _together(self):
        for kind in ("", "word_line_", "bit_line_"):
            if getattr(self, f"{kind}on_rate") + getattr(self, f"{kind}off_rate") > 1:
                raise ValueError(f"{kind}on_rate + {kind}off_rate must not exceed 1")
        return self


class ReadDisturb(Table):
    """Every read brings a cell nearer to one end of the window: by 1 - exp(-rate_per_read x reads) of its distance."""

    rate_per_read: NotNegative
    toward: Literal["minimum", "maximum"]
    source: str


class Endurance(Table):
    cycles: Positive = Field(description="writes that a cell stands")
    source: str


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
    def _consistent(self):
        if self.programming is not None and self.write_verify is not None:
            raise ValueError("[programming] states the result of a write and [write_verify] its process; give one of them")
        if self.programming is not None and len(self.programming.sigma) > 1 and (self.relaxation or self.drift):
            raise ValueError("several times of [[programming.sigma]] already hold what [relaxation] or [drift] add; give "
                             "the sigma of the write alone")
        if self.write_verify is not None and self.spread is not None and self.spread.device_to_device_relative_sigma:
            raise ValueError("[write_verify] reads every cell until it is right, which leaves no spread between devices; "
                             "remove spread.device_to_device_relative_sigma")
        low, high = self.conductance.minimum_us, self.conductance.maximum_us
        for entry in self.programming.sigma if self.programming else ():
            if entry.target_us and not entry.target_us[0] <= low < high <= entry.target_us[-1]:
                raise ValueError(f"programming.sigma: target_us must cover the window, {low:g} to {high:g} µS")
            if entry.polynomial_us:
                self.programming.check_polynomial(entry, np.linspace(low, high, 1001))
        bias = self.programming.bias_us if self.programming else None
        if bias is not None and bias.of != "target":
            raise ValueError('programming.bias_us means the target; remove its key of')
        if bias is not None and bias.law == "table" and not (bias.conductance_us[0] <= low < high
                                                             <= bias.conductance_us[-1]):
            raise ValueError(
                f"programming.bias_us: conductance_us must cover the window, {low:g} to {high:g} µS"
            )
        process = self.write_verify
        if (
            process is not None
            and process.saturation_up_us is not None
            and process.saturation_up_us <= low
        ):
            raise ValueError(
                f"write_verify.saturation_up_us = {process.saturation_up_us:g} must be above the "
                "window's "
                f"minimum, {low:g} µS"
            )
        if (
            process is not None
            and process.saturation_down_us is not None
            and process.saturation_down_us >= high
        ):
            raise ValueError(
                f"write_verify.saturation_down_us = {process.saturation_down_us:g} must be below "
                "the "
                f"window's maximum, {high:g} µS"
            )
        if self.iv is not None and self.iv.valid_voltage_v < self.read.voltage_v:
            raise ValueError(f"iv.valid_voltage_v = {self.iv.valid_voltage_v:g} is below read.voltage_v = "
                             f"{self.read.voltage_v:g}; lower the read voltage")
        laws = [("drift.nu_sigma", self.drift.nu_sigma, math.inf)] if self.drift else []
        for name, law in self.read_noise_laws():
            key, most = {"flicker": ("amplitude", math.inf), "telegraph": ("relative_amplitude", 0.999)}[name]
            laws.append((f"read_noise.{name}.{key}", law, most))
        for name, law, most in laws:
            values = law(np.linspace(low, high, 1001))
            if not 0 <= values.min() <= values.max() <= most:
                raise ValueError(f"{name} is {values.min():g} to {values.max():g} in the window; allowed: 0 to {most:g}")
        bottom, top = self.conductance.bounds_us
        values = [("stuck.on_us", self.stuck.on_us), ("stuck.off_us", self.stuck.off_us)] if self.stuck else []
        values += [("write_verify.start_us", self.write_verify.start_us)] if self.write_verify else []
        for name, value in values:
            if value is not None and not bottom <= value <= top:
                raise ValueError(f"{name} = {value:g} µS must lie in conductance.bounds_us, {bottom:g} to {top:g} µS")
        return self

    def read_noise_laws(self):
        """[(effect, its law)] of the parts of the read noise whose amplitude is a law."""
        noise, laws = self.read_noise, []
        if noise is not None and noise.flicker is not None:
            laws.append(("flicker", noise.flicker.amplitude or noise.flicker.amplitude_us))
        if noise is not None and noise.telegraph is not None:
            laws.append(("telegraph", noise.telegraph.relative_amplitude))
        return laws

    def stated_tables(self):
        """Names of the optional tables that the file has."""
        return [name for name in list(type(self).model_fields)[3:] if getattr(self, name) is not None]

    def to_toml(self):
        """The file as TOML, without what was not set."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude_defaults=True))
