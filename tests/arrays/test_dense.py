"""The dense crossbar as memory: error rates against quadrature and against counted errors, and what it does to codes."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from xbarsim.arrays.memory import confusion as errors
from xbarsim.arrays.memory import segment, store
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.config.study import validate
from xbarsim.config.synergy import Memory
from xbarsim.config.wires import Wires
from xbarsim.devices.presets import load_device
from xbarsim.devices.read_tables import ReadNoise

NO_WIRES = Wires(word_line_resistance_ohm=0.0, bit_line_resistance_ohm=0.0)
IDEAL, WAN = load_device("ideal"), load_device("rram-wan2022")
WIRES = Wires(word_line_resistance_ohm=3.0, bit_line_resistance_ohm=5.0)


def test_error_rates_are_those_of_counted_errors():
    """A segment bad enough to count: reads drawn anew, decided by the threshold, against the predicted rate."""
    memory = Memory(
        rows=64, columns=96, sense_noise_ua=1.6, access="none", bias="grounded", lumped_rows=16
    )
    predicted = errors.segment_confusion(memory, WIRES, WAN, 1)
    level, current, position = segment.read_currents(memory, WIRES, WAN, 77, 120)
    current = current + 1.6e-6 * np.random.default_rng(0).standard_normal(current.shape)
    wrong = (current > predicted.threshold[0]) != (level == 1)
    expected = predicted.bit_error_rate.mean()
    assert 0.01 < expected < 0.2
    interval = binomtest(int(wrong.sum()), wrong.size).proportion_ci(0.999)
    assert interval.low * 0.93 < expected < interval.high * 1.07
    far, near = wrong[:, -24:].mean(), wrong[:, :24].mean()
    rates = predicted.bit_error_rate.reshape(4, -1).mean(axis=1)
    assert far == pytest.approx(rates[3], rel=0.25) and near == pytest.approx(rates[0], rel=0.4)


# A segment whose wires are its source alone: one node, so that the law of the sum of all other currents is a convolution.
ROW = Memory(rows=1, columns=16, transistor_overdrive_v=5.0)
SOURCE = Wires(
    word_line_resistance_ohm=0.0, bit_line_resistance_ohm=0.0, source_resistance_ohm=3000.0
)
NOISY = """
description = "test"
read = { voltage_v = 0.2, source = "t" }
conductance = { minimum_us = 1.0, maximum_us = 40.0, valid_range_us = [0.0, 60.0], source = "t" }
programming = { sigma = [{ target_us = [0.0, 60.0], sigma_us = [3.0, 3.0] }], source = "t" }
"""


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    path = tmp_path_factory.mktemp("dense") / "noisy.toml"
    path.write_text(NOISY)
    return load_device(str(path))


def cells_of(level):
    """Conductances (S) of cells and their probabilities: 3 µS about the level, cut at 0 S."""
    edge = np.linspace(-40, 80, 6001)
    mass = np.where(
        edge[1:] < level, np.diff(norm.cdf(edge, level, 3)), -np.diff(norm.sf(edge, level, 3))
    )
    return np.maximum((edge[1:] + edge[:-1]) / 2, 0) * 1e-6, mass


def branch_current(voltage, g):
    """A of a cell in series with the channel of 2 kohm and 5 V overdrive, by the quadratic equation of its voltage."""
    a = 1 + g * 2000.0
    channel = 5.0 * (a - np.sqrt(a**2 - 2 * g * 2000.0 * voltage / 5.0))
    return g * (voltage - channel)


def exact_error(threshold):
    """(0 -> 1, 1 -> 0): integrals over the own cell of the law of the sum of 15 other currents, at the voltage of the node
    at which the own cell carries the threshold."""
    step, channel = 0.02e-6, 5.0 * (1 - np.sqrt(1 - 2 * 2000.0 * threshold / 5.0))
    both = [cells_of(1.0), cells_of(40.0)]
    result = []
    for stored in (0, 1):
        g, mass = both[stored]
        total = 0.0
        kept = np.flatnonzero(mass > 1e-40)
        for part in np.array_split(kept, 120):
            weight = mass[part].sum()
            own = max(mass[part] @ g[part] / weight, 1e-12)
            node = threshold / own + channel
            allowed = (0.2 - node) / 3000.0 - threshold  # what the others carry at that voltage
            if stored == 0 and allowed <= 0:
                continue
            if stored == 1 and allowed <= 0:
                total += weight
                continue
            one = np.zeros(int(branch_current(node, 80e-6) / step) + 3)
            for conductance, probability in both:
                place = branch_current(node, conductance) / step
                low = place.astype(int)
                np.add.at(one, low, probability / 2 * (1 - place + low))
                np.add.at(one, low + 1, probability / 2 * (place - low))
            two = np.convolve(one, one)
            three = np.convolve(two, one)
            six = np.convolve(three, three)
            law = np.convolve(np.convolve(six, six), three)
            middle = allowed / step
            below = (
                law[: int(middle)].sum() + law[int(middle)] * (middle - int(middle))
                if middle < len(law) - 1
                else 1.0
            )
            above = (
                law[int(middle) + 1 :].sum() + law[int(middle)] * (1 - middle + int(middle))
                if middle < len(law)
                else 0
            )
            total += weight * (below if stored == 0 else above)
        result.append(total)
    return result


@pytest.mark.parametrize("threshold", [1.8e-6, 1.2e-6])
def test_error_rates_are_the_quadrature_of_the_actual_distributions(noisy, threshold):
    """Level 0 is cut at 0 S and level 1 scatters with the read: no normal law has these tails, from 1e-3 down to 1e-15."""
    expected = exact_error(threshold)
    rates = []
    for seed in range(8):
        result = errors.segment_confusion(ROW, SOURCE, noisy, seed, threshold=np.array([threshold]))
        rates.append(
            [
                result.probability[:, 0, 1].mean(),
                result.probability[:, 1, 0].mean(),
                result.bit_error_rate.mean(),
                result.mean_error,
            ]
        )
    rates = np.array(rates)
    np.testing.assert_allclose(rates[:, :2].mean(axis=0), expected, rtol=0.15)
    # the stated standard error is that of the scatter over seeds, and its intervals hold
    off = abs(rates[:, 2] - np.mean(expected)) / rates[:, 3]
    assert (off < 2.5).sum() >= 7
    assert 0.4 < rates[:, 2].std(ddof=1) / rates[:, 3].mean() < 2


def test_the_figures_of_a_long_segment():
    """512 columns at 32 nm, found before by dense circuits and quadrature: 3.5e-9 and about 1e-21 at .908 µA, and 1.0e-11 in
    all at the best threshold, 1.03 µA."""
    memory, wires = Memory(columns=512), Wires()
    result = errors.segment_confusion(memory, wires, WAN, 1, threshold=np.array([0.908e-6]))
    assert result.probability[:, 0, 1].mean() == pytest.approx(3.5e-9, rel=0.08)
    assert 0.5e-21 < result.probability[:, 1, 0].mean() < 4e-21
    best = errors.segment_confusion(memory, wires, WAN, 1)
    assert best.threshold[0] == pytest.approx(1.03e-6, rel=0.02)
    assert 0.9e-11 < 2 * best.bit_error_rate.mean() < 1.8e-11
    for other in (0.99e-6, 1.09e-6):
        rate = errors.segment_confusion(
            memory, wires, WAN, 1, threshold=np.array([other])
        ).bit_error_rate.mean()
        assert rate > best.bit_error_rate.mean()


def test_a_source_that_leaves_too_little_reads_every_one_as_zero():
    memory = Memory(columns=256, threshold_ua=2.0)
    result = errors.segment_confusion(memory, Wires(source_resistance_ohm=2000.0), WAN, 1)
    np.testing.assert_allclose(result.bit_error_rate, 0.5, rtol=1e-6)
    assert result.mean_error < 1e-6


def test_exact_cells_are_told_apart_by_the_middle_of_the_gap():
    """Without any error of the cells the threshold lies where both levels are far, and no bit is wrong."""
    result = errors.segment_confusion(Memory(columns=32, rows=16), WIRES, IDEAL, 1)
    level, current, _ = segment.read_currents(Memory(columns=32, rows=16), WIRES, IDEAL, 5, 40)
    assert (result.bit_error_rate == 0).all() and result.mean_error == 0
    low, high = current[level == 0].max(), current[level == 1].min()
    assert low + 0.3 * (high - low) < result.threshold[0] < low + 0.7 * (high - low)


def test_noise_of_the_sense_amplifier_alone_is_the_normal_tail():
    """Exact cells without wires: the currents are two, and a deviate of 1 µA crosses the threshold by its normal law."""
    memory = Memory(
        rows=1, columns=4, sense_noise_ua=1.0, transistor_overdrive_v=5.0, threshold_ua=3.0
    )
    wires = Wires(word_line_resistance_ohm=0.0, bit_line_resistance_ohm=0.0)
    result = errors.segment_confusion(memory, wires, IDEAL, 1)
    low, high = branch_current(0.2, np.array([1e-6, 40e-6])) * 1e6
    np.testing.assert_allclose(result.probability[:, 0, 1], norm.sf(3 - low), rtol=0.03)
    np.testing.assert_allclose(result.probability[:, 1, 0], norm.sf(high - 3), rtol=0.03)


def test_levels_of_two_bits_are_confused_with_their_neighbours():
    """Four levels, exact cells, loud sense amplifiers: the probabilities are differences of normal tails."""
    memory = Memory(
        rows=1, columns=6, bits_per_cell=2, sense_noise_ua=0.8, transistor_overdrive_v=5.0
    )
    wires = Wires(word_line_resistance_ohm=0.0, bit_line_resistance_ohm=0.0)
    result = errors.segment_confusion(memory, wires, IDEAL, 1)
    current = branch_current(0.2, np.array([1, 14, 27, 40]) * 1e-6) * 1e6
    middle = (current[1:] + current[:-1]) / 2
    np.testing.assert_allclose(result.threshold * 1e6, middle, rtol=0.03)
    edges = np.concatenate([[-np.inf], result.threshold * 1e6, [np.inf]])
    expected = np.array([np.diff(norm.cdf(edges, mean, 0.8)) for mean in current])
    np.testing.assert_allclose(result.probability[0], expected, atol=2e-3)
    wrong = [[0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]]  # bits between 0, 1, 2 and 3
    assert result.bit_error_rate[0] == pytest.approx((expected * wrong).sum() / 8, rel=0.01)


def test_longer_segments_read_worse_and_fixed_thresholds_no_better():
    memory = Memory(rows=256)
    rows = store.against_length(memory, Wires(), WAN, 1, [64, 512, 1024])
    mean = [row.mean.value for row in rows]
    assert mean[0] < mean[1] < mean[2] and mean[0] < 1e-30 and mean[2] > 1e-3
    assert all(row.worst_place.value >= row.mean.value for row in rows)
    stated = memory.model_copy(update={"columns": 512, "threshold_ua": 4.0})
    assert errors.segment_confusion(stated, Wires(), WAN, 1).bit_error_rate.mean() > mean[1]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_codes_come_back_with_the_stated_rate(bits):
    rng = np.random.default_rng(5)
    codes = rng.integers(-127, 128, (300, 257)).astype(np.float32)
    confusion = errors.stated(0.01, bits)
    assert confusion.cell_error_rate == pytest.approx(0.01)
    read, wrong = store.read_codes(codes, confusion, 256, np.random.SeedSequence(1))
    assert read.dtype == codes.dtype and read.shape == codes.shape
    before, after = (
        np.unpackbits((x.astype(int) & 255).astype(np.uint8)[..., None], axis=-1)
        for x in (codes, read)
    )
    cell = (before != after).reshape(-1, 8 // bits, bits).any(axis=-1)
    assert cell.sum() == wrong and binomtest(wrong, cell.size, 0.01).pvalue > 1e-3
    if bits > 1:  # only to neighbouring levels
        value = [x.reshape(-1, bits) @ (1 << np.arange(bits)[::-1]) for x in (before, after)]
        assert abs(value[0].astype(int) - value[1]).max() == 1
    else:  # every bit alike, the sign included
        assert abs((before != after).reshape(-1, 8).mean(axis=0) - 0.01).max() < 0.002
    again = store.read_codes(codes, confusion, 256, np.random.SeedSequence(1))[0]
    np.testing.assert_array_equal(again, read)
    assert (store.read_codes(codes, confusion, 256, np.random.SeedSequence(2))[0] != read).any()
    np.testing.assert_array_equal(
        store.read_codes(codes, errors.stated(0.0, bits), 256, np.random.SeedSequence(1))[0], codes
    )


def test_errors_lie_where_the_segment_is_bad():
    rate = np.array([0.0, 0.0, 0.0, 0.5])
    confusion = errors.Confusion(np.stack([np.array([[1 - p, p], [p, 1 - p]]) for p in rate]))
    codes = np.zeros((100, 64), np.int8)
    read, wrong = store.read_codes(
        codes, confusion, 128, np.random.SeedSequence(3)
    )  # 16 weights of 8 cells
    place = (read.ravel() != 0).reshape(-1, 16).mean(axis=0)
    assert (place[:12] == 0).all() and (place[12:] > 0.9).all() and read.dtype == np.int8
    assert wrong == np.unpackbits(read.view(np.uint8)).sum()


def test_memory_of_a_study():
    codes = np.random.default_rng(6).integers(-127, 128, (40, 50))
    names = ["layer.0.query", "layer.0.key"]
    off = store.Memory.of(validate({}, "test"), IDEAL, names)
    assert off.read(names[0], codes) is codes
    study = validate({"memory": {"errors": "stated", "cell_error_rate": 0.05}}, "test")
    memory = store.Memory.of(study, IDEAL, names)
    first = memory.read(names[0], codes)
    assert (first != memory.read(names[1], codes)).any()  # each matrix its own errors
    np.testing.assert_array_equal(store.Memory.of(study, IDEAL, names).read(names[0], codes), first)
    assert (store.Memory.of(study, IDEAL, names, seed=8).read(names[0], codes) != first).any()
    solved = validate({"memory": {"errors": "segment", "columns": 1024, "rows": 32}}, "test")
    assert (store.Memory.of(solved, WAN, names).read(names[0], codes) != codes).any()
    with pytest.raises(OutOfRangeError, match="do not fit 8 bits"):
        store.read_codes(codes * 2, errors.stated(0.1, 1), 64, np.random.SeedSequence(0))
    with pytest.raises(ConfigError, match="bits_per_cell = 1"):
        errors.segment_confusion(
            Memory(bits_per_cell=2, threshold_ua=1.0, rows=8, columns=64), WIRES, IDEAL, 0
        )


def test_a_share_of_the_cells_of_a_segment_has_telegraph_noise():
    """Cells of 40 µS, noise of 30 % of the signal in half of them: the others read what they were written to."""
    telegraph = {
        "relative_amplitude": 0.3,
        "dwell_high_s": 1e-3,
        "dwell_low_s": 1e-3,
        "cell_fraction": 0.5,
        "source": "t",
    }
    file = IDEAL.file.model_copy(update={"read_noise": ReadNoise(telegraph=telegraph, source="t")})
    noisy = dataclasses.replace(IDEAL, file=file)
    memory = Memory(rows=1, columns=400, access="none", lumped_rows=1)
    level, current, _ = segment.read_currents(memory, NO_WIRES, noisy, 3, 4, ones=0.9)
    deviation = current[level == 1] / (40e-6 * IDEAL.read_voltage) - 1
    still = np.isclose(deviation, 0, atol=1e-6)
    assert still.mean() == pytest.approx(0.5, abs=0.06)
    # both states are half of their difference away from the mean: 0.3 / (1 - 0.15) / 2
    assert deviation[~still].std() == pytest.approx(0.3 / 0.85 / 2, rel=0.1)
