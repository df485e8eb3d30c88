"""Attention of transformers' models: its two products and its softmax on a chip.

transformers lets a model call an attention by name.  Ours is called "xbarsim"; what it does for a
module is stated by `place`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from xbarsim.base.array_types import Booleans, Integers, Singles
from xbarsim.base.errors import ShapeError
from xbarsim.hardware.build import Hardware
from xbarsim.hardware.steps import ProductCosts, Tokens
from xbarsim.models.graph import Step
from xbarsim.torch.passes import Current, Pass, array_of
from xbarsim.torch.products import ComputeFunction, MultiplyActivations

NAME = "xbarsim"
_PLACED = "_xbarsim_attention"  # attribute of a module


@dataclass(frozen=True)
class AttentionCall:
    """A module that called the attention interface, and the sizes of what it gave."""

    module: nn.Module
    heads: int
    tokens: int
    head_width: int


_heard_by: list[Callable[[AttentionCall], None]] = []


@contextlib.contextmanager
def hearing_attention(listener: Callable[[AttentionCall], None]) -> Iterator[None]:
    """While it is open, the listener hears of every call of the interface."""
    _heard_by.append(listener)
    try:
        yield
    finally:
        _heard_by.remove(listener)


@dataclass(frozen=True)
class PlacedAttention:
    """What the steps of the attention of one module are.

    hardware : of a function, which is asked in every pass: a chip may be written again
    """

    scores: Step
    softmax: Step
    context: Step
    current: Current
    hardware: Callable[[], Hardware]


def place(module: nn.Module, attention: PlacedAttention) -> None:
    """State what our attention does for a module."""
    setattr(module, _PLACED, attention)


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """query (b, heads, s, d), key and value (b, g, n, d) -> (b, s, heads, d), weights"""
    for listener in _heard_by:
        listener(AttentionCall(module, query.shape[1], key.shape[2], query.shape[3]))
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key = key.repeat_interleave(group, dim=1)
        value = value.repeat_interleave(group, dim=1)
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    steps = _Steps.of(module, query)
    scores = steps.scores(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[2]]
    elif getattr(module, "is_causal", False) and query.shape[2] > 1:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    weights = steps.softmax(scores)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    context = steps.context(weights, value)
    return context.transpose(1, 2).contiguous(), weights


@dataclass(frozen=True)
class _Steps:
    """The three steps of a call; all float32 without a placed attention or a pass.

    mask : (b, s) real tokens of the pass
    """

    placed: PlacedAttention | None
    under_way: Pass | None
    mask: Booleans

    @classmethod
    def of(cls, module: nn.Module, query: torch.Tensor) -> _Steps:
        placed: PlacedAttention | None = getattr(module, _PLACED, None)
        under_way = None
        if placed is not None:
            under_way = placed.current.under_way
        shape = (query.shape[0], query.shape[2])
        mask = np.ones(shape, bool)
        if under_way is not None and under_way.mask is not None:
            mask = under_way.mask
        return cls(placed, under_way, mask)

    def scores(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """query (b, heads, s, d), key (b, heads, d, s) -> (b, heads, s, s)"""
        step = None if self.placed is None else self.placed.scores
        real = self._real(query)
        return self._product(step, query, key, (real, real.transpose(2, 3)))

    def context(self, weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """weights (b, heads, s, s), value (b, heads, s, d) -> (b, heads, s, d)"""
        step = None if self.placed is None else self.placed.context
        real = self._real(value)
        return self._product(step, weights, value, (real, real))

    def _real(self, like: torch.Tensor) -> torch.Tensor:
        """(b, 1, s, 1), 0 at padding."""
        found = torch.from_numpy(self.mask).to(like.device, like.dtype)
        return found[:, None, :, None]

    def _product(
        self,
        step: Step | None,
        a: torch.Tensor,
        b: torch.Tensor,
        real: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """a @ b; real : 0 where an operand is that of padding, which no chip is given"""
        under_way = self.under_way
        if step is None or under_way is None or self.placed is None:
            return a @ b
        if under_way.digital:
            if under_way.listener is not None:
                self._say(step, a * real[0], b * real[1], under_way)
            return a @ b
        product = self.placed.hardware().products.get(step.name)
        if product is None:
            return a @ b
        self._check_padding()
        a = a * real[0]
        b = b * real[1]
        costs: list[ProductCosts] = []
        tokens = Tokens(self.mask, under_way.first)
        output: torch.Tensor = MultiplyActivations.apply(a, b, product, tokens, costs)
        if under_way.listener is not None:
            exact = array_of(a @ b)
            under_way.listener.measured(step, array_of(output), exact, costs[0], self._rows())
        return output

    def _say(self, step: Step, a: torch.Tensor, b: torch.Tensor, under_way: Pass) -> None:
        """Tell a listener of a product in float32."""
        if under_way.listener is None:
            return
        operands = (array_of(a), array_of(b))
        under_way.listener.heard(step, array_of(a @ b), *operands, rows=self._rows())

    def _rows(self) -> Integers:
        """(t, 2) names of the real tokens."""
        first = 0 if self.under_way is None else self.under_way.first
        found: Integers = np.argwhere(self.mask) + np.array([first, 0])
        return found

    def _check_padding(self) -> None:
        """Cells of a sentence are written in order, so padding must stand at its end."""
        if (np.diff(self.mask.astype(int), axis=1) > 0).any():
            raise ShapeError(
                "padding stands before a token, where keys and values of attention are written to "
                'crossbars; pad on the right: tokenizer.padding_side = "right"'
            )

    def softmax(self, scores: torch.Tensor) -> torch.Tensor:
        exact = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
        under_way = self.under_way
        if self.placed is None or under_way is None:
            return exact
        step = self.placed.softmax
        listener = under_way.listener
        if under_way.digital:
            if listener is not None:
                operands = self._visible(scores)
                listener.heard(step, array_of(exact), *operands, rows=self._rows())
            return exact
        unit = self.placed.hardware().functions.get(step.name)
        if unit is None:
            return exact
        held: list[Integers] = []
        output: torch.Tensor = ComputeFunction.apply(exact, unit, self._visible(scores), held)
        if listener is not None:
            listener.measured(step, array_of(output), array_of(exact), held[0], self._rows())
        return output

    def _visible(self, scores: torch.Tensor) -> tuple[Singles, Booleans]:
        """Scores, and where they count: what a mask hides is lower than any score."""
        values = array_of(scores)
        hidden = values <= np.finfo(np.float32).min / 2
        return np.where(hidden, np.float32(0), values), ~hidden


def register() -> None:
    """Make our attention known to transformers."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, eager_mask)
