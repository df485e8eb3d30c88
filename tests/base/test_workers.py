"""Threads for independent pieces: BLAS on one thread in each, and no waiting after an error."""

import threading

import pytest
from threadpoolctl import threadpool_info

from xbarsim.base.workers import cores, one_blas_thread, worker_threads


def blas_threads(_=None):
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_has_one_thread_inside():
    with one_blas_thread():
        assert blas_threads() <= {1}
    with worker_threads(2) as pool:
        assert all(found <= {1} for found in pool.map(blas_threads, range(3)))


def test_as_many_threads_as_asked_for():
    meeting = threading.Barrier(3, timeout=10)
    with worker_threads(3) as pool:
        places = list(pool.map(lambda _: meeting.wait(), range(3)))
    assert sorted(places) == [0, 1, 2]
    assert cores() >= 1


def test_what_has_not_begun_is_dropped_after_an_error():
    begun = []
    gate = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        with worker_threads(1) as pool:
            pool.submit(gate.wait, 10)
            late = pool.submit(begun.append, "late")
            threading.Timer(0.2, gate.set).start()
            raise KeyboardInterrupt
    assert late.cancelled()
    assert begun == []
