"""Encoders scored without any hardware: in float32, or with int8 weights and activations."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xbarsim.base import fetch
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.progress import Progress, silent
from xbarsim.config.study import Study
from xbarsim.models import int8
from xbarsim.models.architectures import LoadedEncoder, load_encoder
from xbarsim.models.network import embed
from xbarsim.models.operations import float32
from xbarsim.models.tokens import tokenize
from xbarsim.studies.heads import choose_head
from xbarsim.studies.prepare import hold_out
from xbarsim.tasks.files import load_task
from xbarsim.tasks.metrics import Metric, metrics
from xbarsim.tasks.task import Task, notes_on

CALIBRATION_EXAMPLES = 64  # that set the ranges of int8 inputs and are not scored


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`: metrics (the main one first), the head's kind, sentences cut to the
    longest length.
    """

    metrics: list[Metric]
    head: str
    truncated: int
    notes: tuple[str, ...] = ()

    def remark(self) -> str:
        """What a line on the result says beside model, task and reference."""
        cut = f"; {self.truncated} sentences truncated" if self.truncated else ""
        return f", head: {self.head}{cut}"

    def as_dict(self) -> dict[str, Any]:
        """The main metric's fields, then every metric under "metrics", head, truncated and notes,
        for JSON."""
        everything = [asdict(metric) for metric in self.metrics]
        return everything[0] | {
            "metrics": everything,
            "head": self.head,
            "truncated": self.truncated,
            "notes": list(self.notes),
        }


def evaluate(
    network: LoadedEncoder,
    task: Task,
    reference: str = "float32",
    *,
    limit: int | None = None,
    calibration_task: str | None = None,
    seed: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a checkpoint on a task.

    Nothing is calibrated in float32, so all examples that no probe was fitted to are scored.

    Parameters
    ----------
    reference : "float32" or "int8"
    limit : so many of the scored examples, evenly spread; all if None
    calibration_task : see `hold_out`
    seed : of the intervals; that of a study that states none if None, so that both say the same

    Raises
    ------
    OutOfRangeError : another reference
    """
    if reference not in ("float32", "int8"):
        raise OutOfRangeError(f"reference is {reference!r}; allowed are float32 and int8")
    model = network.model
    tokenizer = network.tokenizer
    length = model.config.max_tokens
    head, task = choose_head(model, tokenizer, task, threads=threads, progress=progress)
    scored = task.held_out()
    calibration = None
    hook = float32
    if reference == "int8":
        scored, calibration = hold_out(task, CALIBRATION_EXAMPLES, calibration_task)
        held_out = tokenize(tokenizer, calibration.texts(), length)
        ranges = int8.input_ranges(model, held_out, threads=threads)
        hook = int8.int8_hook(model, ranges)
    scored = scored.limited(limit)
    tokens = tokenize(tokenizer, scored.texts(), length)
    features = embed(
        model,
        tokens,
        hook,
        threads=threads,
        progress=progress,
        description=f"{reference} sentences",
    )
    return Evaluation(
        metrics=metrics(scored, head.predict(features), seed=_seed(seed)),
        head=head.kind,
        truncated=tokens.truncated,
        notes=notes_on(task, scored, calibration),
    )


def evaluate_files(
    model: str | Path,
    task: str | Path,
    reference: str = "float32",
    *,
    limit: int | None = None,
    calibration_task: str | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """`evaluate` by names or paths: `model` as in `fetch.locate`, `task` as in `load_task`."""
    examples = load_task(task, progress)  # a wrong name is told before the weights are fetched
    network = load_encoder(fetch.locate(model, "model", progress=progress))
    return evaluate(
        network,
        examples,
        reference,
        limit=limit,
        calibration_task=calibration_task,
        seed=seed,
        progress=progress,
    )


def _seed(seed: int | None) -> int:
    """A seed, or that of a study that states none."""
    return Study().seed if seed is None else seed
