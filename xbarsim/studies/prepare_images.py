"""Network and images of a study."""

from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError
from xbarsim.base.progress import Progress, silent
from xbarsim.config.study import Study
from xbarsim.models.image_checkpoint import load_image_network
from xbarsim.models.image_classes import of_network
from xbarsim.models.image_network import ImageNetwork
from xbarsim.tasks.image_files import load_image_task
from xbarsim.tasks.metrics import METRICS
from xbarsim.tasks.task import Task, notes_on


@dataclass(frozen=True)
class PreparedImages:
    """Network and images of a study.

    task : all of it, classes in the network's order;  scored : what is evaluated of it
    pixels, calibration : grey values of the scored images and of those that set converter ranges
    """

    model: ImageNetwork
    directory: Path
    task: Task
    metric: str
    scored: Task
    pixels: list[Integers]
    calibration: list[Integers]
    notes: tuple[str, ...]


def prepare_images(study: Study, directory: Path, progress: Progress = silent) -> PreparedImages:
    """Read a network of a directory, and the images of a study.

    Raises
    ------
    ConfigError : the study's metric is not one of images
    CheckpointError, TaskError, FetchError : what the readers raise
    """
    sub_image_rows = None
    if study.model.convolution == "sub_image":
        sub_image_rows = study.model.sub_image_rows
    model = load_image_network(directory, sub_image_rows)
    task = of_network(load_image_task(study.task.name, progress), model.config)
    allowed = METRICS[task.kind]
    metric = allowed[0] if study.task.metric == "auto" else study.task.metric
    if metric not in allowed:
        raise ConfigError(
            f"task.metric = {metric!r} does not fit task {task.name!r} of kind {task.kind}; allowed "
            f"are auto, {', '.join(allowed)}"
        )
    scored, calibration = _held_out(study, task, model, progress)
    scored = scored.limited(study.task.limit)
    return PreparedImages(
        model=model,
        directory=directory,
        task=task,
        metric=metric,
        scored=scored,
        pixels=scored.pixels(),
        calibration=calibration.pixels(),
        notes=notes_on(task, scored, calibration),
    )


def _held_out(
    study: Study, task: Task, model: ImageNetwork, progress: Progress
) -> tuple[Task, Task]:
    """What is scored, and what sets converter ranges."""
    if study.task.calibration is None:
        return task.scored_and_calibration(study.task.calibration_examples)
    other = of_network(load_image_task(study.task.calibration, progress), model.config)
    return task.held_out(), other.limited(study.task.calibration_examples)
