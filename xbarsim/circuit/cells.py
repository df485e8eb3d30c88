"""Nonlinear cells: I-V curves of memristors and of what is in series with them.

`Crossbar(conductance, cell=Sinh(0.6), access=Transistor(...))`: `conductance` is that of the
memristors at 0 V, `cell` the shape of their curve, `access` what each shares its cell with: nothing
(1R), a transistor (1T1R), a selector (1S1R). V is the voltage from word line to bit line.  The same
equations are written into netlists (`Crossbar.to_spice`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.kernels.circuit import cells as kernel

__all__ = ["Polynomial", "Selector", "Sinh", "Table", "Transistor"]

Curve = tuple[int, Floats]  # kind of a curve, its parameters
Evaluator = Callable[[Floats], tuple[Floats, Floats]]

_SMALLEST = 1e-6  # V, of the range of a curve in a netlist whose terminals are all at one voltage
_LARGEST_EXPONENT = 700  # of an exponential that stays within the floating-point range


def _positive(name: str, value: float, unit: str) -> float:
    """A finite number above 0."""
    number = numbers(name, value, unit)
    if number.ndim or not 0 < number < np.inf:
        raise OutOfRangeError(f"{name} is {value!r} {unit}; allowed: above 0, finite")
    return float(number)


def _not_negative(name: str, value: float, unit: str) -> float:
    """A finite number, 0 or more."""
    number = numbers(name, value, unit)
    if number.ndim or not 0 <= number < np.inf:
        raise OutOfRangeError(f"{name} is {value!r} {unit}; allowed: 0 or more, finite")
    return float(number)


def _store(part: object, **values: object) -> None:
    """Set checked fields of a frozen dataclass."""
    for name, value in values.items():
        object.__setattr__(part, name, value)


def _number(value: float) -> str:
    if value < 0:
        return f"({value!r})"
    return repr(value)


def _within(voltage: str, limit: float) -> str:
    """The voltage expression, kept within +-limit in V."""
    return f"min(max({voltage},{_number(-limit)}),{limit!r})"


def _limit(maximum_voltage: float, limit: float | None) -> float:
    """V up to which a curve is followed: `limit`, within what the part allows."""
    if limit is None:
        return maximum_voltage
    return min(max(float(limit), _SMALLEST), maximum_voltage)


def _powers(coefficients: Sequence[float], voltage: str) -> str:
    """Horner's form of sum(coefficients[k] voltage**k) as an expression."""
    text = _number(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        text = f"({_number(coefficient)}+{voltage}*{text})"
    return text


@dataclass(frozen=True)
class Sinh:
    """I = G v0 sinh(V / v0): tunnelling or hopping through a barrier; v0 = `voltage_scale` in V.

    valid_voltage : V, up to which the curve was measured; no limit by default
    """

    voltage_scale: float
    valid_voltage: float = np.inf

    def __post_init__(self) -> None:
        _store(self, voltage_scale=_positive("voltage_scale", self.voltage_scale, "V"))
        if not isinstance(self.valid_voltage, float) or self.valid_voltage != np.inf:
            _store(self, valid_voltage=_positive("valid_voltage", self.valid_voltage, "V"))

    @property
    def maximum_voltage(self) -> float:
        """V: where the curve was measured up to, or where the exponential leaves the floating-point
        range.
        """
        return min(self.valid_voltage, _LARGEST_EXPONENT * self.voltage_scale)

    def curve(self) -> Curve:
        """Kind and parameters of f(V)."""
        return kernel.SINH, np.array([self.voltage_scale])

    def spice(
        self, conductance: float, voltage: str, limit: float | None = None, table: str = "pwl"
    ) -> str:
        """Current in ampere as an expression of the voltage expression; along the tangent beyond
        +-limit in V.
        """
        v0 = self.voltage_scale
        inside = _within(voltage, _limit(self.maximum_voltage, limit))
        curve = f"{conductance * v0!r}*sinh({inside}/{v0!r})"
        return f"{curve}+{conductance!r}*cosh({inside}/{v0!r})*({voltage}-{inside})"


@dataclass(frozen=True)
class Polynomial:
    """I = G (V + c2 V² + c3 V³ + ...) up to +-`maximum_voltage`, in which range it must not fall.

    coefficients : (c2, c3, ...) in 1/V, 1/V², ...; maximum_voltage : V
    """

    coefficients: tuple[float, ...]
    maximum_voltage: float

    def __post_init__(self) -> None:
        c = numbers("coefficients", self.coefficients)
        if c.ndim != 1 or not c.size or not np.isfinite(c).all():
            raise ShapeError(
                f"coefficients are {self.coefficients!r}; allowed: finite numbers (c2, c3, ...)"
            )
        top = _positive("maximum_voltage", self.maximum_voltage, "V")
        slope = np.polynomial.Polynomial([1.0, *(c * np.arange(2, c.size + 2))])
        turning = slope.deriv().roots()
        inside = (abs(turning.imag) < 1e-9) & (abs(turning.real) < top)
        where = np.array([-top, top, *turning.real[inside]])
        if slope(where).min() < 0:
            raise OutOfRangeError(
                f"the polynomial falls at {where[slope(where).argmin()]:.3g} V, within "
                f"maximum_voltage {top:g} V; allowed: a curve that does not fall: lower the range"
            )
        _store(self, coefficients=tuple(c.tolist()), maximum_voltage=top)

    def curve(self) -> Curve:
        """Kind and parameters of f(V)."""
        return kernel.POLYNOMIAL, np.array(self.coefficients)

    def spice(
        self, conductance: float, voltage: str, limit: float | None = None, table: str = "pwl"
    ) -> str:
        """Current in ampere as an expression of the voltage expression; along the tangent beyond
        +-limit in V.
        """
        inside = _within(voltage, _limit(self.maximum_voltage, limit))
        curve = [0.0, 1.0, *self.coefficients]
        slope = [k * factor for k, factor in enumerate(curve)][1:]
        beyond = f"{_powers(slope, inside)}*({voltage}-{inside})"
        return f"{conductance!r}*({_powers(curve, inside)}+{beyond})"


@dataclass(frozen=True)
class Table:
    """A measured curve, linear between its points: I = G f(V), f(V) = current / (slope at 0 V).

    voltage : (k,) V, increasing, on both sides of 0; current : (k,) A, not falling, 0 at 0 V
    """

    voltage: tuple[float, ...]
    current: tuple[float, ...]

    def __post_init__(self) -> None:
        v = numbers("voltage", self.voltage, "V")
        i = numbers("current", self.current, "A")
        finite = bool(np.isfinite(v).all() and np.isfinite(i).all())
        if v.ndim != 1 or v.shape != i.shape or v.size < 2 or not finite:
            raise ShapeError(
                f"voltage {v.shape} and current {i.shape} of a table; "
                "allowed: two or more finite points each"
            )
        rises = np.all(np.diff(v) > 0) and np.all(np.diff(i) >= 0)
        if not (rises and v[0] < 0 < v[-1]):
            raise OutOfRangeError(
                "table: allowed are voltages that increase from below 0 V to above it, and "
                "currents that do not fall"
            )
        at_zero = np.interp(0.0, v, i)
        if at_zero != 0:
            raise OutOfRangeError(
                f"table: current {at_zero:g} A at 0 V; allowed: 0 A, add the point (0, 0)"
            )
        if self._slope(v, i) == 0:
            raise OutOfRangeError(
                "table: no current next to 0 V, where its slope is the conductance; "
                "allowed: above 0"
            )
        _store(self, voltage=tuple(v.tolist()), current=tuple(i.tolist()))

    @staticmethod
    def _slope(v: Floats, i: Floats) -> float:
        """Slope at 0 V, S: of the piece above where 0 V is a point."""
        k = np.searchsorted(v, 0.0, side="right")
        slope: float = (i[k] - i[k - 1]) / (v[k] - v[k - 1])
        return slope

    @property
    def maximum_voltage(self) -> float:
        """V: the nearer end of the table."""
        return min(-self.voltage[0], self.voltage[-1])

    def curve(self) -> Curve:
        """Kind and parameters of f(V)."""
        v = np.array(self.voltage)
        i = np.array(self.current)
        return kernel.TABLE, np.concatenate((v, i / self._slope(v, i)))

    def spice(
        self, conductance: float, voltage: str, limit: float | None = None, table: str = "pwl"
    ) -> str:
        """Current in ampere as an expression of the voltage expression, by a function `table` of
        pairs of points.
        """
        _, points = self.curve()
        pairs = ",".join(f"{v!r},{f!r}" for v, f in points.reshape(2, -1).T.tolist())
        return f"{conductance!r}*{table}({voltage},{pairs})"


@dataclass(frozen=True)
class Selector:
    """A two-terminal selector in series, I = g v0 sinh(V / v0): `conductance` g at 0 V in S,
    `voltage_scale` v0 in V.
    """

    conductance: float
    voltage_scale: float

    def __post_init__(self) -> None:
        _store(
            self,
            conductance=_positive("conductance of the selector", self.conductance, "S"),
            voltage_scale=_positive("voltage_scale", self.voltage_scale, "V"),
        )

    def curve(self) -> tuple[int, Floats, float]:
        """Kind and parameters of its curve, and its conductance at 0 V in S."""
        return *Sinh(self.voltage_scale).curve(), self.conductance

    @property
    def maximum_voltage(self) -> float:
        """V: where the exponential leaves the floating-point range."""
        return _LARGEST_EXPONENT * self.voltage_scale

    def spice(self, voltage: str, limit: float | None = None) -> str:
        """Current in ampere as an expression of the voltage expression; along the tangent beyond
        +-limit in V.
        """
        return Sinh(self.voltage_scale).spice(self.conductance, voltage, limit)


@dataclass(frozen=True)
class Transistor:
    """An access transistor in series (SPICE level 1), its gate held at a fixed overdrive above its
    lower terminal.

    I = (V - V² / 2 Vo) (1 + lambda V) / R up to V = Vo, then (Vo / 2) (1 + lambda V) / R, and odd
    in V.

    on_resistance : R, ohm at 0 V; overdrive_voltage : Vo = gate-source minus threshold voltage, V;
    channel_length_modulation : lambda, 1/V
    """

    on_resistance: float
    overdrive_voltage: float
    channel_length_modulation: float = 0.0

    maximum_voltage = np.inf

    def __post_init__(self) -> None:
        modulation = self.channel_length_modulation
        _store(
            self,
            on_resistance=_positive("on_resistance", self.on_resistance, "ohm"),
            overdrive_voltage=_positive("overdrive_voltage", self.overdrive_voltage, "V"),
            channel_length_modulation=_not_negative("channel_length_modulation", modulation, "1/V"),
        )

    def curve(self) -> tuple[int, Floats, float]:
        """Kind and parameters of its curve, and its conductance at 0 V in S."""
        return (
            kernel.TRANSISTOR,
            np.array([self.overdrive_voltage, self.channel_length_modulation]),
            1 / self.on_resistance,
        )

    def spice(self, voltage: str, limit: float | None = None) -> str:
        """Current in ampere as an expression of the voltage expression."""
        on = 1 / self.on_resistance
        over = self.overdrive_voltage
        triode = f"min(abs({voltage}),{over!r})"
        square = f"({triode}-{triode}*{triode}/{2 * over!r})"
        rise = f"(1+{self.channel_length_modulation!r}*abs({voltage}))"
        return f"{on!r}*sgn({voltage})*{square}*{rise}"


MEMRISTORS = (Sinh, Polynomial, Table)
ACCESS = (Selector, Transistor)
Memristor: TypeAlias = Sinh | Polynomial | Table
Access: TypeAlias = Selector | Transistor

_ALLOWED = (
    "sinh:V0, polynomial:VMAX,C2,C3..., table:FILE, selector:G,V0, transistor:R,OVERDRIVE,LAMBDA"
)


def _polynomial(maximum_voltage: float, *coefficients: float) -> Polynomial:
    return Polynomial(coefficients, maximum_voltage)


_KINDS: dict[str, Callable[..., Memristor | Access]] = {
    "sinh": Sinh,
    "polynomial": _polynomial,
    "selector": Selector,
    "transistor": Transistor,
}


def from_text(text: str) -> Memristor | Access:
    """A cell or an access device from NAME:NUMBER,NUMBER..., the fields of its class in order.

    `sinh:0.3`, `selector:1e-5,0.1`, `transistor:2000,0.8,0.05`; `polynomial:2,0.1,1.5`, the maximum
    voltage first.

    Raises
    ------
    ConfigError : no such kind, no numbers, too few or too many
    """
    name, _, values = text.partition(":")
    try:
        return _KINDS[name](*(float(value) for value in values.split(",")))
    except (OutOfRangeError, ShapeError):
        raise
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{text!r} is no cell or access device; allowed: {_ALLOWED}") from None


def evaluator(
    cell: Memristor | None, access: Access | None, conductance: Floats, limit: float
) -> Evaluator:
    """The function of cell voltages (m, n) V to currents (m, n) A and slopes (m, n) S that
    `newton.solve_cells` wants.

    conductance : (m, n) S of the memristors at 0 V
    limit : V that no cell exceeds
    """
    c = np.ascontiguousarray(conductance).ravel()
    memristor = kernel.Curve(kernel.OHMIC, np.empty(0))
    if cell is not None:
        memristor = kernel.Curve(*cell.curve())
    in_series = kernel.Curve(kernel.OHMIC, np.empty(0))
    access_conductance = np.inf
    if access is not None:
        kind, parameters, access_conductance = access.curve()
        in_series = kernel.Curve(kind, parameters)
    cells = kernel.Cells(memristor, c, in_series, access_conductance, float(limit))

    def currents(v: Floats) -> tuple[Floats, Floats]:
        current = np.empty(c.size)
        slope = np.empty(c.size)
        kernel.cell_currents(cells, np.ascontiguousarray(v).ravel(), current, slope)
        return current.reshape(v.shape), slope.reshape(v.shape)

    return currents
