"""Settings of a study that have no effect: refused, or said with the result.

A key that a study states matters if, in at least one of its cases, at least one step of the model
asks for it.  `idle_rules` says when a step does; a key without a rule always matters.
"""

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xbarsim.arrays.in_situ.encoding import has_signs
from xbarsim.base.errors import ConfigError
from xbarsim.base.table_keys import stated_keys
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.hardware.idle_conditions import Rule
from xbarsim.hardware.idle_rules import rules_of
from xbarsim.hardware.place import Place
from xbarsim.models.graph import Graph, Kind

NEAREST = 3  # names that are proposed in the place of one that matches nothing


@dataclass(frozen=True)
class CasePlaces:
    """A case of a study, and the places of all steps of the model in it."""

    name: str
    study: Study
    places: Sequence[Place]


@dataclass(frozen=True)
class _Stated:
    """Keys {path: value} that a study or one of its `[[layer]]` tables states, and the places that
    they are for.

    prefix : of the keys in a sentence
    """

    prefix: str
    keys: dict[str, Any]
    places: Sequence[Place]


@dataclass
class _Key:
    """What is known of a key over all cases."""

    value: Any
    needs: str
    matters: bool = field(default=False)


def places(settings: Mapping[str, Study], device: DeviceModel, graph: Graph) -> list[Place]:
    """Place of every step of a model in one case of a study: matrices, products, functions.

    settings : {step: the study as it applies to it}
    """
    steps = (*graph.matrices, *graph.products, *graph.functions)
    return [Place(step, settings[step.name], device) for step in steps]


def refuse(case: CasePlaces) -> None:
    """Refuse what cannot be meant in a case.

    Raises
    ------
    ConfigError : a `[[layer]]` that matches no step; a temperature or reads of a device that has no
        table for them
    """
    names = [place.step.name for place in case.places]
    for entry in case.study.layer:
        if not fnmatch.filter(names, entry.match):
            near = difflib.get_close_matches(entry.match, names, NEAREST, cutoff=0.0)
            raise ConfigError(
                f"case {case.name!r}: [[layer]] match = {entry.match!r} matches no matrix, product "
                f"or function of the model; names are such as {', '.join(near)}, with * for any "
                "part"
            )
    for place in case.places:
        if place.in_situ and place.step.kind is Kind.PRODUCT and has_signs(place.study.mapping):
            raise ConfigError(
                f"case {case.name!r}: {place.step.name} writes activations into cells, and "
                f'mapping.encoding = "{place.study.mapping.encoding}" keeps their signs alone; '
                f"allowed: another encoding by a [[layer]] table that matches {place.step.name!r}, "
                'or products.attention = "digital"'
            )
    device = case.places[0].device
    stated = case.study.device
    if stated.temperature_k is not None and device.file.temperature is None:
        raise _without_table(case, "temperature_k", stated.temperature_k, "temperature")
    fitted = case.study.correction.fitted_s
    if fitted is not None and stated.time_s is None:
        raise ConfigError(
            f"case {case.name!r}: correction.fitted_s = {fitted:g} s needs device.time_s, the time "
            "when the weights are used"
        )
    if stated.reads and device.file.read_disturb is None:
        raise _without_table(case, "reads", stated.reads, "read_disturb")


def _without_table(case: CasePlaces, key: str, value: float, table: str) -> ConfigError:
    device = case.places[0].device
    return ConfigError(
        f"case {case.name!r}: device.{key} = {value:g} has no effect, because device "
        f"{device.name} has no [{table}]; remove the key or choose a device that has one"
    )


def idle_settings(cases: Sequence[CasePlaces]) -> list[str]:
    """Sentences on the settings that matter to no step in any case."""
    found: dict[str, _Key] = {}
    for case in cases:
        for stated in _stated(case):
            for path, value in stated.keys.items():
                _look_at(found, stated, path, value)
    sentences = [
        f"{label} = {key.value!r} has no effect in this study: it needs {key.needs}"
        for label, key in found.items()
        if not key.matters
    ]
    return sentences + _curves(cases)


def _look_at(found: dict[str, _Key], stated: _Stated, path: str, value: Any) -> None:
    rules = rules_of(path)
    needs = " and ".join(dict.fromkeys(rule.needs for rule in rules))
    key = found.setdefault(stated.prefix + path, _Key(value, needs))
    if not rules or any(_hold(rules, place) for place in stated.places):
        key.matters = True


def _hold(rules: Sequence[Rule], place: Place) -> bool:
    return all(rule.holds(place) for rule in rules)


def _stated(case: CasePlaces) -> Iterator[_Stated]:
    """The keys of a case, and of each of its `[[layer]]` tables."""
    own = case.study.model_dump(exclude={"layer", "case"}, exclude_unset=True)
    yield _Stated("", stated_keys(own), case.places)
    for entry in case.study.layer:
        matched = [place for place in case.places if fnmatch.fnmatch(place.step.name, entry.match)]
        keys = entry.model_dump(exclude={"match"}, exclude_unset=True)
        yield _Stated(f"[[layer]] {entry.match!r} ", stated_keys(keys), matched)


def _curves(cases: Iterable[CasePlaces]) -> list[str]:
    """Sentences on the current-voltage curves of devices, which only `Crossbar` knows."""
    devices = {}
    for case in cases:
        for place in case.places:
            if place.programmed:
                devices[place.device.name] = place.device
    return [
        f"device {name} states [{table}], which has no effect in a run: its cells are ohmic"
        for name, device in devices.items()
        for table in ("iv", "access")
        if getattr(device.file, table) is not None
    ]
