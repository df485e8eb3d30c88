"""The table `[sweep]` of a study: which keys vary, and which of their combinations are run."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from xbarsim.config.tables import Table


class Design(StrEnum):
    """How the points of a sweep are chosen."""

    GRID = "grid"
    LIST = "list"
    RANDOM = "random"
    LATIN_HYPERCUBE = "latin_hypercube"
    SOBOL = "sobol"


SAMPLED = (Design.RANDOM, Design.LATIN_HYPERCUBE, Design.SOBOL)


class Range(Table):
    """An axis between two ends, for the designs that draw their points."""

    low: float = Field(description="lower end")
    high: float = Field(description="upper end")
    scale: Literal["linear", "log"] = Field(
        "linear", description="evenly spread in the value, or in its logarithm"
    )
    whole: bool = Field(False, description="whole numbers only, both ends included")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f'low = {self.low} must be positive with scale = "log"')
        return self


def _kind_of_axis(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "values"


Axis = Annotated[
    Annotated[tuple[Any, ...], Tag("values")] | Annotated[Range, Tag("range")],
    Discriminator(_kind_of_axis),
]


class Sweep(Table):
    """Axes, `"table.key" = [values]` or `{ low = ..., high = ... }`, and the design.

    grid : every combination of the values
    list : the first values of all axes, the second ones, ...
    random, latin_hypercube, sobol : `points` draws between the ends of a range, or among the values of a
        list
    """

    design: Design = Field(
        Design.GRID,
        strict=False,
        description="every combination, one list after the other, or points that are drawn",
    )
    points: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="of the designs that draw; grid and list state their own",
    )
    axes: dict[str, Axis] = Field(
        description='"table.key" = [values], or a range; they may stand in [sweep] itself'
    )

    @model_validator(mode="before")
    @classmethod
    def _axes_beside_the_design(cls, content: Any) -> Any:
        """Keys with a dot, and `seed`, are axes."""
        if not isinstance(content, dict):
            return content
        axes = {key: value for key, value in content.items() if "." in key or key == "seed"}
        rest = {key: value for key, value in content.items() if key not in axes}
        if axes and "axes" in rest:
            raise ValueError("axes stand either in [sweep] or in [sweep.axes], not in both")
        if not axes:
            axes = rest.pop("axes", {})
        if not isinstance(axes, dict):
            raise ValueError(f"axes = {axes!r} must be a table")
        values = {
            key: tuple(value) if isinstance(value, list) else value for key, value in axes.items()
        }
        return rest | {"axes": values}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.axes:
            raise ValueError('no axis; name one as "table.key" = [value, value]')
        for key, values in self.axes.items():
            if isinstance(values, tuple) and not values:
                raise ValueError(f"{key} = [] has no value")
        if self.design in SAMPLED:
            if self.points is None:
                raise ValueError(f'design = "{self.design}" needs a number of points')
            return self
        if self.points is not None:
            raise ValueError(
                f'points is for designs that draw; design = "{self.design}" has its own'
            )
        ranges = [key for key, values in self.axes.items() if isinstance(values, Range)]
        if ranges:
            raise ValueError(
                f'{", ".join(ranges)} is a range; design = "{self.design}" needs lists of values'
            )
        lengths = {len(values) for values in self.axes.values() if isinstance(values, tuple)}
        if self.design == Design.LIST and len(lengths) > 1:
            raise ValueError(
                f'design = "list" needs axes of one length; they have {sorted(lengths)} values'
            )
        return self
