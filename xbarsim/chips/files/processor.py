"""Tables of a chip file of kind processor: a GPU or TPU with measured latencies."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from xbarsim.chips.files.chip import Chip
from xbarsim.config.tables import Table


class Measured(Table):
    model: str
    sequence: int = Field(ge=1)
    batch: int = Field(ge=1)
    precision: str
    latency_ms: float = Field(gt=0, allow_inf_nan=False)


class ProcessorFile(Chip):
    kind: Literal["processor"]
    area_mm2: float = Field(gt=0)
    power_w: float = Field(gt=0)
    power_fraction: float = Field(
        1.0, gt=0, le=1.5, description="drawn power over power_w while it computes"
    )
    precision: str
    peak_tops: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        description="precision -> 1e12 operations per second (a MAC is two)"
    )
    memory_gib: float = Field(gt=0)
    memory_gb_per_s: float | None = Field(
        None, gt=0, description="bandwidth of its memory, 1e9 bytes per second"
    )
    measured: tuple[Measured, ...] = ()
    utilisation_of: str | None = Field(
        None, description="processor whose share of the peak is assumed here"
    )
    utilisation_ratio: float = Field(1.0, gt=0)

    @property
    def bytes_per_value(self) -> int:
        return 1 if self.precision == "int8" else 2

    def contradictions(self) -> Iterator[str]:
        if self.precision not in self.peak_tops:
            yield (
                f"precision = {self.precision!r} has no peak_tops; known: "
                f"{', '.join(self.peak_tops)}"
            )
        if bool(self.measured) == bool(self.utilisation_of):
            yield (
                "give either [[measured]] latencies or utilisation_of, the processor to estimate "
                "from"
            )
        precisions = {point.precision for point in self.measured}
        if self.measured and self.precision not in precisions:
            yield f"no [[measured]] latency has precision = {self.precision!r}"
