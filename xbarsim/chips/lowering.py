"""What lowering to any chip of circuits shares: the host, and the way in and out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from xbarsim.chips.files.chip import Circuits
from xbarsim.chips.plans import Cache, CachePlace, Cost, Phase, Plan, Workload, mean, scaled
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import INPUT, Kind, Link, Role, Step, short_name

C = TypeVar("C", bound=Circuits)
ON_HOST = "steps on the host pay for the link, not for the host's own energy and time"


class Lowering(ABC, Generic[C]):
    """A workload on its way to a chip; `notes` collects what a reader must know."""

    def __init__(self, chip: C, workload: Workload) -> None:
        self.chip = chip
        self.workload = workload
        self.notes: list[str] = []
        self._means: dict[Role, Cost] = {}

    @abstractmethod
    def plan(self) -> Plan:
        """The stages of the workload and the parts that they take.

        Raises
        ------
        ConfigError : the chip cannot hold the model
        """

    def note(self, text: str) -> None:
        """Say it, once."""
        if text not in self.notes:
            self.notes.append(text)

    def over_tokens(self, step: Step, cost_of: Callable[[Step], Cost]) -> Cost:
        """Cost of a step, the mean over the tokens where every one sees a key more."""
        if not self.workload.grows(step):
            return cost_of(step)
        if step.role not in self._means:  # all layers have the same
            lengths = range(1, self.workload.sequence + 1)
            self._means[step.role] = mean(
                cost_of(self.workload.at_length(step, length)) for length in lengths
            )
        return self._means[step.role]

    def cache(self, place: CachePlace, value_bits: int) -> Cache | None:
        """The keys and values of the workload, if it keeps them."""
        if not self.workload.caches:
            return None
        return Cache(self.workload.cache_size(value_bits), place)

    def beyond_the_buffer(self, value_bits: int, copies: dict[str, int]) -> bool:
        """Whether keys and values are more than the buffers hold.

        copies : {level: how many of it on all chips}
        """
        if not self.workload.caches:
            return False
        capacity = 0.0
        if "buffer" in self.chip.by_role:
            level = self.chip.by_role["buffer"].part.level
            capacity = self.chip.buffer_capacity * copies[level] / 8
        return self.workload.cache_size(value_bits) > capacity

    def buffered_values(self, step: Step) -> int:
        """Values that a step moves through the buffer for one token.

        In decode no other token shares the cached keys and values, so that all of them are read.
        """
        if step.kind is Kind.PRODUCT and self.workload.phase is Phase.DECODE:
            return step.values + (self.workload.sequence - 1) * step.second
        return step.values

    def off_chip(self, step: Step, value_bits: int, tokens: int, chips: int) -> Stage:
        """Keys or values of a product from off-chip memory, and those of new tokens to it.

        Nothing there depends on the token, so they are brought ahead of time.  In prefill they are
        written once and read once.
        """
        self.note(
            f"keys and values exceed the buffers and lie in {self.chip.cache_component.name} off "
            "the chip"
        )
        read = 1
        if self.workload.phase is Phase.DECODE:
            read = self.workload.sequence
        bits = (read + 1) * step.second * value_bits
        time = bits / (self.chip.cache_rate * chips)
        return Stage(
            name=f"{step.name}.cache",
            layer=step.layer,
            tokens=tokens,
            service=time,
            fill=time,
            resource="off-chip memory",
            after=(),
            events={"cache-memory": bits * tokens},
            step=f"{step.role}.cache",
        )

    def host(self, step: Step, bits: int) -> Cost:
        """A step on the host: its operands leave and its result returns over the link.

        The residual of a layer norm does not leave: it is the result of the host's norm before, or
        the model's input.
        """
        second = step.second if step.kind is Kind.PRODUCT else 0
        crossing = (step.values_in + second + step.values_out) * bits  # the host keeps the cache
        time = crossing / self.chip.rate("link")
        self.note(ON_HOST)
        return Cost(self.chip.moved(link=crossing), time, time)

    def stage(
        self,
        step: Step,
        cost: Cost,
        *,
        resource: str,
        tokens: int,
        after: tuple[Link, ...],
    ) -> Stage:
        """The step as a stage that comes after these."""
        return Stage(
            name=step.name,
            layer=step.layer,
            tokens=tokens,
            service=cost.service,
            fill=max(cost.fill, cost.service),
            resource=resource,
            after=after,
            events=scaled(cost.events, tokens),
            step=label_of(step),
        )

    def ports(self, stages: list[Stage], bits: int, tokens: int) -> tuple[Stage, ...]:
        """Stages with the input brought in before the first and the result taken out after the
        last.
        """
        hidden = self.workload.shape.hidden * bits
        entry = self.crossing(INPUT, hidden, tokens, after=())
        result = self.crossing("result", hidden, tokens, after=(Link(stages[-1].name),))
        return (entry, *stages, result)

    def crossing(self, name: str, bits: int, tokens: int, *, after: tuple[Link, ...]) -> Stage:
        """So many bits of every token over the link."""
        time = bits / self.chip.rate("link")
        return Stage(
            name=name,
            layer=None,
            tokens=tokens,
            service=time,
            fill=time,
            resource="link",
            after=after,
            events=self.chip.moved(link=bits * tokens),
        )


def label_of(step: Step) -> str:
    """What a step is called in any layer."""
    return short_name(step.name, step.layer)
