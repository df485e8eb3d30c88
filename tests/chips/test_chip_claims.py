"""Figures over everything that is assumed: closed forms, the search for the ends, verdicts."""

import csv
import dataclasses
import itertools
import json
import math

import pytest
from chip_cases import approx, fixed_chip

from xbarsim.base.errors import ConfigError
from xbarsim.chips import claims, compare, uncertainty
from xbarsim.chips.assumptions import Assumption, assumptions, with_assumptions
from xbarsim.chips.load import load_chip
from xbarsim.chips.rollup import roll_up
from xbarsim.report.plots.chips import tornado


def test_a_sweep_of_a_closed_form(tmp_path):
    """Energy of this chip is power x fraction x 1 ms: the interval is the product of the ends."""
    found = fixed_chip(
        tmp_path,
        power_w=(10.0, (5.0, 40.0)),
        power_fraction=(0.5, (0.25, 1.0)),
        area_mm2=(100.0, (50.0, 300.0)),
    )
    space = uncertainty.Space({"p": found}, "bert-base", 128, 1)
    result = uncertainty.extent_of(space, ["p"], lambda p: p["energy"])
    assert (result.nominal, result.low, result.high) == approx((5e-3, 1.25e-3, 40e-3))
    assert [s.assumption.label for s in result.swings] == [
        "p: power_w",
        "p: power_fraction",
        "p: area_mm2",
    ]
    assert [s.width for s in result.swings] == approx([8, 4, 1])
    assert result.low < result.quantiles[0] < result.quantiles[2] < result.high
    assert result.high_at["p: power_w"] == 40.0 and result.low_at["p: power_fraction"] == 0.25
    fewer = uncertainty.Space({"p": found}, "bert-base", 128, 1, ["p: power_w"])
    held = uncertainty.extent_of(fewer, ["p"], lambda p: p["energy"])
    assert (held.low, held.high) == approx((2.5e-3, 10e-3))
    turning = uncertainty.extent_of(
        space, ["p"], lambda p: abs(math.log(p["energy"] / 10e-3)) + 1, samples=0
    )
    assert turning.low < 1.2  # the least value lies inside the ranges, not at an end
    with pytest.raises(ConfigError, match="nothing assumed is called 'p: colour'"):
        uncertainty.Space({"p": found}, "bert-base", 128, 1, ["p: colour"])


def assumed(label, low, high, value=None, path=("x",)):
    return Assumption(label, path, low if value is None else value, (low, high), "x", False)


def test_a_pair_of_moves_that_neither_makes_alone():
    """Figure 1 + x y / (x² + y²) grows along x = y only: from a corner no single move helps."""
    known = {name: assumed(name, 1.0, 1e4) for name in "xy"}

    def value(setting):
        x, y = math.log(setting["x"] * 2), math.log(setting["y"] * 2)
        return 1 + min(x, y) - abs(x - y)

    best, setting = uncertainty.climb(
        {"x": 1.0, "y": 1.0}, {name: (1.0, 1e2, 1e4) for name in "xy"}, value, 1
    )
    assert setting == {"x": 1.0, "y": 1.0}
    assert uncertainty.better_pair(setting, {name: (1.0, 1e4) for name in "xy"}, value, 1) == {
        "x": 1e4,
        "y": 1e4,
    }
    found, setting = uncertainty.climb_by_pairs(setting, known, value, 1)
    assert setting == {"x": 1e4, "y": 1e4} and found == value(setting) > best
    assert uncertainty.furthest(known, value, 1)[0] == found


def test_three_that_must_move_together():
    """Any one or two of three away from the corner lose; the evolution finds the far corner, the
    same for a seed.
    """
    known = {name: assumed(name, 0.0, 1.0) for name in "abcdefg"}

    def value(setting):
        high = [setting[name] > 0.8 for name in "abc"]
        lost = sum(setting[name] for name in "defg")
        return 10.0 - sum(high) - lost + 8.0 * all(high)

    first, second = (uncertainty.furthest(known, value, 1) for _ in range(2))
    assert first == second and first[0] == 15.0
    assert all(first[1][name] > 0.8 for name in "abc") and all(
        first[1][name] == 0.0 for name in "defg"
    )
    assert (
        uncertainty.climb(
            dict.fromkeys("abcdefg", 0.0), {name: (0.0, 1.0) for name in known}, value, 1
        )[0]
        == 10.0
    )


