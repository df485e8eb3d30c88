"""Converters of one matrix: `InputCoder` (the DACs) and ADC full scales, both set from calibration
data.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.kernels.arrays.converters import range_errors

RANGE_FRACTIONS = np.geomspace(0.15, 1.0, 17).astype(
    np.float32
)  # of the largest sample: candidates of `mse`
RANGE_SAMPLES = 512  # sample rows behind that criterion


@dataclass(frozen=True)
class InputCoder:
    """Float inputs -> codes -> voltage phases.

    encoding : "amplitude" (one phase, code as voltage), "pulse_width" (one phase, code as time) or
        "bit_serial"
    polarity : "signed" voltages, or "two_phase": the positive inputs first, then the negative ones
    digit_bits : bits that one bit-serial phase applies; "signed" are then two's complement of
        single bits, or offset binary of larger digits, "two_phase" digits of the magnitudes
    bits : int, sign included, or "ideal"; of one bit the codes are -1 and 1, there is no 0
    full_scale : float, magnitude of the largest code in the unit of the input
    read_voltage : float, volt that the largest code (or digit) puts on a word line
    """

    encoding: str
    polarity: str
    digit_bits: int
    bits: int | str
    full_scale: float
    read_voltage: float

    @classmethod
    def calibrate(cls, x, weight_power, dac, read_voltage, ideal):
        """Coder whose full scale covers the calibration inputs x (s, in) by the criterion of
        `dac.range`.

        weight_power : (in,), sum of the squared weights of each input: what the `mse` criterion
            weighs errors with
        """
        bits = "ideal" if ideal else dac.bits
        magnitude = np.abs(x)
        largest = full_scale = magnitude.max()
        if dac.range == "quantile":
            full_scale = np.quantile(magnitude, dac.quantile)
        elif dac.range == "mse" and bits == 1:
            weighted = magnitude.mean(axis=0) @ weight_power
            full_scale = weighted / weight_power.sum() if weighted > 0 else largest
        elif dac.range == "mse" and bits != "ideal":
            highest = np.float32(2 ** (bits - 1) - 1)
            sample = np.ascontiguousarray(x[:: -(-len(x) // RANGE_SAMPLES)], np.float32)
            error = range_errors(
                sample, np.full(x.shape[1], largest, np.float32), -highest, highest, RANGE_FRACTIONS
            )
            full_scale = largest * RANGE_FRACTIONS[np.argmin(error @ weight_power)]
        full_scale = float(full_scale)
        return cls(
            "amplitude" if bits == "ideal" else dac.encoding,
            dac.polarity,
            dac.digit_bits,
            bits,
            full_scale or float(largest) or 1.0,
            read_voltage,
        )

    @property
    def highest(self):
        """Largest code."""
        return max(2 ** (self.bits - 1) - 1, 1)

    @property
    def lsb(self):
        """One code in the unit of the input."""
        return self.full_scale / self.highest

    @property
    def serial(self):
        return self.encoding == "bit_serial"

    @property
    def signed_voltages(self):
        return not self.serial and self.polarity == "signed"

    def hold(self, x):
        """Rounded and limited inputs (b, in), in the unit of the input, and how many left the
        range, (b,) int64.
        """
        if self.bits == "ideal":
            return x, np.zeros(len(x), np.int64)
        if self.bits == 1:
            return only_sign(x, np.float32(self.full_scale))
        codes = np.rint(x * np.float32(1 / self.lsb))
        outside = np.abs(codes) > self.highest
        return np.clip(codes, -self.highest, self.highest) * np.float32(self.lsb), outside.sum(
            axis=1
        )

    @property
    def phase_weight(self):
        """(p,) float32, input units per volt of each phase."""
        if not self.serial:
            per_volt = self.full_scale / self.read_voltage
            return np.array(
                [per_volt] if self.polarity == "signed" else [per_volt, -per_volt], np.float32
            )
        two_phase = self.polarity == "two_phase"
        digits = -(-(self.bits - two_phase) // self.digit_bits)
        weight = (
            2.0 ** (self.digit_bits * np.arange(digits))
            * self.lsb
            * (2**self.digit_bits - 1)
            / self.read_voltage
        )
        if two_phase:
            weight = np.concatenate([weight, -weight])
        elif self.digit_bits == 1:
            weight[-1] *= -1  # two's complement
        return weight.astype(np.float32)

    @property
    def shift(self):
        """What offset binary adds to every input before it is cut into digits; 0 where it is not
        used.
        """
        binary = self.serial and self.digit_bits > 1 and self.polarity == "signed"
        return (self.highest + 1) * self.lsb if binary else 0.0

    def phases(self, held):
        """Voltages (b, p, in) float32 of held inputs (b, in)."""
        if not self.serial:
            volts = held * np.float32(self.read_voltage / self.full_scale)
            if self.polarity == "signed":
                return volts[:, None]
            return np.stack([np.maximum(volts, 0), np.maximum(-volts, 0)], axis=1)
        codes = np.rint(held / np.float32(self.lsb)).astype(np.int32)
        largest = 2**self.digit_bits - 1
        if self.polarity == "two_phase":
            parts = np.maximum(codes, 0), np.maximum(-codes, 0)
        else:
            parts = (
                codes & (2**self.bits - 1) if self.digit_bits == 1 else codes + self.highest + 1,
            )
        digits = len(self.phase_weight) // len(parts)
        phases = [
            (part >> (self.digit_bits * p)) & largest for part in parts for p in range(digits)
        ]
        return np.stack(phases, axis=1).astype(np.float32) * np.float32(self.read_voltage / largest)

    def drive_energy(self, volts, power, read_time):
        """Joules (b,) that the drivers of a row block deliver for voltages (b, p, m); power (m, m)
        watt per V².

        A pulse-width phase applies the read voltage for a share of the time; there only the
        diagonal of `power` is used (what one word line draws through another is neglected).
        """
        flat = volts.reshape(-1, volts.shape[-1])
        if self.encoding == "pulse_width":
            watts = np.abs(flat) @ (np.diag(power) * np.float32(self.read_voltage))
        else:
            watts = np.einsum("bm,bm->b", flat @ power, flat)
        return watts.reshape(volts.shape[:2]).sum(axis=1).astype(np.float64) * read_time


def code_range(bits, signed):
    """(lowest, highest) ADC code; signed codes are symmetric, those of one signed bit are -1 and 1
    without 0.
    """
    if not signed:
        return 0, 2**bits - 1
    highest = max(2 ** (bits - 1) - 1, 1)
    return -highest, highest


def only_sign(x, code):
    """One signed bit: x (b, n) as -code or +code (n,), and how many of each row lie beyond twice
    the code, (b,) int64.
    """
    return np.copysign(code, x), (np.abs(x) > 2 * code).sum(axis=1)


def adc_full_scale(current, adc, lowest, highest):
    """(lines,) ampere of the largest code, from sample currents (s, lines) float32, by the
    criterion of `adc.range`.
    """
    magnitude = np.abs(current)
    largest = magnitude.max(axis=0)
    if adc.range == "quantile":
        scale = np.quantile(magnitude, adc.quantile, axis=0).astype(np.float32)
    elif adc.range == "mse" and adc.bits == 1 and lowest < 0:
        scale = magnitude.mean(axis=0)  # of two codes -1 and 1, the nearest on average
    elif adc.range == "mse":
        error = range_errors(
            current, largest, np.float32(lowest), np.float32(highest), RANGE_FRACTIONS
        )
        scale = largest * RANGE_FRACTIONS[error.argmin(axis=0)]
    else:
        scale = largest
    scale = np.where(scale > 0, scale, largest)
    return np.where(
        scale > 0, scale, np.float32(1)
    )  # a line without current keeps code 0 in any range
