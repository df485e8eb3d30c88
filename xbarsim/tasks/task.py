"""Labelled examples: what is scored, what is for training, what calibrates converters.

What is scored is held out: no scored example trains a probe, sets a converter range or fits a gain.
"""

from dataclasses import dataclass, replace

import numpy as np

from xbarsim.base.errors import OutOfRangeError

TEST_EVERY = 5  # without a stated split every fifth example is for testing
LARGEST_CALIBRATION_SHARE = 5  # at most a fifth of what could be scored calibrates instead


@dataclass(frozen=True)
class Task:
    """Labelled sentences.

    `kind` is "pairs" (each of `sentences` a pair, `targets` float64 scores) or "labels" (each a
    string, `targets` int64 indices into `classes`).  `test` is a boolean array where there is a
    split, else None; `split_is_stated` tells whether the file states it.  `sha256` is the file's.
    `index` (n,) is the place of each example in the file, counted from 0; None stands for all in
    order.
    """

    name: str
    kind: str
    sentences: tuple
    targets: np.ndarray
    classes: tuple[str, ...]
    test: np.ndarray | None
    sha256: str
    split_is_stated: bool = True
    index: np.ndarray | None = None

    def __len__(self):
        return len(self.sentences)

    def texts(self):
        """All sentences in one list; of pairs: first, second, first, second, ..."""
        if self.kind == "pairs":
            return [text for pair in self.sentences for text in pair]
        return list(self.sentences)

    def subset(self, indices):
        """The examples at `indices`."""
        return replace(
            self,
            sentences=tuple(self.sentences[k] for k in indices),
            targets=self.targets[indices],
            test=None if self.test is None else self.test[indices],
            index=self.places[indices],
        )

    @property
    def places(self):
        """(n,) int64, `index` or its meaning where it is None."""
        return np.arange(len(self)) if self.index is None else self.index

    def split(self):
        """The same task with a split: its own, or else every fifth example, counted from the first,
        for testing."""
        if self.test is not None:
            return self
        every_fifth = np.arange(len(self)) % TEST_EVERY == 0
        return replace(self, test=every_fifth, split_is_stated=False)

    def held_out(self):
        """The examples for testing; all of them where there is no split."""
        if self.test is None:
            return self
        return self.subset(np.flatnonzero(self.test))

    def training(self):
        """The examples for training; none where there is no split."""
        if self.test is None:
            return self.subset(np.array([], int))
        return self.subset(np.flatnonzero(~self.test))

    def limited(self, count):
        """At most `count` examples (None: all), evenly spread, so that those of a sorted file stay
        representative."""
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise OutOfRangeError(f"limit is {count}; at least 1 example is needed")
        return self.subset(_evenly(count, len(self)))

    def scored_and_calibration(self, count):
        """What is scored, and `count` other examples for calibrating ranges, labels unused.

        The calibration examples are of the training part.  Where there is none they are taken out
        of what would be scored, at most a fifth of it.

        Returns
        -------
        (Task, Task)
        """
        training = self.training()
        if len(training):
            return self.held_out(), training.limited(count)
        candidates = self.held_out()
        count = min(count, max(len(candidates) // LARGEST_CALIBRATION_SHARE, 1))
        chosen = _evenly(count, len(candidates))
        others = np.setdiff1d(np.arange(len(candidates)), chosen)
        return candidates.subset(others), candidates.subset(chosen)


def _evenly(count, total):
    """Indices (count,) spread evenly over `total`."""
    return np.arange(count) * total // count


def notes_on(task, scored, calibration=None):
    """What a reader of a score must know about how its examples were chosen.

    Parameters
    ----------
    task : Task, with the split that was used
    scored : Task, what is scored of it
    calibration : Task, what calibrates ranges; None where nothing is calibrated

    Returns
    -------
    tuple of str
    """
    notes = []
    if not task.split_is_stated:
        notes.append(
            f"{task.name} states no split (no column 'split'): every fifth example is scored, "
            "the others are for training"
        )
    if calibration is not None and calibration.sha256 == task.sha256 and not len(task.training()):
        notes.append(
            f"{task.name} has no training part: {len(calibration)} of its examples calibrate the "
            "converters and are not scored"
        )
    seen = set(task.training().texts())
    if calibration is not None:
        seen |= set(calibration.texts())
    repeated = sum(_stands_in(example, seen) for example in scored.sentences)
    if repeated:
        notes.append(
            f"{repeated} of {len(scored)} scored examples of {task.name} also stand among its "
            "training or calibration sentences"
        )
    return tuple(notes)


def _stands_in(example, texts):
    """Whether a sentence, or both of a pair, is among texts."""
    if isinstance(example, str):
        return example in texts
    return all(sentence in texts for sentence in example)
