"""Arrays of convolutions, against one that lays out every kernel cell by cell."""

import pytest

from xbarsim.arrays.convolution_counts import SIGNS, ConvolutionShape, saving
from xbarsim.base.errors import OutOfRangeError


def laid_out(shape, lines):
    """Every cell of every sub-image has a row and a column; arrays are those that hold one."""
    best = None
    for positions in range(1, shape.side + 1):
        pixels = (positions - 1) * shape.stride + shape.kernel
        fits = pixels**2 * shape.inputs <= lines and positions**2 * shape.outputs * SIGNS <= lines
        if positions == 1 or fits:
            best = positions
    pixels = (best - 1) * shape.stride + shape.kernel
    arrays = set()
    for row in range(best):
        for column in range(best):
            for down in range(shape.kernel):
                for across in range(shape.kernel):
                    pixel = (row * shape.stride + down) * pixels + column * shape.stride + across
                    for channel in range(shape.inputs):
                        for output in range(shape.outputs * SIGNS):
                            line = (row * best + column) * shape.outputs * SIGNS + output
                            word = pixel * shape.inputs + channel
                            arrays.add((word // lines, line // lines))
    sub_images = -(-shape.side // best)
    return sub_images**2 * len(arrays)


@pytest.mark.parametrize(
    "shape",
    [
        ConvolutionShape(9, 1, 1),
        ConvolutionShape(9, 3, 4),
        ConvolutionShape(6, 5, 20),
        ConvolutionShape(5, 2, 3, stride=2),
        ConvolutionShape(4, 30, 7, kernel=1),
    ],
)
@pytest.mark.parametrize("lines", [16, 40])
def test_arrays_of_kernels_of_all_channels(shape, lines):
    assert shape.arrays(lines) == laid_out(shape, lines)


def test_counts_by_hand():
    # 128 lines, one channel: 8 x 8 positions fill the columns, 10 x 10 pixels fit the rows
    assert ConvolutionShape(32, 1, 1).arrays(128) == 16
    # 64 channels to 64: 576 rows are 5 arrays, 128 columns one, for each of 1,024 positions
    assert ConvolutionShape(32, 64, 64).arrays(128) == 5120
    # separated: 64 channels of 16 sub-images, and a sum of 64 rows in each of 1,024 positions
    assert ConvolutionShape(32, 64, 64).separated_arrays(128) == 64 * 16 + 1024
    # by channel: 64 input channels, 16 sub-images, 64 x 64 x 2 columns are 64 arrays
    assert ConvolutionShape(32, 64, 64).arrays(128, by_channel=True) == 64 * 16 * 64
    one = [ConvolutionShape(32, 64, 64)]
    assert saving(one, [True], 128) == 1 - 2048 / 5120
    assert saving(one, [False], 128) == 0
    with pytest.raises(OutOfRangeError, match="every size is 1 or more"):
        ConvolutionShape(0, 1, 1)
