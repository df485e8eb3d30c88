"""Parts of a chip: the roles that components play, and what a file says it assumes."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.chips.components import (
    KEYS,
    Component,
    library,
    library_entries,
    parse_component,
)
from xbarsim.config.tables import Table

Positive = Annotated[int, Field(ge=1)]
ComponentTables = dict[str, dict[str, Any]]  # `[component]` of a chip file, as written
Role = Literal[
    "adc",
    "dac",
    "sample-hold",
    "array",
    "cell",
    "shift-add",
    "input-register",
    "output-register",
    "tile-shift-add",
    "tile-register",
    "buffer",
    "bus",
    "router",
    "link",
    "dram",
    "mac",
    "softmax",
    "layer-norm",
    "gelu",
    "activation",
    "pool",
    "control",
    "cell-write",
    "dense-cell",
    "dense-read",
    "sense-amplifier",
    "function-unit",
    "encoder",
    "scale-compare",
    "scale-multiply",
]

# role -> kinds of component that may play it
ROLES: dict[str, tuple[str, ...]] = {
    "adc": ("adc",),
    "dac": ("dac",),
    "sample-hold": ("sample-hold",),
    "array": ("array",),
    "cell": ("cell",),
    "shift-add": ("shift-and-add", "adder"),
    "input-register": ("register", "sram"),
    "output-register": ("register", "sram"),
    "tile-shift-add": ("shift-and-add", "adder"),
    "tile-register": ("register", "sram"),
    "buffer": ("edram", "sram"),
    "bus": ("bus",),
    "router": ("router",),
    "link": ("link",),
    "dram": ("dram",),
    "mac": ("mac", "multiplier"),
    "softmax": ("softmax", "function-unit"),
    "layer-norm": ("layer-norm", "function-unit"),
    "gelu": ("gelu", "activation", "function-unit"),
    "activation": ("activation",),
    "pool": ("pool",),
    "control": ("control",),
    "cell-write": ("cell-write",),
    "dense-cell": ("cell",),
    "dense-read": ("dense-read",),
    "sense-amplifier": ("sense-amplifier",),
    "function-unit": ("function-unit", "activation"),
    "encoder": ("encoder", "register"),
    "scale-compare": ("adder",),
    "scale-multiply": ("multiplier",),
}
TIMED = ("adc", "dense-read")  # roles that set the pace, so that their component must state one
RIVALS = (("energy_pj", "power_mw"), ("area_um2", "area_f2"), ("delay_ns", "rate_mhz"))


class Part(Table):
    """`count` components in every unit, tile, dense array, crossbar or chip.

    The count of adc, dac, sample-hold, array and cell (dense-cell and sense-amplifier in dense
    arrays) follows from the organisation and is not given.
    """

    role: Role
    level: Literal["unit", "tile", "dense", "crossbar", "chip"]
    component: str
    count: float | None = Field(None, gt=0, allow_inf_nan=False)


class Fitted(NamedTuple):
    """A part, and its component at the node of the chip."""

    part: Part
    component: Component


class Assumed(Table):
    """A key of this file without a published value, and what to sweep it over."""

    key: str = Field(description="dotted path in this file")
    range: tuple[float, float] | None = None
    values: tuple[Any, ...] = Field((), description="in place of a range: the choices")
    why: str = Field(min_length=1)

    @property
    def ends(self) -> tuple[Any, Any]:
        return self.range or (self.values[0], self.values[-1])


def resolve(name: str, own: ComponentTables) -> Component:
    """Component of the library or of a chip's own `[component]` table ({name: table}, `base` names
    what it changes).

    A changed quantity is no longer assumed unless the table says so.

    Raises
    ------
    ConfigError : no such component, a base that is not in the library, contradictory keys
    """
    if name not in own:
        if name not in library():
            raise ConfigError(
                f"no component {name!r} in the library or in [component]; the library holds "
                f"{', '.join(sorted(library()))}"
            )
        return library()[name]
    change = dict(own[name])
    base = change.pop("base", None)
    entry: dict[str, Any] = {}
    if base is not None:
        if not isinstance(base, str) or base not in library_entries():
            raise ConfigError(f"component {name}: base = {base!r} is not in the library")
        entry = dict(library_entries()[base])
    for given, other in RIVALS:
        if given in change:
            _replace(entry, quantity=given, rival=other)
        if other in change:
            _replace(entry, quantity=given, rival=given)
    return parse_component(name, entry | change, "[component]")


def _replace(entry: dict[str, Any], *, quantity: str, rival: str) -> None:
    """Take from an entry what a change of a quantity makes void: the key in its place, the range,
    and that it is assumed.
    """
    entry.pop(rival, None)
    entry.pop(f"{quantity}_range", None)
    assumed = entry.get("assumed", ())
    entry["assumed"] = [other for other in assumed if KEYS[other] != quantity]
