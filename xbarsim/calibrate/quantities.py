"""Numbers and units as they stand in measurement files: "1.5 uA", "1,5e-6", "800n", "Current
(µA)"."""

import dataclasses
import re

PREFIXES = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "\u00b5": 1e-6,
    "\u03bc": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
}
SYMBOLS = {
    "V": "V",
    "A": "A",
    "S": "S",
    "s": "s",
    "ohm": "ohm",
    "Ohm": "ohm",
    "\u03a9": "ohm",
    "\u2126": "ohm",
    "Hz": "Hz",
}
WORDS = {
    "volt": ("V", 1.0),
    "volts": ("V", 1.0),
    "amp": ("A", 1.0),
    "amps": ("A", 1.0),
    "ampere": ("A", 1.0),
    "amperes": ("A", 1.0),
    "siemens": ("S", 1.0),
    "ohms": ("ohm", 1.0),
    "sec": ("s", 1.0),
    "second": ("s", 1.0),
    "seconds": ("s", 1.0),
    "min": ("s", 60.0),
    "minutes": ("s", 60.0),
    "h": ("s", 3600.0),
    "hours": ("s", 3600.0),
}
QUANTITIES = ("V", "A", "S", "s", "Hz")  # a resistance counts as a conductance

_NUMBER = re.compile(
    r"([+-]?(?:\d+[.,]?\d*(?:[eE][+-]?\d+)?|[.,]\d+(?:[eE][+-]?\d+)?|nan|inf))\s*(\S*)", re.I
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[]([^)\]]*)[)\]]\s*")
_UNIT_AT_THE_END = re.compile(r"(.+?)\s*[_/\s]\s*([^_/\s]+)")


@dataclasses.dataclass(frozen=True)
class Number:
    """A cell that holds a number.

    digits : as written;  unit : behind it, "" where there is none;  prefix : of "1.2u", a prefix
    without a unit;  comma : the decimals stand behind a comma
    """

    digits: str
    unit: str = ""
    prefix: str = ""

    @property
    def comma(self):
        return "," in self.digits

    @property
    def value(self):
        """The number as written: neither unit nor prefix is applied."""
        return float(self.digits.replace(",", "."))


def parse_number(cell):
    """Number of "1e-6", "1.5 uA", "1,5" or "800n"; None where the cell holds something else."""
    match = _NUMBER.fullmatch(cell.strip().replace("\u2212", "-"))
    if match is None:
        return None
    digits, rest = match.groups()
    if "," in digits and not _DECIMAL_COMMA.fullmatch(digits):
        return None
    if rest in PREFIXES:
        return Number(digits, prefix=rest)
    if rest == "%" or is_unit(rest):
        return Number(digits, unit=rest)
    return None


def is_number(cell):
    """Whether a cell holds a number, with or without a unit."""
    try:
        float(cell)
    except ValueError:
        return parse_number(cell) is not None
    return True


def unit_scale(text, unit):
    """(factor, inverted) that brings numbers in unit `text` to SI unit `unit`; None where it is of
    another quantity.

    A resistance is accepted for a conductance: inverted.
    """
    text = text.strip()
    if unit == "1":
        return {"": (1.0, False), "1": (1.0, False), "%": (0.01, False)}.get(text)
    if text.lower() in WORDS and text not in PREFIXES:
        symbol, scale = WORDS[text.lower()]
    else:
        match = re.fullmatch(f"([{''.join(PREFIXES)}]?)({'|'.join(SYMBOLS)})", text)
        if match is None:
            return None
        symbol, scale = SYMBOLS[match[2]], PREFIXES[match[1]]
    if symbol == unit:
        return scale, False
    return (scale, True) if (symbol, unit) == ("ohm", "S") else None


def is_unit(text):
    """Whether a text is a unit of any quantity that a fit reads."""
    return any(unit_scale(text, unit) is not None for unit in QUANTITIES)


def split_header(header):
    """("i", "uA") of "i_uA", "i (uA)", "i [uA]", "i/uA" or "i uA"; the unit is "" where there is
    none."""
    match = _UNIT_IN_BRACKETS.fullmatch(header)
    if match:
        return match[1].strip(), match[2].strip()
    match = _UNIT_AT_THE_END.fullmatch(header.strip())
    if match and is_unit(match[2]):
        return match[1].strip(), match[2]
    return header.strip(), ""
