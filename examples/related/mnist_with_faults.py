"""MNIST on a four-layer CNN with stuck cells (Jin et al.), on a network that was not seen.

Abstract: it loses nothing with 10 % of the cells stuck and at most 3 points with 20 %, with target
sparsifying.  Here: a CNN of four matrices trained with the map of its cells, half of them stuck on, or
all off; without sparsifying.

    python mnist_with_faults.py [SET [TRAINING_IMAGES [SEEDS]]]
"""

import sys

import numpy as np

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


chips = [of_cnn(seed) for seed in seeds]
for name in chips[0]:
    values = np.array([chip[name] for chip in chips])
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    print(f"{name}: {values.mean():.2f} +- {spread:.2f}")
