"""Nonlinear cells: I-V curves of memristors and of what is in series with them.

`Crossbar(conductance, cell=Sinh(0.6), access=Transistor(...))`: `conductance` is that of the
memristors at 0 V, `cell` the shape of their curve, `access` what each shares its cell with: nothing
(1R), a transistor (1T1R), a selector (1S1R). V is the voltage from word line to bit line.  The same
equations are written into netlists (`Crossbar.to_spice`).
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_files import numbers
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.kernels.circuit import cells as kernel

_SMALLEST = 1e-6  # V, of the range of a curve in a netlist whose terminals are all at one voltage


def _positive(name, value, unit, zero=False):
    number = numbers(name, value, unit)
    enough = number.ndim == 0 and np.isfinite(number) and (number > 0 or zero and number == 0)
    if not enough:
        raise OutOfRangeError(
            f"{name} is {value!r} {unit}; allowed: {'0 or more' if zero else 'above 0'}, finite"
        )
    return float(number)


def _number(value):
    return f"({value!r})" if value < 0 else repr(value)


def _within(voltage, limit):
    """The voltage expression, kept within +-limit in V."""
    return f"min(max({voltage},{_number(-limit)}),{limit!r})"


def _limit(part, limit):
    """V up to which a curve is followed: `limit`, within what the part allows."""
    return (
        part.maximum_voltage
        if limit is None
        else min(max(float(limit), _SMALLEST), part.maximum_voltage)
    )


def _powers(coefficients, voltage):
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

    def __post_init__(self):
        object.__setattr__(
            self, "voltage_scale", _positive("voltage_scale", self.voltage_scale, "V")
        )
        if self.valid_voltage != np.inf:
            object.__setattr__(
                self, "valid_voltage", _positive("valid_voltage", self.valid_voltage, "V")
            )

    @property
    def maximum_voltage(self):
        """V: where the curve was measured up to, or where the exponential leaves the floating-point
        range.
        """
        return min(self.valid_voltage, 700 * self.voltage_scale)

    def curve(self):
        return kernel.SINH, np.array([self.voltage_scale])

    def spice(self, conductance, voltage, limit=None, table="pwl"):
        """Current in ampere as an expression of the voltage expression; along the tangent beyond
        +-limit in V.
        """
        limit = _limit(self, limit)
        v0, inside = self.voltage_scale, _within(voltage, limit)
        curve = f"{conductance * v0!r}*sinh({inside}/{v0!r})"
        return f"{curve}+{conductance!r}*cosh({inside}/{v0!r})*({voltage}-{inside})"


@dataclass(frozen=True)
class Polynomial:
    """I = G (V + c2 V² + c3 V³ + ...) up to +-`maximum_voltage`, in which range it must not fall.

    coefficients : (c2, c3, ...) in 1/V, 1/V², ...; maximum_voltage : V
    """

    coefficients: tuple
    maximum_voltage: float

    def __post_init__(self):
        c = numbers("coefficients", self.coefficients)
        if c.ndim != 1 or not c.size or not np.isfinite(c).all():
            raise ShapeError(
                f"coefficients are {self.coefficients!r}; allowed: finite numbers (c2, c3, ...)"
            )
        top = _positive("maximum_voltage", self.maximum_voltage, "V")
        slope = np.polynomial.Polynomial([1.0, *(c * np.arange(2, c.size + 2))])
        turning = slope.deriv().roots()
        where = np.array(
            [-top, top, *turning.real[(abs(turning.imag) < 1e-9) & (abs(turning.real) < top)]]
        )
        if slope(where).min() < 0:
            raise OutOfRangeError(
                f"the polynomial falls at {where[slope(where).argmin()]:.3g} V, within "
                f"maximum_voltage {top:g} V; allowed: a curve that does not fall: lower the range"
            )
        object.__setattr__(self, "coefficients", tuple(c.tolist()))
        object.__setattr__(self, "maximum_voltage", top)

    def curve(self):
        return kernel.POLYNOMIAL, np.array(self.coefficients)

    def spice(self, conductance, voltage, limit=None, table="pwl"):
        """Current in ampere as an expression of the voltage expression; along the tangent beyond
        +-limit in V.
        """
        inside = _within(voltage, _limit(self, limit))
        curve = [0.0, 1.0, *self.coefficients]
        slope = [k * factor for k, factor in enumerate(curve)][1:]
        return f"{conductance!r}*({_powers(curve, inside)}+{_powers(slope, inside)}*({voltage}-{inside}))"


@dataclass(frozen=True)
class Table:
    """A measured curve, linear between its points: I = G f(V), f(V) = current / (slope at 0 V).

    voltage : (k,) V, increasing, on both sides of 0; current : (k,) A, not falling, 0 at 0 V
    """

    voltage: tuple
    current: tuple

    def __post_init__(self):
        v, i = numbers("voltage", self.voltage, "V"), numbers("current", self.current, "A")
        if (
            v.ndim != 1
            or v.shape != i.shape
            or v.size < 2
            or not (np.isfinite(v).all() and np.isfinite(i).all())
        ):
            raise ShapeError(
                f"voltage {v.shape} and current {i.shape} of a table; allowed: two or more finite points each"
            )
        if not (np.all(np.diff(v) > 0) and np.all(np.diff(i) >= 0) and v[0] < 0 < v[-1]):
            raise OutOfRangeError(
                "table: allowed are voltages that increase from below 0 V to above it, and currents that "
                "do not fall"
            )
        if np.interp(0.0, v, i) != 0:
            raise OutOfRangeError(
                f"table: current {np.interp(0.0, v, i):g} A at 0 V; allowed: 0 A, add the point (0, 0)"
            )
        if self._slope(v, i) == 0:
            raise OutOfRangeError(
                "table: no current next to 0 V, where its slope is the conductance; allowed: above 0"
            )
        object.__setattr__(self, "voltage", tuple(v.tolist()))
        object.__setattr__(self, "current", tuple(i.tolist()))

    @staticmethod
    def _slope(v, i):
        """Slope at 0 V, S: of the piece above where 0 V is a point."""
        k = np.searchsorted(v, 0.0, side="right")
        return (i[k] - i[k - 1]) / (v[k] - v[k - 1])

    @property
    def maximum_voltage(self):
        """V: the nearer end of the table."""
        return min(-self.voltage[0], self.voltage[-1])

    def curve(self):
        v, i = np.array(self.voltage), np.array(self.current)
        return kernel.TABLE, np.concatenate((v, i / self._slope(v, i)))

    def spice(self, conductance, voltage, limit=None, table="pwl"):
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

    def __post_init__(self):
        object.__setattr__(
            self, "conductance", _positive("conductance of the selector", self.conductance, "S")
        )
        object.__setattr__(
            self, "voltage_scale", _positive("voltage_scale", self.voltage_scale, "V")
        )

    def curve(self):
        return *Sinh(self.voltage_scale).curve(), self.conductance

    @property
    def maximum_voltage(self):
        """V: where the exponential leaves the floating-point range."""
        return 700 * self.voltage_scale

    def spice(self, voltage, limit=None):
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

    def __post_init__(self):
        object.__setattr__(
            self, "on_resistance", _positive("on_resistance", self.on_resistance, "ohm")
        )
        object.__setattr__(
            self, "overdrive_voltage", _positive("overdrive_voltage", self.overdrive_voltage, "V")
        )
        object.__setattr__(
            self,
            "channel_length_modulation",
            _positive(
                "channel_length_modulation", self.channel_length_modulation, "1/V", zero=True
            ),
        )

    def curve(self):
        return (
            kernel.TRANSISTOR,
            np.array([self.overdrive_voltage, self.channel_length_modulation]),
            1 / self.on_resistance,
        )

    def spice(self, voltage, limit=None):
        """Current in ampere as an expression of the voltage expression."""
        on, over, factor = (
            1 / self.on_resistance,
            self.overdrive_voltage,
            self.channel_length_modulation,
        )
        triode = f"min(abs({voltage}),{over!r})"
        return f"{on!r}*sgn({voltage})*({triode}-{triode}*{triode}/{2 * over!r})*(1+{factor!r}*abs({voltage}))"


MEMRISTORS, ACCESS = (Sinh, Polynomial, Table), (Selector, Transistor)


def from_text(text):
    """A cell or an access device from NAME:NUMBER,NUMBER..., the fields of its class in order.

    `sinh:0.3`, `selector:1e-5,0.1`, `transistor:2000,0.8,0.05`; `polynomial:2,0.1,1.5`, the maximum
    voltage first.
    """
    name, _, values = text.partition(":")
    kind = {k.__name__.lower(): k for k in (Sinh, Polynomial, Selector, Transistor)}.get(name)
    try:
        numbers = [float(value) for value in values.split(",")]
        if kind is Polynomial:
            return Polynomial(tuple(numbers[1:]), numbers[0])
        return kind(*numbers)
    except (TypeError, ValueError) as error:
        if isinstance(error, (OutOfRangeError, ShapeError)):
            raise
        raise ConfigError(
            f"{text!r} is no cell or access device; allowed: sinh:V0, polynomial:VMAX,C2,C3..., table:FILE, "
            "selector:G,V0, transistor:R,OVERDRIVE,LAMBDA"
        ) from None


def evaluator(cell, access, conductance, limit):
    """The function of cell voltages (m, n) V to currents (m, n) A and slopes (m, n) S that
    `newton.solve_cells` wants.
    """
    kind, p = (kernel.OHMIC, np.empty(0)) if cell is None else cell.curve()
    access_kind, access_p, access_c = (
        (kernel.OHMIC, np.empty(0), np.inf) if access is None else access.curve()
    )
    c = np.ascontiguousarray(conductance).ravel()

    def currents(v):
        current, slope = np.empty(c.size), np.empty(c.size)
        cells = kernel.Cells(
            kernel.Curve(kind, p), c, kernel.Curve(access_kind, access_p), access_c, float(limit)
        )
        kernel.cell_currents(cells, np.ascontiguousarray(v).ravel(), current, slope)
        return current.reshape(v.shape), slope.reshape(v.shape)

    return currents
