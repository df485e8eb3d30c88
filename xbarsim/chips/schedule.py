"""When the steps of a model run: a pipeline of stages; some wait for the first token of another,
some for the last.

Tokens of one job (a sequence, or a whole batch) pass a stage one every `service` seconds and leave
it `fill` seconds after they entered.  Stages that name the same resource take turns in their order.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One step of one layer on one chip.

    tokens : that pass in a job; service : s between two tokens; fill : s from in to out, at least
        `service`
    resource : stages of the same resource exclude each other;  after : ((name of an earlier stage,
        waits for its last), ...)
    events : {role: actions in a job}
    """

    name: str
    layer: int
    tokens: float
    service: float
    fill: float
    resource: str
    after: tuple
    events: dict


@dataclass(frozen=True)
class Timing:
    """Seconds: latency of one job alone, interval between jobs in steady state, {stage: (start,
    end)}, {resource: busy}.
    """

    latency: float
    interval: float
    spans: dict
    busy: dict

    def of(self, jobs):
        """Seconds until the last of `jobs` identical jobs that enter one after the other is done."""
        return self.latency + (jobs - 1) * self.interval


def schedule(stages):
    """Timing of stages in execution order.

    A stage starts when its resource is free, when the first token has left the stages it streams
    from and the last token those it waits for.  It ends no earlier than the last token of a stage
    it streams from plus its own fill.  Identical jobs follow each other at the pace of the busiest
    resource.
    """
    first, last, free, busy, spans = {}, {}, {}, {}, {}
    for stage in stages:
        start = max(
            [free.get(stage.resource, 0.0)]
            + [(last if waits else first)[name] for name, waits in stage.after]
        )
        ends = [start + stage.fill + max(stage.tokens - 1, 0) * stage.service]
        ends += [last[name] + stage.fill for name, waits in stage.after if not waits]
        first[stage.name], last[stage.name] = start + stage.fill, max(ends)
        free[stage.resource] = last[stage.name] - stage.fill + stage.service
        busy[stage.resource] = busy.get(stage.resource, 0.0) + stage.tokens * stage.service
        spans[stage.name] = (start, last[stage.name])
    return Timing(max(last.values()), max(busy.values()), spans, busy)
