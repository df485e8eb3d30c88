"""What a reader must know before believing the figures of a run."""

from __future__ import annotations

from collections.abc import Iterable

from xbarsim.report.device_remarks import assumed_values, outside_ranges
from xbarsim.report.page.run_record import RunRecord
from xbarsim.report.steps import MatrixSummary, ProductSummary
from xbarsim.report.summary import CaseSummary

SATURATED = 0.01  # share of conversions above which a matrix is named
MOST_NAMED = 3  # matrices of a sentence


def alarms(record: RunRecord) -> tuple[str, ...]:
    """What makes figures wrong or incomplete."""
    run = record.summary.run
    found = []
    if not run.complete:
        found.append(
            "Incomplete: the run was interrupted, or is under way; figures cover the examples that are finished."
        )
    found += [f"Damaged: {what}; figures cover what can be read." for what in record.summary.damage]
    return tuple(found)


def sentences(record: RunRecord) -> tuple[str, ...]:
    """What matters besides: ranges that were left, settings without effect, prices, notes."""
    found: list[str] = []
    found += _outside(record)
    for case in record.cases:
        found += _saturated(case)
    found += [f"No effect: {_ended(sentence)}" for sentence in record.summary.idle_settings]
    found += _prices(record.cases)
    cut = record.summary.run.truncated_sentences
    if cut:
        found.append(f"{cut} sentences were cut to the model's or the study's maximum length.")
    found += [_ended(f"Note: {note}") for note in record.summary.notes]
    found += [_ended(f"Note: {note}") for note in record.not_joined]
    return tuple(dict.fromkeys(found))


def assumptions(record: RunRecord) -> tuple[str, ...]:
    """Every value of devices and chips that has no source but an assumption."""
    found = [_ended(sentence) for sentence in assumed_values(record.sources.devices)]
    for row in record.rows:
        found += [f"chip {row.result.chip}: {what}" for what in row.result.assumed]
    return tuple(dict.fromkeys(found))


def _ended(sentence: str) -> str:
    return sentence.removesuffix(".") + "."


def _outside(record: RunRecord) -> list[str]:
    """Conditions beyond what devices state, each with the cases that have it."""
    cases: dict[str, list[str]] = {}
    for name, study in record.studies.items():
        device = record.sources.devices.get(study.device.name)
        if device is not None:
            for sentence in outside_ranges(study, device):
                cases.setdefault(sentence, []).append(name)
    return [
        f"Outside the valid range: {sentence} ({_names(names)})."
        for sentence, names in cases.items()
    ]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _saturated(case: CaseSummary) -> list[str]:
    """The matrices and products of a case whose converters are often at their ends."""
    steps: list[MatrixSummary | ProductSummary] = [*case.layers, *case.products]
    found = [step for step in steps if step.adc_saturated > SATURATED]
    if not found:
        return []
    found.sort(key=lambda step: -step.adc_saturated)
    named = ", ".join(
        f"{step.name} {100 * step.adc_saturated:.1f} %" for step in found[:MOST_NAMED]
    )
    more = len(found) - MOST_NAMED
    if more > 0:
        named += f" and {more} more"
    return [
        f"Saturated converters in “{case.name}”: ADC conversions that were held at the end of their range, {named}."
    ]


def _prices(cases: Iterable[CaseSummary]) -> list[str]:
    parts = sorted({part for case in cases for part in case.cost.assumed})
    if not parts:
        return []
    return [f"Assumed prices: the energy of {', '.join(parts)} rests on a price without a source."]
