"""A run as a part of a page."""

from __future__ import annotations

from xbarsim.report.page import (
    cost_section,
    error_section,
    key_section,
    metric_section,
    origin_section,
    remarks,
    tile_section,
    token_section,
    training_section,
)
from xbarsim.report.page.contents import Block, Fold, Part, Points, Section
from xbarsim.report.page.metric_words import capital, last_name, words_of
from xbarsim.report.page.run_record import RunRecord


def run_part(record: RunRecord, against: str | None = None) -> Part:
    """Everything that a trace says, all of its cases.

    against : a key of the study over which the metric is drawn
    """
    summary = record.summary
    words = words_of(summary.run.metric)
    metric: list[Block] = [
        *key_section.blocks(summary, against, words),
        *metric_section.blocks(summary, words),
    ]
    hardware: list[Block] = []
    if record.cases:
        hardware = [tile_section.table(record.cases), *tile_section.distributions(record)]
    return Part(
        title=summary.study,
        subtitle=f"{last_name(summary.run.model)} on {last_name(summary.run.task)}: {summary.examples:,} examples, "
        f"{summary.tokens:,} tokens",
        verdict=metric_section.verdict(summary, words),
        cards=metric_section.cards(summary, record.rows, words),
        alarms=remarks.alarms(record),
        sections=(
            Section(capital(words.name), metric),
            Section("Predicted tokens", token_section.blocks(summary)),
            Section("What to know of these figures", _remarks(record)),
            Section("Errors through the network", error_section.blocks(record.cases)),
            Section("Wires", tile_section.wires(record)),
            Section("Cells and converters", hardware),
            Section("Energy and area", cost_section.blocks(record.cases, record.rows)),
            Section("How the model was trained", training_section.blocks(summary.training)),
            Section("What was run, and how to repeat it", origin_section.blocks(record)),
        ),
    )


def _remarks(record: RunRecord) -> list[Block]:
    found: list[Block] = []
    said = remarks.sentences(record)
    if said:
        found.append(Points(said))
    assumed = remarks.assumptions(record)
    if assumed:
        found.append(Fold(f"Assumed values: {len(assumed)}", (Points(assumed),)))
    return found
