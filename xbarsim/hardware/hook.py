"""The hook that puts a chip in the place of the steps of a model."""

from typing import Any

import numpy as np

from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.base.array_types import Integers, Singles
from xbarsim.hardware.build import Hardware
from xbarsim.hardware.steps import CachePerToken, ProductCosts, Tokens
from xbarsim.models.graph import Kind, Step
from xbarsim.models.operations import Reference, softmax_in_order


class HardwareHook:
    """What a chip makes of every step of a forward pass; see `models.operations`.

    cells_set, write_energy (J) : of all products so far, for their second operands

    Steps that are not on hardware stay as they are, but for the softmax of causal attention: a
    digital unit adds the scores up one after the other, so that a token has the same bits among
    others and alone.
    """

    def __init__(
        self, hardware: Hardware, first_sentence: int = 0, *, keeps_cells: bool = False
    ) -> None:
        """first_sentence : number of the batch's first sentence, which names its random numbers
        keeps_cells : whether cells of keys and values stay in memory for the next tokens of their
            sentences, which come one by one; else they are drawn again, the same
        """
        self.hardware = hardware
        self.first_sentence = first_sentence
        self.written: dict[tuple[str, int, int], Any] | None = {} if keeps_cells else None
        self.cells_set = 0.0
        self.write_energy = 0.0

    def __call__(self, step: Step, reference: Reference, *operands: Any, rows: Integers) -> Singles:
        output: Singles
        if step.name not in self.hardware:
            return self.digital(step, reference, *operands)
        if step.kind is Kind.MATRIX:
            x, _, bias = operands
            output = self.matrix(step, x, rows).output + bias
        elif step.kind is Kind.PRODUCT:
            a, b = operands
            output, _ = self.product(step, a, b, rows)
        else:
            output, _ = self.function(step, *operands)
        return output

    @property
    def cache_per_token(self) -> CachePerToken:
        """Cells and bytes that hold keys and values of one token, where attention is on hardware."""
        products = self.hardware.products.values()
        return sum((product.cache_per_token() for product in products), CachePerToken())

    def digital(self, step: Step, reference: Reference, *operands: Any) -> Singles:
        """A step that is not on hardware."""
        if step.kind is Kind.SOFTMAX and self.hardware.causal:
            return softmax_in_order(*operands)
        return reference(*operands)

    def matrix(self, step: Step, x: Singles, rows: Integers) -> Product:
        """Product of x (t, in) with a weight matrix, without its bias."""
        matrix = self.hardware.matrices[step.name]
        of_study = rows + np.array([self.first_sentence, 0])
        return matrix.multiply(x, of_study, self.hardware.seed)

    def product(
        self, step: Step, a: Singles, b: Singles, rows: Integers
    ) -> tuple[Singles, ProductCosts]:
        """Product (b, heads, s, n) of two activations, and what it cost of every token (t,)."""
        tokens = Tokens.of(rows, (len(a), a.shape[2]), self.first_sentence, self.written)
        output, costs = self.hardware.products[step.name].multiply(a, b, tokens)
        self.cells_set += float(np.sum(costs.cells_set))
        self.write_energy += float(np.sum(costs.write_energy))
        return output, costs

    def function(self, step: Step, *operands: Any) -> tuple[Singles, Integers]:
        """A function, and how many values of it saturated."""
        return self.hardware.functions[step.name](*operands)
