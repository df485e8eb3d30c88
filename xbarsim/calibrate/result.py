"""What a fit returns: parameters with 90 % intervals, how well they describe the data, what else
would, and a device file.

Values are in SI units.  A parameter that the data do not determine has no value: it carries the
reason instead.
"""

import dataclasses
import math
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from xbarsim.base.array_types import Floats, Integers
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.units import prefixed

CONFIDENCE = 0.9
TIE = 1e-9  # of its magnitude, below which a difference of AIC is none
SHOWN_PARTS = 20  # single cells that are printed

DeviceTable: TypeAlias = dict[str, Any]  # keys of a table of a device file, as TOML has them


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One fitted quantity; make it with `known` or `unknown`.

    value, low, high : in `unit`; None where the data leave them open
    identified : whether there is a value;  reason : why there is none
    """

    name: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    identified: bool
    reason: str

    @classmethod
    def known(cls, name: str, unit: str, value: float, low: float, high: float) -> Self:
        """A value with its 90 % interval, SI.

        Raises
        ------
        OutOfRangeError : not finite and ordered
        """
        value = float(value)
        low = float(low)
        high = float(high)
        finite = math.isfinite(value) and math.isfinite(low) and math.isfinite(high)
        if not finite or low > high:
            raise OutOfRangeError(
                f"parameter {name} is {value} {unit} with the interval {low} to {high}: not finite and "
                "ordered, so it is not identified"
            )
        return cls(name, unit, value=value, low=low, high=high, identified=True, reason="")

    @classmethod
    def unknown(cls, name: str, unit: str, reason: str, high: float | None = None) -> Self:
        """What the data leave open, and why; `high` is what it is below at 95 %, if they tell."""
        return cls(name, unit, value=None, low=None, high=high, identified=False, reason=reason)

    @property
    def identified_value(self) -> float:
        """The value of a parameter that is identified.

        Raises
        ------
        OutOfRangeError : it is not
        """
        if self.value is None:
            raise OutOfRangeError(f"parameter {self.name} is not identified: {self.reason}")
        return self.value

    def not_below_zero(self) -> Self:
        """The same with an interval that ends at 0."""
        if self.low is None:
            return self
        return dataclasses.replace(self, low=max(self.low, 0.0))

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return f"not identified: {self.reason}"
        scale, unit = prefixed(self.value or self.high, self.unit)
        shown = f"{self.value / scale:.4g} {unit}".rstrip()
        return f"{shown:<19} {self.low / scale:.4g} .. {self.high / scale:.4g}"


class Axis(NamedTuple):
    """What an axis of a picture shows, and its SI unit."""

    name: str
    unit: str


class Line(NamedTuple):
    """Points of a picture: x and y (n,), SI."""

    x: Floats | Integers
    y: Floats


@dataclasses.dataclass(frozen=True)
class Curve:
    """One panel of the picture of a fit: points of the data and lines of the fit, in SI units.

    data, fit : by their labels;  log_x, log_y : logarithmic axes
    """

    x: Axis
    y: Axis
    data: dict[str, Line]
    fit: dict[str, Line]
    log_x: bool = False
    log_y: bool = False


@dataclasses.dataclass(frozen=True)
class Level:
    """Statistics of the writes to one target, as measured.

    target, mean_error, sigma : S, the standard deviation about the level's own mean;  writes :
        count
    fit_p : Kolmogorov-Smirnov probability of these writes under the fitted distribution, None for
        too few
    """

    target: float
    writes: int
    mean_error: float
    sigma: float
    fit_p: float | None

    def __str__(self) -> str:
        target = f"{self.target * 1e6:.4g}"
        mean = f"{self.mean_error * 1e6:.4g}"
        sigma = f"{self.sigma * 1e6:.4g}"
        p = "-" if self.fit_p is None else f"{self.fit_p:.2g}"
        return f"{target:>11}{self.writes:>8}{mean:>17}{sigma:>12}{p:>7}"


@dataclasses.dataclass(frozen=True)
class FitResult:
    """One model fitted to one set of data.

    `fit.conductance` is the Parameter of that name.

    kind : kind of calibration;  model : name and equation;  points : data behind the fit
    goodness : named measures, dimensionless or in the unit that the name ends in
    aic : Akaike's criterion, comparable within `alternatives` only
    alternatives : fits of the other models that were tried, best first; `better()` is the one with
        a lower AIC
    notes : what a user must know;  inputs : what was read, from where, in which unit
    curves : panels by their titles;  device : tables of a device file, in that file's units
    parts : fits of single cells, by their label
    levels : Level of every target, of fits that have them;  warnings : where the data contradict
        the model
    """

    kind: str
    model: str
    parameters: tuple[Parameter, ...]
    points: int
    goodness: dict[str, float]
    aic: float
    alternatives: tuple["FitResult", ...] = ()
    notes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)
    device: dict[str, DeviceTable] = dataclasses.field(default_factory=dict)
    parts: dict[str, "FitResult"] = dataclasses.field(default_factory=dict)
    levels: tuple[Level, ...] = ()
    warnings: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Parameter:
        if not name.startswith("_"):
            for parameter in self.parameters:
                if parameter.name == name:
                    return parameter
        raise AttributeError(f"this fit has no parameter {name!r}")

    def better(self) -> "FitResult | None":
        """The alternative with the lowest AIC, if it is below that of this model; else None."""
        below = self.aic
        if math.isfinite(below):
            below -= TIE * abs(self.aic)
        return next((other for other in self.alternatives if other.aic < below), None)

    def choose(self, name: str) -> "FitResult":
        """Another of the models that were fitted.

        Parameters
        ----------
        name : the beginning of a model's name, in any case

        Returns
        -------
        FitResult : this one or one of its alternatives, with the others beside it

        Raises
        ------
        ConfigError : no model or several of them start so
        """
        fits = (self, *self.alternatives)
        wanted = name.lower()
        found = [fit for fit in fits if fit.model.lower().startswith(wanted)]
        exact = [fit for fit in found if fit.model.lower() == wanted]
        candidates = exact or found
        if len(candidates) != 1:
            models = ", ".join(repr(fit.model) for fit in fits)
            raise ConfigError(
                f"{len(found) or 'no'} models of this {self.kind} fit start with {name!r}; choose "
                f"one of {models}"
            )
        chosen = candidates[0]
        others = tuple(fit for fit in fits if fit is not chosen)
        return dataclasses.replace(chosen, inputs=self.inputs, alternatives=others)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; numbers that are not finite become null."""
        return {str(key): _plain(value) for key, value in dataclasses.asdict(self).items()}

    def render(self) -> str:
        """The text that `xbarsim calibrate` prints."""
        lines = [
            f"{self.kind}: {self.model}",
            *(f"read  {line}" for line in self.inputs),
            *self._parameter_lines(),
            *self._part_lines(),
            *self._goodness_lines(),
            *self._level_lines(),
            *(f"note  {note}" for note in self.notes),
            *(f"WARNING  {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)

    def _parameter_lines(self) -> list[str]:
        title = "parameter"
        width = max([len(title), *(len(p.name) for p in self.parameters)]) + 2
        heading = f"{title:<{width}}{'value':<20}90 % interval"
        return ["", heading, *(f"{p.name:<{width}}{p}" for p in self.parameters)]

    def _part_lines(self) -> list[str]:
        """What the fits of single cells identify."""
        if not self.parts:
            return []
        lines = [""]
        for label, fit in list(self.parts.items())[:SHOWN_PARTS]:
            lines.append(f"{label}  {fit._identified() or 'nothing identified'}")
        if len(self.parts) > SHOWN_PARTS:
            lines.append(f"and {len(self.parts) - SHOWN_PARTS:,} more: --json has all")
        return lines

    def _identified(self) -> str:
        """The parameters that have a value, in one line."""
        known = [parameter for parameter in self.parameters if parameter.identified]
        return "; ".join(f"{p.name} {' '.join(str(p).split())}" for p in known)

    def _goodness_lines(self) -> list[str]:
        measures = [f"{name.replace('_', ' ')} {v:.4g}" for name, v in self.goodness.items()]
        lines = ["", f"fit   {self.points:,} points; " + "; ".join(measures)]
        fitted = [other for other in self.alternatives if math.isfinite(other.aic)]
        if fitted and math.isfinite(self.aic):
            others = ", ".join(f"{other.model} {other.aic - self.aic:+.1f}" for other in fitted)
            lines.append(f"AIC   against this model (lower is better): {others}")
        return lines

    def _level_lines(self) -> list[str]:
        if not self.levels:
            return []
        heading = "target (µS)  writes  mean error (µS)  sigma (µS)  fit p"
        return ["", heading, *map(str, self.levels)]


def _plain(value: Any) -> Any:
    """A value of a FitResult as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
