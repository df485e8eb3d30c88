"""Tables, files and commands of chips say the same."""

import csv
import json
import math

import pytest
from chip_cases import approx
from typer.testing import CliRunner

from xbarsim import config
from xbarsim.base.errors import ConfigError
from xbarsim.chips import compare
from xbarsim.chips.load import chip_names, load_chip
from xbarsim.chips.rollup import roll_up
from xbarsim.cli import app as cli
from xbarsim.report import accuracy_and_cost
from xbarsim.report.plots.chips import breakdown


def test_tables_and_files_say_the_same(tmp_path):
    results = [roll_up(load_chip(name), "bert-base", 32, 2) for name in ("multibit", "a100")]
    as_json, table, parts = compare.write_files(results, tmp_path)
    content, rows = json.loads(as_json.read_text()), list(csv.DictReader(table.open()))
    assert content[0]["energy"] == float(rows[0]["energy (J)"]) == results[0].joules
    joules = [
        float(row["energy (J)"])
        for row in csv.DictReader(parts.open())
        if row["chip"] == "multibit"
    ]
    assert math.fsum(joules) == approx(results[0].joules, rel=1e-12)
    for kind in ("component", "layer", "step"):
        header, body = compare.breakdown(results, kind)
        assert (
            header == (kind, "multibit", "a100") and body[-1][1] == f"{results[0].joules * 1e3:.4g}"
        )
    assert "adc" in dict(content[0]["energy_by_component"]) and "mean conductance" in "\n".join(
        compare.remarks(results)
    )
    with pytest.raises(ConfigError, match="breakdown by 'colour'"):
        compare.breakdown(results, "colour")
    assert breakdown(results, tmp_path / "b.png").stat().st_size > 5000


def test_commands(tmp_path):
    def xbarsim(*arguments):
        return CliRunner().invoke(cli.app, list(map(str, arguments)))

    assert all(name in xbarsim("chip", "list").stdout for name in chip_names())
    text = xbarsim("chip", "show", "synergy").stdout
    (tmp_path / "mine.toml").write_text(text)
    assert (
        "rows_per_conversion" in xbarsim("chip", "show", tmp_path / "mine.toml", "--assumed").stdout
    )
    peak_text = xbarsim("chip", "show", "isaac", "--peak").stdout
    assert (
        "38.5 nJ" in peak_text
        and "58 % of the power, 31 % of the area" in peak_text
        and "peak of a chip: 41.29 TOPS" in peak_text
    )
    done = xbarsim(
        "chip",
        "compare",
        "multibit",
        tmp_path / "mine.toml",
        "--model",
        "bert-base",
        "--by",
        "layer",
        "--out",
        tmp_path / "out",
        "--picture",
        tmp_path / "b.svg",
    )
    assert done.exit_code == 0 and "mine" in done.stdout and "energy by layer" in done.stdout, (
        done.output
    )
    assert json.loads(xbarsim("chip", "compare", "a100", "--json").stdout)[0]["latency"] == 1.25e-3
    (tmp_path / "study.toml").write_text('chip = "nothing"')
    refused = xbarsim("run", tmp_path / "study.toml", "--out", tmp_path / "runs")
    assert "no chip 'nothing'" in str(refused.exception) and not (tmp_path / "runs").exists()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "chips.json",
        "chips.csv",
        "breakdown.csv",
    }


def test_the_embedded_study_simulates_the_chips_it_names():
    cases = config.load_study("chips").cases()
    assert [case.chip for _, case in cases] == ["differential", "multibit", "singlebit"]
    for name, case in cases:
        assert accuracy_and_cost.differences(case, load_chip(case.chip).chip) == (), name
