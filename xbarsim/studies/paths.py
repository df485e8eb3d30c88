"""Every path of a study on the same examples, into its trace: both digital references, and the
simulated chips of every case.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.base.progress import Done, Progress
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

    def _begin(self, description: str) -> tuple[Done, list[slice]]:
        """The progress of the path that was begun last, and those of its batches that are missing."""
        examples = self.work.examples
        missing = self.writer.missing(examples.batches(self.batch_size))
        done = self.progress(description, len(examples))
        kept = len(examples) - sum(batch.stop - batch.start for batch in missing)
        if kept:
            done(kept)
        return done, missing

    def _reference(self, name: str) -> None:
        path = self.writer.add_reference(name)
        done, batches = self._begin(f"{name} reference")
        readings = self.pieces.reference(name, batches)
        for batch, reading in zip(batches, readings, strict=True):
            self.writer.write(path, batch, reading.output, tokens=reading.tokens)
            done(batch.stop - batch.start)

    def _case(self, case: Case) -> None:
        self.writer.add_case(case.name, case.study.to_toml())
        for number in range(case.study.run.chips):
            if self.writer.passes_over_chip(case.name):
                continue
            title = case.name
            if case.study.run.chips > 1:
                title = f"{case.name}, chip {number + 1}"
            self._evaluate(case.name, title, self.pieces.chip(case, number, title))

    def _evaluate(self, name: str, title: str, chip: ChipPieces) -> None:
        """Evaluate a programmed chip of a case."""
        path = self.writer.add_chip(name, chip.head)
        done, batches = self._begin(f"{title}: examples evaluated")
        for batch, (reading, entries) in zip(batches, chip.evaluate(batches), strict=True):
            self.writer.write(path, batch, reading.output, entries, reading.tokens)
            done(batch.stop - batch.start)
