"""When the steps of a model run: a pipeline of stages; some wait for the first token of another,
some for the last.

Tokens of one job (a sequence, or a whole batch) pass a stage one every `service` seconds and leave
it `fill` seconds after they entered.  Stages that name the same resource take turns in their order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.models.graph import Link


@dataclass(frozen=True)
class Stage:
    """One step of one layer on one chip.

    layer : None outside the layers
    tokens : that pass in a job; service : s between two tokens; fill : s from in to out, at least
        `service`
    resource : stages of the same resource exclude each other
    after : earlier stages
    events : {role: actions in a job}
    step : what it is in its layer; the name where absent
    """

    name: str
    layer: int | None
    tokens: float
    service: float
    fill: float
    resource: str
    after: tuple[Link, ...]
    events: dict[str, float]
    step: str | None = None

    @property
    def label(self) -> str:
        """What it is, in any layer."""
        return self.name if self.step is None else self.step


@dataclass(frozen=True)
class Timing:
    """Seconds: latency of one job alone, interval between jobs in steady state, {stage: (start,
    end)}, {resource: busy}.
    """

    latency: float
    interval: float
    spans: dict[str, tuple[float, float]]
    busy: dict[str, float]

    def of(self, jobs: int) -> float:
        """Seconds until the last of `jobs` identical jobs that enter one after the other is done."""
        return self.latency + (jobs - 1) * self.interval


def schedule(stages: Iterable[Stage]) -> Timing:
    """Timing of stages in execution order.

    A stage starts when its resource is free, when the first token has left the stages it streams
    from and the last token those it waits for.  It ends no earlier than the last token of a stage
    it streams from plus its own fill.  Identical jobs follow each other at the pace of the busiest
    resource.
    """
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    free: dict[str, float] = {}
    busy: dict[str, float] = {}
    spans: dict[str, tuple[float, float]] = {}
    for stage in stages:
        starts = [free.get(stage.resource, 0.0)]
        ends = []
        for name, waits in stage.after:
            starts.append(last[name] if waits else first[name])
            if not waits:
                ends.append(last[name] + stage.fill)
        start = max(starts)
        ends.append(start + stage.fill + max(stage.tokens - 1, 0) * stage.service)
        first[stage.name] = start + stage.fill
        last[stage.name] = max(ends)
        free[stage.resource] = last[stage.name] - stage.fill + stage.service
        busy[stage.resource] = busy.get(stage.resource, 0.0) + stage.tokens * stage.service
        spans[stage.name] = (start, last[stage.name])
    return Timing(latency=max(last.values()), interval=max(busy.values()), spans=spans, busy=busy)
