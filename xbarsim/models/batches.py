"""Token lists of similar length together, on a pool of threads."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.base.array_types import Booleans, Integers
from xbarsim.base.errors import OutOfRangeError, ShapeError
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


def checked(
    token_ids: ArrayLike, attention_mask: ArrayLike, *, vocabulary: int, longest: int
) -> tuple[Integers, Booleans]:
    """Token ids (b, s) and mask (b, s) as arrays that fit a model.

    vocabulary : entries of its embedding;  longest : tokens that it takes of a sentence

    Raises
    ------
    ShapeError, OutOfRangeError : ids or mask that do not fit
    """
    ids = np.asarray(token_ids)
    mask = np.asarray(attention_mask).astype(bool)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or mask.shape != ids.shape:
        raise ShapeError(
            f"token_ids has shape {ids.shape} and type {ids.dtype}, mask shape {mask.shape}; both "
            "must be (sentences, positions), ids of an integer type"
        )
    if ids.shape[1] > longest:
        raise ShapeError(
            f"{ids.shape[1]} tokens in a sentence; the model has {longest} positions: truncate"
        )
    if not mask.any(axis=1).all():
        empty = int(np.argmin(mask.any(axis=1)))
        raise ShapeError(
            f"sentence {empty} of the batch has no token; every sentence needs at least one"
        )
    real = ids[mask]
    if real.size and not 0 <= real.min() <= real.max() < vocabulary:
        raise OutOfRangeError(
            f"token ids from {real.min()} to {real.max()}; the vocabulary has entries 0 to "
            f"{vocabulary - 1}: the tokenizer belongs to another checkpoint"
        )
    return ids, mask
