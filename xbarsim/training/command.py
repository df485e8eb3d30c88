"""What `xbarsim train` does: files in, a directory and its accuracy out."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base.errors import CheckpointError
from xbarsim.base.progress import Progress, silent
from xbarsim.models.checkpoint import read_json
from xbarsim.models.image_checkpoint import save_image_network
from xbarsim.models.image_classes import classes_of, of_network
from xbarsim.models.image_config import image_config
from xbarsim.tasks.image_files import load_image_task
from xbarsim.tasks.metrics import Metric, metrics
from xbarsim.training.fit import SHORT, Schedule, train


@dataclass(frozen=True)
class TrainedFiles:
    """A network that was trained and written.

    images : behind it;  loss : mean of the last epoch, None without one;  accuracy : on the images for testing
    """

    directory: Path
    images: int
    loss: float | None
    accuracy: Metric

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"directory": str(self.directory)}


def train_files(
    config: str | Path,
    task: str | Path,
    directory: str | Path,
    schedule: Schedule = SHORT,
    *,
    limit: int | None = None,
    progress: Progress = silent,
) -> TrainedFiles:
    """Train the network of a config.json on the training part of a task of images (four fifths of
    one that states none), write it to a directory, and score it on the rest.

    Raises
    ------
    CheckpointError, TaskError, FetchError : of what is read;  ShapeError, OutOfRangeError : images
        that do not fit the network
    """
    content = read_json(Path(config))
    if not isinstance(content, dict):
        raise CheckpointError(f"{config}: not a table of keys; see docs/images.md")
    stated = image_config(content, str(config))
    images = of_network(load_image_task(task, progress).split(), stated)
    training = images.training().limited(limit)
    trained = train(
        content,
        np.array(training.pixels()),
        training.targets.astype(np.int64),
        schedule,
        progress=progress,
    )
    save_image_network(directory, content, trained.tensors)
    held_out = images.held_out()
    predicted = classes_of(trained.network(), held_out.pixels(), progress=progress)
    accuracy, *_ = metrics(held_out, predicted, seed=0)
    loss = trained.losses[-1] if trained.losses else None
    return TrainedFiles(Path(directory), len(training), loss, accuracy)
