"""Softmax, layer normalisation and GELU in the precision of a digital function unit.

`build` makes integer functions of the tables `[functions.*]` of a study and of the ranges that
`largest` found on held-out sentences.  A function rounds its float input to codes of a static full
scale, computes with integers alone (`kernels/arrays/functions.py`) and scales the result.  Codes
that leave their range are held at its end and counted.

unit = "table"       a value per piece of the input range, taken in its middle
unit = "polynomial"  a polynomial per piece, through the Chebyshev points of the piece, coefficients
rounded to entry_bits

Softmax: the LSB of a score is ln 2 / 2^f, so that an exponential is a table of 2^-fraction and a
shift (Stevens et al., "Softermax", DAC 2021).  Layer normalisation: integer sums, reciprocal root
by table and Newton (as Kim et al., "I-BERT", ICML 2021, with a table for the start).  GELU: max(x,
0) plus an even remainder that vanishes beyond |x| = 6.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.errors import ConfigError
from xbarsim.kernels.arrays import functions as kernel
from xbarsim.models.graph import Kind
from xbarsim.models.operations import ACTIVATIONS

GELU_REACH = 6.0  # |GELU(x) - max(x, 0)| < 1e-8 beyond
LARGEST_GUARD = 32  # fractional bits of GELU's remainder: codes of 20 bits stay far below 2^62


# ---------------------------------------------------------------- tables


def pieces(function, codes, entries, degree):
    """A function of the integer codes 0 ... codes - 1, cut into pieces of equal length.

    function : array of (real) codes -> array of values
    codes, entries : the number of pieces is the smaller one and must divide `codes` into a power of
        two
    degree : 0 for a table; a piece with too few codes for it gets a lower one

    Returns
    -------
    (pieces, degree + 1) float64 coefficients in the share of the piece that was passed, constant
    first; int, log2 of the length of a piece
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
    return coefficients, width


def seed_table(function, octave, entries, entry_bits, bits):
    """Start of a Newton iteration for mantissas from 1 to 1 + octave: (table int64, width); values
    of `bits` fraction bits, of which the table stores `entry_bits`."""
    values, width = pieces(
        lambda code: function(1 + code / 2**bits), octave << bits, octave * min(entries, 2**bits), 0
    )
    return np.rint(values * 2**entry_bits).astype(np.int64) << (bits - entry_bits), width


def widest_sum(entry_bits, scores):
    """Bits of the sum of so many exponentials of `entry_bits`."""
    return (scores * (2**entry_bits - 1)).bit_length()


def _rows(x):
    return np.ascontiguousarray(x, np.float32).reshape(-1, x.shape[-1])


# ---------------------------------------------------------------- the functions


@dataclass(frozen=True)
class Softmax:
    """Integer softmax; call it with scores and mask (see `operations.softmax`).

    lsb : of a score, ln 2 / 2**fraction_bits;  highest : largest code of a score;  table, width :
        powers 2**-fraction
    accumulator_bits : of the sum of the exponentials;  seed, seed_width : start of the reciprocal
    """

    config: object
    accumulator_bits: int
    fraction_bits: int
    highest: int
    table: np.ndarray
    width: int
    seed: np.ndarray
    seed_width: int

    @classmethod
    def design(cls, config, full_scale, scores):
        """Unit of a table [functions.softmax].

        config : config.Softmax
        full_scale : scores to cover
        scores : int, the most scores of one row; equal ones reach the largest sum
        """
        highest = 2 ** (config.input_bits - 1) - 1
        covering = (
            np.floor(np.log2(highest * np.log(2) / full_scale))
            if full_scale > 0
            else config.input_bits
        )
        fraction_bits = int(np.clip(covering, 0, config.input_bits))
        degree = 0 if config.unit == "table" else config.degree
        powers, width = pieces(
            lambda code: 2.0 ** (-code / 2**fraction_bits), 2**fraction_bits, config.entries, degree
        )
        table = np.rint(powers * ((2**config.entry_bits - 1) / np.abs(powers).max())).astype(
            np.int64
        )
        seed = seed_table(
            lambda m: 1 / m, 1, config.seed_entries, config.seed_bits, config.reciprocal_bits
        )
        accumulator_bits = config.accumulator_bits or widest_sum(config.entry_bits, scores)
        return cls(config, accumulator_bits, fraction_bits, highest, table, width, *seed)

    @property
    def lsb(self):
        return np.log(2) / 2**self.fraction_bits

    def __call__(self, x, mask):
        """(probabilities like x, saturations x.shape[:-1])"""
        config, out, largest = (
            self.config,
            np.empty(x.shape, np.float32),
            2**self.config.output_bits - 1,
        )
        allowed = np.ascontiguousarray(np.broadcast_to(mask, x.shape)).reshape(-1, x.shape[-1])
        saturations = kernel.softmax(
            _rows(x),
            allowed,
            1 / self.lsb,
            self.highest,
            self.fraction_bits,
            self.table,
            self.width,
            2**self.accumulator_bits - 1,
            self.seed,
            self.seed_width,
            config.reciprocal_bits,
            config.newton_steps,
            largest,
            _rows(out),
        )
        out *= np.float32(1 / largest)
        return out, saturations.reshape(x.shape[:-1])


