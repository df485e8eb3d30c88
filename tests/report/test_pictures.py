"""Pictures as the numbers handed to matplotlib, against values computed here."""

from types import SimpleNamespace

import numpy as np
import pytest

from xbarsim import Crossbar
from xbarsim.calibrate.result import Curve
from xbarsim.devices.presets import load_device
from xbarsim.report.plots import circuits, devices, fits, memory
from xbarsim.studies import memory_errors


@pytest.fixture
def solved():
    """A small array whose map is no square, and the solution of one input."""
    crossbar = Crossbar(np.random.default_rng(0).uniform(1e-5, 1e-3, (5, 3)), 5.0, 5.0)
    return crossbar, crossbar.solve(np.linspace(0.2, 1, 5))


def test_maps_of_one_solution(drawn, solved):
    crossbar, solution = solved
    circuits.voltage_map(solution, "x")
    circuits.current_map(solution, "x")
    circuits.ir_drop_map(solution, "x")
    voltage, current, drop = (figure.axes[0].images[0].get_array() for figure in drawn)
    np.testing.assert_allclose(voltage, solution.cell_voltage, rtol=1e-12)
    np.testing.assert_allclose(current, 1e6 * crossbar.conductance * voltage, rtol=1e-9)
    applied = np.linspace(0.2, 1, 5)[:, None]  # virtual ground
    np.testing.assert_allclose(drop, 100 * (applied - voltage) / 1.0, rtol=1e-9)  # 1 V at most
    units = [figure.axes[1].get_ylabel() for figure in drawn]
    assert units == ["V", "µA", "% of the largest terminal voltage"]
    for figure in drawn:
        axes = figure.axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("bit line", "word line")


def test_the_scale_of_mixed_inputs_ends_at_what_is_applied(drawn):
    """Word lines at nearly no voltage lose many times their own to what leaks from others."""
    conductance = 10 ** np.random.default_rng(0).uniform(-8, -4, (64, 64))
    volts = np.random.default_rng(1).uniform(0.0, 0.2, 64)
    volts[[3, 7]] = 0.0, -0.2
    solution = Crossbar(conductance, 5.0, 5.0).solve(volts)
    circuits.ir_drop_map(solution, "x")
    drop = drawn[0].axes[0].images[0].get_array()
    assert np.abs(drop).max() < 100
    applied = np.broadcast_to(volts[:, None], drop.shape)
    lost = (applied - solution.cell_voltage) / 0.2 * np.where(applied < 0, -1, 1)
    np.testing.assert_allclose(drop, 100 * lost, rtol=1e-9)
    equal = Crossbar(conductance, 5.0, 5.0).solve(np.full(64, 0.2))
    circuits.ir_drop_map(equal, "x")
    drop = drawn[1].axes[0].images[0].get_array()
    np.testing.assert_allclose(drop, 100 * (1 - equal.cell_voltage / 0.2), rtol=1e-9)
    circuits.ir_drop_map(Crossbar(conductance, 5.0, 5.0).solve(np.zeros(64)), "x")
    assert not np.any(drawn[2].axes[0].images[0].get_array())


def test_cells_that_hardly_conduct_are_gaps_of_the_attenuation(drawn):
    conductance = np.full((6, 5), 1e-4)
    conductance[0, 2] = 1e-8  # 16 times its conductance arrives: what leaks to it
    conductance[2, 1] = 0.0
    circuits.attenuation(Crossbar(conductance, 5.0, 5.0), "x")
    lines = {line.get_label(): line.get_ydata() for line in drawn[0].axes[0].lines}
    assert np.isnan(lines["word line 0"]).tolist() == [False, False, True, False, False]
    values = np.concatenate(list(lines.values()))
    assert np.nanmax(values) <= 1 and np.nanmin(values) > 0.9


def test_attenuation_is_what_a_unit_voltage_gives(drawn, solved):
    crossbar, _ = solved
    circuits.attenuation(crossbar, "x")
    lines = drawn[0].axes[0].lines
    assert [line.get_label() for line in lines] == [f"word line {row}" for row in (0, 1, 2, 3, 4)]
    for row, line in enumerate(lines):
        current = crossbar.solve(np.eye(5)[row]).output_current
        expected = current / crossbar.conductance[row]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-8)


