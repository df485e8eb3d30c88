"""Every path of a study on the same examples, into its trace: both digital references, and the
simulated chips of every case.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.base.errors import ValidRangeWarning
from xbarsim.base.progress import Done, Progress
from xbarsim.config.study import FEWEST_CHIPS
from xbarsim.studies.enough_chips import is_narrow, values_of_chips
from xbarsim.studies.pieces import Case, Pieces
from xbarsim.studies.trace_writer import ChipHead, TraceWriter
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
            if self._has_enough(case, number):
                return
            if self.writer.passes_over_chip(case.name):
                continue
            title = case.name
            if case.study.run.chips > 1:
                title = f"{case.name}, chip {number + 1}"
            self._chip(case, number, title)

    def _has_enough(self, case: Case, chips: int) -> bool:
        """Whether a case needs no more than these chips."""
        half_width = case.study.run.chips_half_width
        if half_width is None or chips < FEWEST_CHIPS:
            return False
        values = values_of_chips(self.writer.parts, case.name, chips)
        return is_narrow(values, half_width)

    def _chip(self, case: Case, number: int, title: str) -> None:
        """Program a chip and evaluate it; it is gone before the next one is made."""
        chip = self.pieces.chip(case, number, title)
        head = chip.head
        _warn_outside_window(case, title, head)
        path = self.writer.add_chip(case.name, head)
        done, batches = self._begin(f"{title}: examples evaluated")
        for batch, (reading, entries) in zip(batches, chip.evaluate(batches), strict=True):
            self.writer.write(path, batch, reading.output, entries, reading.tokens)
            done(batch.stop - batch.start)


def _warn_outside_window(case: Case, title: str, head: ChipHead) -> None:
    """Say where measured conductances lie outside the window of the device."""
    outside = {}
    for name, matrix in head.layers.items():
        if case.study.for_layer(name).mapping.conductances is not None and matrix.tiles:
            counts = matrix.tiles["conductance_counts"]
            outside[name] = int(counts[0] + counts[-1])
    total = sum(outside.values())
    if total:
        most = max(outside, key=lambda name: outside[name])
        file = case.device.in_study(case.study).file.conductance
        warnings.warn(
            f"{title}: {total:,} cells of mapping.conductances lie outside the window of "
            f"{case.device.name}, {file.minimum_us:g} to {file.maximum_us:g} uS, most of them "
            f"({outside[most]:,}) in {most}; they are taken as they are",
            ValidRangeWarning,
            stacklevel=2,
        )
