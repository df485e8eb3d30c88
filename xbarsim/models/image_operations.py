"""Operations on images (b, height, width, channels): patches, pooling, kernels as matrices."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Singles


def padded(images: Singles, padding: int) -> Singles:
    """Images with zeros on each side."""
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return np.pad(images, around) if padding else images


def patches(images: Singles, height: int, width: int, stride: int) -> Singles:
    """Every window of images (b, h, w, c), `stride` pixels apart: (b, rows, columns, height * width *
    c), the channels of a pixel side by side."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (height, width), axis=(1, 2))
    chosen = windows[:, ::stride, ::stride]  # (b, rows, columns, c, height, width)
    ordered = chosen.transpose(0, 1, 2, 4, 5, 3)
    return np.ascontiguousarray(ordered).reshape(*ordered.shape[:3], -1)


def largest_of(images: Singles, size: int) -> Singles:
    """The largest of every window of size x size pixels."""
    b, height, width, channels = images.shape
    windows = images.reshape(b, height // size, size, width // size, size, channels)
    found: Singles = windows.max(axis=(2, 4))
    return found


def mean_of(images: Singles, size: int) -> Singles:
    """The mean of every window of size x size pixels."""
    b, height, width, channels = images.shape
    windows = images.reshape(b, height // size, size, width // size, size, channels)
    found: Singles = windows.mean(axis=(2, 4), dtype=np.float32)
    return found


def kernel_matrix(weight: Singles, groups: int) -> Singles:
    """(channels, kernel * kernel * inputs) of PyTorch's (channels, inputs / groups, kernel, kernel);
    0 where a group does not see a channel."""
    channels, of_group, height, width = weight.shape
    whole = np.zeros((channels, height, width, of_group * groups), np.float32)
    per_group = channels // groups
    for group in range(groups):
        outputs = slice(group * per_group, (group + 1) * per_group)
        inputs = slice(group * of_group, (group + 1) * of_group)
        whole[outputs, :, :, inputs] = weight[outputs].transpose(0, 2, 3, 1)
    return whole.reshape(channels, -1)


@dataclass(frozen=True)
class Window:
    """The part of an image that one product with an array makes outputs of.

    outputs : positions of a side that it makes;  pixels : of a side that it reads
    """

    outputs: int
    pixels: int

    @classmethod
    def of(cls, outputs: int, kernel: int, stride: int) -> "Window":
        return cls(outputs, (outputs - 1) * stride + kernel)

    @classmethod
    def largest(
        cls, word_lines: int, channels: int, kernel: int, stride: int, most: int
    ) -> "Window":
        """The largest whose pixels of all channels find word lines, up to `most` outputs of a side; a
        single output where even its kernel does not."""
        outputs = 1
        while outputs < most:
            wider = cls.of(outputs + 1, kernel, stride)
            if wider.pixels**2 * channels > word_lines:
                break
            outputs += 1
        return cls.of(outputs, kernel, stride)


def repeated_kernel(weight: Singles, kernel: int, stride: int, window: Window) -> Singles:
    """The kernel once for every output position of a sub-image, along the diagonal.

    weight : (channels, kernel * kernel * inputs)
    Returns (outputs² * channels, pixels² * inputs): all outputs of a sub-image at once.
    """
    channels = len(weight)
    inputs = weight.shape[1] // kernel**2
    kernels = weight.reshape(channels, kernel, kernel, inputs)
    side = window.outputs
    pixels = window.pixels
    whole = np.zeros((side, side, channels, pixels, pixels, inputs), np.float32)
    for row in range(side):
        for column in range(side):
            down = slice(row * stride, row * stride + kernel)
            across = slice(column * stride, column * stride + kernel)
            whole[row, column, :, down, across] = kernels
    return whole.reshape(side**2 * channels, pixels**2 * inputs)
