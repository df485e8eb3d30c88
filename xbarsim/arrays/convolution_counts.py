"""How many square arrays the convolutions of a network take, when sub-images are multiplied at once.

Every sub-image of a layer has arrays of its own (all are read together): rows are its pixels times
input channels, columns its output positions times output channels times 2, for the signs, with the
kernel in each.  Two choices of the sub-image are counted:

all channels   the largest whose pixels of all input channels, and whose columns, fit one array; a
               single output position that does not is cut into several arrays
by channel     the largest whose pixels of one channel fit the rows, and its positions of one output
               channel the columns; every input channel then has arrays of its own
"""

from collections.abc import Iterable
from dataclasses import dataclass

from xbarsim.base.errors import OutOfRangeError

SIGNS = 2  # columns of a weight


@dataclass(frozen=True)
class ConvolutionShape:
    """A convolution on square images; side : output positions of a side"""

    side: int
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1

    def __post_init__(self) -> None:
        if min(self.side, self.inputs, self.outputs, self.kernel, self.stride) < 1:
            raise OutOfRangeError(f"{self}: every size is 1 or more")

    def arrays(self, lines: int, *, by_channel: bool = False) -> int:
        """Arrays of `lines` x `lines` cells, with kernels of all channels (3D)."""
        chosen = self
        if by_channel:
            chosen = ConvolutionShape(self.side, 1, 1, self.kernel, self.stride)
        positions = chosen._positions(lines)
        sub_images = -(-self.side // positions)
        rows, columns = self._lines(positions)
        blocks = -(-rows // lines)
        if by_channel:
            of_channel, _ = chosen._lines(positions)
            blocks = self.inputs * -(-of_channel // lines)
        return sub_images**2 * blocks * -(-columns // lines)

    def separated_arrays(self, lines: int) -> int:
        """Likewise with one kernel per channel (2D) and then a sum over channels in every position
        (1D); of one channel there is one choice."""
        of_channel = ConvolutionShape(self.side, 1, 1, self.kernel, self.stride)
        sums = ConvolutionShape(self.side, self.inputs, self.outputs, kernel=1)
        return self.inputs * of_channel.arrays(lines) + sums.arrays(lines)

    def _positions(self, lines: int) -> int:
        """Of a side of a sub-image."""
        positions = 1
        while positions < self.side and max(self._lines(positions + 1)) <= lines:
            positions += 1
        return positions

    def _lines(self, positions: int) -> tuple[int, int]:
        """(rows, columns) of a sub-image with so many output positions of a side."""
        pixels = (positions - 1) * self.stride + self.kernel
        return pixels**2 * self.inputs, positions**2 * self.outputs * SIGNS


def saving(
    layers: Iterable[ConvolutionShape],
    separated: Iterable[bool],
    lines: int,
    *,
    by_channel: bool = False,
) -> float:
    """Share of the arrays of 3D kernels that a network saves, some of whose layers are separated."""
    before = 0
    after = 0
    for shape, is_separated in zip(layers, separated, strict=True):
        whole = shape.arrays(lines, by_channel=by_channel)
        before += whole
        after += shape.separated_arrays(lines) if is_separated else whole
    return 1 - after / before
