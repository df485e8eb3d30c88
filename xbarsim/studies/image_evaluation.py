"""Networks of images scored without any hardware: in float32, or with int8 weights and activations."""

from pathlib import Path

from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.progress import Progress, silent
from xbarsim.models import int8
from xbarsim.models.image_checkpoint import load_image_network
from xbarsim.models.image_classes import classes_of, of_network
from xbarsim.models.operations import float32
from xbarsim.studies.evaluation import CALIBRATION_EXAMPLES, Evaluation
from xbarsim.tasks.image_files import load_image_task
from xbarsim.tasks.metrics import metrics
from xbarsim.tasks.task import notes_on


def evaluate_files(
    path: Path,
    task: str | Path,
    reference: str = "float32",
    *,
    limit: int | None = None,
    calibration_task: str | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Score a network of a directory on images; arguments as of `evaluation.evaluate`.

    Raises
    ------
    OutOfRangeError : another reference; CheckpointError, TaskError, FetchError : of the readers
    """
    if reference not in ("float32", "int8"):
        raise OutOfRangeError(f"reference is {reference!r}; allowed are float32 and int8")
    model = load_image_network(path)
    images = of_network(load_image_task(task, progress), model.config)
    scored = images.held_out()
    calibration = None
    hook = float32
    if reference == "int8":
        scored, calibration = images.scored_and_calibration(CALIBRATION_EXAMPLES)
        if calibration_task is not None:
            other = of_network(load_image_task(calibration_task, progress), model.config)
            calibration = other.limited(CALIBRATION_EXAMPLES)
        hook = int8.int8_hook(model, int8.input_ranges(model, calibration.pixels()))
    scored = scored.limited(limit)
    predicted = classes_of(model, scored.pixels(), hook, progress)
    return Evaluation(
        metrics=metrics(scored, predicted, seed=0),
        head="network",
        truncated=0,
        notes=notes_on(images, scored, calibration),
    )
