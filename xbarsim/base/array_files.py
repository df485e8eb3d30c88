"""Arrays in files: NumPy (.npy), text (.csv) and HDF5 (.h5, .hdf5; FILE:DATASET); files written
whole or not at all.
"""

import codecs
import io
import math
import re
import tokenize
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import AnyArray, Floats
from xbarsim.base.errors import ConfigError, ShapeError
from xbarsim.base.files import replacing
from xbarsim.base.given_files import TEXT_BYTES, check_file, exists, most_unpacked

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".npy", ".csv", ".h5", ".hdf5")
LONGEST_NAME = 200  # characters that a message shows
KINDS = {
    "c": "complex numbers",
    "U": "text",
    "S": "text",
    "M": "dates",
    "m": "time spans",
    "O": "objects",
    "V": "records",
}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

Arrays = Mapping[str, tuple[ArrayLike, str]]  # {name: (array, unit)}

# Text of a number that only the part behind a decimal comma can be: 05, 000012, or digits before
# an exponent.
_FRACTION = re.compile(r"0\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+")
_WHOLE = re.compile(r"[-+]?\d+")


def numbers(name: str, value: object, unit: str = "") -> Floats:
    """`value` as a float64 array; complex, masked, text, dates and objects are refused, not cast.

    Raises
    ------
    ShapeError : no array of real numbers
    """
    wanted = "; give real numbers"
    if unit:
        wanted += f" in {unit}"
    if _is_masked(value):
        raise ShapeError(f"{name} is a masked array: fill its masked entries first{wanted}")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ShapeError(f"{name}: {error}{wanted}") from None
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{name} holds {KINDS.get(array.dtype.kind, array.dtype)}{wanted}")
    return array.astype(np.float64)


def _is_masked(value: object) -> bool:
    """Whether a value, or a part of a list, is a masked array."""
    if isinstance(value, (list, tuple)):
        return any(np.ma.isMaskedArray(part) for part in value)
    return bool(np.ma.isMaskedArray(value))


def read_array(name: str | Path) -> Floats:
    """The numbers of a file as float64; of HDF5 the only data set, or the one of FILE:DATASET.

    A CSV file of one column is a vector.

    Raises
    ------
    ConfigError : missing, of another kind, or not readable;  ShapeError : not numbers in a vector
        or matrix
    """
    array = _read(name)
    if array.ndim not in (1, 2):
        raise ShapeError(f"{name} has shape {array.shape}; allowed: a vector or a matrix")
    if _is_text(name) and array.shape[1] == 1:
        return array[:, 0]
    return array


def read_matrix(name: str | Path) -> Floats:
    """As `read_array`, but a matrix: a CSV file of one column has one column, one of one line has
    one row.
    """
    array = _read(name)
    if array.ndim != 2:
        raise ShapeError(f"{name} has shape {array.shape}; allowed: a matrix")
    return array


def read_number_or_array(text: str) -> float | Floats:
    """A number as it stands, or the array or number of a file."""
    try:
        return float(text)
    except ValueError:
        array = _read(text)
    if array.ndim == 0:
        return float(array)
    return read_array(text)


def read_number_or_matrix(text: str) -> float | Floats:
    """A number as it stands, or the matrix or number of a file."""
    try:
        return float(text)
    except ValueError:
        array = _read(text)
    if array.ndim == 0:
        return float(array)
    return read_matrix(text)


def read_vectors(name: str | Path, length: int) -> Floats:
    """One vector of `length` numbers, or a batch (b, length) of them; a data set that is one
    number stays one.

    A file of one row is one vector, and so is one column of a CSV file; where vectors have one
    number, every line of the file is a vector.
    """
    array = _read(name)
    if _is_text(name) and array.shape[1] == 1 and length != 1:
        array = array[:, 0]
    if array.ndim == 2 and len(array) == 1:
        one: Floats = array[0]
        return one
    return array


def place_of(name: str | Path) -> tuple[Path, str]:
    """(path of the file, name of the data set or "") of FILE or FILE:DATASET."""
    if exists(name):
        return Path(name), ""
    text, _, dataset = str(name).rpartition(":")
    if text and Path(text).suffix in (".h5", ".hdf5"):
        return Path(text), dataset
    return Path(name), ""


def _is_text(name: str | Path) -> bool:
    path, _ = place_of(name)
    return path.suffix == ".csv"


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"{path}: suffix {path.suffix!r} is not known; allowed: {', '.join(SUFFIXES)}"
        )


def _read(name: str | Path) -> Floats:
    path, dataset = place_of(name)
    if not exists(path):
        raise ConfigError(f"{_shortened(path)}: no such file")
    check_file(path, ConfigError, TEXT_BYTES if path.suffix == ".csv" else None)
    _check_suffix(path)
    array: object
    try:
        if path.suffix == ".npy":
            array = read_npy(path)
        elif path.suffix == ".csv":
            array = _read_csv(path)
        else:
            array = _read_hdf5(path, dataset)
    except ConfigError:
        raise
    except (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError) as error:
        raise ConfigError(f"{path}: not an array of numbers ({error})") from None
    return numbers(str(name), array)


def _shortened(path: Path) -> str:
    text = str(path)
    if len(text) <= LONGEST_NAME:
        return text
    return text[:LONGEST_NAME] + "..."


def read_npy(path: Path) -> AnyArray:
    """The array of a .npy file; its header is looked at before anything is allocated, and pickled
    objects are never loaded.

    Raises
    ------
    ConfigError : objects, or less than the header states;  OSError, ValueError : no such file
    """
    size = check_file(path, ConfigError)
    with path.open("rb") as file:
        return _array_in(file, size, str(path))


