"""Fits beside their data, chips in stacked bars, claims over what is assumed, memory errors, files."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from xbarsim import Crossbar
from xbarsim.base.errors import ConfigError, OutOfRangeError
from xbarsim.calibrate.result import Curve
from xbarsim.report.plots import chips, circuits, fits, memory
from xbarsim.report.plots.figure import new_figure, save
from xbarsim.studies import memory_errors


def has_grid(axes):
    line = axes.xaxis.get_gridlines()[0]
    return line.get_visible() and line.get_alpha() == 0.3


# ---------------------------------------------------------------- files


def test_a_path_without_suffix_becomes_a_png_of_150_dots_an_inch(tmp_path):
    figure, axes = new_figure(3, 2)
    written = save(figure, str(tmp_path / "x"))
    assert written == tmp_path / "x.png"
    header = written.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    size = (int.from_bytes(header[16:20]), int.from_bytes(header[20:24]))
    assert size == (450, 300) and figure.get_layout_engine() is not None
    upper = save(figure, tmp_path / "x.SVG")
    assert upper == tmp_path / "x.SVG" and b"<svg" in upper.read_bytes()
    with pytest.raises(ConfigError, match=r"x\.docx: no picture has the suffix '\.docx'"):
        save(figure, tmp_path / "x.docx")
    assert not (tmp_path / "x.docx").exists()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'xbarsim\[plot\]'"):
        new_figure(3, 2)


# ---------------------------------------------------------------- maps


def test_words_of_the_maps(drawn):
    crossbar = Crossbar(np.full((4, 3), 1e-4), 5.0, 5.0)
    solution = crossbar.solve(np.array([0.0, 0.2, 0.4, 0.6]))
    for draw in (circuits.voltage_map, circuits.current_map, circuits.ir_drop_map):
        draw(solution, "x")
    assert [figure.axes[0].get_title() for figure in drawn] == [
        "voltage across the cells", "current through the cells",
        "voltage lost in wires, drivers and sense nodes",
    ]  # fmt: skip
    for figure in drawn:
        image = figure.axes[0].images[0]
        assert image.get_cmap().name == "viridis" and image.get_interpolation() == "nearest"
        assert figure.axes[0].get_aspect() == "auto"
        assert figure.get_size_inches().tolist() == [5.5, 4.5]
    lost = drawn[2].axes[0].images[0].get_array()
    assert np.isfinite(lost).all() and (np.abs(lost) < 100).all()


def test_five_word_lines_of_a_large_array(drawn):
    rows = np.random.default_rng(1).uniform(1e-5, 1e-4, (12, 9))
    circuits.attenuation(Crossbar(rows, 5.0, 5.0), "x")
    axes = drawn[0].axes[0]
    assert [line.get_label() for line in axes.lines] == [
        f"word line {row}" for row in (0, 3, 6, 9, 11)
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bit line", "transfer / conductance")
    assert axes.get_title() == "attenuation against position" and has_grid(axes)
    assert axes.get_legend().get_texts()[0].get_fontsize() == 8
    assert drawn[0].get_size_inches().tolist() == [6, 4]
    circuits.attenuation(Crossbar(rows, 5.0, 5.0, transposed=True), "x")
    for line, other in zip(axes.lines, drawn[1].axes[0].lines, strict=True):
        np.testing.assert_allclose(other.get_ydata(), line.get_ydata(), rtol=1e-9)


# ---------------------------------------------------------------- fits


def fit_of(*curves):
    return SimpleNamespace(
        kind="iv", model="sinh", curves={f"p{k}": c for k, c in enumerate(curves)}
    )


def test_data_and_fit_share_a_colour_where_they_are_pairs(drawn):
    a, b, c = ([1.0, 2.0], [1.0, 5.0]), ([1.0, 2.0], [3.0, 4.0]), ([1.0, 2.0], [2.0, 2.0])
    x, y = ("time", "s"), ("current", "A")
    pairs = Curve(x, y, {"a": a, "b": b}, {"fit a": b, "fit b": c})
    single = Curve(x, y, {"a": a}, {"fit": b})
    other = Curve(x, y, {"a": a, "b": b}, {"fit": c})
    fits.draw(fit_of(pairs, single, other), "x")
    colours = [[line.get_color() for line in axes.lines] for axes in drawn[0].axes]
    assert colours == [["C0", "C1", "C0", "C1"], ["C0", "C1"], ["C0", "C1", "C2"]]
    names = [[line.get_label() for line in axes.lines] for axes in drawn[0].axes]
    assert names == [["a", "b", "fit a", "fit b"], ["a", "fit"], ["a", "b", "fit"]]
    first = drawn[0].axes[0]
    np.testing.assert_allclose(first.lines[1].get_ydata(), [3, 4])
    np.testing.assert_allclose(first.lines[3].get_ydata(), [2, 2])
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == ["p0", "p1", "p2"]
    assert drawn[0].get_suptitle() == "iv: sinh" and drawn[0]._suptitle.get_fontsize() == 10
    assert first._left_title.get_fontsize() == 10 and first.lines[3].get_linewidth() == 1.5
    assert has_grid(first)


def test_the_unit_follows_the_largest_of_data_and_fit(drawn):
    small, large = ([-1e-3, 2e-3], [1e-6, -2e-6]), ([1e-3, -4.0], [-3e-3, 2e-3])
    x, y = ("voltage", "V"), ("current", "A")
    share = Curve(("share", "1"), ("count", ""), {"a": small}, {})
    empty = Curve(x, y, {"a": ([], [])}, {})
    fits.draw(fit_of(Curve(x, y, {"a": small}, {"f": large}), share, empty), "x")
    first, second, third = drawn[0].axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("voltage (V)", "current (mA)")
    np.testing.assert_allclose(first.lines[0].get_ydata(), [1e-3, -2e-3])
    np.testing.assert_allclose(first.lines[0].get_xdata(), [-1e-3, 2e-3])
    np.testing.assert_allclose(first.lines[1].get_ydata(), [-3, 2])
    assert (second.get_xlabel(), second.get_ylabel()) == ("share", "count")
    np.testing.assert_allclose(second.lines[0].get_ydata(), small[1])
    assert (third.get_xlabel(), third.get_ylabel()) == ("voltage (V)", "current (A)")


def test_one_logarithmic_axis_keeps_its_unit(drawn):
    points = ([1e-3, 2e-3], [3e-6, 9e-6])
    x, y = ("time", "s"), ("current", "A")
    across = Curve(x, y, {"p": points}, {"f": points}, log_x=True)
    up = Curve(x, y, {"p": points}, {"f": points}, log_y=True)
    fits.draw(fit_of(across, up), "x")
    first, second = drawn[0].axes
    assert (first.get_xscale(), first.get_yscale()) == ("log", "linear")
    assert (first.get_xlabel(), first.get_ylabel()) == ("time (s)", "current (µA)")
    np.testing.assert_allclose(first.lines[1].get_xdata(), points[0])
    np.testing.assert_allclose(first.lines[1].get_ydata(), [3, 9])
    assert (second.get_xscale(), second.get_yscale()) == ("linear", "log")
    assert (second.get_xlabel(), second.get_ylabel()) == ("time (ms)", "current (A)")
    np.testing.assert_allclose(second.lines[1].get_xdata(), [1, 2])


def test_many_points_are_drawn_smaller_and_many_names_in_two_columns(drawn):
    few, many = (np.arange(500.0), np.arange(500.0)), (np.arange(501.0), np.arange(501.0))
    x, y = ("x", ""), ("y", "")
    four = Curve(x, y, {name: few for name in "abcd"}, {})
    five = Curve(x, y, {name: many for name in "abcde"}, {})
    fits.draw(fit_of(four, five), "x")
    first, second = drawn[0].axes
    for axes, size, alpha in ((first, 4, 0.5), (second, 2, 0.3)):
        line = axes.lines[0]
        assert (line.get_markersize(), line.get_alpha(), line.get_marker()) == (size, alpha, "o")
    assert (first.get_legend()._ncols, second.get_legend()._ncols) == (1, 2)
    sizes = [axes.get_legend().get_texts()[0].get_fontsize() for axes in (first, second)]
    assert sizes == [8, 6]
    assert drawn[0].get_size_inches().tolist() == [12, 4.2]
    fits.draw(fit_of(four), "x")
    assert drawn[1].get_size_inches().tolist() == [6, 4.2] and len(drawn[1].axes) == 1
    fits.draw(fit_of(four, four, four, four), "x")
    assert drawn[2].get_size_inches().tolist() == [18, 4.2]


def test_a_fit_without_curves_is_refused():
    with pytest.raises(OutOfRangeError, match="this iv fit has no curve to draw"):
        fits.draw(fit_of(), "x")


# ---------------------------------------------------------------- chips


class Chip(SimpleNamespace):
    def by_component(self):
        return self.components

    def by_step(self):
        return self.steps


FIRST = Chip(
    chip="one", asked="m, 128 tokens, batch 4", inference="sequence", joules=2e-3, area=3e-6,
    components={"adc": 1.2e-3, "array": 0.77e-3, "odd": 0.03e-3}, steps={"query": 2e-3},
    area_by_role={"tile": 1e-6, "buffer": 2e-6},
)  # fmt: skip
SECOND = Chip(
    chip="two", asked="n, 1 tokens, batch 1", inference="sequence", joules=12.34567, area=1.0,
    components={"array": 11.0, "adc": 1.34567}, steps={"key": 6.172835, "query": 6.172835},
    area_by_role={"tile": 1.0},
)  # fmt: skip


def bars(axes):
    """{name: [(start, width) of every chip]} of the stacked bars, and their colours."""
    stacks, colours = {}, {}
    for container in axes.containers:
        stacks[container.get_label()] = [(bar.get_x(), bar.get_width()) for bar in container]
        colours[container.get_label()] = container[0].get_facecolor()[:3]
    return stacks, colours


def test_stacked_bars_are_shares_of_each_chip(drawn):
    chips.breakdown([FIRST, SECOND], "x")
    component, step, area = drawn[0].axes[:3]
    stacks, colours = bars(component)
    assert list(stacks) == ["array", "adc", "others"]  # "odd" is 1.5 %: below 4
    array = (38.5, 100 * 11 / 12.34567)
    np.testing.assert_allclose(stacks["array"], [(0, array[0]), (0, array[1])])
    np.testing.assert_allclose(stacks["adc"], [(38.5, 60), (array[1], 100 - array[1])])
    np.testing.assert_allclose(stacks["others"], [(98.5, 1.5), (100, 0)], atol=1e-9)
    assert colours["array"] == colormaps["tab20"](0)[:3]
    assert colours["adc"] == colormaps["tab20"](1)[:3] and colours["others"] == to_rgb("0.85")
    stacks, _ = bars(step)
    np.testing.assert_allclose(stacks["query"], [(0, 100), (0, 50)])
    np.testing.assert_allclose(stacks["key"], [(100, 0), (50, 50)])
    stacks, _ = bars(area)
    np.testing.assert_allclose(stacks["tile"], [(0, 100 / 3), (0, 100)])
    np.testing.assert_allclose(stacks["buffer"], [(100 / 3, 200 / 3), (100, 0)])
    totals = [[text.get_text() for text in axes.texts] for axes in (component, step, area)]
    assert totals == [["2 mJ", "1.235e+04 mJ"], ["2 mJ", "1.235e+04 mJ"], ["3 mm²", "1e+06 mm²"]]
    assert [text.get_position() for text in component.texts] == [(101, 0), (101, 1)]


def test_words_of_the_breakdown(drawn):
    chips.breakdown([FIRST, SECOND], "x")
    figure = drawn[0]
    panels = figure.axes[:3]
    titles = [axes.get_title() for axes in panels]
    assert titles == ["energy by component", "energy by step", "area by part"]
    assert figure.get_suptitle() == "m, 128 tokens, batch 4; per sequence"
    assert figure.get_size_inches()[0] == 13
    for axes, below in zip(panels, figure.axes[3:], strict=True):
        assert axes.get_xlabel() == "share of the chip's total (%)" and axes.get_xlim() == (0, 132)
        assert axes.get_xticks().tolist() == [0, 25, 50, 75, 100]
        legend = below.get_legend()
        assert (legend._ncols, legend.get_texts()[0].get_fontsize()) == (3, 7)
        names = [text.get_text() for text in legend.get_texts()]
        assert names == list(bars(axes)[0]) and not below.axison
        text = axes.texts[0]
        assert (text.get_va(), text.get_fontsize()) == ("center", 8)
        bar = axes.patches[0]
        assert to_rgb(bar.get_edgecolor()) == (1, 1, 1) and bar.get_linewidth() == 0.4
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the first chip is on top
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["one", "two"]
    assert figure.axes[1].get_shared_y_axes().joined(figure.axes[0], figure.axes[1])


@pytest.mark.parametrize(("chosen", "parts"), [(1, 1), (1, 22), (4, 11), (7, 3)])
def test_every_legend_of_a_breakdown_is_in_the_picture(drawn, chosen, parts):
    """Of so many chips, whose parts are that many, with long names."""
    equal = {f"attention_part_{k}": 1.0 for k in range(parts)}
    same = vars(FIRST) | {"steps": equal, "components": equal}
    chips.breakdown([Chip(**(same | {"chip": f"chip {k}"})) for k in range(chosen)], "x")
    assert_legends_inside(drawn[0])
    assert_no_panels_overlap(drawn[0])


def assert_legends_inside(figure):
    figure.draw_without_rendering()
    boxes = [axes.get_legend().get_window_extent() for axes in figure.axes if axes.get_legend()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    assert boxes
    for box in boxes:
        assert 0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 and box.y1 <= figure.bbox.y1


def assert_no_panels_overlap(figure):
    panels = [axes.get_tightbbox() for axes in figure.axes[:3]]
    legends = [axes.get_legend().get_window_extent() for axes in figure.axes[3:]]
    for panel, legend in zip(panels, legends, strict=True):
        assert legend.y1 <= panel.y0 + 1 and panel.height > 20
    for left, right in zip(legends, legends[1:], strict=False):
        assert left.x1 < right.x0


def test_a_share_of_four_percent_has_a_name_and_colours_come_again(drawn):
    exact = Chip(**(vars(FIRST) | {"components": {"a": 96.0, "b": 4.0}}))
    chips.breakdown([exact], "x")
    assert list(bars(drawn[0].axes[0])[0]) == ["a", "b", "others"]
    equal = {f"c{k}": 1.0 for k in range(22)}
    chips.breakdown([Chip(**(vars(FIRST) | {"components": equal}))], "x")
    _, colours = bars(drawn[1].axes[0])
    assert colours["c21"] == colours["c1"] != colours["c0"]


# ---------------------------------------------------------------- claims


def swing(label, ends, low, high):
    return SimpleNamespace(
        assumption=SimpleNamespace(label=label, ends=ends), low=low, high=high,
        width=max(low, high) / min(low, high),
    )  # fmt: skip


def verdict(batch, *swings):
    claim = SimpleNamespace(range=(1.5, 2.5), text="half the energy")
    extent = SimpleNamespace(
        nominal=2.0, low=1.0, high=8.0, quantiles=(1.25, 2.0, 4.0), swings=swings
    )
    return SimpleNamespace(batch=batch, claim=claim, verdict="inside", extent=extent)


def test_what_a_claim_hinges_on(drawn):
    swings = [
        swing("adc: bits", (4, 0.12345678), 1.5, 6.0), swing("mode", ("slow", "fast"), 3.0, 1.0),
        *(swing(f"s{k}", (0, 1), 1.9, 2.1) for k in range(3)), swing("still", (0, 1), 2.0, 2.02),
        swing("seventh", (0, 1), 1.0, 3.0),
    ]  # fmt: skip
    chips.tornado([verdict(1, *swings), verdict(8), verdict(16)], "x")
    figure = drawn[0]
    assert len(figure.axes) == 4 and not figure.axes[3].axison
    assert [axes.axison for axes in figure.axes[:3]] == [True, True, True]
    assert figure.get_size_inches().tolist() == [15, 5.2]
    axes = figure.axes[0]
    names = ["everything", "adc: bits  [4, 0.123457]", "mode  [slow, fast]"]
    names += [f"s{k}  [0, 1]" for k in range(3)]
    assert [text.get_text() for text in axes.get_yticklabels()] == names
    claimed = axes.patches[0]
    spanned = claimed.get_extents().transformed(axes.transData.inverted()).intervalx
    np.testing.assert_allclose(spanned, [1.5, 2.5])
    assert claimed.get_label() == "claimed" and claimed.get_alpha() == 0.5
    assert claimed.get_facecolor()[:3] == to_rgb("tab:green")
    ends = [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in axes.patches[1:6]]
    np.testing.assert_allclose(ends, [[1, 8], [1.5, 2], [2, 6], [2, 3], [1, 2]])
    colours = [bar.get_facecolor()[:3] for bar in axes.patches[1:6]]
    assert colours == [to_rgb(name) for name in (
        "0.8", "tab:blue", "tab:orange", "tab:blue", "tab:orange",
    )]  # fmt: skip
    drawn_90, nominal = axes.lines
    assert list(drawn_90.get_xdata()) == [1.25, 4.0]
    assert list(drawn_90.get_ydata()) == ["everything", "everything"]
    assert (drawn_90.get_color(), drawn_90.get_linewidth()) == ("0.4", 4)
    assert drawn_90.get_solid_capstyle() == "butt"
    assert list(nominal.get_xdata()) == [2, 2]
    assert (nominal.get_color(), nominal.get_linewidth()) == ("black", 0.8)
    assert axes.get_xscale() == "log" and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [found.get_title(loc="left") for found in figure.axes[:3]] == [
        f"batch {batch}: half the energy — inside" for batch in (1, 8, 16)
    ]
    assert axes._left_title.get_fontsize() == 9
    assert axes.get_yticklabels()[0].get_fontsize() == 7
    assert figure.get_suptitle() == (
        "ratio to synergy (log); black: nominal, green: claimed, light: all together, "
        "dark: 90 % of draws, blue and orange: low and high end of one assumption"
    )
    assert figure._suptitle.get_fontsize() == 10


def test_a_swing_of_one_percent_is_left_out(drawn):
    chips.tornado([verdict(1, swing("a", (0, 1), 100.0, 101.0), swing("b", (0, 1), 1.0, 1.5))], "x")
    names = [text.get_text() for text in drawn[0].axes[0].get_yticklabels()]
    assert names == ["everything", "b  [0, 1]"] and len(drawn[0].axes) == 2


# ---------------------------------------------------------------- memory


def test_memory_errors_in_order_of_their_rate(drawn):
    rows = [
        memory_errors.Row(64, 1e-3, 2e-3, 3e-3, values=(0.5, 0.7), wrong_weights=(1, 2)),
        memory_errors.Row(32, 1e-5, 1e-19, 4e-3, values=(0.9,), wrong_weights=(1,)),
        memory_errors.Row(16, 1e-6, 2e-6, 5e-6),
    ]
    memory.draw(memory_errors.Report(rows, "f1", 0.95, 40), "x")
    figure = drawn[0]
    rates, metric = figure.axes
    shown = [line.get_ydata().tolist() for line in rates.lines]
    assert shown == [[1e-3, 1e-5, 1e-6], [2e-3, 1e-18, 2e-6], [3e-3, 4e-3, 5e-6]]
    assert [line.get_xdata().tolist() for line in rates.lines] == 3 * [[64, 32, 16]]
    assert [line.get_label() for line in rates.lines] == [
        "mean", "worst place", "worst place, 15 of 16 cells on",
    ]  # fmt: skip
    assert (rates.get_xscale(), rates.get_yscale()) == ("log", "log")
    assert rates.lines[0].get_marker() == "o" and rates.lines[0].get_markersize() == 3
    assert rates.get_xlabel() == "columns of a segment"
    assert rates.get_ylabel() == "bit-error rate (below 1e-18 drawn there)"
    assert rates.get_ylim() == (0.5e-18, 2)
    points = metric.lines[0]
    assert points.get_xdata().tolist() == [1e-5, 1e-3]
    np.testing.assert_allclose(np.asarray(points.get_ydata(), float), [90, 60])
    shown = (points.get_marker(), points.get_markersize(), points.get_linewidth())
    assert shown == ("o", 3, 1)
    caps = metric.containers[0][1]
    assert caps[0].get_markersize() == 2 * 3
    reference = next(line for line in metric.lines if line.get_label() == "no errors")
    assert list(reference.get_ydata()) == [95, 95]
    assert (reference.get_color(), reference.get_linewidth()) == ("0.5", 0.8)
    assert metric.get_xscale() == "log" and has_grid(metric) and has_grid(rates)
    assert metric.get_xlabel() == "bit-error rate (below 1e-9 drawn there)"
    assert metric.get_ylabel() == "f1 x 100, 95 % over chips"
    sizes = [axes.get_legend().get_texts()[0].get_fontsize() for axes in (rates, metric)]
    assert sizes == [8, 8] and figure.get_size_inches().tolist() == [10, 4]


def test_panels_of_what_was_not_asked_for_stay_empty(drawn):
    stated = memory_errors.Row(None, 1e-4, 1e-4, None, values=(0.5,), wrong_weights=(1,))
    memory.draw(memory_errors.Report([stated], "f1", 0.9, 4), "x")
    memory.draw(memory_errors.Report([memory_errors.Row(8, 1e-4, 1e-4, 1e-4)]), "x")
    rates, metric = drawn[0].axes
    assert rates.get_legend() is None and metric.get_legend() is not None
    rates, metric = drawn[1].axes
    assert len(metric.lines) == 0 and metric.get_legend() is None and rates.get_legend() is not None
