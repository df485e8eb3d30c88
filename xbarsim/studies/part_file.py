"""One part of a trace as a file, under a checksum of all its bytes.

The file is HDF5 behind a user block, whose first line is JSON: the path that the part holds, how many of its
examples are done, and the SHA-256 of the whole file with zeros in its place.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from xbarsim.base.errors import TraceError
from xbarsim.base.files import replacing
from xbarsim.base.given_files import parse_json
from xbarsim.studies.trace_layout import UNITS_OF_TILES, Attribute
from xbarsim.studies.trace_parts import LIBRARY

Attributes = dict[str, Attribute]
SMALLEST_BLOCK = 512  # bytes of a user block of HDF5; others are powers of two times as long


class DataSet(NamedTuple):
    values: NDArray[Any]
    unit: str


@dataclass(frozen=True)
class Part:
    """What one part holds.  number : of its file;  groups : {name: attributes};  arrays : {name:
    data set}"""

    number: int
    path: str
    groups: dict[str, Attributes]
    arrays: dict[str, DataSet]

    @property
    def done(self) -> int:
        """Examples that are done; 0 of the head."""
        found = self.arrays.get(f"{self.path}/done")
        if found is None:
            return 0
        return int(found.values.sum())

    def file_in(self, parts: Path) -> Path:
        return parts / f"{self.number:06}.h5"


@dataclass(frozen=True)
class Stamp:
    """What the first line of a part says.  done : examples"""

    path: str
    done: int


def save_part(part: Part, parts: Path) -> None:
    """Write a part into the directory of parts, in the place of an earlier state.

    Raises
    ------
    OutputError : it cannot be written; the earlier state is what it was
    """
    stamp = Stamp(part.path, part.done)
    image = io.BytesIO()
    options = {"libver": LIBRARY, "userblock_size": _block_for(stamp)}
    with h5py.File(image, "w", **options) as file:
        for name, attributes in part.groups.items():
            file.require_group(name).attrs.update(attributes)
        for name, (values, unit) in part.arrays.items():
            dataset = file.create_dataset(
                name, data=values, chunks=values.shape, fletcher32=True, track_times=False
            )
            dataset.attrs["unit"] = unit
    content = image.getbuffer()
    line = _line(stamp)
    content[: len(line)] = line
    digest = hashlib.sha256(content).hexdigest()
    content[: len(line)] = _line(stamp, digest)
    with replacing(part.file_in(parts), "wb") as target:
        target.write(content)


def _line(stamp: Stamp, digest: str = "0" * 64) -> bytes:
    """First line of a file."""
    stated = {"path": stamp.path, "done": stamp.done, "sha256": digest}
    return json.dumps(stated).encode() + b"\n"


def _block_for(stamp: Stamp) -> int:
    size = SMALLEST_BLOCK
    while size < len(_line(stamp)):
        size *= 2
    return size


def stamp_of(file: Path) -> Stamp:
    """What a part holds, when every byte is as it was written.

    Raises
    ------
    TraceError : it is damaged, or of an older version
    """
    try:
        with file.open("rb") as content:
            line = content.readline()
            stated: Any = parse_json(line)
            stamp = Stamp(str(stated["path"]), int(stated["done"]))
            expected = str(stated["sha256"])
            digest = hashlib.sha256(_line(stamp))
            digest.update(content.read())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TraceError(f"{file} cannot be read ({error})") from None
    if digest.hexdigest() != expected or _line(stamp, expected) != line:
        raise TraceError(f"{file} is damaged (its sha256 is not the one that it states)")
    return stamp


def load_part(file: Path, path: str) -> Part:
    """The part that a file holds; its bytes are those that `stamp_of` accepts."""
    groups: dict[str, Attributes] = {}
    arrays: dict[str, DataSet] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        attributes = {key: _plain(value) for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            arrays[name] = DataSet(item[()], str(attributes["unit"]))
        elif attributes:
            groups[name] = attributes

    with h5py.File(file, "r") as source:
        source.visititems(collect)
    return Part(int(file.stem), path, groups, arrays)


def _plain(value: Any) -> Attribute:
    if isinstance(value, np.generic):
        value = value.item()
    found: Attribute = value
    return found


def begins_alike(one: Part, other: Part) -> bool:
    """Whether two parts say the same of their path before an example is evaluated: all attributes,
    what is known of tiles, and which data sets follow."""
    if _stated(one) != _stated(other) or one.arrays.keys() != other.arrays.keys():
        return False
    return all(_is_alike(name, one.arrays[name], other.arrays[name]) for name in one.arrays)


def _stated(part: Part) -> dict[str, Attributes]:
    return {name: attributes for name, attributes in part.groups.items() if attributes}


def _is_alike(name: str, one: DataSet, other: DataSet) -> bool:
    if one.values.shape != other.values.shape or one.values.dtype != other.values.dtype:
        return False
    is_of_tiles = name.rpartition("/")[2] in UNITS_OF_TILES
    return not is_of_tiles or one.values.tobytes() == other.values.tobytes()
