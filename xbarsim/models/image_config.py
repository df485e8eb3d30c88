"""The config.json of an image network: what its steps are, and the shapes between them.

A network is a list of steps that read one another in order; `residual` adds the output of an earlier
one.  Images are (height, width, channels); weights have the names and axes of PyTorch's `state_dict`:
NAME.weight (outputs, inputs) or (channels, inputs / groups, height, width), NAME.bias, and of a batch
norm NAME.weight, NAME.bias, NAME.running_mean, NAME.running_var.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from xbarsim.base.errors import CheckpointError, ConfigError
from xbarsim.base.toml_files import validated
from xbarsim.config.tables import Table
from xbarsim.models.checkpoint import read_json
from xbarsim.models.operations import Norm

MODEL_TYPE = "image-network"
Size = Annotated[int, Field(ge=1, le=4096)]


class Dense(Table):
    """Every input to every output; an image is read channel by channel, as PyTorch flattens it."""

    kind: Literal["dense"]
    name: str
    outputs: Size


class Convolution(Table):
    kind: Literal["convolution"]
    name: str
    channels: Size = Field(description="of the output")
    kernel: Size = Field(description="pixels of its side")
    stride: Size = 1
    padding: int = Field(0, ge=0, le=64, description="zeros on each side")
    groups: Size = Field(1, description="of channels that see only themselves")


class BatchNorm(Table):
    """Folded into the matrix before it."""

    kind: Literal["batch_norm"]
    name: str
    epsilon: float = Field(1e-5, gt=0)


class Relu(Table):
    kind: Literal["relu"]


class Pooling(Table):
    kind: Literal["max_pooling", "average_pooling"]
    size: Size = Field(description="pixels of a side; windows do not overlap")


class Residual(Table):
    """Adds the output of step `of` of the list, counted from 0; -1 is the image."""

    kind: Literal["residual"]
    of: int = Field(ge=-1)


Stated = Annotated[
    Dense | Convolution | BatchNorm | Relu | Pooling | Residual, Field(discriminator="kind")
]


class File(Table):
    """All of config.json."""

    model_type: Literal["image-network"]
    image: tuple[Size, Size, Size] = Field(description="height, width, channels")
    mean: float = Field(0.0, description="of grey values from 0 to 1, subtracted")
    deviation: float = Field(1.0, gt=0, description="by which they are then divided")
    weights: Literal["float", "binary", "ternary"] = Field(
        "float",
        description="what the weights of all matrices are rounded to, each output on its own",
    )
    labels: tuple[str, ...] = Field((), description="of the classes; numbers if absent")
    steps: tuple[Stated, ...] = Field(min_length=1)


Shape = tuple[int, ...]  # (height, width, channels) of an image, (values,) after a dense step


@dataclass(frozen=True)
class ImageConfig:
    """An image network without its weights.

    file : its config.json;  shapes : of the output of every step of it
    """

    file: File
    shapes: tuple[Shape, ...]
    heads: int = 1
    activation: str = "relu"
    norm: Norm = Norm.LAYER

    @property
    def hidden(self) -> int:
        """Outputs of the network."""
        return self.shapes[-1][0]

    @property
    def max_tokens(self) -> int:
        """Grey values of an image."""
        height, width, channels = self.file.image
        return height * width * channels

    @property
    def labels(self) -> tuple[str, ...]:
        return self.file.labels or tuple(str(number) for number in range(self.hidden))

    def shape_before(self, number: int) -> Shape:
        """What a step reads."""
        return self.file.image if number == 0 else self.shapes[number - 1]


def read_image_config(directory: Path) -> ImageConfig:
    """The config.json of a directory.

    Raises
    ------
    CheckpointError : a key that is missing, unknown or out of range, or steps that do not fit
    """
    path = directory / "config.json"
    return image_config(read_json(path), str(path))


def image_config(content: object, where: str = "config.json") -> ImageConfig:
    """A network of the content of its config.json; errors as of `read_image_config`."""
    try:
        file = validated(File, content, where)
        config = ImageConfig(file, shapes_of(file))
    except ConfigError as error:
        text = str(error)
        raise CheckpointError(text if text.startswith(where) else f"{where}: {text}") from None
    if len(config.labels) != config.hidden:
        raise CheckpointError(
            f"{where}: {len(config.labels)} labels, but the last step has {config.hidden} outputs; "
            "name each of them"
        )
    return config


def shapes_of(file: File) -> tuple[Shape, ...]:
    """The shape of the output of every step.

    Raises
    ------
    ConfigError : steps that do not fit together
    """
    shapes: list[Shape] = []
    names: set[str] = set()
    for number, step in enumerate(file.steps):
        before = shapes[-1] if shapes else file.image
        where = f"step {number}, {step.kind}"
        name = getattr(step, "name", None)
        if name in names:
            raise ConfigError(f"{where}: a second step called {name!r}; give each its own name")
        if name is not None:
            names.add(name)
        shapes.append(_shape_after(step, before, where))
        if isinstance(step, Residual):
            _check_residual(step, number, shapes, file, where)
        if isinstance(step, BatchNorm):
            _check_batch_norm(file, number, where)
    if len(shapes[-1]) != 1:
        raise ConfigError(
            f"the last step gives images of shape {shapes[-1]}; end with a dense step, whose outputs "
            "are the classes"
        )
    return tuple(shapes)


def _shape_after(step: Stated, before: Shape, where: str) -> Shape:
    if isinstance(step, Dense):
        return (step.outputs,)
    if not isinstance(step, (Convolution, Pooling)):
        return before
    if len(before) != 3:
        raise ConfigError(f"{where}: needs an image, but stands after a dense step")
    height, width, channels = before
    if isinstance(step, Pooling):
        if height % step.size or width % step.size:
            raise ConfigError(
                f"{where}: windows of {step.size} do not divide an image of {height} x {width}"
            )
        return height // step.size, width // step.size, channels
    if channels % step.groups or step.channels % step.groups:
        raise ConfigError(
            f"{where}: {step.groups} groups do not divide {channels} channels into {step.channels}"
        )
    rows = height + 2 * step.padding - step.kernel
    columns = width + 2 * step.padding - step.kernel
    if min(rows, columns) < 0:
        raise ConfigError(
            f"{where}: a kernel of {step.kernel} on an image of {height} x {width} with padding "
            f"{step.padding}; allowed: at most the padded image"
        )
    return rows // step.stride + 1, columns // step.stride + 1, step.channels


def _check_residual(
    step: Residual, number: int, shapes: list[Shape], file: File, where: str
) -> None:
    if step.of >= number - 1:
        raise ConfigError(f"{where}: adds step {step.of}; allowed: -1 to {number - 2}")
    added = file.image if step.of < 0 else shapes[step.of]
    if added != shapes[-1]:
        raise ConfigError(
            f"{where}: adds step {step.of} of shape {added} to one of {shapes[-1]}; only equal "
            "shapes can be added"
        )


def _check_batch_norm(file: File, number: int, where: str) -> None:
    if number == 0 or not isinstance(file.steps[number - 1], (Dense, Convolution)):
        raise ConfigError(
            f"{where}: stands after no matrix, into which it could be folded; put it right after a "
            "dense step or a convolution"
        )
