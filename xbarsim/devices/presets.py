"""Devices that come with xbarsim, and device files of one's own."""

from pathlib import Path

from xbarsim.base.errors import ConfigError, XbarsimError
from xbarsim.base.toml_files import Presets, parse, validated
from xbarsim.devices.conditions import Effect
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.model import DeviceModel

DEVICES = Presets("device", "devices")


def device_names() -> list[str]:
    """Names of the devices that come with xbarsim, sorted.

    Examples
    --------
    >>> "pcm" in device_names()
    True
    """
    return DEVICES.names()


def load_device(name_or_path: str | Path) -> DeviceModel:
    """DeviceModel of a preset's name or of a device file, as it is now.

    Parameters
    ----------
    name_or_path : one of `device_names()`, or a file of the form of docs/devices.md

    Returns
    -------
    DeviceModel : `at(time=..., temperature=...)` is the device under these conditions (s, K),
        `program(target, seed)` writes conductances (S)

    Raises
    ------
    ConfigError : unknown name, not TOML, unknown or missing key, value out of range

    Examples
    --------
    >>> device = load_device("pcm").at(time=3600.0)
    >>> f"{device.conductance_max:.1e} S"
    '2.5e-05 S'
    """
    return parse_device(name_or_path, device_text(name_or_path))


def parse_device(name_or_path: str | Path, text: str) -> DeviceModel:
    """DeviceModel of the text of a device file; `name_or_path` names it.  Raises what `load_device`
    raises."""
    where = f"device file {name_or_path}"
    file = validated(DeviceFile, parse(text, where), where)
    device = DeviceModel(DEVICES.label(name_or_path), file, frozenset(Effect))
    try:
        device.cell()
        device.access()
    except XbarsimError as error:
        raise ConfigError(f"device file {name_or_path}: [iv] or [access]: {error}") from None
    return device


def device_text(name_or_path: str | Path) -> str:
    """The TOML text of a preset or of a device file."""
    return DEVICES.text(name_or_path)
