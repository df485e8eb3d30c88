"""What `xbarsim train` did to a model, in words and as JSON."""

import math
import shlex
from pathlib import Path
from typing import Any

from xbarsim.base.units import engineering
from xbarsim.studies.training_record import (
    AT_AN_END,
    HeldOutScore,
    ImageTrainingRecord,
    Score,
    TrainingRecord,
    Wear,
)

LARGEST_LOSS = 700.0  # whose perplexity is a float

Record = TrainingRecord | ImageTrainingRecord
Facts = tuple[tuple[str, str], ...]


def facts(record: Record) -> Facts:
    """Names and what they are, for text and page."""
    if isinstance(record, ImageTrainingRecord):
        return _image_facts(record)
    found = [
        ("model", record.model),
        ("trained on", _material(record)),
        ("steps", _steps(record)),
        ("chips", _chips(record)),
        ("parameters", _parameters(record)),
    ]
    if record.first_loss is not None and record.last_loss is not None:
        steps = min(AT_AN_END, len(record.loss))
        found.append(
            (
                "loss",
                f"{record.first_loss:.4f} in the first {steps} steps, {record.last_loss:.4f} in the last",
            )
        )
    if record.held_out is not None:
        scores = record.held_out
        text = f"{scores.examples:,} {_unit(record)}: {_score(scores.before)} before"
        if scores.after is not None:
            text += f", {_score(scores.after)} after"
        found.append(("held out", f"{text}; {_where_scored(record)}"))
    return tuple(found)


def _image_facts(record: ImageTrainingRecord) -> Facts:
    found = [
        ("model", record.model),
        ("method", record.method),
        ("trained on", f"{record.images:,} images, {len(record.loss)} epochs"),
    ]
    if record.loss:
        found.append(
            ("loss", f"{record.loss[0]:.4f} in the first epoch, {record.loss[-1]:.4f} in the last")
        )
    found.append(("accuracy", _accuracy(record.accuracy)))
    if record.accuracy_unaware is not None:
        found.append(("unaware", _accuracy(record.accuracy_unaware)))
    if record.wear is not None:
        found.append(("wear", _wear(record.wear)))
    return tuple(found)


def _accuracy(score: Score) -> str:
    interval = f"{100 * score.low:.2f} to {100 * score.high:.2f}"
    return f"{100 * score.value:.2f} ({interval}) of {score.n:,} others"


def _wear(wear: Wear) -> str:
    found = f"{wear.pulses:,} pulses"
    if wear.heating_pulses:
        found += f", {wear.heating_pulses:,} that heat"
    found += f"; {wear.pulses_per_cell:.1f} of a cell on average, {wear.most_of_a_cell:,} at most"
    found += f"; {wear.not_responding:,} of {wear.cells:,} cells do not respond"
    if wear.energy is not None:
        found += f"; {engineering(wear.energy, 'J')}"
    return found


def lines(record: Record) -> list[str]:
    """The facts, a line each."""
    width = max(len(name) for name, _ in facts(record))
    return [f"{name:<{width}}  {text}" for name, text in facts(record)]


def alarm(record: Record) -> str | None:
    """What must be known before any figure is believed."""
    if isinstance(record, ImageTrainingRecord) or record.is_complete:
        return None
    return (
        f"Training was interrupted, or is under way: {record.steps:,} of {record.settings.steps:,} "
        "steps are done."
    )


def next_command(record: Record, directory: Path) -> tuple[str, str]:
    """(command line, what it does) of what to do with a directory."""
    if isinstance(record, ImageTrainingRecord) or record.is_complete:
        return shlex.join(["xbarsim", "run", str(directory / "study.toml")]), "run it"
    words = ["xbarsim", "train", "STUDY", "--out", str(directory), "--resume"]
    return shlex.join(words), "go on"


def to_json(record: Record) -> dict[str, Any]:
    """The record, and what its report derives."""
    found: dict[str, Any] = record.model_dump(mode="json")
    if isinstance(record, ImageTrainingRecord):
        return found
    return found | {
        "complete": record.is_complete,
        "chips": record.chips,
        "first_loss": record.first_loss,
        "last_loss": record.last_loss,
    }


def _unit(record: TrainingRecord) -> str:
    if record.is_text:
        return f"windows of {record.settings.window} tokens"
    return "sentences"


def _material(record: TrainingRecord) -> str:
    return f"{record.examples:,} {_unit(record)} of {record.source}"


def _steps(record: TrainingRecord) -> str:
    settings = record.settings
    return (
        f"{record.steps:,} of {settings.steps:,}, {settings.batch_examples} {_unit(record)} each, "
        f"learning rate {settings.learning_rate:g}"
    )


def _chips(record: TrainingRecord) -> str:
    settings = record.settings
    if not settings.hardware_aware:
        return "none: plain training in float32"
    if settings.redraw:
        count = f"{record.chips:,} of device {record.device}, another one in every step"
    else:
        count = f"1 of device {record.device}, the same in every step"
    found = f"{count}, seed {record.seed}; wires solved and ranges fitted every {settings.wires_every} steps"
    if settings.drop_connect:
        found += f"; {100 * settings.drop_connect:g} % of the cells stuck low"
    return found


def _parameters(record: TrainingRecord) -> str:
    settings = record.settings
    count = f"{record.trained_parameters:,}"
    if settings.lora_rank is not None:
        count += f", LoRA of rank {settings.lora_rank}, alpha {settings.lora_alpha:g}"
    if settings.clip_deviations is not None:
        count += f", weights held within {settings.clip_deviations:g} standard deviations"
    return count


def _score(score: HeldOutScore) -> str:
    if score.accuracy is None:
        return f"perplexity {math.exp(min(score.loss, LARGEST_LOSS)):.3f}"
    return f"accuracy {100 * score.accuracy:.2f}, loss {score.loss:.4f}"


def _where_scored(record: TrainingRecord) -> str:
    if record.settings.hardware_aware:
        return "on a chip that no step was taken on"
    return "in float32"
