"""Metrics against a key and errors of layers: what is drawn, where, and within which limits."""

from dataclasses import replace

import numpy as np
import pytest
import summaries

from xbarsim.base.errors import OutOfRangeError
from xbarsim.models.graph import Kind, Role
from xbarsim.report.curves import Curve
from xbarsim.report.plots import runs
from xbarsim.report.steps import MatrixSummary, Programming
from xbarsim.report.summary import OverChips
from xbarsim.studies.scores import Estimate


def case(value, low, high, chips=(), over=(None, None)):
    return summaries.case("case", value, low, high, examples=40, chips=chips, over=over)


def layer(number, local, accumulated):
    return MatrixSummary(
        name=f"layer.{number // 6}.m{number % 6}",
        kind=Kind.MATRIX,
        role=Role.QUERY,
        layer=number // 6,
        local_snr_db=local,
        accumulated_snr_db=accumulated,
        inputs=1,
        outputs=1,
        adc_saturated=0,
        dac_saturated=0,
        ir_drop=None,
        programming=ONE_CELL,
        array_energy_per_token=0.0,
    )


ONE_CELL = Programming(
    tiles=1,
    cells=1,
    clipped_weights=0,
    stuck_cells=0,
    bounded_cells=0,
    write_pulses=0,
    write_energy=None,
)


FLOAT = summaries.reference("float32", 0.9, 0.8, 0.95, examples=40)
INT8 = summaries.reference("int8", 0.85, 0.75, 0.92, examples=40)
SUMMARY = summaries.summary(references=(FLOAT, INT8), examples=40, model="m", task="t")
ONE = case(0.5, 0.4, 0.7, chips=(0.5,))
TWO = case(0.6, 0.5, 0.65, chips=(0.5, 0.7), over=(0.3, 0.9))
THREE = case(0.7, 0.62, 0.75, chips=(0.6, 0.7, 0.8), over=(0.45, 0.95))
CURVES = [
    Curve("wide", ((1, ONE), (4, TWO), (10, THREE))),
    Curve("", ((4, THREE),)),
    Curve("narrow", ((2, ONE), (10, ONE))),
]


def against(drawn, curves=CURVES, summary=SUMMARY, key="adc.bits"):
    runs.against_key(summary, curves, key, "x")
    return drawn[-1].axes[0]


def test_curves_stand_beside_each_other_in_their_colours(drawn):
    axes = against(drawn)
    for number, curve in enumerate(CURVES):
        line = next(
            found for found in axes.lines if found.get_label() == (curve.series or "simulated")
        )
        assert line.get_xdata().tolist() == [value for value, _ in curve.points]
        np.testing.assert_allclose(
            line.get_ydata(), [100 * found.metric.value for _, found in curve.points]
        )
        assert line.get_color() == f"C{number}"
        shown = (line.get_marker(), line.get_markersize(), line.get_linewidth())
        assert shown == ("o", 4, 1.2)
        moved = line.get_transform().transform((3, 50)) - axes.transData.transform((3, 50))
        points = 72 / drawn[0].dpi * moved
        np.testing.assert_allclose(points, [3 * (number - 1), 0], atol=1e-9)


def test_pale_bars_over_examples_and_caps_over_chips(drawn):
    axes = against(drawn)
    pale = [found for found in axes.collections if found.get_alpha() == 0.2]
    assert [found.get_linewidth()[0] for found in pale] == [3, 3, 3]
    spans = [bar[:, 1].tolist() for bar in pale[0].get_segments()]
    np.testing.assert_allclose(spans, [[40, 70], [50, 65], [62, 75]])
    places = [bar[0, 0] for bar in pale[0].get_segments()]
    assert places == [1, 4, 10]
    assert len(axes.containers) == 2  # no chips to compare in "narrow"
    _, caps, (bars,) = axes.containers[0]
    ends = [bar.tolist() for bar in bars.get_segments()]
    np.testing.assert_allclose(ends, [[[4, 30], [4, 90]], [[10, 45], [10, 95]]])
    np.testing.assert_allclose([cap.get_ydata() for cap in caps], [[30, 45], [90, 95]])
    assert caps[0].get_markersize() == 2 * 3 and bars.get_linewidth()[0] == 1.2
    _, _, (other,) = axes.containers[1]
    np.testing.assert_allclose(other.get_segments()[0], [[4, 45], [4, 95]])


