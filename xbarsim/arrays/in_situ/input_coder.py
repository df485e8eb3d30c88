"""`InputCoder`: the DACs of one matrix, their full scale set from sample inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from xbarsim.base.array_types import AnyFloats, Floats, Integers, Keys, Singles
from xbarsim.base.units import MILLI
from xbarsim.config.arrays import Dac
from xbarsim.config.converters import table_of
from xbarsim.kernels.arrays.converter_levels import add_driver_noise
from xbarsim.kernels.arrays.converters import hold_inputs, range_errors
from xbarsim.kernels.arrays.row_products import first_rows

# Of the largest sample: candidates of the `mse` criterion.
RANGE_FRACTIONS = np.geomspace(0.15, 1.0, 17).astype(np.float32)
RANGE_SAMPLES = 512  # sample rows behind that criterion


@dataclass(frozen=True)
class InputCoder:
    """Float inputs -> codes -> voltage phases.

    encoding : "amplitude" (one phase, code as voltage), "pulse_width" (one phase, code as time) or
        "bit_serial"
    polarity : "signed" voltages, or "two_phase": the positive inputs first, then the negative ones
    digit_bits : bits that one bit-serial phase applies; "signed" are then two's complement of
        single bits, or offset binary of larger digits, "two_phase" digits of the magnitudes
    bits : sign included, or "ideal"; of one bit the codes are -1 and 1, there is no 0
    full_scale : magnitude of the largest code in the unit of the input
    read_voltage : volt that the largest code (or digit) puts on a word line
    noise : volt, standard deviation on a driven word line in a phase
    deviation : (codes,) volt of every code of a phase beside its even step, None of even ones
    """

    encoding: str
    polarity: str
    digit_bits: int
    bits: int | Literal["ideal"]
    full_scale: float
    read_voltage: float
    noise: float = 0.0
    deviation: Singles | None = None

    @classmethod
    def covering(
        cls,
        x: Singles,
        weight_power: Floats,
        dac: Dac,
        read_voltage: float,
        ideal: bool,
        even: bool = True,
    ) -> InputCoder:
        """Coder whose full scale covers the sample inputs x (s, in) by the criterion of `dac.range`.

        weight_power : (in,), sum of the squared weights of each input: what the `mse` criterion
            weighs errors with
        ideal : whether inputs are not rounded at all
        even : whether voltages are without noise and in even steps, whatever `dac` says
        """
        encoding: str = dac.encoding
        bits = dac.bits
        if ideal:
            bits = "ideal"
        if bits == "ideal":
            encoding = "amplitude"
        largest = float(np.abs(x).max())
        coder = cls(
            encoding=encoding,
            polarity=dac.polarity,
            digit_bits=dac.digit_bits,
            bits=bits,
            full_scale=_full_scale(x, weight_power, dac, bits) or largest or 1.0,
            read_voltage=read_voltage,
        )
        if even or bits == "ideal":
            return coder
        return coder._uneven(dac)

    def _uneven(self, dac: Dac) -> InputCoder:
        """The same with the noise and the uneven steps that a study states."""
        deviation = None
        if dac.inl_lsb is not None:
            shift = table_of("dac.inl_lsb", dac.inl_lsb)
            deviation = (shift * self._volts_per_step).astype(np.float32)
        return replace(self, noise=dac.noise_mv * MILLI, deviation=deviation)

    @property
    def is_even(self) -> bool:
        """Whether voltages are without noise and in even steps."""
        return self.noise == 0 and self.deviation is None

    @property
    def _volts_per_step(self) -> float:
        """Volt of one code, or of one unit of a digit."""
        if self.serial:
            return self.read_voltage / float(2**self.digit_bits - 1)
        return self.read_voltage / self.highest

    @property
    def highest(self) -> int:
        """Largest code."""
        return max((1 << (self._bits - 1)) - 1, 1)

    @property
    def _bits(self) -> int:
        """Bits of a coder that is not ideal."""
        if self.bits == "ideal":
            raise TypeError("an ideal coder has no codes")
        return self.bits

    @property
    def lsb(self) -> float:
        """One code in the unit of the input."""
        return self.full_scale / self.highest

    @property
    def serial(self) -> bool:
        """Whether digits are applied one after another."""
        return self.encoding == "bit_serial"

    @property
    def signed_voltages(self) -> bool:
        """Whether a phase applies positive and negative voltages."""
        return not self.serial and self.polarity == "signed"

    def hold(self, x: Singles) -> tuple[Singles, Integers]:
        """Rounded and limited inputs (b, in), in the unit of the input, and how many left the
        range, (b,).
        """
        if self.bits == "ideal":
            return x, np.zeros(len(x), np.int64)
        if self.bits == 1:
            return only_sign(x, np.float32(self.full_scale))
        held: Singles
        outside: Integers
        held, outside = hold_inputs(
            np.ascontiguousarray(x, np.float32),
            per_unit=np.float32(1 / self.lsb),
            highest=np.float32(self.highest),
            lsb=np.float32(self.lsb),
        )
        return held, outside

    @cached_property
    def phase_weight(self) -> Singles:
        """(p,), input units per volt of each phase."""
        if not self.serial:
            per_volt = self.full_scale / self.read_voltage
            weights = [per_volt]
            if self.polarity == "two_phase":
                weights.append(-per_volt)
            return np.array(weights, np.float32)
        two_phase = self.polarity == "two_phase"
        digits = -(-(self._bits - two_phase) // self.digit_bits)
        place = 2.0 ** (self.digit_bits * np.arange(digits))
        weight: AnyFloats = place * self.lsb * (2**self.digit_bits - 1) / self.read_voltage
        if two_phase:
            weight = np.concatenate([weight, -weight])
        elif self.digit_bits == 1:
            weight[-1] *= -1  # two's complement
        return weight.astype(np.float32)

    @property
    def shift(self) -> float:
        """What offset binary adds to every input before it is cut into digits; 0 where it is not
        used.
        """
        if self.serial and self.digit_bits > 1 and self.polarity == "signed":
            return (self.highest + 1) * self.lsb
        return 0.0

    def phases(self, held: Singles) -> Singles:
        """Voltages (b, p, in) of held inputs (b, in), without noise."""
        volts = self._even_phases(held)
        if self.deviation is None:
            return volts
        steps = np.rint(volts / np.float32(self._volts_per_step)).astype(np.int64)
        if self.signed_voltages:
            steps = steps + self.highest
        uneven: Singles = volts + self.deviation[steps]
        return uneven

    def add_noise(self, volts: Singles, keys: Keys, first: int) -> None:
        """Add noise to voltages (b, p, m) in place.

        keys : (b, p), name the random numbers;  first : number of the first word line
        """
        flat = volts.reshape(-1, volts.shape[-1])
        add_driver_noise(flat, np.float32(self.noise), keys.reshape(-1), first)

    def inputs_of(self, volts: Singles) -> Singles:
        """Inputs (b, m) that voltages (b, p, m) stand for."""
        inputs: Singles = np.einsum("bpm,p->bm", volts, self.phase_weight) - np.float32(self.shift)
        return inputs

    def _even_phases(self, held: Singles) -> Singles:
        if self.serial:
            return self._serial_phases(held)
        volts = held * np.float32(self.read_voltage / self.full_scale)
        if self.polarity == "signed":
            return volts[:, None]
        return np.stack([np.maximum(volts, 0), np.maximum(-volts, 0)], axis=1)

    def _serial_phases(self, held: Singles) -> Singles:
        codes = np.rint(held / np.float32(self.lsb)).astype(np.int32)
        largest = 2**self.digit_bits - 1
        if self.polarity == "two_phase":
            unsigned = [np.maximum(codes, 0), np.maximum(-codes, 0)]
        elif self.digit_bits == 1:
            unsigned = [codes & (2**self._bits - 1)]
        else:
            unsigned = [codes + self.highest + 1]
        digits = len(self.phase_weight) // len(unsigned)
        phases = [
            (part >> (self.digit_bits * digit)) & largest
            for part in unsigned
            for digit in range(digits)
        ]
        per_digit = np.float32(self.read_voltage / largest)
        volts: Singles = np.stack(phases, axis=1).astype(np.float32) * per_digit
        return volts

    def drive_energy(
        self, volts: Singles, power: Singles, read_time: float, whole: int | None = None
    ) -> Floats:
        """Joules (b,) that the drivers of a row block deliver in `read_time` seconds for voltages
        (b, p, m); power (m, m) watt per V².

        whole : phases of all rows at most that travel together: results have the bits of the first
            of so many

        A pulse-width phase applies the read voltage for a share of the time; there only the
        diagonal of `power` is used (what one word line draws through another is neglected).
        """
        flat = volts.reshape(-1, volts.shape[-1])
        rows = whole or len(flat)
        if self.encoding == "pulse_width":
            times = (np.diag(power) * np.float32(self.read_voltage))[:, None]
            watts = first_rows(np.abs(flat), times, rows)[:, 0]
        else:
            watts = np.einsum("bm,bm->b", first_rows(flat, power, rows), flat)
        power_of_rows: Floats = watts.reshape(volts.shape[:2]).sum(axis=1).astype(np.float64)
        return power_of_rows * read_time


def has_driver_errors(dac: Dac) -> bool:
    """Whether the voltages of codes are noisy or uneven."""
    return dac.noise_mv > 0 or dac.inl_lsb is not None


def _full_scale(
    x: Singles,
    weight_power: Floats,
    dac: Dac,
    bits: int | Literal["ideal"],
) -> float:
    """Full scale of inputs x (s, in): as stated, or by the criterion of `dac.range`."""
    if dac.input_full_scale is not None:
        return dac.input_full_scale
    magnitude = np.abs(x)
    largest = magnitude.max()
    if dac.range == "quantile":
        return float(np.quantile(magnitude, dac.quantile))
    if dac.range != "mse" or bits == "ideal":
        return float(largest)
    if bits == 1:
        weighted = magnitude.mean(axis=0) @ weight_power
        if weighted > 0:
            return float(weighted / weight_power.sum())
        return float(largest)
    highest = np.float32(2 ** (bits - 1) - 1)
    sample = np.ascontiguousarray(x[:: -(-len(x) // RANGE_SAMPLES)], np.float32)
    scale = np.full(x.shape[1], largest, np.float32)
    error = range_errors(sample, scale, -highest, highest, RANGE_FRACTIONS)
    return float(largest * RANGE_FRACTIONS[np.argmin(error @ weight_power)])


def only_sign(x: Singles, code: np.float32 | Singles) -> tuple[Singles, Integers]:
    """One signed bit: x (b, n) as -code or +code (n,), and how many of each row lie beyond twice
    the code, (b,).
    """
    return np.copysign(code, x), (np.abs(x) > 2 * code).sum(axis=1)
