"""A run repeated from its trace: the study, device and chip files that it holds, and the same model
and task."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim import config
from xbarsim.base import cache, fetch
from xbarsim.base.array_types import Booleans
from xbarsim.base.errors import FetchError, TraceError
from xbarsim.base.progress import Progress, silent, unsaid
from xbarsim.config.study import Study
from xbarsim.models import checkpoint
from xbarsim.studies import run
from xbarsim.studies.trace import Outputs, Trace
from xbarsim.studies.trace_reader import read_trace


@dataclass(frozen=True)
class Comparison:
    """A trace beside the one it repeats, path by path, on the examples that both have.

    same, different : names of paths;  versions : of xbarsim, of the old and the new trace
    """

    same: tuple[str, ...]
    different: tuple[str, ...]
    versions: tuple[str, str]

    def render(self) -> str:
        """One line."""
        if not self.different:
            return f"repeated: all outputs of {len(self.same)} paths are the same bits"
        old, new = self.versions
        release = f"; it was written by xbarsim {old}, this is {new}" if old != new else ""
        return (
            f"not repeated: the outputs of {', '.join(self.different)} differ; another processor "
            f"or another version of a library rounds differently{release}"
        )


def study_of(
    trace: Trace, model: str | Path | None = None, task: str | Path | None = None
) -> Study:
    """The study that a trace holds.

    Parameters
    ----------
    trace : trace.Trace
    model, task : where the model and the task file lie now, where that is another place

    Raises
    ------
    TraceError : a trace of version 2, which does not hold what it was made of
    """
    if trace.run.version < 3:
        raise TraceError(
            f"{trace.path} is a trace of version {trace.run.version}, which does not "
            "hold its device files; run its study again, and repeat that trace from now on"
        )
    content = tomllib.loads(trace.run.study)
    for table, name in (("model", model), ("task", task)):
        if name is not None:
            content = config.merge(content, {table: {"name": str(name)}})
    return config.validate(content, f"the study of {trace.path}")


def check_files(trace: Trace, study: Study) -> None:
    """Refuse model and task files that are gone, or are not those of the trace.

    Raises
    ------
    TraceError : with what differs and what to do
    """
    _check_model(trace, _locate(trace, study.model.name, "model"))
    path = _locate(trace, study.task.name, "task")
    sha256 = cache.sha256_of(path)
    if sha256 != trace.run.task_sha256:
        raise TraceError(
            f"{trace.path}: the task file {path} has sha256 {sha256}, the trace was made with "
            f"{trace.run.task_sha256}; bring the file back, or name its place with --task"
        )


def _check_model(trace: Trace, directory: Path) -> None:
    found = checkpoint.file_hashes(directory)
    stated = trace.sources.model_files
    names = sorted(found.keys() | stated.keys())
    changed = [name for name in names if found.get(name) != stated.get(name)]
    if changed:
        verb = "is" if len(changed) == 1 else "are"
        raise TraceError(
            f"{trace.path}: {', '.join(changed)} in {directory} {verb} not what the trace was made "
            "with (other sha256, missing or new); bring the files back, or name their place with "
            "--model"
        )


def _locate(trace: Trace, name: str, kind: str) -> Path:
    try:
        return fetch.locate(name, kind)
    except FetchError as error:
        raise TraceError(
            f"{trace.path}: the {kind} {name!r} of the trace is gone ({error}); name its place "
            f"with --{kind}"
        ) from None


def repeat(
    path: str | Path,
    directory: str | Path = "runs",
    *,
    model: str | Path | None = None,
    task: str | Path | None = None,
    threads: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], object] = unsaid,
    resume: bool = False,
) -> tuple[Path, Comparison]:
    """Run the study of a trace again, with its device and chip files.

    Parameters
    ----------
    path : trace of version 3 or later
    directory, threads, progress, say, resume : see `run.run_study`
    model, task : see `study_of`

    Returns
    -------
    (Path of the new trace, Comparison)

    Raises
    ------
    TraceError : see `study_of` and `check_files`
    """
    trace = read_trace(path)
    study = study_of(trace, model, task)
    check_files(trace, study)
    new = run.run_study(
        study,
        directory,
        threads=threads,
        progress=progress,
        say=say,
        sources=trace.sources,
        resume=resume,
    )
    return new, compare(trace, read_trace(new))


def compare(old: Trace, new: Trace) -> Comparison:
    """Comparison of two traces of one study."""
    if not (_equal(old, new, "index") and _equal(old, new, "truncated")):
        raise TraceError(
            f"{new.path} evaluated other examples than {old.path}: this xbarsim chooses or cuts "
            "them differently"
        )
    before = _paths(old)
    after = _paths(new)
    same: list[str] = []
    different: list[str] = []
    for name in before.keys() & after.keys():
        both = before[name].done & after[name].done
        if _same_outputs(before[name], after[name], both):
            same.append(name)
        else:
            different.append(name)
    versions = old.run.software_version, new.run.software_version
    return Comparison(tuple(sorted(same)), tuple(sorted(different)), versions)


def _same_outputs(old: Outputs, new: Outputs, both: Booleans) -> bool:
    """Whether the examples `both` (n,) have the same bits, and of decoders all predicted tokens."""
    if not np.array_equal(old.output[both], new.output[both]):
        return False
    if old.log_probability is None or new.log_probability is None or not both.all():
        return True
    return np.array_equal(old.log_probability, new.log_probability)


def _equal(old: Trace, new: Trace, name: str) -> bool:
    """Whether a column of the examples is the same; versions before 3 lack some."""
    return np.array_equal(getattr(old.examples, name), getattr(new.examples, name))


def _paths(trace: Trace) -> dict[str, Outputs]:
    """Outputs of every path by its name."""
    chips = {
        f"{name}/{number}": chip
        for name, case in trace.cases.items()
        for number, chip in enumerate(case.chips)
    }
    return trace.reference | chips
