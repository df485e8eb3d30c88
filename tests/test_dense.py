"""The dense crossbar as memory: against the whole circuit, against counted errors, and what it does to codes."""
import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from xbarsim import Crossbar, cells, dense
from xbarsim.config import Memory, validate
from xbarsim.device import load_device
from xbarsim.devicefile import ReadNoise
from xbarsim.errors import ConfigError, OutOfRangeError

IDEAL, WAN = load_device("ideal"), load_device("rram-wan2022")
WIRES = (3.0, 5.0)


def stored(rows, columns, seed=0):
    return np.where(np.random.default_rng(seed).random((rows, columns)) < 0.5, 40e-6, 1e-6)


def whole(g, bias, access, voltage=0.3, drive="left", idle=()):
    """Currents of a read of row 0 in a crossbar of all cells, written out line by line."""
    m, n = g.shape
    word = {"grounded": 0.0, "floating": 0.0, "half": voltage / 2, "third": voltage / 3}[bias]
    bit = {"half": voltage / 2, "third": 2 * voltage / 3}.get(bias, 0.0)
    v, b = np.full(m, word), np.zeros(n)
    v[0], b[list(idle)] = voltage, bit
    cell = None
    if access == "selector":
        cell, g = cells.Sinh(0.05), g * (voltage / 0.05 / np.sinh(voltage / 0.05))
    xb = Crossbar(g, *WIRES, drive=drive, cell=cell, floating_word_lines=range(1, m) if bias == "floating" else (),
                  floating_bit_lines=idle if bit == 0 else ())
    return xb.solve(v, b).output_current


@pytest.mark.parametrize("access", ["none", "selector"])
@pytest.mark.parametrize("bias", ["grounded", "floating", "half", "third"])
@pytest.mark.parametrize("every", [1, 4])
def test_an_unlumped_segment_is_the_whole_crossbar(access, bias, every):
    g = stored(12, 24)
    memory = Memory(rows=12, columns=24, access=access, bias=bias, lumped_rows=1, sensed_every=every, drive="both")
    xb, v, b = dense.segment(memory, WIRES, 0.3, g[0], g[1:])
    idle = [j for j in range(24) if j % every]
    sensed = np.arange(24) % every == 0
    np.testing.assert_allclose(xb.solve(v, b).output_current[sensed],
                               whole(g, bias, access, drive="both", idle=idle)[sensed], rtol=1e-8)


@pytest.mark.parametrize("bias", ["grounded", "floating", "half"])
def test_lumped_rows_are_close_to_all_rows(bias):
    """Joining 8 of 64 rows changes a bit line's current, that of unselected cells included, by less than 1 %."""
    g = stored(65, 48)
    memory = Memory(rows=65, columns=48, access="none", bias=bias, lumped_rows=8)
    lumped = g[1:].reshape(8, 8, 48).sum(axis=1)
    xb, v, b = dense.segment(memory, WIRES, 0.3, g[0], lumped)
    exact = whole(g, bias, "none")
    assert abs(xb.solve(v, b).output_current - exact).max() < 0.01 * exact.max()
    assert dense.group_sizes(memory).tolist() == [8] * 8
    assert dense.group_sizes(Memory(rows=20, lumped_rows=8)).tolist() == [8, 8, 3]


def test_a_transistor_segment_is_one_ladder():
    """Against a fixed point over the word line of resistors: cell, channel and the whole bit line in series."""
    memory = Memory(rows=100, columns=30, transistor_overdrive_v=5.0, transistor_resistance_ohm=3000.0)
    g = stored(1, 30)[0]
    wires = (20.0, 50.0)
    xb, v, b = dense.segment(memory, wires, 0.2, g)
    branch = 1 / (1 / g + 3000.0 + 100 * wires[1])                        # a channel far below its overdrive is a resistor
    voltage = np.full(30, 0.2)
    for _ in range(200):
        current = branch * voltage
        behind = np.cumsum(current[::-1])[::-1]                           # what each segment of the word line carries
        voltage = 0.2 - np.cumsum(wires[0] * behind)
    found = xb.solve(v, b).output_current
    np.testing.assert_allclose(found, branch * voltage, rtol=0.005)       # the channel bends by V / 2 Vo of its share
    assert abs(found / (0.2 * branch) - 1).max() > 0.05                   # and the wires matter here


