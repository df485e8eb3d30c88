"""A study becomes a trace: activations of a real model through programmed, calibrated arrays.

Sentences travel in batches of fixed composition on a pool of threads, each with BLAS on one thread,
so results do not depend on the number of threads.
"""

import dataclasses
import datetime
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from xbarsim import __version__
from xbarsim.base.arguments import instance, path_of
from xbarsim.base.errors import ConfigError, IdleSettingWarning
from xbarsim.base.interrupts import Interrupts
from xbarsim.base.progress import Progress, silent, unsaid
from xbarsim.base.workers import worker_threads
from xbarsim.chips.load import chip_text, parse_chip
from xbarsim.config.study import Study
from xbarsim.devices.presets import device_text, parse_device
from xbarsim.hardware import idle
from xbarsim.hardware.build import settings_of
from xbarsim.models import checkpoint
from xbarsim.models.graph import Graph
from xbarsim.models.network import Network
from xbarsim.models.shapes import OF_A_DECODER, shape_of_matrices
from xbarsim.studies.origin import Origin, origin_of
from xbarsim.studies.paths import Paths
from xbarsim.studies.pieces import Case, LocalPieces, Pieces, PiecesOf
from xbarsim.studies.prepare_language import idle_task_settings
from xbarsim.studies.trace_layout import RunAttributes, Sources
from xbarsim.studies.trace_writer import TraceWriter
from xbarsim.studies.training_record import record_beside
from xbarsim.studies.unfinished import (
    Journal,
    created_of,
    discard,
    find_finished,
    find_unfinished,
)
from xbarsim.studies.work import Work, work_of

BUDGET_IS_IDLE = "[budget] has no effect in a single run: `xbarsim budget` reads it"
TRAINING_IS_IDLE = "[training] has no effect in a single run: `xbarsim train` reads it"
SWEEP_IS_IDLE = "[sweep] has no effect in a single run: `xbarsim sweep` runs its points"


class Resume(Enum):
    """Whether a run goes on with an unfinished one of the same study in its directory; True and False
    say as much as YES and NO."""

    NO = False
    YES = True
    OR_REPLACE = "or replace"  # what began otherwise under this name is removed, not refused


def sources_of(study: Study) -> Sources:
    """trace_layout.Sources of a study: the texts of its device and chip files as they are now."""
    cases = [case for _, case in study.cases()]
    devices = dict.fromkeys(case.device.name for case in cases)
    chips = dict.fromkeys(case.chip for case in cases if case.chip is not None)
    return Sources(
        devices={name: device_text(name) for name in devices},
        chips={name: chip_text(name) for name in chips},
    )


def run_study(
    study: Study,
    directory: str | Path = "runs",
    threads: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], Any] = unsaid,
    sources: Sources | None = None,
    resume: Resume | bool = Resume.NO,
    pieces_of: PiecesOf | None = None,
) -> Path:
    """Run every case of a study on its examples.

    Whatever was evaluated before an error or an interruption stays in the trace; the error carries
    a note that says where it is and what it holds.  With `resume` the same study goes on from there, and
    ends in the same bits.

    Parameters
    ----------
    study : config.Study
    directory : where the trace is written
    threads : int, all cores if None
    progress : see `silent`
    say : function (text) for what a user must hear on the way
    sources : trace_layout.Sources to take the place of the device and chip files that the study names
    resume : whether an unfinished run of the study in the directory is gone on with
    pieces_of : what computes the pieces of the run; threads of this process if None

    Returns
    -------
    Path of the trace, for `read_trace`

    Raises
    ------
    ConfigError : a study, device or chip file that cannot be used as it is; an unfinished run that
        began otherwise, or that another process works on
    OutOfRangeError : conditions that the device does not state; a result that is no number
    CheckpointError, TaskError, FetchError, OutputError : what is read, fetched or written
    """
    instance("study", study, Study, "what load_study returns")
    directory = path_of("directory", directory)
    sources = sources or sources_of(study)
    devices = {name: parse_device(name, text) for name, text in sources.devices.items()}
    cases = [Case(name, case, devices[case.device.name]) for name, case in study.cases()]
    for name, text in sources.chips.items():
        parse_chip(name, text)  # a mistake there is found before the run, not after it
    for case in cases:
        case.device.in_study(case.study)  # conditions outside the device's range, likewise
    with Interrupts(say) as interrupts:
        progress = interrupts.watch(progress)
        work = work_of(study, threads, progress)
        idle_settings = find_idle_settings(cases, work.reader.model.graph)
        idle_settings += idle_task_settings(study, work.task.kind)
        if study.sweep is not None:
            idle_settings = [*idle_settings, SWEEP_IS_IDLE]
        if study.budget is not None:
            idle_settings = [*idle_settings, BUDGET_IS_IDLE]
        if study.training is not None:
            idle_settings = [*idle_settings, TRAINING_IS_IDLE]
        idle_settings = [*idle_settings, *idle_chips(sources.chips, work.reader.model)]
        for sentence in idle_settings:
            warnings.warn(IdleSettingWarning(sentence), stacklevel=2)
        hashes = checkpoint.file_hashes(work.directory)
        sources = dataclasses.replace(sources, model_files=hashes)
        run = run_attributes(study, work, idle_settings)
        place = _Place(Path(directory), study.name, Resume(resume))
        finished = place.finished(run, sources)
        if finished is not None:
            say(f"{finished} is complete: nothing is left to run")
            return finished
        interrupts.keep()
        origin = origin_of(study, work, sources)
        writer = place.writer(run, origin, work, sources, say)
        with worker_threads(threads) as pool, writer:
            size = study.run.batch_examples
            pieces: Pieces
            if pieces_of is None:
                pieces = LocalPieces.of(work, size, pool, threads, progress)
            else:
                pieces = pieces_of(study, origin, sources, work, progress)
            Paths(writer, work, pieces, batch_size=size, progress=progress).run(cases)
        interrupts.check(writer.holds())  # one that came after the last batch
    return writer.path


