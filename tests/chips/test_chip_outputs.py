"""Chips whose figures are no numbers stop, and outputs neither replace an input nor lose what was
there.
"""

import math

import pytest
from chip_by_hand import (
    TOKENS,
    run,
    small_checkpoint,
)
from chip_cases import edited

from xbarsim.base.errors import ConfigError, OutOfRangeError, OutputError
from xbarsim.chips import compare
from xbarsim.chips.load import chip_text, load_chip
from xbarsim.chips.rollup import roll_up


@pytest.fixture
def checkpoint(tmp_path):
    return small_checkpoint(tmp_path)


def converter(**values):
    return edited("multibit", component={"adc-sar-8b-32nm": {"base": "adc-sar-8b-32nm"} | values})


def test_figures_that_are_no_numbers_stop():
    parts = [dict(part) for part in load_chip("multibit").content["part"]]
    next(part for part in parts if part["role"] == "shift-add")["count"] = 1e307
    wide = edited("multibit").changed(
        (("part",), parts),
        (("component",), {"shift-and-add-32nm": {"base": "shift-and-add-32nm", "area_um2": 1e30}}),
    )
    with pytest.raises(OutOfRangeError) as caught:
        roll_up(wide, "bert-base", 8, 1)
    assert str(caught.value) == (
        "multibit on bert-base: area (m²) = inf, energy (J) = inf, area of shift-add (m²) = inf is no "
        "number; look at the components and counts behind it, which are too large or too small to multiply"
    )
    with pytest.raises(
        OutOfRangeError, match=r"energy \(J\) = inf, energy of leakage in static \(J\) = inf"
    ):
        roll_up(converter(energy_pj=1e10, delay_ns=1e-308), "bert-base", 8, 1)


@pytest.mark.parametrize("key", ["delay_ns", "rate_mhz", "energy_pj"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_infinity_is_no_value_of_a_file(key, value):
    with pytest.raises(ConfigError, match=key):
        converter(**{key: value})


def test_outputs_never_replace_an_input_nor_half_of_the_old(checkpoint, tmp_path, monkeypatch):
    mine = tmp_path / "mine.toml"
    mine.write_text(chip_text("multibit"))
    refused = run("chip", "compare", mine, "--model", checkpoint, "--picture", mine)
    assert isinstance(refused.exception, ConfigError) and mine.read_text() == chip_text("multibit")
    claims_file = tmp_path / "claims.json"
    claims_file.write_text("x = 1")
    refused = run("chip", "claims", "--claims", claims_file, "--out", tmp_path)
    assert isinstance(refused.exception, ConfigError) and "--out" in str(refused.exception)
    done = run(
        "chip",
        "compare",
        mine,
        "--model",
        checkpoint,
        "--picture",
        tmp_path / "bars",
        "--out",
        tmp_path / "o",
    )
    assert done.exit_code == 0 and f"written: {tmp_path / 'bars.png'}" in done.stderr
    assert (tmp_path / "bars.png").stat().st_size > 5000 and not (tmp_path / "bars").exists()
    before = (tmp_path / "o" / "chips.csv").read_text()
    result = roll_up(load_chip("multibit"), checkpoint, TOKENS, 1)
    monkeypatch.setattr(
        compare, "_or_empty", lambda value: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OutputError, match="No space left"):
        compare.write_files([result], tmp_path / "o")
    assert (tmp_path / "o" / "chips.csv").read_text() == before
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        "chips.json",
        "chips.csv",
        "breakdown.csv",
    }