@dataclass(frozen=True)
class LayerNorm:
    """Integer layer normalisation; call it with inputs, scale, bias and epsilon (see
    `operations.layer_norm`).

    lsb : of an input;  highest : its largest code;  full_scale : outputs to cover;  seed,
        seed_width : of the root
    """

    config: object
    lsb: float
    highest: int
    full_scale: float
    seed: np.ndarray
    seed_width: int

    @classmethod
    def design(cls, config, full_scale, output_full_scale):
        """config : config.LayerNorm;  full_scale, output_full_scale : inputs and outputs to cover"""
        highest = 2 ** (config.input_bits - 1) - 1
        seed = seed_table(
            lambda m: m**-0.5, 3, config.seed_entries, config.seed_bits, config.reciprocal_bits
        )
        return cls(config, (full_scale or 1.0) / highest, highest, output_full_scale or 1.0, *seed)

    def scales(self, weight):
        """(log2 of the unit of the scale codes, shift to the output's LSB): powers of two, no
        multiplier is needed.
        """
        largest = np.abs(weight).max() / (2 ** (self.config.scale_bits - 1) - 1)
        unit = int(np.ceil(np.log2(largest))) if largest > 0 else 0
        lsb = int(np.ceil(np.log2(self.full_scale / (2 ** (self.config.output_bits - 1) - 1))))
        return unit, max(0, lsb - (unit - self.config.reciprocal_bits))

    def output_lsb(self, weight):
        unit, shift = self.scales(weight)
        return 2.0 ** (unit - self.config.reciprocal_bits + shift)

    def __call__(self, x, weight, bias, epsilon):
        """(outputs like x, saturations x.shape[:-1])"""
        config, out, h = self.config, np.empty(x.shape, np.float32), x.shape[-1]
        if h * self.highest >= 2**31:
            raise ConfigError(
                f"functions.layer_norm.input_bits = {config.input_bits} with {h} elements does not fit 64-bit "
                "sums; choose fewer input_bits"
            )
        unit, shift = self.scales(weight)
        gamma = np.rint(weight.astype(np.float64) / 2.0**unit).astype(np.int64)
        beta = np.rint(bias.astype(np.float64) / 2.0 ** (unit - config.reciprocal_bits)).astype(
            np.int64
        )
        saturations = kernel.layer_norm(
            _rows(x),
            1 / self.lsb,
            self.highest,
            round(min(epsilon * (h / self.lsb) ** 2, 2.0**61)),
            gamma,
            beta,
            self.seed,
            self.seed_width,
            config.reciprocal_bits,
            config.newton_steps,
            shift,
            2 ** (config.output_bits - 1) - 1,
            _rows(out),
        )
        out *= np.float32(self.output_lsb(weight))
        return out, saturations.reshape(x.shape[:-1])


