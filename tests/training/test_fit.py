"""Training in floating point: gradients against differences, and a task that can be learned."""

import json

import numpy as np
import pytest
from tiny_images import CLASSES, MIXED, PERCEPTRON, tiny_images, write_images
from typer.testing import CliRunner

from xbarsim.base.errors import OutOfRangeError, ShapeError, TaskError
from xbarsim.cli.app import app
from xbarsim.models.image_config import image_config
from xbarsim.models.image_network import normalised
from xbarsim.training.command import train_files
from xbarsim.training.fit import Schedule, initial_tensors, train
from xbarsim.training.gradients import Pass, Rounded, cross_entropy

IMAGES, TARGETS = tiny_images(12)
PIXELS = IMAGES.reshape(12, -1)


def loss_of(config, tensors):
    one = Pass(config, tensors, Rounded())
    loss, gradient = cross_entropy(one.forward(normalised(config, PIXELS)), TARGETS)
    return loss, gradient, one


@pytest.mark.parametrize("content", [MIXED, PERCEPTRON], ids=["mixed", "perceptron"])
def test_gradients_against_central_differences(content):
    config = image_config(content)
    tensors = {name: value.astype(np.float64) for name, value in initial_tensors(config, 1).items()}
    rng = np.random.default_rng(0)
    for name in tensors:
        tensors[name] = tensors[name] + 0.1 * rng.standard_normal(tensors[name].shape)
    _, gradient, one = loss_of(config, tensors)
    one.back(gradient)
    trainable = {name for name in tensors if "running" not in name}
    assert set(one.gradients) == trainable
    for name in trainable:
        place = np.unravel_index(np.argmax(np.abs(one.gradients[name])), tensors[name].shape)
        step = 1e-3
        around = []
        for sign in (1, -1):
            moved = dict(tensors)
            moved[name] = tensors[name].copy()
            moved[name][place] += sign * step
            around.append(loss_of(config, moved)[0])
        expected = (around[0] - around[1]) / (2 * step)
        bound = {"rtol": 2e-2, "atol": 2e-6}  # kinks of ReLU and maxima; images are float32
        np.testing.assert_allclose(one.gradients[name][place], expected, **bound, err_msg=name)


@pytest.mark.parametrize("weights", ["float", "binary", "ternary"])
def test_a_network_learns_where_images_are_bright(weights):
    images, targets = tiny_images(300)
    trained = train(
        MIXED | {"weights": weights},
        images.reshape(300, -1),
        targets,
        Schedule(epochs=15, batch=20, rate=1e-2),
    )
    others, expected = tiny_images(100, seed=1)
    pixels = others.reshape(100, -1).astype(np.int64)
    values = trained.network().forward(pixels, np.ones(pixels.shape, bool))
    assert trained.losses[-1] < trained.losses[0]
    assert np.mean(values.argmax(axis=1) == expected) > 0.9


def test_the_same_seed_gives_the_same_bits():
    networks = [train(PERCEPTRON, PIXELS, TARGETS, Schedule(epochs=2, batch=5)) for _ in range(2)]
    for name, tensor in networks[0].tensors.items():
        np.testing.assert_array_equal(tensor, networks[1].tensors[name])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="12 images with 11 classes"):
        train(PERCEPTRON, PIXELS, TARGETS[:-1])
    with pytest.raises(OutOfRangeError, match=f"outputs 0 to {CLASSES - 1}"):
        train(PERCEPTRON, PIXELS, TARGETS + 1)
    with pytest.raises(OutOfRangeError, match="rates between 0 and 1"):
        Schedule(rate=2.0)


def test_the_command_writes_a_network_and_its_accuracy(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PERCEPTRON))
    images = write_images(tmp_path / "images.npz")
    words = ["train", str(tmp_path / "config.json"), str(images), "--out", str(tmp_path / "net")]
    shown = CliRunner().invoke(app, [*words, "--epochs", "2", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["images"] == 48
    assert found["accuracy"]["n"] == 12
    scored = CliRunner().invoke(app, ["evaluate", str(tmp_path / "net"), str(images), "--json"])
    assert json.loads(scored.stdout)["metrics"][0]["n"] == 60
    text = CliRunner().invoke(app, [*words, "--epochs", "0"])
    assert "trained on 48 images" in text.stdout
    content = PERCEPTRON | {"labels": ["0", "1", "third"]}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(TaskError, match="has a class '2', which is none of the network's"):
        train_files(tmp_path / "config.json", images, tmp_path / "net")
