"""Images and the network that classifies them: classes in one order, and what it says of each."""

from dataclasses import replace

import numpy as np

from xbarsim.base.array_types import Booleans, Integers
from xbarsim.base.errors import TaskError
from xbarsim.base.progress import Progress, silent
from xbarsim.models.batches import for_every_batch
from xbarsim.models.image_config import ImageConfig
from xbarsim.models.image_network import ImageNetwork
from xbarsim.models.operations import Hook, float32
from xbarsim.tasks.task import Task

VALUES_PER_BATCH = 100_000  # grey values that travel together


def of_network(task: Task, config: ImageConfig) -> Task:
    """Images with their classes in the network's order.

    Raises
    ------
    TaskError : images of another size, or classes that the network does not know
    """
    values = len(task.sentences[0])
    if values != config.max_tokens:
        height, width, channels = config.file.image
        raise TaskError(
            f"task {task.name!r} has images of {values} grey values; the network reads {height} x "
            f"{width} pixels of {channels}"
        )
    places = {label: number for number, label in enumerate(config.labels)}
    unknown = [label for label in task.classes if label not in places]
    if unknown:
        raise TaskError(
            f"task {task.name!r} has a class {unknown[0]!r}, which is none of the network's: "
            f"{', '.join(config.labels)}"
        )
    order = np.array([places[label] for label in task.classes])
    return replace(task, targets=order[task.targets], classes=config.labels)


def classes_of(
    model: ImageNetwork,
    pixels: list[Integers],
    hook: Hook = float32,
    progress: Progress = silent,
) -> Integers:
    """The class (n,) that a network gives images of grey values."""
    found = np.zeros(len(pixels), np.int64)

    def work(group: Integers, values: Integers, mask: Booleans) -> None:
        found[group] = model.forward(values, mask, hook).argmax(axis=1)

    for_every_batch(
        work, pixels, tokens_per_batch=VALUES_PER_BATCH, progress=progress, description="images"
    )
    return found