@dataclass(frozen=True)
class Gelu:
    """Integer GELU, or another activation f with f(-x) = f(x) - x.

    lsb, highest, output_lsb, largest : LSB and largest code of input and output; both have the same
        full scale
    table, width : remainder f(x) - x of x >= 0 in units of lsb / 2**guard, for codes below
        `covered`
    """

    config: object
    lsb: float
    highest: int
    output_lsb: float
    largest: int
    table: np.ndarray
    width: int
    covered: int
    guard: int

    @classmethod
    def design(cls, config, full_scale, activation):
        """config : config.Gelu;  full_scale : inputs to cover;  activation : float function (name,
        x) of `operations`
        """
        finer = config.output_bits - config.input_bits
        common = 2 ** (min(config.input_bits, config.output_bits) - 1) - 1
        highest, largest = common << max(0, -finer), common << max(0, finer)
        full_scale = full_scale or 1.0
        lsb = full_scale / highest
        covered = 1 << int(np.ceil(min(full_scale, GELU_REACH) / lsb)).bit_length()

        def remainder(code):
            return activation(code * lsb) - code * lsb

        degree = 0 if config.unit == "table" else config.degree
        values, width = pieces(remainder, covered, config.entries, degree)
        peak = max(np.abs(values).max() / lsb, 2.0 ** (config.entry_bits - 1 - LARGEST_GUARD))
        guard = int(np.floor(np.log2((2 ** (config.entry_bits - 1) - 1) / peak)))
        if guard < max(0, finer):
            raise ConfigError(
                f"functions.gelu.entry_bits = {config.entry_bits} do not hold GELU's remainder of {peak:.1f} "
                f"input LSBs at the resolution of the output; allowed: {max(0, finer) - guard} bits more"
            )
        table = np.rint(values * (2**guard / lsb)).astype(np.int64)
        return cls(
            config, lsb, highest, full_scale / largest, largest, table, width, covered, guard
        )

    def __call__(self, x):
        """(outputs like x, saturations x.shape[:-1])"""
        out = np.empty(x.shape, np.float32)
        shift = self.guard + self.config.input_bits - self.config.output_bits
        saturations = kernel.gelu(
            _rows(x),
            1 / self.lsb,
            self.highest,
            self.table,
            self.width,
            self.covered,
            self.guard,
            shift,
            self.largest,
            _rows(out),
        )
        out *= np.float32(self.output_lsb)
        return out, saturations.reshape(x.shape[:-1])


# ---------------------------------------------------------------- into the forward pass


def largest(step, operands, output):
    """(largest |input|, largest |output|) of a function; of a softmax where its mask is True."""
    counted = True
    if step.kind is Kind.SOFTMAX:
        x, mask = operands
        counted = np.broadcast_to(mask, x.shape)
    return tuple(
        float(np.abs(values).max(initial=0, where=counted)) for values in (operands[0], output)
    )


def widest(ranges):
    """One dictionary of ranges that covers all of a list of them (one per batch)."""
    return {
        name: tuple(np.max([part[name] for part in ranges], axis=0).tolist()) for name in ranges[0]
    }


def build(study, model, ranges):
    """{function name: integer function} of all functions that the study, `[[layer]]` overrides
    included, does not leave in float.

    ranges : {function name: (largest |input|, largest |output|)}

    Raises
    ------
    ConfigError : bit widths that cannot represent the function
    """
    result = {}
    for step in model.graph.functions:
        name = step.name
        config = study.for_layer(name).functions
        largest_input, largest_output = ranges[name]
        if step.kind is Kind.SOFTMAX:
            if config.softmax.unit != "float":
                full_scale = config.softmax.range * largest_input
                result[name] = Softmax.design(config.softmax, full_scale, model.config.max_tokens)
                check_sum(name, result[name], min(study.model.max_length, model.config.max_tokens))
        elif step.kind is Kind.ACTIVATION:
            if config.gelu.unit != "float":
                activation = ACTIVATIONS[model.config.activation]
                result[name] = Gelu.design(
                    config.gelu, config.gelu.range * largest_input, activation
                )
        elif config.layer_norm.unit != "float":
            scale = config.layer_norm.range
            result[name] = LayerNorm.design(
                config.layer_norm, scale * largest_input, scale * largest_output
            )
    return result


def check_sum(name, unit, scores):
    """Raise ConfigError where rows of so many scores can exceed the accumulator of a Softmax."""
    needed = widest_sum(unit.config.entry_bits, scores)
    if unit.accumulator_bits < needed:
        raise ConfigError(
            f"functions.softmax.accumulator_bits = {unit.accumulator_bits} of {name}: {scores} equal scores of "
            f"entry_bits = {unit.config.entry_bits} exceed it; allowed: {needed} or more, or leave the key out"
        )
