"""Labelled images: IDX, NumPy or CSV files of grey values 0 to 255.

- a directory, or a file of it: `train-images*` and `train-labels*` with `t10k-images*` and
  `t10k-labels*` in MNIST's IDX form (as they are, or with .gz); `train_images.npy`,
  `train_labels.npy`, `test_images.npy`, `test_labels.npy`; or one CSV with `train` and one with `test`
  in their names;
- an `.npz` file with `images`, `labels` and perhaps `test`, True for those for testing;
- a CSV file of images alone.

A CSV has one image a line: its label, a whole number, then its grey values; a first line that is no
numbers is passed over.  Arrays of images are (n, height, width) or (n, height, width, channels).
"""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.base import fetch, sources
from xbarsim.base.array_files import read_npy, read_npz
from xbarsim.base.array_types import AnyArray, Booleans, Bytes
from xbarsim.base.cache import cache_directory, write_atomically
from xbarsim.base.errors import ConfigError, FetchError, TaskError
from xbarsim.base.given_files import check_file, read_bytes, unpacked
from xbarsim.base.progress import Progress, silent
from xbarsim.tasks.task import Kind, Task

IDX_BYTES = 0x08  # the type of unsigned bytes in the third byte of an IDX file
PIXELS = "images"  # layout of a known task


@dataclass(frozen=True)
class _Part:
    """Images (n, values) and their labels (n,), as a file states them."""

    images: Bytes
    labels: AnyArray


def is_image_task(path_or_name: str | Path) -> bool:
    """Whether a name or path is one of images; reads no file."""
    source = sources.find(str(path_or_name), "task")
    if source is not None and not Path(path_or_name).exists():
        return source.layout == PIXELS
    path = Path(path_or_name)
    return path.is_dir() or path.suffix in (".npz", ".npy", ".gz") or path.name.endswith("-ubyte")


def load_image_task(path_or_name: str | Path, progress: Progress = silent) -> Task:
    """Read images, or fetch and read those that `xbarsim fetch --list` knows.

    Returns
    -------
    Task of kind `images`: `sentences` are the grey values (n) of every image, uint8

    Raises
    ------
    TaskError : no images, or images without labels.  FetchError : for a name that cannot be fetched.
    """
    path = fetch.locate(path_or_name, "task", progress=progress)
    source = sources.find(str(path_or_name), "task")
    if source is not None and source.layout == PIXELS:
        path = path.parent
    if path.suffix == ".npz":
        return _of_archive(path)
    if path.is_file() and path.suffix == ".csv":
        digest = _sha256([path])
        return _task(path, digest, _csv(path), None)
    files = _files_of(path if path.is_dir() else path.parent)
    train = _read(files.train)
    test = _read(files.test)
    if train.images.shape[1] != test.images.shape[1]:
        raise TaskError(
            f"{path}: images for training have {train.images.shape[1]} grey values, those for testing "
            f"{test.images.shape[1]}; they are not of one set"
        )
    whole = _Part(
        np.concatenate([train.images, test.images]), np.concatenate([train.labels, test.labels])
    )
    is_test = np.arange(len(whole.labels)) >= len(train.labels)
    name = path if source is None else path_or_name
    return _task(name, _sha256([*files.train, *files.test]), whole, is_test)


# ---------------------------------------------------------------- which files


@dataclass(frozen=True)
class _Files:
    """Files of the two parts: images and labels, or both in one."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


FORMS = (  # of the names of files: (training, testing)
    (("train-images*", "train-labels*"), ("t10k-images*", "t10k-labels*")),
    (("train_images.npy", "train_labels.npy"), ("test_images.npy", "test_labels.npy")),
    (("*train*.csv",), ("*test*.csv",)),
)


def _files_of(directory: Path) -> _Files:
    for train, test in FORMS:
        of_train = _all_there(directory, train)
        of_test = _all_there(directory, test)
        if of_train and of_test:
            return _Files(of_train, of_test)
    raise TaskError(
        f"{directory} holds no images: needed are train-images, train-labels, t10k-images and "
        "t10k-labels (IDX), train_images.npy, train_labels.npy, test_images.npy and test_labels.npy, or "
        "one CSV file for training and one for testing"
    )


def _all_there(directory: Path, patterns: tuple[str, ...]) -> tuple[Path, ...]:
    """The first file of every pattern; none where one is missing."""
    found = [sorted(directory.glob(pattern)) for pattern in patterns]
    if not all(found):
        return ()
    return tuple(paths[0] for paths in found)


def _read(files: tuple[Path, ...]) -> _Part:
    if len(files) == 1:
        return _csv(files[0])
    images, labels = files
    return _checked(images, _array(images), _array(labels))


# ---------------------------------------------------------------- one file


def _array(path: Path) -> AnyArray:
    """The values of an IDX or NumPy file."""
    try:
        if path.suffix == ".npy":
            return read_npy(path)
        content = read_bytes(path, TaskError)
        if path.suffix == ".gz":
            content = unpacked(content)
    except (ConfigError, OSError, ValueError, EOFError, zlib.error) as error:
        raise TaskError(f"{path}: not a readable file ({error})") from None
    return _idx(path, content)


def _idx(path: Path, content: bytes) -> Bytes:
    """0, 0, type, dimensions; the size of each in four bytes, the highest first; values."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != IDX_BYTES:
        raise TaskError(f"{path}: not an IDX file of unsigned bytes")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    values = np.frombuffer(content[start:], np.uint8)
    if len(shape) < dimensions or values.size != int(np.prod(shape)):
        raise TaskError(
            f"{path}: an IDX file of {values.size} values, but its head states {shape}; it is cut"
        )
    return values.reshape(shape)


