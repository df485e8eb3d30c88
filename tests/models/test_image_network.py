"""Networks of images: every step against loops over pixels, on the list of steps, from files."""

import json

import numpy as np
import pytest
from tiny_images import MIXED, PERCEPTRON, mixed_tensors, tiny_images

from xbarsim.base.errors import CheckpointError, ShapeError
from xbarsim.models.graph import Kind
from xbarsim.models.image_checkpoint import load_image_network, network_of, save_image_network
from xbarsim.models.image_network import ImageNetwork
from xbarsim.models.image_operations import Window
from xbarsim.models.quantised_weights import rounded

PIXELS = tiny_images(4)[0].reshape(4, -1).astype(np.int64)
MASK = np.ones(PIXELS.shape, bool)


def convolve(images, weight, bias, stride, padding, groups):
    """Pixel by pixel, in float64; weight (out, in / groups, k, k) of PyTorch"""
    images = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    b, height, width, channels = images.shape
    outputs, of_group, k, _ = weight.shape
    rows = (height - k) // stride + 1
    columns = (width - k) // stride + 1
    found = np.zeros((b, rows, columns, outputs))
    for output in range(outputs):
        first = output // (outputs // groups) * of_group
        for row in range(rows):
            for column in range(columns):
                part = images[
                    :, row * stride : row * stride + k, column * stride : column * stride + k
                ]
                seen = part[..., first : first + of_group].transpose(0, 3, 1, 2)
                found[:, row, column, output] = (seen * weight[output]).sum(axis=(1, 2, 3))
    return found + bias


def mixed_by_hand(pixels, tensors):
    """The network MIXED."""
    tensors = {name: value.astype(float) for name, value in tensors.items()}
    x = (pixels.reshape(-1, 6, 6, 2) / 255 - 0.4) / 0.3
    x = convolve(x, tensors["first.weight"], tensors["first.bias"], 1, 1, 1)
    deviation = np.sqrt(tensors["norm.running_var"] + 1e-3)
    x = (x - tensors["norm.running_mean"]) / deviation * tensors["norm.weight"] + tensors[
        "norm.bias"
    ]
    x = np.maximum(x, 0)
    x = np.max([x[:, i::2, j::2] for i in range(2) for j in range(2)], axis=0)
    x = np.maximum(convolve(x, tensors["apart.weight"], 0, 1, 1, 2) + x, 0)
    x = convolve(x, tensors["strided.weight"], tensors["strided.bias"], 1, 0, 1)
    x = x.mean(axis=(1, 2))
    return x @ tensors["last.weight"].T + tensors["last.bias"]


@pytest.mark.parametrize("sub_image_rows", [None, 40, 50, 200])
def test_a_network_against_loops_over_pixels(sub_image_rows):
    tensors = mixed_tensors()
    network = network_of(MIXED, tensors)
    network = ImageNetwork(network.config, network_matrices(network), sub_image_rows)
    found = network.forward(PIXELS, MASK)
    np.testing.assert_allclose(found, mixed_by_hand(PIXELS, tensors), rtol=2e-5, atol=2e-6)


def network_matrices(network):
    """{name in config.json: matrix} of an im2col network, whose matrices are those."""
    names = ("first", "apart", "strided", "last")
    steps = ("layer.0.convolution", "layer.1.convolution", "layer.2.convolution", "layer.3.dense")
    return {name: network.matrix(step) for name, step in zip(names, steps, strict=True)}


def test_the_hook_sees_every_step_once_in_order_with_rows_of_its_own():
    network = network_of(MIXED, mixed_tensors())
    seen = []

    def hook(step, reference, *operands, rows):
        output = reference(*operands)
        if step.kind is Kind.MATRIX:
            assert operands[0].shape == (len(rows), step.inputs)
            assert output.shape == (len(rows), step.outputs)
        assert len(rows) == len(PIXELS) * step.rows
        assert len(output) == len(rows)
        np.testing.assert_array_equal(rows[:, 0], np.repeat(np.arange(len(PIXELS)), step.rows))
        seen.append(step)
        return output

    network.forward(PIXELS, MASK, hook)
    assert tuple(seen) == network.graph.steps
    assert [step.rows for step in seen if step.kind is Kind.MATRIX] == [36, 9, 4, 1]


def test_what_reads_a_sum_waits_for_both_of_its_parts():
    graph = network_of(MIXED, mixed_tensors()).graph
    links = [link.name for link in graph.step("layer.1.activation").after]
    assert links == ["layer.1.convolution", "layer.0.pooling"]


def test_sizes_of_sub_images():
    # 3 x 3 kernels of one channel: 11 outputs of a side read 13 x 13 = 169 pixels, 12 read 196.
    assert Window.largest(169, channels=1, kernel=3, stride=1, most=28) == Window(11, 13)
    assert Window.largest(168, channels=1, kernel=3, stride=1, most=28) == Window(10, 12)
    assert Window.largest(168, channels=1, kernel=3, stride=1, most=4) == Window(4, 6)
    assert Window.largest(100, channels=64, kernel=3, stride=1, most=28) == Window(1, 3)  # im2col


