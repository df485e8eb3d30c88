"""The table of a study about ranges and gains that are fitted at one time and used at another."""

from typing import Literal

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Device, Mapping
from xbarsim.config.tables import Table


class Correction(Table):
    """When ranges and gains of weights are fitted, and what follows drift from then on."""

    fitted_s: float | None = Field(
        None,
        gt=0,
        description="time after programming when ranges and digital gains are fitted; when weights "
        "are used, device.time_s, if absent",
    )
    rescaling: Literal["none", "global", "column"] = Field(
        "none",
        description="digital scale that follows drift from then to device.time_s: one for a matrix, "
        "or one for every bit line",
    )
    reference: Literal["lines", "column"] = Field(
        "lines",
        description="what is read at both times: all bit lines, every word line driven, or one more "
        "bit line of every tile, of equal cells",
    )
    reference_us: float | None = Field(
        None,
        gt=0,
        description="target of the cells of a reference column; the mean of the matrix's if absent",
    )
    reads: int = Field(
        1, ge=1, le=1_000_000, description="reads of the reference that are averaged, each time"
    )

    @property
    def reads_lines(self) -> bool:
        """Whether all bit lines are read to follow drift."""
        return self.rescaling != "none" and self.reference == "lines"


def check_correction(correction: Correction, device: Device, mapping: Mapping, where: str) -> None:
    """Refuse times and references that do not go together.

    Raises
    ------
    ConfigError
    """
    fitted = correction.fitted_s
    if fitted is None:
        if correction.rescaling != "none":
            raise ConfigError(
                f'{where}: correction.rescaling = "{correction.rescaling}" needs '
                "correction.fitted_s, the time when ranges and gains are fitted"
            )
        return
    if device.time_s is not None and device.time_s < fitted:
        raise ConfigError(
            f"{where}: device.time_s = {device.time_s:g} s lies before correction.fitted_s = "
            f"{fitted:g} s; allowed: at that time or after it"
        )
    if correction.rescaling == "column" and correction.reference == "column":
        raise ConfigError(
            f'{where}: correction.reference = "column" says nothing about single bit lines, which '
            'correction.rescaling = "column" scales; use reference = "lines", or rescaling = '
            '"global"'
        )
    if mapping.compensation == "measured":
        raise ConfigError(
            f"{where}: correction.fitted_s = {fitted:g} s keeps what was written at that time, and "
            'mapping.compensation = "measured" reads cells back at device.time_s; remove one of '
            "them"
        )
    if mapping.conductances is not None:
        raise ConfigError(
            f"{where}: correction.fitted_s = {fitted:g} s needs cells that are written, and "
            "mapping.conductances names measured ones; remove one of them"
        )
