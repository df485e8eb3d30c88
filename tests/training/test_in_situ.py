"""Training by pulses: the law of the cells, what pulses add up to, counts, and a task learned."""

import numpy as np
import pytest
from tiny_images import tiny_images

from xbarsim import load_device
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.config.image_training import Rule
from xbarsim.kernels.devices.variability import pulse_step
from xbarsim.training.in_situ import InSituNetwork, Pulsing
from xbarsim.training.pulsed_cells import DOWN, UP, Divider, Heat, PulsedCells, PulseLaw

DEVICE = """
description = "pulses"
[read]
voltage_v = 0.1
source = "t"
[conductance]
minimum_us = 1.0
maximum_us = 101.0
valid_range_us = [1.0, 101.0]
source = "t"
[write]
pulse_energy_pj = 2.0
pulse_time_ns = 100.0
source = "t"
[write_verify]
step_up_us = {up}
step_down_us = 2.0
nonlinearity_up = {nonlinearity}
saturation_down_us = -9.0
step_relative_sigma = {sigma}
tolerance_us = 1.0
maximum_pulses = 100
source = "t"
{more}
"""
IMAGES, TARGETS = tiny_images(200)
PIXELS = IMAGES.reshape(200, -1)


@pytest.fixture
def device_of(tmp_path):
    def made(up=1.0, nonlinearity=1.5, sigma=0.0, more=""):
        path = tmp_path / "cell.toml"
        path.write_text(DEVICE.format(up=up, nonlinearity=nonlinearity, sigma=sigma, more=more))
        return load_device(path)

    return made


def cells_of(device, shape=(3, 4), **keys):
    return PulsedCells(
        law=PulseLaw.of(device),
        conductance=np.full(shape, 51e-6),
        responds=np.ones(shape, bool),
        rng=np.random.default_rng(0),
        write=device.file.write,
        **keys,
    )


def test_steps_are_those_of_write_and_verify(device_of):
    law = PulseLaw.of(device_of())
    for g in np.linspace(1e-6, 101e-6, 7):
        up = pulse_step(g, law.low, law.high, law.step[UP], 1.5, 0.0)
        down = pulse_step(-g, -law.high, -law.low, law.step[DOWN], 0.0, 1 / 110e-6)
        np.testing.assert_allclose(law.mean_step(UP, np.array(g)), up, rtol=1e-12, atol=0)
        np.testing.assert_allclose(law.mean_step(DOWN, np.array(g)), down, rtol=1e-12, atol=0)


def test_pulses_add_up_and_are_counted(device_of):
    device = device_of(nonlinearity=0.0)
    cells = cells_of(device)
    cells.responds[2] = False
    counts = np.array([[3, 0, -1, 0], [0, 0, 0, 60], [1, -1, 0, 0]])
    cells.apply(counts)
    expected = np.full((3, 4), 51e-6)
    expected[0, 0] += 3e-6
    expected[0, 2] -= 2e-6 * (1 - 50 / 110)
    expected[1, 3] = 101e-6  # held at the end of the window
    np.testing.assert_allclose(cells.conductance, expected, rtol=1e-9, atol=0)
    np.testing.assert_array_equal(cells.pulses, np.abs(counts))
    assert cells.energy == pytest.approx(2e-12 * np.abs(counts).sum(), rel=1e-12)
    with pytest.raises(ShapeError, match="pulses have shape"):
        cells.apply(counts[:2])


def test_noise_of_a_step_is_relative_to_it(device_of):
    cells = cells_of(device_of(nonlinearity=0.0, sigma=0.2), shape=(200, 200))
    cells.apply(np.ones((200, 200), np.int64))
    moved = cells.conductance - 51e-6
    assert moved.mean() == pytest.approx(1e-6, rel=0.01)
    assert moved.std() == pytest.approx(0.2e-6, rel=0.02)


def test_heat_decays_between_updates_and_a_heating_pulse_makes_it_equal(device_of):
    device = device_of(nonlinearity=0.0)
    heat = Heat(gain=0.5, decay_s=1.0, interval_s=2.0)
    cells = cells_of(device, second_state=heat)
    once = np.zeros((3, 4), np.int64)
    once[0, 0] = 2
    cells.apply(once)  # exp(0), then exp(.5) of the step
    np.testing.assert_allclose(
        cells.conductance[0, 0], 51e-6 + 1e-6 * (1 + np.exp(0.5)), rtol=1e-12, atol=0
    )
    np.testing.assert_allclose(cells.heat[0, 0], 2 * np.exp(-2.0), rtol=1e-12, atol=0)
    heating = Heat(gain=0.5, decay_s=1.0, interval_s=2.0, heating_pulse=True)
    cells = cells_of(device, second_state=heating)
    every = np.ones((3, 4), np.int64)
    cells.apply(every)
    np.testing.assert_allclose(cells.conductance, 51e-6 + 1e-6 * np.exp(0.5), rtol=1e-12, atol=0)
    assert cells.heating_pulses == 12
    assert cells.energy == pytest.approx(2e-12 * 24, rel=1e-12)


