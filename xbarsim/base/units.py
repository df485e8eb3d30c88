"""Scale factors for the I/O edge.  Inside xbarsim every quantity is in SI units (S, ohm, V, A, s,
J, m²).
"""

import math

GIGA = 1e9
MEGA = 1e6
MILLI = 1e-3
MICRO = 1e-6
NANO = 1e-9
PICO = 1e-12
MICROSIEMENS = 1e-6
SQUARE_MICROMETRE = 1e-12
SQUARE_MILLIMETRE = 1e-6

_PREFIXES = (
    (1e-18, "a"),
    (1e-15, "f"),
    (1e-12, "p"),
    (1e-9, "n"),
    (1e-6, "µ"),
    (1e-3, "m"),
    (1.0, ""),
    (1e3, "k"),
    (1e6, "M"),
    (1e9, "G"),
    (1e12, "T"),
)


def engineering(value: float, unit: str, digits: int = 3) -> str:
    """`engineering(2.5e-9, "J")` -> `"2.5 nJ"`: a value with an SI prefix, for messages and tables."""
    magnitude = abs(value)
    if magnitude == 0 or not math.isfinite(magnitude):
        return f"{value:g} {unit}"
    scale, prefix = _prefix_of(magnitude)
    return f"{value / scale:.{digits}g} {prefix}{unit}"


def _prefix_of(magnitude: float) -> tuple[float, str]:
    """The largest SI prefix that is not above a magnitude, or the smallest of all."""
    for scale, prefix in reversed(_PREFIXES):
        if magnitude >= scale:
            return scale, prefix
    return _PREFIXES[0]


def prefixed(value: float, unit: str) -> tuple[float, str]:
    """(scale, text): the SI prefix that suits a value, such as (1e-6, "µS"); ("S²" squares it,
    (1e-12, "µS²")).
    """
    if unit == "1":
        return 1.0, ""
    power = 1
    if unit.endswith("²"):
        power = 2
    magnitude = abs(value) ** (1 / power)
    if not unit or "/" in unit or not 0 < magnitude < math.inf:
        return 1.0, unit
    scale, prefix = _prefix_of(magnitude)
    return scale**power, prefix + unit


def interval_x100(low: float, high: float) -> str:
    """Text of an interval of a metric, times 100."""
    return f"{_x100(low):.2f} .. {_x100(high):.2f}"


def change_x100(value: float, low: float, high: float) -> str:
    """Text of a change of a metric and its interval, times 100."""
    return f"{_x100(value):+.2f} ({interval_x100(low, high)})"


def _x100(value: float) -> float:
    """100 times a value, to two decimals; never -0.0, which would print as "-0.00"."""
    return round(100 * value, 2) + 0.0
