"""Numbers of a device file that depend on the conductance, and the checks that its tables share.

A law says with `of` which conductance of a cell it means: the target of the write, what the write
achieved, or what is read.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_serializer, model_validator

from xbarsim.base.units import MICROSIEMENS
from xbarsim.config.tables import Table

Rate = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Numbers = tuple[Finite, ...]


def _listed(values):
    return ", ".join(f"{value:g}" for value in values)


def increasing(name, values, unit=""):
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} must increase, got {_listed(values)} {unit}".rstrip())


def keys_of(table, choice, needed, optional=()):
    """Refuse a table whose `choice` lacks a key it needs or has one it does not use.

    choice : name of a key such as `model`
    """
    others = {key for keys in needed.values() for key in keys} | {
        key for keys in dict(optional).values() for key in keys
    }
    chosen = getattr(table, choice)
    for key in needed[chosen]:
        if getattr(table, key) in (None, ()):
            raise ValueError(f'{choice} = "{chosen}" needs the key {key}')
    unused = sorted(others - set(needed[chosen]) - set(dict(optional).get(chosen, ())))
    given = [key for key in unused if getattr(table, key) not in (None, ())]
    if given:
        raise ValueError(
            f'{choice} = "{chosen}" does not use {", ".join(given)}; remove it or choose another '
            f"{choice}"
        )


def _constant(value):
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
    def _complete(self):
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
        if (
            self.law == "log"
            and None in (self.minimum, self.maximum)
            or self.law == "power"
            and self.exponent < 0
            and self.maximum is None
        ):
            raise ValueError(
                f'law = "{self.law}" has no value at 0 µS; give '
                + ("minimum and maximum" if self.law == "log" else "maximum")
            )
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:
            raise ValueError(f"minimum = {self.minimum:g} is above maximum = {self.maximum:g}")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler):
        return self.value if self.law == "constant" else handler(self)

    def __call__(self, conductance_us):
        """The law at conductances in µS, element by element; the limit of the law at 0 S."""
        g = np.asarray(conductance_us, float)
        if self.law == "constant":
            return np.full(g.shape, self.value)
        if self.law == "table":
            result = np.interp(g, self.conductance_us, self.values)
        elif self.law == "polynomial":
            result = np.polynomial.polynomial.polyval(g / self.scale_us, self.coefficients)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                x = g / self.scale_us
                result = (
                    self.offset + self.slope * np.log(x)
                    if self.law == "log"
                    else self.coefficient * x**self.exponent
                )
        return (
            np.clip(result, self.minimum, self.maximum)
            if (self.minimum, self.maximum) != (None, None)
            else result
        )

    def of_cells(self, cells):
        """The law at the conductance that it means of `model.Programmed` cells."""
        chosen = {"target": cells.target, "achieved": cells.achieved, "read": cells.conductance}[
            self.of
        ]
        return self(chosen / MICROSIEMENS)


Law = Annotated[_Law, BeforeValidator(_constant)]
