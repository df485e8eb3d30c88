"""Tables of a device file about writes: the window, the error of a write, its pulses, its process,
spread, stuck cells, endurance.
"""

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from xbarsim.base.array_types import Floats
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
    polynomial,
)


class Conductance(Table):
    """The window that a mapping uses; what its values are valid for; bounds that physics sets (none
    above if absent).
    """

    minimum_us: float = Field(ge=0)
    maximum_us: float = Field(gt=0)
    valid_range_us: tuple[float, float]
    bounds_us: tuple[NotNegative, float] = (0.0, math.inf)
    levels_us: Numbers = Field(
        (), description="the only conductances a write aims at; all if absent"
    )
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.valid_range_us
        if not low <= self.minimum_us < self.maximum_us <= high:
            raise ValueError(
                f"the window {self.minimum_us:g} to {self.maximum_us:g} µS must be increasing and "
                f"lie in valid_range_us, {low:g} to {high:g} µS"
            )
        bottom, top = self.bounds_us
        if not bottom <= self.minimum_us < self.maximum_us <= top:
            raise ValueError(
                f"the window {self.minimum_us:g} to {self.maximum_us:g} µS must lie in bounds_us, "
                f"{bottom:g} to {top:g} µS"
            )
        increasing("levels_us", self.levels_us, "µS")
        levels = self.levels_us
        if not levels:
            return self
        inside = self.minimum_us <= levels[0] and levels[-1] <= self.maximum_us
        if len(levels) == 1 or not inside:
            raise ValueError(
                f"levels_us must be two or more values from {self.minimum_us:g} to "
                f"{self.maximum_us:g} µS"
            )
        return self


class SigmaPiece(Table):
    """A polynomial in target / scale_us, lowest order first, of targets of `from_us` and above."""

    from_us: NotNegative
    polynomial_us: Numbers = Field(min_length=1)


class Sigma(Table):
    """Standard deviation of the achieved conductance, `time_s` after programming: a polynomial in
    target / scale_us, lowest order first; several of them, each from a target on, and 0 below the
    first; or a table, linear between its points."""

    time_s: Positive | None = None
    polynomial_us: Numbers = ()
    pieces: tuple[SigmaPiece, ...] = ()
    target_us: Numbers = ()
    sigma_us: tuple[NotNegative, ...] = ()

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [form for form in (self.polynomial_us, self.pieces, self.target_us) if form]
        in_pairs = len(self.target_us) == len(self.sigma_us)
        if len(forms) != 1 or not in_pairs:
            raise ValueError(
                "give one of polynomial_us, pieces, or target_us and sigma_us of the same length"
            )
        increasing("target_us", self.target_us, "µS")
        increasing("from_us of pieces", tuple(piece.from_us for piece in self.pieces), "µS")
        return self

    def polynomials(self) -> tuple[SigmaPiece, ...]:
        """The pieces; a polynomial is one from 0 on."""
        if self.polynomial_us:
            return (SigmaPiece(from_us=0.0, polynomial_us=self.polynomial_us),)
        return self.pieces


class Programming(Table):
    """Error of a write.  `sigma` is always the standard deviation of the whole distribution, tails
    included.
    """

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
    def _complete(self) -> Self:
        keys_of(
            self,
            "model",
            {
                "gaussian": ("sigma",),
                "student": ("sigma", "degrees_of_freedom"),
                "mixture": ("sigma", "tail_fraction", "tail_factor"),
                "bounded": ("half_width_us",),
            },
        )
        times = self.times()
        if len(self.sigma) > 1 and len(times) < len(self.sigma):
            raise ValueError("several programming.sigma need a time_s each")
        increasing("times of programming.sigma", times, "s")
        pieces = [piece for entry in self.sigma for piece in entry.polynomials()]
        if any(len(piece.polynomial_us) > 1 for piece in pieces) and self.scale_us is None:
            raise ValueError(
                "polynomial_us of more than its first coefficient, which is a constant, needs the "
                "key scale_us, what a target is divided by"
            )
        return self

    def scaled(self, target: Floats, unit: float) -> Floats:
        """What polynomials of sigma are of: targets (in `unit` µS) / scale_us; constants need none."""
        if self.scale_us is None:
            return 0.0 * target
        return target * (1 / (self.scale_us * unit))

    def sigma_of_polynomials(self, entry: Sigma, target: Floats, unit: float) -> Floats:
        """Sigma, µS, of targets (in `unit` µS) by the polynomials that hold there."""
        if entry.polynomial_us:
            return polynomial(self.scaled(target, unit), entry.polynomial_us)
        sigma = np.zeros(np.shape(target))
        for piece in entry.pieces:
            above = polynomial(self.scaled(target, unit), piece.polynomial_us)
            sigma = np.where(target >= piece.from_us * unit, above, sigma)
        return sigma

    def times(self) -> tuple[float, ...]:
        """Times after programming, s, that `sigma` is stated for; none where it is at any time."""
        return tuple(entry.time_s for entry in self.sigma if entry.time_s is not None)

    def check_polynomials(self, entry: Sigma, targets_us: Floats) -> None:
        """Refuse polynomials of sigma that are negative at one of these targets."""
        sigma = self.sigma_of_polynomials(entry, targets_us, 1.0)
        if sigma.min() < 0:
            where = targets_us[sigma.argmin()]
            raise ValueError(
                f"programming.sigma: the polynomial is {sigma.min():g} µS at {where:g} µS, in the "
                "window; a standard deviation is 0 or more: give target_us and sigma_us instead"
            )


class Write(Table):
    """Pulses that write a cell, to count their time and energy: one per cell, or as many as
    [write_verify] takes.
    """

    pulse_voltage_v: Positive | None = None
    pulse_time_ns: Positive
    pulse_energy_pj: Positive | None = Field(
        None, description="of one pulse; voltage² x conductance x time if absent"
    )
    source: str

    @model_validator(mode="after")
    def _energy(self) -> Self:
        if (self.pulse_energy_pj is None) == (self.pulse_voltage_v is None):
            raise ValueError(
                "give either pulse_energy_pj, or pulse_voltage_v, from which and the conductance it "
                "follows"
            )
        return self


_TWO_LAWS = "give either nonlinearity_{way} or saturation_{way}_us: each says how the step falls"


class WriteVerify(Table):
    """Write as a process: pulses up or down until the cell reads within `tolerance_us` of its
    target.

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
    start_us: NotNegative | None = Field(
        None, description="before the first pulse; the window's minimum if absent"
    )
    source: str

    @model_validator(mode="after")
    def _one_law(self) -> Self:
        if self.nonlinearity_up and self.saturation_up_us is not None:
            raise ValueError(_TWO_LAWS.format(way="up"))
        if self.nonlinearity_down and self.saturation_down_us is not None:
            raise ValueError(_TWO_LAWS.format(way="down"))
        return self


class Spread(Table):
    """Factors 1 + sigma N(0, 1): one that a cell keeps through all its writes, one that every write
    draws anew.
    """

    device_to_device_relative_sigma: Rate = 0.0
    cycle_to_cycle_relative_sigma: Rate = 0.0
    source: str


class Stuck(Table):
    """Rates of cells, and of whole lines, that no write moves; they sit at the ends of the window
    if not told.
    """

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
    def _together(self) -> Self:
        for kind in ("", "word_line_", "bit_line_"):
            if getattr(self, f"{kind}on_rate") + getattr(self, f"{kind}off_rate") > 1:
                raise ValueError(f"{kind}on_rate + {kind}off_rate must not exceed 1")
        return self


class Endurance(Table):
    cycles: Positive = Field(description="writes that a cell stands")
    source: str
