"""Names of random streams: a number depends on seed, matrix, tile, purpose and write alone."""

import dataclasses

import numpy as np

from xbarsim.base.array_types import Keys

# Purposes of random streams: SeedSequence(seed, spawn_key=(matrix, tile, purpose)).
PROGRAMMING, DEVICE, CYCLE, RELAXATION, DRIFT, STUCK, TELEGRAPH, READS, WHITE, FLICKER = range(10)
READ_BACK = 30  # of cells that were written, to write some again
# Of what stands beside the tiles: converters, and what is read to follow drift.
CONVERTERS = 20
REFERENCE = 21
DUMMY = 22


@dataclasses.dataclass(frozen=True)
class Streams:
    """Names the random numbers of consecutive tiles."""

    seed: int
    matrix: int = 0
    first_tile: int = 0

    def beyond(self, tiles: int) -> "Streams":
        """Those of the tiles after so many."""
        return dataclasses.replace(self, first_tile=self.first_tile + tiles)

    def of(self, tiles: int, purpose: int, write: int = 0) -> list[np.random.SeedSequence]:
        """SeedSequences of `tiles` tiles.

        write : number of the write, for what every write draws anew
        """
        key: tuple[int, ...] = (purpose,)
        if write:
            key = (purpose, write)
        first = self.first_tile
        return [
            np.random.SeedSequence(self.seed, spawn_key=(self.matrix, tile, *key))
            for tile in range(first, first + tiles)
        ]

    def generators(self, tiles: int, purpose: int, write: int = 0) -> list[np.random.Generator]:
        """A generator for each of `tiles` tiles."""
        sequences = self.of(tiles, purpose, write)
        return [np.random.Generator(np.random.PCG64(sequence)) for sequence in sequences]

    def keys(self, tiles: int, purpose: int, write: int = 0) -> Keys:
        """(tiles,) uint64 for the kernels."""
        sequences = self.of(tiles, purpose, write)
        return np.array([sequence.generate_state(1, np.uint64)[0] for sequence in sequences])


def streams_of(streams: Streams | int) -> Streams:
    """Streams, of an int those of this seed."""
    if isinstance(streams, Streams):
        return streams
    return Streams(streams)