def _csv(path: Path) -> _Part:
    """Numbers of a table, parsed once: what they were is kept in the cache."""
    kept = cache_directory() / "images" / f"{_sha256([path])[:32]}.npy"
    table = _kept(kept)
    if table is None:
        table = _parsed(path)
        try:
            write_atomically(kept, lambda file: np.save(file, table))
        except (FetchError, OSError):  # a full disk: it is parsed again
            pass
    return _checked(path, table[:, 1:], table[:, 0])


def _kept(path: Path) -> Bytes | None:
    try:
        found: Bytes = read_npy(path)
    except (ConfigError, OSError, ValueError, EOFError):
        return None
    return found


def _parsed(path: Path) -> Bytes:
    try:
        check_file(path, TaskError)
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
            header = not first.replace(",", "").strip().isdigit()
        return np.loadtxt(path, np.uint8, delimiter=",", skiprows=int(header), ndmin=2)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise TaskError(
            f"{path}: not a table of whole numbers from 0 to 255, a label and then the grey values of "
            f"an image on every line ({error})"
        ) from None


def _of_archive(path: Path) -> Task:
    """An .npz file."""
    try:
        stored = read_npz(path)
    except (ConfigError, OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TaskError(f"{path}: not a readable .npz file ({error})") from None
    missing = sorted({"images", "labels"} - set(stored))
    if missing:
        raise TaskError(f"{path}: array {missing[0]!r} is missing; images and labels are needed")
    part = _checked(path, stored["images"], stored["labels"])
    test = stored.get("test")
    if test is not None and (test.dtype != bool or test.shape != part.labels.shape):
        raise TaskError(
            f"{path}: array 'test' has shape {test.shape} and type {test.dtype}; one boolean for each "
            f"of {len(part.labels)} images is needed"
        )
    return _task(path, _sha256([path]), part, test)


def _checked(path: Path, images: AnyArray, labels: AnyArray) -> _Part:
    if images.ndim < 2 or labels.shape != images.shape[:1] or not images.size:
        raise TaskError(
            f"{path}: images have shape {images.shape}, labels {labels.shape}; needed are (n, height, "
            "width) or (n, height, width, channels), and (n,)"
        )
    if images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise TaskError(
            f"{path}: images are of type {images.dtype}, from {images.min()} to {images.max()}; grey "
            "values are whole numbers from 0 to 255"
        )
    if labels.dtype.kind not in "iu":
        raise TaskError(f"{path}: labels are of type {labels.dtype}; they are whole numbers")
    return _Part(images.reshape(len(images), -1).astype(np.uint8), labels.astype(np.int64))


def _task(name: str | Path, sha256: str, part: _Part, test: Booleans | None) -> Task:
    classes, targets = np.unique(part.labels, return_inverse=True)
    if len(classes) < 2:
        raise TaskError(
            f"{name}: all images are of the class {classes[0]}; at least two are needed"
        )
    return Task(
        name=str(name),
        kind=Kind.IMAGES,
        sentences=tuple(part.images),
        targets=targets.astype(np.int64),
        classes=tuple(str(label) for label in classes),
        test=test,
        sha256=sha256,
    )


def _sha256(paths: list[Path]) -> str:
    """Of the one file, or of the digests of several."""
    digests = []
    for path in paths:
        try:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise TaskError(f"{path}: not a readable file ({error.strerror})") from None
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
