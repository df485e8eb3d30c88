"""The only place that compiles: `jit` for every kernel, with a compile cache that is always on and
never stale.

Numba's own cache does not notice when a callee in another file changes, so the cache directory
carries a hash of all kernel sources: any edit starts a fresh one.  A cache that cannot be read or
written counts as none.
"""

import functools
import hashlib
import os
import tempfile
from pathlib import Path

import numba
from numba import config, njit
from platformdirs import user_cache_dir

from xbarsim.kernels._cache import KernelCache


def _source_hash():
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        digest.update(path.relative_to(here).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_directory():
    root = os.environ.get("XBARSIM_CACHE_DIR") or user_cache_dir("xbarsim", appauthor=False)
    directory = Path(root) / "kernels" / f"{_source_hash()}-numba{numba.__version__}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError:  # a read-only home or a full disk: compile for this process only
        return None
    return str(directory)


CACHE_DIRECTORY = _cache_directory()


def jit(function=None, **options):
    """`numba.njit` with a `KernelCache`, the GIL released and NumPy's division rules.

    ``config.CACHE_DIR`` is set only while the decorator reads it, so that other users of Numba keep
    theirs.
    """
    if function is None:
        return functools.partial(jit, **options)
    compiled = njit(function, nogil=True, error_model="numpy", **options)
    if CACHE_DIRECTORY is not None and not config.DISABLE_JIT:
        before = config.CACHE_DIR
        config.CACHE_DIR = CACHE_DIRECTORY
        try:
            compiled._cache = KernelCache(function)
        except (OSError, RuntimeError):  # the directory went away
            pass
        finally:
            config.CACHE_DIR = before
    return compiled
