"""Scale factors for the I/O edge.  Inside xbarsim every quantity is in SI units (S, ohm, V, A, s,
J, m²).
"""

MEGA, KILO, MILLI, MICRO, NANO, PICO, FEMTO = 1e6, 1e3, 1e-3, 1e-6, 1e-9, 1e-12, 1e-15
MICROSIEMENS = 1e-6
SQUARE_MICROMETRE, SQUARE_MILLIMETRE = 1e-12, 1e-6

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


def engineering(value, unit, digits=3):
    """`engineering(2.5e-9, "J")` -> `"2.5 nJ"`: a value with an SI prefix, for messages and tables."""
    magnitude = abs(value)
    if magnitude == 0 or magnitude != magnitude or magnitude == float("inf"):
        return f"{value:g} {unit}"
    scale, prefix = next(((s, p) for s, p in reversed(_PREFIXES) if magnitude >= s), _PREFIXES[0])
    return f"{value / scale:.{digits}g} {prefix}{unit}"


def prefixed(value, unit):
    """(scale, text): the SI prefix that suits a value, such as (1e-6, "µS"); ("S²" squares it,
    (1e-12, "µS²")).
    """
    power = 2 if unit.endswith("²") else 1
    magnitude = abs(value) ** (1 / power)
    if not unit or unit == "1" or "/" in unit or not 0 < magnitude < float("inf"):
        return 1.0, "" if unit == "1" else unit
    scale, prefix = next(((s, p) for s, p in reversed(_PREFIXES) if magnitude >= s), _PREFIXES[0])
    return scale**power, prefix + unit


def interval_x100(low, high):
    """Text of an interval of a metric, times 100."""
    return (
        f"{round(100 * low, 2) + 0.0:.2f} .. {round(100 * high, 2) + 0.0:.2f}"  # + 0.0: no "-0.00"
    )


def change_x100(value, low, high):
    """Text of a change of a metric and its interval, times 100."""
    return f"{round(100 * value, 2) + 0.0:+.2f} ({interval_x100(low, high)})"
