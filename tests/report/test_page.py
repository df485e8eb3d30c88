"""Every number of a page against what `report --json` says, or the trace by h5py alone: cards, tables
and the data of plots; that no text of a file becomes HTML; what is refused."""

import builtins
import json

import h5py
import numpy as np
import page_cases
import pytest
from page_reader import PageReader
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError
from xbarsim.base.units import engineering
from xbarsim.chips import compare
from xbarsim.cli import app as cli
from xbarsim.report.page import document, metric_words
from xbarsim.report.page.contents import (
    Card,
    Facts,
    Fold,
    Listing,
    Page,
    Part,
    Plot,
    Section,
    Sheet,
)
from xbarsim.report.page.run_record import read_run
from xbarsim.report.sweep_table import open_study

NAMES = [case["name"] for case in page_cases.CASES]
REFERENCES = {"float32": "float32", "int8": "INT8 digital"}


def reported(place, path, *options):
    """(JSON, the page) of one call of `xbarsim report`."""
    file = place / "page.html"
    arguments = ["report", str(path), "--json", "--html", str(file), *options]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert f"written: {file}" in result.stderr
    return json.loads(result.stdout), PageReader(file)


@pytest.fixture(scope="module")
def cases(case_trace, tmp_path_factory):
    found, page = reported(tmp_path_factory.mktemp("page"), case_trace)
    return found[0], page


@pytest.fixture(scope="module")
def decoder(decoder_trace, tmp_path_factory):
    found, page = reported(tmp_path_factory.mktemp("page"), decoder_trace)
    return found[0], page


def signed(change):
    """[value, low, high] of a change as a table has it."""
    value, low, high = (round(100 * number, 2) + 0.0 for number in change)
    return f"{value:+.2f} ({low:.2f} to {high:.2f})".replace("-", "\N{MINUS SIGN}")


def paths_of(found):
    """[(name on the page, path)]"""
    named = [(REFERENCES[path["name"]], path) for path in found["references"]]
    return named + [(path["name"], path) for path in found["cases"]]


def joules(case):
    return sum(case["energy"].values())


def assert_close(found, expected):
    np.testing.assert_allclose(
        np.array(found, float), np.array(expected, float), rtol=1e-12, atol=1e-12
    )


# ---------------------------------------------------------------- the metric


def assert_metric(found, page, scale, digits, unit):
    """Picture, table and data of the metric of every path, and the cards of the references."""
    ends = {name: (path["value"], path["low"], path["high"]) for name, path in paths_of(found)}
    drawn = {}
    for trace in page.plots["metric"]["data"]:
        error = trace["error_x"]
        for number, (name, low, high) in enumerate(trace["customdata"]):
            value = trace["x"][number]
            drawn[name] = (value, low, high)
            assert_close(value - error["arrayminus"][number], low)
            assert_close(value + error["array"][number], high)
    assert list(drawn) == [metric_words_escaped(name) for name in ends]
    assert_close(list(drawn.values()), scale * np.array(list(ends.values())))
    header, rows = page.sheet("metric")
    assert header[2:] == ["low", "high", "examples"]
    assert [row[0] for row in rows] == list(ends)
    assert_close([row[1:4] for row in rows], scale * np.array(list(ends.values())))
    header, rows = page.grids["metric"]
    several = "chips" in header
    for (name, path), row in zip(paths_of(found), rows, strict=True):
        value, low, high = (f"{scale * number:.{digits}f}" for number in ends[name])
        expected = [name, value, f"{low} to {high}"]
        change = path["change"]
        expected += ["–" if change is None else signed(change), str(path["examples"])]
        if several:
            expected += chip_cells(path, scale, digits)
        expected.append("–" if path["energy"] is None else engineering(joules(path), "J"))
        assert row == expected
        if path["energy"] is None:
            assert page.cards[name][0] == value + unit
            assert page.cards[name][1].endswith(f"{low} to {high}{unit}")


