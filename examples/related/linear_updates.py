"""Linear updates by heat and a divider (second-order memristors, Nanoscale Horiz. 8, 1366, 2023).

A perceptron 784-32-10 is trained in the array by pulses on MNIST (or on SET, a directory of images of
28 x 28).  Read in the abstract: a heating pulse, and a divider of a series resistor and two diodes, make
updates more linear and symmetric, and training more accurate, faster and cheaper; no numbers.  Assumed:
1 to 100 uS, 100 pulses for the window at the first step, steps that fall (rise, of pulses up) by
exp(nonlinearity) over it, noise of 30 % of a step, 1.5 V; a divider with the resistor that makes steps
most even, in both paths or in that of pulses down alone.

    python linear_updates.py [SET [TRAINING_IMAGES [SEEDS]]]
"""

import sys

import numpy as np
from pulsed_device import pulsed_device

from xbarsim.config.image_training import Rule
from xbarsim.tasks.image_files import load_image_task
from xbarsim.training.in_situ import InSituNetwork, Pulsing
from xbarsim.training.pulsed_cells import Divider, Heat, PulseLaw

task = load_image_task(sys.argv[1] if len(sys.argv) > 1 else "mnist").split()
training = task.training().limited(int(sys.argv[2]) if len(sys.argv) > 2 else 4000)
seeds = range(int(sys.argv[3]) if len(sys.argv) > 3 else 3)
tested = task.held_out().limited(2000)
PIXELS = np.array(training.pixels(), np.uint8)
TESTED = np.array(tested.pixels(), np.uint8)
SIZES = (PIXELS.shape[1], 32, len(task.classes))


def accuracy(device, seed: int, **pulsing) -> tuple[float, float]:
    """Percent of the images for testing, and millijoule of the pulses."""
    stated = Pulsing(epochs=2, seed=seed, weight_range=4.0, **pulsing)
    network = InSituNetwork.of(SIZES, device, stated)
    network.train(PIXELS, training.targets)
    right = np.mean(network.classes_of(TESTED) == tested.targets)
    return 100 * right, 1e3 * network.wear.energy


def say(name: str, device, **pulsing) -> None:
    found = np.array([accuracy(device, seed, **pulsing) for seed in seeds])
    spread = found.std(axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0 * found[0]
    print(f"{name}: {found[:, 0].mean():.2f} +- {spread[0]:.2f}, {found[:, 1].mean():.4f} mJ")


def device_of(of_up: float, of_down: float):
    """A device whose steps at the middle of the window are all 1 uS."""
    return pulsed_device(
        up_us=np.exp(of_up / 2),
        down_us=np.exp(of_down / 2),
        nonlinearity_up=of_up,
        nonlinearity_down=of_down,
    )


def unevenness(device, divider: Divider | None) -> float:
    """Largest over smallest step in the inner 80 % of the window, mean of both directions."""
    law = PulseLaw.of(device)
    g = np.linspace(law.low + 0.1 * (law.high - law.low), law.low + 0.9 * (law.high - law.low), 50)
    ratios = []
    for way in (0, 1):
        step = law.mean_step(way, g)
        if divider is not None:
            step = step * divider.factor(way, g, law.middle)
        ratios.append(step.max() / step.min())
    return float(np.mean(ratios))


def most_even(device, has_up: bool) -> Divider:
    """The resistor with which steps are most even, in both paths or in that of pulses down."""
    dividers = [
        Divider(up_ohm=ohm * has_up, down_ohm=ohm, voltage_v=1.5, slope_v=0.3)
        for ohm in (1e3, 2e3, 4e3, 6e3, 8e3, 10e3, 15e3)
    ]
    return min(dividers, key=lambda divider: unevenness(device, divider))


for value in (0.0, 1.0, 2.0, 4.0):
    say(f"nonlinearity {value:g} both ways", device_of(value, value))
for rule in (Rule.OUTER_PRODUCT, Rule.MANHATTAN):
    say(f"{rule.value}, linear", device_of(0.0, 0.0), rule=rule)
# A cell that conducts takes more power: pulses up accelerate, pulses down fade.  Or both fade.
for cell, of_up, has_up in (("accelerating", -3.0, True), ("fading", 3.0, False)):
    device = device_of(of_up, 3.0)
    divider = most_even(device, has_up)
    for what, one in (("without", None), ("with", divider)):
        print(f"unevenness of steps, {cell} cell {what} divider: {unevenness(device, one):.2f}")
        say(f"{cell} cell {what} divider", device, divider=one)
for what, pulse in (("history", False), ("heating pulse", True)):
    heat = Heat(gain=0.7, decay_s=1e-6, interval_s=1e-6, heating_pulse=pulse)
    say(f"heat by {what}", device_of(1.0, 1.0), heat=heat)
