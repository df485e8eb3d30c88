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
from xbarsim.arrays.in_situ.converters import ConverterErrors
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
        apart = _Apart.of(array)
        with self._lock:
            if apart.size <= self._room:
                self._room -= apart.size
                return array
        return ArrayOnDisk(_without_blocks(array), _File.holding(apart))


def _without_blocks(array: Array) -> Array:
    """An array that says all of itself and cannot multiply."""
    programmed = dataclasses.replace(
        array.programmed, transfer=(), variance=None, line_noise=None, power=()
    )
    if isinstance(array, IdealArray):
        nothing = np.zeros((0, 0), np.float32)
        return dataclasses.replace(
            array,
            programmed=programmed,
            folded=nothing,
            folded_variance=None,
            folded_currents=None,
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
    def errors(self) -> tuple[ConverterErrors, ...] | None:
        return self.outline.errors

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
class _Apart:
    """A record taken apart.

    head : it, as a pickle without the arrays within it;  parts : their bytes, nothing is copied
    """

    head: bytes
    parts: tuple[memoryview, ...]

    @classmethod
    def of(cls, record: Any) -> _Apart:
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(record, protocol=5, buffer_callback=buffers.append)
        return cls(head, tuple(buffer.raw() for buffer in buffers))

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in self.parts)


@dataclass(frozen=True)
class _File:
    """Arrays of a record in a file without a name.

    head : the rest of it, see `_Apart`;  sizes : bytes of each of its arrays
    """

    head: bytes
    sizes: tuple[int, ...]
    file: IO[bytes]
    lock: threading.Lock

    @classmethod
    def holding(cls, apart: _Apart) -> _File:
        """A file that holds a record."""
        directory = cache_directory()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # It is closed, and gone, with the record that holds it.
            file = tempfile.TemporaryFile(dir=directory, buffering=0)
            for part in apart.parts:
                _write_all(file, part)
        except OSError as error:
            raise OutputError(
                f"arrays beyond run.memory_gb cannot be put into {directory}: {error}; make room "
                "there, choose another place by XBARSIM_CACHE_DIR, or a larger run.memory_gb"
            ) from None
        sizes = tuple(part.nbytes for part in apart.parts)
        return cls(apart.head, sizes, file, threading.Lock())

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
