"""The table `[training]` of a study: how `xbarsim train` trains its model."""

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Mapping
from xbarsim.config.image_training import Defects, ImageTraining, Method, Pulses
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
    held_out: int = Field(
        0,
        ge=0,
        description="of these, evenly spread, that are not trained on but scored before and after, on a "
        "chip of their own",
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


def check_training(training: Training | None, mapping: Mapping, where: str) -> None:
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
    if not training.hardware_aware:
        return
    if mapping.compensation != "none":
        raise ConfigError(
            f'{where}: mapping.compensation = "{mapping.compensation}" solves wires before every write, which '
            'training cannot afford in every step; train with "none"'
        )
    lines = (mapping.row_order, mapping.column_order, mapping.array)
    if lines != ("none", "none", "single"):
        raise ConfigError(
            f"{where}: weights are trained in their own order and on one word line an input; allowed with "
            'training.hardware_aware: mapping.row_order = "none", column_order = "none" and array = '
            '"single"'
        )
