"""Settings of a study that have no effect: refused, or said with the result.

A key that a study states matters if, in at least one of its cases, at least one step of the model
asks for it.  `RULES` says when a step does; a key without a rule always matters.
"""

import difflib
import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xbarsim.base.errors import ConfigError
from xbarsim.config.study import Study
from xbarsim.devices.conditions import FOLLOWS, effects_on
from xbarsim.devices.model import DeviceModel
from xbarsim.models.graph import Graph, Kind, Step

# Tables [functions.*] of a study, and the kind of step that each is for.
FUNCTIONS = {"softmax": Kind.SOFTMAX, "layer_norm": Kind.NORM, "gelu": Kind.ACTIVATION}


@dataclass(frozen=True)
class Place:
    """A step of the model, the study as it applies to it (`Study.for_layer`), and the device."""

    step: Step
    study: Study
    device: DeviceModel

    @property
    def hardware(self):
        """What multiplies: "in_situ", "computation" or "digital"."""
        if self.step.kind is Kind.MATRIX:
            return self.study.products.weights
        if self.step.kind is Kind.PRODUCT:
            return self.study.products.attention
        return "digital"

    @property
    def in_situ(self):
        return self.hardware == "in_situ"

    @property
    def counts(self):
        """Whether computation crossbars multiply."""
        return self.hardware == "computation"

    @property
    def stored(self):
        """Whether a dense memory stores the matrix."""
        return self.counts and self.step.kind is Kind.MATRIX

    @property
    def segment(self):
        """Whether a segment of the dense memory is solved, with wires and device."""
        return self.stored and self.study.memory.errors == "segment"

    @property
    def converted(self):
        """Whether in-situ arrays have converters."""
        return self.in_situ and self.study.effects.converters

    @property
    def has_dac(self):
        return self.converted and self.study.dac.bits != "ideal"

    @property
    def has_adc(self):
        return self.converted and self.study.adc.bits != "ideal"

    @property
    def programmed(self):
        """Whether cells of the device are written."""
        return self.in_situ or self.segment

    def on(self, effect):
        """Whether an effect of the study is on, by itself or with its group."""
        return effect in effects_on(self.study.effects)

    def table(self, effect):
        """The table of the device behind an effect that is on, else None; of read noise its own."""
        file = self.device.file
        if not (self.programmed and self.on(effect)):
            return None
        if effect in ("flicker", "telegraph"):
            return None if file.read_noise is None else getattr(file.read_noise, effect)
        if effect == "levels":
            return file.conductance.levels_us or None
        return getattr(file, effect)

    def function(self, name):
        """The settings of a function of this name if the step is one and not left in float."""
        if self.step.kind is not FUNCTIONS[name]:
            return None
        settings = getattr(self.study.functions, name)
        return None if settings.unit == "float" else settings


@dataclass(frozen=True)
class Rule:
    """When a step asks for a key or a table; `needs` completes "it needs ..."."""

    needs: str
    holds: Callable[[Place], bool]


def _depends_on_time(place):
    flicker = place.table("flicker")
    ages = any(place.table(effect) is not None for effect in ("relaxation", "drift"))
    programming = place.table("programming")
    stated = programming is not None and any(
        entry.time_s is not None for entry in programming.sigma
    )
    return ages or stated or (flicker is not None and flicker.frequency_low_hz is None)


def _depends_on_the_write(place):
    spread, verified = place.table("spread"), place.device.file.write_verify is not None
    of_cycle = spread is not None and spread.cycle_to_cycle_relative_sigma > 0
    drawn = any(
        place.table(effect) is not None for effect in ("programming", "relaxation", "drift")
    )
    return drawn or of_cycle or (verified and place.programmed and place.on("programming"))


def _switches(place, effect):
    """Whether a switch that is on has a table, or resistors of computation crossbars, to act on."""
    counted = effect in ("spread", "stuck", "telegraph") and place.counts
    own = getattr(place.study.effects, effect)
    return own is not True or counted or place.table(effect) is not None


def _solves_rows(place):
    return place.segment and place.study.memory.access != "transistor"


IN_SITU = Rule("products on in-situ arrays", lambda place: place.in_situ)
DAC = Rule('converters and dac.bits other than "ideal"', lambda place: place.has_dac)
ADC = Rule('converters and adc.bits other than "ideal"', lambda place: place.has_adc)
SEGMENT = Rule('memory.errors = "segment"', lambda place: place.segment)
TRANSISTOR = Rule(
    'memory.errors = "segment" and memory.access = "transistor"',
    lambda place: place.segment and place.study.memory.access == "transistor",
)

