"""Two word lines for every input of binary weights: complementary and twin arrays.

With x from `lowest` to `highest`, the first line of an input is driven by u = x - lowest, the second
by its complement u' = highest - x; neither is negative.  As x = (u - u' + lowest + highest) / 2, a
weight w of x is a weight w / 2 of the first line and -w / 2 of the second, and what is left is the
same for every input and known digitally.

complementary   the second cell holds -w, the complement of the first; for binary images (x is 0 or 1)
                cells that conduct count equal pixels: the sum of exclusive-nors
twin            the second cell holds w as the first does, and what it adds is subtracted: its line is
                driven by -u'
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from xbarsim.arrays.in_situ.array_within import ArrayWithin
from xbarsim.arrays.in_situ.input_coder import InputCoder
from xbarsim.arrays.in_situ.matrix import Array, Product
from xbarsim.arrays.in_situ.programmed import ProgrammedMatrix
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.array_types import AnyFloats, Booleans, Floats, Integers, Singles
from xbarsim.base.errors import ConfigError


@dataclass(frozen=True)
class InputLines:
    """What the two word lines of an input are driven by.

    lowest, highest : of the inputs
    complementary : whether the second cell holds the complement, else the same as the first
    """

    lowest: float
    highest: float
    complementary: bool

    @classmethod
    def of(
        cls, weight: AnyFloats, samples: Singles, settings: InSituSettings, read_voltage: float
    ) -> InputLines | None:
        """Those that cover sample inputs (s, inputs) of a matrix (outputs, inputs); None where an
        input drives one line.
        """
        if settings.mapping.array == "single":
            return None
        coder = InputCoder.covering(
            samples,
            (np.asarray(weight, np.float64) ** 2).sum(axis=0),
            settings.dac,
            read_voltage,
            ideal=not settings.effects.with_dac,
        )
        signed = float(samples.min()) < 0
        return cls(
            lowest=-coder.full_scale if signed else 0.0,
            highest=coder.full_scale,
            complementary=settings.mapping.array == "complementary",
        )

    def of_weight(self, weight: AnyFloats) -> AnyFloats:
        """(outputs, 2 inputs) of a matrix (outputs, inputs): the lines of an input are neighbours."""
        half = weight / 2
        second = -half if self.complementary else half
        found: AnyFloats = np.stack([half, second], axis=2).reshape(len(weight), -1)
        return found

    def back_of_weight(self, weight: Singles) -> Singles:
        """(outputs, inputs): what inputs are multiplied with by a matrix (outputs, 2 inputs)."""
        second = weight[:, 1::2]
        found: Singles = weight[:, ::2] - second if self.complementary else weight[:, ::2] + second
        return found

    def of_inputs(self, x: Singles) -> Singles:
        """(b, 2 inputs) of inputs (b, inputs), which are limited to their range."""
        limited = np.clip(x, np.float32(self.lowest), np.float32(self.highest))
        first = limited - np.float32(self.lowest)
        second = np.float32(self.highest) - limited
        if not self.complementary:
            second = -second
        return np.stack([first, second], axis=2).reshape(len(x), -1)

    def outside(self, x: Singles) -> Integers:
        """(b,) inputs that are limited."""
        beyond = (x < np.float32(self.lowest)) | (x > np.float32(self.highest))
        found: Integers = beyond.sum(axis=1)
        return found

    def of_settings(self, settings: InSituSettings) -> InSituSettings:
        """The same whose converters span both lines."""
        spanned = {"input_full_scale": self.highest - self.lowest, "range": "mse"}
        dac = settings.dac.model_copy(update=spanned)
        return dataclasses.replace(settings, dac=dac)

    def known(self, intended: Floats) -> Singles:
        """(outputs,) what is added to the products of the lines, of the weights (outputs, 2 inputs)
        that they hold.
        """
        middle = (self.lowest + self.highest) / 2
        of_inputs = 2 * intended[:, ::2].sum(axis=1)
        found: Singles = (middle * of_inputs).astype(np.float32)
        return found


@dataclass(frozen=True)
class TwoLineArray(ArrayWithin):
    """An array whose inputs drive two word lines each; see `matrix.Array`.

    array : of the lines;  known : (outputs,), see `InputLines.known`
    """

    lines: InputLines
    known: Singles

    def multiply(
        self, x: Singles, rows: Integers, seed: int, wanted: Booleans | None = None
    ) -> Product:
        """See `matrix.Array.multiply`."""
        product = self.array.multiply(self.lines.of_inputs(x), rows, seed, wanted)
        known = self.known
        if wanted is not None:
            known = np.where(wanted, known, np.float32(0))
        return dataclasses.replace(
            product,
            output=product.output + known,
            dac_saturations=product.dac_saturations + self.lines.outside(x),
        )


def with_lines(array: Array, lines: InputLines | None, programmed: ProgrammedMatrix) -> Array:
    """An array of word lines, of this matrix, with two of them for every input, or as it is."""
    if lines is None:
        return array
    return TwoLineArray(array, lines, lines.known(programmed.intended_weight))


def check_signs(weight: AnyFloats, settings: InSituSettings, name: str) -> None:
    """Refuse weights that one binary cell cannot hold.

    Raises
    ------
    ConfigError
    """
    mapping = settings.mapping
    if mapping.encoding != "binary" or mapping.sign == "pair":
        return
    zeros = int(np.count_nonzero(weight == 0))
    if zeros:
        raise ConfigError(
            f"{name}: {zeros} of {weight.size} weights are 0, and with mapping.encoding = "
            '"binary" and sign = "offset" one cell holds a sign; allowed: sign = "pair", whose '
            'cells may both be off, or encoding = "ternary"'
        )
