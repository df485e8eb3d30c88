"""Every step of a model on one simulated chip."""

from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.layout import layout_of
from xbarsim.arrays.in_situ.programmed import program_matrix
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.memory import store
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.progress import silent
from xbarsim.hardware import products


def program_arrays(
    model,
    study,
    device,
    inputs,
    input_ranges,
    counting,
    pool,
    progress=silent,
    description="tiles programmed",
):
    """{matrix: Array or CountedMatrix} of all encoder matrices of a model, with ranges from
    `inputs` {matrix: samples}.

    input_ranges : of `quantize.input_ranges`, full scales of what counts in int8
    counting : products.Pool.  Every thread of `pool` works on a matrix of its own, row block by row
        block.
    """
    names = [step.name for step in model.graph.matrices]
    weights = [model.matrix(name)[0] for name in names]
    own = [study.for_layer(name) for name in names]
    in_situ = [chosen.products.weights == "in_situ" for chosen in own]
    memories = {}

    def memory_of(chosen):
        """The dense memory of a matrix: one for all matrices of the same settings."""
        key = (chosen.memory, chosen.wires, chosen.effects)
        if key not in memories:
            memories[key] = store.Memory.of(chosen, device.in_study(chosen), names)
        return memories[key]

    def build(index):
        name = names[index]
        moment = (inputs[name].astype(np.float64) ** 2).mean(axis=0)
        programmed = program_matrix(
            name=name,
            index=index,
            weight=weights[index],
            moment=moment,
            settings=InSituSettings.of(own[index]),
            device=device.in_study(own[index]),
            seed=own[index].seed,
        )
        return with_ranges(programmed, inputs[name])

    total = sum(
        layout_of(*weight.shape[::-1], chosen.mapping).tiles
        for weight, chosen, programmed in zip(weights, own, in_situ, strict=True)
        if programmed
    )
    done = progress(description, total)
    built = pool.map(build, [index for index, programmed in enumerate(in_situ) if programmed])
    arrays = {}
    for index, name in enumerate(names):
        if in_situ[index]:
            arrays[name] = next(built)
            done(arrays[name].programmed.layout.tiles)
        else:
            arrays[name] = products.CountedMatrix.prepare(
                name,
                index,
                weights[index],
                input_ranges[name],
                own[index],
                counting,
                memory_of(own[index]).read,
            )
    return arrays


@dataclass(frozen=True)
class Hardware:
    """What takes the place of the float32 steps on one chip.

    arrays : {matrix: Array or CountedMatrix};  products : {product: AttentionProduct}
    units : {operation: function}, see `functions.build`;  seed : int
    """

    arrays: dict
    products: dict
    units: dict
    seed: int

    def __contains__(self, name: str) -> bool:
        """Whether a step of this name is on hardware."""
        return name in self.arrays or name in self.products or name in self.units


def chip_seed(seed, number):
    """Seed of a simulated chip: the study's for the first, independent ones for the others."""
    return (
        seed
        if number == 0
        else int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])
    )
