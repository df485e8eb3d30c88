"""The cell of linear_updates.py and trained_in_place.py: pulses of a parameter."""

from xbarsim.devices.presets import parse_device

DEVICE = """
description = "pulses of a parameter"
[read]
voltage_v = 0.1
source = "a parameter of this example"
[conductance]
minimum_us = 1.0
maximum_us = 100.0
valid_range_us = [1.0, 100.0]
source = "a parameter of this example"
[write]
pulse_voltage_v = 1.5
pulse_time_ns = 100.0
source = "a parameter of this example"
[write_verify]
step_up_us = {up}
step_down_us = {down}
nonlinearity_up = {nonlinearity_up}
nonlinearity_down = {nonlinearity_down}
step_relative_sigma = {sigma}
tolerance_us = 1.0
maximum_pulses = 1000
source = "a parameter of this example"
[stuck]
on_rate = {each_end}
off_rate = {each_end}
source = "a parameter of this example"
"""


def pulsed_device(
    up_us: float = 1.0,
    down_us: float = 1.0,
    nonlinearity_up: float = 0.0,
    nonlinearity_down: float = 0.0,
    sigma: float = 0.3,
    stuck: float = 0.0,
):
    """A device by the first steps of its trains, how they fall, their noise and its stuck cells."""
    text = DEVICE.format(
        up=up_us,
        down=down_us,
        nonlinearity_up=nonlinearity_up,
        nonlinearity_down=nonlinearity_down,
        sigma=sigma,
        each_end=stuck / 2,
    )
    return parse_device("pulses of a parameter", text)