def test_memory_in_table_and_picture(drawn):
    rows = [
        memory_errors.Row(64, 1e-20, 2e-6, 3e-5, values=(0.69, 0.71), wrong_weights=(10, 31)),
        memory_errors.Row(None, 1e-4, 1e-4, None, values=(0.5,), wrong_weights=(7,)),
    ]
    report = memory_errors.Report(rows, "accuracy", 0.9, 40, ("a note",))
    half = 12.706204736 * 0.01  # t of one degree, 0.02 / 2 its error
    text = memory_errors.render(report).splitlines()
    assert (
        text[0].split()
        == (
            "columns bit-error rate worst place worst data accuracy x 100 95 % over chips wrong weights"
        ).split()
    )
    assert text[1].split() == [
        "64",
        "1.0e-20",
        "2.0e-06",
        "3.0e-05",
        "70.00",
        f"{70 - 100 * half:.2f}",
        "..",
        f"{70 + 100 * half:.2f}",
        "20",
    ]
    assert text[2].split() == ["stated", "1.0e-04", "1.0e-04", "50.00", "-", "7"]
    assert text[3].startswith("without errors: accuracy x 100 = 90.00 on 40 examples; 2 chips")
    assert text[4] == "note: a note"
    memory.draw(report, "x")
    rates, metric = drawn[0].axes
    assert [line.get_ydata()[0] for line in rates.lines] == [1e-18, 2e-6, 3e-5]
    assert [line.get_xdata()[0] for line in rates.lines] == [64, 64, 64]
    points = metric.lines[0]
    assert list(points.get_xdata()) == [1e-9, 1e-4]
    np.testing.assert_allclose(np.asarray(points.get_ydata(), float), [70, 50])
    bars = metric.collections[0].get_segments()
    spans = [np.asarray(bar[:, 1], float) for bar in bars]
    np.testing.assert_allclose(spans, [[70 - 100 * half, 70 + 100 * half], [50, 50]], rtol=1e-6)
    assert metric.get_ylabel() == "accuracy x 100, 95 % over chips"


def test_calibration_shows_data_and_fit_in_the_unit_of_its_axes(drawn):
    points, line = ([1e-3, 2e-3], [3e-6, 9e-6]), ([1e-3, 2e-3], [4e-6, 8e-6])
    plain = Curve(("voltage", "V"), ("current", "A"), {"points": points}, {"fit": line})
    logs = Curve(("time", "s"), ("share", "1"), {"p": points}, {"f": line}, log_x=True, log_y=True)
    result = SimpleNamespace(kind="iv", model="sinh", curves={"one": plain, "two": logs})
    fits.draw(result, "x")
    first, second = drawn[0].axes
    data, fit = first.lines
    np.testing.assert_allclose([data.get_xdata(), data.get_ydata()], [[1, 2], [3, 9]])
    np.testing.assert_allclose([fit.get_xdata(), fit.get_ydata()], [[1, 2], [4, 8]])
    assert (first.get_xlabel(), first.get_ylabel()) == ("voltage (mV)", "current (µA)")
    assert (data.get_linestyle(), fit.get_linestyle()) == ("None", "-")
    np.testing.assert_allclose(second.lines[0].get_ydata(), points[1])
    assert (second.get_xscale(), second.get_yscale()) == ("log", "log")
    assert (first.get_xscale(), first.get_yscale()) == ("linear", "linear")


def test_four_panels_of_a_device(drawn):
    model = load_device("pcm")
    devices.draw(model, "x")
    errors, ageing, noise, curve = drawn[0].axes
    low, high = model.conductance_min, model.conductance_max
    grid = np.linspace(low, high, 401)
    first = errors.lines[0]
    np.testing.assert_allclose(first.get_xdata(), 1e6 * grid)
    times = sorted({time for _, stated in model.valid_times() for time in stated})
    np.testing.assert_allclose(first.get_ydata(), 1e6 * model.at(time=times[0]).write_sigma(grid))
    assert errors.get_ylabel() == "sigma (µS)" and ageing.get_ylabel() == "conductance (µS)"
    lines = [line for line in ageing.lines if len(line.get_xdata()) == 13]
    assert len(lines) == 3 and all(line.get_ydata()[-1] < line.get_ydata()[0] for line in lines)
    assert noise.get_ylabel() == "sigma / conductance (%)" and noise.lines
    ends = [line.get_ydata()[-1] for line in curve.lines]
    np.testing.assert_allclose(ends, 1e6 * np.array([low, high]) * model.read_voltage, atol=1e-12)
    assert (curve.get_xlabel(), curve.get_ylabel()) == ("voltage (V)", "current (µA)")
