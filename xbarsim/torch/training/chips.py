"""`TrainingChips`: a model that meets another chip of its study in every step of training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import torch
from torch import nn

from xbarsim.base.array_types import Singles
from xbarsim.base.errors import ConfigError
from xbarsim.base.workers import worker_threads
from xbarsim.config.training import Training, check_training
from xbarsim.hardware.build import Design, Hardware, assemble_chip, matrix_plans
from xbarsim.hardware.matrices import InSituMatrix
from xbarsim.hardware.steps import MatrixOnHardware
from xbarsim.torch.analog_model import AnalogModel
from xbarsim.torch.products import MatrixProducts
from xbarsim.torch.training.cells import TrainedMatrix, with_full_scale

TRAINING = 6  # first of the names of the seeds of steps
HELD_OUT = 9  # of the seed of the chip that held-out examples are scored on


class TrainingChips:
    """Writes a model to another chip in every step of a training loop.

    ```python
    chips = TrainingChips(analog, Training(), calibration)
    for number, (x, y) in enumerate(batches):
        chips.begin(number)
        loss = criterion(analog(x), y)
        loss.backward()
        optimizer.step()
        chips.after_update()
    ```

    Every `wires_every` steps all wires are solved exactly, and ranges, gains and full scales of weights
    are fitted to the weights as they are then; between, the transfer matrices follow to first order.
    """

    def __init__(self, analog: AnalogModel, settings: Training, calibration: Iterable[Any]) -> None:
        """calibration : batches of held-out examples, as of `set_ranges`

        Raises
        ------
        ConfigError : settings that do not go together
        """
        check_training(settings, analog.study.mapping, "[training]")
        self.analog = analog
        self.settings = settings
        self.calibration = list(calibration)
        self.matrices: dict[str, TrainedMatrix] = {}
        if settings.learn_ranges:
            self._learn_ranges()

    def _learn_ranges(self) -> None:
        """Full scales of inputs as parameters, from the fitted ones on: their logarithms, so that
        they stay positive.
        """
        found = {}
        device = next(self.analog.model.parameters()).device
        for name, matrix in self.analog.hardware.matrices.items():
            if isinstance(matrix, InSituMatrix):
                value = math.log(matrix.array.coder.full_scale)
                found[_key(name)] = nn.Parameter(torch.tensor(value, device=device))
        self.analog.input_ranges = nn.ParameterDict(found)

    @property
    def learned_ranges(self) -> dict[str, float]:
        """{matrix: full scale of its inputs}, empty unless they are learned."""
        names = self.analog.hardware.matrices
        kept = self.analog.input_ranges
        return {
            name: math.exp(float(kept[_key(name)].detach())) for name in names if _key(name) in kept
        }

    def seed_of(self, step: int) -> int:
        """Of the chip of a step; always the same one without `redraw`."""
        if not self.settings.redraw:
            step = 0
        return self._seed(TRAINING, step)

    def _seed(self, *names: int) -> int:
        key = np.random.SeedSequence(self.analog.seed, spawn_key=names)
        return int(key.generate_state(1)[0])

    def begin(self, step: int) -> None:
        """Write the weights as they are now to the chip of a step, before its pass."""
        with worker_threads() as pool:
            if step % self.settings.wires_every == 0 or not self.matrices:
                self._solve(self.seed_of(step), pool)
            else:
                self._write(self.seed_of(step), pool)
        self.analog.rewind(step * self.settings.batch_examples)

    def write_held_out(self) -> None:
        """Write the weights as they are now to a chip that no step is taken on, its wires solved
        exactly."""
        with worker_threads() as pool:
            self._solve(self._seed(HELD_OUT), pool)
        self.analog.rewind()

    def after_update(self) -> None:
        """Hold weights within their bounds after an update."""
        limit = self.settings.clip_deviations
        if limit is None:
            return
        with torch.no_grad():
            for site in self.analog.structure.matrices:
                module = self.analog.model.get_submodule(site.path)
                weight = getattr(module, "base_layer", module).weight
                if weight.requires_grad:
                    bound = limit * float(weight.std())
                    weight.clamp_(-bound, bound)

    def _solve(self, seed: int, pool: Executor) -> None:
        """All wires exactly, and ranges and gains of the weights as they are."""
        analog = self.analog
        held_out = analog.listen_to(self.calibration)
        analog.state_full_scales(self.learned_ranges)
        design = analog.design_of(held_out)
        plans = matrix_plans(design, seed)
        causal = analog.structure.graph.causal

        def solved(name: str) -> TrainedMatrix:
            return TrainedMatrix.solved(
                plans[name](),
                held_out.inputs[name],
                design.settings[name],
                drop_connect=self.settings.drop_connect,
                any_batch=causal,
            )

        self.matrices = dict(zip(plans, pool.map(solved, plans), strict=True))
        arrays = {name: matrix.array for name, matrix in self.matrices.items()}
        self._use(design, arrays, seed)

    def _write(self, seed: int, pool: Executor) -> None:
        """All cells anew, the wires to first order."""
        analog = self.analog
        weights: dict[str, Singles] = {
            name: analog.network.matrix(name)[0] for name in self.matrices
        }

        def written(name: str) -> Any:
            return self.matrices[name].written(weights[name], seed)

        arrays = dict(zip(self.matrices, pool.map(written, self.matrices), strict=True))
        self._use(analog.design, arrays, seed)

    def _use(self, design: Design, arrays: dict[str, Any], seed: int) -> None:
        """Multiply with these arrays from now on."""
        graph = design.model.graph
        ranges = self.learned_ranges
        in_situ: dict[str, InSituMatrix] = {}
        for name, array in arrays.items():
            placed = array
            if name in ranges:
                placed = with_full_scale(array, ranges[name])
            in_situ[name] = InSituMatrix(graph.step(name), design.settings[name], placed)
        hardware = assemble_chip(design, seed, in_situ)
        self.analog.use_chip(hardware, self._products(hardware), self._ranges())

    def _products(self, hardware: Hardware) -> dict[str, MatrixProducts]:
        found = {}
        for name, matrix in hardware.matrices.items():
            found[name] = self._product(name, matrix, hardware.seed)
        return found

    def _product(self, name: str, matrix: MatrixOnHardware, seed: int) -> MatrixProducts:
        products = MatrixProducts.of(matrix, seed)
        trained = self.matrices.get(name)
        if trained is None:
            return products
        return dataclasses.replace(products, sensitivity=trained.sensitivity)

    def _ranges(self) -> dict[str, nn.Parameter]:
        """Logarithms of full scales that are learned."""
        names = self.analog.hardware.matrices
        kept = self.analog.input_ranges
        return {name: kept[_key(name)] for name in names if _key(name) in kept}


def _key(name: str) -> str:
    """The name of a step as a key of parameters, which may hold no dot and not be empty."""
    return f"of {name.replace('.', '/')}"


def check_in_situ(analog: AnalogModel) -> None:
    """Refuse a study that leaves nothing to train for.

    Raises
    ------
    ConfigError
    """
    matrices = analog.hardware.matrices.values()
    if not any(isinstance(matrix, InSituMatrix) for matrix in matrices):
        raise ConfigError(
            "no weights of the model lie on in-situ tiles, so no training can be aware of them; set "
            'products.weights = "in_situ", or training.hardware_aware = false'
        )
