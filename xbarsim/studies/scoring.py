"""A checkpoint of either kind scored on a task of its kind, without any hardware."""

from pathlib import Path

from xbarsim.base import fetch
from xbarsim.base.errors import ConfigError
from xbarsim.base.progress import Progress, silent
from xbarsim.models.architectures import is_decoder, is_image_network
from xbarsim.studies import evaluation, image_evaluation, language
from xbarsim.studies.evaluation import Evaluation
from xbarsim.studies.language import LanguageScore
from xbarsim.studies.language_examples import Scope


def evaluate(
    model: str | Path,
    task: str | Path,
    reference: str = "float32",
    *,
    limit: int | None = None,
    calibration: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    windows: int | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> Evaluation | LanguageScore:
    """Score a checkpoint on a task, digitally.

    Parameters
    ----------
    model : a known model, a checkpoint directory, a GGUF file, or owner/name on the hub
    task : a known task or a file: labelled sentences or pairs for an encoder; a text, minimal pairs or
        questions for a decoder; images for a network of images
    reference : "float32", or "int8" but for decoders
    limit : examples, pairs or questions to score, evenly spread; all if None
    calibration : of an encoder, another task whose sentences set the ranges of int8
    window, stride, windows : of a text, tokens of a window (512 if None), from one window to the next (a
        window), windows from its start (all)
    seed : of the intervals of an encoder; that of a study that states none if None
    progress : see `Progress`

    Returns
    -------
    Evaluation of an encoder or a network of images, LanguageScore of a decoder: both have `metrics`,
    the main one first, with their 95 % intervals, `notes` and `as_dict()`

    Raises
    ------
    ConfigError : an option that this kind of model does not take
    CheckpointError, TaskError, FetchError : a model or a task that cannot be read
    """
    path = fetch.locate(model, "model", progress=progress)
    if is_image_network(path):
        _refuse("a decoder", window=window, stride=stride, windows=windows)
        return image_evaluation.evaluate_files(
            path, task, reference, limit=limit, calibration_task=calibration, progress=progress
        )
    if not is_decoder(path):
        _refuse("a decoder", window=window, stride=stride, windows=windows)
        return evaluation.evaluate_files(
            path,
            task,
            reference,
            limit=limit,
            calibration_task=calibration,
            seed=seed,
            progress=progress,
        )
    _refuse("an encoder", calibration=calibration, seed=seed)
    if reference != "float32":
        raise ConfigError(f"reference = {reference!r}; of a decoder float32 is the only one")
    scope = Scope(window=window, stride=stride, windows=windows, limit=limit)
    return language.evaluate_files(path, task, scope, progress=progress)


def _refuse(needed: str, **options: object) -> None:
    """Options of the other kind of model have no effect."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{', '.join(given)} needs {needed}; leave it out")
