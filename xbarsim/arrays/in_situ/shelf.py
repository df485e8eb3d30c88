"""Arrays within a budget of memory: those that find no room wait in files, and are read for every
product.

What is in the files is what was in memory, so results have the same bits.  A file has no name: it
is gone with the process, however that ends.
"""

from __future__ import annotations

import dataclasses
import pickle
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from xbarsim.arrays.digital_scale import DigitalScale
from xbarsim.arrays.events import Events
from xbarsim.arrays.in_situ.code_counts import CodeBins
from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.matrix import Array, ConvertedArray, IdealArray, Product
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.base.array_types import Booleans, Bytes, Floats, Integers, Singles
from xbarsim.base.cache import cache_directory
from xbarsim.base.errors import OutputError


class Shelf:
    """A budget of bytes for arrays: the first ones stay in memory, the others go to files."""

    def __init__(self, room: int | None) -> None:
        """room : bytes; None without a bound"""
        self._room = room
        self._lock = threading.Lock()

    def place(self, array: Array) -> Array:
        """The array, in memory or behind a file.

        Raises
        ------
        OutputError : no file can be written
        """
        if self._room is None:
            return array
        with self._lock:
            size = bytes_of(array)
            if size <= self._room:
                self._room -= size
                return array
        return ArrayOnDisk(_without_blocks(array), _File.holding(array))


def bytes_of(array: Array) -> int:
    """Of the matrices of an array."""
    programmed = array.programmed
    blocks = [*programmed.transfer, *programmed.power, *(programmed.variance or ())]
    if isinstance(array, IdealArray):
        blocks.append(array.folded)
        if array.folded_variance is not None:
            blocks.append(array.folded_variance)
    return sum(block.nbytes for block in blocks)


def _without_blocks(array: Array) -> Array:
    """An array that says all of itself and cannot multiply."""
    programmed = dataclasses.replace(array.programmed, transfer=(), variance=None, power=())
    if isinstance(array, IdealArray):
        nothing = np.zeros((0, 0), np.float32)
        return dataclasses.replace(
            array, programmed=programmed, folded=nothing, folded_variance=None
        )
    if isinstance(array, ConvertedArray):
        return dataclasses.replace(array, programmed=programmed)
    raise TypeError(f"{type(array).__name__} has no blocks that could be put aside")


@dataclass(frozen=True)
class ArrayOnDisk:
    """An array whose matrices are read from a file for every product; see `matrix.Array`.

    outline : the array without them
    """

    outline: Array
    file: _File

    @property
    def programmed(self) -> ProgrammedMatrix:
        """The matrix on its tiles, without its transfer matrices."""
        return self.outline.programmed

    @property
    def coder(self) -> InputCoder:
        return self.outline.coder

    @property
    def scale(self) -> DigitalScale:
        return self.outline.scale

    @property
    def gain(self) -> Floats:
        return self.outline.gain

    @property
    def code_bins(self) -> CodeBins | None:
        return self.outline.code_bins

    @property
    def events_per_row(self) -> Events:
        return self.outline.events_per_row

    def multiply(
        self, x: Singles, rows: Integers, seed: int, wanted: Booleans | None = None
    ) -> Product:
        """Product of inputs x (b, inputs) with the matrix, see `Array.multiply`."""
        array: Array = self.file.read()
        return array.multiply(x, rows, seed, wanted)


@dataclass(frozen=True)
class _File:
    """A record with large arrays in a file without a name.

    head : the record as a pickle without the arrays;  sizes : bytes of each of them
    """

    head: bytes
    sizes: tuple[int, ...]
    file: IO[bytes]
    lock: threading.Lock

    @classmethod
    def holding(cls, record: Any) -> _File:
        """A file that holds a record."""
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(record, protocol=5, buffer_callback=buffers.append)
        parts = [buffer.raw() for buffer in buffers]
        directory = cache_directory()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # It is closed, and gone, with the record that holds it.
            file = tempfile.TemporaryFile(dir=directory, buffering=0)
            for part in parts:
                _write_all(file, part)
        except OSError as error:
            raise OutputError(
                f"arrays beyond run.memory_gb cannot be put into {directory}: {error}; make room "
                "there, choose another place by XBARSIM_CACHE_DIR, or a larger run.memory_gb"
            ) from None
        return cls(head, tuple(part.nbytes for part in parts), file, threading.Lock())

    def read(self) -> Any:
        """The record as it was."""
        with self.lock:
            self.file.seek(0)
            parts = [_read_all(self.file, size) for size in self.sizes]
        return pickle.loads(self.head, buffers=parts)


def _write_all(file: IO[bytes], part: memoryview) -> None:
    while part.nbytes:
        written = file.write(part)
        part = part[written:]


def _read_all(file: Any, size: int) -> Bytes:
    part = np.empty(size, np.uint8)
    left = part.data
    while left.nbytes:
        count = file.readinto(left)
        if not count:
            raise OutputError("an array that was put aside for run.memory_gb is not whole any more")
        left = left[count:]
    return part
