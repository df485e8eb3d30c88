"""Resistors, switches and transfer of the computation crossbars of one simulated chip."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from xbarsim.arrays.counting.coding import Coding
from xbarsim.arrays.counting.operands import Plane, SwitchOperand
from xbarsim.arrays.settings import CountingSettings
from xbarsim.base.array_types import Booleans, Floats
from xbarsim.circuit.wires import wire_segments
from xbarsim.devices.conditions import Effect, effects_on
from xbarsim.kernels.circuit.transfer import transfer_matrix

# Purposes of random streams: spawn_key = (COMPUTATION, crossbar, purpose)
RESISTORS = 0
PATTERNS = 1
COMPUTATION = 2**32 - 1  # in the place of a matrix's number, which is smaller


class Physics:
    """The computation crossbars of one simulated chip, as a circuit.

    A cell is a fixed resistor behind a switch.  `rows_per_conversion` word lines are driven at
    once, and a few-level ADC counts the cells of a bit line that conduct.

    Attributes
    ----------
    computation, effects : tables of the study;  on : effects of cells that are on
    wires : None where they are left out or have no resistance
    coding : of both operands;  cells : of one digit
    top : highest code of the converter, -1 where the current itself is the result
    half_swing : of telegraph noise, over the mean of both states
    relative : (crossbars, word lines, bit lines) conductance of the resistors over the nominal one
    stuck_closed, stuck_open : of the same shape
    current : of the same shape, LSB of a closed cell without IR drop
    """

    def __init__(self, settings: CountingSettings, seed: int) -> None:
        """seed : names the chip."""
        computation = settings.computation
        effects = settings.effects
        self.seed = seed
        self.computation = computation
        self.effects = effects
        self.on = effects_on(effects)
        self.wires = settings.solved_wires
        self.coding = Coding.of(computation)
        self.cells = len(self.coding.units)
        self.top = 2**computation.adc_bits - 1 if effects.with_adc else -1
        swing = computation.telegraph_amplitude * effects.telegraph_multiplier
        self.half_swing = swing / 2 * (Effect.TELEGRAPH in self.on)
        shape = (computation.crossbars, computation.word_lines, computation.bit_lines)
        self.relative: Floats = np.ones(shape)
        self.stuck_closed: Booleans = np.zeros(shape, bool)
        self.stuck_open: Booleans = np.zeros(shape, bool)
        for crossbar in range(computation.crossbars):
            self._draw(crossbar)
        units = np.resize(self.coding.units, computation.word_lines)
        self.current: Floats = self.relative * units[:, None]

    def _draw(self, crossbar: int) -> None:
        """Draw the resistors of a crossbar, and which cells are stuck."""
        stuck = Effect.STUCK in self.on
        shape = self.relative.shape[1:]
        generator = self.generator(crossbar, RESISTORS)
        # Log-normal: a resistor stays positive whatever its spread.
        sigma = (Effect.SPREAD in self.on) * self.computation.resistor_spread
        self.relative[crossbar] = np.exp(sigma * generator.standard_normal(shape))
        draw = generator.random(shape)
        self.stuck_closed[crossbar] = stuck & (draw < self.computation.stuck_closed_rate)
        self.stuck_open[crossbar] = stuck & (draw >= 1 - self.computation.stuck_open_rate)

    @property
    def any_stuck(self) -> bool:
        """Whether any cell of any crossbar is stuck."""
        return bool(self.stuck_closed.any() or self.stuck_open.any())

    def generator(self, crossbar: int, purpose: int) -> np.random.Generator:
        """Random numbers of a crossbar for one purpose."""
        key = (COMPUTATION, crossbar, purpose)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def conducts(self, crossbar: int, closed: Booleans) -> Booleans:
        """The cells of a crossbar that conduct when `closed` (m, n) of its switches are to be
        closed.
        """
        may_conduct = closed | self.stuck_closed[crossbar]
        conducting: Booleans = may_conduct & ~self.stuck_open[crossbar]
        return conducting

    def transfer(self, crossbar: int, closed: Booleans) -> Floats:
        """(bit lines, word lines) LSB per driven word line of one crossbar with its switches
        `closed` (m, n).

        The wires are solved exactly; word lines that are not driven are held at 0 V, open switches
        conduct nothing.
        """
        relative = np.where(self.conducts(crossbar, closed), self.current[crossbar], 0.0)
        if self.wires is None:
            return np.ascontiguousarray(relative.T)
        result = np.zeros(relative.shape[::-1])
        if not relative.any():
            return result
        # Lines beyond the last conducting cell carry no current, but bit lines go on below it to
        # the sense amplifier.
        m = int(np.flatnonzero(relative.any(axis=1))[-1]) + 1
        n = int(np.flatnonzero(relative.any(axis=0))[-1]) + 1
        unit = 1 / self.computation.resistance_ohm
        r_word, r_bit = wire_segments(self.wires, m, n, below=len(relative) - m)
        result[:n, :m] = transfer_matrix(relative[:m, :n] * unit, r_word, r_bit)[0] / unit
        return result

    def planes(self, operand: SwitchOperand, matrix: int, row_block: int) -> Iterator[Plane]:
        """Every plane of switches of a row of tiles of one matrix of an operand."""
        coding = self.coding
        bit_lines = self.computation.bit_lines
        groups = operand.lines.groups_of(row_block)
        outputs = operand.codes.shape[2]
        line = operand.lines.line[:, groups].ravel()
        present = line >= 0
        starts = range(0, outputs, bit_lines)
        first = row_block * len(starts) * coding.switch_planes
        digits = itertools.product(starts, range(len(coding.signs)), coding.digit_planes)
        for number, (start, channel, digit) in enumerate(digits, start=first):
            columns = slice(start, min(start + bit_lines, outputs))
            places = operand.fields[channel, matrix, columns, :, groups]
            places = places.reshape(len(places), -1)
            closed = np.zeros((self.computation.word_lines, bit_lines), bool)
            closed[line[present], : len(places)] = (places[:, present] >> digit.bit & 1).T
            crossbar = operand.crossbar[matrix, start, groups.start]
            yield Plane(
                number=number,
                columns=columns,
                channel=channel,
                bit=digit.bit,
                weight=float(coding.signs[channel] * digit.weight),
                transfer=self.transfer(crossbar, closed)[: len(places)],
            )
