"""Decoder and language task of a study."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base import fetch, sources
from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError, TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.config.study import Study
from xbarsim.models.architectures import load_generator
from xbarsim.models.network import Decoder
from xbarsim.studies.language_examples import (
    Division,
    LanguageExamples,
    Lm,
    Scope,
    calibration_sequences,
    divided,
    language_examples,
)
from xbarsim.tasks.files import load_task
from xbarsim.tasks.language_files import LanguageKind, LanguageTask, Text, load_language_task
from xbarsim.tasks.language_metrics import LANGUAGE_METRICS


@dataclass(frozen=True)
class PreparedLanguage:
    """A decoder and what of a task is scored.

    directory : of the checkpoint, or its one file;  metric : name of the main one
    calibration : token sequences that set converter ranges
    notes : how the examples were chosen, where a reader of the score must know it
    """

    model: Decoder
    directory: Path
    task: LanguageTask
    metric: str
    scored: LanguageExamples
    calibration: list[Integers]
    notes: tuple[str, ...]


def prepare_language(
    study: Study, directory: Path, progress: Progress = silent
) -> PreparedLanguage:
    """Read and tokenize what a study of a decoder evaluates.

    Raises
    ------
    ConfigError : the study's metric is not one of the task; and what model and task files raise
    """
    task = load_text_or_questions(study.task.name, progress)
    loaded = load_generator(directory)
    division = divided_for(study, task, Lm(loaded.model.config, loaded.tokenizer), progress)
    return PreparedLanguage(
        model=loaded.model,
        directory=directory,
        task=task,
        metric=_metric(study, task, division.scored.sequences.kind),
        scored=division.scored,
        calibration=division.calibration,
        notes=(division.note,),
    )


def divided_for(study: Study, task: LanguageTask, lm: Lm, progress: Progress = silent) -> Division:
    """What of a task a study scores, and what calibrates.

    Raises
    ------
    TaskError, OutOfRangeError : what `divided` and `language_examples` raise
    """
    scope = _scope(study, task)
    tokens = study.task.calibration_tokens
    if study.task.calibration is None:
        return divided(lm, task, scope, tokens)
    other = load_text_or_questions(study.task.calibration, progress)
    calibration = calibration_sequences(lm, other, tokens)
    total = sum(map(len, calibration))
    note = f"{total:,} tokens of {other.name} calibrate the converters"
    return Division(language_examples(lm, task, scope), calibration, note)


def _scope(study: Study, task: LanguageTask) -> Scope:
    """What of the task the study asks for; keys of another kind of task are idle."""
    stated = study.task
    if isinstance(task, Text):
        return Scope(window=stated.window, stride=stated.stride, windows=stated.windows)
    return Scope(limit=stated.limit)


def _metric(study: Study, task: LanguageTask, kind: LanguageKind) -> str:
    allowed = LANGUAGE_METRICS[kind]
    metric = study.task.metric
    if metric == "auto":
        return allowed[0]
    if metric not in allowed:
        raise ConfigError(
            f"task.metric = {metric!r} does not fit task {task.name!r} of kind {kind}; allowed are "
            f"auto, {', '.join(allowed)}"
        )
    return metric


def load_text_or_questions(path_or_name: str | Path, progress: Progress = silent) -> LanguageTask:
    """A language task of a file, or the sentences of a task that `xbarsim fetch --list` knows as a
    text.

    Raises
    ------
    TaskError : not readable, or labelled sentences
    """
    name = str(path_or_name)
    if sources.find(name, "task") is not None:
        labelled = load_task(name, progress)
        return Text(name, "\n".join(labelled.texts()), labelled.sha256)
    path = fetch.locate(path_or_name, "task", progress=progress)
    try:
        return load_language_task(path)
    except TaskError as error:
        if _is_labelled(path):
            raise TaskError(
                f"{path}: labelled sentences, which an encoder scores; the model is a decoder: "
                "give it a text (.txt), minimal pairs (columns good and bad) or questions (.jsonl)"
            ) from error
        raise


def _is_labelled(path: Path) -> bool:
    try:
        load_task(path)
    except TaskError:
        return False
    return True


# ---------------------------------------------------------------- keys without effect

SENTENCES = ("labels", "pairs")
IMAGES = ("images",)
LANGUAGE = tuple(LanguageKind)
# Keys of a study that matter to some kinds of task only, and what is said that they need.
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "model.max_length": (SENTENCES, "an encoder"),
    "task.head": (SENTENCES, "an encoder"),
    "task.pooling": (SENTENCES, "an encoder"),
    "task.probe_examples": (SENTENCES, "an encoder"),
    "model.convolution": (IMAGES, "a network of images"),
    "model.sub_image_rows": (IMAGES, "a network of images"),
    "task.calibration_examples": (
        (*SENTENCES, *IMAGES),
        "an encoder; use task.calibration_tokens",
    ),
    "task.limit": (
        (*SENTENCES, *IMAGES, LanguageKind.MINIMAL_PAIRS, LanguageKind.CHOICES),
        "labelled sentences, minimal pairs or questions; use task.windows",
    ),
    "task.window": ((LanguageKind.TEXT,), "a decoder and a text"),
    "task.stride": ((LanguageKind.TEXT,), "a decoder and a text"),
    "task.windows": ((LanguageKind.TEXT,), "a decoder and a text"),
    "task.calibration_tokens": (LANGUAGE, "a decoder"),
}


def idle_task_settings(study: Study, kind: str) -> list[str]:
    """Sentences on the keys that a study states for another kind of task than its own."""
    found = []
    for path in _stated(study):
        kinds, needs = NEEDS.get(path, ((kind,), ""))
        if kind not in kinds:
            table, key = path.split(".")
            value = getattr(getattr(study, table), key)
            found.append(f"{path} = {value!r} has no effect in this study: it needs {needs}")
    return found


def _stated(study: Study) -> Iterable[str]:
    for table in ("model", "task"):
        for key in sorted(getattr(study, table).model_fields_set):
            yield f"{table}.{key}"
