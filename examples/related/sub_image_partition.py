"""Convolutions by sub-images (Oh, An, Min, Micromachines 14, 309, 2023): how many arrays, how accurate?

Unit arrays of 128 or 256 lines; the image is cut into sub-images that fit the rows; kernels of all
channels (3D), or of one channel followed by a sum over channels (2D + 1D).  The layers of the paper
were not seen: here those of VGG-16 and two ResNets on images of 32 x 32.  Accuracy: a CNN trained on
MNIST (or on SET, a directory of images), with sub-images and with im2col, on the same cells.

    python sub_image_partition.py [SET [TRAINING_IMAGES [TEST_IMAGES]]]
"""

import json
import sys
import tempfile
from pathlib import Path

import xbarsim
from xbarsim.arrays.convolution_counts import ConvolutionShape, saving
from xbarsim.config.study import validate
from xbarsim.training.command import train_files
from xbarsim.training.fit import Schedule

VGG = [(32, 3, 64), (32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256)]
VGG += [(8, 256, 256)] * 2 + [(4, 256, 512)] + [(4, 512, 512)] * 2 + [(2, 512, 512)] * 3
RESNET18 = [(32, 3, 64)] + [(32, 64, 64)] * 4
RESNET20 = [(32, 3, 16)] + [(32, 16, 16)] * 6
for side, channels in ((16, 64), (8, 128), (4, 256)):
    RESNET18 += [(side, channels, 2 * channels, 3, 2)] + [(side, 2 * channels, 2 * channels)] * 3
for side, channels in ((16, 16), (8, 32)):
    RESNET20 += [(side, channels, 2 * channels, 3, 2)] + [(side, 2 * channels, 2 * channels)] * 5
NETWORKS = {"VGG-16": VGG, "ResNet-18": RESNET18, "ResNet-20": RESNET20}

for by_channel in (False, True):
    fits = "one channel" if by_channel else "all channels"
    for name, sizes in NETWORKS.items():
        layers = [ConvolutionShape(*size) for size in sizes]
        for lines in (128, 256):
            every = [True] * len(layers)
            second_half = [2 * number >= len(layers) for number in range(len(layers))]
            saved = [
                100 * saving(layers, chosen, lines, by_channel=by_channel)
                for chosen in (every, second_half)
            ]
            print(
                f"{name}, {lines} lines, sub-images of {fits} fit: 2D + 1D saves {saved[0]:.1f} % of "
                f"the arrays, in half of the layers {saved[1]:.1f} %"
            )

task = sys.argv[1] if len(sys.argv) > 1 else "mnist"
training = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
tested = int(sys.argv[3]) if len(sys.argv) > 3 else 500
STEPS = [
    {"kind": "convolution", "name": "first", "channels": 6, "kernel": 3, "stride": 2},
    {"kind": "relu"},
    {"kind": "convolution", "name": "second", "channels": 12, "kernel": 3, "stride": 2},
    {"kind": "relu"},
    {"kind": "dense", "name": "last", "outputs": 10},
]
IDEAL = {"wires": False, "converters": False, "programming": False, "read_noise": False}
WIRES = IDEAL | {"wires": True}
with tempfile.TemporaryDirectory() as name:
    place = Path(name)
    content = {"model_type": "image-network", "image": [28, 28, 1], "steps": STEPS}
    (place / "config.json").write_text(json.dumps(content))
    train_files(place / "config.json", task, place / "net", Schedule(epochs=4), limit=training)
    for way in ("im2col", "sub_image"):
        cases = [{"name": "no physics", "effects": IDEAL}]
        for ohm in (5.0, 20.0):
            wires = {"word_line_resistance_ohm": ohm, "bit_line_resistance_ohm": ohm}
            cases.append({"name": f"wires of {ohm:g} ohm", "effects": WIRES, "wires": wires})
        study = {
            "name": way,
            "model": {"name": str(place / "net"), "convolution": way},
            "task": {"name": task, "limit": tested},
            "mapping": {"gain": "none"},
            "run": {"batch_examples": 50},
            "case": cases,
        }
        trace = xbarsim.read_trace(xbarsim.run_study(validate(study, "study"), place / "runs"))
        summary = xbarsim.summarise(trace)
        exact = summary.references[0].metric
        print(f"{way}, float32: {exact.value:.4f} ({exact.low:.4f} .. {exact.high:.4f})")
        for case in summary.cases:
            found = case.path.metric if hasattr(case, "path") else case.metric
            print(f"{way}, {case.name}: {found.value:.4f} ({found.low:.4f} .. {found.high:.4f})")
