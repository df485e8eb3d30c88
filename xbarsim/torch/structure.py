"""Where the steps of a graph lie in a tree of PyTorch modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.models.graph import Graph, Kind, Step
from xbarsim.models.operations import Hook, Norm, float32
from xbarsim.torch.passes import array_of


class Form(StrEnum):
    """How a module holds its matrix."""

    LINEAR = "linear"  # (outputs, inputs)
    TRANSPOSED = "transposed"  # (inputs, outputs): transformers' Conv1D
    CONVOLUTION = "convolution"  # (outputs, channels, *kernel), one matrix over patches


@dataclass(frozen=True)
class MatrixSite:
    """A module that multiplies with one or several matrices, whose outputs lie side by side.

    path : of the module in the tree
    steps : by name, in the order of their outputs
    """

    path: str
    form: Form
    steps: tuple[str, ...]


@dataclass(frozen=True)
class AttentionSite:
    """A module that calls the attention interface of transformers: names of its three steps."""

    path: str
    scores: str
    softmax: str
    context: str


@dataclass(frozen=True)
class FunctionSite:
    """A module that is a norm or an activation."""

    path: str
    step: str


@dataclass(frozen=True)
class ModelFacts:
    """What designs of chips need to know of a model (`network.Config`)."""

    hidden: int
    heads: int
    activation: str
    norm: Norm
    max_tokens: int


@dataclass(frozen=True)
class Structure:
    """The steps of a model, and the modules that compute them."""

    graph: Graph
    facts: ModelFacts
    matrices: tuple[MatrixSite, ...]
    attention: tuple[AttentionSite, ...]
    functions: tuple[FunctionSite, ...]

    def step(self, name: str) -> Step:
        return self.graph.step(name)


def effective_weight(module: nn.Module, form: Form) -> torch.Tensor:
    """(outputs, inputs) of a module, with what LoRA of peft adds to it; has a gradient."""
    base = getattr(module, "base_layer", module)
    weight = _as_matrix(base.weight, form)
    if base is module:
        return weight
    for name in module.active_adapters:
        if name in module.lora_A:
            added = module.lora_B[name].weight @ module.lora_A[name].weight
            weight = weight + added * module.scaling[name]
    return weight


def _as_matrix(weight: torch.Tensor, form: Form) -> torch.Tensor:
    if form is Form.TRANSPOSED:
        return weight.T
    return weight.reshape(len(weight), -1)


def bias_of(module: nn.Module) -> torch.Tensor | None:
    base = getattr(module, "base_layer", module)
    found: torch.Tensor | None = base.bias
    return found


class ModuleNetwork:
    """A tree of modules as a `network.Network`: weights as they are now, and no forward pass."""

    def __init__(self, model: nn.Module, structure: Structure) -> None:
        self.config = structure.facts
        self.graph = structure.graph
        self.sha256 = ""
        self.path: Path | None = None
        self._modules = {site.path: model.get_submodule(site.path) for site in structure.matrices}
        self._sites = _sites_of_steps(structure.matrices)

    def matrix(self, name: str) -> tuple[Singles, Singles]:
        """(weight (outputs, inputs), bias (outputs,)) of a matrix.

        Raises
        ------
        OutOfRangeError : a weight that is not finite
        """
        site = self._sites[name]
        module = self._modules[site.path]
        step = self.graph.step(name)
        first = 0
        for other in site.steps[: site.steps.index(name)]:
            first += self.graph.step(other).outputs
        part = slice(first, first + step.outputs)
        with torch.no_grad():
            weight = array_of(effective_weight(module, site.form)[part]).copy()
        if not np.isfinite(weight).all():
            raise OutOfRangeError(
                f"weights of {site.path} hold NaN or infinity; they cannot be programmed: load the "
                "checkpoint again, or train with a smaller learning rate"
            )
        bias = bias_of(module)
        if bias is None:
            return weight, np.zeros(step.outputs, np.float32)
        return weight, array_of(bias[part])

    def forward(self, token_ids: Integers, mask: Booleans, hook: Hook = float32) -> Singles:
        raise NotImplementedError("PyTorch runs this model")


def _sites_of_steps(sites: tuple[MatrixSite, ...]) -> Mapping[str, MatrixSite]:
    found: dict[str, MatrixSite] = {}
    for site in sites:
        for step in site.steps:
            found[step] = site
    return found


def check_sizes(model: nn.Module, structure: Structure) -> None:
    """Refuse a model whose matrices are not of the sizes that its graph states.

    Raises
    ------
    ConfigError
    """
    for site in structure.matrices:
        module = model.get_submodule(site.path)
        found = tuple(effective_weight(module, site.form).shape)
        steps = [structure.step(name) for name in site.steps]
        wanted = (sum(step.outputs for step in steps), steps[0].inputs)
        if found != wanted:
            raise ConfigError(
                f"{site.path} holds a matrix of {found[0]} x {found[1]}, the configuration of the "
                f"model states {wanted[0]} x {wanted[1]}; convert the model with the configuration "
                "that it was made with"
            )


def function_steps(structure: Structure) -> list[Step]:
    """Norms and activations that lie in a module of their own."""
    names = [site.step for site in structure.functions]
    return [structure.step(name) for name in names if structure.step(name).kind is not Kind.SOFTMAX]
