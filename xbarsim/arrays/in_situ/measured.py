"""Arrays whose conductances were measured, or written by an earlier run: read from files in the place
of a write.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xbarsim.arrays.digital_scale import ScaleShift
from xbarsim.arrays.in_situ.conductance_files import (
    INDEX,
    FileEntry,
    MatrixEntry,
    TileEntry,
    check_hashes,
    check_matrix,
    entry_of,
    read_conductances,
    read_numbers,
)
from xbarsim.arrays.in_situ.encoding import Encoded
from xbarsim.arrays.in_situ.layout import Layout, layout_of
from xbarsim.arrays.in_situ.programmed import MatrixPlan
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyFloats, Floats
from xbarsim.base.errors import ConfigError
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Counts, Programmed


@dataclass(frozen=True)
class MeasuredCells:
    """The cells of a matrix as files state them.

    maximum : S, of the window of the device
    digest : hex, of all of their files
    """

    directory: Path
    entry: MatrixEntry
    layout: Layout
    maximum: float
    digest: str

    @property
    def tiles(self) -> list[TileEntry]:
        """In the order of their numbers.

        Raises
        ------
        ConfigError : not all of them, or without the files that are needed
        """
        tiles = sorted(self.entry.tiles, key=lambda tile: tile.tile)
        found = [tile.tile for tile in tiles]
        missing = sorted(set(range(self.layout.tiles)) - set(found))
        name = f"{self.directory / INDEX}: {self.entry.matrix}"
        if missing or len(found) != self.layout.tiles:
            first = missing[0] if missing else found[-1]
            raise ConfigError(
                f"{name} has {len(found)} tiles, and its mapping {self.layout.tiles}; the first "
                f"that is missing or too many is tile {first}"
            )
        for tile in tiles:
            if tile.target is None or tile.achieved is None:
                raise ConfigError(
                    f"{name} states no target and achieved conductances of tile {tile.tile}, which "
                    "are needed (netlists cannot be read back); export it as npy or csv"
                )
        return tiles

    def programmed(self, block: int) -> Programmed:
        """Cells (tiles, word_lines, bit_lines) of a row block: as they are read; nothing is
        written.
        """
        count = self.layout.tiles_per_row_block
        tiles = self.tiles[block * count : (block + 1) * count]
        counts = Counts()
        if self.entry.write:
            counts = Counts(**self.entry.write[block].model_dump())
        return Programmed(
            conductance=self._stack([tile.read or tile.achieved for tile in tiles]),
            target=self._stack([tile.aimed or tile.target for tile in tiles]),
            achieved=self._stack([tile.achieved for tile in tiles]),
            counts=counts,
        )

    def encoded(self) -> Encoded:
        """What the cells were to hold, and how weights are read off them."""
        entry = self.entry
        slices = entry.slices
        signs = entry.signs
        value = read_numbers(self.directory, entry.value, (slices * signs, entry.outputs))
        aim = None
        if any(tile.seen is not None for tile in self.tiles):
            aim = self._planes([tile.seen for tile in self.tiles])
        return Encoded(
            target=self._planes([tile.target for tile in self.tiles]),
            value=value.reshape(slices, signs, entry.outputs),
            offset=read_numbers(self.directory, entry.offset, (1, entry.outputs))[0],
            clip=read_numbers(self.directory, entry.clip, (1, entry.outputs))[0],
            clipped=entry.clipped,
            step=entry.step_s,
            aim=aim,
        )

    def shift(self) -> ScaleShift | None:
        """Scale that was shifted into the weights, None without."""
        if self.entry.divisor is None:
            return None
        divisor = read_numbers(self.directory, self.entry.divisor, (1, self.entry.inputs))[0]
        return ScaleShift(self.entry.scale_shift, divisor.astype(np.float32), self.entry.unshifted)

    def _planes(self, files: list[FileEntry | None]) -> Floats:
        """(slices, signs, inputs, outputs) S of a file of every tile."""
        layout = self.layout
        count = layout.tiles_per_row_block
        blocks = []
        for block in range(layout.row_blocks):
            tiles = self._stack(files[block * count : (block + 1) * count])
            rows = layout.rows(block)
            length = rows.stop - rows.start
            blocks.append(layout.from_tiles(tiles.transpose(0, 2, 1), length))
        by_output = np.concatenate(blocks, axis=2)  # (planes, outputs, inputs)
        shape = (self.entry.slices, self.entry.signs, layout.inputs, layout.outputs)
        return np.ascontiguousarray(by_output.transpose(0, 2, 1)).reshape(shape)

    def _stack(self, files: list[FileEntry | None]) -> Floats:
        shape = (self.layout.word_lines, self.layout.bit_lines)
        found = []
        for entry in files:
            if entry is None:
                raise ConfigError(
                    f"{self.directory / INDEX}: {self.entry.matrix} states conductances of some "
                    "tiles and not of others; state them of all"
                )
            found.append(read_conductances(self.directory, entry, shape, self.maximum))
        return np.stack(found)


def measured_plan(
    name: str,
    index: int,
    weight: AnyFloats,
    settings: InSituSettings,
    device: DeviceModel,
    seed: int,
) -> MatrixPlan:
    """The plan of a matrix whose cells lie in the files of `mapping.conductances`; arguments as of
    `plan_matrix`.

    Raises
    ------
    ConfigError : missing files, those of another matrix, mapping or device
    ShapeError, OutOfRangeError : files that hold no such conductances
    """
    mapping = settings.mapping
    directory = Path(mapping.conductances or "")
    entry = entry_of(directory, name)
    check_matrix(directory, entry, weight, mapping)
    window = (float(device.conductance_min), float(device.conductance_max))
    if window != (entry.minimum_s, entry.maximum_s):
        raise ConfigError(
            f"{directory}: weights of {name} were mapped to {entry.minimum_s:g} to "
            f"{entry.maximum_s:g} S; the window of {device.name} is {window[0]:g} to {window[1]:g} "
            "S; allowed: a device of the same window"
        )
    layout = layout_of(entry.inputs, entry.outputs, mapping)
    cells = MeasuredCells(
        directory=directory,
        entry=entry,
        layout=layout,
        maximum=window[1],
        digest=check_hashes(directory, entry),
    )
    shift = cells.shift()
    by_input = np.asarray(weight, np.float64).T
    if shift is not None:
        by_input = by_input * shift.divisor.astype(np.float64)[:, None]
    return MatrixPlan(
        name=name,
        index=index,
        seed=seed,
        settings=settings,
        device=device,
        weight=by_input.T,
        encoded=cells.encoded(),
        layout=layout,
        shift=shift,
        cells=cells.programmed,
        cells_sha256=cells.digest,
    )
