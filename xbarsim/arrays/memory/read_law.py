"""The law of what a read sees of a cell: probabilities far into the tails, by numerical
integration.

A cell that was told to take a conductance is written, spread, relaxed, drifted, disturbed, held at
its physical bounds, stuck and read, as `DeviceModel.program` and `read_noise_sigma` do by drawing
numbers.  Here each step maps a cloud of conductances with probability masses to the next one: every
normal deviate becomes cells of exact mass, and the cloud is gathered into bins that widen away from
its middle.  Relative errors are a few percent where a tail is 1e-40, less above.

Two steps are approximate: laws that mean the achieved conductance take the one that the cell has by
then, and a write-and-verify process is drawn (VERIFIED cells), so that its own tails end at one
over this number.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr
from scipy.stats import t

from xbarsim.base.units import MICROSIEMENS
from xbarsim.devices.ageing import arrhenius
from xbarsim.devices.model import Programmed
from xbarsim.devices.streams import Streams

STEP = 0.005  # of asinh(z) between the cells of a deviate z, and between bins
REACH = 37.0  # standard deviations: 1e-299 lie beyond
STUDENT_REACH = 1e5
VERIFIED = (64, 128)  # word and bit lines of cells that a write-and-verify process is drawn for
SMALLEST = 1e-320  # masses below are left out


@dataclass(frozen=True)
class ReadLaw:
    """Distribution of the conductance that a read sees.

    edge : (k,) S, increasing;  log_below, log_above : (k,) log of the continuous mass below and
        above each edge
    atom, atom_mass : (a,) S and probability of values that stand alone: stuck cells, cells at a
        bound, exact ones
    """

    edge: np.ndarray
    log_below: np.ndarray
    log_above: np.ndarray
    atom: np.ndarray
    atom_mass: np.ndarray

    def below(self, g):
        """Probability of a conductance below g (any shape, S, infinite ones included)."""
        return self._tail(g, self.log_below, self.atom_mass @ (self.atom[:, None] < np.ravel(g)))

    def above(self, g):
        """Probability of a conductance of g or more."""
        return self._tail(g, self.log_above, self.atom_mass @ (self.atom[:, None] >= np.ravel(g)))

    def without_atoms(self):
        """The continuous part alone; its probabilities do not add up to 1."""
        return replace(self, atom=self.atom[:0], atom_mass=self.atom_mass[:0])

    def _tail(self, g, logarithm, of_atoms):
        if not self.edge.size:
            return of_atoms.reshape(np.shape(g))
        tail = np.exp(np.interp(g, self.edge, logarithm))
        return np.where(tail > 2 * SMALLEST, tail, 0.0) + of_atoms.reshape(np.shape(g))


def read_law(device, target):
    """ReadLaw of cells of a DeviceModel that were told to take `target` (S)."""
    point, mass = _written(device, target)
    if (table := device._table("spread")) is not None:
        for relative in (
            table.device_to_device_relative_sigma,
            table.cycle_to_cycle_relative_sigma,
        ):
            point, mass = _blurred(point, mass, relative * point)
    if device._table("relaxation") is not None:
        mean, sigma = device.relaxation_moments()
        point, mass = _blurred(point + mean, mass, np.full(point.shape, sigma))
    if (table := device._table("drift")) is not None:
        mean, sigma = device.drift_exponent(_cells(np.maximum(point, 0.0), target))
        decay = -np.log(device.aged_time / table.reference_s)
        spread, mass = _cloud(
            np.broadcast_to(mean, point.shape), mass, np.broadcast_to(sigma, point.shape)
        )
        point, mass = _gathered((point[:, None] * np.exp(decay * spread)).ravel(), mass.ravel())
    if (table := device._table("read_disturb")) is not None:
        end = device.conductance_min if table.toward == "minimum" else device.conductance_max
        point = point - (end - point) * np.expm1(-table.rate_per_read * device.reads)
    if (table := device._table("temperature")) is not None:
        point = point * arrhenius(device, table.activation_energy_ev)
    low, high = (bound * MICROSIEMENS for bound in device.file.conductance.bounds_us)
    point, mass, aimed = _stuck(device, np.clip(point, low, high), mass, target)
    return _law(*_read(device, point, mass, aimed))


# ---------------------------------------------------------------- steps of a cloud


def _cells(point, target):
    """Cells of a cloud for the laws of the device file: what they achieved counts as where they
    are.
    """
    return Programmed(point, np.broadcast_to(target, point.shape), point)


def deviates(reach=REACH, step=STEP):
    """Cells of a standard normal deviate from -reach to reach: (middles of mass, exact masses)."""
    edge = np.sinh(
        np.linspace(-np.arcsinh(reach), np.arcsinh(reach), 2 * int(np.arcsinh(reach) / step) + 1)
    )
    middle = (edge[1:] + edge[:-1]) / 2
    mass = np.where(middle < 0, np.diff(ndtr(edge)), -np.diff(ndtr(-edge)))
    return middle * (1 - np.diff(edge) ** 2 / 12), mass


def _written(device, target):
    """Cloud of cells after the write itself."""
    if "programming" in device.effects and device.file.write_verify is not None:
        alone = device.with_effects("programming")
        g = alone.program(np.full(VERIFIED, target), Streams(0, 0, 0)).conductance.ravel()
        return _gathered(g, np.full(g.size, 1 / g.size))
    model, sigma = device._table("programming"), float(device.write_sigma(target))
    if model is None:
        return np.array([target]), np.ones(1)
    middle = target + float(device.write_bias(target))
    if sigma == 0:
        return np.array([middle]), np.ones(1)
    if model.model == "bounded":
        share = (np.arange(2000) + 0.5) / 1000 - 1
        return middle + model.half_width_us * MICROSIEMENS * share, np.full(2000, 1 / 2000)
    if model.model == "student":
        edge = np.sinh(np.linspace(-np.arcsinh(STUDENT_REACH), np.arcsinh(STUDENT_REACH), 6001))
        law, unit = t(model.degrees_of_freedom), np.sqrt(1 - 2 / model.degrees_of_freedom)
        mass = np.where(edge[1:] <= 0, np.diff(law.cdf(edge)), -np.diff(law.sf(edge)))
        return middle + sigma * unit * (edge[1:] + edge[:-1]) / 2, mass
    deviate, mass = deviates()
    if model.model == "mixture":
        wide, factor = model.tail_fraction, model.tail_factor
        sigma = sigma / np.sqrt(1 - wide + wide * factor**2)
        return _gathered(
            middle + sigma * np.concatenate([deviate, factor * deviate]),
            np.concatenate([(1 - wide) * mass, wide * mass]),
        )
    return middle + sigma * deviate, mass


def _cloud(point, mass, sigma):
    """(k, cells) values and masses of normal deviates of standard deviation sigma (k,) about points
    (k,).
    """
    deviate, of_deviate = deviates()
    return point[:, None] + np.multiply.outer(sigma, deviate), np.multiply.outer(mass, of_deviate)


def _blurred(point, mass, sigma):
    """The cloud with independent normal deviates added; points without any stay."""
    if not np.any(sigma):
        return point, mass
    return _gathered(*(part.ravel() for part in _cloud(point, mass, sigma)))


def _gathered(point, mass):
    """The same cloud with one point, the middle of mass, for each of the bins that hold some."""
    kept = mass > SMALLEST
    point, mass = point[kept], mass[kept]
    middle = mass @ point / mass.sum()
    width = np.sqrt(mass @ (point - middle) ** 2 / mass.sum())
    if width == 0:
        return point[:1], mass.sum(keepdims=True)
    place = np.floor(np.arcsinh((point - middle) / width) / STEP).astype(np.int64)
    place -= place.min()
    total, moment = np.bincount(place, mass), np.bincount(place, mass * (point - middle))
    kept = total > SMALLEST
    return middle + moment[kept] / total[kept], total[kept]


def _stuck(device, point, mass, target):
    """(points, masses, what each was aimed at) with the cells that are stuck, alone or with their
    lines.
    """
    table = device._table("stuck")
    aimed = np.full(point.shape, target)
    if table is None:
        return point, mass, aimed
    on, off = table.on_rate, table.off_rate
    for line_on, line_off in (
        (table.word_line_on_rate, table.word_line_off_rate),
        (table.bit_line_on_rate, table.bit_line_off_rate),
    ):  # lines decide over cells
        free = 1 - line_on - line_off
        on, off = on * free + line_on, off * free + line_off
    ends = (
        device.conductance_max if table.on_us is None else table.on_us * MICROSIEMENS,
        device.conductance_min if table.off_us is None else table.off_us * MICROSIEMENS,
    )
    return (
        np.append(point, ends),
        np.append(mass * (1 - on - off), (on, off)),
        np.append(aimed, ends),
    )


def _read(device, point, mass, aimed):
    """The cloud as a read sees it; telegraph noise of the share of the cells that have it counts
    with its variance.
    """
    parts = device.read_noise_parts(_cells(point, aimed))
    quiet = np.hypot(parts["white"], parts["flicker"])
    if not parts["telegraph"].any():
        return _noisy(point, mass, quiet)
    share = device.file.read_noise.telegraph.cell_fraction
    both = np.hypot(quiet, parts["telegraph"])
    return _noisy(
        np.tile(point, 2),
        np.concatenate([share * mass, (1 - share) * mass]),
        np.concatenate([both, quiet]),
    )


def _noisy(point, mass, sigma):
    """The cloud with normal deviates added; points without noise are not gathered with others."""
    still = sigma == 0
    if still.all():
        return point, mass
    moved = _blurred(point[~still], mass[~still], sigma[~still])
    return np.append(moved[0], point[still]), np.append(moved[1], mass[still])


def _law(point, mass):
    """ReadLaw of a cloud: points that carry as much as a whole neighbourhood stand alone, the
    others are smoothed.
    """
    point, mass = np.maximum(point[mass > SMALLEST], 0.0), mass[mass > SMALLEST]
    order = np.argsort(point)
    point, start = np.unique(point[order], return_index=True)
    mass = np.add.reduceat(mass[order], start)
    alone = _atoms(point, mass)
    atom, atom_mass, point, mass = point[alone], mass[alone], point[~alone], mass[~alone]
    if not point.size:
        empty = np.empty(0)
        return ReadLaw(empty, empty, empty, atom, atom_mass)
    distance, fall = np.diff(point), -np.diff(np.log(mass))
    # A point is the middle of mass of its bin, off the middle of the bin by a twelfth of what the
    # density falls over it.
    middle = (point[1:] + point[:-1]) / 2 + np.clip(fall, -5, 5) * distance / 12
    edge = np.concatenate(
        [point[:1] - 1e-3 * abs(point[0]) - 1e-15, middle, point[-1:] * 1.001 + 1e-15]
    )
    below = np.concatenate([[0.0], np.cumsum(mass)])
    above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
    log_below, log_above = (np.log(np.maximum(tail, SMALLEST)) for tail in (below, above))
    return ReadLaw(edge, log_below, log_above, atom, atom_mass)


def _atoms(point, mass):
    """Which points stand alone: more mass than 50 times what either neighbour has, or hardly any
    neighbour.
    """
    if len(point) < 20:
        return np.ones(len(point), bool)
    neighbour = np.maximum(np.append(mass[1:], 0.0), np.append(0.0, mass[:-1]))
    return mass > 50 * neighbour