def test_an_end_inside_the_ranges_of_three():
    """Corners and pairs see nothing of a hill at .6 in three ranges at once; the evolution does."""
    known = {name: assumed(name, 0.0, 1.0) for name in "abcde"}

    def value(setting):
        hill = math.prod(max(0.0, 1 - abs(setting[name] - 0.6) / 0.35) for name in "abc")
        return 10.0 + 8 * hill - sum(setting.values())

    found, setting = uncertainty.furthest(known, value, 1)
    assert found > 13.0 and found == value(setting)
    assert setting["d"] == setting["e"] == 0.0


def test_whole_numbers_choices_and_prices():
    rows = assumed("rows", 3.0, 128.0, value=3)
    assert uncertainty.candidate_values(rows) == tuple(range(3, 129))
    assert uncertainty.grid_values(rows) == (3, 8, 20, 50, 128)
    best = uncertainty.furthest({"rows": rows}, lambda s: -(-128 // s["rows"]) * s["rows"], 1)
    assert best == (254, {"rows": 127})  # two conversions for the last row of 128
    choice = assumed("precision", "int8", "fp16")
    assert uncertainty.candidate_values(choice) == ("int8", "fp16")
    assert [uncertainty.at_share(choice, share) for share in (0.0, 0.49, 0.5, 1.0)] == [
        "int8"
    ] * 2 + ["fp16"] * 2
    price = assumed("p", 1.0, 9.0, path=("component", "adc", "energy_pj"))
    delay = assumed("d", 1.0, 9.0, path=("component", "adc", "delay_ns"))
    assert price.is_price and not delay.is_price
    assert uncertainty.candidate_values(price) == (1.0, 9.0)
    assert uncertainty.candidate_values(delay) == approx((1.0, 3**0.5, 3.0, 27**0.5, 9.0))
    assert uncertainty.candidate_values(assumed("n", 0.0, 4.0)) == (0.0, 1.0, 2.0, 3.0, 4.0)
    for known in (delay, assumed("n", 0.0, 4.0)):
        for share in (0.0, 0.3, 1.0):
            assert uncertainty.share_of(known, uncertainty.at_share(known, share)) == pytest.approx(
                share
            )


def test_prices_change_no_event_and_no_time():
    """A chip priced anew from what it was lowered to before is the chip lowered anew."""
    for name in ("synergy", "multibit"):
        found = load_chip(name)
        space = uncertainty.Space({name: found}, "all-MiniLM-L6-v2", 16, 2)
        known = space.assumptions([name])
        space.figures(name, {})
        for label, assumption in known.items():
            for end in assumption.ends:
                changed = with_assumptions(found, [(assumption, end)])
                fresh = compare.figures(roll_up(changed, "all-MiniLM-L6-v2", 16, 2))
                assert list(space.figures(name, {label: end}).values()) == approx(
                    list(fresh.values())
                ), label


def test_no_grid_of_two_structures_goes_beyond_the_ends():
    """The area-delay product of `synergy` over crossbars and reads of the dense arrays, every
    other value nominal: a
    grid of 21 x 21 against the search, on a small model."""
    labels = "synergy: computation.crossbars", "synergy: dense.read_bits"
    found = load_chip("synergy")
    held = [a.label for a in assumptions(found) if a.label not in labels]
    space = uncertainty.Space({"synergy": found}, "all-MiniLM-L6-v2", 16, 1, held)
    grid = (
        [round(1024 * 256 ** (k / 20)) for k in range(21)],
        [round(512 * 128 ** (k / 20)) for k in range(21)],
    )
    values = [
        space.figures("synergy", dict(zip(labels, pair, strict=True)))["area_delay"]
        for pair in itertools.product(*grid)
    ]
    low, high = (space.extreme("synergy", "area_delay", sign)[0] for sign in (-1, 1))
    assert low <= min(values) * 1.001 and high >= max(values) * (1 - 1e-9)


PUBLISHED = [
    ("a100", "area_delay", 8.6e-5, 95.9),
    ("tpuv4", "area_delay", 5.9e-5, 281.0),
    ("multibit", "energy", 3.4e-5, 152.9),
]


@pytest.mark.long
@pytest.mark.parametrize(("chip", "figure", "low", "high"), PUBLISHED)
def test_ends_of_the_claims_at_batch_one(chip, figure, low, high):
    """No narrower than what was found by hand, and no pair of moves goes beyond."""
    space = uncertainty.Space(
        {name: load_chip(name) for name in (chip, "synergy")}, "bert-large", 128, 1
    )
    result = uncertainty.extent_of(space, (chip, "synergy"), uncertainty.Ratio(figure))
    assert result.low <= low * 1.006 and result.high >= high * 0.999
    known = space.assumptions([chip, "synergy"])
    grid = {label: assumption.ends for label, assumption in known.items()}
    for sign, setting in ((-1, result.low_at), (1, result.high_at)):
        assert (
            uncertainty.better_pair(
                setting,
                grid,
                lambda s: space.figures(chip, s)[figure] / space.figures("synergy", s)[figure],
                sign,
            )
            is None
        )


@pytest.mark.long
def test_ends_that_moves_of_one_assumption_missed():
    """Crossbars, rows of the dense arrays and their delay together: the settings of the ends,
    priced alone.
    """
    space = uncertainty.Space(
        {name: load_chip(name) for name in ("a100", "synergy")}, "bert-large", 128, 1
    )
    high = space.extreme("synergy", "area_delay", -1)
    a100 = space.extreme("a100", "area_delay", 1)
    assert a100[0] / high[0] == pytest.approx(95.9, rel=1e-3)
    assert 1024 < high[1]["synergy: computation.crossbars"] < 262144
    assert high[1]["synergy: dense.read_bits"] > 1024


def test_a_shared_component_moves_in_both_chips():
    names = ("multibit", "singlebit")
    space = uncertainty.Space(
        {name: load_chip(name).changed((("idle_fraction",), 0.0)) for name in names},
        "all-MiniLM-L6-v2",
        16,
        1,
    )
    label = "softmax-28nm: energy_pj"
    both = [
        space.figures(name, {label: 5.0})["energy"] - space.figures(name, {})["energy"]
        for name in names
    ]
    assert both[0] == approx(both[1], rel=1e-6) and both[0] > 0
    assert space.figures("singlebit", {"multibit: idle_fraction": 0.3}) == space.figures(
        "singlebit", {}
    )


def test_claims_are_judged_by_their_interval(tmp_path):
    known = claims.load_claims()
    assert {c.chip for c in known.claim} == {"multibit", "singlebit", "a100", "tpuv4"}
    easy = known.claim[0].model_copy(update={"range": (0.1, 0.2)})
    small = known.model_copy(update={"model": "all-MiniLM-L6-v2", "sequence": 16, "claim": (easy,)})
    verdicts, together = claims.judge(small, (1,), samples=4)
    verdict = verdicts[0]
    low, high = verdict.extent.low, verdict.extent.high
    assert low < verdict.extent.nominal < high
    for claimed, expected in (
        ((high * 1.1, high * 2), "above"),
        ((low / 3, low / 2), "below"),
        ((low, low), "inside"),
    ):
        assert (
            dataclasses.replace(
                verdict, claim=verdict.claim.model_copy(update={"range": claimed})
            ).verdict
            == expected
        )
    header, rows = claims.table([verdict])
    assert f"{verdict.extent.nominal:.3g}" in rows[0]
    content = json.loads(claims.write_files([verdict], together, tmp_path)[0].read_text())[
        "claims"
    ][0]
    assert content["low"] == low and content["verdict"] == verdict.verdict
    swings = list(csv.DictReader((tmp_path / "swings.csv").open()))
    assert len(swings) == len(verdict.extent.swings)
    assert (
        together[0].shortfall == 1
        and "reached by at least one setting" in claims.together_lines(together)[0]
    )
    both = [easy.model_copy(update={"range": (high * 2, high * 2)})]
    missed = claims.judge(small.model_copy(update={"claim": both}), (1,), samples=0)[1]
    assert (
        missed[0].shortfall == approx(2, rel=0.05)
        and "misses multibit area" in claims.together_lines(missed)[0]
    )
    assert tornado([verdict], tmp_path / "t.png").stat().st_size > 5000
    (tmp_path / "c.toml").write_text("subject = 1")
    with pytest.raises(ConfigError, match="subject = 1"):
        claims.load_claims(tmp_path / "c.toml")


def test_storage_rows_are_computed_and_say_where_2777_comes_from():
    rows = claims.storage_rows()
    assert [row[1] for row in rows] == ["274.4 mm²", "1646.4 mm²", "27440.0 mm²", "2650", "2777"]
