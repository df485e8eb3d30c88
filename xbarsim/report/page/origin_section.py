"""What was run, on what hardware, and how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from xbarsim.config.study import Study
from xbarsim.report.device_remarks import acting_effects
from xbarsim.report.page.contents import Block, Command, Facts, Fold, Grid, Listing
from xbarsim.report.page.metric_words import capital, last_name
from xbarsim.report.page.run_record import RunRecord


def blocks(record: RunRecord) -> list[Block]:
    """Model, task and seeds; the physics of every case; commands, and the texts behind them."""
    return [_facts(record), *_physics(record), *_repeating(record), *_texts(record)]


def _facts(record: RunRecord) -> Facts:
    summary = record.summary
    run = summary.run
    chips = sorted({study.chip for study in record.studies.values() if study.chip is not None})
    chips += sorted({row.result.chip for row in record.rows} - set(chips))
    rows = [
        ("Study", summary.study),
        ("Model", f"{run.model} (sha256 {run.model_sha256[:12]}…)"),
        ("Task", f"{run.task} (sha256 {run.task_sha256[:12]}…)"),
        (
            "Evaluated",
            f"{summary.examples:,} examples, {summary.tokens:,} tokens, by {run.metric} with the head {run.head}",
        ),
        ("Chips priced", ", ".join(chips) or "none: no case names one"),
        ("Seed", str(run.seed)),
        ("Simulated chips", _chips(record)),
        ("Software", f"xbarsim {run.software_version}"),
        ("Run", run.created),
        ("Trace", summary.path),
    ]
    return Facts(tuple(rows))


def _chips(record: RunRecord) -> str:
    """Of every case, where they differ."""
    counts = {case.name: len(case.chips.values) for case in record.cases}
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values()))} of every case"
    return ", ".join(f"{count} of {name}" for name, count in counts.items()) or "none"


# ---------------------------------------------------------------- physics


def _physics(record: RunRecord) -> list[Block]:
    """What all cases have in common, and what differs."""
    found = {name: _facts_of(study, record) for name, study in record.studies.items()}
    if not found:
        return []
    facts = list(dict.fromkeys(fact for of_case in found.values() for fact in of_case))
    values = {fact: _values(found.values(), fact) for fact in facts}
    shared = {fact: cells[0] for fact, cells in values.items() if len(set(cells)) == 1}
    blocks: list[Block] = [Facts(tuple((capital(fact), cell) for fact, cell in shared.items()))]
    differing = {fact: cells for fact, cells in values.items() if fact not in shared}
    if differing:
        blocks.append(
            Grid(
                key="physics",
                header=("what differs", *found),
                rows=tuple((fact, *cells) for fact, cells in differing.items()),
            )
        )
    return blocks


def _values(of_cases: Iterable[Mapping[str, str]], fact: str) -> list[str]:
    """A fact of every case."""
    return [of_case.get(fact, "–") for of_case in of_cases]


def _facts_of(study: Study, record: RunRecord) -> dict[str, str]:
    device = record.sources.devices.get(study.device.name)
    effects = "not known: an older trace"
    if device is not None:
        effects = ", ".join(acting_effects(study, device)) or "none"
    facts = {"device": study.device.name, "effects of cells": effects, "wires": _wires(study)}
    attention = {"products in attention": study.products.attention.replace("_", " ")}
    if study.products.weights == "computation":
        counting = study.computation
        return {
            **facts,
            "products of weights": "counted on computation crossbars",
            "crossbar": f"{counting.word_lines} × {counting.bit_lines} cells",
            "ADC": f"{counting.adc_bits} bits",
            **attention,
        }
    mapping = study.mapping
    return {
        **facts,
        "read": _time(study),
        "tile": f"{mapping.word_lines} × {mapping.bit_lines} cells",
        "weights": _weights(study),
        **_lines(study),
        "DAC": _bits(study.dac.bits, is_on=study.effects.with_dac),
        "ADC": _bits(study.adc.bits, is_on=study.effects.with_adc),
        **attention,
    }


def _time(study: Study) -> str:
    time = study.device.time_s
    if time is None:
        return "at the earliest time that the device states"
    return f"{time:g} s after the write"


def _weights(study: Study) -> str:
    mapping = study.mapping
    cells = "cells with a digital offset"
    if mapping.sign == "pair":
        cells = "a pair of cells"
    if mapping.encoding == "amplitude":
        return f"{cells}, one analog level each"
    if mapping.encoding != "slices":
        array = "" if mapping.array == "single" else f", {mapping.array} arrays"
        return f"{cells}, {mapping.encoding} weights{array}"
    text = f"{cells}, {mapping.weight_bits} bits in slices of {mapping.bits_per_cell}"
    if mapping.crosspoint == "weighted":
        text += ", each in as many binary cells in parallel"
    return text


def _lines(study: Study) -> dict[str, str]:
    """What a study states of lines and of what stands beside them; nothing of defaults."""
    found = {}
    mapping = study.mapping
    orders = {"word lines": mapping.row_order, "bit lines": mapping.column_order}
    chosen = [f"{lines} by {way}" for lines, way in orders.items() if way != "none"]
    if chosen:
        found["places of lines"] = ", ".join(chosen).replace(
            "by assigned", "by stuck cells, assigned"
        )
    beside = []
    if study.correction.rows == "raised":
        beside.append("rows raised")
    if study.correction.columns == "dummy":
        beside.append("dummy columns")
    if beside:
        found["losses made up for"] = ", ".join(beside)
    if study.model.convolution == "sub_image":
        found["convolutions"] = f"sub-images of at most {study.model.sub_image_rows} inputs"
    return found


def _wires(study: Study) -> str:
    if not study.effects.with_wires:
        return "without resistance"
    word_line, bit_line = study.wires.resistances()
    return f"{word_line:.3g} Ω a cell along word lines, {bit_line:.3g} Ω along bit lines"


def _bits(bits: int | str, *, is_on: bool) -> str:
    if not is_on or bits == "ideal":
        return "ideal"
    return f"{bits} bits"


# ---------------------------------------------------------------- again


def _repeating(record: RunRecord) -> list[Block]:
    trace = record.summary.path
    return [
        Command(
            shlex.join(["xbarsim", "run", "--from", trace]),
            "The same run again, from the study and files that the trace holds; it says whether the bits are the "
            "same:",
        ),
        Command(
            shlex.join(["xbarsim", "run", f"{record.summary.study}.toml"]),
            "The same study from its text, which is below and complete, defaults included:",
        ),
        Command(
            shlex.join(["xbarsim", "report", trace, "--json"]), "Every figure of this page as JSON:"
        ),
    ]


def _texts(record: RunRecord) -> list[Block]:
    listings: list[Block] = [
        Fold("The study", (Listing(f"{record.summary.study}.toml", record.summary.run.study),))
    ]
    for name, text in record.sources.devices.items():
        listings.append(Fold(f"Device {name}", (Listing(_file(name), text),)))
    for name, text in record.sources.chips.items():
        listings.append(Fold(f"Chip {name}", (Listing(_file(name), text),)))
    return listings


def _file(name: str) -> str:
    """The name of the file of a device or a chip, which may be a path."""
    last = last_name(name)
    return last.removesuffix(".toml") + ".toml"
