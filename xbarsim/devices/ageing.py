"""What time, reads and temperature make of cells after the write.

Every function takes the device (`model.DeviceModel`: its file, the effects that are on, time,
temperature, reads), and the cells (`model.Programmed`) as they were just written.
"""

import numpy as np

from xbarsim.base.errors import OutOfRangeError
from xbarsim.base.units import MICROSIEMENS
from xbarsim.devices.streams import DRIFT, RELAXATION

BOLTZMANN_EV = 8.617333262e-5  # eV/K (CODATA 2018, exact to these digits)


def table_of(device, effect):
    """The table of the device file behind an effect, None where it is absent or switched off."""
    return getattr(device.file, effect) if effect in device.effects else None


def normals(streams, shape, purpose, write=0):
    """(tiles, m, n) standard normal deviates, each tile from a generator of its own."""
    generators = streams.generators(shape[0], purpose, write)
    return np.stack([generator.standard_normal(shape[1:]) for generator in generators])


def arrhenius(device, energy_ev):
    """exp(-Ea / k (1 / T - 1 / Tref)); 1 at the reference temperature, or without temperature."""
    table = table_of(device, "temperature")
    if table is None or device.temperature is None:
        return 1.0
    inverse = 1 / device.temperature - 1 / table.reference_k
    return float(np.exp(-energy_ev / BOLTZMANN_EV * inverse))


def relaxation_moments(device):
    """(mean, standard deviation) in S of the relaxation at the device's time, of every cell.

    Raises
    ------
    OutOfRangeError : a time, outside the stated range, at which the variance is negative
    """
    table, decades = device.file.relaxation, np.log10(device.aged_time)
    variance = table.variance_us2(decades)
    if variance < 0:
        raise OutOfRangeError(
            f"the variance of [relaxation] is {variance:g} µS² at {device.aged_time:g} s; allowed: "
            "0 or more; choose device.time_s in the stated range"
        )
    mean = table.mean_offset_us + table.mean_slope_us * decades
    return mean * MICROSIEMENS, np.sqrt(variance) * MICROSIEMENS


def drift_exponent(device, cells):
    """(mean, standard deviation) of the drift exponent nu, element by element of the cells.

    Its laws mean the target or the achieved conductance, as their key `of` says.
    """
    table = device.file.drift
    return table.nu_mean.of_cells(cells), table.nu_sigma.of_cells(cells)


def age(device, cells, streams):
    """(tiles, m, n) S: the conductance that is read at the device's time and temperature.

    In this order: relaxation is added; drift multiplies what is left; reads bring the cells nearer
    to an end of the window; temperature multiplies.
    """
    g = cells.conductance
    if table_of(device, "relaxation") is not None:
        mean, sigma = relaxation_moments(device)
        g = g + mean + sigma * normals(streams, g.shape, RELAXATION, device.write)
    drift = table_of(device, "drift")
    if drift is not None:
        mean, sigma = drift_exponent(device, cells)
        nu = mean + sigma * normals(streams, g.shape, DRIFT, device.write)
        g = g * (device.aged_time / drift.reference_s) ** -nu
    disturb = table_of(device, "read_disturb")
    if disturb is not None:
        at_minimum = disturb.toward == "minimum"
        end = device.conductance_min if at_minimum else device.conductance_max
        g = g - (end - g) * np.expm1(-disturb.rate_per_read * device.reads)
    temperature = table_of(device, "temperature")
    if temperature is not None:
        g = g * arrhenius(device, temperature.activation_energy_ev)
    return g
