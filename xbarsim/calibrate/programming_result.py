"""How well a fitted distribution describes writes: goodness, levels, warnings, picture."""

import dataclasses

import numpy as np
from scipy import stats

from xbarsim.base.array_types import Floats
from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import Axis, Curve, DeviceTable, FitResult, Level, Line, Parameter
from xbarsim.calibrate.write_errors import micro

IMPLAUSIBLE = 1e-3  # a goodness of fit below that is a warning
LEAST_TESTED = 8  # writes at a level whose distribution is tested alone
DRAWN = 200  # points of the fitted distribution in the picture
MOST_DRAWN_WRITES = 500  # whose fitted distributions are put together in the picture


@dataclasses.dataclass(frozen=True)
class Writes:
    """What was written: target (n,) S and error (n,) S, achieved less target."""

    target: Floats
    error: Floats

    @property
    def levels(self) -> Floats:
        """Distinct targets, rising, S."""
        return np.unique(self.target)

    @property
    def relative_target(self) -> Floats:
        """(n,) target / largest target."""
        relative: Floats = self.target / self.target.max()
        return relative

    @property
    def scale_us(self) -> float:
        """Largest target in µS."""
        return float(self.target.max() / MICROSIEMENS)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The fitted distribution of every write.

    location, sigma : (n,) S, its mean and standard deviation;  share_below : (n,) probability of an
        error below that of the write
    quantiles : of the standardised error, which `scale` (n,) S multiplies
    """

    location: Floats
    sigma: Floats
    share_below: Floats
    scale: Floats
    quantiles: Floats


@dataclasses.dataclass(frozen=True)
class Description:
    """A fitted form: its name, parameters, Akaike's criterion, and `[programming]` of a device
    file, empty where the form is not identified."""

    model: str
    parameters: list[Parameter]
    aic: float
    table: DeviceTable


def programming_result(
    description: Description, distribution: Distribution, writes: Writes
) -> FitResult:
    """FitResult with goodness, statistics of levels, warnings, picture and tables."""
    goodness = _goodness(distribution, writes)
    levels = _levels(distribution, writes)
    return FitResult(
        kind="programming",
        model=description.model,
        parameters=tuple(description.parameters),
        points=len(writes.error),
        goodness=goodness,
        aic=description.aic,
        curves=_curves(distribution, writes),
        device=_device(description.table, writes),
        levels=levels,
        warnings=tuple(_warnings(goodness["kolmogorov_smirnov_p"], levels)),
    )


def _device(table: DeviceTable, writes: Writes) -> dict[str, DeviceTable]:
    """Tables of a device file; the range of conductances where there is one."""
    if not table:
        return {}
    if len(writes.levels) == 1:
        return {"programming": table}
    low, high = micro(writes.levels[[0, -1]])
    conductance = {"minimum_us": low, "maximum_us": high, "valid_range_us": [low, high]}
    return {"conductance": conductance, "programming": table}


def _uniform_p(shares: Floats) -> float:
    """Probability (Kolmogorov-Smirnov) of shares that are uniform where the fit is right."""
    return float(stats.kstest(shares, "uniform").pvalue)


def _goodness(distribution: Distribution, writes: Writes) -> dict[str, float]:
    residual = writes.error - distribution.location
    return {
        "kolmogorov_smirnov_p": _uniform_p(distribution.share_below),
        "excess_kurtosis": float(stats.kurtosis(residual / distribution.sigma)),
        "measured_sigma_us": float(residual.std() / MICROSIEMENS),
    }


def _levels(distribution: Distribution, writes: Writes) -> tuple[Level, ...]:
    """Level of every target; none where targets do not repeat."""
    distinct, counts = np.unique(writes.target, return_counts=True)
    if len(distinct) > max(20, len(writes.target) // 8) or counts.min() < 2:
        return ()
    found = []
    for target in distinct:
        here = writes.target == target
        error = writes.error[here]
        p = None
        if len(error) >= LEAST_TESTED:
            p = _uniform_p(distribution.share_below[here])
        level = Level(
            target=float(target),
            writes=len(error),
            mean_error=float(error.mean()),
            sigma=float(error.std(ddof=1)),
            fit_p=p,
        )
        found.append(level)
    return tuple(found)


def _warnings(overall: float, levels: tuple[Level, ...]) -> list[str]:
    """Where the data contradict the distribution, over all writes and level by level (Bonferroni).

    overall : probability of all writes
    """
    found = []
    if overall < IMPLAUSIBLE:
        found.append(
            f"the fitted distribution contradicts the data (Kolmogorov-Smirnov p = "
            f"{overall:.2g}): cells drawn from "
            "it will differ from these writes; look at the picture and at the alternatives"
        )
    probabilities = {level.target: level.fit_p for level in levels if level.fit_p is not None}
    if probabilities:
        worst, p = min(probabilities.items(), key=lambda item: item[1])
        if p * len(probabilities) < IMPLAUSIBLE:
            found.append(
                f"the fitted distribution contradicts the writes to {worst / MICROSIEMENS:.4g} µS "
                f"(Kolmogorov-Smirnov p = {p:.2g}, the worst of {len(probabilities)} levels)"
            )
    return found


def _curves(distribution: Distribution, writes: Writes) -> dict[str, Curve]:
    """Pictures: errors against targets, and their cumulated distribution."""
    location = distribution.location
    sigma = distribution.sigma
    against_target = Curve(
        x=Axis("target", "S"),
        y=Axis("achieved - target", "S"),
        data={"writes": Line(writes.target, writes.error)},
        fit={
            "mean error": _in_order(writes.target, location),
            "+ sigma": _in_order(writes.target, location + sigma),
            "- sigma": _in_order(writes.target, location - sigma),
        },
    )
    n = len(writes.error)
    shares = (np.arange(n) + 0.5) / n
    cumulated = Curve(
        x=Axis("achieved - target", "S"),
        y=Axis("share below", ""),
        data={"writes": Line(np.sort(writes.error), shares)},
        fit={"fit": _fitted_distribution(distribution)},
    )
    return {"error against target": against_target, "distribution": cumulated}


def _fitted_distribution(distribution: Distribution) -> Line:
    """Cumulated distribution of the errors that the fit expects over all writes."""
    spread = distribution.scale[:, None] * distribution.quantiles
    every = max(1, len(distribution.location) // MOST_DRAWN_WRITES)
    expected = (distribution.location[:, None] + spread)[::every]
    shares = np.linspace(0.0025, 0.9975, DRAWN)
    return Line(np.quantile(expected, shares), shares)


def _in_order(x: Floats, y: Floats) -> Line:
    order = np.argsort(x)
    return Line(x[order], y[order])
