"""Recognition of vowels and of images by binary crossbars, on substitutes.

Truong et al. (2014) match five vowels, 64 channels of 4 bits, on a complementary crossbar of binary
memristors: 89.2 % at no variation of memristances, 80 % at 15 %; an analog crossbar falls from 96 % to
9 %.  Truong (2021) matches ten grey images of 32 x 32 with noise of -10 dB on a single crossbar: 91 %, at
a variation of 40 % 67.8 %.  Recordings and images were not seen; these take their place:

vowels   spectra of three resonances at the mean formants of men (Peterson and Barney, 1952), of
         speakers whose tracts differ in length by SPEAKERS, with formants that vary by FORMANTS and
         noise of NOISE_DB; 64 channels in equal steps of the logarithm, 16 levels of 40 dB
images   smooth random textures; a pixel is on where it is above the median of its image

Templates are means of other speakers, or the images themselves.  Cells of 100 and .1 uS vary by
themselves; all else is ideal.  The choices above were made once, not fitted to the claims.

    python vowels_and_images.py [CHIPS]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from xbarsim import AnalogMatrix

FORMANTS_HZ = {
    "i": (270, 2290, 3010),
    "e": (530, 1840, 2480),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
BANDWIDTH_HZ = (60, 90, 150)
SPEAKERS = 0.12
FORMANTS = 0.06
NOISE_DB = -10.0  # of the power of a channel, against the loudest
CHANNELS = np.geomspace(150, 4500, 64)
LEVELS = 16
IMAGES = 10
SIDE = 32
IMAGE_NOISE_DB = 10.0  # noise over signal
CHIPS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
CELLS = """
description = "two states, or levels between them, that vary"
[read]
voltage_v = 0.1
source = "assumed"
[conductance]
minimum_us = 0.1
maximum_us = 100.0
valid_range_us = [0.0, 100.0]
source = "assumed"
[spread]
device_to_device_relative_sigma = {}
source = "assumed"
"""
BINARY = {"encoding": "binary", "sign": "offset"}
ANALOG = {"encoding": "amplitude", "scale": "matrix", "clip": "maximum"}
ONE_TILE = {"word_lines": 2048, "bit_lines": 16, "gain": "none"}


def vowel(formants, rng) -> np.ndarray:
    """(64,) levels from 0 to 15 of one utterance."""
    length = 1 + SPEAKERS * rng.standard_normal()
    power = np.zeros(64)
    for number, (centre, width) in enumerate(zip(formants, BANDWIDTH_HZ, strict=True)):
        own = centre * length * (1 + FORMANTS * rng.standard_normal())
        power += 10.0 ** (-number) / (1 + ((CHANNELS - own) / (2 * width)) ** 2)
    noise = 10 ** (NOISE_DB / 10) * rng.exponential(size=64) * power.max() / 10
    decibels = 10 * np.log10((power + noise) / power.max())
    return np.clip(np.rint((decibels + 40) / 40 * (LEVELS - 1)), 0, LEVELS - 1)


def bits(levels) -> np.ndarray:
    """(n, 256) bits of levels (n, 64)."""
    places = np.asarray(levels, int)[:, :, None] >> np.arange(4) & 1
    return places.reshape(len(levels), -1).astype(float)


def texture(rng) -> np.ndarray:
    """(1024,) a smooth grey image of mean 0 and variance 1."""
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE)))
    along = np.fft.fftfreq(SIDE)[:, None]
    across = np.fft.rfftfreq(SIDE)[None]
    smooth = np.fft.irfft2(spectrum * np.exp(-((along**2 + across**2) * 8.0**2)), s=(SIDE, SIDE))
    smooth -= smooth.mean()
    return (smooth / smooth.std()).ravel()


def array(weight, samples, mapping, variation, chip) -> AnalogMatrix:
    """A matrix on cells that vary."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "cells.toml"
        path.write_text(CELLS.format(variation))
        study = {
            "device": {"name": str(path)},
            "mapping": ONE_TILE | mapping,
            "effects": {"wires": False, "converters": False, "read_noise": False},
        }
        return AnalogMatrix(weight, study, samples=samples, seed=chip)


def matching(stored, inputs, mapping, variation, chip) -> np.ndarray:
    """(inputs,) stored bits (templates, n) that are equal to most of input bits (b, n)."""
    found = array(2 * stored - 1, inputs, BINARY | mapping, variation, chip)
    return (found.multiply(inputs).output + (stored == 0).sum(axis=1)).argmax(axis=1)


def shown(name: str, rates) -> None:
    error = np.std(rates, ddof=1) / np.sqrt(len(rates))
    print(f"{name}: {100 * np.mean(rates):.1f} +- {100 * error:.1f} %")


def vowels() -> None:
    """Rates of binary and analog crossbars over variations."""
    rng = np.random.default_rng(0)
    templates = np.array(
        [np.mean([vowel(each, rng) for _ in range(40)], axis=0) for each in FORMANTS_HZ.values()]
    )
    truth = np.repeat(np.arange(5), 60)
    spoken = np.array([vowel(list(FORMANTS_HZ.values())[one], rng) for one in truth])
    stored = bits(np.rint(templates))
    heard = bits(spoken)
    centred = templates - templates.mean()
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    for variation in (0.0, 0.05, 0.15, 0.3):
        for kind in ("complementary", "twin", "single"):
            rates = [
                np.mean(matching(stored, heard, {"array": kind}, variation, chip) == truth)
                for chip in range(CHIPS)
            ]
            shown(f"vowels, variation {variation:g}, binary {kind}", rates)
        rates = []
        for chip in range(CHIPS):
            analog = array(unit, spoken - templates.mean(), ANALOG, variation, chip)
            found = analog.multiply(spoken - templates.mean()).output.argmax(axis=1)
            rates.append(np.mean(found == truth))
        shown(f"vowels, variation {variation:g}, analog", rates)


def images() -> None:
    """Rates of single, complementary and twin crossbars over variations."""
    rng = np.random.default_rng(1)
    grey = np.array([texture(rng) for _ in range(IMAGES)])
    stored = (grey > np.median(grey, axis=1, keepdims=True)).astype(float)
    truth = np.repeat(np.arange(IMAGES), 30)
    noise = 10 ** (IMAGE_NOISE_DB / 20) * rng.standard_normal((len(truth), SIDE**2))
    noisy = grey[truth] + noise
    seen = (noisy > np.median(noisy, axis=1, keepdims=True)).astype(float)
    for variation in (0.0, 0.2, 0.4):
        for kind in ("single", "complementary", "twin"):
            rates = [
                np.mean(matching(stored, seen, {"array": kind}, variation, chip) == truth)
                for chip in range(CHIPS)
            ]
            shown(f"images, variation {variation:g}, binary {kind}", rates)


vowels()
images()
