"""Files of a Python package index, downloaded by pip with the user's own settings; nothing is
installed.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from xbarsim.base.archives import member_of
from xbarsim.base.cache import cache_directory, scratch_directory, sha256_of, verify
from xbarsim.base.errors import FetchError
from xbarsim.base.progress import Done
from xbarsim.base.sources import Package, Source

POLL_S = 0.1  # between two looks at a download that grows


def downloads() -> Path:
    """Where finished downloads wait until their files are unpacked."""
    return cache_directory() / "downloads"


def archive_of(source: Source, scratch: Path, origin: Path | None, done: Done) -> Path:
    """The archive that holds the files of a source, downloaded or taken from the directory
    `origin`, and verified.

    scratch : directory for an archive that is joined from several packages
    """
    paths = [_package(package, origin, _Bytes(done)) for package in source.packages]
    parts = [package.part for package in source.packages]
    if parts[0] is None:
        return paths[0]
    joined = scratch / "joined"
    with joined.open("wb") as whole:
        for path, part in zip(paths, parts, strict=True):
            with member_of(path, str(part)) as stream:
                shutil.copyfileobj(stream, whole)
    return joined


class _Bytes:
    """How many bytes of one package are here, told to a progress as they grow."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.count = 0

    def reach(self, count: int) -> None:
        """`count` bytes are here by now."""
        if count > self.count:
            self.done(count - self.count)
            self.count = count


def _package(package: Package, origin: Path | None, progress: _Bytes) -> Path:
    """One verified package file."""
    if origin is not None:
        path = origin / package.file
        if not path.is_file():
            raise FetchError(
                f"{origin}: neither the package file {package.file} nor the unpacked files are "
                "there"
            )
    else:
        path = downloads() / package.file
        if not path.is_file() or sha256_of(path) != package.sha256:
            _download(package, path, progress)
    verify(path, package.sha256)
    progress.reach(package.size)
    return path


def _download(package: Package, path: Path, progress: _Bytes) -> None:
    with scratch_directory(path.parent) as scratch:
        _pip_download(package, scratch, progress)
        saved = scratch / "saved" / package.file
        verify(saved, package.sha256)
        saved.replace(path)


def _pip_download(package: Package, scratch: Path, progress: _Bytes) -> None:
    """Run `pip download` for one package into scratch/saved; its growth is told to `progress`.

    pip checks the hash before anything of a source package is run; setuptools, which pip needs to
    look into one, comes by pip's own build isolation.
    """
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            "pip is not installed next to this Python; install it (pip install 'xbarsim[bert]'), "
            f"or give a directory with {package.file} as the source"
        )
    for directory in ("saved", "temporary"):
        (scratch / directory).mkdir()
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch / "temporary"))
    log = scratch / "log.txt"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            _pip_command(package, scratch),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | temporary,
        )
        try:
            while pip.poll() is None:
                progress.reach(min(_largest_file(scratch), package.size))
                time.sleep(POLL_S)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode:
        reasons = _reasons(log.read_text(errors="replace"), pip.returncode)
        raise FetchError(
            f"pip could not download {package.requirement}: {' / '.join(reasons)}; check the "
            "network and pip's index settings (pip config list), or give --from DIRECTORY that "
            f"holds {package.file}"
        )


def _pip_command(package: Package, scratch: Path) -> list[str]:
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download"]
    command += ["--no-deps", "--require-hashes"]
    command += ["--progress-bar", "off", "--disable-pip-version-check"]
    command += ["--dest", str(scratch / "saved")]
    command += ["--requirement", str(wanted)]
    if not package.file.endswith(".whl"):
        name, _, _ = package.requirement.partition("==")
        command += ["--no-binary", name]
    return command


def _reasons(log: str, status: int) -> list[str]:
    """What pip says of its failure: its errors, or its last line, or its status."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return errors or lines[-1:] or [f"status {status}"]


def _largest_file(directory: Path) -> int:
    """Bytes of the largest file below a directory."""
    largest = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):  # pip may have moved it meanwhile
                largest = max(largest, os.path.getsize(os.path.join(folder, name)))
    return largest
