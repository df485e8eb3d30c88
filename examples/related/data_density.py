"""Recognition by binary crossbars (Le & Truong, Micromachines 14, 1990, 2023): complementary or single?

Ten random images of 32 x 32 binary pixels, a share of them on: the density.  The complementary
crossbar keeps every image and its complement in two arrays and counts equal pixels; the single one
keeps the image alone and counts pixels that are on in both.  The column with the most current wins.
Assumed: 100 uS and .1 uS, .1 V, log-normal spread of the cells, equal resistance of all segments.
"""

import numpy as np

import xbarsim

IMAGES = 10
PIXELS = 1024
ON = 100e-6  # S
OFF = 0.1e-6  # S
VOLTAGE = 0.1  # V
CHIPS = 20


class Recogniser:
    """Columns that keep one image each; complementary or single."""

    def __init__(self, images, complementary: bool, spread: float, ohm: float, rng) -> None:
        stored = [images, 1 - images] if complementary else [images]
        self.complementary = complementary
        self.arrays = []
        for pixels in stored:
            conductance = np.where(pixels.T == 1, ON, OFF)  # (pixels, images)
            conductance = conductance * np.exp(spread * rng.standard_normal(conductance.shape))
            self.arrays.append(xbarsim.Crossbar(conductance, ohm, ohm))

    def currents(self, images) -> np.ndarray:
        """(inputs, columns) A."""
        inputs = [images, 1 - images] if self.complementary else [images]
        total = np.zeros((len(images), IMAGES))
        for array, pixels in zip(self.arrays, inputs, strict=True):
            total += array.solve(VOLTAGE * pixels).output_current
        return total


def wrong(density: float, complementary: bool, spread: float, ohm: float) -> float:
    """Share of inputs whose winner is another image, over chips of different images and cells."""
    errors = 0
    for chip in range(CHIPS):
        rng = np.random.default_rng(chip)
        images = (rng.random((IMAGES, PIXELS)) < density).astype(float)
        recogniser = Recogniser(images, complementary, spread, ohm, rng)
        errors += np.count_nonzero(recogniser.currents(images).argmax(axis=1) != range(IMAGES))
    return errors / (CHIPS * IMAGES)


for density in (0.25, 0.5, 0.75):
    rng = np.random.default_rng(0)
    images = np.zeros((IMAGES, PIXELS))
    for image in images:
        image[rng.permutation(PIXELS)[: round(density * PIXELS)]] = 1
    both = Recogniser(images, True, 0.0, 0.0, rng).currents(images).max()
    single = Recogniser(images, False, 0.0, 0.0, rng).currents(images).max()
    print(f"largest current, complementary over single, density {density:g}: {both / single:.3f}")

for spread, ohm in ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 2.0), (0.0, 10.0), (0.5, 2.0)):
    print(f"wrong winners, spread {spread:g}, {ohm:g} ohm per segment")
    for density in (0.25, 0.5, 0.75, 0.9):
        shares = [wrong(density, both, spread, ohm) for both in (True, False)]
        print(f"  density {density:g}: complementary {shares[0]:.3f} single {shares[1]:.3f}")
