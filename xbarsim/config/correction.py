"""The table of a study about ranges and gains that are fitted at one time and used at another."""

from typing import Literal

from pydantic import Field

from xbarsim.base.errors import ConfigError
from xbarsim.config.arrays import Dac, Device, Mapping
from xbarsim.config.read_noise import ReadNoise
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

    rows: Literal["none", "raised"] = Field(
        "none",
        description="amplifiers of word-line drivers, each of a fixed gain that restores the voltage which typical "
        "inputs lose in wires.source_resistance_ohm",
    )
    columns: Literal["none", "dummy"] = Field(
        "none",
        description="one more bit line of every tile, of equal cells: what its current lacks of what the inputs ask for "
        "scales all codes of the tile, anew in every read",
    )
    dummy_us: float | None = Field(
        None,
        gt=0,
        description="target of the cells of dummy columns; the mean of the matrix's if absent",
    )
    dummy_place: Literal["end", "middle"] = Field(
        "end", description="of dummy columns: behind all bit lines of the tile, or amid them"
    )

    @property
    def corrects_losses(self) -> bool:
        """Whether something beside the tiles makes up for losses in wires, drivers and sense nodes."""
        return self.rows != "none" or self.columns != "none"

    @property
    def reads_lines(self) -> bool:
        """Whether all bit lines are read to follow drift."""
        return self.rescaling != "none" and self.reference == "lines"


def check_losses(
    correction: Correction,
    mapping: Mapping,
    dac: Dac,
    read_noise: ReadNoise,
    with_dac: bool,
    where: str,
) -> None:
    """Refuse what dummy columns and raised rows do not go with;  with_dac : whether inputs have codes

    Raises
    ------
    ConfigError
    """
    if not correction.corrects_losses:
        return
    if mapping.compensation != "none":
        raise ConfigError(
            f'{where}: mapping.compensation = "{mapping.compensation}" chooses targets for the '
            "losses that correction.rows and correction.columns make up for; remove one of them"
        )
    if read_noise.wires == "adjoint":
        raise ConfigError(
            f'{where}: read_noise.wires = "adjoint" knows neither raised rows nor dummy columns; allowed '
            'with correction.rows and correction.columns: "attenuation"'
        )
    if correction.columns == "none":
        return
    if mapping.sign != "pair":
        raise ConfigError(
            f'{where}: correction.columns = "dummy" scales codes whose low state cancels; allowed with '
            'mapping.sign = "pair"'
        )
    digits = dac.encoding == "bit_serial" and dac.digit_bits == 1 and with_dac
    if dac.polarity != "two_phase" and not digits:
        raise ConfigError(
            f'{where}: correction.columns = "dummy" divides by the current of a dummy column, where '
            'voltages of both signs may cancel; allowed: dac.polarity = "two_phase", or '
            'dac.encoding = "bit_serial" of dac.digit_bits = 1'
        )


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
