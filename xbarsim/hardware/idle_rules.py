"""When a step of a model asks for a setting of a study."""

from xbarsim.arrays.in_situ.converters import converters_differ
from xbarsim.arrays.in_situ.defect_map import maps_defects
from xbarsim.arrays.in_situ.encoding import has_signs
from xbarsim.config.wires import Wires
from xbarsim.devices.conditions import FOLLOWS, Effect
from xbarsim.hardware.idle_conditions import (
    Rule,
    averages_reads,
    depends_on_the_write,
    depends_on_time,
    follows_inputs,
    has_read_noise,
    has_slow_noise,
    has_weights_behind_wires,
    holds_weights,
    is_behind_wires,
    leaves_out,
    maps_weights,
    multiplies_telegraph_noise,
    raises_rows,
    rewrites,
    solves_rows,
    switches,
)
from xbarsim.hardware.place import FUNCTIONS, FunctionTable
from xbarsim.models.graph import Kind, Role

MAPPED = Rule("operands whose conductances are not those of mapping.conductances", maps_weights)
WEIGHTS = Rule(
    "weights on in-situ arrays whose conductances are not those of mapping.conductances",
    lambda place: maps_weights(place) and place.step.kind is Kind.MATRIX,
)
IN_SITU = Rule("products on in-situ arrays", lambda place: place.in_situ)
DAC = Rule('converters and dac.bits other than "ideal"', lambda place: place.has_dac)
ADC = Rule('converters and adc.bits other than "ideal"', lambda place: place.has_adc)
SCALES = Rule(
    "weights on arrays or crossbars, or attention that is not causal on in-situ arrays",
    follows_inputs,
)
REMEMBERED = Rule(
    "weights on in-situ arrays whose cells have 1/f or telegraph noise",
    lambda place: place.in_situ and place.step.kind is Kind.MATRIX and has_slow_noise(place),
)
PROCESS = Rule(
    'read_noise.correlation = "process"',
    lambda place: REMEMBERED.holds(place) and place.study.read_noise.correlation == "process",
)
NOISE_BEHIND_WIRES = Rule(
    "read noise of cells on in-situ arrays, and effects.wires with wires that have resistance",
    lambda place: place.in_situ and place.has_wires and has_read_noise(place),
)
SEGMENT_BY_NODE = Rule(
    "a resistance that is not given by itself",
    lambda place: _segment_is_derived(place.study.wires),
)
UNEVEN_ADC = Rule(
    f"{ADC.needs}, and converter errors that are not left out",
    lambda place: place.has_adc and place.study.effects.with_converter_errors,
)
UNEVEN_DAC = Rule(
    f"{DAC.needs}, and converter errors that are not left out",
    lambda place: place.has_dac and place.study.effects.with_converter_errors,
)
FITTED_ADC = Rule(
    f"{ADC.needs}, and no adc.full_scale_ua",
    lambda place: place.has_adc and place.study.adc.full_scale_ua is None,
)
AGEING_WEIGHTS = Rule(
    "weights on in-situ arrays of a device whose tables depend on time, and their effects",
    lambda place: holds_weights(place) and depends_on_time(place),
)
RESCALED = Rule(
    'a correction.rescaling other than "none"',
    lambda place: AGEING_WEIGHTS.holds(place) and place.study.correction.rescaling != "none",
)
DUMMIES = Rule(
    'correction.columns = "dummy" of weights on in-situ arrays',
    lambda place: holds_weights(place) and place.study.correction.columns == "dummy",
)
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
    "adc": Rule("in-situ arrays with converters", lambda place: place.converts_currents),
    "wires": Rule(
        'effects.wires, or a memory with errors = "segment"',
        lambda place: (
            place.segment or (place.hardware != "digital" and place.study.effects.with_wires)
        ),
    ),
    "computation": Rule("products on computation crossbars", lambda place: place.counts),
    "products.attention": Rule(
        "a model with attention", lambda place: place.step.kind is Kind.PRODUCT
    ),
    "products.output_matrix": Rule(
        "a model that predicts tokens", lambda place: place.step.role is Role.LOGITS
    ),
    "memory": Rule('products.weights = "computation"', lambda place: place.stored),
    # Keys that need more than their table does.
    "device.time_s": Rule(
        "a device whose tables depend on time, and their effects", depends_on_time
    ),
    "device.temperature_k": Rule(
        "a device with [temperature], and its effect",
        lambda place: place.table("temperature") is not None,
    ),
    "device.reads": Rule(
        "a device with [read_disturb], and its effect",
        lambda place: place.table("read_disturb") is not None,
    ),
    "device.write": Rule("a device whose writes differ, and their effects", depends_on_the_write),
    "mapping.row_order": WEIGHTS,
    "mapping.column_order": Rule(
        'weights on in-situ arrays, and for "defects" and "assigned" a device with [stuck], and its '
        "effect",
        lambda place: (
            WEIGHTS.holds(place)
            and (not maps_defects(place.study.mapping) or place.acts(Effect.STUCK))
        ),
    ),
    "mapping.crosspoint": Rule(
        'mapping.encoding = "slices" of mapping.bits_per_cell = 2 or more',
        lambda place: (
            place.study.mapping.encoding == "slices" and place.study.mapping.bits_per_cell > 1
        ),
    ),
    "mapping.weight_bits": Rule(
        'mapping.encoding = "slices"', lambda place: place.study.mapping.encoding == "slices"
    ),
    "mapping.bits_per_cell": Rule(
        'mapping.encoding = "slices"', lambda place: place.study.mapping.encoding == "slices"
    ),
    "mapping.clip": Rule(
        f'{MAPPED.needs}, and mapping.encoding = "amplitude" or "slices"',
        lambda place: maps_weights(place) and not has_signs(place.study.mapping),
    ),
    "mapping.array": WEIGHTS,
    "mapping.scale": MAPPED,
    "mapping.unused": MAPPED,
    "mapping.clip_quantile": Rule(
        'mapping.clip = "quantile"',
        lambda place: (
            maps_weights(place)
            and place.study.mapping.clip == "quantile"
            and not has_signs(place.study.mapping)
        ),
    ),
    "mapping.conductances": Rule(
        "weights on in-situ arrays",
        lambda place: place.in_situ and place.step.kind is Kind.MATRIX,
    ),
    "mapping.scale_shift": Rule(
        "weight matrices on arrays or crossbars",
        lambda place: place.step.kind is Kind.MATRIX and place.hardware != "digital",
    ),
    "mapping.compensation": Rule(
        "weights on in-situ arrays, and effects.wires with wires that have resistance, or "
        '"measured" and cells that err',
        lambda place: has_weights_behind_wires(place) or rewrites(place),
    ),
    "mapping.compensation_solves": Rule(
        'a mapping.compensation other than "none", and wires that have resistance',
        lambda place: (
            place.study.mapping.compensation != "none" and has_weights_behind_wires(place)
        ),
    ),
    "mapping.compensation_rounds": Rule(
        'mapping.compensation = "measured", and cells that err', rewrites
    ),
    "mapping.compensation_reads": Rule(
        'mapping.compensation = "measured", and white read noise', averages_reads
    ),
    "wires.node": Rule(
        "a resistance that neither a key nor wires.geometry gives",
        lambda place: _node_is_used(place.study.wires),
    ),
    "wires.precision": Rule(
        "in-situ arrays, and effects.wires with wires that have resistance", is_behind_wires
    ),
    "wires.pitch": SEGMENT_BY_NODE,
    "wires.geometry.half_pitch_nm": SEGMENT_BY_NODE,
    "wires.geometry.metal": SEGMENT_BY_NODE,
    "wires.geometry.width_nm": SEGMENT_BY_NODE,
    "wires.geometry.aspect_ratio": SEGMENT_BY_NODE,
    "wires.geometry.grain_size_nm": SEGMENT_BY_NODE,
    "wires.geometry.specularity": SEGMENT_BY_NODE,
    "wires.geometry.reflection": SEGMENT_BY_NODE,
    "wires.geometry.temperature_k": SEGMENT_BY_NODE,
    "dac.bits": Rule("in-situ arrays with converters", lambda place: place.converts_inputs),
    "dac.polarity": IN_SITU,  # two phases cost their energy without converters too
    "dac.encoding": DAC,
    "dac.digit_bits": Rule(
        'dac.encoding = "bit_serial"',
        lambda place: place.has_dac and place.study.dac.encoding == "bit_serial",
    ),
    "dac.range": Rule(
        f"{DAC.needs}, and no dac.input_full_scale",
        lambda place: (
            place.study.dac.input_full_scale is None
            and (place.has_dac or (place.in_situ and place.study.dac.range == "quantile"))
        ),
    ),
    "dac.input_full_scale": IN_SITU,
    "dac.quantile": Rule(
        'dac.range = "quantile"',
        lambda place: place.in_situ and place.study.dac.range == "quantile",
    ),
    "dac.scaling": SCALES,
    "dac.scaling_quantile": Rule(
        'dac.scaling other than "static"',
        lambda place: SCALES.holds(place) and place.study.dac.scaling != "static",
    ),
    "dac.scaling_blocks": Rule(
        'dac.scaling = "block"',
        lambda place: SCALES.holds(place) and place.study.dac.scaling == "block",
    ),
    "dac.read_time_ns": Rule(
        "products on arrays or crossbars", lambda place: place.hardware != "digital"
    ),
    "dac.full_scale_v": IN_SITU,
    "dac.noise_mv": UNEVEN_DAC,
    "dac.inl_lsb": UNEVEN_DAC,
    "adc.per": Rule(
        'an adc.range other than "unit", and no adc.full_scale_ua',
        lambda place: (
            FITTED_ADC.holds(place) and place.study.adc.range != "unit" and not place.step.causal
        ),
    ),
    "adc.range": FITTED_ADC,
    "adc.full_scale_ua": ADC,
    "adc.noise_ua": UNEVEN_ADC,
    "adc.noise_lsb": UNEVEN_ADC,
    "adc.offset_lsb": UNEVEN_ADC,
    "adc.gain_error": UNEVEN_ADC,
    "adc.inl_lsb": UNEVEN_ADC,
    "adc.steps": Rule(
        "adc.element_spread above 0",
        lambda place: UNEVEN_ADC.holds(place) and place.study.adc.element_spread > 0,
    ),
    "adc.element_spread": Rule(
        'adc.steps other than "ideal"',
        lambda place: UNEVEN_ADC.holds(place) and place.study.adc.steps != "ideal",
    ),
    "adc.shared_by": Rule(
        "converters that differ: adc.offset_lsb, adc.gain_error or adc.element_spread",
        lambda place: UNEVEN_ADC.holds(place) and converters_differ(place.study.adc),
    ),
    "adc.quantile": Rule(
        'adc.range = "quantile"',
        lambda place: place.has_adc and place.study.adc.range == "quantile",
    ),
    "read_noise.wires": NOISE_BEHIND_WIRES,
    "read_noise.correlation": REMEMBERED,
    "read_noise.token_interval_s": PROCESS,
    "read_noise.sequence_tokens": PROCESS,
    "computation.ir_drop": Rule(
        'computation.mode = "statistical" and effects.wires',
        lambda place: (
            place.study.computation.mode == "statistical" and place.study.effects.with_wires
        ),
    ),
    "computation.digit_cells": Rule(
        "computation.digit_bits above 1", lambda place: place.study.computation.digit_bits > 1
    ),
    "computation.adc_bits": Rule("effects.converters", lambda place: place.study.effects.with_adc),
    "computation.resistor_spread": Rule("effects.spread", lambda place: place.on("spread")),
    "computation.stuck_closed_rate": Rule("effects.stuck", lambda place: place.on("stuck")),
    "computation.stuck_open_rate": Rule("effects.stuck", lambda place: place.on("stuck")),
    "computation.telegraph_amplitude": Rule(
        "effects.telegraph", lambda place: place.on("telegraph")
    ),
    "correction.fitted_s": AGEING_WEIGHTS,
    "correction.rescaling": AGEING_WEIGHTS,
    "correction.reference": RESCALED,
    "correction.rows": Rule(
        "weights on in-situ arrays behind wires, and wires.source_resistance_ohm above 0",
        raises_rows,
    ),
    "correction.columns": Rule("weights on in-situ arrays", holds_weights),
    "correction.dummy_us": DUMMIES,
    "correction.dummy_place": Rule(
        f"{DUMMIES.needs}, and effects.wires with wires that have resistance",
        lambda place: DUMMIES.holds(place) and is_behind_wires(place),
    ),
    "correction.reads": RESCALED,
    "correction.reference_us": Rule(
        'correction.reference = "column" and a correction.rescaling',
        lambda place: RESCALED.holds(place) and place.study.correction.reference == "column",
    ),
    "effects.without": Rule("a device or arrays that have the effect", leaves_out),
    "effects.telegraph_multiplier": Rule(
        "telegraph noise that is on",
        multiplies_telegraph_noise,
    ),
    "memory.cell_error_rate": Rule(
        'memory.errors = "stated"', lambda place: place.study.memory.errors == "stated"
    ),
    "memory.bits_per_cell": Rule(
        'memory.errors other than "none"', lambda place: place.study.memory.errors != "none"
    ),
    "memory.bias": Rule('memory.errors = "segment" without transistors', solves_rows),
    "memory.lumped_rows": Rule('memory.errors = "segment" without transistors', solves_rows),
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
# Keys that matter where the rest of their table does not.
BEYOND_THEIR_TABLE = ("mapping.scale_shift",)

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


