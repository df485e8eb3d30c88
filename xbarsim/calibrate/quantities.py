"""Numbers and units as they stand in measurement files: "1.5 uA", "1,5e-6", "800n", "Current
(µA)"."""

import dataclasses
import re
from typing import NamedTuple

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
_PREFIX_AND_SYMBOL = re.compile(f"([{''.join(PREFIXES)}]?)({'|'.join(SYMBOLS)})")
_UNIT_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[]([^)\]]*)[)\]]\s*")
_UNIT_AT_THE_END = re.compile(r"(.+?)\s*[_/\s]\s*([^_/\s]+)")


class Scale(NamedTuple):
    """What brings numbers in one unit to another: times `factor`, then perhaps `inverted`."""

    factor: float
    inverted: bool = False


class Header(NamedTuple):
    """Name of a column and the unit behind it, "" where there is none."""

    name: str
    unit: str


PLAIN_NUMBERS = {"": Scale(1.0), "1": Scale(1.0), "%": Scale(0.01)}


@dataclasses.dataclass(frozen=True)
class Number:
    """A cell that holds a number.

    digits : as written;  unit : behind it, "" where there is none;  prefix : of "1.2u", a prefix
    without a unit
    """

    digits: str
    unit: str = ""
    prefix: str = ""

    @property
    def comma(self) -> bool:
        """Whether the decimals stand behind a comma."""
        return "," in self.digits

    @property
    def value(self) -> float:
        """The number as written: neither unit nor prefix is applied."""
        return float(self.digits.replace(",", "."))


def parse_number(cell: str) -> Number | None:
    """Number of "1e-6", "1.5 uA", "1,5" or "800n"; None where the cell holds something else."""
    match = _NUMBER.fullmatch(cell.strip().replace("\u2212", "-"))
    if match is None:
        return None
    digits, behind = match.groups()
    if "," in digits and not _DECIMAL_COMMA.fullmatch(digits):
        return None
    if behind in PREFIXES:
        return Number(digits, prefix=behind)
    if behind == "%" or is_unit(behind):
        return Number(digits, unit=behind)
    return None


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, with or without a unit."""
    try:
        float(cell)
    except ValueError:
        return parse_number(cell) is not None
    return True


def unit_scale(text: str, unit: str) -> Scale | None:
    """Scale that brings numbers in unit `text` to SI unit `unit`; None where it is of another
    quantity.

    A resistance is accepted for a conductance: inverted.
    """
    text = text.strip()
    if unit == "1":
        return PLAIN_NUMBERS.get(text)
    symbol, factor = _symbol_and_factor(text)
    if symbol == unit:
        return Scale(factor)
    if symbol == "ohm" and unit == "S":
        return Scale(factor, inverted=True)
    return None


def _symbol_and_factor(text: str) -> tuple[str, float]:
    """("A", 1e-6) of "uA", ("s", 60.0) of "minutes"; ("", 1.0) of what is no unit."""
    if text.lower() in WORDS and text not in PREFIXES:
        return WORDS[text.lower()]
    match = _PREFIX_AND_SYMBOL.fullmatch(text)
    if match is None:
        return "", 1.0
    prefix, symbol = match.groups()
    return SYMBOLS[symbol], PREFIXES[prefix]


def is_unit(text: str) -> bool:
    """Whether a text is a unit of any quantity that a fit reads."""
    return any(unit_scale(text, unit) is not None for unit in QUANTITIES)


def split_header(header: str) -> Header:
    """("i", "uA") of "i_uA", "i (uA)", "i [uA]", "i/uA" or "i uA"."""
    match = _UNIT_IN_BRACKETS.fullmatch(header)
    if match:
        return Header(match[1].strip(), match[2].strip())
    match = _UNIT_AT_THE_END.fullmatch(header.strip())
    if match and is_unit(match[2]):
        return Header(match[1].strip(), match[2])
    return Header(header.strip(), "")
