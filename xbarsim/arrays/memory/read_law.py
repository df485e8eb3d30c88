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

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import t

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.base.units import MICROSIEMENS
from xbarsim.devices.ageing import disturbed_end
from xbarsim.devices.laws import stated
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import Streams
from xbarsim.devices.writing import stuck_conductances

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

    edge: Floats
    log_below: Floats
    log_above: Floats
    atom: Floats
    atom_mass: Floats

    def below(self, g: Floats) -> Floats:
        """Probability of a conductance below g (any shape, S, infinite ones included)."""
        of_atoms = self.atom_mass @ (self.atom[:, None] < np.ravel(g))
        return self._tail(g, self.log_below, of_atoms)

    def above(self, g: Floats) -> Floats:
        """Probability of a conductance of g or more."""
        of_atoms = self.atom_mass @ (self.atom[:, None] >= np.ravel(g))
        return self._tail(g, self.log_above, of_atoms)

    def without_atoms(self) -> ReadLaw:
        """The continuous part alone; its probabilities do not add up to 1."""
        return replace(self, atom=self.atom[:0], atom_mass=self.atom_mass[:0])

    def _tail(self, g: Floats, logarithm: Floats, of_atoms: Floats) -> Floats:
        atoms = of_atoms.reshape(np.shape(g))
        if not self.edge.size:
            return atoms
        tail = np.exp(np.interp(g, self.edge, logarithm))
        smooth: Floats = np.where(tail > 2 * SMALLEST, tail, 0.0)
        return smooth + atoms


@dataclass(frozen=True)
class Cloud:
    """Cells of conductances `point` (k,) S with probabilities `mass` (k,)."""

    point: Floats
    mass: Floats

    def blurred(self, sigma: Floats) -> Cloud:
        """With independent normal deviates of sigma (k,) S added; points without any stay."""
        if not np.any(sigma):
            return self
        point, mass = _spread(self.point, self.mass, sigma)
        return _gathered(point.ravel(), mass.ravel())

    def at(self, point: Floats) -> Cloud:
        """The same masses at other points."""
        return Cloud(point, self.mass)


def read_law(device: DeviceModel, target: float) -> ReadLaw:
    """ReadLaw of cells that were told to take `target` (S)."""
    active = device.active
    cloud = _written(device, target)
    if active.spread is not None:
        for relative in (
            active.spread.device_to_device_relative_sigma,
            active.spread.cycle_to_cycle_relative_sigma,
        ):
            cloud = cloud.blurred(relative * cloud.point)
    if active.relaxation is not None:
        mean, sigma = device.relaxation_moments()
        moved = cloud.at(cloud.point + mean)
        cloud = moved.blurred(np.full(moved.point.shape, sigma))
    if active.drift is not None:
        cloud = _drifted(device, cloud, target, active.drift.reference_s)
    if active.read_disturb is not None:
        end = disturbed_end(device)
        reached = np.expm1(-active.read_disturb.rate_per_read * device.reads)
        cloud = cloud.at(cloud.point - (end - cloud.point) * reached)
    if active.temperature is not None:
        factor = device.arrhenius(active.temperature.activation_energy_ev)
        cloud = cloud.at(cloud.point * factor)
    low, high = device.bounds
    cloud, aimed = _with_stuck(device, cloud.at(np.clip(cloud.point, low, high)), target)
    return _law(_read(device, cloud, aimed))


# ---------------------------------------------------------------- steps of a cloud


def _cells(point: Floats, target: float | Floats) -> Programmed:
    """Cells of a cloud for the laws of the device file: what they achieved counts as where they
    are.
    """
    return Programmed(point, np.broadcast_to(target, point.shape), point)


def deviates(step: float = STEP) -> tuple[Floats, Floats]:
    """Cells of a standard normal deviate from -REACH to REACH: (middles of mass, exact masses)."""
    reach = np.arcsinh(REACH)
    cells = 2 * int(reach / step)
    edge = np.sinh(np.linspace(-reach, reach, cells + 1))
    middle = (edge[1:] + edge[:-1]) / 2
    mass = np.where(middle < 0, np.diff(ndtr(edge)), -np.diff(ndtr(-edge)))
    return middle * (1 - np.diff(edge) ** 2 / 12), mass


