"""Whether this installation is sound: versions, extras, cache, disk and HDF5; `xbarsim doctor`.

Nothing is imported before it is looked at, so that what is broken is said and not raised.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from xbarsim.base.units import GIGA

NEEDED_BYTES = 0.2e9  # kernels, one model and its probe
COMFORTABLE_BYTES = 2e9  # several models
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)")
EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
FOR_DEVELOPERS = ("test", "develop")


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    ABSENT = "absent"  # an extra, which nobody needs to have
    WARNING = "warning"  # works, but slowly or not for long
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """What one check found.  remedy : what to do, where something is to be done"""

    name: str
    state: State
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Requirement:
    """A package that xbarsim needs, or one of its extras.  extra : "" for all of xbarsim"""

    package: str
    minimum: str
    extra: str

    @property
    def command(self) -> str:
        """What installs it."""
        if self.extra:
            return f"pip install 'xbarsim[{self.extra}]'"
        return f"pip install '{self.package}>={self.minimum}'"


def attempt(name: str, check: Callable[[], Finding], remedy: str) -> Finding:
    """What a check finds; what it raises is a finding too."""
    try:
        return check()
    except Exception as error:
        return Finding(name, State.WRONG, f"{type(error).__name__}: {error}", remedy)


def requirements_of_metadata() -> list[Requirement]:
    """What the installed metadata of xbarsim state; empty where they state nothing."""
    try:
        lines = importlib.metadata.requires("xbarsim") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return requirements_of(lines)


def requirements_of(lines: Sequence[str]) -> list[Requirement]:
    """Requirements of lines such as 'h5py>=3.10' and 'typer>=0.12; extra == "cli"'; extras that
    stand for others are left out."""
    found = []
    for line in lines:
        matched = REQUIREMENT.match(line)
        if matched is None:
            continue
        extra = EXTRA.search(line)
        name = ""
        if extra is not None:
            name = extra[1]
        found.append(Requirement(matched[1], matched[2], name))
    return found


def installed_version(package: str) -> str | None:
    """Version of an installed package; None if it is not here."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_python(found: Sequence[int], needed: Sequence[int] = (3, 11)) -> Finding:
    """Whether a Python is new enough, by its first numbers."""
    version = ".".join(map(str, found))
    least = ".".join(map(str, needed))
    where = f"{version} on {platform.system()} {platform.machine()}"
    if tuple(found) >= tuple(needed):
        return Finding("Python", State.OK, where)
    return Finding(
        "Python", State.WRONG, where, f"xbarsim needs Python {least} or later: make an environment"
    )


def check_packages(
    requirements: Sequence[Requirement],
    version_of: Callable[[str], str | None] = installed_version,
) -> Iterator[Finding]:
    """A finding for everything that xbarsim needs whatever it is used for."""
    if not requirements:
        yield Finding(
            "packages",
            State.WARNING,
            "this copy of xbarsim states no requirements",
            "install it: pip install xbarsim, or in a checkout pip install -e .",
        )
    for requirement in requirements:
        if requirement.extra:
            continue
        version = version_of(requirement.package)
        if version is None:
            yield Finding(requirement.package, State.WRONG, "not installed", requirement.command)
        elif is_older(version, requirement.minimum):
            found = f"{version}, which is older than {requirement.minimum}"
            yield Finding(requirement.package, State.WRONG, found, requirement.command)
        else:
            yield Finding(requirement.package, State.OK, version)


def check_extras(
    requirements: Sequence[Requirement],
    version_of: Callable[[str], str | None] = installed_version,
) -> Iterator[Finding]:
    """A finding for every extra: the versions it has here, or what installs it."""
    extras = dict.fromkeys(requirement.extra for requirement in requirements)
    for extra in extras:
        if not extra or extra in FOR_DEVELOPERS:
            continue
        yield _of_extra(extra, [one for one in requirements if one.extra == extra], version_of)


