"""What a study evaluates, whatever its model and task: sentences with a head, predicted tokens, or
images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.base import fetch
from xbarsim.base.progress import Progress, silent
from xbarsim.config.study import Study
from xbarsim.models.architectures import is_decoder, is_image_network
from xbarsim.studies.examples import Examples
from xbarsim.studies.prepare import Prepared, prepare
from xbarsim.studies.prepare_images import PreparedImages, prepare_images
from xbarsim.studies.prepare_language import PreparedLanguage, prepare_language
from xbarsim.studies.readers import DecoderReader, EncoderReader, ImageReader, Reader
from xbarsim.studies.trace_layout import ExampleTable, PredictionTable

TOKENS_PER_BATCH = 1024  # of a decoder; all its results of a batch are in memory together


@dataclass(frozen=True)
class TaskFacts:
    """What a trace says of the task.

    classes : 0 where there are none;  truncated : sentences that were cut
    """

    name: str
    sha256: str
    kind: str
    metric: str
    head: str
    classes: int
    truncated: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """What a study evaluates.

    directory : of the checkpoint, or its one file
    calibration : what sets converter ranges
    outputs : numbers per example;  predictions : of a decoder, else None
    """

    reader: Reader
    directory: Path
    examples: Examples
    calibration: Examples
    task: TaskFacts
    table: ExampleTable
    outputs: int
    predictions: PredictionTable | None = None


def work_of(study: Study, threads: int | None = None, progress: Progress = silent) -> Work:
    """Fetch, read and tokenize what a study evaluates.

    Raises
    ------
    ConfigError, CheckpointError, TaskError, FetchError : what `prepare`, `prepare_language` and
        `prepare_images` raise
    """
    directory = fetch.locate(study.model.name, "model", progress=progress)
    if is_decoder(directory):
        return _of_language(prepare_language(study, directory, progress))
    if is_image_network(directory):
        return _of_images(prepare_images(study, directory, progress))
    return _of_sentences(study, prepare(study, threads, progress))


def _of_sentences(study: Study, prepared: Prepared) -> Work:
    task = prepared.task
    head = prepared.head
    scored = prepared.scored
    parts = 2 if task.kind == "pairs" else 1
    examples = Examples(prepared.tokens, parts, study.task.pooling)
    cut = np.asarray(prepared.tokens.cut).reshape(len(scored), -1)
    return Work(
        reader=EncoderReader(prepared.model, head),
        directory=prepared.directory,
        examples=examples,
        calibration=Examples(prepared.calibration),
        task=TaskFacts(
            name=task.name,
            sha256=task.sha256,
            kind=str(task.kind),
            metric=prepared.metric,
            head=head.kind,
            classes=len(scored.classes),
            truncated=prepared.tokens.truncated,
            notes=prepared.notes,
        ),
        table=ExampleTable(
            label=scored.targets,
            tokens=examples.token_counts,
            index=scored.places,
            truncated=cut.sum(axis=1),
        ),
        outputs=1 if head.weight is None else len(head.weight),
    )


def _of_images(prepared: PreparedImages) -> Work:
    task = prepared.task
    images = len(prepared.scored)
    return Work(
        reader=ImageReader(prepared.model),
        directory=prepared.directory,
        examples=Examples(prepared.pixels),
        calibration=Examples(prepared.calibration),
        task=TaskFacts(
            name=task.name,
            sha256=task.sha256,
            kind=str(task.kind),
            metric=prepared.metric,
            head="network",
            classes=len(task.classes),
            truncated=0,
            notes=prepared.notes,
        ),
        table=ExampleTable(
            label=prepared.scored.targets,
            tokens=np.ones(images, np.int64),
            index=prepared.scored.places,
            truncated=np.zeros(images, np.int64),
        ),
        outputs=prepared.model.config.hidden,
    )


def _of_language(prepared: PreparedLanguage) -> Work:
    scored = prepared.scored
    sequences = scored.sequences
    examples = Examples(scored.tokens, tokens_per_batch=TOKENS_PER_BATCH)
    return Work(
        reader=DecoderReader(prepared.model, scored.predicted),
        directory=prepared.directory,
        examples=examples,
        calibration=Examples(prepared.calibration, tokens_per_batch=TOKENS_PER_BATCH),
        task=TaskFacts(
            name=prepared.task.name,
            sha256=prepared.task.sha256,
            kind=str(sequences.kind),
            metric=prepared.metric,
            head="next token",
            classes=0,
            truncated=0,
            notes=prepared.notes,
        ),
        table=ExampleTable(
            label=sequences.label,
            tokens=examples.token_counts,
            index=sequences.index,
            truncated=np.zeros(len(scored), np.int64),
            size=sequences.size,
        ),
        outputs=1,
        predictions=PredictionTable(
            example=sequences.example,
            position=sequences.position,
            token=scored.predicted_tokens,
        ),
    )
