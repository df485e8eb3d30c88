"""What the currents of an array say of its cells and resistances: a posterior, and its mode.

Word lines are driven at the left, bit lines sensed at the bottom.  Unknowns are logarithms, so that
none turns negative.  By the adjoint, with 1 V on one terminal and 0 V on all others, of the transfer
from word line i to bit line j,

    d T_ji / d g = -U_i A_j     (cell voltages, for 1 V on input i and for 1 V on output j)
    d T_ji / d r = +sum of the currents of both states through every segment of resistance r

so that m + n solutions give all derivatives, whatever the number of input vectors V.  The normal
matrix of the cells is an elementwise product, g g' * (U' V'V U) * (A' A): the Jacobian itself is
never formed.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_solve, cholesky, lapack

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import ConvergenceError, OutOfRangeError
from xbarsim.circuit.crossbar import Crossbar
from xbarsim.circuit.solution import Solution

VAGUE = 3.0  # standard deviation of the logarithm of what nothing is known about: a factor of 20
FIRST_SPREAD = 0.1  # of cells around their nominal values, where it is to be estimated
SMALLEST_SPREAD = 1e-6
STEPS = 100  # at most
CORRECTIONS = 4  # of the cells alone, in every step
LARGEST_STEP = 2.0  # of a logarithm
LARGEST_DAMPING = 1e10
CONVERGED = 1e-3  # gain of the cost, and relative change of the spread


class Resistance(enum.StrEnum):
    """A resistance of the array, by its name in `Crossbar`."""

    WORD_LINE = "word_line_resistance"
    BIT_LINE = "bit_line_resistance"
    SOURCE = "source_resistance"
    SENSE = "sense_resistance"

    @property
    def of_a_segment(self) -> bool:
        """Whether it is that of every segment of a line, not of its end."""
        return self in (Resistance.WORD_LINE, Resistance.BIT_LINE)


RESISTANCES = tuple(Resistance)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of an array.

    voltage : (k, m) V on the word lines;  current : (k, n) A out of the bit lines
    input_current : (k, m) A drawn from the sources, or None
    """

    voltage: Floats
    current: Floats
    input_current: Floats | None = None


@dataclasses.dataclass(frozen=True)
class Mode:
    """Where the posterior is highest.

    theta : logarithms of conductances (S) and fitted resistances (ohm);  spread : standard
    deviation of the logarithms of the cells around their nominal values
    """

    theta: Floats
    spread: float


@dataclasses.dataclass(frozen=True)
class _Side:
    """Derivatives of the currents at one side of the array, by what is solved with 1 V there.

    sign : of the derivatives by conductances;  voltage : (lines, cells) V across the cells
    slopes : of the transfer (m, lines) S, by the logarithm of every fitted resistance
    """

    sign: int
    voltage: Floats
    slopes: list[Floats]


@dataclasses.dataclass(frozen=True)
class Linearisation:
    """Currents about one theta.

    matrix : (p, p) data part of the normal matrix of the p logarithms
    """

    matrix: Floats
    conductance: Floats
    cell_voltage: Floats
    sides: list[_Side]
    input_voltage: Floats
    current_sigma: float

    def pull(self, residuals: list[Floats]) -> Floats:
        """(p,) descent direction of residual currents (A) of outputs, and of inputs if measured."""
        cells = self.conductance.size
        result = np.zeros(len(self.matrix))
        for side, residual in zip(self.sides, residuals, strict=True):
            seen = self.input_voltage.T @ residual
            of_cells = (self.cell_voltage * (seen @ side.voltage)).sum(axis=0)
            result[:cells] += side.sign * self.conductance * of_cells
            result[cells:] += [(seen * slope).sum() for slope in side.slopes]
        return result / self.current_sigma**2


@dataclasses.dataclass(frozen=True)
class _Step:
    """A step that lowers the cost: where it leads, by how much, with which damping.

    matrix : normal matrix at its beginning, not damped
    """

    theta: Floats
    gain: float
    damping: float
    matrix: Floats


