"""What takes the place of `forward` of modules: their steps on a chip.

Modules stay what they are, with their weights and names, so that checkpoints are ordinary ones; only
what they compute is another thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from xbarsim.arrays.in_situ.matrix import Product
from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ShapeError
from xbarsim.hardware.build import Hardware
from xbarsim.models.graph import Kind, Step
from xbarsim.torch.passes import Current, NamedRows, array_of
from xbarsim.torch.products import ComputeFunction, MatrixProducts, MultiplyMatrix
from xbarsim.torch.structure import Form, MatrixSite, bias_of, effective_weight


class MatrixForward:
    """`forward` of a module with matrices.

    steps : of its matrices, whose outputs lie side by side
    products : {step: its matrix on the chip}, of those that are on hardware
    ranges : {step: logarithm of the full scale of its inputs}, where they are learned
    """

    def __init__(
        self,
        module: nn.Module,
        site: MatrixSite,
        steps: tuple[Step, ...],
        current: Current,
    ) -> None:
        self.module = module
        self.form = site.form
        self.path = site.path
        self.steps = steps
        self.current = current
        self.exact = module.forward
        self.products: dict[str, MatrixProducts] = {}
        self.ranges: dict[str, nn.Parameter] = {}

    def __call__(self, x: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        under_way = self.current.under_way
        if under_way is None or under_way.digital:
            output: torch.Tensor = self.exact(x, *rest, **named)
            if under_way is not None and under_way.listener is not None:
                self._say(x)
            return output
        if not self.products:
            plain: torch.Tensor = self.exact(x, *rest, **named)
            return plain
        if self.form is Form.CONVOLUTION:
            return self._convolution(x)
        return self._rows(x)

    def _say(self, x: torch.Tensor) -> None:
        """Tell a listener of the inputs of a step in float32."""
        under_way = self.current.under_way
        if under_way is None or under_way.listener is None:
            return
        inputs = self._patches(x) if self.form is Form.CONVOLUTION else x
        with torch.no_grad():
            weight = effective_weight(self.module, self.form)
            flat = inputs.reshape(-1, inputs.shape[-1])
            named = under_way.named(self.steps[0].name, tuple(inputs.shape[:-1]))
            real = _real(flat, named)
            first = 0
            for step in self.steps:
                part = slice(first, first + step.outputs)
                first = part.stop
                output = real @ weight[part].T
                operands = (array_of(real), array_of(weight[part]))
                under_way.listener.heard(step, array_of(output), *operands, rows=named.rows)

    def _rows(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        under_way = self.current.under_way
        assert under_way is not None  # of `__call__`
        width = self.steps[0].inputs
        if x.shape[-1] != width:
            raise ShapeError(
                f"{self.path} was put on crossbars of {width} inputs and gets {x.shape[-1]}; give "
                "it inputs of the width of its weights"
            )
        lead = tuple(x.shape[:-1])
        named = under_way.named(self.steps[0].name, lead)
        flat = x.reshape(-1, width)
        real = _real(flat, named)
        weight = effective_weight(self.module, self.form)
        outputs = []
        first = 0
        for step in self.steps:
            part = slice(first, first + step.outputs)
            first = part.stop
            outputs.append(self._product(step, real, weight[part], named.rows))
        product = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
        if named.real is not None:
            whole = product.new_zeros((len(flat), product.shape[-1]))
            places = torch.from_numpy(named.real).to(product.device)
            product = whole.index_copy(0, places, product)
        bias = bias_of(self.module)
        if bias is not None:
            product = product + bias
        return product.reshape(*lead, -1)

    def _product(
        self, step: Step, x: torch.Tensor, weight: torch.Tensor, rows: Integers
    ) -> torch.Tensor:
        """(t, inputs) -> (t, outputs) of one matrix, without its bias."""
        products = self.products.get(step.name)
        if products is None:
            return x @ weight.T
        costs: list[Product] = []
        scale = None
        if step.name in self.ranges:
            scale = self.ranges[step.name].exp()
        output: torch.Tensor = MultiplyMatrix.apply(x, weight, scale, products, rows, costs)
        under_way = self.current.under_way
        if under_way is not None and under_way.listener is not None:
            exact = array_of(x @ weight.T)
            under_way.listener.measured(step, array_of(output), exact, costs[0], rows)
        return output

    # ---------------------------------------------------------------- convolutions

    def _patches(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, ...) -> (n, places, channels * kernel), one row for every place."""
        module = self.module
        assert isinstance(module, nn.Conv1d | nn.Conv2d)  # by its form
        if isinstance(module, nn.Conv1d):
            x = x.unsqueeze(2)
        columns = nn.functional.unfold(
            x,
            _pair(module.kernel_size),
            dilation=_pair(module.dilation),
            padding=_pair(module.padding, 0),
            stride=_pair(module.stride),
        )
        return columns.transpose(1, 2)

    def _convolution(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, ...) -> (n, outputs, ...)."""
        module = self.module
        assert isinstance(module, nn.Conv1d | nn.Conv2d)  # by its form
        if x.dim() != len(module.kernel_size) + 2 or x.shape[1] != module.in_channels:
            raise ShapeError(
                f"{self.path} gets inputs of shape {tuple(x.shape)}; allowed: (examples, "
                f"{module.in_channels} channels, places)"
            )
        places = [
            (x.shape[axis + 2] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for axis, (kernel, stride, padding, dilation) in enumerate(
                zip(
                    module.kernel_size,
                    module.stride,
                    _numbers(module.padding),
                    module.dilation,
                    strict=True,
                )
            )
        ]
        product = self._rows(self._patches(x))
        return product.transpose(1, 2).reshape(len(x), module.out_channels, *places)


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)  # refused in `module_kinds`
    return padding


def _pair(sizes: Any, first: int = 1) -> tuple[int, int]:
    """Two sizes of a kernel, of one-dimensional ones with `first` before them."""
    if len(sizes) == 1:
        return first, int(sizes[0])
    return int(sizes[0]), int(sizes[1])


def _real(flat: torch.Tensor, named: NamedRows) -> torch.Tensor:
    """Those rows that are tokens."""
    if named.real is None:
        return flat
    return flat[torch.from_numpy(named.real).to(flat.device)]


class FunctionForward:
    """`forward` of a norm or an activation.

    hardware : of a function, which is asked in every pass
    """

    def __init__(
        self, module: nn.Module, step: Step, current: Current, hardware: Callable[[], Hardware]
    ) -> None:
        self.module = module
        self.step = step
        self.current = current
        self.hardware = hardware
        self.exact = module.forward

    def __call__(self, x: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        exact: torch.Tensor = self.exact(x, *rest, **named)
        under_way = self.current.under_way
        if under_way is None:
            return exact
        unit = None if under_way.digital else self.hardware().functions.get(self.step.name)
        if unit is None and not (under_way.digital and under_way.listener is not None):
            return exact
        rows = under_way.named(self.step.name, tuple(x.shape[:-1]))
        flat = exact.reshape(-1, exact.shape[-1])
        real = _real(flat, rows)
        operands = self._operands(_real(x.reshape(-1, x.shape[-1]), rows))
        listener = under_way.listener
        if unit is None:
            assert listener is not None
            listener.heard(self.step, array_of(real), *operands, rows=rows.rows)
            return exact
        held: list[Integers] = []
        output: torch.Tensor = ComputeFunction.apply(real, unit, operands, held)
        if listener is not None:
            listener.measured(self.step, array_of(output), array_of(real), held[0], rows.rows)
        if rows.real is not None:
            places = torch.from_numpy(rows.real).to(flat.device)
            output = flat.new_zeros(flat.shape).index_copy(0, places, output)
        return output.reshape(exact.shape)

    def _operands(self, x: torch.Tensor) -> tuple[Any, ...]:
        """Those of the step's kind, see `models.operations`."""
        if self.step.kind is Kind.ACTIVATION:
            return (array_of(x),)
        module = self.module
        weight = getattr(module, "weight", None)
        if weight is None:
            weight = torch.ones(x.shape[-1])
        bias = getattr(module, "bias", None)
        if bias is None:
            bias = torch.zeros(x.shape[-1])
        epsilon = getattr(module, "eps", getattr(module, "variance_epsilon", 1e-5))
        return array_of(x), array_of(weight), array_of(bias), float(epsilon)
