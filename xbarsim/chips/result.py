"""What is said of a chip: a model on it, or the chip flat out."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from xbarsim.base.errors import OutOfRangeError
from xbarsim.chips.plans import Cache, Phase


@dataclass(frozen=True)
class Line:
    """Energy of the components of one role in one stage, per inference.

    layer : None outside the layers;  step : what the stage is, in any layer
    actions : None where none are counted (leakage)
    """

    role: str
    stage: str
    layer: int | None
    step: str
    actions: float | None
    joules: float

    @property
    def place(self) -> str:
        """The number of the layer; the name of the stage outside them."""
        return self.stage if self.layer is None else str(self.layer)


@dataclass(frozen=True)
class Bill:
    """Energy per inference and area (m²) of a model on a chip.

    programming_energy : J to put the model on the chips once; None where nothing is programmed
    read_energy : where the energy of array reads comes from;  notes : what a reader must know
    """

    lines: tuple[Line, ...]
    area_by_role: dict[str, float]
    programming_energy: float | None
    read_energy: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RollUp:
    """A model on a chip.  Energies, actions and area-delay product are per inference (one
    sequence; in decode one token of it).

    sequence : tokens; in decode the context, the new token included
    tokens : of one sequence that go through the model
    area : m², all chips;  area_by_role : {role: m²}
    latency : s until the whole batch is done; in decode until every sequence has its next token
    interval : s between sequences (in decode: tokens) in steady state
    first_token : s from a batch of prompts to their first new tokens; None but in prefill, decode
    cache : keys and values of a decoder; None but in prefill, decode
    macs : per sequence
    copies : {level: how many of it on all chips}
    utilisation : share of the allocated cells that hold weights; None where there are none
    programming_energy : J to put the model on the chips once; None where nothing is programmed
    read_energy : where the energy of array reads comes from
    notes, assumed : what a reader must know
    """

    chip: str
    model: str
    sequence: int
    batch: int
    lines: tuple[Line, ...]
    area: float
    area_by_role: dict[str, float]
    latency: float
    interval: float
    macs: float
    chips: int
    copies: dict[str, int]
    utilisation: float | None
    replication: int
    programming_energy: float | None
    read_energy: str
    notes: tuple[str, ...]
    assumed: tuple[str, ...]
    phase: Phase
    tokens: int
    cache: Cache | None
    first_token: float | None = None

    @property
    def energy(self) -> dict[tuple[str, str], float]:
        """{(role, stage): J}"""
        return {(line.role, line.stage): line.joules for line in self.lines}

    @property
    def events(self) -> dict[tuple[str, str], float]:
        """{(role, stage): actions}"""
        return {
            (line.role, line.stage): line.actions for line in self.lines if line.actions is not None
        }

    @property
    def joules(self) -> float:
        return math.fsum(line.joules for line in self.lines)

    @property
    def energy_per_token(self) -> float:
        return self.joules / self.tokens

    @property
    def time_per_sequence(self) -> float:
        return self.latency / self.batch

    @property
    def tokens_per_second(self) -> float:
        """Of all sequences of the batch."""
        return self.tokens * self.batch / self.latency

    @property
    def asked(self) -> str:
        """What it is of, for headings."""
        tokens = {
            Phase.PASS: f"{self.sequence} tokens",
            Phase.PREFILL: f"prefill, {self.sequence} tokens",
            Phase.DECODE: f"decode, context {self.sequence}",
        }
        return f"{self.model}, {tokens[self.phase]}, batch {self.batch}"

    @property
    def inference(self) -> str:
        """What its energies are per."""
        return "token" if self.phase is Phase.DECODE else "sequence"

    @property
    def cache_bytes(self) -> float | None:
        return None if self.cache is None else self.cache.size

    @property
    def cache_place(self) -> str | None:
        return None if self.cache is None else str(self.cache.place)

    @property
    def area_delay(self) -> float:
        """m² s: area times the time of one sequence of the batch."""
        return self.area * self.time_per_sequence

    @property
    def operations_per_second(self) -> float:
        """Two per multiply-accumulate."""
        return 2 * self.macs / self.time_per_sequence

    @property
    def operations_per_joule(self) -> float:
        return 2 * self.macs / self.joules

    @property
    def power(self) -> float:
        return self.joules / self.time_per_sequence

    def by_component(self) -> dict[str, float]:
        """{role: J}, largest first."""
        return _largest_first(self._grouped(lambda line: line.role))

    def by_layer(self) -> dict[str, float]:
        """{layer number, or "input", "result", "static": J} in order."""
        found = self._grouped(lambda line: line.place)
        return {place: found[place] for place in sorted(found, key=lambda name: (len(name), name))}

    def by_step(self) -> dict[str, float]:
        """{step, such as query: J}, summed over layers, largest first."""
        return _largest_first(self._grouped(lambda line: line.step))

    def _grouped(self, name: Callable[[Line], str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for line in self.lines:
            found[name(line)] = found.get(name(line), 0.0) + line.joules
        return found


def _largest_first(found: dict[str, float]) -> dict[str, float]:
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def checked(result: RollUp) -> RollUp:
    """The RollUp, whose area, times and energies must be numbers.

    Raises
    ------
    OutOfRangeError : infinity or NaN; names the figure and what it is made of
    """
    named = {
        "area (m²)": result.area,
        "latency (s)": result.latency,
        "interval (s)": result.interval,
        "first token (s)": result.first_token or 0.0,
        "energy (J)": result.joules,
        "programming energy (J)": result.programming_energy or 0.0,
    }
    for role, area in result.area_by_role.items():
        named[f"area of {role} (m²)"] = area
    for line in result.lines:
        named[f"energy of {line.role} in {line.stage} (J)"] = line.joules
    wrong = [f"{name} = {value}" for name, value in named.items() if not math.isfinite(value)]
    if wrong:
        raise OutOfRangeError(
            f"{result.chip} on {result.model}: {', '.join(wrong[:3])} is no number; look at the "
            "components and counts behind it, which are too large or too small to multiply"
        )
    return result


# ---------------------------------------------------------------- flat out


@dataclass(frozen=True)
class PeakRow:
    """A part in one unit, tile, dense array, crossbar or chip: W and m² of all its components."""

    role: str
    count: float
    power: float
    area: float


@dataclass(frozen=True)
class Level:
    """Peak power (W) and area (m²) of one unit, tile, dense array, crossbar or chip, parts of lower
    levels included.

    rows : its own parts
    """

    name: str
    rows: tuple[PeakRow, ...]
    power: float
    area: float


@dataclass(frozen=True)
class UnitProduct:
    """One vector through the largest matrix (inputs, outputs) of a unit: s, J spent in the unit,
    ADC conversions per MAC; operations_per_second is that of all units of a chip, or of a tile
    where the model sets the size of the chip.
    """

    inputs: int
    outputs: int
    time: float
    energy: float
    conversions_per_mac: float
    operations_per_second: float

    @property
    def macs(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Peak:
    """A chip flat out.  `product` is None for other kinds than in-situ, and where twin arrays of a
    weight exceed a unit.

    adc_power_share, adc_area_share : of a tile (in-situ) or a crossbar (synergy)
    """

    levels: tuple[Level, ...]
    adc_power_share: float
    adc_area_share: float
    product: UnitProduct | None

    def level(self, name: str) -> Level:
        return next(level for level in self.levels if level.name == name)