RULES = {
    # Tables: what all of their keys need.
    "device": Rule(
        'cells of the device: in-situ arrays, or a memory with errors = "segment"',
        lambda place: place.programmed,
    ),
    "mapping": IN_SITU,
    "adc": Rule("in-situ arrays with converters", lambda place: place.converted),
    "wires": Rule(
        'effects.wires, or a memory with errors = "segment"',
        lambda place: place.segment or (place.hardware != "digital" and place.study.effects.wires),
    ),
    "computation": Rule("products on computation crossbars", lambda place: place.counts),
    "memory": Rule('products.weights = "computation"', lambda place: place.stored),
    # Keys that need more than their table does.
    "device.time_s": Rule(
        "a device whose tables depend on time, and their effects", _depends_on_time
    ),
    "device.temperature_k": Rule(
        "a device with [temperature], and its effect",
        lambda place: place.table("temperature") is not None,
    ),
    "device.reads": Rule(
        "a device with [read_disturb], and its effect",
        lambda place: place.table("read_disturb") is not None,
    ),
    "device.write": Rule("a device whose writes differ, and their effects", _depends_on_the_write),
    "mapping.weight_bits": Rule(
        'mapping.encoding = "slices"', lambda place: place.study.mapping.encoding == "slices"
    ),
    "mapping.bits_per_cell": Rule(
        'mapping.encoding = "slices"', lambda place: place.study.mapping.encoding == "slices"
    ),
    "mapping.clip_quantile": Rule(
        'mapping.clip = "quantile"', lambda place: place.study.mapping.clip == "quantile"
    ),
    "wires.node": Rule(
        "a resistance that is not given by itself", lambda place: _node_is_used(place.study.wires)
    ),
    "wires.pitch": Rule(
        "a resistance that is not given by itself", lambda place: _node_is_used(place.study.wires)
    ),
    "dac.bits": Rule("in-situ arrays with converters", lambda place: place.converted),
    "dac.polarity": IN_SITU,  # two phases cost their energy without converters too
    "dac.encoding": DAC,
    "dac.digit_bits": Rule(
        'dac.encoding = "bit_serial"',
        lambda place: place.has_dac and place.study.dac.encoding == "bit_serial",
    ),
    "dac.range": Rule(
        DAC.needs,
        lambda place: place.has_dac or (place.in_situ and place.study.dac.range == "quantile"),
    ),
    "dac.quantile": Rule(
        'dac.range = "quantile"',
        lambda place: place.in_situ and place.study.dac.range == "quantile",
    ),
    "dac.read_time_ns": Rule(
        "products on arrays or crossbars", lambda place: place.hardware != "digital"
    ),
    "adc.per": Rule(
        'an adc.range other than "unit"',
        lambda place: place.has_adc and place.study.adc.range != "unit",
    ),
    "adc.range": ADC,
    "adc.quantile": Rule(
        'adc.range = "quantile"',
        lambda place: place.has_adc and place.study.adc.range == "quantile",
    ),
    "computation.ir_drop": Rule(
        'computation.mode = "statistical" and effects.wires',
        lambda place: place.study.computation.mode == "statistical" and place.study.effects.wires,
    ),
    "computation.digit_cells": Rule(
        "computation.digit_bits above 1", lambda place: place.study.computation.digit_bits > 1
    ),
    "computation.adc_bits": Rule(
        "effects.converters", lambda place: place.study.effects.converters
    ),
    "computation.resistor_spread": Rule("effects.spread", lambda place: place.on("spread")),
    "computation.stuck_closed_rate": Rule("effects.stuck", lambda place: place.on("stuck")),
    "computation.stuck_open_rate": Rule("effects.stuck", lambda place: place.on("stuck")),
    "computation.telegraph_amplitude": Rule(
        "effects.telegraph", lambda place: place.on("telegraph")
    ),
    "effects.telegraph_multiplier": Rule(
        "telegraph noise that is on",
        lambda place: (
            place.on("telegraph") if place.counts else place.table("telegraph") is not None
        ),
    ),
    "memory.cell_error_rate": Rule(
        'memory.errors = "stated"', lambda place: place.study.memory.errors == "stated"
    ),
    "memory.bits_per_cell": Rule(
        'memory.errors other than "none"', lambda place: place.study.memory.errors != "none"
    ),
    "memory.bias": Rule('memory.errors = "segment" without transistors', _solves_rows),
    "memory.lumped_rows": Rule('memory.errors = "segment" without transistors', _solves_rows),
    "memory.transistor_resistance_ohm": TRANSISTOR,
    "memory.transistor_overdrive_v": TRANSISTOR,
    "memory.selector_voltage_v": Rule(
        'memory.errors = "segment" and memory.access = "selector"',
        (lambda place: place.segment and place.study.memory.access == "selector"),
    ),
    "task.probe_examples": Rule(
        'a task.head of "probe" or "auto"',
        (lambda place: place.study.task.head in ("auto", "probe")),
    ),
}
RULES |= {
    f"memory.{key}": SEGMENT
    for key in (
        "rows",
        "columns",
        "sensed_every",
        "drive",
        "access",
        "read_voltage_v",
        "sense_noise_ua",
        "threshold_ua",
    )
}
RULES |= {
    f"effects.{effect}": Rule(
        "a device or crossbars that have this effect",
        lambda place, effect=effect: _switches(place, effect),
    )
    for effect, followed in FOLLOWS.items()
    if effect != followed
}


