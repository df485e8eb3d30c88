"""Labelled examples: what is scored, what is for training, what calibrates converters.

What is scored is held out: no scored example trains a probe, sets a converter range or fits a gain.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import Self

import numpy as np

from xbarsim.base.array_types import Booleans, Bytes, Floats, Integers
from xbarsim.base.errors import OutOfRangeError

TEST_EVERY = 5  # without a stated split every fifth example is for testing
LARGEST_CALIBRATION_SHARE = 5  # at most a fifth of what could be scored calibrates instead


class Kind(StrEnum):
    """What the examples of a task are."""

    PAIRS = "pairs"  # two sentences with a score
    LABELS = "labels"  # one sentence with a class
    IMAGES = "images"  # grey values with a class


Example = str | tuple[str, str] | Bytes


@dataclass(frozen=True)
class Task:
    """Labelled sentences, or images.

    sentences : (n,) pairs, or single ones with labels; grey values of images
    targets : (n,) float64 scores of pairs, or int64 indices into `classes`
    test : (n,) whether an example is for testing; None without a split
    sha256 : of the file
    split_is_stated : whether the file states the split
    index : (n,) place of each example in the file, counted from 0; None stands for all in order
    """

    name: str
    kind: Kind
    sentences: tuple[Example, ...]
    targets: Floats | Integers
    classes: tuple[str, ...]
    test: Booleans | None
    sha256: str
    split_is_stated: bool = True
    index: Integers | None = None

    def __len__(self) -> int:
        return len(self.sentences)

    def texts(self) -> list[str]:
        """All sentences in one list; of pairs: first, second, first, second, ..."""
        if self.kind == Kind.PAIRS:
            pairs = [example for example in self.sentences if isinstance(example, tuple)]
            return list(chain.from_iterable(pairs))
        return [str(sentence) for sentence in self.sentences]

    def pixels(self) -> list[Integers]:
        """Grey values of all images."""
        images = [example for example in self.sentences if isinstance(example, np.ndarray)]
        return [image.astype(np.int64) for image in images]

    def subset(self, indices: Integers) -> Self:
        """The examples at `indices`."""
        test = self.test
        if test is not None:
            test = test[indices]
        return replace(
            self,
            sentences=tuple(self.sentences[k] for k in indices),
            targets=self.targets[indices],
            test=test,
            index=self.places[indices],
        )

    @property
    def places(self) -> Integers:
        """(n,) int64, `index` or its meaning where it is None."""
        if self.index is None:
            return np.arange(len(self))
        return self.index

    def split(self) -> Self:
        """The same task with a split: its own, or else every fifth example, counted from the first,
        for testing."""
        if self.test is not None:
            return self
        every_fifth = np.arange(len(self)) % TEST_EVERY == 0
        return replace(self, test=every_fifth, split_is_stated=False)

    def held_out(self) -> Self:
        """The examples for testing; all of them where there is no split."""
        if self.test is None:
            return self
        return self.subset(np.flatnonzero(self.test))

    def training(self) -> Self:
        """The examples for training; none where there is no split."""
        if self.test is None:
            return self.subset(np.array([], int))
        return self.subset(np.flatnonzero(~self.test))

    def limited(self, count: int | None) -> Self:
        """At most `count` examples (None: all), evenly spread, so that those of a sorted file stay
        representative."""
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise OutOfRangeError(f"limit is {count}; at least 1 example is needed")
        return self.subset(_evenly(count, len(self)))

    def scored_and_calibration(self, count: int) -> tuple[Self, Self]:
        """What is scored, and `count` other examples for calibrating ranges, labels unused.

        The calibration examples are of the training part.  Where there is none they are taken out
        of what would be scored, at most a fifth of it.
        """
        training = self.training()
        if len(training):
            return self.held_out(), training.limited(count)
        candidates = self.held_out()
        count = min(count, max(len(candidates) // LARGEST_CALIBRATION_SHARE, 1))
        chosen = _evenly(count, len(candidates))
        others = np.setdiff1d(np.arange(len(candidates)), chosen)
        return candidates.subset(others), candidates.subset(chosen)


def _evenly(count: int, total: int) -> Integers:
    """Indices (count,) spread evenly over `total`."""
    return np.arange(count) * total // count


def notes_on(task: Task, scored: Task, calibration: Task | None = None) -> tuple[str, ...]:
    """What a reader of a score must know about how its examples were chosen.

    Parameters
    ----------
    task : with the split that was used
    scored : what is scored of it
    calibration : what calibrates ranges; None where nothing is calibrated
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
    seen = _known(task.training())
    if calibration is not None:
        seen |= _known(calibration)
    repeated = sum(_stands_in(example, seen) for example in scored.sentences)
    if repeated:
        notes.append(
            f"{repeated} of {len(scored)} scored examples of {task.name} also stand among its "
            "training or calibration sentences"
        )
    return tuple(notes)


def _known(task: Task) -> set[str | bytes]:
    """Every sentence, or the grey values of every image."""
    if task.kind == Kind.IMAGES:
        return {image.astype(np.uint8).tobytes() for image in task.pixels()}
    return set(task.texts())


def _stands_in(example: Example, known: set[str | bytes]) -> bool:
    """Whether a sentence, both of a pair, or an image is among others."""
    if isinstance(example, str):
        return example in known
    if isinstance(example, tuple):
        return all(sentence in known for sentence in example)
    return example.tobytes() in known