def _written(device: DeviceModel, target: float) -> Cloud:
    """Cloud of cells after the write itself."""
    if device.active.write_verify is not None:
        alone = device.with_effects("programming")
        g = alone.program(np.full(VERIFIED, target), Streams(0, 0, 0)).conductance.ravel()
        return _gathered(g, np.full(g.size, 1 / g.size))
    model = device.active.programming
    sigma = float(device.write_sigma(target))
    if model is None:
        return Cloud(np.array([target]), np.ones(1))
    middle = target + float(device.write_bias(target))
    if sigma == 0:
        return Cloud(np.array([middle]), np.ones(1))
    if model.model == "bounded":
        return _bounded(middle, stated(model.half_width_us) * MICROSIEMENS)
    if model.model == "student":
        return _student(middle, sigma, stated(model.degrees_of_freedom))
    deviate, mass = deviates()
    if model.model != "mixture":
        return Cloud(middle + sigma * deviate, mass)
    wide = stated(model.tail_fraction)
    factor = stated(model.tail_factor)
    narrow_sigma = sigma / np.sqrt(1 - wide + wide * factor**2)
    both = np.concatenate([deviate, factor * deviate])
    masses = np.concatenate([(1 - wide) * mass, wide * mass])
    return _gathered(middle + narrow_sigma * both, masses)


def _bounded(middle: float, half_width: float) -> Cloud:
    """Cells that are equally likely within half_width (S) of the middle."""
    share = (np.arange(2000) + 0.5) / 1000 - 1
    return Cloud(middle + half_width * share, np.full(2000, 1 / 2000))


def _student(middle: float, sigma: float, degrees_of_freedom: float) -> Cloud:
    """Cells with Student's t about the middle, of standard deviation sigma (S)."""
    reach = np.arcsinh(STUDENT_REACH)
    edge = np.sinh(np.linspace(-reach, reach, 6001))
    law = t(degrees_of_freedom)
    unit = np.sqrt(1 - 2 / degrees_of_freedom)
    mass = np.where(edge[1:] <= 0, np.diff(law.cdf(edge)), -np.diff(law.sf(edge)))
    return Cloud(middle + sigma * unit * (edge[1:] + edge[:-1]) / 2, mass)


def _drifted(device: DeviceModel, cloud: Cloud, target: float, reference: float) -> Cloud:
    """The cloud with drift exponents, since `reference` seconds after the write."""
    cells = _cells(np.maximum(cloud.point, 0.0), target)
    mean, sigma = device.drift_exponent(cells)
    decay = -np.log(device.known_time() / reference)
    shape = cloud.point.shape
    exponent, mass = _spread(
        np.broadcast_to(mean, shape), cloud.mass, np.broadcast_to(sigma, shape)
    )
    drifted = cloud.point[:, None] * np.exp(decay * exponent)
    return _gathered(drifted.ravel(), mass.ravel())


