"""The component library: energy per action, area and rate of every block of a chip
(data/components/*.toml).

Units in the files are those of the keys (pJ, mW, µm², F², ns, MHz, µW, nm); a `Component` is in SI
units.  A quantity listed under `assumed` has no published figure; its `<key>_range` is what reports
name and sweep.  Files are taken to another node by the stated rules of data/scaling.toml.
"""

import functools
import importlib.resources
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.toml_files import packaged, validated
from xbarsim.base.units import MEGA, MICRO, MILLI, NANO, PICO, SQUARE_MICROMETRE
from xbarsim.config.tables import Table

KEYS = {"energy": "energy_pj", "area": "area_um2", "delay": "delay_ns", "leakage": "leakage_uw"}
SCALE = {"energy": PICO, "area": SQUARE_MICROMETRE, "delay": NANO, "leakage": MICRO}
Kind = Literal[
    "adc",
    "dac",
    "sample-hold",
    "array",
    "cell",
    "cell-write",
    "dense-read",
    "sense-amplifier",
    "shift-and-add",
    "register",
    "sram",
    "edram",
    "dram",
    "bus",
    "router",
    "link",
    "activation",
    "gelu",
    "softmax",
    "layer-norm",
    "function-unit",
    "adder",
    "multiplier",
    "mac",
    "pool",
    "encoder",
    "control",
]
Range = tuple[float, float]


class ComponentFile(Table):
    """One entry of a component file, or of a chip's `[component]` table."""

    kind: Kind
    action: str = Field(description="what one unit of energy pays for")
    node_nm: float = Field(gt=0)
    bits: int | None = Field(None, ge=1, description="resolution, word width, or bits of a cell")
    capacity_bits: int | None = Field(None, ge=1, description="that a memory holds")
    energy_pj: float | None = Field(None, ge=0, allow_inf_nan=False)
    power_mw: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="in place of energy_pj: power at rate_mhz"
    )
    area_um2: float | None = Field(None, ge=0, allow_inf_nan=False)
    area_f2: float | None = Field(
        None, gt=0, description="in place of area_um2: in squares of the node"
    )
    delay_ns: float | None = Field(None, gt=0)
    rate_mhz: float | None = Field(
        None, gt=0, description="in place of delay_ns: actions per second of one component"
    )
    leakage_uw: float = Field(0.0, ge=0, allow_inf_nan=False)
    scaling: Literal["digital", "analog", "cell"] = "digital"
    source: str = Field(min_length=1)
    assumed: tuple[Literal["energy", "area", "delay", "leakage"], ...] = ()
    energy_pj_range: Range | None = None
    area_um2_range: Range | None = None
    delay_ns_range: Range | None = None
    leakage_uw_range: Range | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for one, other in (("energy_pj", "power_mw"), ("area_um2", "area_f2")):
            if (getattr(self, one) is None) == (getattr(self, other) is None):
                raise ValueError(f"give either {one} or {other}")
        if self.delay_ns is not None and self.rate_mhz is not None:
            raise ValueError("give delay_ns or rate_mhz, not both")
        if self.power_mw is not None and self.rate_mhz is None:
            raise ValueError("power_mw needs the rate_mhz at which it was measured")
        for quantity, key in KEYS.items():
            bounds = getattr(self, f"{key}_range")
            value = getattr(self, key)
            if quantity in self.assumed and bounds is None:
                raise ValueError(f"{key} is assumed and needs {key}_range, what a report may sweep")
            if bounds is not None and (value is None or not bounds[0] <= value <= bounds[1]):
                raise ValueError(
                    f"{key} = {value} must be given and lie in {key}_range = {list(bounds)}"
                )
        return self


