"""Numba's cache of compiled functions, made so that whatever is wrong with it counts as no cache.

Every file begins with the SHA-256 of the rest.  One that is empty, cut or damaged is compiled anew
and written again; one that cannot be written (a full disk, a directory that went away) is not.
Without this an empty file ends a program, and a flipped bit runs as machine code.
"""

import hashlib
import pickle
from pathlib import Path

from numba.core.caching import FunctionCache, IndexDataCacheFile

DIGEST_BYTES = hashlib.sha256().digest_size


class VerifiedFiles(IndexDataCacheFile):
    """Index and data files of one function, each with its digest in front."""

    def _load_index(self):
        content = _read(self._index_path)
        if content is None:
            return {}
        version, stamp, overloads = pickle.loads(content)
        fresh = version == self._version and stamp == self._source_stamp
        return overloads if fresh else {}

    def _save_index(self, overloads):
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name):
        content = _read(self._data_path(name))
        return None if content is None else pickle.loads(content)

    def _save_data(self, name, data):
        self._write(self._data_path(name), data)

    def _write(self, path, content):
        content = self._dump(content)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)


class KernelCache(FunctionCache):
    """Cache of one kernel."""

    def __init__(self, function):
        super().__init__(function)
        files = self._cache_file
        self._cache_file = VerifiedFiles(
            self._cache_path, self._impl.filename_base, files._source_stamp
        )

    def save_overload(self, signature, compiled):
        try:
            super().save_overload(signature, compiled)
        except OSError:  # a full disk: the next process compiles again
            pass


def _read(path):
    """Content of a file behind its digest; None if it is absent, unreadable or damaged."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return None
    digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None
