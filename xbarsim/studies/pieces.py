"""The pieces of a study, each computed by itself: batches of the digital references, simulated chips,
and batches of chips.

`LocalPieces` computes them on threads of this process; `cluster_pieces.ClusterPieces` on workers of a
Dask cluster.  What becomes of them, and in which order, is the same: see `paths`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from xbarsim.base.progress import Progress
from xbarsim.base.workers import cores
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.hardware.build import Design, Hardware, HeldOut, build_chip, chip_seed
from xbarsim.hardware.steps import Description
from xbarsim.models import int8
from xbarsim.models.graph import Graph
from xbarsim.models.operations import Hook, float32
from xbarsim.studies.batch import run_batch
from xbarsim.studies.held_out import held_out
from xbarsim.studies.memory_budget import OnTheWay, room_for_arrays
from xbarsim.studies.origin import Origin
from xbarsim.studies.readers import Reading
from xbarsim.studies.trace_layout import (
    Entries,
    Place,
    Sources,
    record_from,
)
from xbarsim.studies.trace_writer import ChipHead, MatrixHead, ProductHead
from xbarsim.studies.work import Work


@dataclass(frozen=True)
class Case:
    """A case of a study: the study as it applies to it, and its device."""

    name: str
    study: Study
    device: DeviceModel


class ChipPieces(Protocol):
    """A simulated chip that is programmed, whatever it lies on."""

    @property
    def head(self) -> ChipHead:
        """What a trace says of it before it is evaluated."""

    def evaluate(self, batches: Sequence[slice]) -> Iterator[tuple[Reading, Entries]]:
        """What batches of examples come to on it, in order."""


class Pieces(Protocol):
    """What computes the pieces of a study."""

    def reference(self, name: str, batches: Sequence[slice]) -> Iterator[Reading]:
        """Batches of examples by a digital path, "float32" or "int8", in order."""

    def chip(self, case: Case, number: int, title: str) -> ChipPieces:
        """Program a chip of a case, by its number; title : of its progress"""


class PiecesOf(Protocol):
    """What makes the pieces of a run, in the place of `LocalPieces`."""

    def __call__(
        self, study: Study, origin: Origin, sources: Sources, work: Work, progress: Progress
    ) -> Pieces:
        """Of a study, with what determines its numbers, the files that it is made of and what it
        evaluates."""


def reference_hook(name: str, work: Work, found: HeldOut) -> Hook:
    """The steps of a digital path."""
    if name == "float32":
        return float32
    return int8.int8_hook(work.reader.model, found.input_ranges)


@dataclass(frozen=True)
class LocalChip:
    """A chip in the memory of this process."""

    work: Work
    hardware: Hardware
    pool: Executor

    @property
    def head(self) -> ChipHead:
        return chip_head(self.hardware, self.work.reader.model.graph)

    def evaluate(self, batches: Sequence[slice]) -> Iterator[tuple[Reading, Entries]]:
        run = partial(run_batch, self.work.reader, self.hardware, self.work.examples)
        return self.pool.map(run, batches)


@dataclass(frozen=True)
class LocalPieces:
    """Pieces on the threads of this process.

    found : what held-out examples say;  designs : {case: what its chips share}
    on_the_way : what is computed at once
    """

    work: Work
    found: HeldOut
    pool: Executor
    progress: Progress
    on_the_way: OnTheWay
    designs: dict[str, Design] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        work: Work,
        batch_size: int,
        pool: Executor,
        threads: int | None,
        progress: Progress,
    ) -> "LocalPieces":
        """threads : all cores if None"""
        found = held_out(work.reader.model, work.calibration, batch_size, pool, threads=threads)
        on_the_way = OnTheWay.of(work.examples, batch_size, threads or cores())
        return cls(work, found, pool, progress, on_the_way)

    def reference(self, name: str, batches: Sequence[slice]) -> Iterator[Reading]:
        hook = reference_hook(name, self.work, self.found)

        def run(batch: slice) -> Reading:
            return self.work.reader.read(self.work.examples, batch, hook)

        return self.pool.map(run, batches)

    def chip(self, case: Case, number: int, title: str) -> LocalChip:
        if case.name not in self.designs:
            model = self.work.reader.model
            self.designs[case.name] = Design.of(model, case.study, case.device, self.found)
        design = self.designs[case.name]
        room = None
        if case.study.run.memory_gb is not None:
            room = room_for_arrays(design, case.study.run.memory_gb, self.on_the_way)
        hardware = build_chip(
            design,
            chip_seed(case.study.seed, number),
            self.pool,
            progress=self.progress,
            description=f"{title}: tiles programmed",
            room=room,
        )
        return LocalChip(self.work, hardware, self.pool)


def chip_head(hardware: Hardware, graph: Graph) -> ChipHead:
    """What a trace says of a chip before it is evaluated."""
    layers = {}
    for name, matrix in hardware.matrices.items():
        description = matrix.description()
        attributes = record_from(MatrixAttributes, description.attributes())
        bins = matrix.code_bins
        layers[name] = MatrixHead(
            _place(description),
            attributes,
            tiles=matrix.tile_data(),
            code_bins=None if bins is None else bins.bins,
        )
    products = {}
    for name, product in hardware.products.items():
        stated = product.description()
        bits = record_from(ProductAttributes, stated.attributes())
        products[name] = ProductHead(_place(stated), bits)
    operations = {name: _place(Description.of(graph.step(name))) for name in hardware.functions}
    return ChipHead(hardware.seed, layers, products, operations)


def _place(description: Description) -> Place:
    return Place(kind=description.kind, role=description.role, layer=description.layer)
