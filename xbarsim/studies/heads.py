"""The head that fits a model and a task."""

import contextlib
import hashlib
import json
import warnings
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base import cache
from xbarsim.base.array_files import read_npz
from xbarsim.base.array_types import AnyArray, Integers, Singles
from xbarsim.base.errors import ConfigError, DamageWarning, FetchError, TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.models.network import Encoder, embed
from xbarsim.models.tokens import tokenize
from xbarsim.tasks.heads import HEADS, PROBE_C, Head, fit_logistic
from xbarsim.tasks.task import Kind, Task


@dataclass(frozen=True)
class HeadWanted:
    """Which head a study asks for.

    kind : "auto", or one of `tasks.heads.HEADS` for the task's kind
    max_length : tokens of a sentence that a probe is fitted on; the model's own if None
    pooling : see `network.Encoder.features`
    probe_examples : training examples of a probe, at most
    """

    kind: str = "auto"
    max_length: int | None = None
    pooling: str = "auto"
    probe_examples: int = 2000


def choose_head(
    model: Encoder,
    tokenizer: Any,
    task: Task,
    wanted: HeadWanted = HeadWanted(),
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> tuple[Head, Task]:
    """The head for a task, and the task with classes in the head's order and the split that was
    used.

    "auto": cosine for pairs; for labels the checkpoint's own classifier if its classes are those of
    the task, else a logistic probe.  The probe is fitted once on float32 features of at most
    `probe_examples` examples of the training part (every fifth example is for testing where the
    task states no split) and kept in the cache.

    Raises
    ------
    TaskError : a head that does not fit the task, or classes that the training part does not show
    """
    if wanted.kind != "auto" and wanted.kind not in HEADS[task.kind]:
        raise TaskError(
            f"head {wanted.kind!r} does not fit task {task.name!r} of kind {task.kind}; allowed are "
            f"auto, {', '.join(HEADS[task.kind])}"
        )
    if task.kind == Kind.PAIRS:
        return Head("cosine"), task
    order = _classifier_order(model, task)
    if wanted.kind == "classifier" and order is None:
        has = f"classes {', '.join(model.config.labels)}" if model.head else "no classifier"
        raise TaskError(
            f"the checkpoint has {has}, task {task.name!r} has classes {', '.join(task.classes)}; "
            "use the head 'probe', or label the task with the checkpoint's classes"
        )
    if order is not None and model.head is not None and wanted.kind != "probe":
        ordered = replace(task, targets=order[task.targets], classes=model.config.labels)
        return Head("classifier", *model.head), ordered
    task = task.split()
    probe = _Probe(model, tokenizer, task, task.training().limited(wanted.probe_examples), wanted)
    return probe.head(threads, progress), task


def _classifier_order(model: Encoder, task: Task) -> Integers | None:
    """Index into the checkpoint's labels of every class of the task, or None where they do not
    match.
    """
    if model.head is None:
        return None
    by_name = {label.casefold(): k for k, label in enumerate(model.config.labels)}
    by_index = {str(k): k for k in range(len(by_name))}
    for known in (by_name, by_index):
        if all(label.casefold() in known for label in task.classes):
            return np.array([known[label.casefold()] for label in task.classes])
    return None


DAMAGED = (zipfile.BadZipFile, zlib.error)  # of an archive


@dataclass(frozen=True)
class _Probe:
    """A logistic regression on the features of training examples, fitted once and kept."""

    model: Encoder
    tokenizer: Any
    task: Task
    training: Task
    wanted: HeadWanted

    def head(self, threads: int | None, progress: Progress) -> Head:
        """
        Raises
        ------
        TaskError : training examples that do not show all classes
        """
        if len(np.unique(self.training.targets)) < len(self.task.classes):
            raise TaskError(
                f"task {self.task.name!r}: its {len(self.training)} training examples do not show "
                f"all {len(self.task.classes)} classes; use more of them, or check the column "
                "'split'"
            )
        path = self._place()
        kept = self._kept(path)
        if kept is not None:
            weight, bias = kept
        else:
            weight, bias = self._fit(threads, progress)
            with contextlib.suppress(FetchError, OSError):  # a full disk: the next run fits again
                cache.write_atomically(path, lambda file: np.savez(file, weight=weight, bias=bias))
        return Head("probe", weight, bias, len(self.training))

    def _kept(self, path: Path) -> tuple[Singles, Singles] | None:
        """Weight and bias of an earlier fit; None where there is none, or a damaged one."""
        if not path.exists():
            return None
        shape = (len(self.task.classes), self.model.config.hidden)
        try:
            stored = read_npz(path)  # the file has checksums
            weight: Singles = stored["weight"]
            bias: Singles = stored["bias"]
            if weight.shape != shape or bias.shape != shape[:1]:
                raise ValueError(f"weights of shape {weight.shape} in the place of {shape}")
            if not all(_are_finite(values) for values in (weight, bias)):
                raise ValueError("weights that are no finite numbers")
        except (ConfigError, OSError, ValueError, KeyError, EOFError, *DAMAGED) as error:
            text = f"{path} is damaged ({error}): the probe is fitted again"
            warnings.warn(DamageWarning(text), stacklevel=2)
            return None
        return weight, bias

    @property
    def max_length(self) -> int:
        return self.wanted.max_length or self.model.config.max_tokens

    def _place(self) -> Path:
        """The file in the cache, named by everything that decides the fit."""
        settings = json.dumps(
            [
                "probe 1",
                self.model.sha256,
                self.task.sha256,
                len(self.training),
                self.max_length,
                self.wanted.pooling,
                PROBE_C,
            ]
        )
        digest = hashlib.sha256(settings.encode()).hexdigest()[:32]
        return cache.cache_directory() / "probes" / f"{digest}.npz"

    def _fit(self, threads: int | None, progress: Progress) -> tuple[Singles, Singles]:
        tokens = tokenize(self.tokenizer, self.training.texts(), self.max_length)
        features = embed(
            self.model,
            tokens,
            pooling=self.wanted.pooling,
            threads=threads,
            progress=progress,
            description="fitting the probe",
        )
        return fit_logistic(features, self.training.targets, len(self.task.classes))


def _are_finite(values: AnyArray) -> bool:
    return values.dtype.kind == "f" and bool(np.isfinite(values).all())
