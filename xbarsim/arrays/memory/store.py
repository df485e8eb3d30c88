"""The dense crossbar as memory: errors of a read, and weights with these errors.

A cell is read wrongly where the conductance that the read sees lies beyond a critical one, at which
the bit line carries the threshold.  `surroundings` draws the data and the cells of the others and
solves the segment; what is left for the cell that is read is a source with its resistance, so the
critical conductance is a formula and the probability of an error that of the cell's own law
(`read_law`), an integral that no sampling of it could give.  Mean over the surroundings: their data
are drawn with several tilts towards what changes the voltage of the worst place, and weighted back,
because rare data decide rare errors.  The standard error is that of this mean.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from xbarsim.arrays.memory.read_law import deviates, read_law
from xbarsim.arrays.memory.segment import PLACES, READ, levels_of, read_voltage, surroundings
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.base.units import MICRO

FEWEST_READS, MOST_READS = (
    168,
    672,
)  # solved segments behind error rates: as many as PRECISION needs
PRECISION = 0.1  # wanted standard error of the mean bit-error rate over that rate
NOISE_STEP, COARSE_STEP = (
    0.02,
    0.1,
)  # between deviates of the sense amplifier, see `read_law.deviates`; for thresholds
CANDIDATES = (80, 12, 12)  # thresholds that are compared, ever closer to the best
THRESHOLD_READS, NOISY_THRESHOLD_READS = (
    84,
    21,
)  # surroundings that choose the threshold, at a place of every stretch
WEIGHT_BITS = 8


# ---------------------------------------------------------------- errors of a read


@dataclass(frozen=True)
class Confusion:
    """Probabilities of what a read returns.

    probability : (stretches, levels, levels), of reading level k where level l is stored, along the
        word line
    threshold : (levels - 1,) A, or None where rates are stated
    standard_error : (stretches,) of the bit-error rates;  mean_error : of their mean; 0 where rates
        are stated
    """

    probability: np.ndarray
    threshold: np.ndarray | None = None
    standard_error: np.ndarray | float = 0.0
    mean_error: float = 0.0

    @property
    def cell_error_rate(self):
        """(stretches,): share of the cells that are read as another level, all levels equally
        likely.
        """
        levels = self.probability.shape[1]
        other = ~np.eye(levels, dtype=bool)
        return (self.probability * other).sum(axis=(1, 2)) / levels

    @property
    def bit_error_rate(self):
        """(stretches,): share of wrong bits; levels in binary order."""
        return np.einsum("slk,lk->s", self.probability, wrong_bits(self.probability.shape[1]))


def wrong_bits(levels):
    """(levels, levels) share of wrong bits of a cell that is read as another level, over the number
    of levels.
    """
    number = np.arange(levels)
    wrong = np.vectorize(lambda bits: int(bits).bit_count())(number[:, None] ^ number)
    return wrong / levels / int(levels - 1).bit_count()


def stated(cell_error_rate, bits_per_cell):
    """Confusion with a neighbouring level, both equally likely where there are two."""
    levels = 2**bits_per_cell
    step = abs(np.subtract.outer(np.arange(levels), np.arange(levels))) == 1
    probability = cell_error_rate * step / step.sum(axis=1, keepdims=True)
    return Confusion((probability + (1 - cell_error_rate) * np.eye(levels))[None])


def segment_confusion(memory, wires, device, seed, ones=0.5, threshold=None):
    """Confusion of reads of a segment.

    memory : config.Memory;  wires : config.Wires;  device : DeviceModel
    ones : see `read_currents`;  threshold : A, of other data

    Raises
    ------
    ConfigError : memory.threshold_ua with more than two levels
    """
    levels = 2**memory.bits_per_cell
    if threshold is None and memory.threshold_ua is not None:
        if levels > 2:
            raise ConfigError(
                f"memory.threshold_ua = {memory.threshold_ua} is for bits_per_cell = 1, which is "
                f"{memory.bits_per_cell}; leave it out"
            )
        threshold = np.array([memory.threshold_ua * MICRO])
    laws = [
        read_law(device.without("levels"), target)
        for target in levels_of(device, memory.bits_per_cell)
    ]
    found = surroundings(memory, wires, device, seed, 0, FEWEST_READS, ones)
    voltage = read_voltage(memory, device)
    if threshold is None:
        noisy = memory.sense_noise_ua > 0
        few = found.part(NOISY_THRESHOLD_READS if noisy else THRESHOLD_READS, PLACES)
        threshold = np.array(
            [best_threshold(memory, voltage, few, laws, lower) for lower in range(levels - 1)]
        )
    while True:
        result = confusion(memory, voltage, found, laws, np.sort(threshold))
        mean = result.bit_error_rate.mean()
        if result.mean_error <= PRECISION * mean or len(found.weight) >= MOST_READS:
            return result
        found = found.joined(
            surroundings(memory, wires, device, seed, len(found.weight), len(found.weight), ones)
        )


def tails(memory, voltage, found, law, threshold, step=NOISE_STEP):
    """(probability of less, of more) current than `threshold` of a cell of ReadLaw `law`, each
    (reads, places).

    With a noisy sense amplifier the integral over its deviate, in cells of `step`; for atoms of the
    law its normal tail.
    """
    if memory.sense_noise_ua == 0:
        critical = found.critical(memory, voltage, threshold)
        return law.below(critical), law.above(critical)
    sigma, smooth = memory.sense_noise_ua * MICRO, law.without_atoms()
    below, above = np.zeros(found.leak.shape), np.zeros(found.leak.shape)
    for conductance, mass in zip(law.atom, law.atom_mass, strict=True):
        margin = (found.current_of(memory, voltage, conductance) - threshold) / sigma
        below += mass * ndtr(-margin)
        above += mass * ndtr(margin)
    if smooth.edge.size:
        for deviate, mass in zip(*deviates(step=step), strict=True):
            critical = found.critical(memory, voltage, threshold + deviate * sigma)
            below += mass * smooth.below(critical)
            above += mass * smooth.above(critical)
    return below, above


def confusion(memory, voltage, found, laws, threshold):
    """Confusion of cells of the levels `laws` in Surroundings, at thresholds (levels - 1,) A in
    increasing order.
    """
    levels, (reads, places) = len(laws), found.leak.shape
    share, wrong = found.weight / found.weight.sum(), wrong_bits(levels)
    probability, rate = (
        np.empty((places // PLACES, levels, levels)),
        np.zeros((reads, places // PLACES)),
    )
    for stored, law in enumerate(laws):
        of_levels = _of_levels(
            stored, [tails(memory, voltage, found, law, one) for one in threshold]
        )
        of_levels = of_levels.reshape(levels, reads, -1, PLACES).mean(axis=-1)
        probability[:, stored] = np.einsum("r,krs->sk", share, of_levels)
        rate += np.tensordot(wrong[stored], of_levels, axes=1)
    deviation = share[:, None] * (rate - share @ rate)
    return Confusion(
        probability,
        threshold,
        np.sqrt((deviation**2).sum(axis=0)),
        float(np.sqrt((deviation.mean(axis=1) ** 2).sum())),
    )


def _of_levels(stored, sides):
    """(levels, reads, places) probabilities of reading each level, of `tails` at every threshold."""
    nothing = np.zeros(sides[0][0].shape)
    below, above = [nothing, *(side[0] for side in sides)], [*(side[1] for side in sides), nothing]
    levels = len(sides) + 1
    result = np.empty((levels, *nothing.shape))
    for level in range(stored):  # differences of small tails keep their digits
        result[level] = below[level + 1] - below[level]
    for level in range(stored + 1, levels):
        result[level] = above[level - 1] - above[level]
    result = np.maximum(result, 0.0)
    result[stored] = 1 - result[:stored].sum(axis=0) - result[stored + 1 :].sum(axis=0)
    return result


def best_threshold(memory, voltage, found, laws, lower):
    """A between the levels `lower` and the next: the fewest errors over all places, the middle of
    those that have as few.
    """
    low = found.current[found.level <= lower].min(initial=found.current.min())
    high = found.current[found.level > lower].max(initial=low)
    share = found.weight / found.weight.sum()

    def errors(threshold):
        above = tails(memory, voltage, found, laws[lower], threshold, COARSE_STEP)[1]
        below = tails(memory, voltage, found, laws[lower + 1], threshold, COARSE_STEP)[0]
        return float((share @ (above + below)).sum())

    for count in CANDIDATES:
        candidates = np.linspace(low, high, count)
        of_candidates = np.array([errors(threshold) for threshold in candidates])
        least = np.flatnonzero(of_candidates <= of_candidates.min() * (1 + 1e-9))
        chosen = least[len(least) // 2]
        low, high = candidates[max(chosen - 1, 0)], candidates[min(chosen + 1, count - 1)]
        if len(least) > 1:
            break
    return candidates[chosen]


# ---------------------------------------------------------------- stored weights


def read_codes(codes, confusion, columns, seed):
    """Integer codes of 8 bits after a read.

    codes : integers in -128 ... 127, any shape and type;  seed : SeedSequence, alone decides the
        errors
    Weights lie one after the other, a weight's cells (least significant bits first) on consecutive
    bit lines, segment by segment of `columns` cells.  Returns codes like the given ones, and the
    number of wrong cells.
    """
    stretches, levels = confusion.probability.shape[:2]
    bits = int(levels - 1).bit_count()
    stored = np.asarray(codes).astype(np.int64).ravel()
    if stored.size and not -128 <= stored.min() <= stored.max() <= 127:
        raise OutOfRangeError(
            f"codes from {stored.min()} to {stored.max()} do not fit 8 bits; allowed: -128 to 127"
        )
    shifts = np.arange(0, WEIGHT_BITS, bits)
    cumulative = np.cumsum(confusion.probability, axis=2)[..., :-1]
    rng, read, wrong = np.random.default_rng(seed), np.empty_like(stored), 0
    for start in range(0, stored.size, 1 << 16):
        part = stored[start : start + (1 << 16)]
        level = ((part & 255)[:, None] >> shifts) & (levels - 1)
        cell = (start + np.arange(len(part)))[:, None] * len(shifts) + np.arange(len(shifts))
        stretch = cell % columns * stretches // columns
        found = (rng.random(level.shape)[..., None] >= cumulative[stretch, level]).sum(axis=-1)
        wrong += int((found != level).sum())
        value = (found << shifts).sum(axis=1)
        read[start : start + len(part)] = np.where(value > 127, value - 256, value)
    return read.reshape(np.shape(codes)).astype(np.asarray(codes).dtype), wrong


@dataclass(frozen=True)
class Memory:
    """The dense crossbar of a study: `read(name, codes)` returns codes as they come out of it.

    confusion : Confusion, None where reads have no errors;  index : {matrix name: number of its
        random stream}
    """

    columns: int
    confusion: Confusion | None
    seed: int
    index: dict

    @classmethod
    def of(cls, study, device, names, seed=None):
        """The memory of a study for the matrices `names`; seed : another one than the study's, for
        another chip.
        """
        memory, seed = study.memory, study.seed if seed is None else seed
        chosen = None
        if memory.errors == "stated":
            chosen = stated(memory.cell_error_rate, memory.bits_per_cell)
        elif memory.errors == "segment":
            chosen = segment_confusion(memory, study.wires, device, seed)
        return cls(memory.columns, chosen, seed, {name: k for k, name in enumerate(names)})

    def read(self, name, codes):
        """codes : integers of 8 bits of the matrix `name`."""
        if self.confusion is None:
            return codes
        seed = np.random.SeedSequence(self.seed, spawn_key=(self.index[name], 0, READ))
        return read_codes(codes, self.confusion, self.columns, seed)[0]


@dataclass(frozen=True)
class Rate:
    """A bit-error rate and its standard error, from the drawn surroundings."""

    value: float
    error: float = 0.0

    @classmethod
    def worst_of(cls, confusion):
        """That of the worst stretch."""
        rates = confusion.bit_error_rate
        worst = int(rates.argmax())
        return cls(
            float(rates[worst]),
            float(np.broadcast_to(confusion.standard_error, rates.shape)[worst]),
        )


@dataclass(frozen=True)
class LengthRow:
    """Bit-error rates of a segment: over all stretches, at the worst, there with 15 of 16 cells
    conducting.
    """

    columns: int
    mean: Rate
    worst_place: Rate
    worst_data: Rate
    confusion: Confusion


def against_length(memory, wires, device, seed, lengths):
    """LengthRow of segments of each of the given lengths."""
    rows = []
    for columns in lengths:
        chosen = memory.model_copy(update={"columns": int(columns)})
        average = segment_confusion(chosen, wires, device, seed)
        worst = segment_confusion(
            chosen, wires, device, seed, ones=15 / 16, threshold=average.threshold
        )
        mean = Rate(float(average.bit_error_rate.mean()), average.mean_error)
        rows.append(
            LengthRow(int(columns), mean, Rate.worst_of(average), Rate.worst_of(worst), average)
        )
    return rows
