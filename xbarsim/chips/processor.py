"""Chips of kind processor: GPUs and TPUs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xbarsim.base.errors import ConfigError
from xbarsim.base.toml_files import Presets, validated
from xbarsim.base.units import GIGA, MILLI, SQUARE_MILLIMETRE
from xbarsim.chips.files.chip import ReadEnergy
from xbarsim.chips.files.processor import Measured, ProcessorFile
from xbarsim.chips.lowering import label_of
from xbarsim.chips.plans import Cache, CachePlace, Lowered, Phase, Plan, Workload
from xbarsim.chips.result import Bill, Line, Peak
from xbarsim.chips.schedule import Stage
from xbarsim.models.graph import Step
from xbarsim.models.shapes import load_shape

TERA = 1e12
ROLE = "processor"  # that all its work is of
CHIPS = Presets("chip", "chips")


@dataclass(frozen=True)
class Latency:
    """s of a batch, and where the figure comes from."""

    seconds: float
    note: str


class Processor(ProcessorFile):
    def lower(self, workload: Workload) -> Lowered:
        latency = self.latency(workload)
        cache = None
        held: float = workload.weights * self.bytes_per_value
        if workload.caches:
            cache = Cache(workload.cache_size(8 * self.bytes_per_value), CachePlace.MEMORY)
            held += cache.size
        chips = max(1, math.ceil(held / (self.memory_gib * 2**30)))
        seconds = latency.seconds
        note = latency.note
        if chips > 1:
            note += f"; {chips} chips for the weights, taken to share the work without loss"
            seconds /= chips
        stages = tuple(_stage(step, workload.macs_of(step)) for step in workload.steps if step.macs)
        plan = Plan(
            copies={"chip": chips},
            chips=chips,
            utilisation=None,
            replication=1,
            jobs=1,
            stages=stages,
            programming_pulses=None,
            notes=(note,),
            cache=cache,
        )
        return Lowered(plan, seconds, seconds / workload.batch, stages)

    def price(
        self, lowered: Lowered, workload: Workload, read_energy: ReadEnergy | None = None
    ) -> Bill:
        """The energy is shared among the steps by their multiply-accumulates."""
        chips = lowered.plan.chips
        latency = self.latency(workload).seconds  # of one chip, were it to do all the work
        energy = self.power_w * self.power_fraction * latency / workload.batch
        per_token = workload.macs / workload.tokens
        lines = []
        for stage in lowered.stages:
            macs = stage.events[ROLE]
            joules = energy * (macs / workload.tokens) / per_token
            lines.append(
                Line(
                    role=ROLE,
                    stage=stage.name,
                    layer=stage.layer,
                    step=stage.label,
                    actions=macs,
                    joules=joules,
                )
            )
        return Bill(
            lines=tuple(lines),
            area_by_role={ROLE: chips * self.area_mm2 * SQUARE_MILLIMETRE},
            programming_energy=None,
            read_energy="included in the power of the processor",
            notes=(f"{self.power_fraction:g} of {self.power_w:g} W while it computes",),
        )

    def peak(self, name: str) -> Peak:
        raise ConfigError(f"{name} is a processor: its power and area are given, not rolled up")

    def latency(self, workload: Workload) -> Latency:
        """Measured where there is one, otherwise from the rate that it reached on the nearest
        amounts of work of the same model, or of any model if that one was not measured; without
        measurements from the share of its peak that another processor reaches.
        """
        if workload.phase is not Phase.PASS:
            return self.roofline(workload)
        if not self.measured:
            return self._as_another(workload)
        points = [point for point in self.measured if point.precision == self.precision]
        asked = workload.model, workload.sequence, workload.batch
        for point in points:
            if (point.model, point.sequence, point.batch) == asked:
                seconds = point.latency_ms * MILLI
                return Latency(seconds, f"latency measured ({self.precision})")
        points = [point for point in points if point.model == workload.model] or points
        work = workload.macs * workload.batch
        return Latency(
            work / reached(points, work), f"latency estimated from {len(points)} measured points"
        )

    def roofline(self, workload: Workload) -> Latency:
        """At best: all arithmetic at the peak rate, or every weight once and the keys and values
        through the memory, whichever takes longer.

        In decode keys and values of the context are read and those of one token written; in prefill
        all are written and read once.

        Raises
        ------
        ConfigError : no bandwidth in the file
        """
        if self.memory_gb_per_s is None:
            raise ConfigError(
                "the processor's file states no memory_gb_per_s, which prefill and decode are "
                "derived from"
            )
        cached = workload.cache_size(8 * self.bytes_per_value)
        crossing = 2 * cached
        if workload.phase is Phase.DECODE:
            crossing = cached * (1 + 1 / workload.sequence)
        moved = workload.weights * self.bytes_per_value + crossing
        moving = moved / (self.memory_gb_per_s * GIGA)
        computing = 2 * workload.macs * workload.batch / (self.peak_tops[self.precision] * TERA)
        limit = "memory" if moving > computing else "arithmetic"
        return Latency(
            max(moving, computing),
            f"latency derived, no measurement: roofline of its {limit} ({self.precision})",
        )

    def _as_another(self, workload: Workload) -> Latency:
        other = self._measured_processor()
        ratio = (
            self.peak_tops[self.precision]
            / other.peak_tops[other.precision]
            * self.utilisation_ratio
        )
        return Latency(
            other.latency(workload).seconds / ratio,
            f"no published latency: {self.utilisation_ratio:g} times the share of its peak that "
            f"{self.utilisation_of} reaches",
        )

    def _measured_processor(self) -> "Processor":
        """The processor of `utilisation_of`."""
        name = str(self.utilisation_of)
        content = CHIPS.content(name)
        if content.get("kind") != "processor" or not content.get("measured"):
            raise ConfigError(
                f"utilisation_of = {name!r} must be a processor with [[measured]] latencies"
            )
        other: Processor = validated(Processor, content, f"chip {name}")
        return other


def _stage(step: Step, macs: int) -> Stage:
    return Stage(
        name=step.name,
        layer=step.layer,
        tokens=1,
        service=0.0,
        fill=0.0,
        resource=ROLE,
        after=(),
        events={ROLE: macs},
        step=label_of(step),
    )


def reached(points: Sequence[Measured], work: float) -> float:
    """MACs per second at an amount of work (MACs), between the two nearest measured points
    (log-log interpolation, held at the ends).
    """
    curve: dict[float, float] = {}
    for point in points:
        asked = Workload(point.model, load_shape(point.model), point.sequence, point.batch)
        done = asked.macs * point.batch
        curve[done] = max(curve.get(done, 0.0), done / (point.latency_ms * MILLI))
    amounts = sorted(curve)
    if work <= amounts[0]:
        return curve[amounts[0]]
    if work >= amounts[-1]:
        return curve[amounts[-1]]
    high = next(k for k, amount in enumerate(amounts) if amount >= work)
    left = amounts[high - 1]
    right = amounts[high]
    position = math.log(work / left) / math.log(right / left)
    return float(curve[left] ** (1 - position) * curve[right] ** position)
