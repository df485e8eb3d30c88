"""What a fit returns: parameters with 90 % intervals, how well they describe the data, what else
would, and a device file.

Values are in SI units.  A parameter that the data do not determine has no value: it carries the
reason instead.
"""

import dataclasses
import math
from typing import Any, Self

import numpy as np

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.units import prefixed

CONFIDENCE = 0.9
TIE = 1e-9  # of its magnitude, below which a difference of AIC is none
SHOWN_PARTS = 20  # single cells that are printed


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One fitted quantity; make it with `known` or `unknown`."""

    name: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    identified: bool
    reason: str

    @classmethod
    def known(cls, name: str, unit: str, value: float, low: float, high: float) -> Self:
        """A value with its 90 % interval, SI."""
        value, low, high = float(value), float(low), float(high)
        if not (
            math.isfinite(value) and math.isfinite(low) and math.isfinite(high) and low <= high
        ):
            raise OutOfRangeError(
                f"parameter {name} is {value} {unit} with the interval {low} to {high}: not finite and "
                "ordered, so it is not identified"
            )
        return cls(name, unit, value, low, high, True, "")

    @classmethod
    def unknown(cls, name: str, unit: str, reason: str, high: float | None = None) -> Self:
        """What the data leave open, and why; `high` is what it is below at 95 %, if they tell."""
        return cls(name, unit, None, None, high, False, reason)

    def __str__(self) -> str:
        if not self.identified:
            return f"not identified: {self.reason}"
        scale, unit = prefixed(self.value or self.high, self.unit)
        value, low, high = (f"{v / scale:.4g}" for v in (self.value, self.low, self.high))
        return f"{value} {unit}".rstrip().ljust(20) + f"{low} .. {high}"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One panel of the picture of a fit: points of the data and lines of the fit, in SI units.

    x, y : (name, unit);  data, fit : {label: (x values, y values)};  log_x, log_y : logarithmic
        axes
    """

    x: tuple
    y: tuple
    data: dict
    fit: dict
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


@dataclasses.dataclass(frozen=True)
class FitResult:
    """One model fitted to one set of data.

    `fit.conductance` is the Parameter of that name.

    kind : kind of calibration;  model : name and equation;  points : data behind the fit
    goodness : named measures, dimensionless or in the unit that the name ends in
    aic : Akaike's criterion, comparable within `alternatives` only
    alternatives : FitResults of the other models that were tried, best first; `better()` is the one
        with a lower AIC
    notes : what a user must know;  inputs : what was read, from where, in which unit
    curves : {title of a panel: Curve};  device : tables of a device file, in that file's units
    parts : fits of single cells, by their label
    levels : Level of every target, of fits that have them;  warnings : where the data contradict
        the model
    """

    kind: str
    model: str
    parameters: tuple
    points: int
    goodness: dict
    aic: float
    alternatives: tuple = ()
    notes: tuple = ()
    inputs: tuple = ()
    curves: dict = dataclasses.field(default_factory=dict)
    device: dict = dataclasses.field(default_factory=dict)
    parts: dict = dataclasses.field(default_factory=dict)
    levels: tuple = ()
    warnings: tuple = ()

    def __getattr__(self, name: str) -> Parameter:
        if not name.startswith("_"):
            for parameter in self.parameters:
                if parameter.name == name:
                    return parameter
        raise AttributeError(f"this fit has no parameter {name!r}")

    def better(self) -> "FitResult | None":
        """The alternative with the lowest AIC, if it is below that of this model; else None."""
        below = self.aic - TIE * abs(self.aic) if math.isfinite(self.aic) else self.aic
        return next((other for other in self.alternatives if other.aic < below), None)

    def choose(self, name: str) -> "FitResult":
        """The fit whose model starts with `name` (any case), this one or one of its alternatives;
        the others beside it.

        Raises
        ------
        ConfigError : no model or several of them start so
        """
        fits = (self, *self.alternatives)
        found = [fit for fit in fits if fit.model.lower().startswith(name.lower())]
        exact = [fit for fit in found if fit.model.lower() == name.lower()]
        if len(exact or found) != 1:
            raise ConfigError(
                f"{len(found) or 'no'} model{'s' * (len(found) != 1)} of this {self.kind} fit start"
                f"{'s' * (len(found) == 1)} with {name!r}; choose one of "
                + ", ".join(repr(fit.model) for fit in fits)
            )
        chosen = (exact or found)[0]
        return dataclasses.replace(
            chosen, inputs=self.inputs, alternatives=tuple(fit for fit in fits if fit is not chosen)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; numbers that are not finite become null."""
        return _plain(dataclasses.asdict(self))

    def render(self) -> str:
        """The text that `xbarsim calibrate` prints."""
        lines = [f"{self.kind}: {self.model}", *(f"read  {line}" for line in self.inputs), ""]
        width = max((len(p.name) for p in self.parameters), default=0) + 2
        lines += [f"{'parameter':<{width}}{'value':<20}90 % interval"]
        lines += [f"{p.name:<{width}}{p}" for p in self.parameters]
        lines += _parts(self.parts)
        lines += [
            "",
            f"fit   {self.points:,} points; "
            + "; ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in self.goodness.items()),
        ]
        fitted = [other for other in self.alternatives if math.isfinite(other.aic)]
        if fitted and math.isfinite(self.aic):
            others = ", ".join(f"{other.model} {other.aic - self.aic:+.1f}" for other in fitted)
            lines.append(f"AIC   against this model (lower is better): {others}")
        lines += self._level_lines()
        lines += [f"note  {note}" for note in self.notes]
        return "\n".join(lines + [f"WARNING  {warning}" for warning in self.warnings])

    def _level_lines(self):
        if not self.levels:
            return []
        lines = ["", "target (µS)  writes  mean error (µS)  sigma (µS)  fit p"]
        for level in self.levels:
            target, mean, sigma = (
                f"{value * 1e6:.4g}" for value in (level.target, level.mean_error, level.sigma)
            )
            p = "-" if level.fit_p is None else f"{level.fit_p:.2g}"
            lines.append(f"{target:>11}{level.writes:>8}{mean:>17}{sigma:>12}{p:>7}")
        return lines


def _parts(parts):
    """Lines with what the fits of single cells identify."""
    lines = [""] if parts else []
    for label, fit in list(parts.items())[:SHOWN_PARTS]:
        known = [f"{p.name} {' '.join(str(p).split())}" for p in fit.parameters if p.identified]
        lines.append(f"{label}  {'; '.join(known) or 'nothing identified'}")
    if len(parts) > SHOWN_PARTS:
        lines.append(f"and {len(parts) - SHOWN_PARTS:,} more: --json has all")
    return lines


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
