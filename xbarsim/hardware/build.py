"""Every step of a model on one simulated chip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from xbarsim.arrays.digital_scale import ScaleShift
from xbarsim.arrays.in_situ.correction import mean_squares
from xbarsim.arrays.in_situ.input_lines import InputLines, check_signs, with_lines
from xbarsim.arrays.in_situ.kept_arrays import KeptArrays, kept_directory
from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.arrays.in_situ.line_order import LineOrder, ordered
from xbarsim.arrays.in_situ.matrix import without_targets
from xbarsim.arrays.in_situ.measured import measured_plan
from xbarsim.arrays.in_situ.programmed import MatrixPlan, plan_matrix, program
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.in_situ.rescaling import LaterUse, fitted_device, rescaling_of
from xbarsim.arrays.in_situ.shelf import Shelf
from xbarsim.arrays.memory.store import Memory
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import Singles
from xbarsim.base.errors import ConfigError
from xbarsim.base.progress import Progress, silent
from xbarsim.base.units import GIGA
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.streams import Streams
from xbarsim.hardware import functions
from xbarsim.hardware.attention import CountedAttention, WrittenAttention
from xbarsim.hardware.causal_counted import CausalCountedAttention
from xbarsim.hardware.causal_written import CausalWrittenAttention
from xbarsim.hardware.counting import Pool
from xbarsim.hardware.matrices import CountedMatrix, InSituMatrix
from xbarsim.hardware.steps import (
    FunctionOnHardware,
    MatrixOnHardware,
    ProductOnHardware,
    ProductSample,
)
from xbarsim.models.graph import Graph, Role, Step
from xbarsim.models.network import Network


@dataclass(frozen=True)
class HeldOut:
    """What held-out sentences say about the float32 path.

    inputs : {matrix: (samples, in)}
    ranges : {function: (largest |input|, largest |output|)}, {product: (largest |a|, largest |b|)}
    input_ranges : {matrix: full scale of its int8 inputs}, of `int8.input_ranges`
    products : {causal product: of some held-out sequences}
    """

    inputs: dict[str, Singles]
    ranges: dict[str, tuple[float, float]]
    input_ranges: dict[str, float]
    products: dict[str, tuple[ProductSample, ...]] = field(default_factory=dict)


def settings_of(study: Study, graph: Graph) -> dict[str, Study]:
    """{step: the study as it applies to it}: the one place where `[[layer]]` tables are laid over
    the rest.
    """
    return {step.name: study.for_layer(step.name) for step in graph.steps}


@dataclass(frozen=True)
class Design:
    """What all chips of a case share.

    settings : of `settings_of`;  units : {function: what computes it in integers}
    """

    model: Network
    settings: dict[str, Study]
    device: DeviceModel
    held_out: HeldOut
    units: dict[str, FunctionOnHardware]

    @classmethod
    def of(cls, model: Network, study: Study, device: DeviceModel, held_out: HeldOut) -> Design:
        """The design of a case.

        Raises
        ------
        ConfigError : bit widths that cannot represent a function, matrices that share tiles and
            not their settings
        """
        settings = settings_of(study, model.graph)
        _check_shared(settings, model.graph)
        units = functions.build(settings, model, held_out.ranges)
        return cls(model, settings, device, held_out, units)


def _check_shared(settings: dict[str, Study], graph: Graph) -> None:
    """Refuse `[[layer]]` tables that would want the same tiles in two ways."""
    for step in graph.matrices:
        if _of_tiles(settings[step.name]) != _of_tiles(settings[step.owner]):
            raise ConfigError(
                f"[[layer]] tables set {step.name} in another way than {step.owner}, whose weights "
                "and tiles it shares; let their match name both, '*."
                f"{step.role}' for example"
            )


def _of_tiles(study: Study) -> tuple[object, ...]:
    """The settings that cannot differ between uses of the same weights."""
    return (
        InSituSettings.of(study),
        study.products.weights,
        study.computation,
        study.memory,
        study.device,
    )


@dataclass(frozen=True)
class Hardware:
    """What takes the place of the float32 steps on one chip, by their names.

    causal : whether tokens see those before them only
    """

    matrices: dict[str, MatrixOnHardware]
    products: dict[str, ProductOnHardware]
    functions: dict[str, FunctionOnHardware]
    seed: int
    causal: bool = False

    def __contains__(self, name: str) -> bool:
        """Whether a step of this name is on hardware."""
        return name in self.matrices or name in self.products or name in self.functions


def chip_seed(seed: int, number: int) -> int:
    """Seed of a simulated chip: the study's for the first, independent ones for the others."""
    if number == 0:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