def test_a_divider_takes_voltage_as_the_cell_conducts():
    divider = Divider(up_ohm=10e3, down_ohm=0.0, voltage_v=1.0, slope_v=0.5)
    source = 1.0 * (1 + 51e-6 * 10e3)  # 1 V over the cell in the middle
    over_the_cell = source / (1 + 100e-6 * 10e3)
    found = divider.factor(UP, np.array(100e-6), 51e-6)
    np.testing.assert_allclose(found, np.exp((over_the_cell - 1) / 0.5), rtol=1e-12, atol=0)
    assert divider.factor(UP, np.array(51e-6), 51e-6) == 1
    assert divider.factor(DOWN, np.array(100e-6), 51e-6) == 1
    power = source**2 / (1 / 100e-6 + 10e3)
    found = 100e-6 * divider.energy_factor(UP, np.array(100e-6), 51e-6)
    np.testing.assert_allclose(found, power, rtol=1e-12, atol=0)


def test_half_selected_cells_move_by_their_share(device_of):
    cells = cells_of(device_of(nonlinearity=0.0), half_select=0.1)
    counts = np.zeros((3, 4), np.int64)
    counts[1, 2] = 5
    cells.apply(counts)
    moved = (cells.conductance - 51e-6) / 1e-6
    expected = np.zeros((3, 4))
    expected[1] = 0.5
    expected[:, 2] = 0.5
    expected[1, 2] = 5
    np.testing.assert_allclose(moved, expected, rtol=1e-6, atol=1e-9)


def test_outer_products_are_right_on_average(device_of):
    from xbarsim.training.in_situ import _coincidences

    rng = np.random.default_rng(0)
    inputs = rng.random((1, 5))
    wanted = rng.standard_normal((1, 3))
    drawn = [_coincidences(inputs, wanted, Pulsing(train=20), rng) for _ in range(4000)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), np.outer(inputs, wanted), rtol=0, atol=0.06)


@pytest.mark.parametrize("rule", list(Rule))
def test_a_network_learns_by_pulses_of_every_rule(device_of, rule):
    device = device_of(up=1.0, nonlinearity=0.0, sigma=0.3)
    pulsing = Pulsing(rule=rule, epochs=4, rate=0.3, seed=1)
    network = InSituNetwork.of((72, 12, 3), device, pulsing)
    network.train(PIXELS, TARGETS)
    others, expected = tiny_images(100, seed=1)
    assert np.mean(network.classes_of(others.reshape(100, -1)) == expected) > 0.85
    wear = network.wear
    assert wear.cells == 2 * (73 * 12 + 13 * 3)
    assert wear.most_of_a_cell > 0
    assert wear.energy == pytest.approx(2e-12 * wear.pulses, rel=1e-9)


def test_cells_that_are_stuck_do_not_move(device_of):
    more = '[stuck]\non_rate = 0.1\noff_rate = 0.1\nsource = "t"'
    network = InSituNetwork.of((72, 3), device_of(more=more), Pulsing(seed=2))
    before = [one.conductance.copy() for one in network.layers[0].cells]
    network.train(PIXELS, TARGETS)
    assert network.wear.not_responding == pytest.approx(0.2 * 2 * 73 * 3, rel=0.3)
    for one, start in zip(network.layers[0].cells, before, strict=True):
        stuck = ~one.responds
        np.testing.assert_array_equal(one.conductance[stuck], start[stuck])
        assert set(np.round(1e6 * start[stuck])) == {1.0, 101.0}
        assert (one.conductance[~stuck] != start[~stuck]).any()


def test_what_makes_no_sense_is_refused(device_of):
    with pytest.raises(ConfigError, match="no \\[write_verify\\]"):
        InSituNetwork.of((4, 2), load_device("ideal"))
    with pytest.raises(ShapeError, match="sizes are"):
        InSituNetwork.of((4,), device_of())
    with pytest.raises(ShapeError, match="reads 4 grey values"):
        InSituNetwork.of((4, 3), device_of()).train(PIXELS, TARGETS)
    with pytest.raises(OutOfRangeError, match="rate = -1"):
        Pulsing(rate=-1)
    with pytest.raises(OutOfRangeError, match="half_select"):
        cells_of(device_of(), half_select=1.0)
    with pytest.raises(OutOfRangeError, match="interval_s"):
        Heat(gain=1.0, decay_s=1.0, interval_s=0.0)
    with pytest.raises(OutOfRangeError, match="slope_v"):
        Divider(up_ohm=1.0, down_ohm=1.0, voltage_v=1.0, slope_v=0.0)
