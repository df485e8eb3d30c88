"""A run repeated from its trace: the study, device and chip files that it holds, and the same model
and task."""

import tomllib
from dataclasses import dataclass

import numpy as np

from xbarsim import config
from xbarsim.base import cache, fetch
from xbarsim.base.errors import FetchError, TraceError
from xbarsim.base.progress import silent, unsaid
from xbarsim.models import checkpoint
from xbarsim.studies import run
from xbarsim.studies.trace_reader import read_trace


@dataclass(frozen=True)
class Comparison:
    """A trace beside the one it repeats, path by path, on the examples that both have.

    same, different : names of paths;  versions : of xbarsim, of the old and the new trace
    """

    same: tuple[str, ...]
    different: tuple[str, ...]
    versions: tuple[str, str]

    def render(self):
        """One line."""
        if not self.different:
            return f"repeated: all outputs of {len(self.same)} paths are the same bits"
        old, new = self.versions
        release = f"; it was written by xbarsim {old}, this is {new}" if old != new else ""
        return (
            f"not repeated: the outputs of {', '.join(self.different)} differ; another processor "
            f"or another version of a library rounds differently{release}"
        )


def study_of(trace, model=None, task=None):
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


def check_files(trace, study):
    """Refuse model and task files that are gone, or are not those of the trace.

    Raises
    ------
    TraceError : with what differs and what to do
    """
    directory = _locate(trace, study.model.name, "model")
    found = checkpoint.file_hashes(directory)
    stated = trace.sources.model_files
    changed = sorted(
        name for name in found.keys() | stated.keys() if found.get(name) != stated.get(name)
    )
    if changed:
        raise TraceError(
            f"{trace.path}: {', '.join(changed)} in {directory} "
            f"{'is' if len(changed) == 1 else 'are'} not what the trace was made with (other "
            "sha256, missing or new); bring the files back, or name their place with --model"
        )
    path = _locate(trace, study.task.name, "task")
    found = cache.sha256_of(path)
    stated = trace.run.task_sha256
    if found != stated:
        raise TraceError(
            f"{trace.path}: the task file {path} has sha256 {found}, the trace was made with "
            f"{stated}; bring "
            "the file back, or name its place with --task"
        )


def _locate(trace, name, kind):
    try:
        return fetch.locate(name, kind)
    except FetchError as error:
        raise TraceError(
            f"{trace.path}: the {kind} {name!r} of the trace is gone ({error}); name its place "
            f"with --{kind}"
        ) from None


def repeat(
    path,
    directory="runs",
    *,
    model=None,
    task=None,
    threads=None,
    progress=silent,
    say=unsaid,
):
    """Run the study of a trace again, with its device and chip files.

    Parameters
    ----------
    path : trace of version 3 or later
    directory, threads, progress, say : see `run.run_study`
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
    new = run.run_study(study, directory, threads, progress, say, trace.sources)
    return new, compare(trace, read_trace(new))


def compare(old, new):
    """Comparison of two traces of one study."""
    before = old.examples
    after = new.examples
    same_places = np.array_equal(before.index, after.index)
    if not same_places or not np.array_equal(before.truncated, after.truncated):
        raise TraceError(
            f"{new.path} evaluated other examples than {old.path}: this xbarsim chooses or cuts "
            "them differently"
        )
    old_paths = _paths(old)
    new_paths = _paths(new)
    same = []
    different = []
    for name in old_paths.keys() & new_paths.keys():
        both = old_paths[name].done & new_paths[name].done
        equal = np.array_equal(old_paths[name].output[both], new_paths[name].output[both])
        (same if equal else different).append(name)
    versions = old.run.software_version, new.run.software_version
    return Comparison(tuple(sorted(same)), tuple(sorted(different)), versions)


def _paths(trace):
    chips = {
        f"{name}/{number}": chip
        for name, case in trace.cases.items()
        for number, chip in enumerate(case.chips)
    }
    return trace.reference | chips
