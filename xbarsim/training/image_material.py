"""What a study trains a network of images on: the network as it begins, and its images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.base import fetch
from xbarsim.base.array_types import Integers, Singles
from xbarsim.base.errors import CheckpointError, ConfigError, TaskError
from xbarsim.base.progress import Progress
from xbarsim.config.image_training import ImageTraining
from xbarsim.config.study import Study
from xbarsim.config.training import Training
from xbarsim.models.checkpoint import read_json
from xbarsim.models.image_classes import of_network
from xbarsim.models.image_config import MODEL_TYPE, ImageConfig, image_config
from xbarsim.models.image_network import normalised
from xbarsim.models.tensor_files import read_safetensors
from xbarsim.tasks.image_files import is_image_task, load_image_task
from xbarsim.tasks.task import Task

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class ImageMaterial:
    """A network of images before training, and what it is trained and scored on.

    content : of its config.json;  tensors : that it begins with, None of random ones
    images : (n, height, width, channels), as the network reads them;  classes : (n,)
    scored : what it is scored on, as `xbarsim run` does
    """

    content: Mapping[str, Any]
    config: ImageConfig
    tensors: Mapping[str, Singles] | None
    training: Task
    scored: Task

    @property
    def images(self) -> Singles:
        """(n, height, width, channels) of the training part, as the network reads them."""
        return normalised(self.config, np.array(self.training.pixels()))

    @property
    def classes(self) -> Integers:
        """(n,) of them."""
        return self.training.targets.astype(np.int64)


def image_material(study: Study, training: Training, progress: Progress) -> ImageMaterial:
    """Read the network and the images of a study.

    Raises
    ------
    ConfigError : a task that is not of images, a model that is no network of them
    CheckpointError, FetchError : of the readers
    TaskError : images that do not fit the network, or without a part for testing
    """
    if not is_image_task(study.task.name) and not study.task.name.endswith(".csv"):
        raise ConfigError(
            f'training.method = "{training.method}" trains networks of images, and task.name = '
            f'{study.task.name!r} is not of images; allowed: "mnist", a directory or a file of images '
            "(see docs/images.md)"
        )
    task = load_image_task(study.task.name, progress)
    if task.test is None:
        raise TaskError(
            f"task {task.name!r} states no images for testing: it would be scored on those that it "
            "was trained on; give an .npz file with an array `test`, or a directory of both parts"
        )
    if training.images.hidden is None:
        content, tensors = _network_of(study.model.name)
    else:
        content = perceptron(task, training.images)
        tensors = None
    config = image_config(dict(content), study.model.name)
    task = of_network(task, config)
    return ImageMaterial(
        content=content,
        config=config,
        tensors=tensors,
        training=task.training().limited(training.examples),
        scored=task.held_out().limited(study.task.limit),
    )


def _network_of(name: str) -> tuple[dict[str, Any], dict[str, Singles] | None]:
    """The config.json of a directory, or the file itself, and the weights beside it, if any."""
    path = Path(name)
    if not path.is_file():
        path = fetch.locate(name, "model") / "config.json"
    content = read_json(path)
    if not isinstance(content, dict) or content.get("model_type") != MODEL_TYPE:
        raise CheckpointError(
            f'{path}: not the config.json of a network of images (model_type = "{MODEL_TYPE}"); name '
            "one in model.name, or state training.images.hidden"
        )
    if not (path.parent / WEIGHTS).is_file():
        return content, None
    tensors, _ = read_safetensors(path.parent)
    return content, tensors


def perceptron(task: Task, stated: ImageTraining) -> dict[str, Any]:
    """The config.json of a perceptron for square grey images.

    Raises
    ------
    ConfigError : images that are not square, or that the pooling does not divide
    """
    values = len(task.sentences[0])
    side = round(values**0.5)
    if side**2 != values or side % stated.pooling:
        raise ConfigError(
            f"training.images.hidden is for square grey images whose side training.images.pooling = "
            f"{stated.pooling} divides; those of {task.name!r} have {values} grey values: write a "
            "config.json and name its directory in model.name"
        )
    steps: list[dict[str, Any]] = []
    if stated.pooling > 1:
        steps.append({"kind": "average_pooling", "size": stated.pooling})
    for number, outputs in enumerate(stated.hidden or ()):
        steps.append({"kind": "dense", "name": f"hidden{number}", "outputs": outputs})
        steps.append({"kind": "relu"})
    steps.append({"kind": "dense", "name": "last", "outputs": len(task.classes)})
    return {
        "model_type": MODEL_TYPE,
        "image": [side, side, 1],
        "labels": list(task.classes),
        "steps": steps,
    }
