"""The points of a sweep: which values its axes have, and the study of each point."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConfigError
from xbarsim.config.settings_text import nested
from xbarsim.config.study import Study, merge, validate
from xbarsim.config.sweep import Design, Range, Sweep

FIXED = ("name", "sweep", "budget", "training", "case", "layer")


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    number : from 1;  values : {axis: its value here};  study : complete, without `[sweep]`
    """

    number: int
    values: dict[str, Any]
    study: Study

    @property
    def name(self) -> str:
        """Name of its study, and stem of its trace."""
        return self.study.name


def points_of(study: Study) -> list[Point]:
    """The points of a study's `[sweep]`, in order.

    Raises
    ------
    ConfigError : no `[sweep]`; an axis that no study has; a value that its key does not take
    """
    if study.sweep is None:
        raise ConfigError(
            f"study {study.name!r} has no table [sweep]; name an axis there, such as "
            '"wires.word_line_resistance_ohm" = [1.0, 5.0, 10.0]'
        )
    base = study.model_dump(exclude={"sweep", "budget", "training"}, exclude_unset=True)
    points = []
    for number, values in enumerate(chosen_values(study.sweep, study.seed), start=1):
        content = base | {"name": f"point-{number:05}"}
        for key, value in values.items():
            _check_axis(key)
            content = merge(content, nested(key, value))
        described = ", ".join(f"{key} = {value!r}" for key, value in values.items())
        of_point = validate(content, f"point {number} of the sweep ({described})")
        for _, case in of_point.cases():
            case.check_layers()
        points.append(Point(number=number, values=values, study=of_point))
    return points


def chosen_values(sweep: Sweep, seed: int) -> list[dict[str, Any]]:
    """{axis: value} of every point; seed : of the designs that draw."""
    names = list(sweep.axes)
    if sweep.design in (Design.GRID, Design.LIST):
        lists = [sweep.axes[name] for name in names]
        together = itertools.product if sweep.design is Design.GRID else zip
        return [dict(zip(names, values, strict=True)) for values in together(*lists)]
    uniform = _uniform(sweep.design, sweep.points or 0, len(names), seed)
    points = []
    for shares in uniform.tolist():
        values = map(_at, sweep.axes.values(), shares)
        points.append(dict(zip(names, values, strict=True)))
    return points


def _uniform(design: Design, count: int, axes: int, seed: int) -> Floats:
    """(count, axes) numbers from 0 to 1, below 1."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x5EED,)))
    if design == Design.RANDOM:
        return generator.random((count, axes))
    if design == Design.LATIN_HYPERCUBE:
        strata: Floats = qmc.LatinHypercube(axes, seed=generator).random(count)
        return strata
    sobol = qmc.Sobol(axes, seed=generator)
    whole: Floats = sobol.random_base2((count - 1).bit_length())  # balanced in powers of two only
    return whole[:count]


def _at(axis: Any, share: float) -> Any:
    """The value of an axis at a share of its length."""
    if not isinstance(axis, Range):
        return axis[int(share * len(axis))]
    if axis.whole:
        low = round(axis.low)
        return low + int(share * (round(axis.high) - low + 1))
    if axis.scale == "log":
        return float(axis.low * (axis.high / axis.low) ** share)
    return float(axis.low + (axis.high - axis.low) * share)


def _check_axis(key: str) -> None:
    """Refuse an axis that is no key of a table."""
    if key.partition(".")[0] in FIXED:
        raise ConfigError(
            f"axis {key!r} of [sweep] does not vary a key of a table; allowed: seed and keys such as "
            '"wires.word_line_resistance_ohm"'
        )
