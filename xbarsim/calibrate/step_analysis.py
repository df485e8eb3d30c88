"""What reads tell of fitted steps: whether they fall, and of which kind their noise is."""

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import stats

from xbarsim.base.units import MICROSIEMENS
from xbarsim.calibrate.result import CONFIDENCE, DeviceTable, Parameter
from xbarsim.calibrate.statistics import Estimate
from xbarsim.calibrate.step_intervals import OfSteps, Uncertainty
from xbarsim.calibrate.steps import ALL_READ, ALL_STEP, FALL, FLOOR, NOISE, Steps, search

STEEPEST = 8.0  # ln of the first over the last step that reads between can tell
CERTAIN = 10.0  # of -2 log likelihood, by which steps fall however steep
THRESHOLD = stats.chi2.ppf(CONFIDENCE, 1)  # of -2 log likelihood


class Held(NamedTuple):
    """The best Steps with a parameter held, and by how much -2 log likelihood is higher there."""

    rise: float
    steps: Steps


class Straightened(NamedTuple):
    """Steps whose directions are held constant, by their index with the reason."""

    steps: Steps
    reasons: dict[int, str]


class Noise(NamedTuple):
    """Noise relative to the mean step, and of the reads."""

    step_relative_sigma: Parameter
    read_sigma: Parameter

    def table(self) -> DeviceTable:
        """Keys of [write_verify]: 0 where the data show none."""
        return {
            "step_relative_sigma": self.step_relative_sigma.value or 0.0,
            "read_sigma_us": (self.read_sigma.value or 0.0) / MICROSIEMENS,
        }


class NoisySteps(NamedTuple):
    """Steps with the kinds of noise that the reads show."""

    steps: Steps
    noise: Noise


@dataclasses.dataclass(frozen=True)
class Analysis:
    """Fitted steps and what is known of them.

    fitted : as fitted;  steps : with directions held constant whose steps do not fall beyond chance
        (`constant`, with the reasons) and the noise that there is
    uncertainty : of `steps`
    falling : of steps that may fall, where some were held constant by chance; None otherwise
    """

    fitted: Steps
    steps: Steps
    constant: dict[int, str]
    noise: Noise
    uncertainty: Uncertainty
    falling: Uncertainty | None

    def step_interval(self, way: int, function: OfSteps, variance: float = 0.0) -> Estimate:
        """A step of a direction; of one that was held constant, the interval holds that of steps
        that fall too.

        variance : of the logarithm of the step, beside that of the parameters
        """
        value, low, high = self.uncertainty.positive(function, variance)
        if self.falling is None or way not in self.constant:
            return Estimate(value, low, high)
        other = self.falling.positive(function, variance)
        return Estimate(value, min(low, other.low), max(high, other.high))


def analyse(fitted: Steps, unit: str) -> Analysis:
    """Analysis of Steps whose reads have a unit, "S" or "1"."""
    straightened = _straight(fitted)
    constant = straightened.reasons
    held_by_chance = [way for way in constant if fitted.can_fall(way)]
    noisy = _noisy(straightened.steps, unit)
    return Analysis(
        fitted=fitted,
        steps=noisy.steps,
        constant=constant,
        noise=noisy.noise,
        uncertainty=Uncertainty(noisy.steps),
        falling=Uncertainty(fitted.restricted()) if held_by_chance else None,
    )


def _worse_without(steps: Steps, index: int, value: float) -> Held:
    held = search(steps.fixed(index, value))
    return Held(held.minus_two - steps.minus_two, held)


def _straight(steps: Steps) -> Straightened:
    """Directions whose steps do not fall beyond chance are held constant."""
    reasons = {}
    for way in steps.trains.directions:
        if not steps.can_fall(way):
            reasons[way] = f"only {steps.trains.pulses(way)} pulses"
            continue
        rise, held = _worse_without(steps, FALL + way, 0.0)
        too_steep = abs(steps.theta[FALL + way]) > STEEPEST
        if rise < THRESHOLD or (rise < CERTAIN and too_steep):
            steps = held
            reasons[way] = (
                "a straight line is within the interval: the train does not reach its "
                "saturation; apply more "
                "pulses"
            )
    return Straightened(steps, reasons)


def _noisy(steps: Steps, unit: str) -> NoisySteps:
    """Steps with the noise that the reads show; sizes in the unit of the reads."""
    all_read = Held(0.0, steps)
    if NOISE in steps.free:
        all_read = _worse_without(steps, NOISE, ALL_READ)
    if steps.variance <= 4 * (FLOOR * (steps.high - steps.low)) ** 2:
        reason = "the reads follow the law to their last digit"
        return NoisySteps(
            all_read.steps.restricted(), Noise(_no_step(reason), _no_read(reason, unit))
        )
    all_step = _worse_without(steps, NOISE, ALL_STEP)
    has_step = all_read.rise >= THRESHOLD or all_step.rise < all_read.rise
    has_read = all_step.rise >= THRESHOLD or all_read.rise <= all_step.rise
    chosen = steps
    if not has_step:
        chosen = all_read.steps
    elif not has_read:
        chosen = all_step.steps
    chosen = chosen.restricted()
    uncertainty = Uncertainty(chosen)
    step_sigma = _no_step("the noise of the reads explains all scatter")
    if has_step:
        values = uncertainty.deviation(_relative_sigma)
        step_sigma = Parameter.known("step_relative_sigma", "1", *values)
    read_sigma = _no_read("the noise of the steps explains all scatter", unit)
    if has_read:
        read_sigma = Parameter.known("read_sigma", unit, *uncertainty.deviation(_read_sigma))
    return NoisySteps(chosen, Noise(step_sigma, read_sigma))


def _no_step(reason: str) -> Parameter:
    return Parameter.unknown("step_relative_sigma", "1", reason)


def _no_read(reason: str, unit: str) -> Parameter:
    return Parameter.unknown("read_sigma", unit, reason)


def _relative_sigma(steps: Steps) -> float:
    return float(np.sqrt(steps.variance * steps.step_share) / steps.unit)


def _read_sigma(steps: Steps) -> float:
    return float(np.sqrt(steps.variance * (1 - steps.step_share)))
