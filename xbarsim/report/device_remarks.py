"""What a device does in a study: effects that act, conditions that its file is not valid for, and what
the file assumes."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from xbarsim.base.errors import ValidRangeWarning
from xbarsim.base.toml_files import parse, validated
from xbarsim.config.study import Study
from xbarsim.devices.conditions import SWITCHED_TABLES, Conditions, Effect, effects_on
from xbarsim.devices.file import DeviceFile
from xbarsim.report.budget_text import title_of


def outside_ranges(study: Study, device: str) -> list[str]:
    """Sentences on the conditions of a study that the text of its device file is not valid for.

    A study with `device.outside_range = "error"` has none, or it would not have run.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ValidRangeWarning)
        _conditions(study, device).check()
    return [str(found.message) for found in caught]


def _conditions(study: Study, device: str) -> Conditions:
    chosen = study.device
    where = f"device {chosen.name}"
    file: DeviceFile = validated(DeviceFile, parse(device, where), where)
    if chosen.minimum_us is not None or chosen.maximum_us is not None:
        file = file.within(chosen.minimum_us, chosen.maximum_us, where)
    return Conditions(
        name=chosen.name,
        file=file,
        effects=effects_on(study.effects),
        time=chosen.time_s,
        temperature=chosen.temperature_k,
        write=chosen.write,
        reads=chosen.reads,
        outside_range="warn",
    )


def acting_effects(study: Study, device: str) -> list[str]:
    """Effects that are on in a study and that the text of its device file states, in words."""
    conditions = _conditions(study, device)
    file = conditions.active
    found = {table: getattr(file, table) is not None for table in SWITCHED_TABLES}
    acting = [SWITCHED_TABLES[table] for table, is_stated in found.items() if is_stated]
    if file.conductance.levels_us and Effect.LEVELS in conditions.effects:
        acting.append(Effect.LEVELS)
    noise = file.read_noise
    if noise is not None:
        stated = {
            Effect.READ_NOISE: noise.relative_sigma > 0,
            Effect.FLICKER: noise.flicker is not None,
            Effect.TELEGRAPH: noise.telegraph is not None,
        }
        acting += [
            one for one, is_there in stated.items() if is_there and one in conditions.effects
        ]
    return [title_of(effect) for effect in dict.fromkeys(acting)]


def assumed_values(files: Mapping[str, str]) -> list[str]:
    """Sentences on what device files {name: text} say is assumed."""
    return [
        f"device {name}, {table}: {source.removeprefix('assumed: ')}"
        for name, text in files.items()
        for table, source in _sources(tomllib.loads(text), "")
        if "assumed" in source
    ]


def _sources(content: Any, table: str) -> Iterator[tuple[str, str]]:
    """(table, its source) of a file, however deep."""
    if isinstance(content, list):
        for entry in content:
            yield from _sources(entry, table)
    if not isinstance(content, dict):
        return
    if isinstance(content.get("source"), str):
        yield table, content["source"]
    for name, inner in content.items():
        yield from _sources(inner, f"{table}.{name}".lstrip("."))
