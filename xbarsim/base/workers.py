"""Threads that work on independent pieces, with BLAS on one thread in each."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_limits


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> threadpool_limits:
    """A context in which BLAS uses one thread: the same bits on any machine load."""
    return threadpool_limits(limits=1, user_api="blas")


@contextlib.contextmanager
def worker_threads(count: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of `count` threads (all cores if None) with BLAS on one thread inside."""
    with one_blas_thread(), ThreadPoolExecutor(count or cores()) as pool:
        try:
            yield pool
        except BaseException:
            # an interrupted run stops at once, not after all batches
            pool.shutdown(cancel_futures=True)
            raise
