"""What a sweep will take, before it is run: points, tiles, memory and time.

Time is measured here on one tile of each size and one product, and scaled by the number of tiles and
of multiply-accumulates; it leaves out what a device's own programming takes, and is meant to tell minutes
from hours.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.arrays.in_situ.layout import Layout, layout_of
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base import fetch
from xbarsim.base.workers import one_blas_thread
from xbarsim.circuit.wires import wire_segments
from xbarsim.config.study import Model, Study, Task
from xbarsim.config.wires import Wires
from xbarsim.hardware.build import settings_of
from xbarsim.kernels.circuit.transfer import transfer_matrix
from xbarsim.models.architectures import LoadedDecoder, LoadedEncoder, load_network
from xbarsim.models.graph import Graph, Role
from xbarsim.models.tokens import tokenize
from xbarsim.studies.language_examples import Lm
from xbarsim.studies.points import Point
from xbarsim.studies.prepare_language import divided_for, load_text_or_questions
from xbarsim.tasks.files import load_task

CELL_S = 20e-6  # a cell of the tile that is timed; its time does not depend on it
# Mapping, writing, wires and ranges of a tile over its circuit alone in the same precision
# (`benchmarks/programming.py`, docs/cost.md).
TILE_FACTORS = {"double": 1.8, "single": 2.2}
FORWARD_FACTOR = 4.0  # a batch on hardware with its traces, over its bare products
PROBE_ROWS = 256  # of the product that is timed


@dataclass(frozen=True)
class PointPlan:
    """One point.  tiles : of all cases and chips on in-situ arrays;  bytes : at its largest;
    seconds : of one thread, without reading the model and the digital references"""

    point: Point
    tiles: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class SweepPlan:
    """All points."""

    points: tuple[PointPlan, ...]

    @property
    def tiles(self) -> int:
        return sum(of_point.tiles for of_point in self.points)

    @property
    def bytes(self) -> int:
        """Of the largest point; so many workers take so many times as much."""
        return max(of_point.bytes for of_point in self.points)

    @property
    def seconds(self) -> float:
        return sum(of_point.seconds for of_point in self.points)

    def to_json(self, workers: int) -> dict[str, Any]:
        """What so many workers take, as plain values."""
        return {
            "points": len(self.points),
            "tiles": self.tiles,
            "workers": workers,
            "memory_bytes": workers * self.bytes,
            "seconds": self.seconds / workers,
        }


def plan_sweep(points: Sequence[Point]) -> SweepPlan:
    """What points take.

    Raises
    ------
    CheckpointError, TaskError, FetchError : a model or a task that cannot be read
    """
    meter = _Meter()
    return SweepPlan(tuple(_of_point(point, meter) for point in points))


def _of_point(point: Point, meter: "_Meter") -> PointPlan:
    graph = meter.graph(point.study.model.name)
    tokens = meter.tokens(point.study)
    tiles = largest = 0
    seconds = 0.0
    for _, case in point.study.cases():
        layouts = _layouts(graph, case)
        chips = case.run.chips
        tiles += chips * sum(layout.tiles for layout in layouts)
        largest = max(largest, sum(map(_bytes, layouts)))
        for layout in layouts:
            seconds += chips * layout.tiles * meter.tile_seconds(layout, case)
        macs = sum(step.macs for step in graph.matrices)
        seconds += chips * tokens * macs * meter.seconds_per_mac()
    return PointPlan(point, tiles, largest + 4 * _weights(graph), seconds)


def _layouts(graph: Graph, case: Study) -> list[Layout]:
    """Of every matrix on in-situ arrays."""
    layouts = []
    settings = settings_of(case, graph)
    for step in graph.matrices:
        own = settings[step.name]
        if own.products.lies_on(step.role is Role.LOGITS) == "in_situ":
            layouts.append(layout_of(step.inputs, step.outputs, own.mapping))
    return layouts


def _bytes(layout: Layout) -> int:
    """What a programmed matrix keeps: weight and targets in float64, transfer in float32."""
    weights = layout.inputs * layout.outputs
    return weights * (8 + 8 * layout.planes + 4 * layout.planes)


def _weights(graph: Graph) -> int:
    return sum(step.weights for step in graph.matrices)


class _Meter:
    """What this machine takes, measured once per size."""

    def __init__(self) -> None:
        self.networks: dict[str, LoadedEncoder | LoadedDecoder] = {}
        self.counted: dict[tuple[Model, Task], int] = {}
        self.tiles: dict[tuple[int, int, Wires], float] = {}
        self.mac: float | None = None

    def graph(self, model: str) -> Graph:
        if model not in self.networks:
            self.networks[model] = load_network(fetch.locate(model, "model"))
        return self.networks[model].model.graph

    def tokens(self, study: Study) -> int:
        """See `count_tokens`."""
        key = (study.model, study.task)
        if key not in self.counted:
            self.counted[key] = count_tokens(study, self.networks[study.model.name])
        return self.counted[key]

    def tile_seconds(self, layout: Layout, case: Study) -> float:
        wires = InSituSettings.of(case).solved_wires
        if wires is None:
            return 0.0
        key = (layout.word_lines, layout.bit_lines, wires)
        if key not in self.tiles:
            self.tiles[key] = _time_tile(layout, wires)
        return TILE_FACTORS[wires.precision] * self.tiles[key]

    def seconds_per_mac(self) -> float:
        if self.mac is None:
            left = np.ones((PROBE_ROWS, PROBE_ROWS), np.float32)
            with one_blas_thread():
                taken = min(_timed(lambda: left @ left) for _ in range(5))
            self.mac = FORWARD_FACTOR * taken / PROBE_ROWS**3
        return self.mac


def count_tokens(study: Study, network: LoadedEncoder | LoadedDecoder) -> int:
    """Tokens of the examples that a study evaluates, about: those of the whole task where a labelled one
    has no split."""
    if isinstance(network, LoadedDecoder):
        task = load_text_or_questions(study.task.name)
        lm = Lm(network.model.config, network.tokenizer)
        return sum(map(len, divided_for(study, task, lm).scored.tokens))
    examples = load_task(study.task.name).held_out().limited(study.task.limit)
    found = tokenize(network.tokenizer, examples.texts(), study.model.max_length)
    return sum(map(len, found))


def _time_tile(layout: Layout, wires: Wires) -> float:
    shape = (layout.word_lines, layout.bit_lines)
    r_word, r_bit = wire_segments(wires, *shape)
    precision = np.float32 if wires.precision == "single" else np.float64
    cells = np.full(shape, CELL_S, precision)
    with one_blas_thread():
        transfer_matrix(cells, r_word, r_bit)  # compiles
        return min(_timed(lambda: transfer_matrix(cells, r_word, r_bit)) for _ in range(3))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