def test_an_interval_beside_its_mean_by_rounding_is_drawn_from_it(drawn):
    beside = replace(TWO, chips=OverChips((0.5, 0.7), 0.6 + 1e-12, 0.6 - 1e-12))
    axes = against(drawn, [Curve("", ((1, beside), (2, beside)))])
    _, _, (bars,) = axes.containers[0]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [60, 60], rtol=1e-12)


def test_references_are_lines_over_the_whole_width(drawn):
    axes = against(drawn)
    for name, style, value in (("float32", "--", 90), ("INT8 digital", ":", 85)):
        line = next(found for found in axes.lines if found.get_label() == name)
        assert list(line.get_ydata()) == [value, value] and list(line.get_xdata()) == [0, 1]
        shown = (line.get_linestyle(), line.get_color(), line.get_linewidth())
        assert shown == (style, "0.3", 1)


def test_words_of_a_sweep(drawn):
    axes = against(drawn)
    figure = drawn[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("adc.bits", "accuracy x 100")
    assert axes.get_title(loc="left") == (
        "m on t, 40 examples; pale bars: 95 % over examples; caps: 95 % over 2, 3 chips"
    )
    single = against(
        drawn, [Curve("", ((1, ONE), (2, replace(ONE, chips=OverChips((), None, None)))))]
    )
    assert single.get_title(loc="left") == "m on t, 40 examples; pale bars: 95 % over examples"
    assert axes._left_title.get_fontsize() == 9
    texts = figure.legends[0].get_texts()
    assert [text.get_text() for text in texts] == [
        "wide", "simulated", "narrow", "float32", "INT8 digital",
    ]  # fmt: skip
    assert texts[0].get_fontsize() == 8 and figure.get_size_inches().tolist() == [9, 5]
    assert figure.legends[0]._outside_loc == "right"
    grid = axes.xaxis.get_gridlines()[0]
    assert grid.get_visible() and grid.get_alpha() == 0.3
    assert axes.get_xticklabels()[0].get_fontsize() == 8


@pytest.mark.parametrize(("metric", "low", "high", "limits"), [
    ("accuracy", 0.3, 0.95, (27, 98)),                       # 0.95: the reference
    ("accuracy", 0.3, 0.99, (27, 102)),
    ("accuracy", -0.7, 1.6, (-3, 103)),                      # within 0 and 1
    ("f1", -0.7, 1.6, (-3, 103)),
    ("spearman", -0.7, 1.6, (-73, 103)),                     # within -1 and 1
    ("spearman", -2.5, 1.6, (-103, 103)),
])  # fmt: skip
def test_the_height_shows_every_bar_within_the_range_of_the_metric(
    drawn, metric, low, high, limits
):
    wide = replace(TWO, chips=OverChips((0.5, 0.7), low, high))
    summary = replace(SUMMARY, run=replace(SUMMARY.run, metric=metric))
    axes = against(drawn, [Curve("", ((1, ONE), (2, wide)))], summary)
    expected = (limits[0], limits[1])
    np.testing.assert_allclose(axes.get_ylim(), expected)


def test_the_height_shows_references_and_examples(drawn):
    flat = replace(ONE, metric=Estimate(0.5, 0.88, 0.89))
    axes = against(drawn, [Curve("", ((1, flat), (2, flat)))])
    np.testing.assert_allclose(axes.get_ylim(), [75 - 3, 95 + 3])
    long = replace(ONE, metric=Estimate(0.5, 0.2, 0.97))
    axes = against(drawn, [Curve("", ((1, long), (2, flat)))])
    np.testing.assert_allclose(axes.get_ylim(), [20 - 3, 97 + 3])


@pytest.mark.parametrize(("values", "scale", "ticks"), [
    ((1, 10), "linear", (1, 10)),                            # not more than a decade
    ((1, 5, 11), "log", (1, 5, 11)),
    ((0, 50, 100), "linear", (0, 50, 100)),                  # no logarithm of 0
    ((-1, 50), "linear", (-1, 50)),
    ((0, 3, 3.6, 6, 100), "linear", (0, 3.6, 100)),          # 3.5 of 100 is too near
    ((0, 35, 1000), "linear", (0, 35, 1000)),
    ((1, 1.2, 1.4, 10, 1000), "log", (1, 1.4, 10, 1000)),    # ln 1.2 is 2.6 % of ln 1000
])  # fmt: skip
def test_ticks_of_the_axis_of_values(drawn, values, scale, ticks):
    axes = against(drawn, [Curve("", tuple((value, ONE) for value in reversed(values)))])
    assert axes.get_xscale() == scale
    assert axes.get_xticks().tolist() == list(ticks)
    assert [text.get_text() for text in axes.get_xticklabels()] == [f"{tick:g}" for tick in ticks]
    assert len(axes.get_xticks(minor=True)) == 0
    low, high = values[0], values[-1]
    if scale == "linear":
        expected = [low - 0.05 * (high - low), high + 0.05 * (high - low)]
    else:
        expected = [low * (low / high) ** 0.05, high * (high / low) ** 0.05]
    np.testing.assert_allclose(axes.get_xlim(), expected)


def test_the_picture_of_layers(drawn):
    layers = tuple(layer(number, 20.0 + number, 10.0 - number) for number in range(13))
    perfect = replace(layers[1], local_snr_db=np.inf, accumulated_snr_db=-np.inf)
    first = replace(ONE, name="first", layers=(layers[0], perfect, *layers[2:]))
    second = replace(ONE, name="second", layers=layers)
    runs.layer_snr(replace(SUMMARY, cases=(ONE, first, second)), "x")
    figure = drawn[0]
    local, accumulated = figure.axes
    for axes, sign, start in ((local, 1, 20), (accumulated, -1, 10)):
        expected = start + sign * np.arange(13.0)
        assert [line.get_label() for line in axes.lines[:2]] == ["first", "second"]
        np.testing.assert_allclose(axes.lines[1].get_ydata(), expected)
        expected[1] = np.nan  # infinite: a gap
        np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
        shown = axes.lines[0]
        assert (shown.get_marker(), shown.get_markersize(), shown.get_linewidth()) == ("o", 3, 1)
        assert [line.get_xdata() for line in axes.lines[2:]] == [[5.5, 5.5], [11.5, 11.5]]
        assert (axes.lines[2].get_color(), axes.lines[2].get_linewidth()) == ("0.7", 0.8)
        assert axes.get_ylabel() == "SNR (dB)" and axes._left_title.get_fontsize() == 10
        grid = axes.xaxis.get_gridlines()[0]
        assert grid.get_visible() and grid.get_alpha() == 0.3
    assert local.get_title(loc="left") == (
        "each matrix alone: analog against float32 for the same input"
    )
    assert accumulated.get_title(loc="left") == "accumulated: against the float32 path"
    ticks = accumulated.get_xticklabels()
    assert [text.get_text() for text in ticks[:7]] == "0.m0 0.m1 0.m2 0.m3 0.m4 0.m5 1.m0".split()
    assert (ticks[0].get_rotation(), ticks[0].get_fontsize()) == (90, 7)
    assert accumulated.get_xticks().tolist() == list(range(13))
    assert local.get_shared_x_axes().joined(local, accumulated)
    assert figure.get_suptitle() == "m on t, study 's', 40 examples"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first", "second"]
    assert figure.legends[0].get_texts()[0].get_fontsize() == 8
    assert figure.legends[0]._outside_loc == "right"
    assert figure.get_size_inches().tolist() == [10, 6]


def test_two_layers_of_six_have_one_line_between_them(drawn):
    layers = tuple(layer(number, 20.0, 10.0) for number in range(12))
    runs.layer_snr(replace(SUMMARY, cases=(replace(ONE, layers=layers),)), "x")
    assert [line.get_xdata() for line in drawn[0].axes[0].lines[1:]] == [[5.5, 5.5]]


def test_a_summary_without_layers_has_no_picture_of_them():
    with pytest.raises(OutOfRangeError, match="runs/x.h5 has no case with layers"):
        runs.layer_snr(replace(SUMMARY, cases=(ONE,)), "x")
