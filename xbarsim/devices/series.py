"""A cell as a circuit sees it: its current-voltage curve, and what is in series with it."""

import numpy as np

from xbarsim.base.units import MICRO, MICROSIEMENS
from xbarsim.circuit import cells
from xbarsim.devices.conditions import Conditions
from xbarsim.devices.laws import stated

Curve = cells.Sinh | cells.Polynomial | cells.Table
Access = cells.Transistor | cells.Selector


def curve_of(device: Conditions) -> Curve | None:
    """See `DeviceModel.cell`."""
    table = device.file.iv
    if table is None:
        return None
    if table.model == "polynomial":
        return cells.Polynomial(table.coefficients, table.valid_voltage_v)
    if table.model == "table":
        return cells.Table(table.voltage_v, tuple(current * MICRO for current in table.current_ua))
    is_limited = device.outside_range == "error"
    return cells.Sinh(stated(table.v0_v), table.valid_voltage_v if is_limited else np.inf)


def access_of(device: Conditions) -> Access | None:
    """See `DeviceModel.access`."""
    table = device.file.access
    if table is None:
        return None
    if table.model == "selector":
        conductance = stated(table.conductance_us) * MICROSIEMENS
        return cells.Selector(conductance, stated(table.v0_v))
    return cells.Transistor(
        stated(table.on_resistance_ohm),
        stated(table.overdrive_v),
        table.channel_length_modulation_per_v or 0.0,
    )
