"""Training around stuck cells: with the map of all cells, with a record per column, or a mixture.

A weight is a pair of cells, (positive - negative) times the full scale; a stuck cell stays where it
is.  Columns (outputs) that are aware of their synapses train with the defects that they have; those
that are aware of their neuron alone know how many cells are stuck on and off, and train with as many
at places drawn anew for every batch.  The others train as if nothing were stuck.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Booleans, Floats, Integers, Singles
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.kernels.training.stuck_cells import FREE, OFF, ON, scatter, stuck_weights


@dataclass(frozen=True)
class DefectMap:
    """State of the cells of a matrix: (2, outputs, inputs), positive and negative ones, of `FREE`, `ON`
    and `OFF`.

    on, off : where stuck cells sit in the window, 0 at its low end and 1 at the high one
    """

    state: Integers
    on: float = 1.0
    off: float = 0.0

    def __post_init__(self) -> None:
        if self.state.ndim != 3 or len(self.state) != 2:
            raise ShapeError(
                f"a defect map has shape {self.state.shape}; needed is (2, outputs, inputs)"
            )

    @classmethod
    def random(cls, outputs: int, inputs: int, on: float, off: float, seed: int) -> "DefectMap":
        """Cells stuck with these rates, by themselves.

        Raises
        ------
        OutOfRangeError : rates that are none
        """
        if min(on, off) < 0 or on + off > 1:
            raise OutOfRangeError(
                f"rates are {on:g} and {off:g}; allowed: 0 or more, together up to 1"
            )
        drawn = np.random.default_rng(seed).random((2, outputs, inputs))
        return cls(np.select([drawn < on, drawn < on + off], [ON, OFF], FREE))

    @property
    def share(self) -> float:
        """Of the cells that are stuck."""
        return float(np.mean(self.state != FREE))

    @property
    def of_columns(self) -> Integers:
        """(outputs,) stuck cells of every column."""
        found: Integers = np.count_nonzero(self.state, axis=(0, 2))
        return found

    def shuffled(self, rng: np.random.Generator) -> "DefectMap":
        """As many of each kind in every column, elsewhere."""
        on = np.count_nonzero(self.state == ON, axis=(0, 2))
        off = np.count_nonzero(self.state == OFF, axis=(0, 2))
        state = np.empty(self.state.shape, np.int64)
        places = np.empty(2 * self.state.shape[2], np.int64)
        scatter(on, off, rng.random(int((on + off).sum())), places, state)
        return DefectMap(state, self.on, self.off)

    def applied(self, weight: Singles, full_scale: float) -> Singles:
        """What a matrix (outputs, inputs) becomes on these cells; weights beyond the full scale are
        held there."""
        found = np.empty(weight.shape, np.float32)
        stuck_weights(
            np.ascontiguousarray(weight, np.float32),
            np.ascontiguousarray(self.state),
            scale=full_scale,
            on=self.on,
            off=self.off,
            found=found,
        )
        return found


@dataclass
class DefectAware:
    """The weights of a network on cells with defects, see `gradients.WeightForm`.

    maps : of every matrix
    full_scales : of every matrix, or the most that it may be where `by_largest`: then that is the
        largest weight as it is, if it is less
    synapse_aware, neuron_aware : (outputs,) of every matrix, which columns know what
    """

    maps: Mapping[str, DefectMap]
    full_scales: Mapping[str, float]
    synapse_aware: Mapping[str, Booleans]
    neuron_aware: Mapping[str, Booleans]
    rng: np.random.Generator
    by_largest: bool = False

    def __call__(self, name: str, weight: Singles) -> Singles:
        """The weights that multiply in training."""
        known = self.maps[name]
        scale = self.full_scales[name]
        if self.by_largest:
            scale = min(scale, float(np.abs(weight).max()))
        found = np.clip(weight, -scale, scale)
        exact = self.synapse_aware[name]
        found[exact] = known.applied(weight, scale)[exact]
        counted = self.neuron_aware[name] & ~exact
        if counted.any():
            found[counted] = known.shuffled(self.rng).applied(weight, scale)[counted]
        return found

    def gradient(self, name: str, gradient: Singles) -> Singles:
        """Straight through, as if every weight could move: what is stuck does not care."""
        return gradient


def columns_by_defects(maps: Mapping[str, DefectMap]) -> list[tuple[str, int]]:
    """(matrix, column) of all columns, those with the largest share of stuck cells first."""
    found = []
    for name, one in maps.items():
        cells = one.state.shape[0] * one.state.shape[2]
        for column, count in enumerate(one.of_columns):
            found.append((count / cells, name, column))
    found.sort(key=lambda entry: -entry[0])
    return [(name, column) for _, name, column in found]


def chosen_columns(
    maps: Mapping[str, DefectMap], columns: list[tuple[str, int]]
) -> dict[str, Booleans]:
    """{matrix: (outputs,)} True for some columns."""
    chosen = {name: np.zeros(one.state.shape[1], bool) for name, one in maps.items()}
    for name, column in columns:
        chosen[name][column] = True
    return chosen


def on_defects(
    tensors: Mapping[str, Singles], maps: Mapping[str, DefectMap], full_scales: Mapping[str, float]
) -> dict[str, Singles]:
    """Tensors of a network whose matrices lie on the cells as they are."""
    found = dict(tensors)
    for name, one in maps.items():
        weight = tensors[f"{name}.weight"]
        rows = weight.reshape(len(weight), -1)
        found[f"{name}.weight"] = one.applied(rows, full_scales[name]).reshape(weight.shape)
    return found


def full_scales_of(
    tensors: Mapping[str, Singles], names: Mapping[str, DefectMap]
) -> dict[str, float]:
    """The largest weight of every matrix, or a thousandth of a unit of one of zeros."""
    found: dict[str, float] = {}
    for name in names:
        largest: Floats = np.abs(tensors[f"{name}.weight"]).max()
        found[name] = max(float(largest), 1e-3)
    return found
