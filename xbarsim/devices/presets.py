"""Devices that come with xbarsim, and device files of one's own."""

from xbarsim.base.errors import ConfigError, XbarsimError
from xbarsim.base.toml_files import Presets, parse, validated
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.model import EFFECTS, DeviceModel

DEVICES = Presets("device", "devices")


def device_names():
    """Names of the devices that come with xbarsim."""
    return DEVICES.names()


def load_device(name_or_path):
    """DeviceModel of a preset's name or of a device file, as it is now.

    Raises
    ------
    ConfigError : unknown name, not TOML, unknown or missing key, value out of range
    """
    return parse_device(name_or_path, device_text(name_or_path))


def parse_device(name_or_path, text):
    """DeviceModel of the text of a device file; `name_or_path` names it.  Raises what `load_device`
    raises."""
    where = f"device file {name_or_path}"
    file = validated(DeviceFile, parse(text, where), where)
    device = DeviceModel(DEVICES.label(name_or_path), file, frozenset(EFFECTS))
    try:
        device.cell(), device.access()
    except XbarsimError as error:
        raise ConfigError(f"device file {name_or_path}: [iv] or [access]: {error}") from None
    return device


def device_text(name_or_path):
    """The TOML text of a preset or of a device file."""
    return DEVICES.text(name_or_path)
