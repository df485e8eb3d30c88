"""The component library: energy per action, area and rate of every block of a chip
(data/components/*.toml).

Units in the files are those of the keys (pJ, mW, µm², F², ns, MHz, µW, nm); a `Component` is in SI
units.  A quantity listed under `assumed` has no published figure; its `<key>_range` is what reports
name and sweep.  Files are taken to another node by the stated rules of data/scaling.toml.
"""

import functools
import importlib.resources
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field, model_validator

from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.toml_files import packaged, validated
from xbarsim.base.units import MEGA, MICRO, MILLI, NANO, PICO, SQUARE_MICROMETRE
from xbarsim.config.tables import Table

QUANTITIES = ("energy", "area", "delay", "leakage")
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
    def _consistent(self):
        for one, other in (("energy_pj", "power_mw"), ("area_um2", "area_f2")):
            if (getattr(self, one) is None) == (getattr(self, other) is None):
                raise ValueError(f"give either {one} or {other}")
        if self.delay_ns is not None and self.rate_mhz is not None:
            raise ValueError("give delay_ns or rate_mhz, not both")
        if self.power_mw is not None and self.rate_mhz is None:
            raise ValueError("power_mw needs the rate_mhz at which it was measured")
        for quantity, key in KEYS.items():
            bounds, value = getattr(self, f"{key}_range"), getattr(self, key)
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
    ranges: dict

    @property
    def peak_power(self):
        """W when every action follows the last at once; leakage alone where no rate is known."""
        return self.leakage + (0.0 if self.delay is None else self.energy / self.delay)

    def at(self, node):
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
        return self._times(factor, node=node)

    def _times(self, factor, **changes):
        values = {
            q: getattr(self, q) if getattr(self, q) is None else getattr(self, q) * factor[q]
            for q in QUANTITIES
        }
        ranges = {
            q: tuple(bound * factor[q] for bound in bounds) for q, bounds in self.ranges.items()
        }
        return replace(self, **values, ranges=ranges, **changes)


@functools.cache
def scaling_rules():
    """data/scaling.toml: the text of each rule and the supply voltage of each node."""
    return packaged("scaling.toml")


def _supply(node):
    table = scaling_rules()["supply_v"]
    key = f"{node / NANO:g}nm"
    if key not in table:
        raise OutOfRangeError(
            f"no supply voltage for {key}, which scaling a digital component needs; known nodes: "
            f"{', '.join(table)}; add one to scaling.toml or give the component at the chip's node"
        )
    return table[key]


def parse_component(name, values, where):
    """Component of one entry of a file.

    Raises
    ------
    ConfigError : unknown or contradictory keys, values out of range; `where` names the file in the
        message
    """
    entry = validated(ComponentFile, values, f"{where}: component {name}")
    energy = (
        entry.energy_pj * PICO
        if entry.power_mw is None
        else entry.power_mw * MILLI / (entry.rate_mhz * MEGA)
    )
    area = (
        entry.area_f2 * (entry.node_nm * NANO) ** 2
        if entry.area_um2 is None
        else entry.area_um2 * SQUARE_MICROMETRE
    )
    delay = (
        1 / (entry.rate_mhz * MEGA) if entry.rate_mhz else entry.delay_ns and entry.delay_ns * NANO
    )
    ranges = {
        quantity: tuple(bound * SCALE[quantity] for bound in bounds)
        for quantity, key in KEYS.items()
        if (bounds := getattr(entry, f"{key}_range")) is not None
    }
    return Component(
        name,
        entry.kind,
        entry.action,
        entry.node_nm * NANO,
        energy,
        area,
        delay,
        entry.leakage_uw * MICRO,
        entry.bits,
        entry.scaling,
        entry.source,
        entry.assumed,
        ranges,
    )


@functools.cache
def library_entries():
    """{name: table as written} of every file in data/components."""
    found = {}
    for entry in importlib.resources.files("xbarsim.data").joinpath("components").iterdir():
        if entry.name.endswith(".toml"):
            found |= packaged(f"components/{entry.name}")
    return found


@functools.cache
def library():
    """{name: Component} of every file in data/components."""
    return {
        name: parse_component(name, values, "data/components")
        for name, values in library_entries().items()
    }


def load_component(name):
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


def adc(bits, rate=None):
    """The converter of `bits` bits: flash up to 3, SAR above.

    Beyond the highest resolution every further bit doubles energy and area (a constant Walden
    figure of merit), which counts as assumed: at least that, at most four times per bit (limited by
    thermal noise).  `rate` (Hz) above that of one converter interleaves several: their number times
    the area, the same energy per conversion.
    """
    found = _of_bits("adc", "-flash-" if bits < 4 else "-sar-", bits)
    ways = 1 if rate is None else -(-rate * found.delay // 1)
    return (
        found
        if ways <= 1
        else found._times({"energy": 1, "area": ways, "delay": 1 / ways, "leakage": ways})
    )


def dac(bits):
    """The word-line driver of `bits` bits.  A resolution that the library lacks is priced as the
    next higher one, or by doubling per bit above the highest, and counts as assumed."""
    return _of_bits("dac", "", bits)


def _of_bits(kind, word, bits):
    known = {c.bits: c for name, c in library().items() if c.kind == kind and word in name}
    if bits in known:
        return known[bits]
    above = [b for b in known if b > bits]
    base = known[min(above)] if above else known[max(known)]
    low, value, high = (
        (2.0 ** (bits - base.bits), 1.0, 1.0)
        if above
        else (1.0, 2.0 ** (bits - base.bits), 4.0 ** (bits - base.bits))
    )
    ranges = {
        quantity: (getattr(base, quantity) * low, getattr(base, quantity) * high)
        for quantity in ("energy", "area")
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


def cell_read_energy(conductance, voltage, time):
    """Joule of one cell of `conductance` (S) under `voltage` (V) for `time` (s): G V² t, without
    wires.
    """
    return conductance * voltage**2 * time


def storage_area(weights, bits, component, node):
    """m² of the cells alone that hold `weights` numbers of `bits` bits in cells of a kind "cell"
    component at `node` (m).
    """
    return weights * bits / component.bits * component.at(node).area
