"""Every path of a study on the same examples, into its trace: both digital references, and the
simulated chips of every case.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from xbarsim.base.progress import Progress
from xbarsim.config.study import Study
from xbarsim.devices.model import DeviceModel
from xbarsim.hardware.build import Design, Hardware, HeldOut, build_chip, chip_seed
from xbarsim.hardware.steps import Description
from xbarsim.models import int8
from xbarsim.models.graph import Graph
from xbarsim.models.operations import Hook, float32
from xbarsim.studies.batch import run_batch
from xbarsim.studies.held_out import held_out
from xbarsim.studies.references import digital_readings
from xbarsim.studies.trace_layout import MatrixAttributes, Place, ProductAttributes, record_from
from xbarsim.studies.trace_writer import ChipHead, MatrixHead, ProductHead, TraceWriter
from xbarsim.studies.work import Work


@dataclass(frozen=True)
class Case:
    """A case of a study: the study as it applies to it, and its device."""

    name: str
    study: Study
    device: DeviceModel


@dataclass(frozen=True)
class Paths:
    """What all paths of a study share.

    batch_size : examples that travel together
    threads : all cores if None
    """

    writer: TraceWriter
    work: Work
    batch_size: int
    pool: Executor
    threads: int | None
    progress: Progress

    def run(self, cases: Iterable[Case]) -> None:
        """Both references and every case; the trace grows batch by batch."""
        model = self.work.reader.model
        found = held_out(
            model,
            self.work.calibration,
            self.batch_size,
            self.pool,
            threads=self.threads,
        )
        self._reference("float32", float32)
        self._reference("int8", int8.int8_hook(model, found.input_ranges))
        for case in cases:
            self._case(case, found)

    def _reference(self, name: str, hook: Hook) -> None:
        path = self.writer.add_reference(name)
        found = digital_readings(
            self.work.reader,
            self.work.examples,
            self.batch_size,
            self.pool,
            hook=hook,
            progress=self.progress,
            description=f"{name} reference",
            missing=self.writer.missing,
        )
        for batch, reading in found:
            self.writer.write(path, batch, reading.output, tokens=reading.tokens)

    def _case(self, case: Case, found: HeldOut) -> None:
        study = case.study
        self.writer.add_case(case.name, study.to_toml())
        design = Design.of(self.work.reader.model, study, case.device, found)
        for number in range(study.run.chips):
            if self.writer.passes_over_chip(case.name):
                continue
            title = case.name
            if study.run.chips > 1:
                title = f"{case.name}, chip {number + 1}"
            self._chip(case.name, title, design, chip_seed(study.seed, number))

    def _chip(self, name: str, title: str, design: Design, seed: int) -> None:
        """Program one chip, and evaluate it."""
        hardware = build_chip(
            design,
            seed,
            self.pool,
            progress=self.progress,
            description=f"{title}: tiles programmed",
        )
        path = self.writer.add_chip(name, chip_head(hardware, self.work.reader.model.graph))
        examples = self.work.examples
        batches = self.writer.missing(examples.batches(self.batch_size))
        done = self.progress(f"{title}: examples evaluated", len(examples))
        kept = len(examples) - sum(batch.stop - batch.start for batch in batches)
        if kept:
            done(kept)
        evaluate = partial(run_batch, self.work.reader, hardware, examples)
        for batch, result in zip(batches, self.pool.map(evaluate, batches), strict=True):
            reading, entries = result
            self.writer.write(path, batch, reading.output, entries, reading.tokens)
            done(batch.stop - batch.start)


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
