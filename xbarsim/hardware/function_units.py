"""Softmax, layer normalisation and GELU in the precision of a digital function unit.

A unit rounds its float input to codes of a static full scale, computes with integers alone
(`kernels/arrays/functions.py`) and scales the result.  Codes that leave their range are held at its
end and counted.

unit = "table"       a value per piece of the input range, taken in its middle
unit = "polynomial"  a polynomial per piece, through the Chebyshev points of the piece, coefficients
rounded to entry_bits

Softmax: the LSB of a score is ln 2 / 2^f, so that an exponential is a table of 2^-fraction and a
shift (Stevens et al., "Softermax", DAC 2021).  Layer normalisation: integer sums, reciprocal root
by table and Newton (as Kim et al., "I-BERT", ICML 2021, with a table for the start).  GELU: max(x,
0) plus an even remainder that vanishes beyond |x| = 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xbarsim.base.array_types import AnyFloats, Booleans, Floats, Integers, Singles
from xbarsim.base.errors import ConfigError
from xbarsim.config.functions import Gelu, LayerNorm, Softmax
from xbarsim.kernels.arrays import functions as kernel

GELU_REACH = 6.0  # |GELU(x) - max(x, 0)| < 1e-8 beyond
LARGEST_GUARD = 32  # fractional bits of GELU's remainder: codes of 20 bits stay far below 2^62


# ---------------------------------------------------------------- tables


class Pieces(NamedTuple):
    """coefficients : (pieces, degree + 1) in the share of the piece that was passed, constant first
    width : log2 of the length of a piece
    """

    coefficients: Floats
    width: int


class Table(NamedTuple):
    """entries : integers;  width : log2 of the length of a piece"""

    entries: Integers
    width: int


def pieces(function: Callable[[Any], Any], codes: int, entries: int, degree: int) -> Pieces:
    """A function of the integer codes 0 ... codes - 1, cut into pieces of equal length.

    function : array of (real) codes -> array of values
    codes, entries : the number of pieces is the smaller one and must divide `codes` into a power of
        two
    degree : 0 for a table; a piece with too few codes for it gets a lower one
    """
    count = min(entries, codes)
    width = (codes // count).bit_length() - 1
    last = 2**width - 1
    fitted = min(degree, last)
    nodes = last / 2 * (1 + np.cos(np.pi * (np.arange(fitted + 1) + 0.5) / (fitted + 1)))
    values = function(np.arange(count)[:, None] * 2.0**width + nodes)
    coefficients = np.zeros((count, degree + 1))
    coefficients[:, : fitted + 1] = np.linalg.solve(
        np.vander(nodes / 2**width, increasing=True), values.T
    ).T
    return Pieces(coefficients, width)


def seed_table(function: Callable[[Any], Any], octave: int, config: Softmax | LayerNorm) -> Table:
    """Start of a Newton iteration for mantissas from 1 to 1 + octave: values of `reciprocal_bits`
    fraction bits, of which the table stores `seed_bits`.
    """
    bits = config.reciprocal_bits
    found = pieces(
        lambda code: function(1 + code / 2**bits),
        codes=octave << bits,
        entries=octave * min(config.seed_entries, 2**bits),
        degree=0,
    )
    stored = np.rint(found.coefficients * 2**config.seed_bits).astype(np.int64)
    return Table(stored << (bits - config.seed_bits), found.width)


def degree_of(config: Softmax | Gelu) -> int:
    """Degree of the polynomials of a unit; those of a table are constants."""
    return 0 if config.unit == "table" else config.degree


def widest_sum(entry_bits: int, scores: int) -> int:
    """Bits of the sum of so many exponentials of `entry_bits`."""
    largest: int = scores * (2**entry_bits - 1)
    return largest.bit_length()


def _rows(x: Singles) -> Singles:
    return np.ascontiguousarray(x, np.float32).reshape(-1, x.shape[-1])


# ---------------------------------------------------------------- the functions


@dataclass(frozen=True)
class SoftmaxUnit:
    """Integer softmax; call it with scores and mask (see `operations.softmax`).

    lsb : of a score, ln 2 / 2**fraction_bits;  highest : largest code of a score;  table, width :
        powers 2**-fraction
    accumulator_bits : of the sum of the exponentials;  seed, seed_width : start of the reciprocal
    """

    config: Softmax
    accumulator_bits: int
    fraction_bits: int
    highest: int
    table: Integers
    width: int
    seed: Integers
    seed_width: int

    @classmethod
    def design(cls, config: Softmax, full_scale: float, scores: int) -> SoftmaxUnit:
        """Unit of a table [functions.softmax].

        config : the table
        full_scale : scores to cover
        scores : the most scores of one row; equal ones reach the largest sum
        """
        highest = 2 ** (config.input_bits - 1) - 1
        covering = float(config.input_bits)
        if full_scale > 0:
            covering = np.floor(np.log2(highest * np.log(2) / full_scale))
        fraction_bits = int(np.clip(covering, 0, config.input_bits))
        powers = pieces(
            lambda code: 2.0 ** (-code / 2**fraction_bits),
            codes=2**fraction_bits,
            entries=config.entries,
            degree=degree_of(config),
        )
        largest = np.abs(powers.coefficients).max()
        table = np.rint(powers.coefficients * ((2**config.entry_bits - 1) / largest))
        seed = seed_table(lambda mantissa: 1 / mantissa, 1, config)
        return cls(
            config=config,
            accumulator_bits=config.accumulator_bits or widest_sum(config.entry_bits, scores),
            fraction_bits=fraction_bits,
            highest=highest,
            table=table.astype(np.int64),
            width=powers.width,
            seed=seed.entries,
            seed_width=seed.width,
        )

    @property
    def lsb(self) -> float:
        return float(np.log(2) / 2**self.fraction_bits)

    def __call__(self, x: Singles, mask: Booleans) -> tuple[Singles, Integers]:
        """(probabilities like x, saturations x.shape[:-1])"""
        config = self.config
        out = np.empty(x.shape, np.float32)
        largest = 2**config.output_bits - 1
        allowed = np.ascontiguousarray(np.broadcast_to(mask, x.shape)).reshape(-1, x.shape[-1])
        saturations = kernel.softmax(
            x=_rows(x),
            mask=allowed,
            inverse_lsb=1 / self.lsb,
            highest=self.highest,
            fraction_bits=self.fraction_bits,
            table=self.table,
            width=self.width,
            accumulator=2**self.accumulator_bits - 1,
            seed=self.seed,
            seed_width=self.seed_width,
            bits=config.reciprocal_bits,
            steps=config.newton_steps,
            largest=largest,
            out=_rows(out),
        )
        out *= np.float32(1 / largest)
        return out, saturations.reshape(x.shape[:-1])


@dataclass(frozen=True)
class LayerNormUnit:
    """Integer layer normalisation; call it with inputs, scale, bias and epsilon (see
    `operations.layer_norm`).

    lsb : of an input;  highest : its largest code;  full_scale : outputs to cover;  seed,
        seed_width : of the root
    """

    config: LayerNorm
    lsb: float
    highest: int
    full_scale: float
    seed: Integers
    seed_width: int

    @classmethod
    def design(
        cls, config: LayerNorm, full_scale: float, output_full_scale: float
    ) -> LayerNormUnit:
        """config : the table;  full_scale, output_full_scale : inputs and outputs to cover"""
        highest = 2 ** (config.input_bits - 1) - 1
        seed = seed_table(lambda mantissa: mantissa**-0.5, 3, config)
        return cls(
            config=config,
            lsb=(full_scale or 1.0) / highest,
            highest=highest,
            full_scale=output_full_scale or 1.0,
            seed=seed.entries,
            seed_width=seed.width,
        )

    def scales(self, weight: Singles) -> tuple[int, int]:
        """(log2 of the unit of the scale codes, shift to the output's LSB): powers of two, no
        multiplier is needed.
        """
        highest_scale = 2 ** (self.config.scale_bits - 1) - 1
        highest_output = 2 ** (self.config.output_bits - 1) - 1
        largest = np.abs(weight).max() / highest_scale
        unit = 0
        if largest > 0:
            unit = int(np.ceil(np.log2(largest)))
        lsb = int(np.ceil(np.log2(self.full_scale / highest_output)))
        return unit, max(0, lsb - (unit - self.config.reciprocal_bits))

    def output_lsb(self, weight: Singles) -> float:
        unit, shift = self.scales(weight)
        return float(2.0 ** (unit - self.config.reciprocal_bits + shift))

    def __call__(
        self, x: Singles, weight: Singles, bias: Singles, epsilon: float
    ) -> tuple[Singles, Integers]:
        """(outputs like x, saturations x.shape[:-1])

        Raises
        ------
        ConfigError : sums that 64 bits do not hold
        """
        config = self.config
        out = np.empty(x.shape, np.float32)
        width = x.shape[-1]
        if width * self.highest >= 2**31:
            raise ConfigError(
                f"functions.layer_norm.input_bits = {config.input_bits} with {width} elements does not fit 64-bit "
                "sums; choose fewer input_bits"
            )
        unit, shift = self.scales(weight)
        epsilon_of_sums = round(min(epsilon * (width / self.lsb) ** 2, 2.0**61))
        gamma = np.rint(weight.astype(np.float64) / 2.0**unit)
        beta = np.rint(bias.astype(np.float64) / 2.0 ** (unit - config.reciprocal_bits))
        saturations = kernel.layer_norm(
            x=_rows(x),
            inverse_lsb=1 / self.lsb,
            highest=self.highest,
            epsilon=epsilon_of_sums,
            gamma=gamma.astype(np.int64),
            beta=beta.astype(np.int64),
            seed=self.seed,
            seed_width=self.seed_width,
            bits=config.reciprocal_bits,
            steps=config.newton_steps,
            shift=shift,
            largest=2 ** (config.output_bits - 1) - 1,
            out=_rows(out),
        )
        out *= np.float32(self.output_lsb(weight))
        return out, saturations.reshape(x.shape[:-1])


@dataclass(frozen=True)
class GeluUnit:
    """Integer GELU, or another activation f with f(-x) = f(x) - x.

    lsb, highest, output_lsb, largest : LSB and largest code of input and output; both have the same
        full scale
    table, width : remainder f(x) - x of x >= 0 in units of lsb / 2**guard, for codes below
        `covered`
    """

    config: Gelu
    lsb: float
    highest: int
    output_lsb: float
    largest: int
    table: Integers
    width: int
    covered: int
    guard: int

    @classmethod
    def design(cls, config: Gelu, full_scale: float, activation: Callable[[Any], Any]) -> GeluUnit:
        """config : the table;  full_scale : inputs to cover;  activation : of `operations`

        Raises
        ------
        ConfigError : entries that do not hold the remainder
        """
        finer = config.output_bits - config.input_bits
        common = 2 ** (min(config.input_bits, config.output_bits) - 1) - 1
        highest = common << max(0, -finer)
        largest = common << max(0, finer)
        full_scale = full_scale or 1.0
        lsb = full_scale / highest
        covered = 1 << int(np.ceil(min(full_scale, GELU_REACH) / lsb)).bit_length()

        def remainder(code: AnyFloats) -> AnyFloats:
            value: AnyFloats = activation(code * lsb)
            rest: AnyFloats = value - code * lsb
            return rest

        found = pieces(remainder, covered, config.entries, degree_of(config))
        values = found.coefficients
        peak = max(np.abs(values).max() / lsb, 2.0 ** (config.entry_bits - 1 - LARGEST_GUARD))
        guard = int(np.floor(np.log2((2 ** (config.entry_bits - 1) - 1) / peak)))
        if guard < max(0, finer):
            raise ConfigError(
                f"functions.gelu.entry_bits = {config.entry_bits} do not hold GELU's remainder of {peak:.1f} "
                f"input LSBs at the resolution of the output; allowed: {max(0, finer) - guard} bits more"
            )
        table = np.rint(values * (2**guard / lsb)).astype(np.int64)
        return cls(
            config=config,
            lsb=lsb,
            highest=highest,
            output_lsb=full_scale / largest,
            largest=largest,
            table=table,
            width=found.width,
            covered=covered,
            guard=guard,
        )

    def __call__(self, x: Singles) -> tuple[Singles, Integers]:
        """(outputs like x, saturations x.shape[:-1])"""
        out = np.empty(x.shape, np.float32)
        shift = self.guard + self.config.input_bits - self.config.output_bits
        saturations = kernel.gelu(
            x=_rows(x),
            inverse_lsb=1 / self.lsb,
            highest=self.highest,
            table=self.table,
            width=self.width,
            covered=self.covered,
            guard=self.guard,
            shift=shift,
            largest=self.largest,
            out=_rows(out),
        )
        out *= np.float32(self.output_lsb)
        return out, saturations.reshape(x.shape[:-1])
