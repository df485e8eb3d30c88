"""Programmed arrays kept on disk under the hash of everything that determines them.

A second run with other converters, another task or another digital correction programs the same cells
and meets the same wires; it takes them from here.  An entry is one matrix: an HDF5 file, written beside and
renamed, whose data sets carry checksums.  What is damaged or of another version is computed again.  Entries
that were not used for longest make room for new ones.
"""

import contextlib
import dataclasses
import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xbarsim import __version__
from xbarsim.arrays.in_situ.line_noise import LineNoise
from xbarsim.arrays.in_situ.programmed import MatrixPlan, ProgrammedMatrix, program
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyArray, Singles
from xbarsim.base.cache import cache_directory, write_atomically
from xbarsim.base.errors import DamageWarning
from xbarsim.base.source_digest import source_digest
from xbarsim.base.stamped_files import BLOCK, is_whole, stamp
from xbarsim.devices.programmed import Counts

FORMAT = 3
SOURCES = ("xbarsim.kernels", "xbarsim.devices", "xbarsim.arrays.in_situ", "xbarsim.circuit")
BLOCKS = ("transfer", "variance", "power")  # one matrix per row block
WHOLE = (
    "attenuation_mean",
    "attenuation_std",
    "worst_tile",
    "conductance_edges",
    "conductance_counts",
)


def kept_directory() -> Path:
    """Where arrays are kept."""
    return cache_directory() / "arrays"


