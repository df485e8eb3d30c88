"""Training in the array: a perceptron whose weights are pairs of cells, moved by pulses.

Forward and backward products use the conductances as they are; no copy of the weights is kept
anywhere.  What a rule asks for becomes pulses, and what pulses do is the cells' own affair
(`pulsed_cells`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from xbarsim.base.array_types import AnyArray, Floats, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError
from xbarsim.base.progress import Done, Progress, silent
from xbarsim.config.image_training import Rule
from xbarsim.devices.model import DeviceModel
from xbarsim.training.gradients import cross_entropy
from xbarsim.training.pulsed_cells import Divider, Heat, PulsedCells, PulseLaw

GREY_LEVELS = 255


@dataclass(frozen=True)
class Pulsing:
    """How a network is trained in the array.

    rate : of gradient descent;  train : pulses of a line per image, of outer products
    least : of Manhattan's rule, share of the largest gradient of a layer below which a cell rests
    most : pulses of a cell per update
    weight_range : weight of a pair whose cells are at opposite ends of the window, times the root of
        the layer's inputs
    """

    rule: Rule = Rule.COUNTED
    rate: float = 0.05
    batch: int = 10
    epochs: int = 1
    train: int = 10
    least: float = 0.0
    most: int = 20
    weight_range: float = 8.0
    seed: int = 0
    heat: Heat | None = None
    divider: Divider | None = None
    half_select: float = 0.0

    def __post_init__(self) -> None:
        allowed = (
            min(self.rate, self.weight_range) > 0 and min(self.batch, self.train, self.most) >= 1
        )
        if not allowed or self.epochs < 0 or not 0 <= self.least < 1:
            raise OutOfRangeError(
                f"rate = {self.rate:g}, batch = {self.batch}, epochs = {self.epochs}, train = "
                f"{self.train}, least = {self.least:g}, most = {self.most}, weight_range = "
                f"{self.weight_range:g}; allowed are a rate and a range above 0, 0 or more epochs, 1 or "
                "more of the others, a share below 1"
            )


@dataclass(frozen=True)
class Wear:
    """What training took: pulses of all cells, mean and most of one cell, cells that no pulse moves.

    heating_pulses : beside these
    energy : joule of the pulses, None where the device states none
    """

    pulses: int
    heating_pulses: int
    pulses_per_cell: float
    most_of_a_cell: int
    cells: int
    not_responding: int
    energy: float | None


class Layer:
    """A matrix (inputs + 1, outputs) of pairs of cells, the last row of which is the bias.

    weight_of_window : weight of a pair whose cells are at opposite ends of the window
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        device: DeviceModel,
        pulsing: Pulsing,
        seed: tuple[int, int],
    ) -> None:
        law = PulseLaw.of(device)
        self.rng = np.random.default_rng(seed)  # of all of its cells
        shape = (2, inputs + 1, outputs)
        self.weight_of_window = pulsing.weight_range / np.sqrt(inputs)
        start = np.full(shape, (law.low + law.high) / 2)
        spread = 1 / np.sqrt(inputs) / self.weight_of_window * (law.high - law.low) / np.sqrt(2)
        start += spread * self.rng.standard_normal(shape)
        programmed = np.clip(start, law.low, law.high)
        stuck = device.stuck_cells(shape, seed[0] * 100 + seed[1])
        self.cells = [
            PulsedCells(
                law=law,
                conductance=np.where(stuck.mask[sign], stuck.conductance[sign], programmed[sign]),
                responds=~stuck.mask[sign],
                rng=self.rng,
                write=device.file.write,
                second_state=pulsing.heat,
                divider=pulsing.divider,
                half_select=pulsing.half_select,
            )
            for sign in (0, 1)
        ]

    @property
    def scale(self) -> float:
        """Weight per siemens."""
        law = self.cells[0].law
        return float(self.weight_of_window / (law.high - law.low))

    @property
    def weight(self) -> Floats:
        """(inputs + 1, outputs)"""
        plus, minus = self.cells
        return self.scale * (plus.conductance - minus.conductance)

    def pulse(self, counts: Integers) -> None:
        """Pulses (inputs + 1, outputs) that raise weights, or lower them where negative: to the
        positive cell, and as many the other way to the negative one."""
        self.cells[0].apply(counts)
        self.cells[1].apply(-counts)


