"""Tables of a study about training networks of images: by backpropagation, in the array, or around
defects.
"""

from enum import StrEnum

from pydantic import Field

from xbarsim.config.tables import Table


class Method(StrEnum):
    """How `xbarsim train` trains the model of a study."""

    FINE_TUNING = "fine-tuning"
    BACKPROPAGATION = "backpropagation"
    IN_SITU = "in-situ"
    DEFECT_AWARE = "defect-aware"


class Rule(StrEnum):
    """How gradients become pulses.

    counted : every cell gets the pulses that its own gradient asks for, in whole numbers, what is left
        over by chance; the array is written line by line
    outer_product : trains of `train` random pulses on both lines of a cell, which it gets where they
        meet (Gokmen & Vlasov, Front. Neurosci. 10, 333, 2016): all cells at once, image by image
    manhattan : one pulse to every cell, in the direction of the sign of its gradient
    """

    COUNTED = "counted"
    OUTER_PRODUCT = "outer_product"
    MANHATTAN = "manhattan"


class Awareness(StrEnum):
    """What columns know of their stuck cells while they are trained.

    mixed : the worst ones which cells, the others how many;  synapse : the worst ones which cells,
    the others nothing;  neuron : all of them how many;  none : nothing
    """

    MIXED = "mixed"
    SYNAPSE = "synapse"
    NEURON = "neuron"
    NONE = "none"


class ImageTraining(Table):
    hidden: tuple[int, ...] | None = Field(
        None,
        description="outputs of the hidden layers of a perceptron that begins with random weights; the network of "
        "model.name, with its weights if it has any, if absent",
    )
    pooling: int = Field(
        1, ge=1, le=64, description="pixels of a side whose mean a perceptron of `hidden` reads"
    )
    epochs: int = Field(2, ge=0, le=100_000, description="times that every image is seen")
    batch: int = Field(20, ge=1, le=100_000, description="images behind one step")
    rate: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="of learning: of the first step of Adam, from which it falls to 0 (0.002 if absent), or of "
        "gradient descent in the array (0.3 if absent)",
    )


class Heat(Table):
    gain: float = Field(
        0.0,
        ge=-20,
        le=20,
        description="a pulse at heat h moves a cell exp(gain h) times as far; 0: no heat",
    )
    decay_s: float = Field(1e-6, gt=0, description="in which heat falls to 1 / e")
    interval_s: float = Field(1e-6, gt=0, description="from one update of the weights to the next")
    heating_pulse: bool = Field(
        False,
        description="whether cells that are to be written are first brought to the heat of one pulse",
    )


class Divider(Table):
    up_ohm: float = Field(0.0, ge=0, description="in series with a cell, in the path of pulses up")
    down_ohm: float = Field(0.0, ge=0, description="the same of pulses down; both 0: no divider")
    voltage_v: float = Field(
        1.5, gt=0, le=100, description="over a cell in the middle of the window, in a pulse"
    )
    slope_v: float = Field(
        0.3, gt=0, le=100, description="by which a pulse moves a cell 1 / e times as far"
    )


class Pulses(Table):
    rule: Rule = Field(
        Rule.COUNTED,
        strict=False,
        description="what asks for pulses: the gradient of every cell, outer products of random trains, or signs "
        "alone",
    )
    train: int = Field(
        10, ge=1, le=10_000, description="pulses of a line per image, of `outer_product`"
    )
    least: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of `manhattan`: share of the largest gradient of a layer below which a cell rests",
    )
    most: int = Field(20, ge=1, le=10_000, description="pulses of a cell in one update, at most")
    weight_range: float = Field(
        8.0,
        gt=0,
        le=1000,
        description="largest weight of a pair of cells, times the root of the layer's inputs",
    )
    half_select: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of its step by which a pulse disturbs the other cells of its lines",
    )
    heat: Heat = Field(Heat(), description="second state of a cell, raised by every pulse")
    divider: Divider = Field(Divider(), description="resistors in series with cells in a write")


class Defects(Table):
    aware: Awareness = Field(
        Awareness.MIXED,
        strict=False,
        description="what columns know: the worst ones which cells are stuck and the others how many (mixed) or "
        "nothing (synapse); all of them how many (neuron); nothing (none)",
    )
    synapse_aware_columns: int | None = Field(
        None,
        ge=0,
        description="the columns with most stuck cells, which know them; all of them if absent",
    )
    epochs_before: int = Field(
        2,
        ge=0,
        le=100_000,
        description="without any defect, before training.images.epochs with them",
    )
    full_scale_deviations: float = Field(
        4.0,
        gt=0,
        le=100,
        description="weights are held within so many standard deviations of their matrix, that of the first part",
    )
