"""What determines the numbers of a run, and what of it differs between two runs."""

import dataclasses
import hashlib
import importlib.metadata
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim import __version__
from xbarsim.base.source_digest import source_digest
from xbarsim.base.table_keys import stated_keys
from xbarsim.config.study import Study
from xbarsim.studies.examples import Examples
from xbarsim.studies.input_hashes import InputHashes
from xbarsim.studies.readers import EncoderReader
from xbarsim.studies.trace_layout import Sources
from xbarsim.studies.work import Work

LIBRARIES = ("numpy", "scipy", "numba")
COMPUTING = tuple(
    f"xbarsim.{room}"
    for room in (
        "kernels",
        "base",
        "config",
        "circuit",
        "tasks",
        "devices",
        "models",
        "arrays",
        "hardware",
        "studies",
    )
)
SHOWN = 5  # differences that a message names


@dataclass(frozen=True)
class Origin:
    """What determines the numbers of a run.

    study : TOML text of the study, complete
    facts : {what: version or sha256} of everything else
    """

    study: str
    facts: dict[str, str]

    def differences(self, now: "Origin") -> list[str]:
        """What differs between this run and one of `now`, in words."""
        found = _changed_keys(self.study, now.study)
        for what in sorted(self.facts.keys() | now.facts.keys()):
            if self.facts.get(what) != now.facts.get(what):
                found.append(_difference(what, self.facts.get(what), now.facts.get(what)))
        return found


def origin_of(study: Study, work: Work, sources: Sources) -> Origin:
    """Origin of a run of a study.

    sources : with the hashes of the model's files
    """
    facts = {"xbarsim": __version__, "the code of xbarsim": source_digest(COMPUTING)}
    for library in LIBRARIES:
        facts[library] = importlib.metadata.version(library)
    facts |= {f"model file {name}": value for name, value in sources.model_files.items()}
    facts |= InputHashes().of(study, sources)
    facts["task"] = work.task.sha256
    facts["evaluated examples"] = _digest([*_fields(work.table), *_tokens(work.examples)])
    if work.predictions is not None:
        facts["predicted tokens"] = _digest(_fields(work.predictions))
    facts["calibration examples"] = _digest(_tokens(work.calibration))
    if isinstance(work.reader, EncoderReader):
        facts["head"] = _digest(_fields(work.reader.head))
    return Origin(study.to_toml(), facts)


def _tokens(examples: Examples) -> Iterator[Any]:
    yield examples.parts
    yield examples.pooling
    yield examples.tokens_per_batch
    yield from examples.tokens


def _fields(record: Any) -> list[Any]:
    return [getattr(record, field.name) for field in dataclasses.fields(record)]


def _digest(values: Iterable[Any]) -> str:
    """Hex digest of arrays and plain values."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            digest.update(repr((value.dtype.str, value.shape)).encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def _difference(what: str, before: str | None, now: str | None) -> str:
    if before is None:
        return f"{what} is new"
    if now is None:
        return f"{what} is gone"
    if what in ("xbarsim", *LIBRARIES):
        return f"{what} was {before}, is {now}"
    return f"{what} changed"


def _changed_keys(before: str, now: str) -> list[str]:
    """Keys of two studies with other values."""
    old = stated_keys(tomllib.loads(before))
    new = stated_keys(tomllib.loads(now))
    keys = [key for key in new | old if old.get(key) != new.get(key)]
    changed = []
    for key in keys[:SHOWN]:
        was = repr(old.get(key, "absent"))
        changed.append(f"{key} was {was[:60]}, is {repr(new.get(key, 'absent'))[:60]}")
    if len(keys) > SHOWN:
        changed.append(f"{len(keys) - SHOWN} more keys of the study")
    return changed
