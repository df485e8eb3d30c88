"""The table `[budget]` of a study: what an error budget divides the loss among, and at what cost."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Content, parse
from xbarsim.config.arrays import SWITCHES
from xbarsim.config.tables import Table

FUNCTIONS = "functions"  # integer softmax, norm and activation, as an effect

# What stands in a study instead of a remedy, and of integer functions.
ABSENT: dict[str, Content] = {
    "compensation": {"mapping": {"compensation": "none"}},
    "gain": {"mapping": {"gain": "none"}},
    "scale_shift": {"mapping": {"scale_shift": 0.0}},
    "scaling": {"dac": {"scaling": "static"}},
    "rescaling": {"correction": {"rescaling": "none"}},
    FUNCTIONS: {
        "functions": {
            "softmax": {"unit": "float"},
            "layer_norm": {"unit": "float"},
            "gelu": {"unit": "float"},
        }
    },
}
REMEDIES = tuple(name for name in ABSENT if name != FUNCTIONS)

# Effects that share a cost unless `budget.effects` says otherwise.
GROUPS = (
    ("wires",),
    ("dac",),
    ("levels",),
    ("programming", "spread"),
    ("relaxation", "drift", "read_disturb", "temperature"),
    ("stuck",),
    ("read_noise", "flicker", "telegraph"),
    ("adc",),
    (FUNCTIONS,),
)


class Budget(Table):
    """Who shares the loss of a case.

    An effect is a switch of `effects.without`, `functions`, or several of them joined by "+".  A remedy
    is a name of `REMEDIES`, or what stands in the study instead of it, such as `adc.bits = 8`.
    """

    case: str | None = Field(None, description="whose loss it is; that with most effects if absent")
    effects: tuple[str, ...] | None = Field(
        None, description='that share it, such as "wires" or "stuck+drift"; all if absent'
    )
    remedies: tuple[str, ...] = Field((), description="that share it too: what each wins back")
    without: tuple[str, ...] = Field((), description="effects and remedies left out throughout")
    evaluations: int = Field(
        64,
        ge=4,
        le=100_000,
        description="most chips with other effects that are evaluated, those of single layers aside: all "
        "combinations of the effects where there are no more of them, else sampled orders",
    )
    layers: Literal["layer", "role", "none"] = Field(
        "layer", description="what is left as it is alone, and made ideal alone"
    )
    places: dict[str, tuple[str, ...]] | None = Field(
        None, description="{name: patterns of steps} instead; every step once"
    )

    @field_validator("places", mode="before")
    @classmethod
    def _frozen_places(cls, value: object) -> object:
        """Arrays of TOML and JSON are tuples."""
        if not isinstance(value, dict):
            return value
        return {
            name: tuple(found) if isinstance(found, list) else found
            for name, found in value.items()
        }

    @model_validator(mode="after")
    def _known(self) -> Self:
        stated = [part for effect in self.effects or () for part in effect.split("+")]
        for name in stated:
            if name not in (*SWITCHES, FUNCTIONS):
                raise ValueError(
                    f"effects: {name!r} is none; allowed: {', '.join((*SWITCHES, FUNCTIONS))}, and "
                    'several joined by "+"'
                )
        twice = sorted({name for name in stated if stated.count(name) > 1})
        if twice:
            raise ValueError(f"effects: {', '.join(twice)} would be counted twice")
        for name in self.remedies:
            absent(name)
        for name in self.without:
            if name not in SWITCHES:
                absent(name)
        both = sorted({*stated, *self.remedies} & set(self.without))
        if both:
            raise ValueError(f"{', '.join(both)} cannot share the loss and be left out of it")
        return self


def absent(name: str) -> Content:
    """The keys of a study without a remedy or without integer functions.

    Raises
    ------
    ConfigError : neither a known name nor keys as TOML
    """
    if name in ABSENT:
        return ABSENT[name]
    if "=" in name and "/" not in name:
        return parse(name, f"remedy {name!r}")
    raise ConfigError(
        f"{name!r} is no remedy; allowed: {', '.join(REMEDIES)}, or what stands in the study instead "
        "of it, such as 'adc.bits = 8'"
    )
