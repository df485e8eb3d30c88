"""What a chip is asked for and what that takes: workloads, plans, costs, in counts and seconds.

Nothing is priced here.  Every action is one of the component that plays its role.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Role, Step
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


# Steps whose size grows with the keys that a token sees.
GROWING = (Role.ATTENTION_SCORES, Role.ATTENTION_SOFTMAX, Role.ATTENTION_CONTEXT)


class Phase(StrEnum):
    """What happens to the tokens of a sequence."""

    PASS = "pass"  # all go through together; products that a mask hides are computed all the same
    PREFILL = "prefill"  # the same for a prompt, whose masked products are left out
    DECODE = "decode"  # one more token after those that are there


class CachePlace(StrEnum):
    """Where a decoder's keys and values lie between two tokens."""

    BUFFER = "buffer"
    OFF_CHIP = "off chip"
    CELLS = "cells"
    HOST = "host"
    MEMORY = "memory"  # of a processor


@dataclass(frozen=True)
class Cache:
    """Keys and values of all sequences."""

    size: float  # bytes
    place: CachePlace


@dataclass(frozen=True)
class Workload:
    """A model, and how many sequences of how many tokens are there at once.

    model : what results call it
    sequence : tokens; in decode the context, the new token included
    output_matrix : whether the logits of the vocabulary are computed, of one token of a sequence
    """

    model: str
    shape: Shape
    sequence: int
    batch: int
    phase: Phase = Phase.PASS
    output_matrix: bool = False

    @property
    def tokens(self) -> int:
        """Of one sequence that go through the model."""
        return 1 if self.phase is Phase.DECODE else self.sequence

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        return operations(self.shape, self.sequence, self.output_matrix)

    @cached_property
    def weights(self) -> int:
        """Of all matrices."""
        return sum(step.weights for step in self.steps)

    @property
    def caches(self) -> bool:
        """Whether keys and values are kept for tokens to come."""
        return self.phase is not Phase.PASS

    def cache_size(self, value_bits: int) -> float:
        """Bytes of the keys and values of all sequences."""
        return self.shape.cached_values * self.sequence * self.batch * value_bits / 8

    def tokens_of(self, step: Step) -> int:
        """Tokens of a sequence that go through a step: logits are of the last one."""
        return 1 if step.role is Role.LOGITS else self.tokens

    def grows(self, step: Step) -> bool:
        """Whether every token sees one key more in this step than the token before."""
        return self.phase is Phase.PREFILL and step.role in GROWING

    def at_length(self, step: Step, length: int) -> Step:
        """A step that grows, for a token that sees so many keys."""
        if step.role is Role.ATTENTION_SCORES:
            return replace(step, outputs=length)
        if step.role is Role.ATTENTION_CONTEXT:
            return replace(step, inputs=length)
        scores = step.inputs // self.sequence * length
        return replace(step, inputs=scores, outputs=scores)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sequence."""
        return sum(self.macs_of(step) for step in self.steps)

    def macs_of(self, step: Step) -> int:
        """Multiply-accumulates of one sequence in a step."""
        if self.grows(step):
            return step.macs // self.sequence * (self.sequence * (self.sequence + 1) // 2)
        return step.macs * self.tokens_of(step)


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
    cache : keys and values of a decoder, where they are kept
    """

    copies: dict[str, int]
    chips: int
    utilisation: float | None
    replication: int
    jobs: int
    stages: tuple[Stage, ...]
    programming_pulses: float | None
    notes: tuple[str, ...]
    cache: Cache | None = None


@dataclass(frozen=True)
class Cost:
    """Per token: actions, service and fill in s; arrays that hold the matrix."""

    events: Actions
    service: float
    fill: float
    arrays: int = 0


def mean(costs: Iterable[Cost]) -> Cost:
    """The mean of costs, that of a token among those of all lengths."""
    number = 0
    events: Actions = {}
    service = 0.0
    fill = 0.0
    for cost in costs:
        number += 1
        events = total([events, cost.events])
        service += cost.service
        fill += cost.fill
    return Cost(events=shared(events, number), service=service / number, fill=fill / number)


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
        """The same with one stage "all" that has the actions of all, and a plan without its own:
        enough for a figure of the whole.
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
        return replace(self, plan=replace(self.plan, stages=()), stages=(every,))
