"""Files that keys of a study name beside its model, task, devices, chips and conductances, and what they
hold.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xbarsim.base.cache import sha256_of
from xbarsim.config.study import Study

FILE_KEYS = ("calibration", "inl_lsb")


def hashes_of_named(study: Study) -> dict[str, str]:
    """{key and file: sha256}, of the study, its cases and its layers; without those that are no
    files.
    """
    found = {}
    for key, name in _stated(study.model_dump(mode="json", exclude_none=True)):
        path = Path(name)
        if path.is_file():
            found[f"{key} {name}"] = sha256_of(path)
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
