"""Training that knows of defects (An et al., Micromachines 13, 273, 2022): cell by cell, or by column?

784-300-10 on MNIST (or on SET, a directory of images of 28 x 28), pairs of cells, a tenth of the cells
stuck, half of them on.  Columns in the order of their defects: the first N are trained with the map of
their cells, the others with a record of how many are stuck (mixed), or as if none were (synapse-aware
alone).  Neuron-aware alone: every column has a record.  Assumed: full scale of a matrix at four
standard deviations of its weights; a record is the number of cells stuck on and off.

    python defect_aware_training.py [SET [TRAINING_IMAGES [SEEDS]]]
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

RATE = 0.1  # of the cells
HIDDEN = 300
task = load_image_task(sys.argv[1] if len(sys.argv) > 1 else "mnist").split()
training = task.training().limited(int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
seeds = range(int(sys.argv[3]) if len(sys.argv) > 3 else 3)
tested = task.held_out()
PIXELS = np.array(training.pixels(), np.uint8)
TESTED = np.array(tested.pixels())
CONTENT = {
    "model_type": "image-network",
    "image": [28, 28, 1],
    "steps": [
        {"kind": "dense", "name": "hidden", "outputs": HIDDEN},
        {"kind": "relu"},
        {"kind": "dense", "name": "last", "outputs": len(task.classes)},
    ],
}
COLUMNS = HIDDEN + len(task.classes)


def accuracy(tensors) -> float:
    """Percent of the images for testing."""
    values = network_of(CONTENT, tensors).forward(TESTED, np.ones(TESTED.shape, bool))
    return 100 * np.mean(values.argmax(axis=1) == tested.targets)


def results(seed: int) -> dict[str, float]:
    """Accuracy of every way to train, on one chip."""
    first = train(CONTENT, PIXELS, training.targets, Schedule(epochs=3, seed=seed))
    maps = {
        "hidden": DefectMap.random(HIDDEN, 784, RATE / 2, RATE / 2, seed=2 * seed),
        "last": DefectMap.random(len(task.classes), HIDDEN, RATE / 2, RATE / 2, seed=2 * seed + 1),
    }
    scales = {name: 4 * float(first.tensors[f"{name}.weight"].std()) for name in maps}
    order = columns_by_defects(maps)
    found = {
        "no defects": accuracy(first.tensors),
        "unaware": accuracy(on_defects(first.tensors, maps, scales)),
    }

    def trained(synapse: int, neuron: int) -> float:
        form = DefectAware(
            maps,
            scales,
            synapse_aware=chosen_columns(maps, order[:synapse]),
            neuron_aware=chosen_columns(maps, order[:neuron]),
            rng=np.random.default_rng(seed),
        )
        schedule = Schedule(epochs=2, seed=seed)
        again = train(CONTENT, PIXELS, training.targets, schedule, form=form, tensors=first.tensors)
        return accuracy(on_defects(again.tensors, maps, scales))

    for count in (10, 138, COLUMNS):
        count = min(count, COLUMNS)
        found[f"synapse-aware {count}"] = trained(count, 0)
        if count < COLUMNS:
            found[f"mixed {count}"] = trained(count, COLUMNS)
    found["neuron-aware"] = trained(0, COLUMNS)
    return found


chips = [results(seed) for seed in seeds]
for name in chips[0]:
    values = np.array([chip[name] for chip in chips])
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    print(f"{name}: {values.mean():.2f} +- {spread:.2f}")
