"""The structure of any other tree of modules, from the calls of one pass.

Every matrix, attention, norm and activation is a step, in the order of their first calls, called as
its module; no step says more of its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from xbarsim.base.errors import ConfigError
from xbarsim.models.graph import INPUT, Graph, Kind, Link, Role, Step
from xbarsim.models.operations import Norm
from xbarsim.torch.attention import AttentionCall, hearing_attention
from xbarsim.torch.module_kinds import activation_of, form_of, is_lora
from xbarsim.torch.structure import (
    AttentionSite,
    FunctionSite,
    MatrixSite,
    ModelFacts,
    Structure,
    effective_weight,
)


def structure_of_tree(model: nn.Module, run: Callable[[], Any]) -> Structure:
    """Of a model; run : a pass of some examples through it

    Raises
    ------
    ConfigError : a pass that calls no matrix
    """
    walk = _Walk(model)
    handles = [
        module.register_forward_pre_hook(walk.called)
        for module in walk.paths
        if walk.counts(module)
    ]
    try:
        with torch.no_grad(), hearing_attention(walk.attended):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return walk.structure()


class _Walk:
    """Notes modules in the order in which a pass calls them."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.paths = {module: path for path, module in model.named_modules()}
        self.inside_lora: set[nn.Module] = set()
        for module in self.paths:
            if is_lora(module):
                self.inside_lora |= set(module.modules()) - {module}
        self.steps: list[Step] = []
        self.matrices: list[MatrixSite] = []
        self.attention: list[AttentionSite] = []
        self.functions: list[FunctionSite] = []
        self.activations: set[str] = set()
        self.known: set[nn.Module] = set()
        self.longest = 1
        self.heads = 1

    def counts(self, module: nn.Module) -> bool:
        """Whether a module is a step."""
        if module in self.inside_lora:
            return False
        if form_of(module) is not None or activation_of(module) is not None:
            return True
        return isinstance(module, nn.LayerNorm)

    def called(self, module: nn.Module, _: Any) -> None:
        """Add the step of a module that is called for the first time."""
        if module in self.known:
            return
        self.known.add(module)
        path = self.paths[module]
        form = form_of(module)
        if form is not None:
            outputs, inputs = effective_weight(module, form).shape
            self.add(path, Kind.MATRIX, Role.DENSE, inputs, outputs)
            self.matrices.append(MatrixSite(path, form, (path,)))
        elif isinstance(module, nn.LayerNorm):
            width = module.normalized_shape[-1]
            self.add(path, Kind.NORM, Role.OUTPUT_NORM, width, width)
            self.functions.append(FunctionSite(path, path))
        else:
            self.activations.add(activation_of(module) or "")
            self.add(path, Kind.ACTIVATION, Role.ACTIVATION, 1, 1)
            self.functions.append(FunctionSite(path, path))

    def attended(self, call: AttentionCall) -> None:
        """Add the three steps of a module that calls the attention interface."""
        if call.module in self.known:
            return
        self.known.add(call.module)
        path = self.paths[call.module]
        self.longest = max(self.longest, call.tokens)
        self.heads = call.heads
        names = AttentionSite(path, f"{path}.scores", f"{path}.softmax", f"{path}.context")
        number = len(self.steps)
        width = call.head_width
        shape = {"copies": call.heads, "second": call.heads * width, "layer": number}
        self.add(names.scores, Kind.PRODUCT, Role.ATTENTION_SCORES, width, call.tokens, **shape)
        scores = call.heads * call.tokens
        self.add(names.softmax, Kind.SOFTMAX, Role.ATTENTION_SOFTMAX, scores, scores, layer=number)
        self.add(names.context, Kind.PRODUCT, Role.ATTENTION_CONTEXT, call.tokens, width, **shape)
        self.attention.append(names)

    def add(
        self,
        name: str,
        kind: Kind,
        role: Role,
        inputs: int,
        outputs: int,
        *,
        copies: int = 1,
        second: int = 0,
        layer: int | None = None,
    ) -> None:
        before = self.steps[-1].name if self.steps else INPUT
        after = [Link(before)]
        if kind is Kind.PRODUCT:
            after.append(Link(before, waits=True))
        number = len(self.steps) if layer is None else layer
        step = Step(
            name=name,
            kind=kind,
            role=role,
            layer=number,
            inputs=inputs,
            outputs=outputs,
            copies=copies,
            second=second,
            after=tuple(after),
        )
        self.steps.append(step)

    def structure(self) -> Structure:
        if not self.matrices:
            raise ConfigError(
                "example_inputs call no Linear, Conv1d, Conv2d or Conv1D of the model; there is "
                "nothing to put on crossbars"
            )
        facts = ModelFacts(
            hidden=self.steps[0].inputs,
            heads=self.heads,
            activation=self._activation(),
            norm=Norm.LAYER,
            max_tokens=max(self.longest, 2),
        )
        return Structure(
            graph=Graph(tuple(self.steps), facts.max_tokens),
            facts=facts,
            matrices=tuple(self.matrices),
            attention=tuple(self.attention),
            functions=tuple(self.functions),
        )

    def _activation(self) -> str:
        """The one that units compute, by its name."""
        names = sorted(self.activations)
        return names[0] if names else "gelu"
