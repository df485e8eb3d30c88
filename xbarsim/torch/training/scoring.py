"""Examples that training leaves out, and how a model does on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xbarsim.base.array_types import Integers
from xbarsim.base.errors import ConfigError, TaskError
from xbarsim.config.training import Training
from xbarsim.studies.training_record import HeldOutScore
from xbarsim.torch.training.chips import TrainingChips
from xbarsim.torch.training.material import Material, inputs_of

SCORED_TOGETHER = 16  # examples


def parted(material: Material, settings: Training) -> tuple[Integers, Integers]:
    """Numbers of the examples that are trained on, and of those that are held out, evenly spread.

    Raises
    ------
    ConfigError, TaskError : too few are left to train on
    """
    count = len(material)
    if settings.held_out and settings.held_out >= count:
        raise ConfigError(
            f"training.held_out = {settings.held_out} of {count} {material.unit}; allowed: fewer"
        )
    held_out = np.arange(settings.held_out) * count // max(settings.held_out, 1)
    trained = np.setdiff1d(np.arange(count), held_out)
    if len(trained) < settings.batch_examples:
        raise TaskError(
            f"{material.source} has {len(trained)} {material.unit} to train on, fewer than "
            f"training.batch_examples = {settings.batch_examples}"
        )
    return trained, held_out


def score(
    passing: nn.Module, material: Material, numbers: Integers, chips: TrainingChips | None
) -> HeldOutScore:
    """Of examples, on a chip of their own; in float32 without chips."""
    if chips is not None:
        chips.write_held_out()
    passing.eval()
    loss = 0.0
    right = 0
    with torch.no_grad():
        for start in range(0, len(numbers), SCORED_TOGETHER):
            some = numbers[start : start + SCORED_TOGETHER]
            batch = material.batch(some)
            output = passing(**inputs_of(batch))
            loss += float(material.loss(output, batch)) * len(some)
            right += material.right(output, batch)
    if material.is_text:
        return HeldOutScore(loss=loss / len(numbers))
    return HeldOutScore(loss=loss / len(numbers), accuracy=right / len(numbers))
