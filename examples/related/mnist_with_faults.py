"""MNIST with cells that do not respond: two published figures, on networks that were not seen.

Li et al. (2018), abstract: a 128 x 64 array of 1T1R cells trained in place reaches 91.71 % with 11 % of
the devices not responding.  Here: 64-54-10 on images of 8 x 8 (means of 4 x 4 pixels), pairs of cells,
pulses by counts, steps of 1 uS in 1 to 100 uS with noise of 30 %; cells that do not respond stay at
either end.  Jin et al., abstract: a four-layer CNN loses nothing with 10 % of the cells stuck and at
most 3 points with 20 %, with target sparsifying.  Here: a CNN of four matrices trained with the map of
its cells, half of them stuck on, or all off; without sparsifying.

    python mnist_with_faults.py [SET [TRAINING_IMAGES [SEEDS]]]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import xbarsim
from xbarsim.models.image_checkpoint import network_of
from xbarsim.tasks.image_files import load_image_task
from xbarsim.training.defects import (
    DefectAware,
    DefectMap,
    chosen_columns,
    columns_by_defects,
    on_defects,
)
from xbarsim.training.fit import Schedule, train
from xbarsim.training.in_situ import InSituNetwork, Pulsing

DEVICE = """
description = "pulses of a parameter"
[read]
voltage_v = 0.1
source = "a parameter of this example"
[conductance]
minimum_us = 1.0
maximum_us = 100.0
valid_range_us = [1.0, 100.0]
source = "a parameter of this example"
[write_verify]
step_up_us = 1.0
step_down_us = 1.0
step_relative_sigma = 0.3
tolerance_us = 1.0
maximum_pulses = 1000
source = "a parameter of this example"
[stuck]
on_rate = {rate}
off_rate = {rate}
source = "a parameter of this example"
"""
task = load_image_task(sys.argv[1] if len(sys.argv) > 1 else "mnist").split()
training = task.training().limited(int(sys.argv[2]) if len(sys.argv) > 2 else 20_000)
seeds = range(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
tested = task.held_out()
PIXELS = np.array(training.pixels(), np.uint8)
TESTED = np.array(tested.pixels(), np.uint8)
CNN = {
    "model_type": "image-network",
    "image": [28, 28, 1],
    "steps": [
        {"kind": "convolution", "name": "first", "channels": 8, "kernel": 3, "stride": 2},
        {"kind": "relu"},
        {"kind": "convolution", "name": "second", "channels": 16, "kernel": 3, "stride": 2},
        {"kind": "relu"},
        {"kind": "dense", "name": "third", "outputs": 64},
        {"kind": "relu"},
        {"kind": "dense", "name": "last", "outputs": len(task.classes)},
    ],
}


def of_8_by_8(pixels):
    """Means of 4 x 4 pixels, with two of background on every side."""
    images = np.pad(pixels.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
    return images.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64).astype(np.uint8)


def in_place(rate: float, seed: int) -> float:
    """Percent right after training in the array."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "cell.toml"
        path.write_text(DEVICE.format(rate=rate / 2))
        device = xbarsim.load_device(path)
    pulsing = Pulsing(rate=0.1, batch=20, epochs=2, seed=seed)
    network = InSituNetwork.of((64, 54, len(task.classes)), device, pulsing)
    network.train(of_8_by_8(PIXELS), training.targets)
    return 100 * np.mean(network.classes_of(of_8_by_8(TESTED)) == tested.targets)


def accuracy(tensors) -> float:
    """Percent right of the CNN."""
    right = 0
    for start in range(0, len(TESTED), 500):
        part = TESTED[start : start + 500].astype(np.int64)
        values = network_of(CNN, tensors).forward(part, np.ones(part.shape, bool))
        right += np.count_nonzero(values.argmax(1) == tested.targets[start : start + 500])
    return 100 * right / len(TESTED)


def of_cnn(seed: int) -> dict[str, float]:
    """Of the CNN with stuck cells, trained with and without their map."""
    first = train(CNN, PIXELS, training.targets, Schedule(epochs=2, seed=seed))
    found = {"CNN without defects": accuracy(first.tensors)}
    shapes = {}
    for name in ("first", "second", "third", "last"):
        weight = first.tensors[f"{name}.weight"]
        shapes[name] = weight.reshape(len(weight), -1).shape
    scales = {name: 4 * float(first.tensors[f"{name}.weight"].std()) for name in shapes}
    for rate in (0.1, 0.2):
        for what, on in (("half on", rate / 2), ("all off", 0.0)):
            maps = {
                name: DefectMap.random(*shape, on, rate - on, seed=10 * seed + number)
                for number, (name, shape) in enumerate(shapes.items())
            }
            every = chosen_columns(maps, columns_by_defects(maps))
            form = DefectAware(
                maps, scales, every, chosen_columns(maps, []), np.random.default_rng(seed)
            )
            schedule = Schedule(epochs=1, seed=seed)
            again = train(CNN, PIXELS, training.targets, schedule, form=form, tensors=first.tensors)
            name = f"CNN, {100 * rate:g} % stuck, {what}"
            found[f"{name}, unaware"] = accuracy(on_defects(first.tensors, maps, scales))
            found[f"{name}, with the map"] = accuracy(on_defects(again.tensors, maps, scales))
    return found


for rate in (0.0, 0.11):
    values = np.array([in_place(rate, seed) for seed in seeds])
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    print(f"trained in place, {100 * rate:g} % stuck: {values.mean():.2f} +- {spread:.2f}")
chips = [of_cnn(seed) for seed in seeds]
for name in chips[0]:
    values = np.array([chip[name] for chip in chips])
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    print(f"{name}: {values.mean():.2f} +- {spread:.2f}")
