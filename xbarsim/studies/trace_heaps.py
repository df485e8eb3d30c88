"""The heaps in which HDF5 keeps texts, walked before the library walks them.

A heap is a run of objects, each with its size.  In a damaged file an object of no size makes the
library read it again and again, without an end.  HDF5 file format specification, version 3: III.E,
disk format of the global heap.
"""

import mmap
import struct
from pathlib import Path

from xbarsim.base.errors import TraceError

HEAP = b"GCOL\x01\x00\x00\x00"  # signature, version 1, three bytes that are 0
HEAP_HEADER = 16  # bytes, the size of the heap in the last eight
OBJECT_HEADER = 16  # bytes: index, references, four that are 0, size
FREE = 0  # index of what is left over, whose size counts its header
ALIGNMENT = 8  # bytes, of what an object holds


def check_heaps(path: Path) -> None:
    """Refuse a file with a heap that has no end.

    Raises
    ------
    TraceError
    OSError : the file cannot be opened
    """
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(HEAP)
        while at >= 0:
            if not _has_an_end(content, at):
                raise TraceError(
                    f"{path} cannot be read as a trace: a heap of its texts is damaged (at byte {at}); "
                    "run the study again"
                )
            at = content.find(HEAP, at + len(HEAP))


def _has_an_end(content: mmap.mmap, at: int) -> bool:
    """Whether every object of a heap leads to another one or to the end of the heap."""
    end = at + _size(content, at)
    if end > len(content):
        return True  # cut off: the library says so
    place = at + HEAP_HEADER
    while place + OBJECT_HEADER <= end:
        (index,) = struct.unpack_from("<H", content, place)
        size = _size(content, place)
        step = size
        if index != FREE:
            step = OBJECT_HEADER + -(-size // ALIGNMENT) * ALIGNMENT
        if step < OBJECT_HEADER or place + step > end:
            return False
        place += step
    return True


def _size(content: mmap.mmap, place: int) -> int:
    """What stands in the last half of a header."""
    size: int = struct.unpack_from("<Q", content, place + 8)[0]
    return size
