"""Device parameters from measurements: `fit_iv(voltage, current) -> FitResult` and so on.

The functions are pure: arrays in SI units in, a `FitResult` out.  `calibrate_files` is the same
from files: it reads the columns that a kind of measurement needs, fits, and says what it read.  A
kind is a module with `from_files`.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarsim.base.errors import ConfigError

if TYPE_CHECKING:
    from xbarsim.calibrate.array import fit_array
    from xbarsim.calibrate.devices import device_toml, write_device
    from xbarsim.calibrate.faults import fit_faults
    from xbarsim.calibrate.iv import fit_iv
    from xbarsim.calibrate.programming import fit_programming
    from xbarsim.calibrate.pulses import fit_pulses
    from xbarsim.calibrate.read_noise import fit_read_noise
    from xbarsim.calibrate.result import FitResult, Parameter
    from xbarsim.calibrate.retention import fit_retention
    from xbarsim.calibrate.spread import fit_spread
    from xbarsim.calibrate.write_verify import fit_write_verify

# kind of `xbarsim calibrate` -> module with from_files(paths, columns, where) -> FitResult; the
# first line of its docstring is what the help says
KINDS = {
    "iv": "iv",
    "programming": "programming",
    "retention": "retention",
    "read-noise": "read_noise",
    "pulses": "pulses",
    "faults": "faults",
    "array": "array",
    "spread": "spread",
    "write-verify": "write_verify",
}

_EXPORTS = {  # module of every public name
    "FitResult": "result",
    "Parameter": "result",
    "device_toml": "devices",
    "write_device": "devices",
    **{f"fit_{module}": module for module in KINDS.values()},
}
__all__ = [
    "KINDS",
    "FitResult",
    "Parameter",
    "calibrate_files",
    "device_toml",
    "fit_array",
    "fit_faults",
    "fit_iv",
    "fit_programming",
    "fit_pulses",
    "fit_read_noise",
    "fit_retention",
    "fit_spread",
    "fit_write_verify",
    "write_device",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"xbarsim.calibrate.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'xbarsim.calibrate' has no attribute {name!r}")


MATRICES = {"faults", "array"}  # kinds whose files are matrices, not tables


def calibrate_files(
    kind: str,
    paths: Sequence[str | Path],
    columns: dict[str, str] | None = None,
    where: dict[str, str] | None = None,
    skip: int = 0,
) -> "FitResult":
    """FitResult of measurement files.

    Parameters
    ----------
    kind : one of `KINDS`;  paths : one or more files, a workbook perhaps as "FILE.xlsx:SHEET"
    columns : {name of a column of the kind: "header", "header:unit" or "number:unit"}; the rest is
        guessed from headers
    where : {header: value or "low..high"}: rows to keep
    skip : lines at the beginning of every file that are not read

    Returns
    -------
    FitResult

    Raises
    ------
    ConfigError : unknown kind, a file that cannot be used (with the number of the line)
    """
    if kind not in KINDS:
        raise ConfigError(f"no kind of calibration {kind!r}; kinds are {', '.join(KINDS)}")
    if not paths:
        raise ConfigError(f"calibrate {kind}: no file given")
    files: Sequence[str | os.PathLike[str]] = paths
    if skip:
        if kind in MATRICES:
            raise ConfigError(f"--skip is for tables of measurements; {kind} reads matrices")
        from xbarsim.calibrate.tables import MeasurementFile

        files = [MeasurementFile(path, skip) for path in paths]
    module = importlib.import_module(f"xbarsim.calibrate.{KINDS[kind]}")
    result: FitResult = module.from_files(files, columns or {}, where or {})
    return result
