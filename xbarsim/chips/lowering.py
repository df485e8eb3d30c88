"""What lowering to any chip of circuits shares: the host, and the way in and out."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from xbarsim.chips.files.chip import Circuits
from xbarsim.chips.plans import Cost, Plan, Workload, scaled
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import INPUT, Kind, Link, Step

C = TypeVar("C", bound=Circuits)
ON_HOST = "steps on the host pay for the link, not for the host's own energy and time"


class Lowering(ABC, Generic[C]):
    """A workload on its way to a chip; `notes` collects what a reader must know."""

    def __init__(self, chip: C, workload: Workload) -> None:
        self.chip = chip
        self.workload = workload
        self.notes: list[str] = []

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

    def host(self, step: Step, bits: int) -> Cost:
        """A step on the host: its operands leave and its result returns over the link.

        The residual of a layer norm does not leave: it is the result of the host's norm before, or
        the model's input.
        """
        second = step.second if step.kind is Kind.PRODUCT else 0
        crossing = (step.values_in + second + step.values_out) * bits
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
        after: tuple[Link, ...] | None = None,
    ) -> Stage:
        """`after` : in place of that of the step."""
        return Stage(
            name=step.name,
            layer=step.layer,
            tokens=tokens,
            service=cost.service,
            fill=max(cost.fill, cost.service),
            resource=resource,
            after=step.after if after is None else after,
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
    return step.name.removeprefix(f"layer.{step.layer}.")