def _spread(point: Floats, mass: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """(k, cells) values and masses of normal deviates of standard deviation sigma (k,) about points
    (k,).
    """
    deviate, of_deviate = deviates()
    values = point[:, None] + np.multiply.outer(sigma, deviate)
    return values, np.multiply.outer(mass, of_deviate)


def _gathered(point: Floats, mass: Floats) -> Cloud:
    """The cloud with one point, the middle of mass, for each of the bins that hold some."""
    kept = mass > SMALLEST
    point = point[kept]
    mass = mass[kept]
    middle = mass @ point / mass.sum()
    width = np.sqrt(mass @ (point - middle) ** 2 / mass.sum())
    if width == 0:
        return Cloud(point[:1], mass.sum(keepdims=True))
    place = np.floor(np.arcsinh((point - middle) / width) / STEP).astype(np.int64)
    place -= place.min()
    total = np.bincount(place, mass)
    moment = np.bincount(place, mass * (point - middle))
    kept = total > SMALLEST
    masses: Any = total[kept]  # weighted counts are floats
    return Cloud(middle + moment[kept] / masses, masses)


def _with_stuck(device: DeviceModel, cloud: Cloud, target: float) -> tuple[Cloud, Floats]:
    """The cloud with the cells that are stuck, alone or with their lines, and what each was aimed
    at, S.
    """
    stuck = device.active.stuck
    aimed = np.full(cloud.point.shape, target)
    if stuck is None:
        return cloud, aimed
    on = stuck.on_rate
    off = stuck.off_rate
    for line_on, line_off in (
        (stuck.word_line_on_rate, stuck.word_line_off_rate),
        (stuck.bit_line_on_rate, stuck.bit_line_off_rate),
    ):  # lines decide over cells
        free = 1 - line_on - line_off
        on = on * free + line_on
        off = off * free + line_off
    ends = stuck_conductances(device, stuck)
    all_cells = Cloud(
        point=np.append(cloud.point, ends),
        mass=np.append(cloud.mass * (1 - on - off), (on, off)),
    )
    return all_cells, np.append(aimed, ends)


def _read(device: DeviceModel, cloud: Cloud, aimed: Floats) -> Cloud:
    """The cloud as a read sees it; telegraph noise of the share of the cells that have it counts
    with its variance.
    """
    parts = device.read_noise_parts(_cells(cloud.point, aimed))
    quiet = np.hypot(parts["white"], parts["flicker"])
    if not parts["telegraph"].any():
        return _noisy(cloud, quiet)
    share = stated(stated(device.file.read_noise).telegraph).cell_fraction
    both = np.hypot(quiet, parts["telegraph"])
    twice = Cloud(
        point=np.tile(cloud.point, 2),
        mass=np.concatenate([share * cloud.mass, (1 - share) * cloud.mass]),
    )
    return _noisy(twice, np.concatenate([both, quiet]))


def _noisy(cloud: Cloud, sigma: Floats) -> Cloud:
    """The cloud with normal deviates added; points without noise are not gathered with others."""
    still = sigma == 0
    if still.all():
        return cloud
    moved = Cloud(cloud.point[~still], cloud.mass[~still]).blurred(sigma[~still])
    return Cloud(
        point=np.append(moved.point, cloud.point[still]),
        mass=np.append(moved.mass, cloud.mass[still]),
    )


def _law(cloud: Cloud) -> ReadLaw:
    """ReadLaw of a cloud: points that carry as much as a whole neighbourhood stand alone, the
    others are smoothed.
    """
    kept = cloud.mass > SMALLEST
    held = np.maximum(cloud.point[kept], 0.0)
    order = np.argsort(held)
    point, start = np.unique(held[order], return_index=True)
    mass = np.add.reduceat(cloud.mass[kept][order], start)
    alone = _atoms(point, mass)
    atom = point[alone]
    atom_mass = mass[alone]
    point = point[~alone]
    mass = mass[~alone]
    if not point.size:
        empty = np.empty(0)
        return ReadLaw(empty, empty, empty, atom, atom_mass)
    distance = np.diff(point)
    fall = -np.diff(np.log(mass))
    # A point is the middle of mass of its bin, off the middle of the bin by a twelfth of what the
    # density falls over it.
    middle = (point[1:] + point[:-1]) / 2 + np.clip(fall, -5, 5) * distance / 12
    first = point[:1] - 1e-3 * abs(point[0]) - 1e-15
    last = point[-1:] * 1.001 + 1e-15
    below = np.concatenate([[0.0], np.cumsum(mass)])
    above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
    return ReadLaw(
        edge=np.concatenate([first, middle, last]),
        log_below=np.log(np.maximum(below, SMALLEST)),
        log_above=np.log(np.maximum(above, SMALLEST)),
        atom=atom,
        atom_mass=atom_mass,
    )


def _atoms(point: Floats, mass: Floats) -> Booleans:
    """Which points stand alone: more mass than 50 times what either neighbour has, or hardly any
    neighbour.
    """
    if len(point) < 20:
        return np.ones(len(point), bool)
    neighbour = np.maximum(np.append(mass[1:], 0.0), np.append(0.0, mass[:-1]))
    alone: Booleans = mass > 50 * neighbour
    return alone