def chip_cells(path, scale, digits):
    if not path["chips"]:
        return ["–", "–"]
    over = "–"
    if path["chips_low"] is not None:
        ends = [f"{scale * path[key]:.{digits}f}" for key in ("chips_low", "chips_high")]
        over = " to ".join(ends)
    return [str(len(path["chips"])), over]


def metric_words_escaped(name):
    """As plotly, which knows some HTML, must be told a name."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_the_metric_of_every_path_and_case(cases):
    found, page = cases
    assert found["metric"] == "accuracy" and len(found["cases"]) == 3
    assert_metric(found, page, 100, 2, " %")
    values = {case["name"]: case["value"] for case in found["cases"]}
    best = max(values, key=values.get)
    worst = min(reversed(values), key=values.get)
    for label, name in (("best", best), ("worst", worst)):
        assert page.cards[f"{label} case: {name}"][0] == f"{100 * values[name]:.2f} %"
        assert f"{100 * values[name]:.2f} % at {label} (“{name}”)" in page.verdict[0]
    for case in found["cases"]:
        if case["name"] in (best, worst):
            value, low, high = case["change"]
            (sentence,) = [line for line in page.verdict if line.startswith(f"“{case['name']}”:")]
            assert f"{abs(100 * value):.2f} points" in sentence or round(100 * value, 2) == 0
            unsure = low <= 0 <= high and round(100 * value, 2) != 0
            assert ("do not show" in sentence) == unsure
    energies = [engineering(joules(case), "J") for case in found["cases"]]
    value, _ = page.cards["energy of the products"]
    assert value.split(" to ")[0] in energies and value.split(" to ")[-1] in energies


def test_the_sentence_says_whether_a_difference_is_shown(cases):
    words = metric_words.words_of("perplexity")
    assert words.value(12.3456) == "12.346" and words.interval(1.0, 2.0) == "1.000 to 2.000"
    assert metric_words.words_of("spearman").axis == "Spearman correlation × 100"
    assert metric_words.typeset("-1.5 (-2.00 .. .5) layer-norm") == (
        "\N{MINUS SIGN}1.5 (\N{MINUS SIGN}2.00 to .5) layer-norm"
    )


def test_a_decoder_has_its_perplexity_by_position(decoder):
    found, page = decoder
    assert found["metric"] == "perplexity"
    assert_metric(found, page, 1, 3, "")
    paths = paths_of(found)
    drawn = page.series("positions")
    header, rows = page.grids["positions"]
    assert header[2:] == [name for name, _ in paths] == list(drawn)
    for column, (name, path) in enumerate(paths, 2):
        bins = path["tokens"]["by_position"]
        assert drawn[name]["x"] == [f"{one['first']} to {one['last']}" for one in bins]
        assert_close(drawn[name]["y"], [one["perplexity"] for one in bins])
        assert [row[column] for row in rows] == [f"{one['perplexity']:.3f}" for one in bins]
        assert [row[0] for row in rows] == drawn[name]["x"]
        assert [row[1] for row in rows] == [f"{one['predictions']:,}" for one in bins]
    _, sheet = page.sheet("positions")
    bins = [one for _, path in paths for one in path["tokens"]["by_position"]]
    assert_close([row[1:] for row in sheet], [list(one.values()) for one in bins])
    header, rows = page.grids["tokens"]
    assert header == ["path", "predicted tokens", "bits per byte"]
    assert rows == [
        [name, f"{path['tokens']['predictions']:,}", f"{path['tokens']['bits_per_byte']:.4f}"]
        for name, path in paths
    ]


# ---------------------------------------------------------------- errors, energy


@pytest.mark.parametrize("which", ["cases", "decoder"])
def test_errors_of_every_matrix_of_every_case(which, request):
    found, page = request.getfixturevalue(which)
    for key in ("local", "accumulated"):
        drawn = page.series(f"error-{key}")
        _, sheet = page.sheet(f"error-{key}")
        expected = []
        for case in found["cases"]:
            values = [layer[f"{key}_snr_db"] for layer in case["layers"]]
            assert_close(drawn[metric_words_escaped(case["name"])]["y"], values)
            expected += [[case["name"], layer["matrix"]] for layer in case["layers"]]
        assert [row[:2] for row in sheet] == expected
        assert len(drawn) == len(found["cases"])
    for number, case in enumerate(found["cases"], 1):
        header, rows = page.grids[f"layers-{number}"]
        roles = [name.replace(" ", "_") for name in header[1:-1]]
        for row in rows:
            layers = [one for one in case["layers"] if str(one["layer"]) in (row[0], "None")]
            layers = [one for one in layers if one["layer"] is not None or row[0] == "outside"]
            local = {one["role"]: f"{one['local_snr_db']:.1f}" for one in layers}
            assert row[1:-1] == [local.get(role, "") for role in roles]
            assert row[-1] == f"{layers[-1]['accumulated_snr_db']:.1f}"
        assert sum(bool(cell) for row in rows for cell in row[1:-1]) == len(case["layers"])


@pytest.mark.parametrize("which", ["cases", "decoder"])
def test_energy_and_events_of_every_case(which, request):
    found, page = request.getfixturevalue(which)
    _, sheet = page.sheet("energy")
    written = {(name, part): float(value) for name, part, value in sheet}
    header, rows = page.grids["energy"]
    drawn = page.series("energy")
    for number, (case, row) in enumerate(zip(found["cases"], rows, strict=True)):
        energy = case["energy"]
        assert {(case["name"], part): value for part, value in energy.items()}.items() <= (
            written.items()
        )
        parts = [engineering(energy.get(part, 0.0), "J") for part in header[1:-1]]
        assert row == [case["name"], *parts, engineering(joules(case), "J")]
        shares = [trace["x"][number] for trace in drawn.values()]
        whole = [energy.get(name, 0.0) for name in drawn]
        assert_close(np.array(shares) / sum(shares), np.array(whole) / sum(whole))
    axis = page.plots["energy"]["layout"]["xaxis"]["title"]["text"]
    scale = {"energy (pJ)": 1e12, "energy (nJ)": 1e9, "energy (µJ)": 1e6}[axis]
    largest = max(joules(case) for case in found["cases"])
    sums = [sum(trace["x"][number] for trace in drawn.values()) for number in range(len(rows))]
    assert max(sums) == pytest.approx(scale * largest)
    header, rows = page.grids["events"]
    events = [name.lower().replace(" ", "_") for name in header[1:]]
    assert rows == [
        [case["name"], *(f"{case['events'].get(event, 0):,.0f}" for event in events)]
        for case in found["cases"]
    ]


def test_cases_on_chips(cases, case_trace):
    found, page = cases
    (row,) = read_run(case_trace).rows
    whole = compare.as_json(row.result)
    (joined,) = found["chips"]
    name = f"{page_cases.HOSTILE} on differential"
    header, rows = page.grids["chips"]
    scales = {
        "area (mm²)": ("area", 1e6),
        "latency (ms)": ("latency", 1e3),
        "energy (mJ)": ("energy", 1e3),
    }
    assert rows[0][0] == name
    for heading, (key, scale) in scales.items():
        assert rows[0][header.index(heading)] == f"{scale * joined[key]:.4g}"
    assert page.cards["area"][0] == f"{1e6 * joined['area']:.4g} mm²"
    assert page.cards["latency"][0] == engineering(joined["latency"], "s")
    assert page.cards["energy of whole chips"][0] == engineering(joined["energy"], "J")
    for key, parts in (("chip-energy", "energy_by_component"), ("chip-area", "area_by_role")):
        _, sheet = page.sheet(key)
        assert {part: float(value) for _, part, value in sheet} == whole[parts]
        drawn = [trace["x"][0] for trace in page.plots[key]["data"]]
        largest = max(whole[parts].values())
        assert_close(max(drawn) / sum(drawn), largest / sum(whole[parts].values()))


# ---------------------------------------------------------------- wires, cells, converters


def groups_of(trace, case):
    """{matrix: its group} of the first chip of a case."""
    with h5py.File(trace) as file:
        chips = file["cases"][case]
        first = sorted(name for name in chips if name.startswith("chip") or name.isdigit())[0]
        layers = chips[first]["layers"]
        return {
            name: {key: item[()] for key, item in group.items()} | dict(group.attrs)
            for name, group in layers.items()
        }


def test_ir_drop_of_matrices_and_of_the_tiles_of_the_worst(cases, case_trace):
    found, page = cases
    drawn = page.series("ir-drop")
    wired = [case for case in found["cases"] if case["name"] != "no wires"]
    assert list(drawn) == [metric_words_escaped(case["name"]) for case in wired]
    for number, case in enumerate(wired, 1):
        lost = [100 * (1 - layer["attenuation"]) for layer in case["layers"]]
        assert_close(drawn[metric_words_escaped(case["name"])]["y"], lost)
        worst = min(case["layers"], key=lambda layer: layer["worst_tile"]["attenuation"])
        tile = worst["worst_tile"]
        field = np.array(page.plots[f"ir-drop-tiles-{number}"]["data"][0]["z"])
        attenuation = groups_of(case_trace, case["name"])[worst["matrix"]]["attenuation_mean"]
        assert_close(field.ravel(), 100 * (1 - attenuation))
        place = tile["row_block"], 2 * tile["column_block"] + tile["plane"]
        assert field[place] == field.max() == pytest.approx(100 * (1 - tile["attenuation"]))
        cells = np.array(page.plots[f"ir-drop-cells-{number}"]["data"][0]["z"])
        share = groups_of(case_trace, case["name"])[worst["matrix"]]["worst_tile_map"]
        assert_close(cells, 100 * (1 - share.astype(float)))
        assert cells.shape == (4, 4) and cells[0, -1] > cells[-1, 0]  # far from driver and sense
        columns = page.plots[f"ir-drop-tiles-{number}"]["data"][0]["x"]
        assert columns[place[1]] == f"{tile['column_block']}/{tile['plane']}"
        assert f"where {field.max():.2f} % of the current is lost" in page.text


def test_conductances_and_codes_are_those_of_the_trace(cases, case_trace):
    found, page = cases
    for number, case in enumerate(found["cases"], 1):
        matrices = groups_of(case_trace, case["name"])
        counts = sum(matrix["conductance_counts"] for matrix in matrices.values())
        drawn = page.series("conductances")[metric_words_escaped(case["name"])]
        assert_close(drawn["y"], 100 * counts[1:-1] / counts.sum())
        _, sheet = page.sheet("conductances")
        assert [int(row[3]) for row in sheet if row[0] == case["name"]] == counts.tolist()
        trace = page.plots[f"codes-{number}"]["data"][0]
        for layer, row in zip(case["layers"], trace["z"], strict=True):
            matrix = matrices[layer["matrix"]]
            expected = matrix["code_counts"].astype(float)
            expected[[0, -1]] += matrix["codes_beyond"]
            assert_close(row, 100 * expected / expected.sum())
            assert trace["x"][0] == matrix["lowest_code"]


def test_cells_and_saturated_converters_of_every_case(cases):
    found, page = cases
    header, rows = page.grids["hardware"]
    table = {row[0]: row[1:] for row in rows}
    assert header[1:] == [case["name"] for case in found["cases"]]
    for column, case in enumerate(found["cases"]):
        layers = case["layers"]
        for name, key in (
            ("tiles", "tiles"),
            ("cells", "cells"),
            ("clipped weights", "clipped_weights"),
            ("stuck cells", "stuck_cells"),
            ("cells held at a physical bound", "bounded_cells"),
            ("write pulses", "write_pulses"),
        ):
            assert table[name][column] == f"{sum(layer[key] for layer in layers):,}"
        for name, key in (("ADC conversions", "adc_saturated"), ("DAC inputs", "dac_saturated")):
            worst = 100 * max(layer[key] for layer in layers)
            assert table[f"{name} saturated, worst matrix"][column] == f"{worst:.2f} %"
        above = [layer for layer in layers if layer["adc_saturated"] > 0.01]
        said = f"Saturated converters in “{case['name']}”"
        assert (said in page.text) == bool(above)
        if above:
            first = max(above, key=lambda layer: layer["adc_saturated"])
            assert f"{first['matrix']} {100 * first['adc_saturated']:.1f} %" in page.text


def test_everything_on_a_page_is_compared_here(cases, decoder):
    """A table or plot that is added needs a test of its numbers."""
    compared = {"metric", "positions", "tokens", "energy", "events", "chips", "hardware"}
    compared |= {"physics", "ir-drop", "conductances", "error-local", "error-accumulated"}
    compared |= {"chip-energy", "chip-area"}
    compared |= {
        f"{name}-{k}"
        for name in ("layers", "ir-drop-tiles", "ir-drop-cells", "codes")
        for k in (1, 2, 3)
    }
    for _, page in (cases, decoder):
        assert {*page.grids, *page.plots} <= compared


# ---------------------------------------------------------------- what was run


def test_what_was_run_and_what_matters(cases, case_trace):
    found, page = cases
    facts = dict(zip(*[[n.text for n in page.main.all(tag)] for tag in ("dt", "dd")], strict=True))
    assert facts["Seed"] == str(found["seed"]) and facts["Software"].endswith(
        found["software_version"]
    )
    assert facts["Trace"] == found["path"] and found["created"] == facts["Run"]
    assert facts["Evaluated"].startswith(
        f"{found['examples']} examples, {found['tokens']:,} tokens"
    )
    assert facts["Simulated chips"] == f"1 of {NAMES[0]}, 2 of coarse, 1 of no wires"
    header, rows = page.grids["physics"]
    assert header[1:] == NAMES
    differing = {row[0]: row[1:] for row in rows}
    assert differing["wires"][2] == "without resistance"
    assert differing["ADC"] == ["8 bits", "3 bits", "8 bits"]
    assert differing["device"] == ["pcm", "pcm", "rram-wan2022"]
    assert differing["effects of cells"][0] == "write error, drift, 1/f noise"
    commands = [node.text for node in page.main.all("pre")]
    assert f"xbarsim run --from {case_trace}" in commands
    study = next(text for text in commands if text.startswith("name = "))
    with h5py.File(case_trace) as file:
        assert study == file.attrs["study"]
    assert (
        "Outside the valid range: time after programming is 1e+08 s; [drift] of device pcm is stated from 20 to "
        f"3.15576e+07 s; its model is extended beyond that (“{NAMES[0]}”, “coarse”)." in page.text
    )
    assert "device pcm, read: the models state none" in page.text
    assumed = sorted({part for case in found["cases"] for part in case["assumed"]})
    assert ("Assumed prices" in page.text) == bool(assumed)
    assert ", ".join(assumed) in page.text
    for sentence in found["notes"]:
        assert f"Note: {sentence}" in page.text


def test_settings_without_effect_are_said(decoder):
    found, page = decoder
    assert len(found["idle_settings"]) == 3
    for sentence in found["idle_settings"]:
        assert f"No effect: {sentence}" in page.text


def test_texts_of_files_do_not_become_elements(cases, case_trace):
    """Neither a study's name nor a case's, in HTML, in the scripts, in what plotly is told."""
    found, page = cases
    assert found["study"] == "<script>document.title = 1"
    assert page.main.first("h1").text == found["study"]
    assert {node.tag for node in page.document.all()}.isdisjoint({"img", "iframe", "a"})
    assert len(list(page.document.all("script"))) == 3
    for plot in page.plots.values():
        assert "<img" not in json.dumps([plot["data"], plot["layout"]])


def test_no_text_ends_a_script_or_breaks_the_file(tmp_path):
    hostile = "</script><script>alert(1)</script>\x00\x1b[31m\ud800 & $x"
    from plotly.graph_objects import Figure

    sheet = Sheet((hostile, "=1"), ((hostile, None),))
    plot = Plot("plot", hostile, hostile, Figure(), sheet, 100)
    blocks = [Fold(hostile, (plot,)), Facts(((hostile, hostile),)), Listing(hostile, hostile)]
    part = Part(
        hostile,
        hostile,
        (hostile,),
        (Card(hostile, hostile),),
        (hostile,),
        (Section(hostile, blocks),),
    )
    text = document.document_of(Page(hostile, (part,), hostile))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page = PageReader(tmp_path / "page.html")
    shown = "</script><script>alert(1)</script>\ufffd\ufffd[31m? & $x"
    assert page.main.first("h1").text == shown and page.cards == {shown: (shown, "")}
    assert page.main.first("pre").text == shown
    assert len(list(page.document.all("script"))) == 3
    header, rows = page.sheet("plot")
    assert header[1] == "=1" and rows[0][1] == ""


# ---------------------------------------------------------------- sweeps and budgets


def test_a_sweep(swept, tmp_path):
    found, page = reported(tmp_path, swept.path)
    rows = found["rows"]
    values = [100 * row["value"] for row in rows]
    assert page.cards["best accuracy"][0] == f"{max(values):.2f} %"
    assert page.cards["least energy"][0] == engineering(min(row["joules"] for row in rows), "J")
    assert page.cards["points done"][0] == "4 of 4"
    assert f"{max(values):.2f} %" in page.verdict[0] and f"{min(values):.2f} %" in page.verdict[1]
    on_front = {tuple(entry) for entry in found["pareto"]}
    for key, of_row, scale in (("energy", "joules", 1e6), ("latency", "latency_s", 1e3)):
        if f"front-{key}" not in page.plots:
            assert len({row[of_row] for row in rows}) == 1
            continue
        drawn = page.series(f"front-{key}")
        best = [row for row in rows if (row["point"], row["case"]) in on_front]
        beaten = [row for row in rows if (row["point"], row["case"]) not in on_front]
        for name, group in (("best compromises", best), ("beaten by another", beaten)):
            if group:
                assert_close(drawn[name]["x"], [scale * row[of_row] for row in group])
                assert_points(drawn[name], group)
    (swings,) = page.plots["swings"]["data"]
    assert_close(swings["base"], [100 * swing["lowest"] for swing in found["swings"]])
    assert_close(swings["x"], [100 * swing["width"] for swing in found["swings"]])
    for number, axis in enumerate(open_study(swept.path).axes, 1):
        drawn = page.plots[f"axis-{number}"]["data"]
        other = next(name for name in open_study(swept.path).axes if name != axis)
        for trace in drawn:
            group = [row for row in rows if trace["name"] == f"{other} = {row[other]:g}"]
            assert trace["x"] == [row[axis] for row in group] and len(group) == 2
            assert_points(trace, group)
    _, lines = page.grids["points"]
    assert [line[4] for line in lines] == [f"{value:.2f}" for value in values]
    assert [line[-1] == "*" for line in lines] == [
        (row["point"], row["case"]) in on_front for row in rows
    ]
    assert set(page.plots) <= {
        "front-energy",
        "front-latency",
        "front-area",
        "swings",
        "axis-1",
        "axis-2",
    }


def assert_points(trace, rows):
    """Values and intervals of the metric."""
    assert_close(trace["y"], [100 * row["value"] for row in rows])
    up = np.array(trace["y"]) + trace["error_y"]["array"]
    down = np.array(trace["y"]) - trace["error_y"]["arrayminus"]
    assert_close(up, [100 * row["high"] for row in rows])
    assert_close(down, [100 * row["low"] for row in rows])


def test_a_sweep_that_has_not_begun(swept, tmp_path):
    place = tmp_path / "copy"
    place.mkdir()
    (place / "sweep.json").write_bytes((swept.path / "sweep.json").read_bytes())
    (place / "point-00002.failed").write_text("no <b>device</b>\n")
    _, page = reported(tmp_path, place)
    assert page.verdict == ["No point of this sweep is finished yet."] and not page.plots
    assert "Point 2 failed: no <b>device</b>" in page.text


def test_a_budget(shared, tmp_path):
    found, page = reported(tmp_path, shared)
    total = found["total"]
    assert page.cards["float32"][0] == f"{100 * found['float32']:.2f} %"
    assert page.cards["with all of them"][0] == f"{100 * found['chip']:.2f} %"
    assert page.cards["arrays without these effects"][0] == f"{100 * found['ideal']:.2f} %"
    assert page.cards["lost to them"][0] == f"{100 * total['value']:.2f} points"
    assert page.verdict[0].startswith(f"{100 * total['value']:.2f} points of accuracy are lost")
    ordered = sorted(found["effects"], key=lambda effect: -effect["share"]["value"])
    assert f"{100 * ordered[0]['share']['value']:.2f}" in page.verdict[0]
    drawn = page.series("effects")
    for name, key in (
        ("share (they sum to the loss)", "share"),
        ("alone", "alone"),
        ("won without it", "last"),
    ):
        assert_bars(drawn[name], [effect[key] for effect in ordered])
    drawn = page.series("places")
    for name, key in (("errors only there", "only"), ("won without errors there", "last")):
        assert_bars(drawn[name], [place[key] for place in found["places"]])
    noise = page.series("noise")
    for trace, effect in zip(noise.values(), ordered, strict=True):
        expected = [
            100 * 10 ** (-step["local_snr_db"] / 10) * max(step["shares"].get(effect["name"], 0), 0)
            for step in found["steps"]
        ]
        assert_close(trace["y"], expected)
    _, rows = page.grids["effects"]
    shares = [
        f"{100 * effect['share']['value']:+.2f}".replace("-", "\N{MINUS SIGN}")
        for effect in ordered
    ]
    assert [row[1].split(" ")[0] for row in rows[:-1]] == shares
    assert {*page.plots, *page.grids} == {"effects", "places", "noise", "steps"}


def assert_bars(trace, costs):
    assert_close(trace["x"], [100 * cost["value"] for cost in costs])
    assert_close([row[1] for row in trace["customdata"]], [100 * cost["low"] for cost in costs])
    assert_close([row[2] for row in trace["customdata"]], [100 * cost["high"] for cost in costs])


# ---------------------------------------------------------------- the command


def test_several_traces_and_a_key(case_trace, decoder_trace, tmp_path):
    file = tmp_path / "both"
    result = CliRunner().invoke(
        cli.app, ["report", str(case_trace), str(decoder_trace), "--html", str(file)]
    )
    assert result.exit_code == 0, result.output
    page = PageReader(tmp_path / "both.html")
    assert len(list(page.document.all("article"))) == 2
    assert {"run-1-metric", "run-2-metric", "run-1-layers-3"} <= {*page.plots, *page.grids}
    command = ["report", str(case_trace), "--against", "adc.bits", "--html", str(file)]
    assert CliRunner().invoke(cli.app, command).exit_code == 0
    page = PageReader(tmp_path / "both.html")
    _, sheet = page.sheet("against")
    assert sorted(float(row[1]) for row in sheet) == [3, 8, 8]


def test_what_cannot_be_written(case_trace, tmp_path, monkeypatch):
    def run(*options):
        result = CliRunner().invoke(cli.app, ["report", str(case_trace), *map(str, options)])
        return result.exit_code, str(result.exception or result.output)

    code, said = run("--html", case_trace)
    assert code and "is an input of this command" in said
    result = CliRunner().invoke(cli.app, ["report", str(case_trace), "--html", "page.pdf"])
    assert result.exit_code == 2 and "a page ends in .html" in result.output
    without_plotly(monkeypatch)
    code, said = run("--html", tmp_path / "page.html")
    assert code and "pip install 'xbarsim[html]'" in said
    assert run()[0] == 0


def without_plotly(monkeypatch):
    """As if it were not installed."""
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_plotly_is_asked_for_by_its_extra(monkeypatch):
    without_plotly(monkeypatch)
    with pytest.raises(ConfigError, match=r"a page needs plotly: pip install 'xbarsim\[html\]'"):
        document.require_plotly()
