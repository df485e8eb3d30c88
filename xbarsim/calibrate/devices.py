"""Device files of fits: the tables that a fit determines, laid over a device that states the rest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from xbarsim.base.errors import ConfigError
from xbarsim.base.files import replacing
from xbarsim.base.toml_files import validated
from xbarsim.calibrate.result import DeviceTable, FitResult
from xbarsim.calibrate.tables import FilePath
from xbarsim.devices.file import DeviceFile
from xbarsim.devices.presets import DEVICES

# One of these states the result of a write, the other its process: a fit of one takes the place of
# the other.
_INSTEAD = {"programming": "write_verify", "write_verify": "programming"}


def device_toml(result: FitResult, base: str | Path | None, source: str) -> str:
    """TOML text of device `base` (a name or a file) with the tables of a FitResult in the place of
    its own.

    Parameters
    ----------
    result : of a `fit_...` or of `calibrate_files`
    base : as in `write_device`
    source : where the measurement is from; written into every fitted table

    Returns
    -------
    The text

    Raises
    ------
    ConfigError : the fit determines no table; no base; a combination that is not a device
    """
    if not result.device:
        _refuse_without_table(result)
    if base is None:
        raise ConfigError(
            f"a {result.kind} fit gives [{'], ['.join(result.device)}] of a device file, not its read voltage "
            "and window; name a device that has them with --base, such as --base ideal, and check them"
        )
    content = DEVICES.content(base)
    for name, table in result.device.items():
        if name in _INSTEAD:
            content.pop(_INSTEAD[name], None)
        if name == "write_verify":
            table = _process(content.get(name, {}), table, result.kind, base)
        content[name] = _sourced(table, source)
    content["description"] = f"{Path(str(base)).stem} with {', '.join(result.device)} from {source}"
    where = f"the {result.kind} fit over device {base} (choose another --base)"
    return validated(DeviceFile, content, where).to_toml()


def _refuse_without_table(result: FitResult) -> NoReturn:
    reasons = "; ".join(f"{p.name}: {p.reason}" for p in result.parameters if not p.identified)
    because = f" ({reasons})" if reasons else ""
    raise ConfigError(f"this {result.kind} fit gives no table of a device file{because}")


def _process(
    stated: Mapping[str, Any], fitted: DeviceTable, kind: str, base: str | Path
) -> DeviceTable:
    """The fitted keys of [write_verify] over those that the base states; a fitted direction has one
    law."""
    kept = dict(stated)
    for way in ("up", "down"):
        if f"step_{way}_us" in fitted:
            kept.pop(f"nonlinearity_{way}", None)
            kept.pop(f"saturation_{way}_us", None)
    table = kept | fitted
    if not {"tolerance_us", "maximum_pulses"} <= set(table):
        raise ConfigError(
            f"a {kind} fit gives the steps of [write_verify]; its tolerance_us and "
            "maximum_pulses are choices "
            f"of the write: add them to a copy of device {base} and give that file as --base"
        )
    for way in ("up", "down"):
        if f"step_{way}_us" not in table:
            raise ConfigError(
                f"this {kind} fit has no pulses {way}, and device {base} no "
                f"write_verify.step_{way}_us: "
                "measure them, or add the key to a copy of the device and give that file as --base"
            )
    return table


def write_device(
    result: FitResult, path: str | Path, base: str | Path | None, files: Sequence[FilePath] = ()
) -> Path:
    """Write the device file of a fit.

    Parameters
    ----------
    result : of a `fit_...` or of `calibrate_files`
    path : of the file, which is replaced whole
    base : name or file of the device over which the fitted tables are laid
    files : measurements behind the fit, which the file names as its source; none of arrays

    Returns
    -------
    Path of the file

    Raises
    ------
    ConfigError : no base; a fit that determines no table; a combination that is not a device
    OutputError : a file that cannot be written
    """
    path = Path(path)
    names = " ".join(Path(file).name for file in files)
    source = f"xbarsim calibrate {result.kind} {names}"
    if not files:
        source = f"xbarsim.calibrate.fit_{result.kind.replace('-', '_')}"
    text = device_toml(result, base, source)
    with replacing(path) as file:
        file.write(text)
    return path


def _sourced(table: DeviceTable, source: str) -> DeviceTable:
    """The table, and those within [read_noise], with their `source`."""
    sourced = dict(table)
    for key in ("flicker", "telegraph"):
        if key in table:
            sourced[key] = _sourced(table[key], source)
    sourced["source"] = source
    return sourced