def test_error_rates_are_those_of_counted_errors():
    """A segment bad enough to count: reads drawn anew, decided by the threshold, against the predicted rate."""
    memory = Memory(rows=64, columns=96, sense_noise_ua=1.6, access="none", bias="grounded", lumped_rows=16)
    predicted = dense.segment_confusion(memory, WIRES, WAN, 1)
    level, current, position = dense.read_currents(memory, WIRES, WAN, 77, 120)
    current = current + 1.6e-6 * np.random.default_rng(0).standard_normal(current.shape)
    wrong = (current > predicted.threshold[0]) != (level == 1)
    expected = predicted.bit_error_rate.mean()
    assert 0.01 < expected < 0.2
    interval = binomtest(int(wrong.sum()), wrong.size).proportion_ci(0.999)
    assert interval.low * 0.93 < expected < interval.high * 1.07
    far, near = wrong[:, -24:].mean(), wrong[:, :24].mean()
    rates = predicted.bit_error_rate.reshape(4, -1).mean(axis=1)
    assert far == pytest.approx(rates[3], rel=0.25) and near == pytest.approx(rates[0], rel=0.4)


def test_moments_and_tails_are_those_of_the_normal_law():
    rng = np.random.default_rng(3)
    position = np.arange(0, 640, 2)
    level = rng.integers(0, 2, (400, 320))
    mean = np.array([1.0, 3.0])[level] * (1 - position / 1000)
    current = mean + np.array([0.01, 0.02])[level] * rng.standard_normal(level.shape)
    found, deviation = dense.moments(level, current, position, 640, 2)
    middle = (np.arange(32) + 0.5) * 20 - 1
    np.testing.assert_allclose(found, np.outer(1 - middle / 1000, [1, 3]), rtol=0.01)
    np.testing.assert_allclose(deviation, np.broadcast_to([0.01, 0.02], (32, 2)), rtol=0.06)
    result = dense.confusion(np.array([[1.0, 3.0, 4.0]]), np.array([[0.1, 0.2, 0.3]]), np.array([2.5, 1.2]))
    p = result.probability[0]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(p[0, 1], norm.sf(2) - norm.sf(15), rtol=1e-9)
    np.testing.assert_allclose(p[0, 2], norm.sf(15), rtol=1e-9)           # 1e-51, not rounded away
    np.testing.assert_allclose(p[2, 0], norm.cdf(-28 / 3), rtol=1e-9)
    two = dense.confusion(np.array([[1.0, 3.0]]), np.array([[0.3, 0.3]]))
    assert two.threshold[0] == pytest.approx(2, abs=1e-3)
    np.testing.assert_allclose(two.bit_error_rate, norm.sf(1 / 0.3), rtol=1e-3)


