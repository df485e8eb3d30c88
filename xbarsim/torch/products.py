"""Products of a chip as functions that PyTorch can differentiate.

Forward goes through the same kernels as `xbarsim run`, so it has the same bits; backward through the
matrix that was achieved, straight through converters (`gradients`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xbarsim.arrays.in_situ.matrix import ConvertedArray, Product
from xbarsim.base.array_types import Integers, Singles
from xbarsim.hardware.matrices import InSituMatrix
from xbarsim.hardware.steps import (
    FunctionOnHardware,
    MatrixOnHardware,
    ProductCosts,
    ProductOnHardware,
    Tokens,
)
from xbarsim.torch.gradients import achieved_matrix, lost_in_conversion, seen_inputs
from xbarsim.torch.passes import array_of, tensor_like


@dataclass
class MatrixProducts:
    """A weight matrix on a chip, and what its gradients need.

    seed : of the chip
    achieved : (outputs, inputs) float32, see `gradients.achieved_matrix`; of computation crossbars
        None: their gradient is that of the weights
    sensitivity : (outputs, inputs), change of the achieved matrix with each weight; None for 1
    """

    matrix: MatrixOnHardware
    seed: int
    achieved: Singles | None
    sensitivity: Singles | None = None

    @classmethod
    def of(cls, matrix: MatrixOnHardware, seed: int) -> MatrixProducts:
        achieved = None
        if isinstance(matrix, InSituMatrix):
            achieved = achieved_matrix(matrix.array)
        return cls(matrix, seed, achieved)

    def multiply(self, x: Singles, rows: Integers) -> Product:
        """Product of x (t, inputs), whose rows have these names."""
        return self.matrix.multiply(x, rows, self.seed)


class MultiplyMatrix(torch.autograd.Function):
    """x (t, inputs) times a matrix on a chip -> (t, outputs), without its bias.

    The chip holds what was programmed of `weight`, which is an operand so that it has a gradient;
    `full_scale` is that of the inputs where it is learned, else None.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        full_scale: torch.Tensor | None,
        products: MatrixProducts,
        rows: Integers,
        costs: list[Product],
    ) -> torch.Tensor:
        """costs : the product is appended, with what it cost"""
        product = products.multiply(array_of(x), rows)
        costs.append(product)
        ctx.save_for_backward(x, weight)
        ctx.products = products
        ctx.range_device = None if full_scale is None else full_scale.device
        ctx.saturated = np.flatnonzero(product.adc_saturations)
        return tensor_like(product.output, x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        products: MatrixProducts = ctx.products
        matrix = products.matrix
        if products.achieved is None or not isinstance(matrix, InSituMatrix):
            of_x = gradient @ weight if ctx.needs_input_grad[0] else None
            of_weight = gradient.T @ x if ctx.needs_input_grad[1] else None
            return of_x, of_weight, None, None, None, None
        found = _of_tiles(ctx, gradient, x, matrix, products)
        return (*found, None, None, None)


def _of_tiles(
    ctx: Any,
    gradient: torch.Tensor,
    x: torch.Tensor,
    matrix: InSituMatrix,
    products: MatrixProducts,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of inputs, weights and the full scale of inputs."""
    array = matrix.array
    achieved = tensor_like(products.achieved, gradient)  # type: ignore[arg-type]  # of tiles: there
    inputs = seen_inputs(array.coder, array.scale, array_of(x))
    of_seen = gradient @ achieved
    if isinstance(array, ConvertedArray) and len(ctx.saturated):
        rows = ctx.saturated
        lost = lost_in_conversion(array, array_of(x)[rows], array_of(gradient)[rows])
        of_seen[torch.from_numpy(rows).to(of_seen.device)] -= tensor_like(lost, of_seen)
    of_x = None
    if ctx.needs_input_grad[0]:
        of_x = of_seen * tensor_like(inputs.passes, of_seen)
    of_weight = None
    if ctx.needs_input_grad[1]:
        of_weight = gradient.T @ tensor_like(inputs.seen, gradient)
        if products.sensitivity is not None:
            of_weight *= tensor_like(products.sensitivity, of_weight)
    of_scale = None
    if ctx.range_device is not None:
        change = (of_seen * tensor_like(inputs.slope, of_seen)).sum()
        of_scale = change.reshape(()).to(ctx.range_device)
    return of_x, of_weight, of_scale


class MultiplyActivations(torch.autograd.Function):
    """a (b, heads, s, k) times b (b, heads, k, n) on a chip -> (b, heads, s, n), 0 at padding.

    Backward is that of the operands as they were to be written and applied.
    """

    @staticmethod
    def forward(
        ctx: Any,
        a: torch.Tensor,
        b: torch.Tensor,
        product: ProductOnHardware,
        tokens: Tokens,
        costs: list[ProductCosts],
    ) -> torch.Tensor:
        """costs : what it cost is appended"""
        output, cost = product.multiply(array_of(a), array_of(b), tokens)
        costs.append(cost)
        ctx.save_for_backward(a, b)
        return tensor_like(output, a)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        a, b = ctx.saved_tensors
        return gradient @ b.transpose(-1, -2), a.transpose(-1, -2) @ gradient, None, None, None


class ComputeFunction(torch.autograd.Function):
    """A softmax, norm or activation in integers; backward is that of the float32 function, whose
    result is an operand.
    """

    @staticmethod
    def forward(
        ctx: Any,
        exact: torch.Tensor,
        unit: FunctionOnHardware,
        operands: tuple[Any, ...],
        costs: list[Integers],
    ) -> torch.Tensor:
        """exact : float32 result for these operands (NumPy);  costs : saturations are appended"""
        output, saturations = unit(*operands)
        costs.append(saturations)
        return tensor_like(output, exact).reshape(exact.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return gradients[0], None, None, None
