"""A figure of chips over everything that is only assumed about them: swings, random draws, and the
interval's two ends.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

from xbarsim.base.errors import ConfigError
from xbarsim.chips.assumptions import Assumption, assumptions, with_assumptions
from xbarsim.chips.compare import figures
from xbarsim.chips.rollup import lower_and_schedule, roll_up
from xbarsim.models.shapes import load_shape

GAIN = 1e-9  # relative: what counts as going further
GRID = 5  # values of a range that single moves and pairs try, both ends among them
WHOLE = 256  # whole numbers in a range up to which all of them are tried
POPULATION, GENERATIONS = 40, 20  # of the differential evolution


@dataclass(frozen=True)
class Swing:
    """What one assumption does to a figure: its value at the low and at the high end, everything
    else nominal.
    """

    assumption: Assumption
    low: float
    high: float

    @property
    def width(self):
        """Ratio of the two ends, at least 1."""
        return max(self.low, self.high) / min(self.low, self.high)


@dataclass(frozen=True)
class Sweep:
    """A figure over everything assumed: nominal value, the interval between the worst and the best
    case, swings from the
    widest to the narrowest, and the quantiles 5, 50 and 95 % of independent draws from the ranges.

    low_at, high_at : {label: value} where the interval's ends lie
    """

    nominal: float
    low: float
    high: float
    swings: tuple
    quantiles: tuple
    low_at: dict
    high_at: dict


@dataclass(frozen=True)
class Ratio:
    """A figure of compare.FIGURES of the first chip over that of the second."""

    name: str

    def __call__(self, first, second):
        return first[self.name] / second[self.name]


class Space:
    """Chips on one model, batch and sequence length, as functions of what is assumed about them.

    A component of the library that several chips use is one assumption and moves in all of them
    together.
    """

    def __init__(self, descriptions, model, sequence, batch, held=()):
        """descriptions : {name: Description};  held : labels of assumptions that stay at their
        value

        Raises
        ------
        ConfigError : a held label that no chip has
        """
        self.descriptions, self.request = descriptions, (model, sequence, batch)
        every = {
            name: {a.label: a for a in assumptions(found)} for name, found in descriptions.items()
        }
        for label in held:
            if not any(label in known for known in every.values()):
                labels = sorted({label for known in every.values() for label in known})
                raise ConfigError(
                    f"nothing assumed is called {label!r}; known: {'; '.join(labels)}"
                )
        self.by_chip = {
            name: {label: a for label, a in known.items() if label not in held}
            for name, known in every.items()
        }
        self._shape = load_shape(model)
        self._known, self._lowered, self._extremes = {}, {}, {}

    def assumptions(self, names):
        """{label: Assumption} of some chips."""
        return {label: a for name in names for label, a in self.by_chip[name].items()}

    def figures(self, name, setting):
        """`figures` of a chip with the values {label: value} of assumptions, those of other chips
        ignored.
        """
        own = tuple((label, setting[label]) for label in self.by_chip[name] if label in setting)
        if (name, own) not in self._known:
            found = self.descriptions[name]
            if own:
                found = with_assumptions(
                    found, [(self.by_chip[name][label], value) for label, value in own]
                )
            self._known[name, own] = self._rolled_up(name, found, own)
        return self._known[name, own]

    def _rolled_up(self, name, found, own):
        """Figures of a chip; settings that differ in prices alone share what they have been
        lowered to.
        """
        model, sequence, batch = self.request
        if found.chip.kind == "processor":
            return figures(roll_up(found, model, sequence, batch))
        by_label = self.by_chip[name]
        built = name, tuple((label, value) for label, value in own if not by_label[label].is_price)
        if built not in self._lowered:
            self._lowered[built] = lower_and_schedule(found, self._shape, sequence, batch).merged()
        return figures(
            roll_up(found, model, sequence, batch, shape=self._shape, lowered=self._lowered[built])
        )

    def extreme(self, name, figure, sign):
        """`furthest` of one figure of one chip, searched once."""
        if (name, figure, sign) not in self._extremes:
            known = self.assumptions([name])
            self._extremes[name, figure, sign] = furthest(
                known, lambda setting: self.figures(name, setting)[figure], sign
            )
        return self._extremes[name, figure, sign]

    def shared(self, names, figure, settings):
        """Labels of assumptions that change this figure of all of the chips, each from its nominal
        values or its setting.
        """
        found = []
        for name, setting in zip(names, settings, strict=True):
            known = self.assumptions([name])
            candidates = {
                label: candidate_values(assumption) for label, assumption in known.items()
            }
            value = functools.partial(
                lambda name, setting: self.figures(name, setting)[figure], name
            )
            found.append(set(that_matter(candidates, value, [nominal_setting(known), setting])))
        return set.intersection(*found)


def sweep(space, names, figure, samples=64, seed=0):
    """Sweep of figure(*figures of the chips `names`) -> float over the assumptions of these chips.

    Every assumption goes to both ends alone (swings).  The interval's ends come from `furthest`;
    of a `Ratio` of chips that
    share no assumption that matters they are those of either chip apart.  Draws are uniform, in
    the logarithm where a range
    spans more than a factor of 4.

    Raises
    ------
    ConfigError : nothing is assumed about these chips
    """
    known = space.assumptions(names)
    if not known:
        raise ConfigError(f"nothing is assumed about {', '.join(names)}: there is nothing to sweep")

    def value(setting):
        return figure(*(space.figures(name, setting) for name in names))

    nominal = nominal_setting(known)
    swings = [
        Swing(a, *(value(nominal | {label: end}) for end in a.ends)) for label, a in known.items()
    ]
    rng = np.random.default_rng(seed)
    draws = [
        {label: at_share(a, rng.random()) for label, a in known.items()} for _ in range(samples)
    ]
    quantiles = (math.nan,) * 3
    if draws:
        quantiles = tuple(np.quantile([value(setting) for setting in draws], (0.05, 0.5, 0.95)))
    (low, low_at), (high, high_at) = (
        _end(space, names, figure, value, sign, draws) for sign in (-1, 1)
    )
    swings.sort(key=lambda swing: -swing.width)
    return Sweep(value(nominal), low, high, tuple(swings), quantiles, low_at, high_at)


def _end(space, names, figure, value, sign, draws):
    """(value, setting) of one end of a sweep."""
    known = space.assumptions(names)
    if not isinstance(figure, Ratio):
        return furthest(known, value, sign, draws)
    over, under = names
    settings = [
        space.extreme(over, figure.name, sign)[1],
        space.extreme(under, figure.name, -sign)[1],
    ]
    setting = settings[1] | settings[0]
    if space.shared(names, figure.name, settings):
        return furthest(known, value, sign, [setting, *draws])
    return max([(value(each), each) for each in (setting, *draws)], key=lambda pair: sign * pair[0])


# ---------------------------------------------------------------- the search for an end


def furthest(known, value, sign, starts=(), seed=0):
    """(value, setting) as far in the direction of `sign` (1 or -1) as could be found.

    A climb from the corner to which the ends of every single assumption point; a differential
    evolution over the assumptions
    that matter and are no prices (those act in one direction whatever the others are), from there,
    the starts and random
    corners; then climbs by one and by two assumptions at a time until none goes further.

    known : {label: Assumption};  value : function of a setting {label: value};  starts : settings;
         seed : of the evolution
    """
    nominal = nominal_setting(known)
    corner = pointed_corner(known, value, sign, nominal)
    candidates = {label: candidate_values(assumption) for label, assumption in known.items()}
    setting = climb(corner, candidates, value, sign)[1]
    labels = that_matter(candidates, value, [nominal, setting])
    matter = {label: known[label] for label in labels}
    moving = {label: assumption for label, assumption in matter.items() if not assumption.is_price}
    setting = evolve(moving, value, sign, [setting, nominal, *starts], seed)
    return climb_by_pairs(setting, matter, value, sign)


def nominal_setting(known):
    return {label: assumption.value for label, assumption in known.items()}


def pointed_corner(known, value, sign, nominal):
    """Every assumption at the end that alone goes further in the direction of `sign`."""
    corner = {}
    for label, assumption in known.items():
        corner[label] = max(
            assumption.ends, key=lambda end, label=label: sign * value(nominal | {label: end})
        )
    return corner


def that_matter(candidates, value, settings):
    """Labels of the assumptions that change the value, from any of the settings."""
    labels = []
    for label, choices in candidates.items():
        for setting in settings:
            if any(value(setting | {label: choice}) != value(setting) for choice in choices):
                labels.append(label)
                break
    return labels


def evolve(known, value, sign, starts, seed):
    """The best setting of a differential evolution (Storn and Price, 1997) that begins with the
    starts and random corners.

    Assumptions that are not in `known` stay as in the first start.
    """
    from scipy.optimize import differential_evolution

    if not known:
        return starts[0]
    labels, rng = list(known), np.random.default_rng(seed)

    def setting_at(shares):
        return starts[0] | {
            label: at_share(known[label], x) for label, x in zip(labels, shares, strict=True)
        }

    population = rng.integers(0, 2, (POPULATION, len(labels))).astype(float)
    for row, start in zip(population, starts[: POPULATION // 4], strict=False):
        row[:] = [share_of(known[label], start[label]) for label in labels]
    result = differential_evolution(
        lambda shares: -sign * value(setting_at(shares)),
        [(0.0, 1.0)] * len(labels),
        init=population,
        maxiter=GENERATIONS,
        tol=0,
        polish=False,
        seed=int(rng.integers(2**31)),
    )
    return max((starts[0], setting_at(result.x)), key=lambda setting: sign * value(setting))


def climb(setting, candidates, value, sign):
    """(value, setting) from which no candidate of a single assumption goes further in the
    direction of `sign`.

    candidates : {label: values}
    """
    best, moved = value(setting), True
    while moved:
        moved = False
        for label, choices in candidates.items():
            for choice in choices:
                tried = setting | {label: choice}
                found = value(tried)
                if goes_further(found, best, sign):
                    best, setting, moved = found, tried, True
    return best, setting


def climb_by_pairs(setting, known, value, sign):
    """(value, setting) from which neither a candidate of one nor a pair of grid values of two
    assumptions goes further.

    known : {label: Assumption};  others stay as they are in the setting
    """
    candidates = {label: candidate_values(assumption) for label, assumption in known.items()}
    grid = {label: grid_values(assumption) for label, assumption in known.items()}
    best, setting = climb(setting, candidates, value, sign)
    while (pair := better_pair(setting, grid, value, sign)) is not None:
        best, setting = climb(setting | pair, candidates, value, sign)
    return best, setting


def better_pair(setting, candidates, value, sign):
    """{label: value} of two assumptions that together go further than the setting, or None."""
    best = value(setting)
    for one, other in itertools.combinations(candidates, 2):
        for pair in itertools.product(candidates[one], candidates[other]):
            moved = dict(zip((one, other), pair, strict=True))
            if goes_further(value(setting | moved), best, sign):
                return moved
    return None


def goes_further(found, best, sign):
    return sign * (found - best) > GAIN * abs(best)


def candidate_values(assumption):
    """Values of an assumption that a single move tries: the ends, of other than prices three
    between, and every whole number
    of a short range (a count may jump anywhere: 127 of 128 rows take two conversions)."""
    low, high = assumption.ends
    if isinstance(assumption.value, int) and high - low <= WHOLE:
        return tuple(range(round(low), round(high) + 1))
    return grid_values(assumption)


def grid_values(assumption):
    """Values of an assumption that pairs of moves try."""
    low, high = assumption.ends
    if isinstance(low, str) or assumption.is_price:
        return low, high
    values = [at_share(assumption, k / (GRID - 1)) for k in range(GRID)]
    return tuple(dict.fromkeys(values))


def at_share(assumption, share):
    """The value at a share (0 ... 1) of the range, in its logarithm where it spans more than a
    factor of 4.

    Choices take halves of it, whole numbers are rounded.
    """
    low, high = assumption.ends
    if isinstance(low, str):
        return low if share < 0.5 else high
    value = (
        low * (high / low) ** share if is_logarithmic(assumption) else low + (high - low) * share
    )
    return round(value) if isinstance(assumption.value, int) else value


def share_of(assumption, value):
    """The share of its range at which an assumption has a value: the inverse of `at_share`."""
    low, high = assumption.ends
    if isinstance(low, str):
        return float(value == high)
    if is_logarithmic(assumption):
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def is_logarithmic(assumption):
    low, high = assumption.ends
    return low > 0 and high / low > 4
