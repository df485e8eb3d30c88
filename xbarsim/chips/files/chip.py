"""What every kind of chip says of itself, and what it must be able to do."""

import functools
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.base.units import NANO
from xbarsim.chips.components import Component
from xbarsim.chips.files.parts import Assumed, Fitted, Part, resolve
from xbarsim.chips.plans import Actions, Lowered, Plan, Workload
from xbarsim.chips.result import Bill, Peak
from xbarsim.config.tables import Table

ReadEnergy = Mapping[str, float]  # {matrix: J per token} of a trace's circuit solve


class Chip(Table):
    """A chip of any kind.

    LEVELS : where its parts may lie;  read_energy of `price` : of a trace's circuit solve, or None
    """

    LEVELS: ClassVar[tuple[str, ...]] = ()

    kind: str
    description: str
    source: str = Field(min_length=1)
    node_nm: float = Field(gt=0)
    assumed: tuple[Assumed, ...] = ()

    @property
    def node(self) -> float:
        """m"""
        return self.node_nm * NANO

    @property
    def own_components(self) -> dict[str, dict[str, Any]]:
        """`[component]` of the file."""
        return {}

    @property
    def parts(self) -> tuple[Fitted, ...]:
        return ()

    @property
    def derived_counts(self) -> dict[str, float]:
        """{role: components in each of its level} that follow from the organisation."""
        return {}

    @abstractmethod
    def contradictions(self) -> Iterator[str]:
        """What in the file cannot be together, a sentence each."""

    @abstractmethod
    def lower(self, workload: Workload) -> Lowered:
        """What the workload takes on this chip, in counts and seconds.

        Raises
        ------
        ConfigError : the chip cannot hold the model
        """

    @abstractmethod
    def price(
        self, lowered: Lowered, workload: Workload, read_energy: ReadEnergy | None = None
    ) -> Bill:
        """Energy and area of what the chip has been lowered to."""

    @abstractmethod
    def peak(self, name: str) -> Peak:
        """The chip, called so in messages, flat out.

        Raises
        ------
        ConfigError : a chip whose power and area are given, not rolled up
        """


class Circuits(Chip):
    """What in-situ and synergy chips share: parts of components."""

    idle_fraction: float = Field(
        0.0, ge=0, le=1, description="share of the peak power that flows all the time"
    )
    over_capacity: Literal["chips", "reload"] = Field(
        "chips",
        description="a model that does not fit: more chips, or weights brought from off-chip DRAM "
        "in every pass",
    )
    cache_memory: str = Field(
        "hbm2-bit",
        description="component off the chip for keys and values that its buffers cannot hold",
    )
    part: tuple[Part, ...] = Field(min_length=1)
    component: dict[str, dict[str, Any]] = Field(
        {}, description="own components; `base` names one to start from"
    )

    @property
    def own_components(self) -> dict[str, dict[str, Any]]:
        return self.component

    @functools.cached_property
    def parts(self) -> tuple[Fitted, ...]:
        return tuple(
            Fitted(part, resolve(part.component, self.component).at(self.node))
            for part in self.part
        )

    @functools.cached_property
    def by_role(self) -> dict[str, Fitted]:
        """{role: part and component}; a role may be played by one part only."""
        return {fitted.part.role: fitted for fitted in self.parts}

    @abstractmethod
    def plan(self, workload: Workload) -> Plan:
        """The stages of a workload and the parts that they take."""

    @abstractmethod
    def prices(self) -> dict[str, float]:
        """{role: J per action}"""

    @property
    @abstractmethod
    def read_energy_source(self) -> str:
        """Where the energy of array reads comes from."""

    @functools.cached_property
    def cache_component(self) -> Component:
        """Off-chip memory of keys and values, by the bit."""
        return resolve(self.cache_memory, self.component).at(self.node)

    @property
    def cache_rate(self) -> float:
        """Bits per second of the off-chip memory of one chip; infinite where it has no rate."""
        delay = self.cache_component.delay
        return math.inf if delay is None else 1 / delay

    @property
    def buffer_capacity(self) -> float:
        """Bits that the buffers of one unit of their level hold; 0 without buffers or where their
        component states no capacity_bits.
        """
        if "buffer" not in self.by_role:
            return 0.0
        part, component = self.by_role["buffer"]
        return self.part_count(part) * (component.capacity or 0)

    def part_count(self, part: Part) -> float:
        """Components of a part in each of its level."""
        count = self.derived_counts.get(part.role, part.count)
        if count is None:
            raise ConfigError(f"part {part.role} needs a count")
        return count

    def delay(self, role: str) -> float:
        """s between two actions of one component of a role in TIMED."""
        component = self.by_role[role].component
        if component.delay is None:
            raise ConfigError(f"part {role}: {component.name} states no delay_ns or rate_mhz")
        return component.delay

    def moved(self, **bits: float) -> Actions:
        """Actions of those memories, buses, routers and links that the chip has, for bits that
        they move.
        """
        return {
            role: count / self._width(role)
            for role, count in bits.items()
            if count and role in self.by_role
        }

    def rate(self, role: str) -> float:
        """Bits per second of a part; infinite where it has no rate."""
        part, component = self.by_role[role]
        if component.delay is None:
            return math.inf
        return self._width(role) * self.part_count(part) / component.delay

    def _width(self, role: str) -> int:
        return width(self.by_role[role].component)


def width(component: Component) -> int:
    """Bits that one action of a memory, bus, router or link moves."""
    if component.action not in ("access", "flit") or component.bits is None:
        return 1
    return component.bits


def missing(roles: Mapping[str, Fitted], needed: Mapping[str, bool]) -> Iterator[str]:
    """A sentence for every role that is needed and absent."""
    for role, wanted in needed.items():
        if wanted and role not in roles:
            yield f"a [[part]] with role {role!r} is needed and absent"
