"""Plans, costs and what moves, of a model on a chip of any kind."""

import math
from dataclasses import dataclass

from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Kind
from xbarsim.models.shapes import operations

ACTIVATION_ROLE = {Kind.SOFTMAX: "softmax", Kind.NORM: "layer-norm", Kind.ACTIVATION: "gelu"}

# Keys of the tables of a chip file that say where steps run, and how many products they take.
OPERATION_KEY = {
    Kind.PRODUCT: "attention",
    Kind.SOFTMAX: "softmax",
    Kind.NORM: "layer_norm",
    Kind.ACTIVATION: "gelu",
}
RESULT_BITS = 16  # of a partial sum in tile registers


@dataclass(frozen=True)
class Plan:
    """A model lowered to a chip.

    copies : {level: how many of it on all chips};  utilisation : share of the allocated cells that
        hold weights
    replication : copies of the model;  jobs : that enter one after the other
    programming_pulses : write pulses that put the model on the chip once;  notes : what a reader
        must know
    """

    copies: dict
    chips: int
    utilisation: float
    replication: int
    jobs: int
    stages: tuple
    programming_pulses: float
    notes: tuple


@dataclass(frozen=True)
class Cost:
    """Per token: events {role: actions}, service and fill in s; arrays that hold the matrix."""

    events: dict
    service: float
    fill: float
    arrays: int = 0


def moved(chip, **bits):
    """Events {role: actions} of those memories, buses, routers and links that the chip has, for
    bits that they move.
    """
    return {
        role: count / _width(chip, role)
        for role, count in bits.items()
        if count and role in chip.by_role
    }


def rate(chip, role):
    """Bits per second of a part; infinite where it has no rate."""
    part, component = chip.by_role[role]
    return (
        math.inf if component.delay is None else _width(chip, role) * part.count / component.delay
    )


def _width(chip, role):
    component = chip.by_role[role][1]
    return component.bits if component.action in ("access", "flit") else 1


class Lowering:
    """What both kinds share: the host, and the way in and out."""

    def __init__(self, chip, shape, sequence, batch):
        self.chip, self.shape, self.sequence, self.batch = chip, shape, sequence, batch
        self.operations = operations(shape, sequence)
        self.notes = []

    def host(self, op, bits):
        """A step on the host: its operands leave and its result returns over the link.

        The residual of a layer norm does not leave: it is the result of the host's norm before, or
        the model's input.
        """
        second = op.second if op.kind is Kind.PRODUCT else 0
        crossing = (op.values_in + second + op.values_out) * bits
        time = crossing / rate(self.chip, "link")
        note = "steps on the host pay for the link, not for the host's own energy and time"
        if note not in self.notes:
            self.notes.append(note)
        return Cost(moved(self.chip, link=crossing), time, time)

    def stage(self, op, cost, resource, tokens, after=None):
        return Stage(
            op.name,
            op.layer,
            tokens,
            cost.service,
            max(cost.fill, cost.service),
            resource,
            op.after if after is None else after,
            {role: n * tokens for role, n in cost.events.items()},
        )

    def ports(self, stages, bits, tokens):
        """Stages with the input brought in before the first and the result taken out after the
        last.
        """
        time = self.shape.hidden * bits / rate(self.chip, "link")
        events = moved(self.chip, link=self.shape.hidden * bits * tokens)
        entry = Stage("input", 0, tokens, time, time, "link", (), events)
        return (
            entry,
            *stages,
            Stage(
                "result",
                self.shape.layers - 1,
                tokens,
                time,
                time,
                "link",
                ((stages[-1].name, False),),
                events,
            ),
        )
