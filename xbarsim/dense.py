"""The dense crossbar as memory: currents of a read, the errors they lead to, and weights with these errors.

One word line of a segment is selected, a comparator at the end of each sensed bit line (virtual ground) tells the levels
apart.  `read_currents` solves the segment exactly (`Crossbar`) for random data and programmed cells:

transistor  the channels of unselected rows are open: what is left is the selected word line, its cells in series with
            conducting transistors, and one bit line each.  Bit lines that are not sensed float.
selector,   every cell conducts.  Unselected word lines hold random data at the nominal levels; `lumped_rows` neighbours
none        are joined into one (conductances added, wires in parallel): within 1 % of a bit line's current, so take
            lumped_rows = 1 where half-selected cells outweigh the selected one.  A selector makes the cell current
            grow as sinh(V / v0), scaled so that a cell has its conductance at the read voltage.

bias        unselected word lines   bit lines not sensed
grounded    0 V                     floating
floating    floating                floating
half        V / 2                   V / 2
third       V / 3                   2 V / 3

The currents of one level at one place along the word line scatter with programming, read noise and the data of other
cells.  `Confusion` takes mean and standard deviation from the samples (residuals of a straight line over each of up to
32 stretches), normal tails from there, and so resolves error rates that no sampling could.
"""
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from xbarsim import cells
from xbarsim.circuit import Crossbar
from xbarsim.device import Streams
from xbarsim.errors import ConfigError, OutOfRangeError
from xbarsim.units import MICRO

STRETCHES = 32                       # of a word line, each with its own moments
SAMPLES = 100                        # currents behind the moments of one level in one stretch
FEWEST_READS = 4                     # solutions of a long segment, which has enough currents in one
WEIGHT_BITS = 8
STORED, READ = 1000, 1001            # purposes of random streams, beyond those of device.py


def levels_of(device, bits_per_cell):
    """(2**bits_per_cell,) S, evenly spaced over the window."""
    return np.linspace(device.conductance_min, device.conductance_max, 2**bits_per_cell)


# ---------------------------------------------------------------- the circuit

def segment(memory, wires, voltage, selected, unselected=None):
    """(Crossbar, word-line voltages, bit-line biases, index of the selected line) of one read; columns in their order.

    memory : config.Memory;  wires : (word line, bit line) ohm per cell
    selected : (columns,) S of the cells that are read, in the row farthest from the sensing
    unselected : (groups, columns) S of the other rows, the nearest to the selected one first, see `group_sizes`; None
        where transistors keep them open
    """
    columns, (r_word, r_bit) = len(selected), wires
    idle = np.arange(columns) % memory.sensed_every != 0
    if unselected is None:
        g, lines, distance = selected[None], np.ones(1), np.array([float(memory.rows)])
    else:
        lines = np.concatenate([[1.0], group_sizes(memory)])
        middle = np.cumsum(lines) - (lines - 1) / 2 - 1                   # row numbers from the far end
        g, distance = np.vstack([selected, unselected]), memory.rows - middle
    below = r_bit * -np.diff(np.append(distance, 0.0))                    # to the next line, the last to the sensing
    share = {"grounded": (0, 0), "floating": (0, 0), "half": (1 / 2, 1 / 2), "third": (1 / 3, 2 / 3)}[memory.bias]
    inputs = np.full(len(g), share[0] * voltage)
    inputs[0] = voltage
    float_idle = unselected is None or share[1] == 0
    cell = access = None
    if memory.access == "selector":
        v0 = memory.selector_voltage_v
        cell, g = cells.Sinh(v0), g * (voltage / v0 / np.sinh(voltage / v0))
    elif memory.access == "transistor":
        access = cells.Transistor(memory.transistor_resistance_ohm, memory.transistor_overdrive_v)
    crossbar = Crossbar(g, r_word / lines, np.repeat(below[:, None], columns, axis=1), drive=memory.drive, cell=cell,
                        access=access, floating_bit_lines=idle if float_idle else (),
                        floating_word_lines=range(1, len(g)) if memory.bias == "floating" else ())
    return crossbar, inputs, np.where(idle, share[1] * voltage, 0.0)


def group_sizes(memory):
    """Rows that are joined into each lumped word line."""
    full, rest = divmod(memory.rows - 1, memory.lumped_rows)
    return np.array([memory.lumped_rows] * full + [rest] * (rest > 0), dtype=float)


