"""A figure of chips over everything that is only assumed about them: swings, random draws, and the
interval's two ends.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError
from xbarsim.chips.assumptions import Assumption, assumptions, with_assumptions
from xbarsim.chips.compare import figures
from xbarsim.chips.load import Description
from xbarsim.chips.plans import Lowered
from xbarsim.chips.rollup import priced, workload_of

Setting = dict[str, Any]  # {label of an assumption: its value}
Value = Callable[[Setting], float]
Known = Mapping[str, Assumption]  # by label
Candidates = Mapping[str, Sequence[Any]]  # {label: values to try}
Figures = dict[str, float]
Settled = tuple[tuple[str, Any], ...]  # a Setting as a key

GAIN = 1e-9  # relative: what counts as going further
GRID = 5  # values of a range that single moves and pairs try, both ends among them
WHOLE = 256  # whole numbers in a range up to which all of them are tried
SEED = 0  # of the draws, and of the evolution
POPULATION = 40  # of the differential evolution
GENERATIONS = 20


@dataclass(frozen=True)
class Swing:
    """What one assumption does to a figure: its value at the low and at the high end, everything
    else nominal.
    """

    assumption: Assumption
    low: float
    high: float

    @property
    def width(self) -> float:
        """Ratio of the two ends, at least 1."""
        return max(self.low, self.high) / min(self.low, self.high)


@dataclass(frozen=True)
class Extent:
    """A figure over everything assumed: nominal value, the interval between the worst and the best
    case, swings from the widest to the narrowest, and the quantiles 5, 50 and 95 % of independent
    draws from the ranges.

    low_at, high_at : {label: value} where the interval's ends lie
    """

    nominal: float
    low: float
    high: float
    swings: tuple[Swing, ...]
    quantiles: tuple[float, float, float]
    low_at: Setting
    high_at: Setting


@dataclass(frozen=True)
class Ratio:
    """A figure of compare.FIGURES of the first chip over that of the second."""

    name: str

    def __call__(self, first: Figures, second: Figures) -> float:
        return first[self.name] / second[self.name]


class Space:
    """Chips on one model, batch and sequence length, as functions of what is assumed about them.

    A component of the library that several chips use is one assumption and moves in all of them
    together.
    """

    def __init__(
        self,
        descriptions: Mapping[str, Description],
        model: str,
        sequence: int,
        batch: int,
        held: Iterable[str] = (),
    ) -> None:
        """held : labels of assumptions that stay at their value

        Raises
        ------
        ConfigError : a held label that no chip has
        """
        self.descriptions = dict(descriptions)
        self.workload = workload_of(model, sequence, batch)
        every: dict[str, dict[str, Assumption]] = {}
        for name, found in descriptions.items():
            every[name] = {a.label: a for a in assumptions(found)}
        labels = {label for known in every.values() for label in known}
        for label in held:
            if label not in labels:
                raise ConfigError(
                    f"nothing assumed is called {label!r}; known: {'; '.join(sorted(labels))}"
                )
            for known in every.values():
                known.pop(label, None)
        self.by_chip = every
        self._known: dict[tuple[str, Settled], Figures] = {}
        self._lowered: dict[tuple[str, Settled], Lowered] = {}
        self._extremes: dict[tuple[str, str, int], tuple[float, Setting]] = {}

    def assumptions(self, names: Iterable[str]) -> dict[str, Assumption]:
        """{label: Assumption} of some chips."""
        found: dict[str, Assumption] = {}
        for name in names:
            found |= self.by_chip[name]
        return found

    def figures(self, name: str, setting: Setting) -> Figures:
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

    def _rolled_up(self, name: str, found: Description, own: Settled) -> Figures:
        """Figures of a chip; settings that differ in prices alone share what they have been
        lowered to.
        """
        by_label = self.by_chip[name]
        built = name, tuple((label, value) for label, value in own if not by_label[label].is_price)
        if built not in self._lowered:
            self._lowered[built] = found.chip.lower(self.workload).merged()
        return figures(priced(found, self.workload, self._lowered[built]))

    def extreme(self, name: str, figure: str, sign: int) -> tuple[float, Setting]:
        """`furthest` of one figure of one chip, searched once."""
        if (name, figure, sign) not in self._extremes:
            known = self.assumptions([name])
            self._extremes[name, figure, sign] = furthest(
                known, lambda setting: self.figures(name, setting)[figure], sign
            )
        return self._extremes[name, figure, sign]

    def shared(self, names: Sequence[str], figure: str, settings: Sequence[Setting]) -> set[str]:
        """Labels of assumptions that change this figure of all of the chips, each from its nominal
        values or its setting.
        """
        found = []
        for name, setting in zip(names, settings, strict=True):
            known = self.assumptions([name])
            value = functools.partial(self._figure, name, figure)
            starts = [nominal_setting(known), setting]
            found.append(set(that_matter(all_candidates(known), value, starts)))
        return set.intersection(*found)

    def _figure(self, name: str, figure: str, setting: Setting) -> float:
        return self.figures(name, setting)[figure]


def extent_of(
    space: Space,
    names: Sequence[str],
    figure: Callable[..., float],
    samples: int = 64,
) -> Extent:
    """Extent of figure(*figures of the chips `names`) -> float over the assumptions of these chips.

    Every assumption goes to both ends alone (swings).  The interval's ends come from `furthest`;
    of a `Ratio` of chips that share no assumption that matters they are those of either chip apart.
    Draws are uniform, in the logarithm where a range spans more than a factor of 4.

    Raises
    ------
    ConfigError : nothing is assumed about these chips
    """
    known = space.assumptions(names)
    if not known:
        raise ConfigError(
            f"nothing is assumed about {', '.join(names)}: nothing to try other values of"
        )

    def value(setting: Setting) -> float:
        return figure(*(space.figures(name, setting) for name in names))

    nominal = nominal_setting(known)
    swings = []
    for label, assumption in known.items():
        low, high = assumption.ends
        swings.append(
            Swing(assumption, value(nominal | {label: low}), value(nominal | {label: high}))
        )
    rng = np.random.default_rng(SEED)
    draws = [drawn(known, rng) for _ in range(samples)]
    quantiles = (math.nan, math.nan, math.nan)
    if draws:
        low, middle, high = np.quantile([value(setting) for setting in draws], (0.05, 0.5, 0.95))
        quantiles = (low, middle, high)
    lowest, low_at = _end(space, names, figure, value=value, sign=-1, draws=draws)
    highest, high_at = _end(space, names, figure, value=value, sign=1, draws=draws)
    swings.sort(key=lambda swing: -swing.width)
    return Extent(
        nominal=value(nominal),
        low=lowest,
        high=highest,
        swings=tuple(swings),
        quantiles=quantiles,
        low_at=low_at,
        high_at=high_at,
    )


def drawn(known: Known, rng: np.random.Generator) -> Setting:
    """A setting with every assumption drawn from its range on its own."""
    return {label: at_share(assumption, rng.random()) for label, assumption in known.items()}


def _end(
    space: Space,
    names: Sequence[str],
    figure: Callable[..., float],
    *,
    value: Value,
    sign: int,
    draws: list[Setting],
) -> tuple[float, Setting]:
    """(value, setting) of one end of an extent."""
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


def furthest(
    known: Known, value: Value, sign: int, starts: Sequence[Setting] = ()
) -> tuple[float, Setting]:
    """(value, setting) as far in the direction of `sign` (1 or -1) as could be found.

    A climb from the corner to which the ends of every single assumption point; a differential
    evolution over the assumptions that matter and are no prices (those act in one direction
    whatever the others are), from there, the starts and random corners; then climbs by one and by
    two assumptions at a time until none goes further.
    """
    nominal = nominal_setting(known)
    corner = pointed_corner(known, value, sign, nominal)
    candidates = all_candidates(known)
    setting = climb(corner, candidates, value, sign)[1]
    labels = that_matter(candidates, value, [nominal, setting])
    matter = {label: known[label] for label in labels}
    moving = {label: assumption for label, assumption in matter.items() if not assumption.is_price}
    setting = evolve(moving, value, sign, [setting, nominal, *starts])
    return climb_by_pairs(setting, matter, value, sign)


def nominal_setting(known: Known) -> Setting:
    return {label: assumption.value for label, assumption in known.items()}


def pointed_corner(known: Known, value: Value, sign: int, nominal: Setting) -> Setting:
    """Every assumption at the end that alone goes further in the direction of `sign`."""
    corner = {}
    for label, assumption in known.items():
        values = [sign * value(nominal | {label: end}) for end in assumption.ends]
        corner[label] = assumption.ends[values.index(max(values))]
    return corner


def that_matter(candidates: Candidates, value: Value, settings: Sequence[Setting]) -> list[str]:
    """Labels of the assumptions that change the value, from any of the settings."""
    labels = []
    for label, choices in candidates.items():
        for setting in settings:
            if any(value(setting | {label: choice}) != value(setting) for choice in choices):
                labels.append(label)
                break
    return labels


def evolve(known: Known, value: Value, sign: int, starts: Sequence[Setting]) -> Setting:
    """The best setting of a differential evolution (Storn and Price, 1997) that begins with the
    starts and random corners.

    Assumptions that are not in `known` stay as in the first start.
    """
    from scipy.optimize import differential_evolution

    if not known:
        return starts[0]
    labels = list(known)
    rng = np.random.default_rng(SEED)

    def setting_at(shares: Iterable[float]) -> Setting:
        return starts[0] | {
            label: at_share(known[label], x) for label, x in zip(labels, shares, strict=True)
        }

    population = rng.integers(0, 2, (POPULATION, len(labels))).astype(float)
    for row, start in zip(population, starts[: POPULATION // 4], strict=False):
        row[:] = [share_of(known[label], start[label]) for label in labels]

    def loss(shares: Floats) -> float:
        return -sign * value(setting_at(shares))

    result = differential_evolution(
        loss,
        [(0.0, 1.0)] * len(labels),
        init=population,
        maxiter=GENERATIONS,
        tol=0,
        polish=False,
        seed=int(rng.integers(2**31)),
    )
    return max((starts[0], setting_at(result.x)), key=lambda setting: sign * value(setting))


def climb(
    setting: Setting, candidates: Candidates, value: Value, sign: int
) -> tuple[float, Setting]:
    """(value, setting) from which no candidate of a single assumption goes further in the
    direction of `sign`.
    """
    best = value(setting)
    moved = True
    while moved:
        moved = False
        for label, choices in candidates.items():
            for choice in choices:
                tried = setting | {label: choice}
                found = value(tried)
                if goes_further(found, best, sign):
                    best = found
                    setting = tried
                    moved = True
    return best, setting


def climb_by_pairs(
    setting: Setting, known: Known, value: Value, sign: int
) -> tuple[float, Setting]:
    """(value, setting) from which neither a candidate of one nor a pair of grid values of two
    assumptions goes further.

    Assumptions that are not in `known` stay as they are in the setting.
    """
    candidates = all_candidates(known)
    grid = {label: grid_values(assumption) for label, assumption in known.items()}
    best, setting = climb(setting, candidates, value, sign)
    while (pair := better_pair(setting, grid, value, sign)) is not None:
        best, setting = climb(setting | pair, candidates, value, sign)
    return best, setting


def better_pair(
    setting: Setting, candidates: Candidates, value: Value, sign: int
) -> Setting | None:
    """{label: value} of two assumptions that together go further than the setting, or None."""
    best = value(setting)
    for one, other in itertools.combinations(candidates, 2):
        for pair in itertools.product(candidates[one], candidates[other]):
            moved = dict(zip((one, other), pair, strict=True))
            if goes_further(value(setting | moved), best, sign):
                return moved
    return None


def goes_further(found: float, best: float, sign: int) -> bool:
    return sign * (found - best) > GAIN * abs(best)


def all_candidates(known: Known) -> Candidates:
    """{label: `candidate_values`}"""
    return {label: candidate_values(assumption) for label, assumption in known.items()}


def candidate_values(assumption: Assumption) -> tuple[Any, ...]:
    """Values of an assumption that a single move tries: the ends, of other than prices three
    between, and every whole number of a short range (a count may jump anywhere: 127 of 128 rows
    take two conversions).
    """
    low, high = assumption.ends
    if isinstance(assumption.value, int) and high - low <= WHOLE:
        return tuple(range(round(low), round(high) + 1))
    return grid_values(assumption)


def grid_values(assumption: Assumption) -> tuple[Any, ...]:
    """Values of an assumption that pairs of moves try."""
    low, high = assumption.ends
    if isinstance(low, str) or assumption.is_price:
        return low, high
    values = [at_share(assumption, k / (GRID - 1)) for k in range(GRID)]
    return tuple(dict.fromkeys(values))


def at_share(assumption: Assumption, share: float) -> Any:
    """The value at a share (0 ... 1) of the range, in its logarithm where it spans more than a
    factor of 4.

    Choices take halves of it, whole numbers are rounded.
    """
    low, high = assumption.ends
    if isinstance(low, str):
        return low if share < 0.5 else high
    if is_logarithmic(assumption):
        value = low * (high / low) ** share
    else:
        value = low + (high - low) * share
    return round(value) if isinstance(assumption.value, int) else value


def share_of(assumption: Assumption, value: Any) -> float:
    """The share of its range at which an assumption has a value: the inverse of `at_share`."""
    low, high = assumption.ends
    if isinstance(low, str):
        return float(value == high)
    if is_logarithmic(assumption):
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def is_logarithmic(assumption: Assumption) -> bool:
    low, high = assumption.ends
    return bool(low > 0 and high / low > 4)
