"""What a chip is asked for and what that takes: workloads, plans, costs, in counts and seconds.

Nothing is priced here.  Every action is one of the component that plays its role.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Step
from xbarsim.models.shapes import Shape, operations

Actions = dict[str, float]  # {role: how often its components act}


def total(parts: list[Actions]) -> Actions:
    """The sum of actions, role by role."""
    summed: Actions = {}
    for actions in parts:
        for role, count in actions.items():
            summed[role] = summed.get(role, 0.0) + count
    return summed


def scaled(actions: Actions, factor: float) -> Actions:
    """So many times the actions."""
    return {role: count * factor for role, count in actions.items()}


def shared(actions: Actions, number: float) -> Actions:
    """The actions of one of so many."""
    return {role: count / number for role, count in actions.items()}


@dataclass(frozen=True)
class Workload:
    """A model, and how many sequences of how many tokens are there at once.

    model : what results call it
    """

    model: str
    shape: Shape
    sequence: int
    batch: int

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        return operations(self.shape, self.sequence)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sequence."""
        return self.sequence * sum(step.macs for step in self.steps)


@dataclass(frozen=True)
class Plan:
    """A model lowered to a chip.

    copies : {level: how many of it on all chips}
    utilisation : share of the allocated cells that hold weights; None where there are none
    replication : copies of the model
    jobs : that enter one after the other
    programming_pulses : write pulses that put the model on the chip once; None where nothing is
        programmed
    notes : what a reader must know
    """

    copies: dict[str, int]
    chips: int
    utilisation: float | None
    replication: int
    jobs: int
    stages: tuple[Stage, ...]
    programming_pulses: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """Per token: actions, service and fill in s; arrays that hold the matrix."""

    events: Actions
    service: float
    fill: float
    arrays: int = 0


@dataclass(frozen=True)
class Lowered:
    """A model lowered to a chip and scheduled: all that the prices of components do not change.

    latency : s until the whole batch is done
    interval : s between sequences in steady state
    stages : of the plan, or one that stands for all of them
    """

    plan: Plan
    latency: float
    interval: float
    stages: tuple[Stage, ...]

    def merged(self) -> "Lowered":
        """The same with one stage "all" that has the actions of all: enough for a figure of the
        whole.
        """
        events = total([stage.events for stage in self.stages])
        every = Stage(
            name="all",
            layer=None,
            tokens=1,
            service=0.0,
            fill=0.0,
            resource="all",
            after=(),
            events=events,
        )
        return replace(self, stages=(every,))