def test_binary_and_ternary_weights_are_the_best_of_their_kind():
    """Against a search over all thresholds: no other scale and set of weights is nearer."""
    weight = np.random.default_rng(0).standard_normal((3, 41))
    binary = rounded(weight, "binary")
    ternary = rounded(weight, "ternary")
    for row, one, three in zip(weight, binary, ternary, strict=True):
        scales = np.linspace(0, 2, 2001)
        errors = ((row - scales[:, None] * np.sign(row)) ** 2).sum(axis=1)
        assert ((row - one) ** 2).sum() <= errors.min() + 1e-6
        best = np.inf
        for threshold in np.abs(row):
            kept = np.abs(row) >= threshold
            held = np.where(kept, np.sign(row) * np.abs(row)[kept].mean(), 0)
            best = min(best, ((row - held) ** 2).sum())
        assert (
            (row - three) ** 2
        ).sum() <= 1.05 * best  # .7 of the mean is a rule for normal weights
        assert len(np.unique(np.abs(three))) == 2


@pytest.mark.parametrize("kind", ["binary", "ternary"])
def test_rounded_weights_are_those_of_every_matrix(kind):
    tensors = mixed_tensors()
    network = network_of(MIXED | {"weights": kind}, tensors)
    weight, _ = network.matrix("layer.2.convolution")
    expected = rounded(tensors["strided.weight"].reshape(3, -1), kind).reshape(3, 4, 2, 2)
    np.testing.assert_array_equal(weight, expected.transpose(0, 2, 3, 1).reshape(3, -1))


def test_a_directory_is_what_was_written(tmp_path):
    tensors = mixed_tensors()
    save_image_network(tmp_path, MIXED, tensors)
    loaded = load_image_network(tmp_path)
    expected = network_of(MIXED, tensors).forward(PIXELS, MASK)
    np.testing.assert_array_equal(loaded.forward(PIXELS, MASK), expected)
    with pytest.raises(ShapeError, match="images of 71 grey values; the network reads 6 x 6"):
        loaded.forward(PIXELS[:, 1:], MASK[:, 1:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": MIXED["steps"][:-1]}, "end with a dense step"),
        (
            {"steps": [{"kind": "max_pooling", "size": 4}]},
            "windows of 4 do not divide an image of 6",
        ),
        ({"steps": [{"kind": "batch_norm", "name": "n"}]}, "stands after no matrix"),
        ({"steps": [{"kind": "residual", "of": 0}]}, "step 0, residual: adds step 0"),
        ({"steps": [{"kind": "gelu"}]}, "steps.0"),
        ({"labels": ["a", "b"]}, "2 labels, but the last step has 3 outputs"),
        ({"wieghts": "binary"}, "unknown key 'wieghts'"),
        ({"image": [2, 2, 2]}, "kernel"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(tmp_path, change, said):
    save_image_network(tmp_path, MIXED, mixed_tensors())
    (tmp_path / "config.json").write_text(json.dumps(MIXED | change))
    with pytest.raises(CheckpointError, match=said):
        load_image_network(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("last.weight", None, "tensor 'last.weight' is missing"),
        ("last.weight", np.zeros((3, 4), np.float32), r"has shape \(3, 4\)"),
        ("more.weight", np.zeros(3, np.float32), "tensor 'more.weight' belongs to no step"),
        ("norm.running_var", -np.ones(4, np.float32), "negative variance"),
    ],
)
def test_tensors_of_another_network_are_refused(tmp_path, name, value, said):
    from safetensors.numpy import save_file

    save_image_network(tmp_path, MIXED, mixed_tensors())
    tensors = {key: one for key, one in mixed_tensors().items() if key != name}
    if value is not None:
        tensors[name] = value
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=said):
        load_image_network(tmp_path)


def test_a_perceptron_has_one_row_an_image():
    rng = np.random.default_rng(0)
    tensors = {
        "hidden.weight": rng.standard_normal((8, 72)).astype(np.float32),
        "last.weight": rng.standard_normal((3, 8)).astype(np.float32),
    }
    network = network_of(PERCEPTRON, tensors)
    assert [step.rows for step in network.graph.steps] == [1, 1, 1]
    channel_first = PIXELS.reshape(-1, 6, 6, 2).transpose(0, 3, 1, 2).reshape(4, -1) / 255
    hidden = np.maximum(channel_first @ tensors["hidden.weight"].T, 0)
    expected = hidden @ tensors["last.weight"].T
    np.testing.assert_allclose(network.forward(PIXELS, MASK), expected, rtol=1e-4, atol=1e-5)
