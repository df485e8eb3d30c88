"""Files that keys of a study name beside its model, task, devices and chips, and what they hold."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xbarsim.base.cache import sha256_of
from xbarsim.config.study import Study

FILE_KEYS = ("calibration", "conductances", "inl_lsb")


def hashes_of_named(study: Study) -> dict[str, str]:
    """{key and file or directory: sha256}, of the study, its cases and its layers; without those that are no
    files.
    """
    found = {}
    for key, name in _stated(study.model_dump(mode="json", exclude_none=True)):
        path = Path(name)
        if path.exists():
            found[f"{key} {name}"] = _sha256(path)
    return found


def _stated(content: Any) -> Iterator[tuple[str, str]]:
    """(key, value) of the texts under `FILE_KEYS`, however deep."""
    if isinstance(content, list | tuple):
        for entry in content:
            yield from _stated(entry)
    if isinstance(content, dict):
        for key, value in content.items():
            if key in FILE_KEYS and isinstance(value, str):
                yield key, value
            else:
                yield from _stated(value)


def _sha256(path: Path) -> str:
    """Hex digest of a file, or of all files below a directory and their names."""
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path)} {sha256_of(file)}\n".encode())
    return digest.hexdigest()
