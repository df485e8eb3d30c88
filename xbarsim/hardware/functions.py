"""Which functions of a model are in integers, and for which ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xbarsim.base.array_types import Booleans, Singles
from xbarsim.base.errors import ConfigError
from xbarsim.config.study import Study
from xbarsim.hardware.function_units import GeluUnit, LayerNormUnit, SoftmaxUnit, widest_sum
from xbarsim.hardware.steps import FunctionOnHardware
from xbarsim.models.graph import Kind, Step
from xbarsim.models.network import Network
from xbarsim.models.operations import ACTIVATIONS, Norm


def largest(step: Step, operands: tuple[Any, ...], output: Singles) -> tuple[float, float]:
    """(largest |input|, largest |output|) of a function; of a softmax where its mask is True."""
    x = operands[0]
    counted = np.ones((), bool)
    if step.kind is Kind.SOFTMAX:
        counted = np.broadcast_to(operands[1], x.shape)
    return _largest(x, counted), _largest(output, counted)


def _largest(values: Singles, counted: Booleans) -> float:
    return float(np.abs(values).max(initial=0, where=counted))


def widest(ranges: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """One dictionary of ranges that covers all of a list of them (one per batch)."""
    found = {}
    for name in ranges[0]:
        first, second = np.max([part[name] for part in ranges], axis=0).tolist()
        found[name] = (first, second)
    return found


def build(
    settings: Mapping[str, Study], model: Network, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, FunctionOnHardware]:
    """{function name: integer function} of all functions that the study does not leave in float.

    settings : {step: the study as it applies to it}
    ranges : {function name: (largest |input|, largest |output|)}

    Raises
    ------
    ConfigError : bit widths that cannot represent the function
    """
    units: dict[str, FunctionOnHardware] = {}
    for step in model.graph.functions:
        study = settings[step.name]
        unit = _unit(step, study, model, ranges[step.name])
        if isinstance(unit, SoftmaxUnit):
            longest = min(study.model.max_length, model.config.max_tokens)
            check_sum(step.name, unit, longest)
        if unit is not None:
            units[step.name] = unit
    return units


def _unit(
    step: Step, study: Study, model: Network, ranges: tuple[float, float]
) -> SoftmaxUnit | LayerNormUnit | GeluUnit | None:
    """The integer function of a step; None where the study leaves it in float."""
    tables = study.functions
    largest_input, largest_output = ranges
    if step.kind is Kind.SOFTMAX and tables.softmax.unit != "float":
        full_scale = tables.softmax.range * largest_input
        return SoftmaxUnit.design(tables.softmax, full_scale, model.config.max_tokens)
    if step.kind is Kind.ACTIVATION and tables.gelu.unit != "float":
        full_scale = tables.gelu.range * largest_input
        return GeluUnit.design(tables.gelu, full_scale, ACTIVATIONS[model.config.activation])
    if step.kind is Kind.NORM and tables.layer_norm.unit != "float":
        if model.config.norm is not Norm.LAYER:
            raise ConfigError(
                f'functions.layer_norm.unit = "{tables.layer_norm.unit}": {step.name} is an RMS '
                'norm, for which there is no integer unit; leave it at "float"'
            )
        scale = tables.layer_norm.range
        return LayerNormUnit.design(
            tables.layer_norm, scale * largest_input, scale * largest_output
        )
    return None


def check_sum(name: str, unit: SoftmaxUnit, scores: int) -> None:
    """Raise ConfigError where rows of so many scores can exceed the accumulator of a Softmax."""
    needed = widest_sum(unit.config.entry_bits, scores)
    if unit.accumulator_bits < needed:
        raise ConfigError(
            f"functions.softmax.accumulator_bits = {unit.accumulator_bits} of {name}: {scores} equal scores of "
            f"entry_bits = {unit.config.entry_bits} exceed it; allowed: {needed} or more, or leave the key out"
        )