def _rule_of_switch(effect: str) -> Rule:
    needs = "a device or crossbars that have this effect"
    return Rule(needs, lambda place: switches(place, effect))


RULES |= {
    f"effects.{effect}": _rule_of_switch(effect)
    for effect, followed in FOLLOWS.items()
    if effect != followed
}


def _segment_is_derived(wires: Wires) -> bool:
    return None in (wires.word_line_resistance_ohm, wires.bit_line_resistance_ohm)


def _node_is_used(wires: Wires) -> bool:
    if wires.geometry.half_pitch_nm is not None:
        return False
    return _segment_is_derived(wires)


def _is_polynomial(settings: FunctionTable | None) -> bool:
    return settings is not None and settings.unit == "polynomial"


# What a model has whose steps ask for a table `functions.<function>`.
MODELS = {
    "softmax": "a model with attention",
    "layer_norm": "a model with norms",
    "gelu": "a model with an activation function",
}


def _rules_of_function(path: str) -> list[Rule]:
    """Rules of a key `functions.<function>.<key>`."""
    _, function, key = path.split(".")
    has_it = Rule(MODELS[function], lambda place: place.step.kind is FUNCTIONS[function])
    if key == "unit":
        return [has_it]
    if key == "degree":
        unit = Rule(
            f'functions.{function}.unit = "polynomial"',
            lambda place: _is_polynomial(place.function(function)),
        )
    else:
        unit = Rule(
            f'functions.{function}.unit other than "float"',
            lambda place: place.function(function) is not None,
        )
    return [has_it, unit]


def rules_of(path: str) -> list[Rule]:
    """Rules of a key such as `adc.bits`: its table's and its own; all must hold."""
    if path.startswith("functions."):
        return _rules_of_function(path)
    names = [path.partition(".")[0], path]
    if path in BEYOND_THEIR_TABLE:
        names = [path]
    return [RULES[name] for name in names if name in RULES]
