"""What the tables `dac` and `adc` of a study say together: numbers of codes, tables of codes, and
settings that contradict each other.
"""

import functools
import warnings
from pathlib import Path

import numpy as np

from xbarsim.base.array_files import read_array
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError, ValidRangeWarning, XbarsimError
from xbarsim.config.arrays import Adc, Dac, Mapping
from xbarsim.config.tables import CodeTable

MOST_ELEMENT_BITS = 10  # of a converter with an element for every code: 1023 elements


def signed_codes(mapping: Mapping, dac: Dac, with_dac: bool) -> bool:
    """Whether the currents that are converted have a sign;  with_dac : whether inputs have codes"""
    subtracted = mapping.sign == "pair" and mapping.subtraction == "analog"
    serial = dac.encoding == "bit_serial" and with_dac
    return subtracted or (not serial and dac.polarity == "signed")


def adc_codes(bits: int, signed: bool) -> int:
    """Number of the codes; signed ones are symmetric."""
    unsigned: int = 2**bits
    return unsigned - 1 if signed else unsigned


def dac_codes(dac: Dac, bits: int) -> int:
    """Number of the codes that one phase of a driver can have: of voltages with a sign, of their
    magnitudes, or of a digit.
    """
    if dac.encoding == "bit_serial":
        return int(2**dac.digit_bits)
    if dac.polarity == "two_phase":
        return int(2 ** (bits - 1))
    return adc_codes(bits, signed=True)


def table_of(key: str, stated: CodeTable) -> Floats:
    """Numbers of a table of codes, or of the file that holds them.

    Raises
    ------
    ConfigError : a file that cannot be read, no vector, NaN or infinity
    """
    if isinstance(stated, tuple):
        values = np.array(stated, float)
    else:
        values = _file(key, stated)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ConfigError(f"{key} must be one finite number for every code, in LSB")
    return values


def _file(key: str, name: str) -> Floats:
    path = Path(name)
    try:
        changed = path.stat().st_mtime_ns
        return _read(name, changed)
    except (OSError, XbarsimError) as error:
        raise ConfigError(f"{key} = {name!r} cannot be read: {error}") from None


@functools.lru_cache(maxsize=8)
def _read(name: str, changed: int) -> Floats:
    """A file as it was when it was last changed; one of one row is a vector."""
    values = read_array(name)
    if values.ndim == 2 and len(values) == 1:
        return values.ravel()
    return values


def check_converters(mapping: Mapping, dac: Dac, adc: Adc, with_dac: bool, where: str) -> None:
    """Refuse settings of converters that do not go together;  with_dac : whether inputs have codes

    Raises
    ------
    ConfigError
    """
    try:
        _check_dac(dac)
        _check_range(adc)
        _check_steps(mapping, adc, signed_codes(mapping, dac, with_dac))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_dac(dac: Dac) -> None:
    if dac.input_full_scale is not None and dac.range != "mse":
        raise ConfigError(
            f"dac.input_full_scale = {dac.input_full_scale:g} states the full scale that dac.range = "
            f'"{dac.range}" would choose; remove one of them'
        )
    if dac.inl_lsb is None or dac.bits == "ideal":
        return
    if dac.bits == 1:
        raise ConfigError(
            "dac.inl_lsb bends a line of codes, and dac.bits = 1 has two of them; remove it, or "
            "use 2 bits or more"
        )
    codes = dac_codes(dac, dac.bits)
    table = table_of("dac.inl_lsb", dac.inl_lsb)
    _check_length("dac.inl_lsb", table, codes, f"dac.bits = {dac.bits}")
    signed = dac.encoding != "bit_serial" and dac.polarity == "signed"
    zero = codes // 2 if signed else 0
    if table[zero] != 0:
        raise ConfigError(
            f"dac.inl_lsb has {table[zero]:g} LSB for code 0, which leaves a word line at ground; "
            f"allowed: 0 in place {zero} of the table"
        )


def _check_range(adc: Adc) -> None:
    if adc.noise_ua and adc.noise_lsb:
        raise ConfigError(
            f"adc.noise_ua = {adc.noise_ua:g} and adc.noise_lsb = {adc.noise_lsb:g} state the same "
            "noise twice; remove one"
        )
    if adc.full_scale_ua is not None and adc.range != "mse":
        raise ConfigError(
            f"adc.full_scale_ua = {adc.full_scale_ua:g} states the full scale that adc.range = "
            f'"{adc.range}" would choose; remove one of them'
        )


def _check_steps(mapping: Mapping, adc: Adc, signed: bool) -> None:
    if adc.shared_by > mapping.bit_lines:
        raise ConfigError(
            f"adc.shared_by = {adc.shared_by} is more than the bit lines of a tile, "
            f"mapping.bit_lines = {mapping.bit_lines}; allowed: at most as many"
        )
    bits = adc.bits
    if bits == "ideal":
        return
    uneven = adc.inl_lsb is not None or adc.steps != "ideal"
    if bits == 1 and signed and uneven:
        raise ConfigError(
            "adc.bits = 1 of currents with a sign is one comparison with 0, without steps; remove "
            "adc.inl_lsb and adc.steps, or use 2 bits or more"
        )
    if adc.steps == "thermometer" and bits > MOST_ELEMENT_BITS:
        raise ConfigError(
            f'adc.steps = "thermometer" with adc.bits = {bits} has {2**bits - 1} elements in every '
            f'converter; allowed: at most {MOST_ELEMENT_BITS} bits, or adc.steps = "sar"'
        )
    if adc.inl_lsb is not None:
        table = table_of("adc.inl_lsb", adc.inl_lsb)
        kind = "with a sign" if signed else "without a sign"
        text = f"adc.bits = {bits} and currents {kind}"
        _check_length("adc.inl_lsb", table, adc_codes(bits, signed), text)
        _warn_of_order(table, signed)


def _warn_of_order(table: Floats, signed: bool) -> None:
    """Say where a table lets a code begin above the next one."""
    reversed_at = np.flatnonzero(np.diff(table) < -1)
    if not reversed_at.size:
        return
    lowest = -(len(table) // 2) if signed else 0
    code = int(reversed_at[0]) + lowest
    message = (
        f"adc.inl_lsb lets code {code} begin above code {code + 1} ({reversed_at.size} such places); "
        "a code counts the levels below the current, in whatever order they lie"
    )
    warnings.warn(ValidRangeWarning(message), stacklevel=5)


def _check_length(key: str, table: Floats, codes: int, what: str) -> None:
    if len(table) != codes:
        raise ConfigError(
            f"{key} has {len(table)} entries; allowed: {codes}, one for every code of {what}"
        )
