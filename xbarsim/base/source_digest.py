"""Which code computed something: a digest of the sources of packages."""

import hashlib
import importlib.resources
from collections.abc import Iterable
from functools import cache


@cache
def source_digest(packages: tuple[str, ...]) -> str:
    """Hex digest of all Python files of packages, such as "xbarsim.devices"."""
    digest = hashlib.sha256()
    for content in _contents(packages):
        digest.update(content)
    return digest.hexdigest()


def _contents(packages: Iterable[str]) -> Iterable[bytes]:
    for package in packages:
        root = importlib.resources.files(package)
        with importlib.resources.as_file(root) as directory:
            for path in sorted(directory.rglob("*.py")):
                yield path.read_bytes()