@dataclass
class InSituNetwork:
    """A perceptron of `sizes` (inputs, hidden, ..., classes) on cells of a device, ReLU between.

    divisor : of what it reads before it enters the first layer
    rng : of the order of images and of what rules leave to chance
    """

    layers: list[Layer]
    pulsing: Pulsing
    divisor: float = GREY_LEVELS
    losses: list[float] = field(default_factory=list)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.pulsing.seed, 7])

    @classmethod
    def of(
        cls,
        sizes: tuple[int, ...],
        device: DeviceModel,
        pulsing: Pulsing = Pulsing(),
        divisor: float = GREY_LEVELS,
    ) -> "InSituNetwork":
        """A network that is not trained.

        Raises
        ------
        ConfigError : a device without [write_verify];  ShapeError : less than two sizes
        """
        if len(sizes) < 2 or min(sizes) < 1:
            raise ShapeError(f"sizes are {sizes}; needed are inputs, classes and what lies between")
        layers = [
            Layer(inputs, outputs, device, pulsing, (pulsing.seed, number))
            for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False))
        ]
        return cls(layers, pulsing, divisor)

    def values(self, inputs: AnyArray) -> Floats:
        """(n, classes) of images (n, inputs): grey values, if nothing else was said of the divisor."""
        return self._forward(inputs / self.divisor)[-1]

    def classes_of(self, inputs: AnyArray) -> Integers:
        """(n,) of images."""
        found: Integers = self.values(inputs).argmax(axis=1)
        return found

    def train(self, inputs: AnyArray, classes: Integers, progress: Progress = silent) -> None:
        """Train by pulses on images (n, inputs), `pulsing.epochs` times.

        Raises
        ------
        ShapeError : images of another size, or not one class for each
        """
        done = progress("training in the array", self.pulsing.epochs * len(inputs))
        for _ in range(self.pulsing.epochs):
            self.epoch(inputs, classes, done)

    def epoch(self, inputs: AnyArray, classes: Integers, done: Done) -> float:
        """Train on every image once; returns the mean loss, which `losses` keeps.

        Raises
        ------
        ShapeError : as of `train`
        """
        read = len(self.layers[0].weight) - 1
        if inputs.shape != (len(classes), read):
            raise ShapeError(
                f"images have shape {inputs.shape} with {len(classes)} classes; the network reads "
                f"{read} grey values"
            )
        total = 0.0
        for chosen in _batches(self.rng, len(inputs), self.pulsing.batch):
            images = inputs[chosen] / self.divisor
            total += len(chosen) * self._update(images, classes[chosen])
            done(len(chosen))
        loss = total / len(inputs)
        self.losses.append(loss)
        return loss

    @property
    def wear(self) -> Wear:
        """Of all cells so far."""
        cells = [one for layer in self.layers for one in layer.cells]
        energies = [one.energy for one in cells if one.energy is not None]
        pulses = sum(int(one.pulses.sum()) for one in cells)
        count = sum(one.pulses.size for one in cells)
        return Wear(
            pulses=pulses,
            pulses_per_cell=pulses / count,
            heating_pulses=sum(one.heating_pulses for one in cells),
            most_of_a_cell=max(int(one.pulses.max()) for one in cells),
            cells=count,
            not_responding=sum(int(np.count_nonzero(~one.responds)) for one in cells),
            energy=sum(energies) if energies else None,
        )

    def _forward(self, images: Floats) -> list[Floats]:
        """Inputs of every layer, and the values of the last."""
        outputs = [images]
        for number, layer in enumerate(self.layers):
            x = _with_bias(outputs[-1]) @ layer.weight
            is_last = number == len(self.layers) - 1
            outputs.append(x if is_last else np.maximum(x, 0))
        return outputs

    def _update(self, images: Floats, classes: Integers) -> float:
        """One batch; returns its loss."""
        outputs = self._forward(images)
        loss, by_values = cross_entropy(outputs[-1].astype(np.float32), classes)
        error = by_values.astype(np.float64)
        wanted: list[tuple[Floats, Floats]] = []
        for number in reversed(range(len(self.layers))):
            inputs = outputs[number]
            wanted.append((_with_bias(inputs), error))
            back = error @ self.layers[number].weight[:-1].T
            error = back * (inputs > 0)
        for layer, (inputs, error) in zip(reversed(self.layers), wanted, strict=True):
            layer.pulse(self._counts(layer, inputs, error))
        return loss

    def _counts(self, layer: Layer, inputs: Floats, error: Floats) -> Integers:
        """Pulses (inputs + 1, outputs) that a rule asks for."""
        pulsing = self.pulsing
        weight_of_pulse = 2 * layer.scale * layer.cells[0].typical_step  # both cells of a pair
        if pulsing.rule is Rule.OUTER_PRODUCT:
            wanted = -pulsing.rate * error / weight_of_pulse
            counts = _coincidences(inputs, wanted, pulsing, self.rng)
        else:
            gradient = inputs.T @ error
            if pulsing.rule is Rule.MANHATTAN:
                moves = np.abs(gradient) > pulsing.least * np.abs(gradient).max()
                return np.where(moves, -np.sign(gradient), 0).astype(np.int64)
            wanted = -pulsing.rate * gradient / weight_of_pulse
            counts = np.floor(wanted + self.rng.random(wanted.shape)).astype(np.int64)
        return np.clip(counts, -pulsing.most, pulsing.most)


def _coincidences(
    inputs: Floats, wanted: Floats, pulsing: Pulsing, rng: np.random.Generator
) -> Integers:
    """Pulses (m, n) of trains on both lines, of inputs (b, m) and changes (b, n) per unit of them.

    Rates are scaled so that as many pulses meet on average as are wanted, up to one per slot.
    """
    total = np.zeros((inputs.shape[1], wanted.shape[1]), np.int64)
    for x, change in zip(inputs, wanted, strict=True):
        largest = np.abs(x).max()
        most = np.abs(change).max()
        if not largest or not most:
            continue
        gain = np.sqrt(most / largest)  # so that neither line saturates before the other
        on_rows = np.minimum(np.abs(x) * gain / np.sqrt(pulsing.train), 1)
        on_columns = np.minimum(np.abs(change) / gain / np.sqrt(pulsing.train), 1)
        rows = rng.random((pulsing.train, len(x))) < on_rows
        columns = rng.random((pulsing.train, len(change))) < on_columns
        met = rows.T.astype(np.int64) @ columns.astype(np.int64)
        total += met * np.sign(np.outer(x, change)).astype(np.int64)
    return total


def _with_bias(x: Floats) -> Floats:
    """(b, n + 1), a one beside every row."""
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _batches(rng: np.random.Generator, images: int, size: int) -> Iterator[Integers]:
    order = rng.permutation(images)
    for start in range(0, images, size):
        yield order[start : start + size]
