"""One forward pass: which rows of a tensor are tokens, and what their random numbers are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.base.array_types import AnyArray, Booleans, Integers, Singles
from xbarsim.hardware.steps import ProductCosts
from xbarsim.models.graph import Step

Cost = Product | ProductCosts | Integers  # of a matrix, a product; saturations of a function


class Listener(Protocol):
    """Hears of every step of a pass, in NumPy arrays of real tokens, as a hook of
    `models.operations` does.
    """

    def heard(self, step: Step, output: AnyArray, *operands: Any, rows: Integers) -> None:
        """Of a step in float32: its output and its operands."""

    def measured(
        self, step: Step, output: AnyArray, exact: AnyArray, cost: Cost, rows: Integers
    ) -> None:
        """Of a step on hardware: its output, that of float32 for the same operands, its cost."""


@dataclass
class Pass:
    """One forward pass of a model.

    mask : (b, s) real tokens, None where all are
    sentences : b, rows of the batch
    first : number of the first of them, names random numbers
    digital : whether all steps are float32
    """

    mask: Booleans | None
    sentences: int
    first: int
    digital: bool
    listener: Listener | None = None
    calls: Counter[str] = field(default_factory=Counter)

    def named(self, step: str, lead: tuple[int, ...]) -> NamedRows:
        """The rows of a tensor (*lead, width) that a step multiplies, and their names."""
        call = self.calls[step]
        self.calls[step] += 1
        if self.mask is not None and lead == self.mask.shape:
            places = np.argwhere(self.mask)
            real = np.flatnonzero(self.mask.ravel())
        else:
            places = self._places(int(np.prod(lead)))
            real = None
        rows = places + np.array([self.first, 0])
        if call:  # a module that is used again draws other noise
            rows = np.column_stack([rows, np.full(len(rows), call)])
        return NamedRows(rows, real)

    def _places(self, count: int) -> Integers:
        """(count, 2) sentence and place within it of rows that follow one another."""
        of_sentence = count
        if self.sentences and count % self.sentences == 0:
            of_sentence = max(count // self.sentences, 1)
        number = np.arange(count)
        return np.column_stack([number // of_sentence, number % of_sentence])


@dataclass(frozen=True)
class NamedRows:
    """rows : (t, 2 or 3), names of random numbers;  real : (t,) which rows these are; None: all"""

    rows: Integers
    real: Integers | None


@dataclass
class Current:
    """What the steps of a model share: the pass that is under way, if any."""

    under_way: Pass | None = None


def on_host(values: Any) -> Any:
    """A tensor without its gradient on the host; anything else as it is."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    return values


def array_of(tensor: torch.Tensor) -> Singles:
    """The numbers of a tensor, float32, on the host; a view where they are there already."""
    found: Singles = np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())
    return found


def tensor_like(values: AnyArray, like: torch.Tensor) -> torch.Tensor:
    """Numbers as a tensor of the type and on the device of another one."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device, like.dtype)


Forward = Callable[..., Any]
