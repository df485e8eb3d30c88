"""HDF5 files whose user block states the SHA-256 of the whole file, with zeros in the place of that digest."""

import hashlib
from pathlib import Path

BLOCK = 512  # bytes of the user block
NO_DIGEST = b"0" * 64
PIECE = 1 << 20  # bytes that are read at once


def stamp(path: Path) -> None:
    """State the digest of a file in its user block, which is empty."""
    with path.open("r+b") as file:
        file.write(b"sha256 " + NO_DIGEST + b"\n")
    digest = _digest(path)
    with path.open("r+b") as file:
        file.write(b"sha256 " + digest + b"\n")


def is_whole(path: Path) -> bool:
    """Whether every byte of a file is as it was when it was stamped."""
    with path.open("rb") as file:
        line = file.readline(BLOCK)
    return line == b"sha256 " + _digest(path) + b"\n"


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        head = file.read(BLOCK)
        digest.update(head[:7] + NO_DIGEST + head[7 + len(NO_DIGEST) :])
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest().encode()
