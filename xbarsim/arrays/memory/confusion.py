"""Errors of a read of the dense memory.

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

from xbarsim.arrays.memory.read_law import ReadLaw, deviates, read_law
from xbarsim.arrays.memory.segment import levels_of, read_voltage
from xbarsim.arrays.memory.surroundings import PLACES, Surroundings, surroundings
from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError
from xbarsim.base.units import MICRO
from xbarsim.config.synergy import Memory as MemorySettings
from xbarsim.config.wires import Wires
from xbarsim.devices.model import DeviceModel

# Solved segments behind error rates: as many as PRECISION needs.
FEWEST_READS = 168
MOST_READS = 672
PRECISION = 0.1  # wanted standard error of the mean bit-error rate over that rate
# Between deviates of the sense amplifier, see `read_law.deviates`; coarse ones for thresholds.
NOISE_STEP = 0.02
COARSE_STEP = 0.1
CANDIDATES = (80, 12, 12)  # thresholds that are compared, ever closer to the best
# Surroundings that choose the threshold, at a place of every stretch.
THRESHOLD_READS = 84
NOISY_THRESHOLD_READS = 21


@dataclass(frozen=True)
class Confusion:
    """Probabilities of what a read returns.

    probability : (stretches, levels, levels), of reading level k where level l is stored, along the
        word line
    threshold : (levels - 1,) A, or None where rates are stated
    standard_error : (stretches,) of the bit-error rates;  mean_error : of their mean; 0 where rates
        are stated
    """

    probability: Floats
    threshold: Floats | None = None
    standard_error: Floats | float = 0.0
    mean_error: float = 0.0

    @property
    def cell_error_rate(self) -> Floats:
        """(stretches,): share of the cells that are read as another level, all levels equally
        likely.
        """
        levels = self.probability.shape[1]
        other = ~np.eye(levels, dtype=bool)
        wrong: Floats = (self.probability * other).sum(axis=(1, 2)) / levels
        return wrong

    @property
    def bit_error_rate(self) -> Floats:
        """(stretches,): share of wrong bits; levels in binary order."""
        share = wrong_bits(self.probability.shape[1])
        rate: Floats = np.einsum("slk,lk->s", self.probability, share)
        return rate


def wrong_bits(levels: int) -> Floats:
    """(levels, levels) share of wrong bits of a cell that is read as another level, over the number
    of levels.
    """
    number = np.arange(levels)
    wrong = np.vectorize(lambda bits: int(bits).bit_count())(number[:, None] ^ number)
    share: Floats = wrong / levels / int(levels - 1).bit_count()
    return share


def stated(cell_error_rate: float, bits_per_cell: int) -> Confusion:
    """Confusion with a neighbouring level, both equally likely where there are two."""
    levels = 2**bits_per_cell
    step = abs(np.subtract.outer(np.arange(levels), np.arange(levels))) == 1
    probability = cell_error_rate * step / step.sum(axis=1, keepdims=True)
    return Confusion((probability + (1 - cell_error_rate) * np.eye(levels))[None])


@dataclass(frozen=True)
class Reader:
    """What a cell meets in a read, whatever its surroundings.

    laws : of cells of each level, from the lowest
    voltage : volt on the selected word line
    """

    memory: MemorySettings
    laws: list[ReadLaw]
    voltage: float

    @classmethod
    def of(cls, memory: MemorySettings, device: DeviceModel) -> "Reader":
        """That of cells of a device, whose own levels are left aside."""
        without_levels = device.without("levels")
        levels = levels_of(device, memory.bits_per_cell)
        laws = [read_law(without_levels, target) for target in levels]
        return cls(memory, laws, read_voltage(memory, device))

    def tails(
        self, found: Surroundings, level: int, threshold: float, step: float = NOISE_STEP
    ) -> tuple[Floats, Floats]:
        """(probability of less, of more) current than `threshold` of a cell of a level, each
        (reads, places).

        With a noisy sense amplifier the integral over its deviate, in cells of `step`; for atoms of
        the law its normal tail.
        """
        law = self.laws[level]
        if self.memory.sense_noise_ua == 0:
            critical = found.critical(self.memory, self.voltage, threshold)
            return law.below(critical), law.above(critical)
        sigma = self.memory.sense_noise_ua * MICRO
        smooth = law.without_atoms()
        below = np.zeros(found.leak.shape)
        above = np.zeros(found.leak.shape)
        for conductance, mass in zip(law.atom, law.atom_mass, strict=True):
            current = found.current_of(self.memory, self.voltage, conductance)
            margin = (current - threshold) / sigma
            below += mass * ndtr(-margin)
            above += mass * ndtr(margin)
        if smooth.edge.size:
            for deviate, mass in zip(*deviates(step=step), strict=True):
                shifted = threshold + deviate * sigma
                critical = found.critical(self.memory, self.voltage, shifted)
                below += mass * smooth.below(critical)
                above += mass * smooth.above(critical)
        return below, above

    def confusion(self, found: Surroundings, threshold: Floats) -> Confusion:
        """Confusion of cells in Surroundings, at thresholds (levels - 1,) A in increasing order."""
        levels = len(self.laws)
        reads, places = found.leak.shape
        stretches = places // PLACES
        share = found.weight / found.weight.sum()
        wrong = wrong_bits(levels)
        probability = np.empty((stretches, levels, levels))
        rate = np.zeros((reads, stretches))
        for stored in range(levels):
            tails = [self.tails(found, stored, one) for one in threshold]
            of_levels = _of_levels(stored, tails)
            of_levels = of_levels.reshape(levels, reads, -1, PLACES).mean(axis=-1)
            probability[:, stored] = np.einsum("r,krs->sk", share, of_levels)
            rate += np.tensordot(wrong[stored], of_levels, axes=1)
        deviation = share[:, None] * (rate - share @ rate)
        return Confusion(
            probability=probability,
            threshold=threshold,
            standard_error=np.sqrt((deviation**2).sum(axis=0)),
            mean_error=float(np.sqrt((deviation.mean(axis=1) ** 2).sum())),
        )

    def best_threshold(self, found: Surroundings, lower: int) -> float:
        """A between the levels `lower` and the next: the fewest errors over all places, the middle
        of those that have as few.
        """
        low = found.current[found.level <= lower].min(initial=found.current.min())
        high = found.current[found.level > lower].max(initial=low)
        share = found.weight / found.weight.sum()

        def errors(threshold: float) -> float:
            above = self.tails(found, lower, threshold, COARSE_STEP)[1]
            below = self.tails(found, lower + 1, threshold, COARSE_STEP)[0]
            return float((share @ (above + below)).sum())

        for count in CANDIDATES:
            candidates = np.linspace(low, high, count)
            of_candidates = np.array([errors(threshold) for threshold in candidates])
            least = np.flatnonzero(of_candidates <= of_candidates.min() * (1 + 1e-9))
            chosen = least[len(least) // 2]
            low = candidates[max(chosen - 1, 0)]
            high = candidates[min(chosen + 1, count - 1)]
            if len(least) > 1:
                break
        best: float = candidates[chosen]
        return best


def _of_levels(stored: int, sides: list[tuple[Floats, Floats]]) -> Floats:
    """(levels, reads, places) probabilities of reading each level, of `tails` at every threshold."""
    nothing = np.zeros(sides[0][0].shape)
    below = [nothing, *(side[0] for side in sides)]
    above = [*(side[1] for side in sides), nothing]
    levels = len(sides) + 1
    result = np.empty((levels, *nothing.shape))
    for level in range(stored):  # differences of small tails keep their digits
        result[level] = below[level + 1] - below[level]
    for level in range(stored + 1, levels):
        result[level] = above[level - 1] - above[level]
    result = np.maximum(result, 0.0)
    result[stored] = 1 - result[:stored].sum(axis=0) - result[stored + 1 :].sum(axis=0)
    return result


def segment_confusion(
    memory: MemorySettings,
    wires: Wires,
    device: DeviceModel,
    seed: int,
    ones: float = 0.5,
    threshold: Floats | None = None,
) -> Confusion:
    """Confusion of reads of a segment.

    ones : see `segment.read_currents`;  threshold : (levels - 1,) A, of other data

    Raises
    ------
    ConfigError : memory.threshold_ua with more than two levels
    """
    if threshold is None:
        threshold = _stated_threshold(memory)
    reader = Reader.of(memory, device)
    found = surroundings(memory, wires, device, seed=seed, first=0, reads=FEWEST_READS, ones=ones)
    if threshold is None:
        reads = NOISY_THRESHOLD_READS if memory.sense_noise_ua > 0 else THRESHOLD_READS
        few = found.part(reads, PLACES)
        lower_levels = range(len(reader.laws) - 1)
        threshold = np.array([reader.best_threshold(few, lower) for lower in lower_levels])
    while True:
        result = reader.confusion(found, np.sort(threshold))
        mean = result.bit_error_rate.mean()
        reads = len(found.weight)
        if result.mean_error <= PRECISION * mean or reads >= MOST_READS:
            return result
        more = surroundings(memory, wires, device, seed=seed, first=reads, reads=reads, ones=ones)
        found = found.joined(more)


def _stated_threshold(memory: MemorySettings) -> Floats | None:
    """(1,) A of the study, None where the best is to be found."""
    if memory.threshold_ua is None:
        return None
    if memory.bits_per_cell > 1:
        raise ConfigError(
            f"memory.threshold_ua = {memory.threshold_ua} is for bits_per_cell = 1, which is "
            f"{memory.bits_per_cell}; leave it out"
        )
    return np.array([memory.threshold_ua * MICRO])
