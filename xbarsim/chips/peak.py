"""A chip of circuits flat out, the way architecture papers state power and area."""

from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.chips.files.chip import Circuits
from xbarsim.chips.result import Level, Peak, PeakRow, UnitProduct

NOT_RUNNING = ("cell-write", "dram")  # roles that do not work while the arrays are read


@dataclass(frozen=True)
class Nested:
    """A level, and how many of the level before are in one of it."""

    level: str
    below: int


def peak_of(
    chip: Circuits, nested: Iterable[Nested], *, shared: str, product: UnitProduct | None
) -> Peak:
    """Peak of a chip from its parts.

    nested : levels from the smallest on;  shared : level of which the converters' shares are stated
    """
    levels = []
    power = area = adc_power = adc_area = 0.0
    power_share = area_share = 0.0
    for step in nested:
        rows = _rows(chip, step.level)
        converters = [row for row in rows if row.role == "adc"]
        power = power * step.below + sum(row.power for row in rows)
        area = area * step.below + sum(row.area for row in rows)
        adc_power = adc_power * step.below + sum(row.power for row in converters)
        adc_area = adc_area * step.below + sum(row.area for row in converters)
        levels.append(Level(step.level, rows, power, area))
        if step.level == shared:
            power_share = adc_power / power
            area_share = adc_area / area
    return Peak(tuple(levels), power_share, area_share, product)


def _rows(chip: Circuits, level: str) -> tuple[PeakRow, ...]:
    rows = []
    for part, component in chip.parts:
        if part.level == level and part.role not in NOT_RUNNING:
            count = chip.part_count(part)
            rows.append(
                PeakRow(part.role, count, count * component.peak_power, count * component.area)
            )
    return tuple(rows)
