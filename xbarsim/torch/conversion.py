"""`convert` and `set_ranges`: a PyTorch model onto a simulated chip."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from xbarsim.base.errors import ConfigError
from xbarsim.config.study import Study, load_study, validate
from xbarsim.devices.presets import load_device
from xbarsim.torch import attention
from xbarsim.torch.analog_model import AnalogModel, arguments_of
from xbarsim.torch.any_tree import structure_of_tree
from xbarsim.torch.known_models import known_structure
from xbarsim.torch.module_kinds import check_module, is_lora
from xbarsim.torch.structure import Structure


def convert(
    model: nn.Module,
    study: Study | Mapping[str, Any] | str | Path = "default",
    example_inputs: Any = None,
    *,
    exclude: Sequence[str] = (),
    chip: int = 0,
    in_place: bool = False,
) -> AnalogModel:
    """Put the products of a PyTorch model on a simulated chip.

    Models of transformers that `xbarsim run` reads too have its steps by its names (`layer.0.query`), so
    that `[[layer]]` tables and random numbers are the same; in any other tree a step is called as its
    module (`features.3`), attention as `PATH.scores`, `PATH.softmax` and `PATH.context`.

    Parameters
    ----------
    model : float32 weights on any device
    study : a Study, the name or file of one, or a dictionary of its tables; model, task, cases and
        run are left aside
    example_inputs : one batch: a tensor, a tuple of arguments, or a dictionary of them; sets converter
        ranges until `set_ranges` does
    exclude : patterns of steps or modules that stay digital
    chip : number of the simulated chip: another one has other random numbers
    in_place : whether the model itself is converted, not a copy of it

    Returns
    -------
    AnalogModel

    Raises
    ------
    ConfigError : a module that has no form on crossbars, weights that are not float32, a study that
        cannot be used
    ShapeError, OutOfRangeError : matrices that fit no tile; weights that are not finite, conditions that
        the device does not state

    Examples
    --------
    >>> import torch
    >>> from xbarsim.torch import convert
    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> x = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
    >>> analog = convert(model, {"device": {"name": "ideal"}}, x)
    >>> sorted(analog.hardware.matrices)
    ['0', '2']
    >>> analog(x).shape
    torch.Size([32, 3])
    """
    found = _study(study)
    if example_inputs is None:
        raise ConfigError(
            "convert needs example_inputs: a batch that shows what the model is given"
        )
    if not in_place:
        model = copy.deepcopy(model)
    attention.register()
    _call_our_attention(model)
    _check_modules(model, exclude)
    structure = _structure(model, example_inputs)
    device = load_device(found.device.name)
    device.in_study(found)
    analog = AnalogModel(model, found, device, structure, _digital(structure, exclude), chip)
    analog.set_held_out(analog.listen_to([example_inputs]))
    return analog


def set_ranges(analog: AnalogModel, loader: Iterable[Any]) -> None:
    """Set converter ranges, digital gains and ranges of functions from examples, and write the chip.

    Parameters
    ----------
    analog : of `convert`
    loader : batches of held-out examples, each a tensor, a tuple whose first entry is the input, or
        a dictionary of arguments; at most 2048 inputs of every matrix are used

    Raises
    ------
    ConfigError : no examples, or examples that do not reach a step
    """
    analog.set_held_out(analog.listen_to(loader))


def _study(study: Study | Mapping[str, Any] | str | Path) -> Study:
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        found: Study = validate(dict(study), "study")
        found.check_layers()
        return found
    return load_study(study)


def _call_our_attention(model: nn.Module) -> None:
    """Have models of transformers within a model call the attention of `attention`."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.set_attn_implementation(attention.NAME)
            return


def _check_modules(model: nn.Module, exclude: Sequence[str]) -> None:
    """Refuse modules without a form on crossbars that are not excluded."""
    for path, module in model.named_modules():
        inside = any(is_lora(model.get_submodule(start)) for start in _starts(path))
        if inside or _is_excluded(path, exclude):
            continue
        check_module(path, module)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype is not torch.float32:
            raise ConfigError(
                f"{name} is {str(parameter.dtype).removeprefix('torch.')}; crossbars are computed "
                "in float32: convert model.float()"
            )


def _starts(path: str) -> list[str]:
    """Paths of the modules around a module, without the tree itself."""
    names = path.split(".")
    return [".".join(names[:count]) for count in range(1, len(names))]


def _is_excluded(path: str, exclude: Sequence[str]) -> bool:
    around = [*_starts(path), path]
    return any(fnmatch.fnmatch(name, pattern) for name in around for pattern in exclude)


def _structure(model: nn.Module, example_inputs: Any) -> Structure:
    known = known_structure(model)
    if known is not None:
        return known
    arguments, named = arguments_of(example_inputs)
    training = model.training
    model.eval()
    try:
        return structure_of_tree(model, lambda: model(*arguments, **named))
    finally:
        model.train(training)


def _digital(structure: Structure, exclude: Sequence[str]) -> frozenset[str]:
    """Names of the steps that patterns of steps or modules exclude.

    Raises
    ------
    ConfigError : a pattern that matches none
    """
    paths = {name: site.path for site in structure.matrices for name in site.steps}
    paths |= {site.step: site.path for site in structure.functions}
    for site in structure.attention:
        paths |= dict.fromkeys((site.scores, site.softmax, site.context), site.path)
    found = set()
    for step in structure.graph.steps:
        path = paths.get(step.name, step.name)
        if _is_excluded(path, exclude) or _is_excluded(step.name, exclude):
            found.add(step.name)
    return frozenset(found)
