"""Numbers of a device file that depend on the conductance, and the checks that its tables share.

A law says with `of` which conductance of a cell it means: the target of the write, what the write
achieved, or what is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from xbarsim.base.array_types import Floats
from xbarsim.base.units import MICROSIEMENS
from xbarsim.config.tables import Table
from xbarsim.devices.programmed import Programmed

Rate = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Numbers = tuple[Finite, ...]


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def increasing(name: str, values: Sequence[float], unit: str = "") -> None:
    """Refuse numbers that do not increase."""
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} must increase, got {_listed(values)} {unit}".rstrip())


def polynomial(x: Floats, coefficients: Numbers) -> Floats:
    """Sum of coefficients_k x^k, element by element of x."""
    total = np.full(np.shape(x), coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total


Given = TypeVar("Given")


def stated(value: Given | None) -> Given:
    """The value of a key that the check of its table has made sure of."""
    if value is None:
        raise TypeError("a key of a device file is absent that its table needs")
    return value


Keys = Mapping[str, tuple[str, ...]]  # keys of a table, by what was chosen


def keys_of(table: Table, choice: str, needed: Keys, optional: Keys | None = None) -> None:
    """Refuse a table whose `choice` lacks a key it needs or has one it does not use.

    choice : name of a key such as `model`
    """
    optional = optional or {}
    chosen = getattr(table, choice)
    for key in needed[chosen]:
        if getattr(table, key) in (None, ()):
            raise ValueError(f'{choice} = "{chosen}" needs the key {key}')
    others = set(chain(*needed.values(), *optional.values()))
    unused = sorted(others - set(needed[chosen]) - set(optional.get(chosen, ())))
    given = [key for key in unused if getattr(table, key) not in (None, ())]
    if given:
        raise ValueError(
            f'{choice} = "{chosen}" does not use {", ".join(given)}; remove it or choose another '
            f"{choice}"
        )


def _constant(value: object) -> object:
    """A bare number stands for `{ law = "constant", value = number }`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"law": "constant", "value": value}
    if not isinstance(value, (dict, _Law)):
        raise ValueError(
            "allowed: a number, or a table such as "
            '{ law = "log", scale_us = ..., offset = ..., slope = ... }'
        )
    return value


class _Law(Table):
    """A number that depends on the conductance; held between `minimum` and `maximum`.

    x = conductance / scale_us

    constant: value;  log: offset + slope ln x;  power: coefficient x^exponent
    table: linear between points;  polynomial: sum of coefficients_k x^k
    """

    law: Literal["constant", "log", "power", "table", "polynomial"]
    value: Finite | None = None
    scale_us: Positive | None = None
    offset: Finite | None = None
    slope: Finite | None = None
    coefficient: Finite | None = None
    exponent: Finite | None = None
    conductance_us: Numbers = ()
    values: Numbers = ()
    coefficients: Numbers = Field((), description="lowest order first")
    minimum: Finite | None = None
    maximum: Finite | None = None
    of: Literal["target", "achieved", "read"] = Field(
        "target",
        description="which conductance of a cell: what the write "
        "aimed at, what it achieved, what is read (drifted, at temperature)",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.law == "constant" and "of" in self.model_fields_set:
            raise ValueError('law = "constant" does not use of; remove it or choose another law')
        limits = ("minimum", "maximum")
        keys_of(
            self,
            "law",
            {
                "constant": ("value",),
                "log": ("scale_us", "offset", "slope"),
                "power": ("scale_us", "coefficient", "exponent"),
                "table": ("conductance_us", "values"),
                "polynomial": ("scale_us", "coefficients"),
            },
            {"log": limits, "power": limits, "table": limits, "polynomial": limits},
        )
        increasing("conductance_us", self.conductance_us, "µS")
        if len(self.conductance_us) != len(self.values):
            raise ValueError(
                f"conductance_us has {len(self.conductance_us)} numbers, "
                f"values has {len(self.values)}"
            )
        if self.law == "log" and (self.minimum is None or self.maximum is None):
            raise ValueError('law = "log" has no value at 0 µS; give minimum and maximum')
        if self.law == "power" and stated(self.exponent) < 0 and self.maximum is None:
            raise ValueError('law = "power" has no value at 0 µS; give maximum')
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum = {self.minimum:g} is above maximum = {self.maximum:g}")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> object:
        if self.law == "constant":
            return self.value
        return handler(self)

    def __call__(self, conductance_us: ArrayLike) -> Floats:
        """The law at conductances in µS, element by element; the limit of the law at 0 S."""
        g = np.asarray(conductance_us, float)
        if self.law == "constant":
            return np.full(g.shape, stated(self.value))
        result = self._unlimited(g)
        if self.minimum is None and self.maximum is None:
            return result
        return np.clip(result, self.minimum, self.maximum)

    def _unlimited(self, g: Floats) -> Floats:
        """The law before it is held between `minimum` and `maximum`, g in µS."""
        if self.law == "table":
            return np.interp(g, self.conductance_us, self.values)
        x: Floats
        if self.law == "polynomial":
            x = g / stated(self.scale_us)
            return polynomial(x, self.coefficients)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = g / stated(self.scale_us)
            if self.law == "log":
                return stated(self.offset) + stated(self.slope) * np.log(x)
            power: Floats = stated(self.coefficient) * x ** stated(self.exponent)
            return power

    def of_cells(self, cells: Programmed) -> Floats:
        """The law at the conductance that it means of cells."""
        if self.of == "target":
            return self(cells.target / MICROSIEMENS)
        if self.of == "achieved":
            return self(cells.achieved / MICROSIEMENS)
        return self(cells.conductance / MICROSIEMENS)


Law = Annotated[_Law, BeforeValidator(_constant)]
