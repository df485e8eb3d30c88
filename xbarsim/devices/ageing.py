"""What time, reads and temperature make of cells after the write.

Every function takes the `Conditions` of the device, and the cells as they were just written.
"""

import numpy as np

from xbarsim.base.array_types import Floats
from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.devices.ageing_tables import Drift, Relaxation
from xbarsim.devices.conditions import Conditions
from xbarsim.devices.laws import stated
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import DRIFT, RELAXATION, Streams


def normals(streams: Streams, shape: tuple[int, ...], purpose: int, write: int = 0) -> Floats:
    """(tiles, m, n) standard normal deviates, each tile from a generator of its own."""
    generators = streams.generators(shape[0], purpose, write)
    return np.stack([generator.standard_normal(shape[1:]) for generator in generators])


def relaxation_moments(device: Conditions) -> tuple[float, float]:
    """(mean, standard deviation) in S of the relaxation at the device's time, of every cell.

    Raises
    ------
    OutOfRangeError : a time, outside the stated range, at which the variance is negative
    """
    table: Relaxation = stated(device.file.relaxation)
    time = device.known_time()
    decades = np.log10(time)
    variance = table.variance_us2(decades)
    if variance < 0:
        raise OutOfRangeError(
            f"the variance of [relaxation] is {variance:g} µS² at {time:g} s; allowed: "
            "0 or more; choose device.time_s in the stated range"
        )
    mean = table.mean_offset_us + table.mean_slope_us * decades
    return mean * MICROSIEMENS, np.sqrt(variance) * MICROSIEMENS


def drift_exponent(device: Conditions, cells: Programmed) -> tuple[Floats, Floats]:
    """(mean, standard deviation) of the drift exponent nu, element by element of the cells.

    Its laws mean the target or the achieved conductance, as their key `of` says.
    """
    table: Drift = stated(device.file.drift)
    return table.nu_mean.of_cells(cells), table.nu_sigma.of_cells(cells)


def age(device: Conditions, cells: Programmed, streams: Streams) -> Floats:
    """(tiles, m, n) S: the conductance that is read at the device's time and temperature.

    In this order: relaxation is added; drift multiplies what is left; reads bring the cells nearer
    to an end of the window; temperature multiplies.
    """
    g = cells.conductance
    active = device.active
    if active.relaxation is not None:
        of_all, spread = relaxation_moments(device)
        g = g + of_all + spread * normals(streams, g.shape, RELAXATION, device.write)
    if active.drift is not None:
        mean, sigma = drift_exponent(device, cells)
        nu = mean + sigma * normals(streams, g.shape, DRIFT, device.write)
        g = g * (device.known_time() / active.drift.reference_s) ** -nu
    if active.read_disturb is not None:
        end = disturbed_end(device)
        g = g - (end - g) * np.expm1(-active.read_disturb.rate_per_read * device.reads)
    if active.temperature is not None:
        g = g * device.arrhenius(active.temperature.activation_energy_ev)
    return g


def disturbed_end(device: Conditions) -> float:
    """The end of the window, S, that reads bring cells nearer to."""
    if stated(device.file.read_disturb).toward == "minimum":
        return device.conductance_min
    return device.conductance_max