@dataclass(frozen=True)
class Component:
    """One block at one node.

    energy : J per `action`; area : m²; delay : s between two actions, or None; leakage : W; node :
        m
    bits : resolution, word width, bits of a cell, or None
    capacity : bits that a memory holds, or None
    assumed : names of the quantities without a published figure; ranges : {quantity: (low, high)}
        in SI units
    """

    name: str
    kind: str
    action: str
    node: float
    energy: float
    area: float
    delay: float | None
    leakage: float
    bits: int | None
    scaling: str
    source: str
    assumed: tuple[str, ...]
    ranges: dict[str, Range]
    capacity: int | None = None

    @property
    def pace(self) -> float:
        """s between two actions; 0 where no rate is known."""
        return self.delay or 0.0

    @property
    def peak_power(self) -> float:
        """W when every action follows the last at once; leakage alone where no rate is known."""
        if self.delay is None:
            return self.leakage
        return self.leakage + self.energy / self.delay

    def at(self, node: float) -> "Component":
        """The component at another node (m), by the rules of data/scaling.toml.

        Raises
        ------
        OutOfRangeError : a digital component to or from a node without a supply voltage in the
            table
        """
        if node == self.node:
            return self
        shrink = node / self.node
        factor = {"energy": 1.0, "area": 1.0, "delay": 1.0, "leakage": 1.0}
        if self.scaling == "cell":
            factor["area"] = shrink**2
        elif self.scaling == "digital":
            volts = _supply(node) / _supply(self.node)
            factor = {
                "energy": shrink * volts**2,
                "area": shrink**2,
                "delay": shrink,
                "leakage": shrink * volts,
            }
        return self._times(factor, node)

    def _times(self, factor: dict[str, float], node: float) -> "Component":
        """The component with every quantity times its factor."""
        ranges = {}
        for quantity, (low, high) in self.ranges.items():
            ranges[quantity] = (low * factor[quantity], high * factor[quantity])
        return replace(
            self,
            node=node,
            energy=self.energy * factor["energy"],
            area=self.area * factor["area"],
            delay=None if self.delay is None else self.delay * factor["delay"],
            leakage=self.leakage * factor["leakage"],
            ranges=ranges,
        )


@functools.cache
def scaling_rules() -> dict[str, Any]:
    """data/scaling.toml: the text of each rule and the supply voltage of each node."""
    rules: dict[str, Any] = packaged("scaling.toml")
    return rules


def _supply(node: float) -> float:
    table: dict[str, float] = scaling_rules()["supply_v"]
    key = f"{node / NANO:g}nm"
    if key not in table:
        raise OutOfRangeError(
            f"no supply voltage for {key}, which scaling a digital component needs; known nodes: "
            f"{', '.join(table)}; add one to scaling.toml or give the component at the chip's node"
        )
    return table[key]


def parse_component(name: str, values: dict[str, Any], where: str) -> Component:
    """Component of one entry of a file.

    Raises
    ------
    ConfigError : unknown or contradictory keys, values out of range; `where` names the file in the
        message
    """
    entry: ComponentFile = validated(ComponentFile, values, f"{where}: component {name}")
    return Component(
        name=name,
        kind=entry.kind,
        action=entry.action,
        node=entry.node_nm * NANO,
        energy=_energy(entry),
        area=_area(entry),
        delay=_delay(entry),
        leakage=entry.leakage_uw * MICRO,
        bits=entry.bits,
        scaling=entry.scaling,
        source=entry.source,
        assumed=entry.assumed,
        ranges=_ranges(entry),
        capacity=entry.capacity_bits,
    )


def _energy(entry: ComponentFile) -> float:
    """J per action."""
    if entry.energy_pj is not None:
        return entry.energy_pj * PICO
    if entry.power_mw is None or entry.rate_mhz is None:
        raise ConfigError("give either energy_pj or power_mw, with its rate_mhz")
    return entry.power_mw * MILLI / (entry.rate_mhz * MEGA)


def _area(entry: ComponentFile) -> float:
    """m²"""
    if entry.area_um2 is not None:
        return entry.area_um2 * SQUARE_MICROMETRE
    if entry.area_f2 is None:
        raise ConfigError("give either area_um2 or area_f2")
    return entry.area_f2 * (entry.node_nm * NANO) ** 2


