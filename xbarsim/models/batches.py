"""Token lists of similar length together, on a pool of threads."""

from collections.abc import Callable, Sequence

import numpy as np

from xbarsim.base.array_types import Booleans, Integers
from xbarsim.base.progress import Progress, silent
from xbarsim.base.workers import worker_threads

TOKENS_PER_BATCH = 2048


def batches(
    token_lists: Sequence[Integers], tokens_per_batch: int = TOKENS_PER_BATCH
) -> list[Integers]:
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


def pad(token_lists: Sequence[Integers]) -> tuple[Integers, Booleans]:
    """Token lists -> (token_ids (b, s) int64, mask (b, s) bool), padded with 0."""
    lengths = np.array([len(tokens) for tokens in token_lists])
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    token_ids = np.zeros(mask.shape, np.int64)
    token_ids[mask] = np.concatenate(token_lists)
    return token_ids, mask


def for_every_batch(
    work: Callable[[Integers, Integers, Booleans], object],
    token_lists: Sequence[Integers],
    *,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    threads: int | None = None,
    progress: Progress = silent,
    description: str = "sentences",
) -> None:
    """Call `work(indices of the lists, token_ids, mask)` for every batch on a pool of threads.

    threads : all cores if None
    progress : told from the calling thread, after every batch the number of lists in it
    """
    groups = batches(token_lists, tokens_per_batch)

    def run(group: Integers) -> int:
        token_ids, mask = pad([token_lists[k] for k in group])
        work(group, token_ids, mask)
        return len(group)

    done = progress(description, len(token_lists))
    long_first = groups[::-1]  # so that the threads end together
    with worker_threads(threads) as pool:
        for count in pool.map(run, long_first):
            done(count)
