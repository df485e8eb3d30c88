"""Conductances of programmed arrays as files: an index, and one file per tile and quantity.

`index.json` says what they are of and everything that is needed to use them (docs/conductances.md).  A
file that was measured takes the place of the one that was exported; its entry then has no `sha256`, or
its own.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from xbarsim.base.arguments import shown
from xbarsim.base.array_files import read_matrix
from xbarsim.base.array_types import AnyFloats, Floats
from xbarsim.base.cache import sha256_of
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.given_files import INDEX_BYTES, lies_below, read_json
from xbarsim.base.toml_files import validated
from xbarsim.circuit.files import SIEMENS
from xbarsim.config.arrays import Mapping
from xbarsim.config.tables import Table, whole

INDEX = "index.json"
UNLIKELY = 1000.0  # times the window of a device: a conductance that has another unit
MAPPED = (
    "word_lines",
    "bit_lines",
    "encoding",
    "sign",
    "placement",
    "weight_bits",
    "bits_per_cell",
    "scale_shift",
)

Count = Annotated[int, Field(ge=0)]


class FileEntry(Table):
    """A file of the directory.

    unit : of a conductance, a key of SIEMENS, or what the numbers are
    """

    file: str
    unit: str
    sha256: str | None = None


class TileEntry(Table):
    """A tile, and the files of its cells (word lines, bit lines).

    row_block, column_block : its place;  slice, sign : of a tile that holds one plane
    target : what the mapping asks of every cell;  seen : what it is to seem to be behind compensated wires
    aimed : what the write aimed at, where that is another: a level, or where a cell is stuck
    achieved : just after the write;  read : at the time of the study, where that is another
    netlist : of the cells as they are read, in the place of all of them
    """

    tile: Count
    row_block: Count
    column_block: Count
    slice: Count | None = None
    sign: Literal["+", "-"] | None = None
    target: FileEntry | None = None
    seen: FileEntry | None = None
    aimed: FileEntry | None = None
    achieved: FileEntry | None = None
    read: FileEntry | None = None
    netlist: FileEntry | None = None

    def files(self) -> list[FileEntry]:
        """All that it names."""
        named = (self.target, self.seen, self.aimed, self.achieved, self.read, self.netlist)
        return [entry for entry in named if entry is not None]


class WriteEntry(Table):
    """What happened in the write of a row block; see `devices.programmed.Counts`."""

    stuck_on: Count = 0
    stuck_off: Count = 0
    bounded: Count = 0
    rounded: Count = 0
    unverified: Count = 0
    pulses: Count = 0
    write_energy: float | None = None
    rewritten: Count = 0


class MatrixEntry(Table):
    """A weight matrix, and how weights are read off its cells.

    weight of an input and an output = offset + sum over slices and signs of value times siemens

    value : (slices * signs, outputs), weight per siemens;  offset, clip : (1, outputs), weights
    divisor : (1, inputs), of inputs, where scale is shifted into weights
    minimum_s, maximum_s : the window of the device;  step_s : between two levels of a cell
    write : of every row block, of cells that the device model wrote
    """

    matrix: str
    weights_sha256: str
    inputs: Count
    outputs: Count
    word_lines: Count
    bit_lines: Count
    encoding: str
    sign: str
    placement: str
    weight_bits: Count
    bits_per_cell: Count
    scale_shift: float
    slices: Count
    signs: Count
    minimum_s: float
    maximum_s: float
    step_s: float
    clipped: Count
    value: FileEntry
    offset: FileEntry
    clip: FileEntry
    divisor: FileEntry | None = None
    unshifted: Count = 0
    write: tuple[WriteEntry, ...] = ()
    tiles: tuple[TileEntry, ...]

    def files(self) -> list[FileEntry]:
        """All that it names."""
        named = [self.value, self.offset, self.clip]
        if self.divisor is not None:
            named.append(self.divisor)
        for tile in self.tiles:
            named += tile.files()
        return named


class ConductanceIndex(Table):
    """What a directory of conductances is of: a chip of a case of a study, or some of its matrices."""

    format: Literal["xbarsim-conductances"]
    version: Annotated[Literal[1], BeforeValidator(whole)]
    software_version: str
    checkpoint: str
    checkpoint_sha256: str
    study: str
    case: str
    chip: Count
    seed: Count
    device: str
    matrices: tuple[MatrixEntry, ...]


def read_index(directory: Path) -> ConductanceIndex:
    """The index of a directory.

    Raises
    ------
    ConfigError : none there, or no such index
    """
    path = directory / INDEX
    try:
        content = read_json(path, ConfigError, INDEX_BYTES)
    except FileNotFoundError:
        raise ConfigError(
            f"mapping.conductances = {str(directory)!r} holds no conductances (no file {INDEX}); "
            "`xbarsim export` writes such a directory"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); export it again") from None
    return validated(ConductanceIndex, content, str(path))


def entry_of(directory: Path, name: str) -> MatrixEntry:
    """The entry of a matrix.

    Raises
    ------
    ConfigError : it is not there
    """
    index = read_index(directory)
    for entry in index.matrices:
        if entry.matrix == name:
            return entry
    raise ConfigError(
        f"{directory} holds no conductances of {name}; export it too, or state "
        "mapping.conductances in a [[layer]] table that matches what is there: "
        f"{', '.join(entry.matrix for entry in index.matrices)}"
    )


def sha256_of_directory(directory: Path) -> str:
    """Hex digest of an index and of all files that it names.

    Raises
    ------
    ConfigError : no such directory, or files that are missing or not those of the index
    """
    digest = hashlib.sha256()
    for entry in read_index(directory).matrices:
        digest.update(check_hashes(directory, entry).encode())
    return digest.hexdigest()


def weights_sha256(weight: AnyFloats) -> str:
    """Hex digest of a matrix of a checkpoint (outputs, inputs)."""
    single = np.ascontiguousarray(weight, np.float32)
    return hashlib.sha256(repr(single.shape).encode() + single.tobytes()).hexdigest()


def check_matrix(directory: Path, entry: MatrixEntry, weight: AnyFloats, mapping: Mapping) -> None:
    """Refuse conductances of other weights, or that lie on tiles in another way.

    Raises
    ------
    ConfigError
    """
    if weights_sha256(weight) != entry.weights_sha256:
        raise ConfigError(
            f"{directory}: {entry.matrix} holds the conductances of other weights (sha256 "
            f"{entry.weights_sha256[:12]}..., not {weights_sha256(weight)[:12]}...); export those "
            "of this model"
        )
    for key in MAPPED:
        stated = getattr(mapping, key)
        written = getattr(entry, key)
        if stated != written:
            raise ConfigError(
                f"{directory}: {entry.matrix} was mapped with mapping.{key} = {written!r}, the study "
                f"says {stated!r}; allowed: what it was mapped with, or other conductances"
            )


def check_hashes(directory: Path, entry: MatrixEntry) -> str:
    """Refuse files that are gone or not those of the index; returns the digest of all of them.

    Raises
    ------
    ConfigError
    """
    digest = hashlib.sha256(entry.model_dump_json().encode())
    for named in entry.files():
        path = _path(directory, named)
        found = sha256_of(path)
        if named.sha256 is not None and found != named.sha256:
            raise ConfigError(
                f"{path} is not the file of {INDEX} (sha256 {found[:12]}..., there "
                f"{named.sha256[:12]}...): it was damaged, or measured; of a measured one remove "
                "its sha256 there"
            )
        digest.update(found.encode())
    return digest.hexdigest()


def _path(directory: Path, entry: FileEntry) -> Path:
    """The place of a file, below the directory."""
    if not lies_below(entry.file):
        raise ConfigError(
            f"{directory / INDEX}: file {shown(entry.file)} lies outside the directory"
        )
    path = directory / entry.file
    if not path.is_file():
        raise ConfigError(f"{path} is missing; bring it back, or export the conductances again")
    return path


def read_numbers(directory: Path, entry: FileEntry, shape: tuple[int, int]) -> Floats:
    """The finite numbers of a file, a matrix of this shape.

    Raises
    ------
    ShapeError, OutOfRangeError
    """
    path = _path(directory, entry)
    values = read_matrix(path)
    if values.shape != shape:
        raise ShapeError(f"{path} has shape {values.shape}; allowed: {shape}")
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise OutOfRangeError(
            f"{path} holds {values[row, column]} at row {row}, column {column}; allowed: numbers"
        )
    return values


def read_conductances(
    directory: Path, entry: FileEntry, shape: tuple[int, int], maximum: float
) -> Floats:
    """(word lines, bit lines) S of a file.

    maximum : S, of the window of the device, beside which another unit is noticed

    Raises
    ------
    ConfigError : a unit that is none;  ShapeError : another number of lines
    OutOfRangeError : not a number, below 0, or far beyond any cell
    """
    if entry.unit not in SIEMENS:
        raise ConfigError(
            f"{directory / INDEX}: unit of {entry.file} is {entry.unit!r}; allowed: "
            f"{', '.join(SIEMENS)}"
        )
    values = read_numbers(directory, entry, shape)
    lowest = values.min()
    if lowest < 0:
        row, column = np.argwhere(values == lowest)[0]
        raise OutOfRangeError(
            f"{directory / entry.file} holds {lowest:g} {entry.unit} at word line {row}, bit line "
            f"{column}; allowed: 0 or more"
        )
    siemens: Floats = values * SIEMENS[entry.unit]
    if siemens.max() > UNLIKELY * maximum:
        raise OutOfRangeError(
            f"{directory / entry.file} holds up to {values.max():g} {entry.unit}, where a cell of "
            f"the device has at most {maximum:g} S; state its unit in {INDEX}: "
            f"{', '.join(SIEMENS)}"
        )
    return siemens