def _of_extra(
    extra: str, parts: Sequence[Requirement], version_of: Callable[[str], str | None]
) -> Finding:
    name = f"extra {extra}"
    versions = {part.package: version_of(part.package) for part in parts}
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        return Finding(name, State.ABSENT, f"no {', '.join(missing)}", parts[0].command)
    old = [part for part in parts if is_older(versions[part.package] or "", part.minimum)]
    if old:
        stated = ", ".join(f"{part.package} is older than {part.minimum}" for part in old)
        return Finding(name, State.WRONG, stated, f"{parts[0].command} --upgrade")
    return Finding(name, State.OK, ", ".join(f"{key} {value}" for key, value in versions.items()))


def is_older(version: str, minimum: str) -> bool:
    """Whether the numbers of a version are below those of another, such as 1.9 below 1.10."""
    return _numbers(version) < _numbers(minimum)


def _numbers(version: str) -> list[int]:
    """Leading numbers of a version: [1, 26] of "1.26.0rc1"; zeros at the end count for nothing."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits[0]))
        if digits[0] != part:
            break
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def check_cache(directory: Path) -> Finding:
    """Whether files can be kept in the cache."""
    remedy = "set XBARSIM_CACHE_DIR to a directory that can be written"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        found = f"{directory} cannot be written ({error.strerror or error})"
        return Finding("cache", State.WRONG, found, remedy)
    return Finding("cache", State.OK, f"{directory} can be written")


def check_disk(directory: Path, free: int | None = None) -> Finding:
    """Whether there is space where the cache is.  free : bytes; asked of the system if None"""
    if free is None:
        place = directory
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
    found = f"{free / GIGA:.1f} GB free for the cache"
    remedy = "free space there, or set XBARSIM_CACHE_DIR to another disk"
    if free < NEEDED_BYTES:
        return Finding("disk", State.WRONG, found, remedy)
    if free < COMFORTABLE_BYTES:
        return Finding("disk", State.WARNING, found, remedy)
    return Finding("disk", State.OK, found)


def check_hdf5(directory: Path) -> Finding:
    """Whether HDF5 reads what it wrote, where the cache is: with locks, checksums and compression,
    as traces are."""
    import h5py
    import numpy as np

    written = np.arange(1000.0).reshape(10, 100)
    with tempfile.TemporaryDirectory(dir=directory if directory.is_dir() else None) as folder:
        path = Path(folder) / "round-trip.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("a/b", data=written, compression="gzip", fletcher32=True)
            data.attrs["unit"] = "µS"
        with h5py.File(path) as file:
            read = file["a/b"][:]
            unit = file["a/b"].attrs["unit"]
    version = f"HDF5 {h5py.version.hdf5_version}, h5py {h5py.__version__}"
    if unit == "µS" and np.array_equal(read, written):
        return Finding("HDF5", State.OK, f"{version} reads what it wrote")
    return Finding(
        "HDF5",
        State.WRONG,
        f"{version} reads other numbers than it wrote",
        "pip install --force-reinstall h5py",
    )


def check_threads(cores: int, stated: str | None) -> Finding:
    """Whether NUMBA_NUM_THREADS suits the cores that this process may use."""
    if stated is None:
        return Finding("threads", State.OK, f"{cores}, one for every core")
    remedy = "unset NUMBA_NUM_THREADS, or set it to the number of cores"
    if not stated.isdigit() or not int(stated):
        found = f"NUMBA_NUM_THREADS is {stated!r}, which is no number of threads"
        return Finding("threads", State.WRONG, found, remedy)
    found = f"{stated} on {cores} cores, by NUMBA_NUM_THREADS"
    if int(stated) > cores:
        return Finding("threads", State.WARNING, found, remedy)
    return Finding("threads", State.OK, found)


def check_installation(cache: Path, cores: int) -> Iterator[Finding]:
    """All findings of this module, for this process and its cache."""
    requirements = requirements_of_metadata()
    yield check_python(sys.version_info[:3])
    yield from check_packages(requirements)
    yield check_threads(cores, os.environ.get("NUMBA_NUM_THREADS"))
    yield check_cache(cache)
    yield attempt("disk", lambda: check_disk(cache), "see whether the disk of the cache is there")
    yield attempt("HDF5", lambda: check_hdf5(cache), "pip install --force-reinstall h5py")
    yield from check_extras(requirements)