def read_currents(memory, wires, device, seed, reads, ones=0.5):
    """Currents of `reads` reads of freshly written segments.

    ones : share of the cells that store the highest level; the other levels are equally likely among the rest

    Returns
    -------
    level : (reads, sensed) int;  current : (reads, sensed) A;  position : (sensed,) column numbers
    """
    device, g_level = device.without("levels"), levels_of(device, memory.bits_per_cell)
    voltage = device.read_voltage if memory.read_voltage_v is None else memory.read_voltage_v
    count = len(g_level)
    share = np.full(count, (1 - ones) / (count - 1))
    share[-1] = ones
    level, current = [], []
    for read in range(reads):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STORED, read)))
        data = rng.choice(count, memory.columns, p=share)
        written = device.program(g_level[data][None], Streams(seed, STORED, read))
        sigma = device.read_noise_sigma(written, Streams(seed, READ, read))[0]
        g = np.maximum(written.conductance[0] + sigma * rng.standard_normal(memory.columns), 0)
        others = None
        if memory.access != "transistor":
            others = np.array([rng.multinomial(int(size), share, memory.columns) @ g_level for size in group_sizes(memory)])
            others = others.reshape(-1, memory.columns)
        crossbar, inputs, bias = segment(memory, wires, voltage, g, others)
        sensed = np.arange(memory.columns) % memory.sensed_every == 0
        level.append(data[sensed])
        current.append(crossbar.solve(inputs, bias, tolerance=1e-9).output_current[sensed])
    return np.array(level), np.array(current), np.flatnonzero(sensed)


# ---------------------------------------------------------------- errors of a read

@dataclass(frozen=True)
class Confusion:
    """Probabilities of what a read returns.

    probability : (stretches, levels, levels), of reading level k where level l is stored, along the word line
    threshold : (levels - 1,) A, or None where rates are stated
    """

    probability: np.ndarray
    threshold: np.ndarray | None = None

    @property
    def cell_error_rate(self):
        """(stretches,): share of the cells that are read as another level, all levels equally likely."""
        levels = self.probability.shape[1]
        other = ~np.eye(levels, dtype=bool)
        return (self.probability * other).sum(axis=(1, 2)) / levels

    @property
    def bit_error_rate(self):
        """(stretches,): share of wrong bits; levels in binary order."""
        levels = self.probability.shape[1]
        number = np.arange(levels)
        wrong = np.vectorize(lambda bits: int(bits).bit_count())(number[:, None] ^ number)
        return (self.probability * wrong).sum(axis=(1, 2)) / levels / int(levels - 1).bit_count()


def stated(cell_error_rate, bits_per_cell):
    """Confusion with a neighbouring level, both equally likely where there are two."""
    levels = 2**bits_per_cell
    step = abs(np.subtract.outer(np.arange(levels), np.arange(levels))) == 1
    probability = cell_error_rate * step / step.sum(axis=1, keepdims=True)
    return Confusion((probability + (1 - cell_error_rate) * np.eye(levels))[None])


def moments(level, current, position, columns, levels):
    """(mean, standard deviation), each (stretches, levels) A, of currents in stretches of the word line."""
    stretches = min(STRETCHES, len(position))
    mean, deviation = np.empty((2, stretches, levels))
    for stretch in range(stretches):
        inside = position * stretches // columns == stretch
        x = np.broadcast_to(position[inside] - position[inside].mean(), (len(level), inside.sum()))
        for k in range(levels):
            chosen = level[:, inside] == k
            if chosen.sum() < 4:
                raise OutOfRangeError(f"level {k} was stored in {chosen.sum()} cells of a stretch; needed are 4: more reads")
            where, values = x[chosen], current[:, inside][chosen]
            slope = (where - where.mean()) @ values / max(((where - where.mean()) ** 2).sum(), 1e-300)
            mean[stretch, k] = values.mean() - slope * where.mean()
            residual = values - mean[stretch, k] - slope * where
            deviation[stretch, k] = np.sqrt((residual**2).sum() / (len(values) - 2))
    return mean, deviation


def confusion(mean, deviation, threshold=None):
    """Confusion of normally distributed currents.

    threshold : (levels - 1,) A; None chooses the best for all stretches together
    """
    levels = mean.shape[1]
    deviation = np.maximum(deviation, 1e-12 * abs(mean).max())
    if threshold is None:
        threshold = np.array([_best_threshold(mean[:, k:k + 2], deviation[:, k:k + 2]) for k in range(levels - 1)])
    threshold = np.sort(threshold)
    z = (threshold[:, None, None] - mean) / deviation                      # (levels - 1, stretches, levels)
    below = np.concatenate([np.zeros_like(z[:1]), ndtr(z), np.ones_like(z[:1])])
    above = np.concatenate([np.ones_like(z[:1]), ndtr(-z), np.zeros_like(z[:1])])
    # The difference of the smaller tails, so that small probabilities keep their digits.
    probability = np.where(below[1:] < above[:-1], below[1:] - below[:-1], above[:-1] - above[1:])
    return Confusion(np.moveaxis(probability, 0, 2), threshold)


def _best_threshold(mean, deviation):
    """A between two levels (stretches, 2): fewest errors, or where none is left the widest margin in deviations."""
    candidates = np.linspace(mean.min(), mean.max(), 4001)
    lower = (candidates[:, None] - mean[:, 0]) / deviation[:, 0]
    upper = (mean[:, 1] - candidates[:, None]) / deviation[:, 1]
    margin = np.minimum(lower, upper).min(axis=1)
    errors = (ndtr(-lower) + ndtr(-upper)).sum(axis=1)
    return candidates[np.argmin(errors)] if margin.max() < 6 else candidates[np.argmax(margin)]