def test_longer_segments_read_worse_and_fixed_thresholds_no_better():
    memory = Memory(rows=256)
    rows = dense.against_length(memory, (1.06, 1.06), WAN, 1, [64, 512, 1024])
    mean = [row[1] for row in rows]
    assert mean[0] < mean[1] < mean[2] and mean[0] < 1e-30 and mean[2] > 1e-3
    assert all(row[2] >= row[1] for row in rows)                          # the worst place
    stated = memory.model_copy(update={"columns": 512, "threshold_ua": 4.0})
    assert dense.segment_confusion(stated, (1.06, 1.06), WAN, 1).bit_error_rate.mean() > mean[1]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_codes_come_back_with_the_stated_rate(bits):
    rng = np.random.default_rng(5)
    codes = rng.integers(-127, 128, (300, 257)).astype(np.float32)
    confusion = dense.stated(0.01, bits)
    assert confusion.cell_error_rate == pytest.approx(0.01)
    read, wrong = dense.read_codes(codes, confusion, 256, np.random.SeedSequence(1))
    assert read.dtype == codes.dtype and read.shape == codes.shape
    before, after = (np.unpackbits((x.astype(int) & 255).astype(np.uint8)[..., None], axis=-1) for x in (codes, read))
    cell = (before != after).reshape(-1, 8 // bits, bits).any(axis=-1)
    assert cell.sum() == wrong and binomtest(wrong, cell.size, 0.01).pvalue > 1e-3
    if bits > 1:                                                          # only to neighbouring levels
        value = [x.reshape(-1, bits) @ (1 << np.arange(bits)[::-1]) for x in (before, after)]
        assert abs(value[0].astype(int) - value[1]).max() == 1
    else:                                                                 # every bit alike, the sign included
        assert abs((before != after).reshape(-1, 8).mean(axis=0) - 0.01).max() < 0.002
    again = dense.read_codes(codes, confusion, 256, np.random.SeedSequence(1))[0]
    np.testing.assert_array_equal(again, read)
    assert (dense.read_codes(codes, confusion, 256, np.random.SeedSequence(2))[0] != read).any()
    np.testing.assert_array_equal(dense.read_codes(codes, dense.stated(0.0, bits), 256, np.random.SeedSequence(1))[0], codes)


def test_errors_lie_where_the_segment_is_bad():
    rate = np.array([0.0, 0.0, 0.0, 0.5])
    confusion = dense.Confusion(np.stack([np.array([[1 - p, p], [p, 1 - p]]) for p in rate]))
    codes = np.zeros((100, 64), np.int8)
    read, wrong = dense.read_codes(codes, confusion, 128, np.random.SeedSequence(3))        # 16 weights of 8 cells
    place = (read.ravel() != 0).reshape(-1, 16).mean(axis=0)
    assert (place[:12] == 0).all() and (place[12:] > 0.9).all() and read.dtype == np.int8
    assert wrong == np.unpackbits(read.view(np.uint8)).sum()


def test_memory_of_a_study():
    codes = np.random.default_rng(6).integers(-127, 128, (40, 50))
    names = ["layer.0.query", "layer.0.key"]
    off = dense.Memory.of(validate({}, "test"), IDEAL, names)
    assert off.read(names[0], codes) is codes
    study = validate({"memory": {"errors": "stated", "cell_error_rate": 0.05}}, "test")
    memory = dense.Memory.of(study, IDEAL, names)
    first = memory.read(names[0], codes)
    assert (first != memory.read(names[1], codes)).any()                  # each matrix its own errors
    np.testing.assert_array_equal(dense.Memory.of(study, IDEAL, names).read(names[0], codes), first)
    assert (dense.Memory.of(study, IDEAL, names, seed=8).read(names[0], codes) != first).any()
    solved = validate({"memory": {"errors": "segment", "columns": 1024, "rows": 32}}, "test")
    assert (dense.Memory.of(solved, WAN, names).read(names[0], codes) != codes).any()
    with pytest.raises(OutOfRangeError, match="do not fit 8 bits"):
        dense.read_codes(codes * 2, dense.stated(0.1, 1), 64, np.random.SeedSequence(0))
    with pytest.raises(ConfigError, match="bits_per_cell = 1"):
        dense.segment_confusion(Memory(bits_per_cell=2, threshold_ua=1.0, rows=8, columns=64), WIRES, IDEAL, 0)


def test_a_share_of_the_cells_of_a_segment_has_telegraph_noise():
    """Cells of 40 µS, noise of 30 % of the signal in half of them: the others read what they were written to."""
    telegraph = {"relative_amplitude": 0.3, "dwell_high_s": 1e-3, "dwell_low_s": 1e-3, "cell_fraction": 0.5, "source": "t"}
    file = IDEAL.file.model_copy(update={"read_noise": ReadNoise(telegraph=telegraph, source="t")})
    noisy = dataclasses.replace(IDEAL, file=file)
    memory = Memory(rows=1, columns=400, access="none", lumped_rows=1)
    level, current, _ = dense.read_currents(memory, (0.0, 0.0), noisy, 3, 4, ones=0.9)
    deviation = current[level == 1] / (40e-6 * IDEAL.read_voltage) - 1
    still = np.isclose(deviation, 0, atol=1e-6)
    assert still.mean() == pytest.approx(0.5, abs=0.06)
    # both states are half of their difference away from the mean: 0.3 / (1 - 0.15) / 2
    assert deviation[~still].std() == pytest.approx(0.3 / 0.85 / 2, rel=0.1)