def read_npz(path: Path) -> dict[str, AnyArray]:
    """The arrays of a .npz file by their names; see `read_npy`.

    Raises
    ------
    ConfigError, OSError, ValueError : as `read_npy`;  zipfile.BadZipFile : damaged
    """
    most = most_unpacked(check_file(path, ConfigError))
    found: dict[str, AnyArray] = {}
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
        if total > most:
            raise ConfigError(f"{path}: unpacks to {total:,} bytes; allowed: at most {most:,}")
        for member in archive.infolist():
            content = archive.read(member)
            name = member.filename.removesuffix(".npy")
            found[name] = _array_in(io.BytesIO(content), len(content), f"{path}, array {name}")
    return found


def _array_in(file: BinaryIO, size: int, where: str) -> AnyArray:
    """The array of an open .npy file of `size` bytes."""
    version = np.lib.format.read_magic(file)
    shape, _, dtype = _header(file, version)
    if dtype.hasobject:
        raise ConfigError(f"{where}: holds Python objects, which are not loaded; give real numbers")
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    stated = math.prod(shape) * dtype.itemsize
    left = size - file.tell()
    if stated > left:
        raise ConfigError(
            f"{where}: the header states {stated:,} bytes of shape {shape}, the file has {left:,}: it "
            "is cut off or damaged; save it again"
        )
    file.seek(0)
    array: AnyArray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _header(
    file: BinaryIO, version: tuple[int, int]
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether in the order of Fortran, type) that stand in front of the numbers."""
    try:
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(file)
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ValueError(f"a header that is none: {error}") from None
    raise ValueError(f"version {version} of the format; allowed: 1.0 and 2.0, of numbers")


def _read_csv(path: Path) -> Floats:
    """(rows, columns) of numbers separated by commas; lines that start with # and empty ones are
    skipped.
    """
    rows: list[list[float]] = []
    texts: list[list[str]] = []
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split(",")]
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError:
            raise ConfigError(
                f"{path}, line {number}: not numbers separated by commas: {line[:60]!r}; "
                "start a line that is no data with #, and write decimals with a point"
            ) from None
        texts.append(cells)
        if len(cells) != len(rows[0]):
            raise ConfigError(
                f"{path}, line {number}: {len(cells)} columns, the lines before have {len(rows[0])}"
            )
    if not rows:
        raise ConfigError(f"{path}: the file is empty")
    if _has_decimal_commas(texts):
        raise ConfigError(
            f"{path}: decimal commas between commas, such as {','.join(texts[0][:4])!r}: "
            "every number "
            "would count as two; write decimals with a point"
        )
    return np.array(rows)


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8")


def _has_decimal_commas(rows: list[list[str]]) -> bool:
    """Whether each two cells are the two sides of a decimal comma: whole numbers, and some that
    only follow one.
    """
    if len(rows[0]) % 2:
        return False
    before = [cell for row in rows for cell in row[::2]]
    behind = [cell for row in rows for cell in row[1::2]]
    if not all(_WHOLE.fullmatch(cell) for cell in before):
        return False
    if not all(re.fullmatch(r"\d+([eE][-+]?\d+)?", cell) for cell in behind):
        return False
    return any(_FRACTION.fullmatch(cell) for cell in behind)


def _read_hdf5(path: Path, dataset: str) -> object:
    import h5py

    with h5py.File(path, "r") as file:
        names: list[str] = []

        def note(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                names.append(name)

        file.visititems(note)
        if not dataset and len(names) != 1:
            raise ConfigError(
                f"{path} holds {len(names)} data sets; "
                f"name one as {path}:DATASET of {', '.join(names)}"
            )
        if dataset and dataset not in names:
            raise ConfigError(f"{path} has no data set {dataset!r}; it holds {', '.join(names)}")
        return stored_values(file[dataset or names[0]], path.stat().st_size)


def stored_values(item: "h5py.Dataset", file_bytes: int) -> AnyArray:
    """The numbers of a data set of a file of `file_bytes` bytes.

    Raises
    ------
    ValueError : no numbers; kept in another file; far more than the file can hold
    """
    if item.dtype.kind not in "fiubc":
        raise ValueError(f"{item.name} holds {KINDS.get(item.dtype.kind, item.dtype)}, no numbers")
    if item.external is not None or item.is_virtual:
        raise ValueError(f"{item.name} is kept in another file, which is not opened")
    most = most_unpacked(file_bytes)
    if item.size is None or item.size * item.dtype.itemsize > most:
        raise ValueError(f"{item.name} has shape {item.shape}; allowed: at most {most:,} bytes")
    values: AnyArray = item[()]
    return values


def write_arrays(
    path: str | Path, arrays: Arrays, attributes: Mapping[str, object] | None = None
) -> Path:
    """Write {name: (array, unit)} to one HDF5 file, or the first of them to .npy or .csv; returns
    the path.

    attributes : {name: value} of the HDF5 file, what it is and where it comes from
    """
    path = Path(path)
    first, _ = next(iter(arrays.values()))
    _check_suffix(path)
    with replacing(path, "wb") as file:
        if path.suffix == ".npy":
            np.save(file, first)
        elif path.suffix == ".csv":
            np.savetxt(file, np.atleast_2d(first), delimiter=",", fmt="%.17g")
        else:
            file.write(_hdf5(arrays, attributes or {}))
    return path


def _hdf5(arrays: Arrays, attributes: Mapping[str, object]) -> bytes:
    """Bytes of an HDF5 file: made in memory, because a full disk ends HDF5 in a crash."""
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs.update(attributes)
        for name, (array, unit) in arrays.items():
            file.create_dataset(name, data=array, track_times=False).attrs["unit"] = unit
    return image.getvalue()
