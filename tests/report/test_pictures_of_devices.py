"""The four panels of a device, for devices that state much, little and nothing."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from xbarsim.devices.presets import load_device
from xbarsim.devices.programmed import Programmed
from xbarsim.report.plots import devices

SPREAD = "with spread, relaxation, drift"


@pytest.fixture
def panels(drawn):
    """A function: the errors, ageing, noise and curve panels of a device."""

    def draw(model):
        devices.draw(model, "x")
        return drawn[-1].axes

    return draw


def labels(axes):
    return axes.get_legend_handles_labels()[1]


def line(axes, label):
    return next(found for found in axes.lines if found.get_label() == label)


def levels_drawn(axes):
    return [found.get_xdata()[0] for found in axes.lines if found.get_linestyle() == ":"]


def with_levels(model, *levels):
    conductance = model.file.conductance.model_copy(update={"levels_us": levels})
    file = model.file.model_copy(update={"conductance": conductance})
    return dataclasses.replace(model, file=file)


def cells(model, target, **conditions):
    """Microsiemens of the 2000 cells of a picture."""
    device = model.at(**conditions) if conditions else model
    return device.program(np.full((1, 2000), target), 1).conductance[0] * 1e6


def test_a_device_that_states_nothing_is_said_to_be_exact(panels):
    errors, ageing, noise, curve = panels(load_device("ideal"))
    for axes, text in (
        (errors, "no error stated: every conductance is reached exactly"),
        (noise, "no read noise stated"),
    ):
        found = axes.texts[0]
        assert found.get_text() == text and found.get_position() == (0.5, 0.5)
        assert found.get_transform() == axes.transAxes
        assert (found.get_ha(), found.get_va(), found.get_color()) == ("center", "center", "0.4")
        assert len(axes.get_yticks()) == 0 and len(axes.lines) == 0 and axes.get_legend() is None
    assert noise.get_title() == "standard deviation of a read of 100 ns"
    assert ageing.get_title() == "2000 simulated cells; no ageing stated"
    assert (ageing.get_xlabel(), ageing.get_ylabel()) == ("conductance (µS)", "share of cells")
    assert labels(ageing) == ["target 4.9 µS", "target 20.5 µS", "target 36.1 µS"]
    for found, target in zip(ageing.lines, (4.9, 20.5, 36.1), strict=True):
        np.testing.assert_allclose(found.get_xdata()[1:], target, rtol=1e-12)
        assert found.get_ydata()[-1] == 1
    assert curve.get_title() == "current of a cell at the ends of the window; ohmic"


def test_window_and_limits_of_the_conductance_axis(panels):
    """A margin of a twentieth of the window within what is valid, and a hundredth beyond."""
    ideal = panels(load_device("ideal"))  # 1 to 40, valid from 0 to 1e6
    pcm = panels(load_device("pcm"))  # 0.25 to 25, valid from 0 to 25
    neurram = panels(load_device("neurram"))  # 1 to 4, and no more is valid
    for axes in (ideal[0], ideal[2]):
        np.testing.assert_allclose(axes.get_xlim(), [0 - 0.39, 40 + 1.95 + 0.39])
        shaded = axes.patches[0]
        ends = shaded.get_extents().transformed(axes.transData.inverted()).intervalx
        np.testing.assert_allclose(ends, [1, 40])
        assert shaded.get_zorder() == 0 and shaded.get_facecolor()[0] == 0.93
        assert axes.get_xlabel() == "conductance (µS), window shaded"
    np.testing.assert_allclose(pcm[0].get_xlim(), [-0.2475, 25 + 0.2475])
    np.testing.assert_allclose(neurram[0].get_xlim(), [1 - 0.03, 4 + 0.03])


def test_titles_and_layout(panels):
    model = load_device("pcm")
    axes = panels(model)
    figure = axes[0].figure
    assert figure.get_suptitle() == f"pcm: {model.file.description}"
    assert figure._suptitle.get_wrap() and figure.get_size_inches().tolist() == [11, 8]
    assert [found.get_title() for found in axes] == [
        "deviation from the target, in its scale",
        "2000 simulated cells: mean, 5 to 95 %",
        "standard deviation of a read of 100 ns, 20 s after programming",
        "current of a cell at the ends of the window; ohmic",
    ]
    assert (axes[1].get_xlabel(), axes[1].get_xscale()) == ("time after programming (s)", "log")
    assert (axes[0].get_ylabel(), axes[1].get_ylabel()) == ("sigma (µS)", "conductance (µS)")
    for found in axes:
        grid = found.xaxis.get_gridlines()[0]
        assert grid.get_visible() and grid.get_alpha() == 0.3
        assert found.get_legend().get_texts()[0].get_fontsize() == 8
    assert axes[0].get_ylim()[0] == axes[2].get_ylim()[0] == 0


@pytest.mark.parametrize(("name", "writes", "spreads"), [
    ("1t1r-hong2025", {"write": None}, {}),
    ("rram-wan2022", {"write, 1 s": 1, "write, 8.64e+04 s": 86400}, {}),
    ("rram-telegraph", {"write": 1}, {}),
    ("cmo-hfox", {"write": 1},
     {f"{SPREAD}, 1 s": 1, f"{SPREAD}, 3.16e+08 s": 315576000}),
    ("pcm", {"write": 20}, {f"{SPREAD}, 3.16e+07 s": 31557600}),
    ("rram-levy-c", {}, {f"{SPREAD}, 1e+05 s": 1e5}),
    ("resistor-switch", {}, {SPREAD: None}),
])  # fmt: skip
def test_the_errors_of_a_device(panels, name, writes, spreads):
    model = load_device(name)
    axes = panels(model)[0]
    grid = np.linspace(model.conductance_min, model.conductance_max, 401)
    found = set(labels(axes))
    assert {label for label in found if label.startswith("write")} == set(writes)
    assert set(spreads) <= found
    for label, time in writes.items():
        drawn = line(axes, label)
        expected = model.at(time=time).write_sigma(grid) * 1e6
        np.testing.assert_allclose(drawn.get_xdata(), grid * 1e6)
        np.testing.assert_allclose(drawn.get_ydata(), expected)
        assert drawn.get_linestyle() == "-"
    for label, time in spreads.items():
        drawn = line(axes, label)
        expected = model.at(time=time).programming_sigma(grid) * 1e6
        np.testing.assert_allclose(drawn.get_xdata(), grid * 1e6)
        np.testing.assert_allclose(drawn.get_ydata(), expected)
        assert drawn.get_linestyle() == "--"


def test_ageing_cells_with_mean_and_quantiles(panels):
    model = load_device("pcm")
    axes = panels(model)[1]
    low, high = model.conductance_min, model.conductance_max
    targets = [0.9 * low + 0.1 * high, 0.5 * low + 0.5 * high, 0.1 * low + 0.9 * high]
    assert labels(axes) == ["target 2.73 µS", "target 12.6 µS", "target 22.5 µS"]
    times = 20 * (31557600 / 20) ** (np.arange(13) / 12)
    for mean, band, target in zip(axes.lines, axes.collections, targets, strict=True):
        simulated = np.array([cells(model, target, time=time) for time in times])
        np.testing.assert_allclose(mean.get_xdata(), times)
        np.testing.assert_allclose(mean.get_ydata(), simulated.sum(axis=1) / 2000)
        ordered = np.sort(simulated, axis=1)
        corners = band.get_paths()[0].vertices
        lower = [corners[np.isclose(corners[:, 0], time), 1].min() for time in times[1:-1]]
        upper = [corners[np.isclose(corners[:, 0], time), 1].max() for time in times[1:-1]]
        for edge, place in ((lower, 0.05 * 1999), (upper, 0.95 * 1999)):
            below = int(place)
            weight = place - below
            inner = ordered[1:-1]
            expected = (1 - weight) * inner[:, below] + weight * inner[:, below + 1]
            np.testing.assert_allclose(edge, expected)
        assert band.get_alpha() == 0.25
        assert band.get_facecolor()[0, :3].tolist() == list(to_rgb(mean.get_color()))


def test_levels_are_marked_and_the_outer_two_are_simulated(panels):
    switch = load_device("resistor-switch")
    errors, ageing, noise, curve = panels(switch)
    assert levels_drawn(errors) == levels_drawn(noise) == [0, 10]
    marked = [found for found in errors.lines if found.get_linestyle() == ":"]
    assert marked[0].get_color() == "0.5" and marked[0].get_linewidth() == 1
    assert labels(ageing) == ["target 0 µS", "target 10 µS"]
    np.testing.assert_allclose(ageing.lines[1].get_xdata()[1:], np.sort(cells(switch, 1e-5)))
    telegraph = line(noise, "telegraph")
    np.testing.assert_allclose(telegraph.get_xdata()[0], 10 / 400)  # 0 has no relative noise
    assert labels(curve) == ["0 µS at 0 V", "10 µS at 0 V"]
    three = with_levels(load_device("rram-levy-c"), 1.0, 20.0, 40.0)
    errors, ageing, _, _ = panels(three)
    assert levels_drawn(errors) == [1, 20, 40]
    assert labels(ageing) == ["target 1 µS", "target 40 µS"]


@pytest.mark.parametrize(("name", "parts"), [
    ("pcm", ["flicker"]), ("cmo-hfox", ["flicker"]), ("rram-binary", ["telegraph"]),
    ("rram-telegraph", ["telegraph"]),
])  # fmt: skip
def test_read_noise_relative_to_the_conductance(panels, name, parts):
    model = load_device(name)
    axes = panels(model)[2]
    grid = np.linspace(model.conductance_min, model.conductance_max, 401)
    stated = model.read_noise_parts(Programmed.exactly(grid))
    assert labels(axes) == parts
    for part in parts:
        found = line(axes, part)
        np.testing.assert_allclose(found.get_xdata(), 1e6 * grid)
        np.testing.assert_allclose(found.get_ydata(), 100 * stated[part] / grid)
    assert axes.get_ylabel() == "sigma / conductance (%)"


def test_a_nonlinear_cell_up_to_the_voltage_it_was_measured_at(panels):
    model = load_device("hrs-hong2025")
    axes = panels(model)[3]
    voltage = -0.8 + 0.008 * np.arange(201)
    scale = model.file.iv.v0_v
    for found, conductance in zip(axes.lines, (30, 37), strict=True):
        np.testing.assert_allclose(found.get_xdata(), voltage, atol=1e-12)
        current = conductance * scale * np.sinh(voltage / scale)
        np.testing.assert_allclose(found.get_ydata(), current, rtol=1e-9, atol=1e-9)
    assert labels(axes) == ["30 µS at 0 V", "37 µS at 0 V"]
    assert axes.get_title() == "current of a cell at the ends of the window"
    ohmic = panels(load_device("neurram"))[3]
    np.testing.assert_allclose(ohmic.lines[1].get_xdata()[[0, -1]], [-0.5, 0.5])
    np.testing.assert_allclose(ohmic.lines[1].get_ydata()[[0, -1]], [-2, 2])


def test_relaxation_and_drift_are_drawn_where_both_are_stated(panels):
    """Drift from 20 s to a year, relaxation from 1 s to 1e5 s."""
    drifting, relaxing = load_device("pcm"), load_device("rram-levy-c")
    file = drifting.file.model_copy(update={"relaxation": relaxing.file.relaxation})
    effects = drifting.effects | {"relaxation"}
    model = dataclasses.replace(drifting, file=file, effects=effects)
    errors, ageing, _, _ = panels(model)
    np.testing.assert_allclose(ageing.lines[0].get_xdata()[[0, -1]], [20, 1e5])
    assert [label for label in labels(errors) if label.startswith(SPREAD)] == [
        f"{SPREAD}, 20 s", f"{SPREAD}, 1e+05 s",
    ]  # fmt: skip
