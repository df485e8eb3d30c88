"""Token lists of similar length together, on a pool of threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xbarsim.models.operations import Mask

Tokens = NDArray[np.int64]

TOKENS_PER_BATCH = 2048


def batches(
    token_lists: Sequence[Tokens], tokens_per_batch: int = TOKENS_PER_BATCH
) -> list[Tokens]:
    """Indices of the sentences of each batch: of similar length, together at most
    `tokens_per_batch` padded tokens.

    Depends on nothing but the lengths and their order.  A sentence longer than the limit is a batch
    of its own.
    """
    order = sorted(range(len(token_lists)), key=lambda k: (len(token_lists[k]), k))
    result: list[list[int]] = []
    for k in order:
        if result and (len(result[-1]) + 1) * len(token_lists[k]) <= tokens_per_batch:
            result[-1].append(k)
        else:
            result.append([k])
    return [np.array(batch) for batch in result]


def pad(token_lists: Sequence[Tokens]) -> tuple[Tokens, Mask]:
    """Token lists -> (token_ids (b, s) int64, mask (b, s) bool), padded with 0."""
    lengths = np.array([len(tokens) for tokens in token_lists])
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    token_ids = np.zeros(mask.shape, np.int64)
    token_ids[mask] = np.concatenate(token_lists)
    return token_ids, mask


def for_every_batch(
    work: Callable[[Tokens, Tokens, Mask], Any],
    token_lists: Sequence[Tokens],
    *,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    threads: int | None = None,
    progress: Callable[[int], Any] | None = None,
) -> None:
    """Call `work(indices of the lists, token_ids, mask)` for every batch on a pool of threads.

    progress : called from the calling thread after every batch with the number of lists in it
    threads : all cores if None
    """
    groups = batches(token_lists, tokens_per_batch)

    def run(group: Tokens) -> int:
        token_ids, mask = pad([token_lists[k] for k in group])
        work(group, token_ids, mask)
        return len(group)

    with (
        threadpool_limits(limits=1, user_api="blas"),
        ThreadPoolExecutor(threads or _cores()) as pool,
    ):
        for done in pool.map(run, groups[::-1]):  # long ones first: the threads end together
            if progress is not None:
                progress(done)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
