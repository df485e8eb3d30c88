"""`AnalogModel`: a PyTorch model whose products are those of one simulated chip."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xbarsim.base.array_types import Booleans
from xbarsim.base.errors import ConfigError
from xbarsim.base.workers import one_blas_thread, worker_threads
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.hardware import functions
from xbarsim.hardware.build import Design, Hardware, HeldOut, build_chip, chip_seed, settings_of
from xbarsim.models.graph import Kind, Role
from xbarsim.torch.attention import PlacedAttention, place
from xbarsim.torch.held_out import Heard
from xbarsim.torch.passes import Current, Listener, Pass
from xbarsim.torch.products import MatrixProducts
from xbarsim.torch.replaced import FunctionForward, MatrixForward
from xbarsim.torch.structure import ModuleNetwork, Structure, check_sizes


class AnalogModel(nn.Module):
    """A model on a simulated chip; `convert` makes one.

    A pass goes through the chip: products of weights, and what else the study puts on hardware, by the
    same kernels as `xbarsim run`.  Weights that change are written to the chip before the next pass.
    Sentences (rows of a batch) are counted from pass to pass, as each reads the chip anew; with
    `rewind` they are counted again from the first, and read noise is the same again.

    Attributes
    ----------
    model : the PyTorch model, its weights and their names as they were
    study, seed : what the chip is, and what alone decides its random numbers
    structure : its steps, and where they lie in the model
    hardware : the `hardware.build.Hardware` of the chip: its matrices, products and functions
    input_ranges : logarithms of full scales of inputs, by step; empty unless they are learned
    """

    def __init__(
        self,
        model: nn.Module,
        study: Study,
        device: DeviceModel,
        structure: Structure,
        digital_steps: frozenset[str],
        chip: int = 0,
    ) -> None:
        """digital_steps : that stay as they are;  chip : number of the simulated chip"""
        super().__init__()
        check_sizes(model, structure)
        self.model = model
        self.study = study
        self.device_model = device
        self.structure = structure
        self.seed = chip_seed(study.seed, chip)
        self.input_ranges = nn.ParameterDict()
        self.sentences = 0
        self._current = Current()
        self._held_out: HeldOut | None = None
        self._design: Design | None = None
        self._hardware: Hardware | None = None
        self._programmed: tuple[int, ...] = ()
        self._network = ModuleNetwork(model, structure)
        self._settings = _settings(study, structure, digital_steps)
        self._matrices = [self._matrix_forward(number) for number in range(len(structure.matrices))]
        self._place_attention()
        self._place_functions()

    def _matrix_forward(self, number: int) -> MatrixForward:
        site = self.structure.matrices[number]
        module = self.model.get_submodule(site.path)
        steps = tuple(self.structure.step(name) for name in site.steps)
        found = MatrixForward(module, site, steps, self._current)
        module.forward = found  # type: ignore[method-assign]  # the module keeps all but its product
        return found

    def _place_attention(self) -> None:
        for site in self.structure.attention:
            placed = PlacedAttention(
                scores=self.structure.step(site.scores),
                softmax=self.structure.step(site.softmax),
                context=self.structure.step(site.context),
                current=self._current,
                hardware=lambda: self.hardware,
            )
            place(self.model.get_submodule(site.path), placed)

    def _place_functions(self) -> None:
        for site in self.structure.functions:
            module = self.model.get_submodule(site.path)
            step = self.structure.step(site.step)
            found = FunctionForward(module, step, self._current, lambda: self.hardware)
            module.forward = found  # type: ignore[method-assign]

    # ---------------------------------------------------------------- the chip

    @property
    def hardware(self) -> Hardware:
        """The programmed chip.

        Raises
        ------
        ConfigError : none is programmed yet
        """
        if self._hardware is None:
            raise ConfigError(
                "the converter ranges of the model are not set; call set_ranges first"
            )
        return self._hardware

    @property
    def held_out(self) -> HeldOut | None:
        """What the examples of `set_ranges` said; None before it."""
        return self._held_out

    @property
    def design(self) -> Design:
        """What all chips of the study share.

        Raises
        ------
        ConfigError : the ranges are not set
        """
        if self._design is None:
            raise ConfigError(
                "the converter ranges of the model are not set; call set_ranges first"
            )
        return self._design

    @property
    def network(self) -> ModuleNetwork:
        """Weights as they are now, by the names of steps."""
        return self._network

    def set_held_out(self, held_out: HeldOut) -> None:
        """Fit converter ranges, gains and functions to what held-out examples say, and program."""
        self.design_of(held_out)
        self.program()

    def design_of(self, held_out: HeldOut) -> Design:
        """What all chips share from now on, with what held-out examples say."""
        self._check_heard(held_out)
        known = {step.name: (0.0, 0.0) for step in self.structure.graph.functions}
        ranges = known | held_out.ranges
        units = functions.build(self._settings, self._network, ranges)
        self._held_out = held_out
        self._design = Design(
            self._network, self._settings, self.device_model, held_out, dict(units)
        )
        return self._design

    def _check_heard(self, held_out: HeldOut) -> None:
        """Refuse examples that do not reach what the study puts on hardware."""
        for step in self.structure.graph.steps:
            settings = self._settings[step.name]
            if step.kind is Kind.MATRIX:
                lies_on = settings.products.lies_on(step.role is Role.LOGITS)
                if lies_on != "digital" and step.name not in held_out.inputs:
                    raise ConfigError(
                        f"{step.name} is not called for the examples of set_ranges, so its "
                        "converters have no range; give examples that reach it, or exclude it"
                    )
            elif step.kind is Kind.PRODUCT:
                wanted = settings.products.attention != "digital"
                if wanted and step.name not in held_out.ranges:
                    raise ConfigError(
                        f'products.attention = "{settings.products.attention}": {step.name} does '
                        "not go through the attention interface of transformers, so it cannot be "
                        'put on crossbars; allowed: "digital" for this model'
                    )

    def state_full_scales(self, full_scales: Mapping[str, float]) -> None:
        """Full scales of the inputs of matrices from now on, in the place of those of examples."""
        for name, value in full_scales.items():
            study = self._settings[name]
            dac = study.dac.model_copy(update={"input_full_scale": value, "range": "mse"})
            self._settings[name] = study.model_copy(update={"dac": dac})

    def program(self, pool: Executor | None = None) -> None:
        """Write the weights as they are now to the chip, with all that the study says of it."""
        if pool is None:
            with worker_threads() as threads:
                self._hardware = build_chip(self.design, self.seed, threads)
        else:
            self._hardware = build_chip(self.design, self.seed, pool)
        self._use(self._hardware)

    def _use(self, hardware: Hardware) -> None:
        """Multiply with the matrices of a chip from now on."""
        products = {
            name: MatrixProducts.of(matrix, hardware.seed)
            for name, matrix in hardware.matrices.items()
        }
        self.use_chip(hardware, products, {})

    def use_chip(
        self,
        hardware: Hardware,
        products: Mapping[str, MatrixProducts],
        ranges: Mapping[str, nn.Parameter],
    ) -> None:
        """Multiply with a chip from now on, which holds the weights as they are.

        products : of its matrices
        ranges : logarithms of full scales of inputs, where they are learned
        """
        self._hardware = hardware
        for forward in self._matrices:
            names = [step.name for step in forward.steps]
            forward.products = {name: products[name] for name in names if name in products}
            forward.ranges = {name: ranges[name] for name in names if name in ranges}
        self._programmed = self._versions()

    def _versions(self) -> tuple[int, ...]:
        """Numbers that change with the weights."""
        found = []
        for forward in self._matrices:
            if forward.products:
                found += [weight._version for weight in forward.module.parameters()]
        return tuple(found)

    @property
    def is_stale(self) -> bool:
        """Whether weights have changed since they were written."""
        return self._versions() != self._programmed

    def renew(self) -> None:
        """Write weights that have changed; training writes them in another way."""
        self.program()

    # ---------------------------------------------------------------- passes

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """A pass through the chip; arguments are those of the model."""
        if self.is_stale:
            self.renew()
        return self._pass(False, None, arguments, named)

    def digital(self, *arguments: Any, **named: Any) -> Any:
        """A pass in float32."""
        return self._pass(True, None, arguments, named)

    def listened(self, listener: Listener, digital: bool, inputs: Any) -> Any:
        """A pass of `inputs` (a tensor, a tuple of arguments or a dictionary of them) that a listener
        hears."""
        arguments, named = arguments_of(inputs)
        if not digital and self.is_stale:
            self.renew()
        return self._pass(digital, listener, arguments, named)

    def _pass(
        self,
        digital: bool,
        listener: Listener | None,
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> Any:
        mask = self._mask(arguments, named)
        count = _sentences(arguments, named)
        under_way = Pass(mask, count, self.sentences, digital, listener)
        if not digital:
            self.sentences += count
        with self._passing(under_way), one_blas_thread():
            return self.model(*arguments, **named)

    @contextlib.contextmanager
    def _passing(self, under_way: Pass) -> Iterator[None]:
        self._current.under_way = under_way
        try:
            yield
        finally:
            self._current.under_way = None

    def _mask(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Booleans | None:
        """(b, s) real tokens, where the model is told of them."""
        found = named.get("attention_mask")
        if found is None and arguments:
            names = list(inspect.signature(type(self.model).forward).parameters)[1:]
            if "attention_mask" in names:
                place_of_mask = names.index("attention_mask")
                if place_of_mask < len(arguments):
                    found = arguments[place_of_mask]
        if not isinstance(found, torch.Tensor) or found.dim() != 2:
            return None
        return np.ascontiguousarray(found.detach().cpu().numpy().astype(bool))

    def rewind(self, sentence: int = 0) -> None:
        """Count sentences from this number on: with the seed it names the noise of reads."""
        self.sentences = sentence

    # ---------------------------------------------------------------- checkpoints

    def state_dict(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """That of the model: ordinary weights.  The chip is made of them and of the seed again."""
        found: dict[str, Any] = self.model.state_dict(*arguments, **named)
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        """Weights of a `state_dict`, which the next pass writes to the chip."""
        return self.model.load_state_dict(state_dict, *rest, **named)

    def save_pretrained(self, directory: str | Path, **named: Any) -> None:
        """An ordinary checkpoint of transformers, of which `xbarsim run` or another `convert` make a
        chip.

        Raises
        ------
        ConfigError : the model is none of transformers
        """
        save = getattr(self.model, "save_pretrained", None)
        if save is None:
            raise ConfigError(
                f"{type(self.model).__name__} has no save_pretrained, which models of transformers "
                "have; save state_dict() with torch.save"
            )
        save(directory, **named)

    def listen_to(self, loader: Any) -> HeldOut:
        """What the float32 pass of all batches of a loader says."""
        heard = Heard()
        training = self.model.training
        self.model.eval()
        count = 0
        with torch.no_grad():
            for batch in loader:
                self.listened(heard, True, batch)
                count += 1
        self.model.train(training)
        if count == 0:
            raise ConfigError("set_ranges got no examples; give at least one batch")
        return heard.held_out()


def _settings(
    study: Study, structure: Structure, digital_steps: frozenset[str]
) -> dict[str, Study]:
    """{step: the study as it applies to it}; steps that stay digital, and those without a module,
    have nothing on hardware.
    """
    placed = {name for site in structure.matrices for name in site.steps}
    settings = settings_of(study, structure.graph)
    for step in structure.graph.steps:
        left = step.kind is Kind.MATRIX and step.name not in placed
        if left or step.name in digital_steps:
            settings[step.name] = _without_hardware(settings[step.name])
    return settings


def _without_hardware(study: Study) -> Study:
    """A study in which a step is digital.  A study file says so of products and functions only; of
    weights "digital" is what `Products.lies_on` answers.
    """
    tables = study.functions
    functions_off = tables.model_copy(
        update={
            "softmax": tables.softmax.model_copy(update={"unit": "float"}),
            "layer_norm": tables.layer_norm.model_copy(update={"unit": "float"}),
            "gelu": tables.gelu.model_copy(update={"unit": "float"}),
        }
    )
    products = study.products.model_copy(update={"weights": "digital", "attention": "digital"})
    return study.model_copy(update={"products": products, "functions": functions_off})


def arguments_of(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a pass: of a tensor, a tuple or list of arguments, or a dictionary of them; what
    has labels beside them keeps these out.
    """
    if isinstance(inputs, Mapping):
        return (), {key: value for key, value in inputs.items() if key != "labels"}
    if isinstance(inputs, torch.Tensor):
        return (inputs,), {}
    first = inputs[0]
    if isinstance(first, Mapping):
        return arguments_of(first)
    return (first,), {}


def _sentences(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    """Rows of a batch."""
    for value in (*arguments, *named.values()):
        if isinstance(value, torch.Tensor) and value.dim() > 0:
            return len(value)
    return 1
