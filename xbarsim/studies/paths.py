"""Every path of a study on the same examples, into its trace: both digital references, and the
simulated chips of every case.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.base.progress import Progress
from xbarsim.studies.pieces import Case, ChipPieces, Pieces
from xbarsim.studies.trace_writer import TraceWriter
from xbarsim.studies.work import Work

REFERENCES = ("float32", "int8")


@dataclass(frozen=True)
class Paths:
    """What all paths of a study share.

    pieces : what computes them
    batch_size : examples that travel together
    """

    writer: TraceWriter
    work: Work
    pieces: Pieces
    batch_size: int
    progress: Progress

    def run(self, cases: Iterable[Case]) -> None:
        """Both references and every case; the trace grows batch by batch."""
        for name in REFERENCES:
            self._reference(name)
        for case in cases:
            self._case(case)

    @property
    def _batches(self) -> list[slice]:
        return self.work.examples.batches(self.batch_size)

    def _reference(self, name: str) -> None:
        path = self.writer.add_reference(name)
        done = self.progress(f"{name} reference", len(self.work.examples))
        batches = self._batches
        readings = self.pieces.reference(name, batches)
        for batch, reading in zip(batches, readings, strict=True):
            self.writer.write(path, batch, reading.output, tokens=reading.tokens)
            done(batch.stop - batch.start)

    def _case(self, case: Case) -> None:
        self.writer.add_case(case.name, case.study.to_toml())
        for number in range(case.study.run.chips):
            title = case.name
            if case.study.run.chips > 1:
                title = f"{case.name}, chip {number + 1}"
            self._evaluate(case.name, title, self.pieces.chip(case, number, title))

    def _evaluate(self, name: str, title: str, chip: ChipPieces) -> None:
        """Evaluate a programmed chip of a case."""
        path = self.writer.add_chip(name, chip.head)
        batches = self._batches
        done = self.progress(f"{title}: examples evaluated", len(self.work.examples))
        for batch, (reading, entries) in zip(batches, chip.evaluate(batches), strict=True):
            self.writer.write(path, batch, reading.output, entries, reading.tokens)
            done(batch.stop - batch.start)
