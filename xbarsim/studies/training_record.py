"""`training.json`: what `xbarsim train` did to a model, as its report reads it."""

import json
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError

from xbarsim.base.errors import TraceError
from xbarsim.base.given_files import printable
from xbarsim.config.tables import Table
from xbarsim.config.training import Training

RECORD = "training.json"
AT_AN_END = 20  # steps whose mean loss stands for the beginning, or for the end


class HeldOutScore(Table):
    """Of the examples that training left out.

    accuracy : share of sentences in their class, None of a text
    """

    loss: float
    accuracy: float | None = None


class HeldOutScores(Table):
    """On the same chip, another one than those of all steps; in float32 of plain training."""

    examples: int
    before: HeldOutScore
    after: HeldOutScore | None = None


class TrainingRecord(Table):
    """What was trained, on what, on which chips, and how it went.

    model, source : as the study names the model, and its task or text
    examples : sentences, or windows of a text, that were trained on
    steps : that are done, of `settings.steps`
    seed : of the chips, and of the order of examples
    loss : of every step
    """

    model: str
    source: str
    is_text: bool
    examples: int
    steps: int
    seed: int
    device: str
    trained_parameters: int
    settings: Training
    study: str = Field(description="as it was, TOML")
    held_out: HeldOutScores | None = None
    loss: tuple[float, ...]

    @property
    def is_complete(self) -> bool:
        return self.steps == self.settings.steps

    @property
    def first_loss(self) -> float | None:
        """Mean of the first steps; None before one is done."""
        return _mean(self.loss[:AT_AN_END])

    @property
    def last_loss(self) -> float | None:
        """Mean of the last steps; None before one is done."""
        return _mean(self.loss[-AT_AN_END:])

    @property
    def chips(self) -> int:
        """Simulated chips that steps were taken on; 0 of plain training."""
        if not self.settings.hardware_aware:
            return 0
        return self.steps if self.settings.redraw else min(self.steps, 1)

    def text(self) -> str:
        """As its file."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"


class Score(Table):
    """Of images that are scored: a share, its 95 % interval, and how many."""

    metric: str
    value: float
    low: float
    high: float
    n: int


class Wear(Table):
    """Of cells that were trained in the array; energy : joule, None where it is not known."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pulses: int
    heating_pulses: int
    pulses_per_cell: float
    most_of_a_cell: int
    not_responding: int
    cells: int
    energy: float | None = None


class ImageTrainingRecord(Table):
    """How a network of images was trained.

    loss : of every epoch;  accuracy_unaware : on the same cells without knowing of defects
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str
    method: str
    images: int
    loss: tuple[float, ...]
    accuracy: Score
    accuracy_unaware: Score | None = None
    wear: Wear | None = None


def _mean(losses: tuple[float, ...]) -> float | None:
    if not losses:
        return None
    return sum(losses) / len(losses)


def record_of(text: str, origin: str) -> TrainingRecord:
    """A record from its text.

    Raises
    ------
    TraceError : it is none; origin : names the file
    """
    try:
        return TrainingRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        where = f" ({printable(place)}: {first['msg']})" if place else ""
        raise TraceError(
            f"{origin} is no record of `xbarsim train`{where}; its directory holds study.toml and model"
        ) from None


def read_record(path: Path) -> TrainingRecord:
    """The record of a file.

    Raises
    ------
    TraceError : it cannot be read, or is none
    """
    return record_of(_read(path), str(path))


def read_any_record(path: Path) -> TrainingRecord | ImageTrainingRecord:
    """The record of a file, of fine-tuning or of a network of images; errors as of `read_record`."""
    text = _read(path)
    try:
        return ImageTrainingRecord.model_validate_json(text)
    except ValidationError:
        return record_of(text, str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path} cannot be read: {error}") from None


def record_beside(model: Path | None) -> str | None:
    """The text of the record within a model's directory; None of a model that `xbarsim train` did
    not write."""
    if model is None or not (model / RECORD).is_file():
        return None
    try:
        return read_record(model / RECORD).text()
    except TraceError:
        return None  # another program's file of that name