@dataclass(frozen=True)
class KeptArrays:
    """Programmed arrays of earlier runs.

    limit : bytes of all entries together; 0 keeps none
    evict : whether what was not used for longest makes room; else what finds no room is not kept
    """

    directory: Path
    limit: int
    evict: bool = True

    def solve(self, plan: MatrixPlan) -> ProgrammedMatrix:
        """The programmed matrix of a plan: as it was kept, or programmed and solved now.

        A write that may warn of values outside the device's range is done each time, as is one
        whose cells remember noise, which would take as much room again, and one with rows that are
        raised or dummy columns.
        """
        remembers = plan.settings.read_noise.correlation == "process"
        beside = plan.settings.correction.corrects_losses
        if not self.limit or remembers or beside or plan.device.outside_range == "warn":
            return program(plan)
        path = self.directory / f"{key_of(plan)}.h5"
        kept = _read(path, plan)
        if kept is not None:
            return kept
        programmed = program(plan)
        with contextlib.suppress(OSError):  # a full disk costs the next run time, not this one
            write_atomically(path, lambda file: _write(file, programmed))
            self._make_room(path)
        return programmed

    def _make_room(self, newest: Path) -> None:
        """Remove entries until all fit: what was not used for longest, or the newest."""
        entries = sorted(self.directory.glob("*.h5"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in entries)
        if not self.evict:
            entries = [newest]
        for path in entries:
            if total <= self.limit:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


def key_of(plan: MatrixPlan) -> str:
    """Hex digest of what determines a programmed matrix: targets, layout, device and conditions,
    wires, random streams, and the code that solves.
    """
    digest = hashlib.sha256()
    facts = [
        FORMAT,
        __version__,
        source_digest(SOURCES),
        plan.index,
        plan.seed,
        plan.reference,
        plan.layout,
        *_circuit(plan.settings),
        _conditions(plan),
        plan.cells_sha256,
        plan.encoded.target.shape,
    ]
    digest.update(repr(facts).encode())
    digest.update(np.ascontiguousarray(plan.encoded.target).tobytes())
    if plan.settings.mapping.compensation == "measured":  # what is written next depends on weights
        digest.update(plan.settings.mapping.gain.encode())
        digest.update(np.ascontiguousarray(plan.encoded.value).tobytes())
        digest.update(np.ascontiguousarray(plan.encoded.intended).tobytes())
    return digest.hexdigest()


def _circuit(settings: InSituSettings) -> list[Any]:
    """What the cells and their wires depend on; a digital gain comes after them."""
    wires = settings.solved_wires
    mapping = settings.mapping.model_dump(exclude={"gain", "conductances"})
    facts: list[Any] = [mapping, settings.dac.read_time_ns, settings.read_noise.wires]
    if wires is None:
        return facts
    ends = (wires.source_resistance_ohm, wires.sense_resistance_ohm)
    return [*facts, wires.resistances(), ends, wires.precision]


def _conditions(plan: MatrixPlan) -> list[tuple[str, Any]]:
    """Fields of the device under its conditions; sets in order."""
    found = []
    for field in dataclasses.fields(plan.device):
        value = getattr(plan.device, field.name)
        if isinstance(value, frozenset):
            value = sorted(map(str, value))
        found.append((field.name, repr(value)))
    return found


# ---------------------------------------------------------------- one entry


def _write(file: Any, programmed: ProgrammedMatrix) -> None:
    with h5py.File(file, "w", userblock_size=BLOCK) as target:
        for name in BLOCKS:
            blocks = getattr(programmed, name)
            for number, block in enumerate(blocks or ()):
                _put(target, f"{name}/{number}", block)
        for number, noise in enumerate(programmed.line_noise or ()):
            _write_line_noise(target.create_group(f"line_noise/{number}"), noise)
        for name in WHOLE:
            _put(target, name, getattr(programmed, name))
        for name, value in vars(programmed.counts).items():
            if value is not None:
                target.attrs[name] = value
    file.flush()
    stamp(Path(file.name))


def _write_line_noise(group: Any, noise: LineNoise | None) -> None:
    """An empty group where there is none."""
    if noise is None:
        return
    for section, transfer in enumerate(noise.transfer):
        _put(group, f"transfer/{section}", transfer)
    _put(group, "cross", noise.cross)
    _put(group, "own", noise.own)
    _put(group, "error", noise.error)


def _put(target: Any, name: str, values: AnyArray) -> None:
    target.create_dataset(
        name, data=values, chunks=values.shape, fletcher32=True, track_times=False
    )


def _read(path: Path, plan: MatrixPlan) -> ProgrammedMatrix | None:
    """The entry of a plan; None where there is none, or a damaged one, which is removed."""
    if not path.exists():
        return None
    try:
        if not is_whole(path):
            raise ValueError("another sha256 than it states")
        with h5py.File(path, "r") as source:
            found = _programmed(source, plan)
        os.utime(path)
    except Exception as error:  # h5py raises many kinds for a damaged file
        text = " ".join(str(error).split())
        warnings.warn(
            DamageWarning(f"{path} is damaged ({text}): {plan.name} is programmed again"),
            stacklevel=2,
        )
        path.unlink(missing_ok=True)
        return None
    return found


def _programmed(source: Any, plan: MatrixPlan) -> ProgrammedMatrix:
    whole = {name: source[name][:] for name in WHOLE}
    names = {field.name for field in dataclasses.fields(Counts)}
    counts = {name: value.item() for name, value in source.attrs.items() if name in names}
    transfer = _blocks(source, "transfer", plan)
    variance = _blocks(source, "variance", plan) if "variance" in source else None
    return ProgrammedMatrix.of_plan(
        plan,
        transfer=transfer,
        variance=variance,
        line_noise=_line_noise(source),
        processes=None,
        power=_blocks(source, "power", plan),
        counts=Counts(**counts),
        **whole,
    )


def _line_noise(source: Any) -> tuple[LineNoise | None, ...] | None:
    if "line_noise" not in source:
        return None
    groups = [source[f"line_noise/{block}"] for block in range(len(source["line_noise"]))]
    return tuple(_of_row_block(group) for group in groups)


def _of_row_block(group: Any) -> LineNoise | None:
    if not len(group):
        return None
    parts = group["transfer"]
    return LineNoise(
        transfer=tuple(parts[str(section)][:] for section in range(len(parts))),
        cross=group["cross"][:],
        own=group["own"][:],
        error=group["error"][:],
    )


def _blocks(source: Any, name: str, plan: MatrixPlan) -> tuple[Singles, ...]:
    return tuple(source[f"{name}/{block}"][:] for block in range(plan.layout.row_blocks))