def _delay(entry: ComponentFile) -> float | None:
    """s between two actions, where it is known."""
    if entry.rate_mhz:
        return 1 / (entry.rate_mhz * MEGA)
    if entry.delay_ns:
        return entry.delay_ns * NANO
    return None


def _ranges(entry: ComponentFile) -> dict[str, Range]:
    """{quantity: (low, high)} in SI units."""
    ranges = {}
    for quantity, key in KEYS.items():
        bounds: Range | None = getattr(entry, f"{key}_range")
        if bounds is not None:
            ranges[quantity] = (bounds[0] * SCALE[quantity], bounds[1] * SCALE[quantity])
    return ranges


@functools.cache
def library_entries() -> dict[str, dict[str, Any]]:
    """{name: table as written} of every file in data/components."""
    found: dict[str, dict[str, Any]] = {}
    for entry in importlib.resources.files("xbarsim.data").joinpath("components").iterdir():
        if entry.name.endswith(".toml"):
            found |= packaged(f"components/{entry.name}")
    return found


@functools.cache
def library() -> dict[str, Component]:
    """{name: Component} of every file in data/components."""
    return {
        name: parse_component(name, values, "data/components")
        for name, values in library_entries().items()
    }


def load_component(name: str) -> Component:
    """The Component of a name.

    Raises
    ------
    ConfigError : unknown name
    """
    try:
        return library()[name]
    except KeyError:
        raise ConfigError(
            f"no component {name!r} in the library; it holds {', '.join(sorted(library()))}"
        ) from None


def adc(bits: int, rate: float | None = None) -> Component:
    """The converter of `bits` bits: flash up to 3, SAR above.

    Beyond the highest resolution every further bit doubles energy and area (a constant Walden
    figure of merit), which counts as assumed: at least that, at most four times per bit (limited by
    thermal noise).  `rate` (Hz) above that of one converter interleaves several: their number times
    the area, the same energy per conversion.
    """
    found = _of_bits("adc", "-flash-" if bits < 4 else "-sar-", bits)
    if rate is None:
        return found
    ways = -(-rate * found.pace // 1)
    if ways <= 1:
        return found
    factor = {"energy": 1.0, "area": ways, "delay": 1 / ways, "leakage": ways}
    return found._times(factor, found.node)


def dac(bits: int) -> Component:
    """The word-line driver of `bits` bits.  A resolution that the library lacks is priced as the
    next higher one, or by doubling per bit above the highest, and counts as assumed."""
    return _of_bits("dac", "", bits)


def _of_bits(kind: str, word: str, bits: int) -> Component:
    """The component of a kind, with a word in its name, of so many bits."""
    known = {}
    for name, component in library().items():
        if component.kind == kind and word in name and component.bits is not None:
            known[component.bits] = component
    if bits in known:
        return known[bits]
    above = [other for other in known if other > bits]
    if above:
        base = known[min(above)]
        factor = (2.0 ** (bits - min(above)), 1.0, 1.0)
    else:
        base = known[max(known)]
        further = bits - max(known)
        factor = (1.0, 2.0**further, 4.0**further)
    low, value, high = factor
    ranges = {
        "energy": (base.energy * low, base.energy * high),
        "area": (base.area * low, base.area * high),
    }
    return replace(
        base,
        name=f"{base.name} as {bits} bits",
        bits=bits,
        energy=base.energy * value,
        area=base.area * value,
        ranges=base.ranges | ranges,
        assumed=tuple(dict.fromkeys((*base.assumed, "energy", "area"))),
    )


def cell_read_energy(conductance: float, voltage: float, time: float) -> float:
    """Joule of one cell of `conductance` (S) under `voltage` (V) for `time` (s): G V² t, without
    wires.
    """
    return conductance * voltage**2 * time


def storage_area(weights: float, bits: int, component: Component, node: float) -> float:
    """m² of the cells alone that hold `weights` numbers of `bits` bits in cells of a kind "cell"
    component at `node` (m).
    """
    if component.bits is None:
        raise ConfigError(f"component {component.name} states no bits, those that a cell holds")
    return weights * bits / component.bits * component.at(node).area