def build_chip(
    design: Design,
    seed: int,
    pool: Executor,
    *,
    progress: Progress = silent,
    description: str = "tiles programmed",
    room: int | None = None,
) -> Hardware:
    """Program one chip.  Every thread of `pool` works on a matrix of its own, row block by row
    block.

    room : bytes for the arrays of in-situ matrices, beyond which they wait in files; None without a
        bound
    """
    builder = _Builder(design, seed, room)
    return Hardware(
        matrices=builder.matrices(pool, progress, description),
        products=builder.products(),
        functions=design.units,
        seed=seed,
        causal=design.model.graph.causal,
    )


def program_matrix_of(design: Design, seed: int, name: str) -> dict[str, InSituMatrix]:
    """One in-situ matrix of a chip, by the name of its step, in all its uses: the same as `build_chip`
    programs.
    """
    return _Builder(design, seed).in_situ(design.model.graph.step(name))


def assemble_chip(design: Design, seed: int, in_situ: Mapping[str, InSituMatrix]) -> Hardware:
    """The chip of `build_chip`, of in-situ matrices that are programmed already: {step: matrix}."""
    builder = _Builder(design, seed)
    return Hardware(
        matrices=builder.assembled(in_situ),
        products=builder.products(),
        functions=design.units,
        seed=seed,
        causal=design.model.graph.causal,
    )


def in_situ_steps(settings: Mapping[str, Study], graph: Graph) -> list[Step]:
    """Matrices with programmed tiles of their own; settings : of `settings_of`"""
    owners = [step for step in graph.matrices if step.shares is None]
    return [step for step in owners if _lies_on(settings, step) == "in_situ"]


def _lies_on(settings: Mapping[str, Study], step: Step) -> str:
    """What multiplies with a matrix."""
    return settings[step.name].products.lies_on(step.role is Role.LOGITS)


def matrix_plans(design: Design, seed: int) -> dict[str, Callable[[], MatrixPlan]]:
    """{matrix: what makes its plan} of the in-situ matrices of a chip that have tiles of their own."""
    builder = _Builder(design, seed)
    return {
        step.name: partial(builder.plan, step)
        for step in in_situ_steps(design.settings, builder.graph)
    }