def segment_confusion(memory, wires, device, seed, ones=0.5, threshold=None):
    """Confusion of reads of a segment.

    memory : config.Memory;  wires : (word line, bit line) ohm per cell;  device : DeviceModel
    ones : see `read_currents`;  threshold : A, of other data
    """
    levels, sensed = 2**memory.bits_per_cell, -(-memory.columns // memory.sensed_every)
    rare = min(ones, (1 - ones) / (levels - 1))
    reads = max(FEWEST_READS, int(np.ceil(SAMPLES * min(STRETCHES, sensed) / (sensed * rare))))
    level, current, position = read_currents(memory, wires, device, seed, reads, ones)
    mean, deviation = moments(level, current, position, memory.columns, levels)
    if threshold is None and memory.threshold_ua is not None:
        if levels > 2:
            raise ConfigError(f"memory.threshold_ua = {memory.threshold_ua} is for bits_per_cell = 1, which is "
                              f"{memory.bits_per_cell}; leave it out")
        threshold = np.array([memory.threshold_ua * MICRO])
    return confusion(mean, np.hypot(deviation, memory.sense_noise_ua * MICRO), threshold)


# ---------------------------------------------------------------- stored weights

def read_codes(codes, confusion, columns, seed):
    """Integer codes of 8 bits after a read.

    codes : integers in -128 ... 127, any shape and type;  seed : SeedSequence, alone decides the errors
    Weights lie one after the other, a weight's cells (least significant bits first) on consecutive bit lines, segment by
    segment of `columns` cells.  Returns codes like the given ones, and the number of wrong cells.
    """
    stretches, levels = confusion.probability.shape[:2]
    bits = int(levels - 1).bit_count()
    stored = np.asarray(codes).astype(np.int64).ravel()
    if stored.size and not -128 <= stored.min() <= stored.max() <= 127:
        raise OutOfRangeError(f"codes from {stored.min()} to {stored.max()} do not fit 8 bits; allowed: -128 to 127")
    shifts = np.arange(0, WEIGHT_BITS, bits)
    cumulative = np.cumsum(confusion.probability, axis=2)[..., :-1]
    rng, read, wrong = np.random.default_rng(seed), np.empty_like(stored), 0
    for start in range(0, stored.size, 1 << 16):
        part = stored[start:start + (1 << 16)]
        level = ((part & 255)[:, None] >> shifts) & (levels - 1)
        cell = (start + np.arange(len(part)))[:, None] * len(shifts) + np.arange(len(shifts))
        stretch = cell % columns * stretches // columns
        found = (rng.random(level.shape)[..., None] >= cumulative[stretch, level]).sum(axis=-1)
        wrong += int((found != level).sum())
        value = (found << shifts).sum(axis=1)
        read[start:start + len(part)] = np.where(value > 127, value - 256, value)
    return read.reshape(np.shape(codes)).astype(np.asarray(codes).dtype), wrong


@dataclass(frozen=True)
class Memory:
    """The dense crossbar of a study: `read(name, codes)` returns codes as they come out of it.

    confusion : Confusion, None where reads have no errors;  index : {matrix name: number of its random stream}
    """

    columns: int
    confusion: Confusion | None
    seed: int
    index: dict

    @classmethod
    def of(cls, study, device, names, seed=None):
        """The memory of a study for the matrices `names`; seed : another one than the study's, for another chip."""
        memory, seed = study.memory, study.seed if seed is None else seed
        chosen = None
        if memory.errors == "stated":
            chosen = stated(memory.cell_error_rate, memory.bits_per_cell)
        elif memory.errors == "segment":
            chosen = segment_confusion(memory, study.wires.resistances(), device, seed)
        return cls(memory.columns, chosen, seed, {name: k for k, name in enumerate(names)})

    def read(self, name, codes):
        """codes : integers of 8 bits of the matrix `name`."""
        if self.confusion is None:
            return codes
        seed = np.random.SeedSequence(self.seed, spawn_key=(self.index[name], 0, READ))
        return read_codes(codes, self.confusion, self.columns, seed)[0]


def against_length(memory, wires, device, seed, lengths):
    """Bit-error rates of segments of given lengths: [(columns, mean, at the worst place, the same with 15 of 16 cells
    conducting, Confusion)]."""
    rows = []
    for columns in lengths:
        chosen = memory.model_copy(update={"columns": int(columns)})
        average = segment_confusion(chosen, wires, device, seed)
        worst = segment_confusion(chosen, wires, device, seed, ones=15 / 16, threshold=average.threshold)
        rates = average.bit_error_rate
        rows.append((int(columns), float(rates.mean()), float(rates.max()), float(worst.bit_error_rate.max()), average))
    return rows
