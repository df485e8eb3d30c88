"""What a worker of a Dask cluster does: one piece of a study at a time.

A worker finds model and task in its own cache, or under their path, and refuses those that are not what
the sweep was begun with: see `studies/origin.py`.  What pieces of one study share is prepared once in a
process and kept for the next.
"""

import dataclasses
import functools
import hashlib
import threading
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

from xbarsim.base.cache import cache_directory
from xbarsim.base.errors import ConfigError, XbarsimError
from xbarsim.config.study import Study, validate
from xbarsim.devices.presets import parse_device
from xbarsim.hardware.build import (
    Design,
    Hardware,
    HeldOut,
    assemble_chip,
    chip_seed,
    program_matrix_of,
)
from xbarsim.hardware.matrices import InSituMatrix
from xbarsim.models import checkpoint
from xbarsim.studies.batch import run_batch
from xbarsim.studies.held_out import held_out
from xbarsim.studies.origin import origin_of
from xbarsim.studies.pieces import chip_head, reference_hook
from xbarsim.studies.readers import Reading
from xbarsim.studies.trace_layout import Entries, Sources
from xbarsim.studies.trace_writer import ChipHead
from xbarsim.studies.work import Work, work_of

KEPT = 2  # of each kind, in a process
INPUTS = "inputs"  # below the cache directory: files that the sweep names by a path of its own

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Assignment:
    """The study that a piece is of.

    study : TOML text, complete;  sources : device files and hashes of the model
    facts : what determines the numbers, see `origin.Origin`
    """

    study: str
    sources: Sources
    facts: dict[str, str]

    @functools.cached_property
    def digest(self) -> str:
        """Hex digest of all of it."""
        return hashlib.sha256(repr((self.study, sorted(self.facts.items()))).encode()).hexdigest()


@dataclass(frozen=True)
class ChipOfCase:
    """A simulated chip: its case and its number in it."""

    case: str
    number: int


class _Store:
    """The last things of a kind that were made in this process; each is made by one thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.kept: OrderedDict[object, object] = OrderedDict()

    def get(self, key: object, make: Callable[[], Kept]) -> Kept:
        """That of a key, made if it is not there."""
        with self.lock:
            if key not in self.kept:
                self.kept[key] = make()
                while len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(key)
            found: Kept = self.kept[key]  # type: ignore[assignment]  # made by `make` of this key
            return found


_WORKS = _Store()
_HELD_OUT = _Store()
_DESIGNS = _Store()
_CHIPS = _Store()


@functools.cache
def _one_blas_thread() -> threadpool_limits:
    """BLAS on one thread for as long as the process lives."""
    return threadpool_limits(limits=1, user_api="blas")


# ---------------------------------------------------------------- pieces


def reference_batch(assignment: Assignment, name: str, batch: slice) -> Reading:
    """A batch of examples by a digital path."""
    work = _work(assignment)
    hook = reference_hook(name, work, _found(assignment))
    return work.reader.read(work.examples, batch, hook)


def programmed_matrix(
    assignment: Assignment, chip: ChipOfCase, name: str
) -> dict[str, InSituMatrix]:
    """A matrix on programmed tiles, in all its uses."""
    design = _design(assignment, chip.case)
    return program_matrix_of(design, _seed(assignment, chip), name)


def head_of_chip(
    assignment: Assignment, chip: ChipOfCase, matrices: Sequence[dict[str, InSituMatrix]]
) -> ChipHead:
    """What a trace says of a chip before it is evaluated."""
    hardware = _hardware(assignment, chip, matrices)
    return chip_head(hardware, _work(assignment).reader.model.graph)


def chip_batch(
    assignment: Assignment,
    chip: ChipOfCase,
    matrices: Sequence[dict[str, InSituMatrix]],
    batch: slice,
) -> tuple[Reading, Entries]:
    """A batch of examples on a chip."""
    work = _work(assignment)
    return run_batch(work.reader, _hardware(assignment, chip, matrices), work.examples, batch)


# ---------------------------------------------------------------- what pieces share


def _study(assignment: Assignment) -> Study:
    study = validate(tomllib.loads(assignment.study), "the study of the sweep")
    return _with_places_here(study)


def _with_places_here(study: Study) -> Study:
    """The study with files that are not where it says, and lie among the inputs of this machine."""
    inputs = cache_directory() / INPUTS
    model = study.model.model_copy(update={"name": _place_here(study.model.name, inputs)})
    task = {"name": _place_here(study.task.name, inputs)}
    if study.task.calibration is not None:
        task["calibration"] = _place_here(study.task.calibration, inputs)
    return study.model_copy(update={"model": model, "task": study.task.model_copy(update=task)})


def _place_here(name: str, inputs: Path) -> str:
    path = Path(name)
    here = inputs / path.name
    if not path.exists() and here.exists():
        return str(here)
    return name


def _work(assignment: Assignment) -> Work:
    """What is evaluated, found on this machine and checked."""
    _one_blas_thread()
    return _WORKS.get(assignment.digest, lambda: _checked_work(assignment))


def _checked_work(assignment: Assignment) -> Work:
    study = _study(assignment)
    try:
        work = work_of(study, threads=1)
    except XbarsimError as error:
        raise ConfigError(
            f"a worker cannot read model {study.model.name} or task {study.task.name}: {error}; bring "
            f"them to {cache_directory() / INPUTS} on its machine, or to the path that the study names"
        ) from None
    hashes = checkpoint.file_hashes(work.directory)
    sources = dataclasses.replace(assignment.sources, model_files=hashes)
    facts = origin_of(study, work, sources).facts
    other = [
        what
        for what in sorted(facts.keys() | assignment.facts.keys())
        if facts.get(what) != assignment.facts.get(what)
    ]
    if other:
        raise ConfigError(
            f"a worker has not what the sweep has: {', '.join(other)} differ; bring the same files "
            f"(model {study.model.name}, task {study.task.name}) and versions to its machine"
        )
    return work


def _found(assignment: Assignment) -> HeldOut:
    """What held-out examples say."""
    work = _work(assignment)

    def make() -> HeldOut:
        size = _study(assignment).run.batch_examples
        with ThreadPoolExecutor(1) as pool:
            return held_out(work.reader.model, work.calibration, size, pool, threads=1)

    return _HELD_OUT.get(assignment.digest, make)


def _design(assignment: Assignment, case: str) -> Design:
    """What the chips of a case share."""

    def make() -> Design:
        own = dict(_study(assignment).cases())[case]
        device = parse_device(own.device.name, assignment.sources.devices[own.device.name])
        return Design.of(_work(assignment).reader.model, own, device, _found(assignment))

    return _DESIGNS.get((assignment.digest, case), make)


def _seed(assignment: Assignment, chip: ChipOfCase) -> int:
    own = dict(_study(assignment).cases())[chip.case]
    return chip_seed(own.seed, chip.number)


def _hardware(
    assignment: Assignment, chip: ChipOfCase, matrices: Sequence[dict[str, InSituMatrix]]
) -> Hardware:
    """A chip of matrices that are programmed; the others are made here."""

    def make() -> Hardware:
        programmed: dict[str, InSituMatrix] = {}
        for of_step in matrices:
            programmed |= of_step
        design = _design(assignment, chip.case)
        return assemble_chip(design, _seed(assignment, chip), programmed)

    return _CHIPS.get((assignment.digest, chip), make)