class _Builder:
    """One chip being built; matrices and products are numbered in the order of the model, which
    names their random numbers.
    """

    def __init__(self, design: Design, seed: int, room: int | None = None) -> None:
        self.design = design
        self.seed = seed
        self.shelf = Shelf(room)
        self.graph = design.model.graph
        numbered = (*self.graph.matrices, *self.graph.products)
        self.index = {step.name: index for index, step in enumerate(numbered)}
        self.crossbars = Pool(seed)
        self.memories: dict[object, Memory] = {}

    def matrices(
        self, pool: Executor, progress: Progress, description: str
    ) -> dict[str, MatrixOnHardware]:
        """All of them, those with tiles programmed on the threads of a pool."""
        steps = in_situ_steps(self.design.settings, self.graph)
        done = progress(description, sum(self._tiles(step) for step in steps))
        programmed: dict[str, InSituMatrix] = {}
        for step, of_step in zip(steps, pool.map(self.in_situ, steps), strict=True):
            programmed |= of_step
            done(self._tiles(step))
        return self.assembled(programmed)

    def assembled(self, in_situ: Mapping[str, InSituMatrix]) -> dict[str, MatrixOnHardware]:
        """All matrices on hardware, with those of tiles that are programmed already."""
        found: dict[str, MatrixOnHardware] = dict(in_situ)
        on_hardware = []
        for step in self.graph.matrices:
            if _lies_on(self.design.settings, step) == "digital":
                continue
            on_hardware.append(step.name)
            if step.shares is None and step.name not in in_situ:
                found |= self._counted(step)
        return {name: found[name] for name in on_hardware}

    def _tiles(self, step: Step) -> int:
        mapping = self.design.settings[step.name].mapping
        return layout_of(step.inputs, step.outputs, mapping).tiles

    def in_situ(self, step: Step) -> dict[str, InSituMatrix]:
        """A matrix, programmed once, in all its uses: each has converter ranges and a digital
        correction of its own, and reads of its own.
        """
        settings = self.design.settings[step.name]
        inputs = self.design.held_out.inputs
        uses = self.graph.uses(step)
        order = self.order(step)
        plan = self.plan_in_order(step, order)
        at_fit = fitted_device(self.design.device, settings)
        kept = KeptArrays(
            kept_directory(),
            limit=round(settings.run.cache_gb * GIGA),
            evict=settings.run.cache_eviction != "none",
        )
        solve = kept.solve
        if settings.correction.reads_lines:  # the currents of lines are not kept
            solve = program
        programmed = solve(dataclasses.replace(plan, device=at_fit))
        later = None
        if settings.correction.fitted_s is not None:
            used = solve(plan)
            later = LaterUse(used, rescaling_of(plan, programmed, used, at_fit))
        found = {}
        for use in uses:
            of_use = dataclasses.replace(programmed, index=self.index[use.name])
            samples = inputs[use.name]
            if order is not None:
                samples = order.of_inputs(samples)
            lines = self.lines(step, samples)
            if lines is not None:
                of_use = dataclasses.replace(of_use, settings=lines.of_settings(of_use.settings))
                samples = lines.of_inputs(samples)
            array = with_ranges(of_use, samples, any_batch=self.graph.causal)
            rescaling = None
            if later is not None:
                array = later.of(array)
                rescaling = later.rescaling
            placed = self.shelf.place(without_targets(array))
            of_inputs = with_lines(placed, lines, of_use)
            found[use.name] = InSituMatrix(
                step=use,
                settings=settings,
                array=ordered(of_inputs, order),
                rescaling=rescaling,
                pulse_energy=self.design.device.pulse_energy,
            )
        return found

    def order(self, step: Step) -> LineOrder | None:
        """Which inputs and outputs lie where, None where that is their own order."""
        settings = self.design.settings[step.name]
        weight, _ = self.design.model.matrix(step.name)
        return LineOrder.of(
            weight,
            mean_squares(self.samples(step)),
            settings.mapping,
            self.design.device.in_study(settings),
            Streams(self.seed, self.index[step.name]),
        )

    def samples(self, step: Step) -> Singles:
        """Sample inputs of a matrix in all its uses."""
        inputs = self.design.held_out.inputs
        uses = self.graph.uses(step)
        if len(uses) == 1:
            return inputs[step.name]
        return np.concatenate([inputs[use.name] for use in uses])

    def lines(self, step: Step, samples: Singles) -> InputLines | None:
        """The two word lines of an input, None where it drives one; samples in their order."""
        of_arrays = InSituSettings.of(self.design.settings[step.name])
        weight, _ = self.design.model.matrix(step.name)
        return InputLines.of(weight, samples, of_arrays, of_arrays.read_voltage(self.design.device))

    def plan(self, step: Step) -> MatrixPlan:
        """A matrix mapped onto tiles, or onto those whose conductances the study names."""
        return self.plan_in_order(step, self.order(step))

    def plan_in_order(self, step: Step, order: LineOrder | None) -> MatrixPlan:
        """The same with inputs and outputs in an order that is known."""
        settings = self.design.settings[step.name]
        weight, _ = self.design.model.matrix(step.name)
        if order is not None:
            weight = order.of_weight(weight)
        device = self.design.device.in_study(settings)
        index = self.index[step.name]
        of_arrays = InSituSettings.of(settings)
        if settings.mapping.conductances is not None:
            return measured_plan(step.name, index, weight, of_arrays, device, self.seed)
        samples = self.samples(step)
        if order is not None:
            samples = order.of_inputs(samples)
        check_signs(weight, of_arrays, step.name)
        lines = self.lines(step, samples)
        if lines is not None:
            weight = lines.of_weight(weight)
            samples = lines.of_inputs(samples)
        plan = plan_matrix(
            name=step.name,
            index=index,
            weight=weight,
            moment=mean_squares(samples),
            settings=of_arrays,
            device=fitted_device(self.design.device, settings),
            seed=self.seed,
            shift=ScaleShift.of(weight, samples, settings.mapping.scale_shift),
        )
        return dataclasses.replace(plan, device=device)

    def _counted(self, step: Step) -> dict[str, CountedMatrix]:
        """A matrix on computation crossbars, in all its uses."""
        settings = self.design.settings[step.name]
        weight, _ = self.design.model.matrix(step.name)
        inputs = self.design.held_out.inputs
        uses = self.graph.uses(step)
        largest = self.design.held_out.input_ranges
        matrix = CountedMatrix.prepare(
            step,
            self.index[step.name],
            weight,
            largest_input=largest[step.name],
            samples=np.concatenate([inputs[use.name] for use in uses]),
            settings=settings,
            pool=self.crossbars,
            read=self._memory(settings).read,
            any_batch=self.graph.causal,
        )
        return {
            use.name: matrix.used_by(use, self.index[use.name], largest[use.name], inputs[use.name])
            for use in uses
        }

    def _memory(self, settings: Study) -> Memory:
        """The dense memory of a matrix: one for all matrices of the same settings."""
        key = (settings.memory, settings.wires, settings.effects)
        if key not in self.memories:
            device = self.design.device.in_study(settings)
            names = [step.name for step in self.graph.matrices]
            self.memories[key] = Memory.of(settings, device, names, self.seed)
        return self.memories[key]

    def products(self) -> dict[str, ProductOnHardware]:
        """Those that the study does not leave digital."""
        found: dict[str, ProductOnHardware] = {}
        for step in self.graph.products:
            settings = self.design.settings[step.name]
            if step.causal:
                product = self._causal(step, settings)
                if product is not None:
                    found[step.name] = product
            elif settings.products.attention == "computation":
                found[step.name] = CountedAttention(
                    step=step,
                    index=self.index[step.name],
                    settings=settings,
                    crossbars=self.crossbars.crossbars(settings),
                    largest=self.design.held_out.ranges[step.name],
                    seed=self.seed,
                )
            elif settings.products.attention == "in_situ":
                found[step.name] = WrittenAttention(
                    step=step,
                    index=self.index[step.name],
                    settings=settings,
                    seed=self.seed,
                    device=self.design.device.in_study(settings),
                )
        return found

    def _causal(self, step: Step, settings: Study) -> ProductOnHardware | None:
        """A product of causal attention, None where it stays digital."""
        if settings.products.attention == "digital":
            return None
        index = self.index[step.name]
        if settings.products.attention == "computation":
            return CausalCountedAttention(
                step=step,
                index=index,
                settings=settings,
                crossbars=self.crossbars.crossbars(settings),
                largest=self.design.held_out.ranges[step.name],
                seed=self.seed,
                longest=self.graph.sequence,
            )
        return CausalWrittenAttention.prepare(
            step,
            index,
            self.design.held_out.products[step.name],
            longest=self.graph.sequence,
            settings=settings,
            seed=self.seed,
            device=self.design.device.in_study(settings),
        )
