"""Energy of reads on computation crossbars: every conducting cell counted, and the closed forms of
stuck cells.
"""

import numpy as np
import pytest

from xbarsim.arrays.counting.crossbars import Crossbars
from xbarsim.arrays.settings import CountingSettings
from xbarsim.config.study import validate

BARE = {"wires": False, "programming": False, "converters": True, "read_noise": False}


def crossbars(word_lines=16, bit_lines=12, **computation):
    tables = {"word_lines": word_lines, "bit_lines": bit_lines, "crossbars": 3} | computation
    effects = BARE | {"stuck": True}
    study = validate({"computation": tables, "effects": effects}, "test")
    return Crossbars(CountingSettings.of(study), 5)


def codes(rng, *shape):
    return rng.integers(-127, 128, shape)


def bits_of(value, sign):
    """Bits of one integer as the sign convention writes it, one list per channel."""
    if sign == "magnitude":
        return [[max(side, 0) >> k & 1 for k in range(7)] for side in (int(value), -int(value))]
    shifted = int(value) % 256 if sign == "twos_complement" else int(value) + 128
    return [[shifted >> k & 1 for k in range(8)]]


def conducting_cells(chip, row, matrix, sign, bit_lines, first, word_lines=16):
    """Every drive of every word line in every switch pattern: cells of the whole tile that carry
    current then.
    """
    depth, outputs = matrix.shape
    columns = -(-outputs // bit_lines)
    total = 0
    for element in range(depth):
        driven = sum(sum(channel) for channel in bits_of(row[element], sign))
        line = element % word_lines
        for column in range(columns):
            crossbar = (first + element // word_lines * columns + column) % 3
            for switch_channel in range(2 if sign == "magnitude" else 1):
                for digit in range(7 if sign == "magnitude" else 8):
                    for bit_line in range(bit_lines):
                        output = column * bit_lines + bit_line
                        closed = False
                        if output < outputs:
                            closed = bits_of(matrix[element, output], sign)[switch_channel][digit]
                        closed = closed or chip.physics.stuck_closed[crossbar, line, bit_line]
                        if closed and not chip.physics.stuck_open[crossbar, line, bit_line]:
                            total += driven
    return total


@pytest.mark.parametrize("mode", ["direct", "statistical"])
@pytest.mark.parametrize("sign", ["twos_complement", "offset", "magnitude"])
def test_stuck_cells_conduct_as_they_are(sign, mode):
    """Two rows and two columns of tiles, the last one partly used; counted drive by drive."""
    rng = np.random.default_rng(2)
    chip = crossbars(mode=mode, sign=sign, stuck_closed_rate=0.2, stuck_open_rate=0.15)
    inputs, matrix = codes(rng, 2, 21), codes(rng, 21, 17)
    counted = chip.multiply(inputs, chip.prepare(matrix, 1), np.arange(2))
    expected = [conducting_cells(chip, row, matrix, sign, 12, 1) for row in inputs]
    np.testing.assert_allclose(counted.conducting, expected, rtol=1e-6)


def test_share_of_stuck_cells_in_the_energy():
    """Of cells closed with probability p a rate r leaves p (1 - r) conducting if stuck open, p +
    (1 - p) r if closed.
    """
    rng = np.random.default_rng(3)
    inputs, matrix = codes(rng, 4, 128), codes(rng, 128, 128)
    ones = sum(sum(bits_of(value, "twos_complement")[0]) for value in matrix.ravel())
    share = ones / (8 * matrix.size)

    def conducting(**rates):
        chip = crossbars(128, 128, **rates)
        return chip.multiply(inputs, chip.prepare(matrix), np.arange(4)).conducting.sum()

    sound = conducting()
    assert conducting(stuck_open_rate=0.05) / sound == pytest.approx(0.95, rel=4e-3)
    closed = conducting(stuck_closed_rate=0.05) / sound
    assert closed == pytest.approx((share + 0.05 * (1 - share)) / share, rel=4e-3)


def test_energy_of_a_sentence_does_not_depend_on_the_padding_beside_it():
    """Keys of a short sentence padded to the length of a longer one: the tiles of the padding are
    not read.
    """
    rng = np.random.default_rng(4)
    chip = crossbars(stuck_closed_rate=0.2)
    inputs, keys = codes(rng, 3, 16), codes(rng, 16, 10)
    alone = chip.multiply(inputs, chip.prepare(keys), np.arange(3)).conducting
    padded = np.zeros((2, 16, 30), int)
    padded[0, :, :10], padded[1] = keys, codes(rng, 16, 30)
    operand = chip.prepare(padded, np.array([0, 0]), widths=np.array([10, 30]))
    both = chip.multiply(np.stack([inputs, inputs]), operand, np.arange(6).reshape(2, 3))
    np.testing.assert_allclose(both.conducting[0], alone, rtol=1e-6)
    assert (both.conducting[1] > both.conducting[0]).all()
