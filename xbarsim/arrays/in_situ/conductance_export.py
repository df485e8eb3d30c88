"""Programmed arrays written as files, tile by tile; `conductance_files` says what they are."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from xbarsim.arrays.in_situ.conductance_files import (
    MAPPED,
    FileEntry,
    MatrixEntry,
    TileEntry,
    WriteEntry,
    weights_sha256,
)
from xbarsim.arrays.in_situ.programmed import MatrixPlan
from xbarsim.base.array_types import AnyFloats, Floats
from xbarsim.base.cache import sha256_of
from xbarsim.base.errors import OutputError
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.circuit.wires import wire_segments
from xbarsim.devices.programmed import Programmed

SIEMENS = "S"
PER_SIEMENS = "weight/S"
WEIGHT = "weight"


class Form(StrEnum):
    """What a tile is written as."""

    NPY = "npy"
    CSV = "csv"
    NETLIST = "netlist"


@dataclass(frozen=True)
class _Place:
    """Where the files of a matrix go: `directory / name`; suffix : of its numbers"""

    directory: Path
    name: str
    suffix: str

    def numbers(self, what: str, values: AnyFloats, unit: str) -> FileEntry:
        """Write a matrix."""
        if self.suffix == "csv":
            text = io.StringIO()
            np.savetxt(text, values, delimiter=",", fmt="%.17g")
            return self.content(f"{what}.csv", text.getvalue().encode(), unit)
        image = io.BytesIO()
        np.save(image, np.ascontiguousarray(values))
        return self.content(f"{what}.npy", image.getvalue(), unit)

    def content(self, name: str, content: bytes, unit: str) -> FileEntry:
        """Write a file; an index that is written after it says that it is whole."""
        place = Path(self.name) / name
        path = self.directory / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written ({error.strerror}); free space there or name another place"
            ) from None
        return FileEntry(
            file=place.as_posix(), unit=unit, sha256=hashlib.sha256(content).hexdigest()
        )


def export_matrix(
    plan: MatrixPlan,
    weight: AnyFloats,
    directory: Path,
    form: Form,
    done: Callable[[int], object],
) -> MatrixEntry:
    """Program the cells of a plan and write them; returns the entry of the index.

    weight : (outputs, inputs) of the checkpoint;  done : is called with the tiles of each row block
    """
    place = _Place(directory, plan.name, "csv" if form is Form.CSV else "npy")
    layout = plan.layout
    encoded = plan.encoded
    mapping = plan.settings.mapping
    slices, signs, _, outputs = encoded.target.shape
    tiles: list[TileEntry] = []
    writes: list[WriteEntry] = []
    for block in range(layout.row_blocks):
        cells = plan.program(block)
        asked = _tiles_of_block(plan, encoded.target, block)
        seen = None if encoded.aim is None else _tiles_of_block(plan, encoded.aim, block)
        for in_row in range(layout.tiles_per_row_block):
            writer = _TileWriter(plan, cells, asked, seen, place, in_row)
            tiles.append(writer.write(block, form))
        writes.append(WriteEntry(**vars(cells.counts)))
        done(layout.tiles_per_row_block)
    shift = plan.shift
    divisor = None
    if shift is not None:
        divisor = place.numbers("divisor", shift.divisor[None], "1")
    return MatrixEntry(
        matrix=plan.name,
        weights_sha256=weights_sha256(weight),
        inputs=layout.inputs,
        outputs=layout.outputs,
        slices=slices,
        signs=signs,
        minimum_s=float(plan.device.conductance_min),
        maximum_s=float(plan.device.conductance_max),
        step_s=float(encoded.step),
        clipped=encoded.clipped,
        value=place.numbers("value", encoded.value.reshape(-1, outputs), PER_SIEMENS),
        offset=place.numbers("offset", encoded.offset[None], WEIGHT),
        clip=place.numbers("clip", encoded.clip[None], WEIGHT),
        divisor=divisor,
        unshifted=0 if shift is None else shift.unshifted,
        write=tuple(writes),
        tiles=tuple(tiles),
        **{key: getattr(mapping, key) for key in MAPPED},
    )


def _tiles_of_block(plan: MatrixPlan, planes: Floats, block: int) -> Floats:
    """(tiles, word lines, bit lines) of (slices, signs, inputs, outputs), as they are written."""
    layout = plan.layout
    of_block = planes[:, :, layout.rows(block)].reshape(layout.planes, -1, layout.outputs)
    low = plan.device.conductance_min
    tiles: Floats = layout.to_tiles(np.asarray(of_block, np.float64), low)
    return tiles


@dataclass(frozen=True)
class _TileWriter:
    """One tile of a row block.

    asked, seen : (tiles, word lines, bit lines) S, see `conductance_files.TileEntry`
    """

    plan: MatrixPlan
    cells: Programmed
    asked: Floats
    seen: Floats | None
    place: _Place
    in_row: int

    def write(self, block: int, form: Form) -> TileEntry:
        """Write its files."""
        layout = self.plan.layout
        number = block * layout.tiles_per_row_block + self.in_row
        where = layout.place_of(number)
        files = self._netlist(number) if form is Form.NETLIST else self._numbers(number)
        plane_slice = None
        plane_sign = None
        if where.plane is not None:
            signs = self.plan.encoded.target.shape[1]
            plane_slice, sign = divmod(where.plane, signs)
            plane_sign = "+-"[sign]
        return TileEntry.model_validate(
            {
                "tile": number,
                "row_block": where.row_block,
                "column_block": where.column_block,
                "slice": plane_slice,
                "sign": plane_sign,
                **files,
            }
        )

    def _numbers(self, number: int) -> dict[str, FileEntry]:
        tile = self.in_row
        target = self.asked[tile]
        aimed = self.cells.target[tile]
        achieved = self.cells.achieved[tile]
        read = self.cells.conductance[tile]
        found = {"target": target, "achieved": achieved}
        if self.seen is not None:
            found["seen"] = self.seen[tile]
        if not np.array_equal(aimed, target):
            found["aimed"] = aimed
        if not np.array_equal(read, achieved):
            found["read"] = read
        return {
            what: self.place.numbers(f"{number:05}.{what}", values, SIEMENS)
            for what, values in found.items()
        }

    def _netlist(self, number: int) -> dict[str, FileEntry]:
        """A netlist of the tile with its wires, every word line at the read voltage."""
        conductance = self.cells.conductance[self.in_row]
        m, n = conductance.shape
        word: AnyFloats = np.zeros((m, n))
        bit: AnyFloats = np.zeros((m, n))
        wires = self.plan.settings.solved_wires
        if wires is not None:
            word, bit = wire_segments(wires, m, n)
        volts = np.full(m, self.plan.device.read_voltage)
        place = Path(self.place.name) / f"{number:05}.cir"
        path = Crossbar(conductance, word, bit).to_spice(self.place.directory / place, volts)
        entry = FileEntry(file=place.as_posix(), unit="netlist of ngspice", sha256=sha256_of(path))
        return {"netlist": entry}
