"""Actions become joules, and parts square metres."""

from xbarsim.chips.files.chip import Circuits, ReadEnergy
from xbarsim.chips.peak import NOT_RUNNING
from xbarsim.chips.plans import Lowered, Phase, Workload
from xbarsim.chips.result import Bill, Line
from xbarsim.chips.schedule import Stage, schedule

STATIC = "static"  # the stage of energy that flows whatever runs
ARRAY_READS = ("array", "cell")


def lowered(chip: Circuits, workload: Workload) -> Lowered:
    """The plan of a workload on a chip of circuits, scheduled."""
    plan = chip.plan(workload)
    timing = schedule(plan.stages)
    latency = timing.of(plan.jobs)
    interval = latency / workload.batch
    if plan.jobs > 1:
        interval = timing.interval * plan.jobs / workload.batch
    if workload.phase is Phase.DECODE:  # sequences follow each other; each waits for its last token
        latency = max(timing.latency, timing.interval * plan.jobs)
        interval = latency / workload.batch
    return Lowered(plan, latency, interval, plan.stages)


def bill(
    chip: Circuits, lowered: Lowered, workload: Workload, read_energy: ReadEnergy | None
) -> Bill:
    """Energy and area of a workload on a chip of circuits; see `Chip.price`."""
    plan = lowered.plan
    prices = chip.prices()
    share = plan.jobs / workload.batch  # of a stage's events that one sequence pays for
    lines = []
    for stage in lowered.stages:
        solved = None
        if read_energy and stage.name in read_energy:
            solved = read_energy[stage.name] * stage.tokens
        lines += _lines(stage, prices, share, solved)
    static = _static_power(chip, plan.copies)
    if static:
        joules = static * lowered.latency / workload.batch
        lines.append(
            Line(role="leakage", stage=STATIC, layer=None, step=STATIC, actions=None, joules=joules)
        )
    programming = None
    if plan.programming_pulses is not None:
        programming = plan.programming_pulses * prices["cell-write"]
    source = chip.read_energy_source
    if read_energy:
        source = "circuit solve of the trace (cells and wires)"
    return Bill(tuple(lines), _areas(chip, plan.copies), programming, source)


def _lines(
    stage: Stage, prices: dict[str, float], share: float, solved: float | None
) -> list[Line]:
    """Lines of a stage, of which an inference pays a share; `solved` : J of its array reads."""
    lines = []
    for role, count in stage.events.items():
        joules = count * prices[role]
        if role in ARRAY_READS and solved is not None:
            joules = solved
        lines.append(
            Line(
                role=role,
                stage=stage.name,
                layer=stage.layer,
                step=stage.label,
                actions=count * share,
                joules=joules * share,
            )
        )
    return lines


def _areas(chip: Circuits, copies: dict[str, int]) -> dict[str, float]:
    areas: dict[str, float] = {}
    for part, component in chip.parts:
        count = chip.part_count(part) * copies[part.level]
        areas[part.role] = areas.get(part.role, 0.0) + count * component.area
    return areas


def _static_power(chip: Circuits, copies: dict[str, int]) -> float:
    """W of leakage, and of what is always on."""
    static = 0.0
    for part, component in chip.parts:
        count = chip.part_count(part) * copies[part.level]
        running = 0.0
        if part.role not in NOT_RUNNING:
            running = component.peak_power - component.leakage
        static += count * (component.leakage + chip.idle_fraction * running)
    return static
