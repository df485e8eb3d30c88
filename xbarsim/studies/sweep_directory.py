"""The directory of a sweep: which points it has, and where each of them stands.

`sweep.json` is the study, its points, and the hashes of every file that they are made of;
`point-00001.h5` the trace of a finished point, `point-00001.parts` one under way, `point-00001.failed` why a
point could not be run.  Nothing else is kept, so what is finished is what lies there.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from xbarsim.base import fetch
from xbarsim.base.arguments import path_of
from xbarsim.base.cache import sha256_of
from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.given_files import INDEX_BYTES, read_json
from xbarsim.base.locks import is_locked
from xbarsim.config.study import Study, validate
from xbarsim.models import checkpoint
from xbarsim.studies.budget_points import budget_points
from xbarsim.studies.input_hashes import InputHashes
from xbarsim.studies.points import Point, points_of
from xbarsim.studies.run import sources_of
from xbarsim.studies.trace_layout import text_sha256

FORMAT = "xbarsim-sweep"
VERSION = 1


class State(StrEnum):
    """Where a point stands."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True)
class SweepDirectory:
    """A directory with the points of one study: of its sweep, or of its error budget.

    inputs : {file or name that the points are made of: sha256}
    is_new : it was just made, and its inputs hashed
    """

    path: Path
    study: Study
    points: tuple[Point, ...]
    inputs: dict[str, str]
    is_new: bool = False

    @property
    def kind(self) -> str:
        """ "sweep" or "budget"."""
        if self.study.sweep is None:
            return "budget"
        return "sweep"

    def trace(self, point: Point) -> Path:
        return self.path / f"{point.name}.h5"

    def failure(self, point: Point) -> Path:
        return self.path / f"{point.name}.failed"

    def state(self, point: Point) -> State:
        """State of a point by what lies in the directory."""
        if self.trace(point).exists():
            return State.DONE
        if self.failure(point).exists():
            return State.FAILED
        if self.trace(point).with_suffix(".parts").is_dir() and is_locked(self.path):
            return State.RUNNING
        return State.WAITING


def create(study: Study, directory: str | Path) -> SweepDirectory:
    """A new directory for the sweep of a study; nothing is run yet.

    Raises
    ------
    ConfigError : no `[sweep]`, a wrong axis, or a directory that holds a sweep already
    OutputError : the directory cannot be written
    """
    path = Path(directory)
    points = tuple(_points(study))
    if (path / "sweep.json").exists():
        raise ConfigError(
            f"{path} holds a sweep or a budget already; go on with it by --resume {path}, or name "
            "another --out"
        )
    inputs = hashes_of_inputs(points)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "study": study.model_dump(mode="json", exclude_unset=True),
        "inputs": inputs,
        "points": [_entry(point) for point in points],
    }
    with replacing(path / "sweep.json") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
    return SweepDirectory(path=path, study=study, points=points, inputs=inputs, is_new=True)


def _points(study: Study) -> list[Point]:
    """Those of its budget where it has no sweep."""
    if study.sweep is None and study.budget is not None:
        return budget_points(study)
    return points_of(study)


def _entry(point: Point) -> dict[str, Any]:
    return {
        "number": point.number,
        "values": point.values,
        "study_sha256": text_sha256(point.study.to_toml()),
    }


def open_directory(directory: str | Path, kind: str | None = None) -> SweepDirectory:
    """The sweep that lies in a directory.

    kind : "sweep" or "budget", which it must be; either if None

    Raises
    ------
    ConfigError : it holds none, or a damaged one, or points that this version makes otherwise; it is
        of another kind
    """
    path = path_of("directory", directory)
    try:
        content: Any = read_json(path / "sweep.json", ConfigError, INDEX_BYTES)
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        study = validate(content["study"], f"{path / 'sweep.json'}")
        points = tuple(_points(study))
        inputs = {str(name): str(value) for name, value in content["inputs"].items()}
        stated = [(entry["number"], entry["study_sha256"]) for entry in content["points"]]
    except FileNotFoundError:
        raise ConfigError(f"{path} holds no sweep (no file sweep.json)") from None
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path / 'sweep.json'} is damaged or of another version ({error}); start the sweep anew "
            "in another directory"
        ) from None
    found = [(point.number, text_sha256(point.study.to_toml())) for point in points]
    if stated != found:
        raise ConfigError(
            f"the points of {path / 'sweep.json'} are not those that its study makes now; it was "
            "changed, or written by another version: start the sweep anew in another directory"
        )
    opened = SweepDirectory(path=path, study=study, points=points, inputs=inputs)
    if kind is not None and opened.kind != kind:
        raise ConfigError(
            f"{path} holds a {opened.kind}, no {kind}; xbarsim report shows it, and "
            f"xbarsim {opened.kind} --resume goes on with it"
        )
    return opened


def open_or_create(study: Study, directory: str | Path) -> SweepDirectory:
    """The directory of a study's sweep or budget: as it lies there, or a new one.

    Raises
    ------
    ConfigError : the sweep or the budget of another study lies there; as of `create`
    OutputError : the directory cannot be written
    """
    path = Path(directory)
    if not (path / "sweep.json").exists():
        return create(study, path)
    opened = open_directory(path)
    if opened.study != study:
        raise ConfigError(
            f"{path} holds another {opened.kind}, of another study; name another directory"
        )
    return opened


def hashes_of_inputs(points: tuple[Point, ...]) -> dict[str, str]:
    """{what: sha256} of every device file, chip file, checkpoint and task of the points."""
    found: dict[str, str] = {}
    hashes = InputHashes()
    for point in points:
        found |= hashes.of(point.study, sources_of(point.study))
        model = f"model {point.study.model.name}"
        if model not in found:
            files = _hashes_of_model(point.study.model.name)
            found[model] = text_sha256(json.dumps(files, sort_keys=True))
        task = f"task {point.study.task.name}"
        if task not in found:
            found[task] = sha256_of(fetch.locate(point.study.task.name, "task"))
    return found


def check_inputs(directory: SweepDirectory) -> None:
    """Raise ConfigError where a file is no longer what it was when the sweep began."""
    if directory.is_new:
        return
    now = hashes_of_inputs(directory.points)
    changed = [name for name, value in directory.inputs.items() if now.get(name) != value]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} changed since the sweep in {directory.path} began, so its points "
            "would not belong together; put the file back, or start anew in another directory"
        )


def _hashes_of_model(name: str) -> dict[str, str]:
    """{file: sha256} of a checkpoint: a directory, or one file."""
    path = fetch.locate(name, "model")
    if path.is_dir():
        return dict(checkpoint.file_hashes(path))
    return {path.name: sha256_of(path)}