class Posterior:
    """Posterior of theta = logarithms of the m n conductances and of the fitted resistances.

    Parameters
    ----------
    measured : of the array
    nominal : (m, n) S, or None where nothing is known of conductances
    held : ohm, of resistances that are not fitted
    current_sigma : A, noise of a current
    nominal_sigma : of logarithms around the nominal ones; None to estimate

    Raises
    ------
    OutOfRangeError : no current as through a conductance, a spread that is not above 0
    """

    def __init__(
        self,
        measured: Measured,
        nominal: Floats | None,
        held: Mapping[Resistance, ArrayLike],
        *,
        current_sigma: float,
        nominal_sigma: float | None,
    ) -> None:
        self.measured = measured
        self.sigma = current_sigma
        self.shape = (measured.voltage.shape[1], measured.current.shape[1])
        self.cells = self.shape[0] * self.shape[1]
        self.held = dict(held)
        self.fitted = [name for name in RESISTANCES if name not in self.held]
        self.gram = measured.voltage.T @ measured.voltage
        self.has_nominal = nominal is not None
        self.nominal_sigma = nominal_sigma
        if nominal is None:
            nominal = _apparent_conductances(measured)
        elif nominal_sigma is not None and not 0 < nominal_sigma < math.inf:
            raise OutOfRangeError(f"nominal_sigma is {nominal_sigma:g}; allowed: above 0")
        start = [self._typical(name, nominal) for name in self.fitted]
        self.centre: Floats = np.log(np.r_[nominal.ravel(), start])

    def _typical(self, name: Resistance, conductance: Floats) -> float:
        """A resistance (ohm) that takes some 10 % of the voltage: a wire by its length squared, an
        end by its length."""
        power = 2 if name.of_a_segment else 1
        typical: float = 0.2 / (conductance.mean() * max(self.shape) ** power)
        return typical

    @property
    def estimates_spread(self) -> bool:
        """Whether the spread of cells around their nominal values is unknown."""
        return self.has_nominal and self.nominal_sigma is None

    def deviation(self, spread: float) -> Floats:
        """Standard deviations of the prior, (p,)."""
        deviation: Floats = np.r_[np.full(self.cells, spread), np.full(len(self.fitted), VAGUE)]
        return deviation

    def crossbar(self, theta: Floats) -> Crossbar:
        """The array of one theta."""
        values = np.exp(theta)
        fitted = dict(zip(self.fitted, values[self.cells :], strict=True))
        resistances = self.held | fitted
        return Crossbar(
            values[: self.cells].reshape(self.shape),
            word_line_resistance=resistances[Resistance.WORD_LINE],
            bit_line_resistance=resistances[Resistance.BIT_LINE],
            source_resistance=resistances[Resistance.SOURCE],
            sense_resistance=resistances[Resistance.SENSE],
        )

    def residuals(self, crossbar: Crossbar) -> list[Floats]:
        """Measured minus computed currents (A): of the outputs, and of the inputs if measured."""
        measured = self.measured
        found = [measured.current - measured.voltage @ crossbar.transfer_matrix().T]
        if measured.input_current is not None:
            found.append(measured.input_current - measured.voltage @ crossbar.power_matrix())
        return found

    def cost(self, theta: Floats, spread: float) -> float:
        """-2 log of the posterior, but for constants."""
        square = sum((r**2).sum() for r in self.residuals(self.crossbar(theta)))
        of_prior = (((theta - self.centre) / self.deviation(spread)) ** 2).sum()
        cost: float = square / self.sigma**2 + of_prior
        return cost

    # --- derivatives

    def linearise(self, theta: Floats) -> Linearisation:
        """Derivatives of the currents by theta."""
        crossbar = self.crossbar(theta)
        word_lines, bit_lines = self.shape
        conductance = np.exp(theta[: self.cells])
        resistance = np.exp(theta[self.cells :])
        forward = crossbar.solve(np.eye(word_lines), 0.0, 1e-10)
        adjoint = crossbar.solve(np.zeros(word_lines), np.eye(bit_lines), 1e-10)
        sides = [self._side(-1, forward, adjoint, resistance)]
        if self.measured.input_current is not None:
            sides.append(self._side(1, forward, forward, resistance))
        cell_voltage = forward.cell_voltage.reshape(word_lines, -1)
        matrix = self._normal_matrix(cell_voltage, sides)
        scale = np.r_[conductance, np.ones(len(resistance))] / self.sigma
        matrix *= scale
        matrix *= scale[:, None]
        return Linearisation(
            matrix=matrix,
            conductance=conductance,
            cell_voltage=cell_voltage,
            sides=sides,
            input_voltage=self.measured.voltage,
            current_sigma=self.sigma,
        )

    def _side(self, sign: int, forward: Solution, state: Solution, resistance: Floats) -> _Side:
        """Derivatives at the side where `state` has 1 V on one terminal after the other."""
        lines = len(state.cell_voltage)
        slopes = []
        for name, value in zip(self.fitted, resistance, strict=True):
            products = _segment_currents(forward, name) @ _segment_currents(state, name).T
            slopes.append(-sign * value * products)
        return _Side(sign, state.cell_voltage.reshape(lines, -1), slopes)

    def _normal_matrix(self, cell_voltage: Floats, sides: list[_Side]) -> Floats:
        """(p, p), by conductances in S and logarithms of resistances, in A²."""
        cells = self.cells
        count = cells + len(self.fitted)
        driven = cell_voltage.T @ (self.gram @ cell_voltage)
        matrix = np.zeros((count, count))
        for side in sides:
            matrix[:cells, :cells] += driven * (side.voltage.T @ side.voltage)
            for row, slope in enumerate(side.slopes, start=cells):
                weighted = self.gram @ slope
                with_cells = (cell_voltage * (weighted @ side.voltage)).sum(axis=0)
                matrix[row, :cells] += side.sign * with_cells
                matrix[row, cells:] += [(weighted * other).sum() for other in side.slopes]
        matrix[:cells, cells:] = matrix[cells:, :cells].T
        return matrix

    # --- the mode

    def minimise(self) -> Mode:
        """Mode of the posterior, by Levenberg-Marquardt; a spread that is unknown by expectation
        and maximisation.

        Raises
        ------
        ConvergenceError : no step lowers the misfit, or it still falls at the end
        """
        theta = self.centre.copy()
        spread = self._first_spread()
        damping = 1e-3
        left_open: Floats | float = 0.0
        gain = math.inf
        for _ in range(STEPS):
            step = self._lowering_step(theta, spread, damping)
            theta = step.theta
            gain = step.gain
            damping = step.damping / 10
            before = spread
            if self.estimates_spread:
                if gain < 1:  # what is left open counts as well; it costs more than a step
                    left_open = np.diag(inverse(step.matrix))[: self.cells]
                spread = self._spread_of_cells(theta, left_open)
            if gain < CONVERGED and abs(spread / before - 1) < CONVERGED:
                return Mode(theta, spread)
        raise ConvergenceError(
            f"the misfit still falls after {STEPS} steps: hold some resistances, or give nominal "
            "conductances",
            iterate=np.exp(theta),
            residual=gain,
            iterations=STEPS,
        )

    def _first_spread(self) -> float:
        if not self.has_nominal:
            return VAGUE
        if self.nominal_sigma is None:
            return FIRST_SPREAD
        return self.nominal_sigma

    def _spread_of_cells(self, theta: Floats, left_open: Floats | float) -> float:
        """Standard deviation of the logarithms of the cells around their nominal values.

        left_open : (cells,) variance of each that the data leave
        """
        square = (theta - self.centre)[: self.cells] ** 2
        return max(math.sqrt((square + left_open).mean()), SMALLEST_SPREAD)

    def _lowering_step(self, theta: Floats, spread: float, damping: float) -> _Step:
        """A step of so much damping, or more until the cost falls."""
        cost = self.cost(theta, spread)
        linear = self.linearise(theta)
        weight = self.deviation(spread) ** -2
        matrix = linear.matrix
        matrix[np.diag_indices_from(matrix)] += weight
        while True:
            damped = matrix.copy()
            damped[np.diag_indices_from(damped)] *= 1 + damping
            lower = cholesky(damped, lower=True, overwrite_a=True)
            trial = self._trial(theta, linear, weight, lower)
            gain = cost - self.cost(trial, spread)
            if gain >= -1e-9 * cost:
                return _Step(trial, gain, damping, matrix)
            damping *= 10
            if damping > LARGEST_DAMPING:
                raise ConvergenceError(
                    "no step lowers the misfit; check units, signs and that the arrays belong "
                    "together",
                    iterate=np.exp(theta),
                    residual=cost,
                )

    def _trial(self, theta: Floats, linear: Linearisation, weight: Floats, lower: Floats) -> Floats:
        """One step, and then corrections of the cells alone.

        The currents tell far more about cells and wires together than about either: the posterior
        is a narrow curved valley.  The corrections, with the factor at hand, bring a straight step
        back into it.

        weight : (p,) of the prior;  lower : (p, p) Cholesky factor of the damped normal matrix
        """
        cells = self.cells

        def descent(at: Floats) -> Floats:
            residuals = self.residuals(self.crossbar(at))
            return linear.pull(residuals) - weight * (at - self.centre)

        change = cho_solve((lower, True), descent(theta))
        trial: Floats = theta + np.clip(change, -LARGEST_STEP, LARGEST_STEP)
        for _ in range(CORRECTIONS):
            change = cho_solve((lower[:cells, :cells], True), descent(trial)[:cells])
            trial[:cells] += np.clip(change, -LARGEST_STEP, LARGEST_STEP)
        return trial


