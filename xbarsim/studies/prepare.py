"""Model, task, head and tokens of a study."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.base import fetch
from xbarsim.base.errors import CheckpointError, ConfigError, OutOfRangeError, TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.config.study import Study
from xbarsim.models.architectures import load_encoder
from xbarsim.models.network import Encoder
from xbarsim.models.tokens import TokenLists, tokenize
from xbarsim.studies.heads import HeadWanted, choose_head
from xbarsim.tasks.files import load_task
from xbarsim.tasks.heads import Head
from xbarsim.tasks.image_files import is_image_task
from xbarsim.tasks.language_files import LanguageTask, MinimalPairs, load_language_task
from xbarsim.tasks.metrics import METRICS
from xbarsim.tasks.task import Task, notes_on


@dataclass(frozen=True)
class Prepared:
    """Model, task and head of a study.

    task : classes in the head's order, with the split that was used;  metric : name of the main one
    directory : of the checkpoint
    scored : what is evaluated of the task
    tokens, calibration : token lists of the scored and of the calibration sentences
    notes : how the examples were chosen, where a reader of the score must know it
    """

    model: Encoder
    directory: Path
    task: Task
    metric: str
    head: Head
    scored: Task
    tokens: TokenLists
    calibration: TokenLists
    notes: tuple[str, ...]


def prepare(study: Study, threads: int | None = None, progress: Progress = silent) -> Prepared:
    """Fetch, read and tokenize what a study evaluates.

    Raises
    ------
    ConfigError : the study's metric is not one of the task; and what model and task files raise
    """
    directory = fetch.locate(study.model.name, "model", progress=progress)
    loaded = load_encoder(directory)
    model = loaded.model
    tokenizer = loaded.tokenizer
    _check_pooling(model, study.task.pooling)
    length = min(study.model.max_length, model.config.max_tokens)
    task = load_labelled_task(study.task.name, progress)
    metric = study.task.metric
    if metric == "auto":
        metric = METRICS[task.kind][0]
    if metric not in METRICS[task.kind]:
        raise ConfigError(
            f"task.metric = {metric!r} does not fit task {task.name!r} of kind {task.kind}; allowed are "
            f"auto, {', '.join(METRICS[task.kind])}"
        )
    wanted = HeadWanted(
        kind=study.task.head,
        max_length=length,
        pooling=study.task.pooling,
        probe_examples=study.task.probe_examples,
    )
    head, task = choose_head(model, tokenizer, task, wanted, threads=threads, progress=progress)
    scored, calibration = hold_out(task, study.task.calibration_examples, study.task.calibration)
    scored = scored.limited(study.task.limit)
    return Prepared(
        model=model,
        directory=directory,
        task=task,
        metric=metric,
        head=head,
        scored=scored,
        tokens=tokenize(tokenizer, scored.texts(), length),
        calibration=tokenize(tokenizer, calibration.texts(), length),
        notes=notes_on(task, scored, calibration),
    )


def _check_pooling(model: Encoder, pooling: str) -> None:
    """Refuse a pooling that the model does not have, before anything is computed."""
    if pooling == "auto":
        return
    hidden = np.ones((1, 1, model.config.hidden), np.float32)
    try:
        model.features(hidden, np.ones((1, 1), bool), pooling)
    except (CheckpointError, OutOfRangeError) as error:
        raise ConfigError(f"task.pooling = {pooling!r}: {error}") from None


def load_labelled_task(name: str, progress: Progress = silent) -> Task:
    """`load_task`, of a file that is no language task.

    Raises
    ------
    TaskError : not readable, or a text, minimal pairs or questions
    """
    if is_image_task(name):
        raise TaskError(
            f"{name}: images, which a network of images classifies; the model is an encoder: name a "
            "directory whose config.json states model_type = 'image-network', or labelled sentences"
        )
    language = _language_task(name)
    failure: TaskError | None = None
    if not isinstance(language, MinimalPairs):  # whose two columns could be a sentence and a class
        try:
            return load_task(name, progress)
        except TaskError as error:
            failure = error
    if failure is not None and language is None:
        raise failure
    raise TaskError(
        f"{name}: a text, minimal pairs or questions, which a decoder scores; the model is an "
        "encoder: name a decoder such as smollm2-135m-instruct, or labelled sentences"
    ) from failure


def _language_task(name: str) -> LanguageTask | None:
    """What a file is to a decoder; None of other files and of tasks by name."""
    try:
        return load_language_task(name)
    except TaskError:
        return None


def hold_out(
    task: Task, calibration_examples: int, calibration_task: str | None = None
) -> tuple[Task, Task]:
    """What is scored of a task, and the examples that calibrate ranges.

    calibration_task : name or path of another task whose sentences calibrate; then all of the
        held-out part is scored
    """
    if calibration_task is not None:
        other = load_task(calibration_task)
        return task.held_out(), other.limited(calibration_examples)
    scored, calibration = task.scored_and_calibration(calibration_examples)
    return scored, calibration
