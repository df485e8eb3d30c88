"""Noise of cells that is remembered from token to token.

1/f noise is a sum of processes of two states whose correlation times are spread evenly over the
logarithm of its band (A. McWhorter, 1957): MODES per decade of frequency, all of one variance.
Telegraph noise is one such process.  What is forgotten before the next token stays noise that is
drawn anew.
"""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.devices.conditions import Conditions
from xbarsim.devices.laws import stated
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.read_noise import flicker_band, noise_parts, telegraph_cells
from xbarsim.devices.streams import Streams

MODES = 1.5  # per decade: the spectrum is within 1.2 % of 1/f
FORGOTTEN = 3.0  # correlation times between two tokens, beyond which nothing is remembered


@dataclass(frozen=True)
class RememberedNoise:
    """Noise of programmed cells at tokens that are read at equal intervals.

    independent : S, standard deviation of what is drawn anew at every token
    flicker : S, of each of the processes of the 1/f noise;  flicker_times : s, of correlation
    telegraph : S, 0 where a cell has none;  telegraph_time : s, None where it is forgotten
    telegraph_high : share of time in the high state
    """

    independent: Floats
    flicker: Floats
    flicker_times: tuple[float, ...]
    telegraph: Floats
    telegraph_time: float | None
    telegraph_high: float

    @property
    def lasts(self) -> bool:
        """Whether any of it is remembered from token to token."""
        of_flicker = bool(self.flicker_times) and bool(self.flicker.any())
        return of_flicker or self.telegraph_time is not None


def flicker_times(low: float, high: float) -> Floats:
    """(modes,) s: correlation times of the processes whose sum is 1/f noise from `low` to `high` Hz."""
    count = int(np.ceil(MODES * np.log10(high / low)))
    middle = (np.arange(count) + 0.5) / count
    frequency = low * (high / low) ** middle
    times: Floats = 1 / (2 * np.pi * frequency)
    return times


def remembered_noise(
    device: Conditions, cells: Programmed, streams: Streams, read_time: float, interval: float
) -> RememberedNoise:
    """The noise of a read of `read_time` s, at tokens `interval` s apart, by how long it lasts."""
    parts = noise_parts(device, cells, read_time)
    variance = parts["white"] ** 2
    nothing = np.zeros(cells.conductance.shape)
    flicker = nothing
    slow: tuple[float, ...] = ()
    if parts["flicker"].any():
        times = flicker_times(*flicker_band(device, read_time))
        slow = tuple(float(time) for time in times if time * FORGOTTEN >= interval)
        of_each = parts["flicker"] ** 2 / len(times)
        flicker = np.sqrt(of_each)
        variance = variance + of_each * (len(times) - len(slow))
    telegraph = nothing
    time = None
    share = 0.5
    if parts["telegraph"].any():
        table = stated(stated(device.file.read_noise).telegraph)
        own = 1 / (1 / table.dwell_high_s + 1 / table.dwell_low_s)
        share = table.dwell_high_s / (table.dwell_high_s + table.dwell_low_s)
        telegraph = parts["telegraph"] * telegraph_cells(device, cells, streams)
        if own * FORGOTTEN >= interval:
            time = own
        else:
            variance = variance + telegraph**2
    return RememberedNoise(
        independent=np.sqrt(variance),
        flicker=flicker,
        flicker_times=slow,
        telegraph=telegraph,
        telegraph_time=time,
        telegraph_high=share,
    )
