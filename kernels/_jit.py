"""The only place that compiles: `jit` for every kernel, with a compile cache that is always on and never stale.

Numba's own cache does not notice when a callee in another file changes, so the cache directory carries a hash of all
kernel sources: any edit starts a fresh one.
"""
import functools
import hashlib
import os
import tempfile
from pathlib import Path

import numba
from numba import config, njit
from platformdirs import user_cache_dir


def _source_hash():
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_directory():
    root = os.environ.get("XBARSIM_CACHE_DIR") or user_cache_dir("xbarsim", appauthor=False)
    directory = Path(root) / "kernels" / f"{_source_hash()}-numba{numba.__version__}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError:  # a read-only home: compile for this process only
        directory = Path(tempfile.mkdtemp(prefix="xbarsim-kernels-"))
    return str(directory)


CACHE_DIRECTORY = _cache_directory()


def jit(function=None, **options):
    """`numba.njit` with the cache on, the GIL released and NumPy's division rules.

    ``config.CACHE_DIR`` is set only while the decorator reads it, so that other users of Numba keep theirs.
    """
    if function is None:
        return functools.partial(jit, **options)
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE_DIRECTORY
    try:
        return njit(function, cache=True, nogil=True, error_model="numpy", **options)
    finally:
        config.CACHE_DIR = before
