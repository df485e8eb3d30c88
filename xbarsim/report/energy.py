"""What the counted events of a trace cost, by the prices of the component library."""

from collections.abc import Sequence
from dataclasses import dataclass

from xbarsim.chips.components import adc, dac, load_component
from xbarsim.studies.trace import TracedMatrix, TracedProduct

ADC = "ADC"
DAC = "DAC"
ARRAY = "array (cells and wires)"
SHIFT_ADD = "shift-and-add"
SCALES = "scales of inputs"


@dataclass(frozen=True)
class Cost:
    """Per example.

    events : {event: count};  energy : {part: joule}
    assumed : parts priced without a sourced figure
    """

    events: dict[str, float]
    energy: dict[str, float]
    assumed: tuple[str, ...]

    @property
    def joules(self) -> float:
        return sum(self.energy.values())


def cost_of(steps: Sequence[TracedMatrix | TracedProduct], examples: int) -> Cost:
    """Of measured steps: counted events times the component library's energy per action, and the
    array energy of the circuit solve.

    examples : of all rows of one step
    """
    energy, assumed = _energy(steps, examples)
    rows = [step.rows for step in steps]
    events = {
        "tile_reads": sum(int(of_step.tile_reads.sum()) for of_step in rows),
        "adc_conversions": sum(int(of_step.adc_conversions.sum()) for of_step in rows),
        "dac_drives": sum(int(of_step.dac_drives.sum()) for of_step in rows),
        "shift_adds": sum(int(of_step.shift_adds.sum()) for of_step in rows),
    }
    for event in ("comparisons", "multiplications"):
        count = sum(int(getattr(of_step, event).sum()) for of_step in rows)
        if count:
            events[event] = count
    per_example = {event: count / examples for event, count in events.items()}
    return Cost(per_example, energy, assumed)


def _energy(
    steps: Sequence[TracedMatrix | TracedProduct], examples: int
) -> tuple[dict[str, float], tuple[str, ...]]:
    """({part: joule per example}, parts with an assumed price)."""
    shift_add = load_component("shift-and-add-32nm")
    compare = load_component("compare-16b-40nm")
    multiply = load_component("multiply-16b-40nm")
    energy = {ADC: 0.0, DAC: 0.0, ARRAY: 0.0, SHIFT_ADD: 0.0}
    assumed = set()
    for step in steps:
        rows = step.rows
        bits = step.attributes
        energy[ARRAY] += rows.array_energy.sum()
        priced = [(SHIFT_ADD, rows.shift_adds, shift_add)]
        if rows.comparisons.any() or rows.multiplications.any():
            energy.setdefault(SCALES, 0.0)
            priced.append((SCALES, rows.comparisons, compare))
            priced.append((SCALES, rows.multiplications, multiply))
        if bits.adc_bits:
            priced.append((ADC, rows.adc_conversions, adc(bits.adc_bits)))
        if bits.dac_bits:
            priced.append((DAC, rows.dac_drives, dac(bits.dac_bits)))
        for part, counts, component in priced:
            energy[part] += counts.sum() * component.energy
            if component.assumed:
                assumed.add(part)
    per_example = {part: float(total / examples) for part, total in energy.items()}
    return per_example, tuple(sorted(assumed))