@dataclass(frozen=True)
class _Place:
    """Where a run finds what earlier runs of its study left."""

    directory: Path
    name: str
    resume: Resume

    def finished(self, run: RunAttributes, sources: Sources) -> Path | None:
        """The complete trace of the same run, None where it is not asked for or not there."""
        if self.resume is not Resume.YES:
            return None
        return find_finished(self.directory, self.name, run, sources)

    def writer(
        self,
        run: RunAttributes,
        origin: Origin,
        work: Work,
        sources: Sources,
        say: Callable[[str], Any],
    ) -> TraceWriter:
        """Of a new trace, or of the unfinished one that is gone on with."""
        unfinished = self.unfinished(origin, say)
        if unfinished is not None:
            run = dataclasses.replace(run, created=created_of(unfinished) or run.created)
        return TraceWriter(
            self.directory,
            self.name,
            run,
            work.table,
            outputs=work.outputs,
            sources=sources,
            predictions=work.predictions,
            journal=Journal(self.name, run.created, origin),
            unfinished=unfinished,
            say=say,
        )

    def unfinished(self, origin: Origin, say: Callable[[str], Any]) -> Path | None:
        """The parts that are gone on with; None where a run begins anew."""
        if self.resume is Resume.NO:
            return None
        try:
            found = find_unfinished(self.directory, self.name, origin, say)
        except ConfigError:
            if self.resume is Resume.YES:
                raise
            found = None
        if self.resume is Resume.OR_REPLACE and found is None:
            discard(self.directory, self.name)
        elif found is None:
            say(f"no unfinished run of {self.name!r} in {self.directory}: it starts anew")
        else:
            say(f"going on with {found}")
        return found


def run_attributes(study: Study, work: Work, idle_settings: Iterable[str]) -> RunAttributes:
    """What a trace says of its run; idle_settings : see `find_idle_settings`."""
    task = work.task
    model = work.reader.model
    return RunAttributes(
        software_version=__version__,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        complete=False,
        seed=study.seed,
        study=study.to_toml(),
        model=str(study.model.name),
        model_sha256=model.sha256,
        heads=model.config.heads,
        task=task.name,
        task_sha256=task.sha256,
        task_kind=task.kind,
        metric=task.metric,
        head=task.head,
        classes=task.classes,
        truncated_sentences=task.truncated,
        notes="\n".join(task.notes),
        idle_settings="\n".join(idle_settings),
        training=record_beside(work.directory),
    )


def find_idle_settings(cases: Iterable[Case], graph: Graph) -> list[str]:
    """Sentences on the settings of a study that have no effect on a model; see `idle`.

    Raises
    ------
    ConfigError : settings that cannot be meant
    """
    found = []
    for case in cases:
        places = idle.places(settings_of(case.study, graph), case.device, graph)
        placed = idle.CasePlaces(case.name, case.study, places)
        idle.refuse(placed)
        found.append(placed)
    return idle.idle_settings(found)


def idle_chips(names: Iterable[str], model: Network) -> list[str]:
    """Sentences on the chips of a study that do not price its model."""
    sizes = {step.name: (step.inputs, step.outputs) for step in model.graph.matrices}
    try:
        if model.graph.causal:
            raise ConfigError(OF_A_DECODER)
        shape_of_matrices(sizes, model.config.heads)
    except ConfigError as error:
        return [f"chip = {name!r} has no effect in this study: {error}" for name in names]
    return []