def _apparent_conductances(measured: Measured) -> Floats:
    """(m, n) S that would have answered so without wires; none is far below the others."""
    apparent = np.linalg.lstsq(measured.voltage, measured.current, rcond=None)[0]
    if not (apparent > 0).any():
        raise OutOfRangeError(
            "no current flows as through a conductance; check the signs of voltage and current"
        )
    smallest = 1e-3 * np.median(apparent[apparent > 0])
    conductance: Floats = np.maximum(apparent, smallest)
    return conductance


def _segment_currents(solution: Solution, name: Resistance) -> Floats:
    """(states, segments) A through every segment that has this resistance."""
    states = len(solution.cell_voltage)
    if name is Resistance.SOURCE:
        lines = solution.word_line_current[..., :1]
    elif name is Resistance.WORD_LINE:
        lines = solution.word_line_current[..., :-1]
    elif name is Resistance.BIT_LINE:
        lines = solution.bit_line_current[:, 1:]
    else:
        lines = solution.bit_line_current[:, -1:]
    return lines.reshape(states, -1)


def inverse(matrix: Floats) -> Floats:
    """Inverse of a positive definite matrix."""
    lower, _ = lapack.dpotri(cholesky(matrix, lower=True), lower=True)
    whole: Floats = np.tril(lower) + np.tril(lower, -1).T
    return whole
