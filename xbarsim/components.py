"""The component library: energy per action, area and delay of every block beside the cells (data/components/*.toml).

Units in the files are those of the keys (pJ, µm², ns, µW, nm); a `Component` is in SI units.  A value listed under
`assumed` has no published figure; its `<key>_range` is what a report should sweep.
"""
import functools
import importlib.resources
import tomllib
from dataclasses import dataclass, replace

from xbarsim.errors import ConfigError
from xbarsim.units import MICRO, NANO, PICO, SQUARE_MICROMETRE

_SCALE = {"energy": ("energy_pj", PICO), "area": ("area_um2", SQUARE_MICROMETRE), "delay": ("delay_ns", NANO),
          "leakage": ("leakage_uw", MICRO)}


@dataclass(frozen=True)
class Component:
    """One block at one node.

    energy : J per `action`; area : m²; delay : s or None; leakage : W; node : m; bits : resolution, word width or None
    assumed : names of the quantities without a published figure; ranges : {quantity: (low, high)} in SI units
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
    source: str
    assumed: tuple[str, ...]
    ranges: dict


@functools.cache
def library():
    """{name: Component} of every file in data/components."""
    found = {}
    for entry in importlib.resources.files("xbarsim.data").joinpath("components").iterdir():
        if entry.name.endswith(".toml"):
            for name, values in tomllib.loads(entry.read_text()).items():
                found[name] = _component(name, values)
    return found


def _component(name, values):
    numbers = {quantity: values[key] * scale for quantity, (key, scale) in _SCALE.items() if key in values}
    ranges = {quantity: tuple(bound * scale for bound in values[f"{key}_range"])
              for quantity, (key, scale) in _SCALE.items() if f"{key}_range" in values}
    delay = numbers.get("delay", MICRO / values["rate_mhz"] if "rate_mhz" in values else None)
    return Component(name, values["kind"], values["action"], values["node_nm"] * NANO, numbers["energy"],
                     numbers["area"], delay, numbers.get("leakage", 0.0), values.get("bits"), values["source"],
                     tuple(values.get("assumed", ())), ranges)


def load_component(name):
    """The Component of a name.

    Raises
    ------
    ConfigError : unknown name
    """
    try:
        return library()[name]
    except KeyError:
        raise ConfigError(f"no component {name!r} in the library; it holds {', '.join(sorted(library()))}") from None


def adc(bits):
    """The converter of `bits` bits: flash up to 3, SAR above.

    Beyond the highest resolution every further bit doubles energy and area (a constant Walden figure of merit), which
    counts as assumed.
    """
    return _of_bits("adc", "-flash-" if bits < 4 else "-sar-", bits)


def dac(bits):
    """The word-line driver of `bits` bits.  A resolution that the library lacks is priced as the next higher one, or by
    doubling per bit above the highest, and counts as assumed."""
    return _of_bits("dac", "", bits)


def _of_bits(kind, word, bits):
    known = {c.bits: c for name, c in library().items() if c.kind == kind and word in name}
    if bits in known:
        return known[bits]
    above = [b for b in known if b > bits]
    base = known[min(above)] if above else known[max(known)]
    factor = 1.0 if above else 2.0 ** (bits - base.bits)
    return replace(base, bits=bits, energy=base.energy * factor, area=base.area * factor,
                   assumed=(*base.assumed, "energy", "area"))
