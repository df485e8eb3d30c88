"""Tables of a device file about what happens after a write: relaxation, drift, temperature, reads
that disturb.
"""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from xbarsim.config.tables import Table
from xbarsim.devices.laws import Finite, Law, NotNegative, Positive, stated


def _check_times(times: tuple[float, float]) -> None:
    first, last = times
    if not 0 < first < last:
        raise ValueError(
            f"valid_time_s must be two increasing times above 0 s, got {first:g} and {last:g}"
        )


class Relaxation(Table):
    """Shift of the conductance after a write, the same for every conductance.

    Its mean is a straight line in log10(time / 1 s), and so is its variance or standard deviation.
    """

    variance_offset_us2: Finite | None = Field(None, description="at 1 s")
    variance_slope_us2: Finite = Field(0.0, description="per decade of time")
    sigma_offset_us: NotNegative | None = Field(
        None, description="standard deviation at 1 s, in place of the variance"
    )
    sigma_slope_us: Finite = Field(0.0, description="per decade of time")
    mean_offset_us: Finite = 0.0
    mean_slope_us: Finite = 0.0
    valid_time_s: tuple[float, float]
    source: str

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.variance_offset_us2 is None) == (self.sigma_offset_us is None):
            raise ValueError(
                "give either variance_offset_us2 (and variance_slope_us2), or sigma_offset_us (and "
                "sigma_slope_us)"
            )
        unused = "variance_slope_us2" if self.variance_offset_us2 is None else "sigma_slope_us"
        if unused in self.model_fields_set:
            raise ValueError(f"{unused} has no offset; remove it or give both of its line")
        return self

    @model_validator(mode="after")
    def _never_negative(self) -> Self:
        _check_times(self.valid_time_s)
        decades = [math.log10(time) for time in self.valid_time_s]
        worst = min(self.variance_us2(place) for place in decades)
        if worst < 0:
            raise ValueError(
                f"the variance is {worst:g} µS² within valid_time_s; allowed: 0 or more"
            )
        return self

    def variance_us2(self, decades: float) -> float:
        """Variance in µS² at 10**decades s; negative where the line of the standard deviation is."""
        if self.sigma_offset_us is None:
            return stated(self.variance_offset_us2) + self.variance_slope_us2 * decades
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
    def _ordered(self) -> Self:
        _check_times(self.valid_time_s)
        return self

    @model_validator(mode="after")
    def _known_before_the_read(self) -> Self:
        for name, law in (("nu_mean", self.nu_mean), ("nu_sigma", self.nu_sigma)):
            if law.of == "read":
                raise ValueError(
                    f'{name}.of = "read" would be what it leads to; allowed: "target" or "achieved"'
                )
        return self


class Temperature(Table):
    """Arrhenius: G(T) = G exp(-Ea / k (1 / T - 1 / Tref)); time runs faster by the same factor of
    the retention energy.
    """

    reference_k: Positive
    activation_energy_ev: Finite = Field(0.0, description="of the conductance")
    retention_activation_energy_ev: NotNegative = Field(0.0, description="of relaxation and drift")
    valid_range_k: tuple[Positive, Positive]
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.valid_range_k
        if not low <= self.reference_k <= high:
            raise ValueError(
                f"reference_k = {self.reference_k:g} must lie in valid_range_k, {low:g} to {high:g} K"
            )
        return self


class ReadDisturb(Table):
    """Every read brings a cell nearer to one end of the window: by 1 - exp(-rate_per_read x reads)
    of its distance.
    """

    rate_per_read: NotNegative
    toward: Literal["minimum", "maximum"]
    source: str
