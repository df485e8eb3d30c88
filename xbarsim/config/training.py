"""The table `[training]` of a study: how `xbarsim train` trains its model."""

from typing import Any

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.config.image_training import Defects, ImageTraining, Method, Pulses, Rule
from xbarsim.config.tables import Table


class Training(Table):
    """How a model is trained: encoders and decoders by PyTorch on chips of the study, each step
    another one; networks of images in NumPy.
    """

    method: Method = Field(
        Method.FINE_TUNING,
        strict=False,
        description="fine-tuning of an encoder or a decoder by PyTorch; or of a network of images in floating "
        "point, in the array by pulses, or around the stuck cells of a chip",
    )
    hardware_aware: bool = Field(
        True, description="whether passes go through chips of the study, or float32: plain training"
    )
    steps: int = Field(500, ge=1, le=10_000_000, description="updates of the weights")
    batch_examples: int = Field(
        32, ge=1, le=100_000, description="examples, or windows of a text, of a step"
    )
    learning_rate: float = Field(
        5e-5, gt=0, le=10, description="of AdamW; rises over `warmup` and falls to 0 in a line"
    )
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps in which it rises")
    weight_decay: float = Field(0.01, ge=0, le=10, description="of matrices, by AdamW")
    gradient_norm: float = Field(1.0, gt=0, description="longest gradient; a longer one is cut")
    examples: int | None = Field(
        None, ge=2, description="of the training part, evenly spread; all if absent"
    )
    text: str | None = Field(
        None, min_length=1, description="of a decoder: the text that it is trained on"
    )
    window: int = Field(128, ge=2, description="of a decoder: tokens of a window of that text")
    wires_every: int = Field(
        25,
        ge=1,
        le=1_000_000,
        description="steps from one exact solve of all wires to the next, when ranges, gains and full "
        "scales are fitted again; their first-order change between",
    )
    redraw: bool = Field(
        True, description="whether cells are written anew in every step, with other errors"
    )
    clip_deviations: float | None = Field(
        None,
        gt=0,
        le=100,
        description="weights are held, after every step, within so many standard deviations of "
        "their matrix; not at all if absent",
    )
    drop_connect: float = Field(
        0.0, ge=0, lt=1, description="share of cells that are stuck low, others in every step"
    )
    learn_ranges: bool = Field(
        False, description="whether full scales of inputs are learned, from the fitted ones on"
    )
    range_learning_rate: float = Field(
        1e-3, gt=0, le=10, description="of the logarithms of learned full scales"
    )
    lora_rank: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="only two thin matrices of this rank beside each are trained",
    )
    lora_alpha: float = Field(16.0, gt=0, description="their product counts alpha / rank times")
    save_every: int = Field(
        100, ge=1, description="steps between states that --resume goes on from"
    )
    images: ImageTraining = Field(
        ImageTraining(), description="networks of images: what is trained, and how long"
    )
    pulses: Pulses = Field(Pulses(), description="of `in-situ`: how cells are moved")
    defects: Defects = Field(Defects(), description="of `defect-aware`: what columns know")


def trains_images(training: Training | None) -> bool:
    """Whether it is a network of images that is trained."""
    return training is not None and training.method is not Method.FINE_TUNING


def check_training(training: Training | None, compensation: str, where: str) -> None:
    """Refuse keys that do not go together.

    Raises
    ------
    ConfigError
    """
    if training is None or training.method is not Method.FINE_TUNING:
        return
    if training.hardware_aware and training.save_every % training.wires_every:
        raise ConfigError(
            f"{where}: training.save_every = {training.save_every} is no multiple of "
            f"training.wires_every = {training.wires_every}; what is gone on with begins with an exact "
            f"solve: {training.wires_every} or {2 * training.wires_every}, for example"
        )
    if training.hardware_aware and compensation != "none":
        raise ConfigError(
            f'{where}: mapping.compensation = "{compensation}" solves wires before every write, which '
            'training cannot afford in every step; train with "none"'
        )


OF_IMAGES = ("images", "pulses", "defects")
OF_EVERY_METHOD = ("method", "examples")


def idle_training_keys(training: Training) -> list[str]:
    """Sentences on keys that a training states and that its method does not ask for."""
    sentences = []
    for path, value in _stated(training.model_dump(exclude_unset=True, mode="json")).items():
        needs = _needs(training, path)
        if needs:
            sentences.append(f"training.{path} = {value!r} has no effect: it needs {needs}")
    return sentences


def _stated(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{path: value} of nested tables."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _stated(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _needs(training: Training, path: str) -> str:
    """What a key needs to have an effect and does not have, "" of one that has it."""
    table, _, key = path.partition(".")
    method = training.method
    if table in OF_EVERY_METHOD:
        return ""
    if table not in OF_IMAGES:
        return "" if method is Method.FINE_TUNING else 'training.method = "fine-tuning"'
    if table == "images" and method is Method.FINE_TUNING:
        return "another training.method, of a network of images"
    if table == "pulses" and method is not Method.IN_SITU:
        return 'training.method = "in-situ"'
    if table == "defects" and method is not Method.DEFECT_AWARE:
        return 'training.method = "defect-aware"'
    if path == "images.pooling" and training.images.hidden is None:
        return "training.images.hidden"
    if table == "pulses":
        return _needs_of_pulses(training.pulses, key)
    if path == "defects.synapse_aware_columns" and training.defects.aware in ("neuron", "none"):
        return 'training.defects.aware = "mixed" or "synapse"'
    return ""


def _needs_of_pulses(pulses: Pulses, key: str) -> str:
    if key == "train" and pulses.rule is not Rule.OUTER_PRODUCT:
        return 'training.pulses.rule = "outer_product"'
    if key == "least" and pulses.rule is not Rule.MANHATTAN:
        return 'training.pulses.rule = "manhattan"'
    if key == "most" and pulses.rule is Rule.MANHATTAN:
        return "a training.pulses.rule with more than one pulse of a cell"
    if key.startswith("heat.") and key != "heat.gain" and not pulses.heat.gain:
        return "a training.pulses.heat.gain other than 0"
    divider = pulses.divider
    if key in ("divider.voltage_v", "divider.slope_v") and not divider.up_ohm + divider.down_ohm:
        return "a resistor of training.pulses.divider"
    return ""