def _node_is_used(wires):
    return None in (wires.word_line_resistance_ohm, wires.bit_line_resistance_ohm)


def _is_polynomial(settings):
    return settings is not None and settings.unit == "polynomial"


def _rule_of_function(path):
    """Rule of a key `functions.<function>.<key>`."""
    _, function, key = path.split(".")
    if key == "unit":
        return Rule("a function of this kind", lambda place: place.step.kind.is_function)
    if key == "degree":
        return Rule(
            f'functions.{function}.unit = "polynomial"',
            lambda place: _is_polynomial(place.function(function)),
        )
    return Rule(
        f'functions.{function}.unit other than "float"',
        lambda place: place.function(function) is not None,
    )


def rules_of(path):
    """Rules of a key such as `adc.bits`: its table's and its own; all must hold."""
    if path.startswith("functions."):
        return [_rule_of_function(path)]
    return [RULES[name] for name in (path.partition(".")[0], path) if name in RULES]


def stated_keys(content, prefix=""):
    """{path: value} of the leaves of nested dictionaries."""
    found = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= stated_keys(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def places(settings: Mapping[str, Study], device: DeviceModel, graph: Graph) -> list[Place]:
    """Place of every step of a model in one case of a study: matrices, products, functions.

    settings : {step: the study as it applies to it}
    """
    steps = (*graph.matrices, *graph.products, *graph.functions)
    return [Place(step, settings[step.name], device) for step in steps]


def refuse(name, study, found):
    """Refuse what cannot be meant in the case `name`.

    found : its `places`

    Raises
    ------
    ConfigError : a `[[layer]]` that matches no step; a temperature or reads of a device that has no
        table for them
    """
    for entry in study.layer:
        if not any(fnmatch.fnmatch(place.step.name, entry.match) for place in found):
            names = [place.step.name for place in found]
            near = difflib.get_close_matches(entry.match, names, 3, 0.0)
            raise ConfigError(
                f"case {name!r}: [[layer]] match = {entry.match!r} matches no matrix, product or "
                f"function of the model; names are such as {', '.join(near)}, with * for any part"
            )
    device = found[0].device
    tables = (
        ("temperature_k", study.device.temperature_k, device.file.temperature, "temperature"),
        ("reads", study.device.reads or None, device.file.read_disturb, "read_disturb"),
    )
    for key, value, table, needed in tables:
        if value is not None and table is None:
            raise ConfigError(
                f"case {name!r}: device.{key} = {value:g} has no effect, because device "
                f"{device.name} has no [{needed}]; remove the key or choose a device that has one"
            )


def idle_settings(cases):
    """Sentences on the settings that matter to no step in any case.

    cases : [(study of a case, its `places`)]
    """
    value, needs, matters = {}, {}, set()
    for study, found in cases:
        own = stated_keys(study.model_dump(exclude={"layer", "case"}, exclude_unset=True))
        groups = [("", own, found)]
        for entry in study.layer:
            matched = [place for place in found if fnmatch.fnmatch(place.step.name, entry.match)]
            keys = stated_keys(entry.model_dump(exclude={"match"}, exclude_unset=True))
            groups.append((f"[[layer]] {entry.match!r} ", keys, matched))
        for prefix, keys, asked in groups:
            for path, stated in keys.items():
                label, rules = prefix + path, rules_of(path)
                value.setdefault(label, stated)
                needs.setdefault(label, " and ".join(dict.fromkeys(rule.needs for rule in rules)))
                if not rules or any(all(rule.holds(place) for rule in rules) for place in asked):
                    matters.add(label)
    sentences = [
        f"{label} = {value[label]!r} has no effect in this study: it needs {needs[label]}"
        for label in value
        if label not in matters
    ]
    return sentences + _curves(cases)


def _curves(cases):
    """Sentences on the current-voltage curves of devices, which only `Crossbar` knows."""
    named = {place.device.name: place for _, found in cases for place in found if place.programmed}
    return [
        f"device {name} states [{table}], which has no effect in a run: its cells are ohmic"
        for name, place in named.items()
        for table in ("iv", "access")
        if getattr(place.device.file, table) is not None
    ]
