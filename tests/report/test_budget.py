"""An error budget against ordinary runs: every number that is printed is computed here from their traces,
shares by going through all orders of the effects."""

import csv
import itertools
import json
import re

import numpy as np
import pytest
import tomli_w
from page_cases import HARD
from tiny import tiny_study
from tiny_decoders import make_tiny_decoder
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError
from xbarsim.cli import app as cli
from xbarsim.config.budget import REMEDIES
from xbarsim.config.study import load_study
from xbarsim.report.budget import open_budget, to_json
from xbarsim.report.budget_text import title_of
from xbarsim.report.plots import budget as pictures
from xbarsim.report.summary import summarise
from xbarsim.studies.budget import budget_study, resolve
from xbarsim.studies.budget_points import budget_points, plan_budget, without_remedy
from xbarsim.studies.run import run_study
from xbarsim.studies.sweep_directory import create
from xbarsim.studies.trace_reader import read_trace

# What an ordinary study says instead of "without this effect".
OFF = {
    "wires": {"effects": {"wires": False}},
    "dac": {"dac": {"bits": "ideal"}},
    "programming": {"effects": {"programming": False}},
    "adc": {"adc": {"bits": "ideal"}},
}


def xbarsim(*arguments):
    """Result of a call: exit_code, stdout, output."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def place(budget_place):
    return budget_place


@pytest.fixture(scope="module")
def study(shared_study):
    return shared_study


@pytest.fixture(scope="module")
def directory(shared):
    return shared


@pytest.fixture(scope="module")
def found(directory):
    return open_budget(directory)


@pytest.fixture(scope="module")
def runs(study, place):
    """{effects that are on: case of an ordinary run}, of one study with a case for each."""
    cases = []
    for count in range(5):
        for on in itertools.combinations(OFF, count):
            case = {"name": "+".join(on) or "none"}
            for effect in OFF:
                if effect not in on:
                    for table, keys in OFF[effect].items():
                        case[table] = case.get(table, {}) | keys
            cases.append(case)
    ordinary = study.model_copy(update={"case": tuple(cases)})
    trace = read_trace(run_study(ordinary, place / "ordinary", threads=1))
    of_cases = {frozenset(name.split("+")) - {"none"}: name for name in trace.cases}
    return {on: (trace, trace.cases[name]) for on, name in of_cases.items()}


def accuracy(trace, chip):
    return np.mean(chip.output.argmax(axis=1) == trace.examples.label)


def lost(runs, on):
    """Mean over chips of minus the accuracy."""
    trace, case = runs[frozenset(on)]
    return -np.mean([accuracy(trace, chip) for chip in case.chips])


def shares_of(value, players):
    """The mean over all orders of what each adds."""
    total = dict.fromkeys(players, 0.0)
    orders = list(itertools.permutations(players))
    for order in orders:
        for number, player in enumerate(order):
            total[player] += value(order[: number + 1]) - value(order[:number])
    return {player: found / len(orders) for player, found in total.items()}


# ---------------------------------------------------------------- numbers


def test_the_total_is_the_difference_of_two_ordinary_runs(found, runs):
    whole = lost(runs, OFF)
    assert found.chip == -whole and found.ideal == -lost(runs, ())
    assert found.total.value == whole - lost(runs, ())
    assert found.total.value > 0.05  # something to share
    assert found.float32 == 1.0 and found.rest.value == lost(runs, ()) + 1.0
    assert found.case == "chip" and found.chips == 2 and found.examples == 36


def test_shares_are_those_of_all_orders_and_sum_to_the_total(found, runs):
    assert [effect.name for effect in found.effects] == list(OFF)
    expected = shares_of(lambda on: lost(runs, on), list(OFF))
    for effect in found.effects:
        np.testing.assert_allclose(effect.share.value, expected[effect.name], atol=1e-12)
        alone = lost(runs, {effect.name}) - lost(runs, ())
        np.testing.assert_allclose(effect.alone.value, alone, atol=1e-12)
        last = lost(runs, OFF) - lost(runs, OFF.keys() - {effect.name})
        np.testing.assert_allclose(effect.last.value, last, atol=1e-12)
    assert float(sum(effect.exact for effect in found.effects)) == found.total.value
    assert found.evaluations == 16 and found.orders == 0


def test_intervals_are_of_chips_and_of_examples(found, runs):
    def of_chip(number, on):
        trace, case = runs[frozenset(on)]
        return -accuracy(trace, case.chips[number])

    by_chip = [shares_of(lambda on, n=n: of_chip(n, on), list(OFF)) for n in range(2)]
    for effect in found.effects:
        both = [chip[effect.name] for chip in by_chip]
        # Student's t of two values: 12.706 times half their distance
        expected = 12.7062047 * abs(both[0] - both[1]) / 2
        np.testing.assert_allclose(effect.share.over_chips, expected, rtol=1e-6, atol=1e-12)
        assert effect.share.over_orders is None
    # an accuracy changes by the mean of the examples' own changes
    trace, whole = runs[frozenset(OFF)]
    right = [chip.output.argmax(axis=1) == trace.examples.label for chip in whole.chips]
    _, none = runs[frozenset()]
    before = [chip.output.argmax(axis=1) == trace.examples.label for chip in none.chips]
    changes = np.mean(before, axis=0) - np.mean(right, axis=0)
    expected = 1.959964 * np.sqrt(changes.var() / 36 + 2 / 38**2)
    np.testing.assert_allclose(found.total.over_examples, expected, rtol=0.1)  # 400 draws
    half = np.hypot(found.total.over_examples, found.total.over_chips)
    np.testing.assert_allclose(found.total.high - found.total.value, half)
    np.testing.assert_allclose(found.total.value - found.total.low, half)


def test_places_are_ideal_by_themselves_or_alone(found, study, place):
    ideal = dict.fromkeys(("wires", "converters", "programming", "read_noise"), False)
    layers = [{"match": f"layer.{number}.*", "effects": ideal} for number in range(2)]
    cases = [{"name": "all"}, {"name": "none", "effects": ideal}]
    for number in range(2):
        others = [layer for k, layer in enumerate(layers) if k != number]
        cases.append({"name": f"only {number}", "layer": others})
        cases.append({"name": f"all but {number}", "layer": [layers[number]]})
    ordinary = load_study(place / "study.toml", study.model_dump(exclude_unset=True))
    ordinary = ordinary.model_copy(update={"case": tuple(cases)})
    trace = read_trace(run_study(ordinary, place / "places", threads=1))
    value = {
        name: -np.mean([accuracy(trace, chip) for chip in case.chips])
        for name, case in trace.cases.items()
    }
    assert [place.name for place in found.places] == ["layer 0", "layer 1"]
    for number, layer in enumerate(found.places):
        only = value[f"only {number}"] - value["none"]
        last = value["all"] - value[f"all but {number}"]
        np.testing.assert_allclose([layer.only.value, layer.last.value], [only, last], atol=1e-12)


def test_steps_have_the_errors_of_the_chip_and_their_effects(found, runs):
    trace, _ = runs[frozenset(OFF)]
    summaries = {
        frozenset(case.name.split("+")) - {"none"}: case for case in summarise(trace).cases
    }
    whole = summaries[frozenset(OFF)]
    tokens = trace.examples.tokens

    def noise(on, name):
        """Mean over chips of the power of error over that of the signal."""
        _, case = runs[frozenset(on)]
        ratios = []
        for chip in case.chips:
            local = chip.layers[name].rows.local
            error = (local.error_rms.astype(float) ** 2 * tokens).sum()
            ratios.append(error / (local.signal_rms.astype(float) ** 2 * tokens).sum())
        return np.mean(ratios)

    assert [step.name for step in found.steps] == [layer.name for layer in whole.layers]
    for step, layer in zip(found.steps, whole.layers, strict=True):
        np.testing.assert_allclose(step.local_snr_db, -10 * np.log10(noise(OFF, step.name)))
        np.testing.assert_allclose(step.accumulated_snr_db, layer.accumulated_snr_db, atol=0.5)
        expected = shares_of(lambda on, n=step.name: noise(on, n), list(OFF))
        total = noise(OFF, step.name) - noise((), step.name)
        for effect, share in step.shares.items():
            np.testing.assert_allclose(share, expected[effect] / total, atol=1e-9)
        np.testing.assert_allclose(sum(step.shares.values()), 1)
        first = runs[frozenset(OFF)][1].chips[0].layers[step.name].rows
        saturated = first.adc_saturations.sum() / first.adc_conversions.sum()
        np.testing.assert_allclose(step.adc_saturated, saturated)


# ---------------------------------------------------------------- what is printed


def test_the_text_has_these_numbers_and_ends_in_plain_words(found, directory):
    shown = xbarsim("report", directory)
    assert shown.exit_code == 0, shown.output
    text = shown.stdout
    assert f"float32 100.00, arrays without these effects {100 * found.ideal:.2f}" in text
    assert f"with all of them {100 * found.chip:.2f}" in text
    assert f"lost to them: {100 * found.total.value:+.2f} ({100 * found.total.low:.2f}" in text
    titles = {"wires": "IR drop", "dac": "DAC", "programming": "write error", "adc": "ADC"}
    ordered = sorted(found.effects, key=lambda effect: -effect.share.value)
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("effect"))
    for effect, line in zip(ordered, lines[start + 1 :], strict=False):
        assert re.split("  +", line) == [
            titles[effect.name],
            written(effect.share),
            f"{round(100 * effect.share.value / found.total.value) + 0.0:.0f} %",
            written(effect.alone),
            written(effect.last),
        ]
    assert re.split("  +", lines[start + 5])[:2] == ["sum", f"{100 * found.total.value:+.2f}"]
    assert "all 16 combinations of 4 effects were evaluated: shares are exact" in text
    for place in found.places:
        expected = f"{place.name}  {written(place.only)}  {written(place.last)}"
        assert expected in re.sub("  +", "  ", text)
    for number in range(2):
        steps = [step for step in found.steps if step.layer == number]
        worst = min(steps, key=lambda step: step.local_snr_db)
        most = max(worst.shares, key=worst.shares.get)
        row = [
            str(number),
            f"{worst.local_snr_db:.1f}",
            worst.name.split(".")[-1],
            f"{steps[-1].accumulated_snr_db:.1f}",
            f"{titles[most]} {100 * worst.shares[most]:.0f} %",
            f"{100 * max(step.adc_saturated for step in steps):.2f} %",
        ]
        assert "  ".join(row) in re.sub("  +", "  ", text)
    last = lines[-1]
    first = ordered[0]
    assert f"The largest cost is {titles[first.name]}: {100 * first.share.value:+.2f} of" in last
    dearest = max(found.places, key=lambda place: place.only.value)
    assert f"of all places {dearest.name} costs most ({100 * dearest.only.value:+.2f}" in last
    assert "Try " in last and "docs/adapt.md" in last


def test_the_picture_has_the_costs_and_the_noise_of_every_step(found, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "save", lambda figure, path: figures.append(figure))
    pictures.costs(found, "budget.png")
    effects, places, steps = figures[0].axes
    ordered = sorted(found.effects, key=lambda effect: -effect.share.value)
    assert [label.get_text() for label in effects.get_yticklabels()][0] == title_of(ordered[0].name)
    bars = [[bar.get_width() for bar in group.patches] for group in bars_of(effects)]
    kinds = [[getattr(e, kind).value for e in ordered] for kind in ("share", "alone", "last")]
    np.testing.assert_allclose(bars, 100 * np.array(kinds))
    ends = [
        np.ptp(group.errorbar.lines[2][0].get_segments()[0][:, 0]) for group in bars_of(effects)
    ]
    halves = [100 * getattr(ordered[0], kind).half for kind in ("share", "alone", "last")]
    np.testing.assert_allclose(ends, 2 * np.array(halves))
    bars = [[bar.get_width() for bar in group.patches] for group in bars_of(places)]
    kinds = [[getattr(p, kind).value for p in found.places] for kind in ("only", "last")]
    np.testing.assert_allclose(bars, 100 * np.array(kinds))
    for effect, group in zip(ordered, bars_of(steps), strict=True):
        heights = [bar.get_height() for bar in group.patches]
        noise = [
            100 * 10 ** (-step.local_snr_db / 10) * max(step.shares[effect.name], 0)
            for step in found.steps
        ]
        np.testing.assert_allclose(heights, noise)


def bars_of(axes):
    return [group for group in axes.containers if hasattr(group, "patches")]


def written(cost):
    value, low, high = (round(100 * n, 2) + 0.0 for n in (cost.value, cost.low, cost.high))
    return f"{value:+.2f} ({low:.2f} .. {high:.2f})"


def test_json_and_csv_have_every_figure(found, directory, tmp_path):
    shown = xbarsim("report", directory, "--json", "--out", tmp_path)
    assert shown.exit_code == 0, shown.output
    content = json.loads((tmp_path / "budget.json").read_text())
    assert content == json.loads(json.dumps(to_json(found)))
    assert shown.stdout.startswith((tmp_path / "budget.json").read_text().strip())
    shares = [effect["share"]["value"] for effect in content["effects"]]
    np.testing.assert_allclose(sum(shares), content["total"]["value"], atol=1e-15)
    assert content["effects"][0]["share"]["over_chips"] == found.effects[0].share.over_chips
    rows = list(csv.DictReader((tmp_path / "budget.csv").open()))
    assert len(rows) == 1 + 3 * len(found.effects) + 2 * len(found.places)
    assert rows[1]["name"] == "wires" and rows[1]["cost"] == "share"
    assert float(rows[1]["value"]) == found.effects[0].share.value
    assert float(rows[-1]["low"]) == found.places[-1].last.low


def test_a_budget_goes_on_where_it_was_stopped(place, tmp_path):
    task = {"name": str(place / "task.tsv"), "limit": 12}
    study = tiny_study(place, **HARD, task=task, budget={"effects": ["wires", "adc"]})
    path = budget_study(study, tmp_path, workers=2, threads=1)
    whole = to_json(open_budget(path))
    first, second = sorted(path.glob("*.h5"))  # 4 combinations, and 4 of single places
    second.unlink()
    with pytest.raises(ConfigError, match="1 of 2 points .* go on with"):
        open_budget(path)
    before = first.stat().st_mtime_ns
    assert to_json(open_budget(budget_study(study, path, threads=1))) == whole
    assert first.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="another budget"):
        budget_study(tiny_study(place, budget={"effects": ["wires"]}), path)


# ---------------------------------------------------------------- who shares


def test_effects_are_those_that_act_in_their_groups(place):
    tables = {"device": {"name": str(place / "device.toml"), "time_s": 1000.0, "reads": 10}}
    resolved = resolve(tiny_study(place, **tables)).budget
    assert resolved.effects == (
        "wires",
        "dac",
        "levels",
        "programming+spread",
        "relaxation+drift+read_disturb+temperature",
        "stuck",
        "read_noise+flicker+telegraph",
        "adc",
    )
    off = {"effects": {"wires": False, "without": ["stuck"]}, "adc": {"bits": "ideal"}}
    assert "wires" not in resolve(tiny_study(place, **tables, **off)).budget.effects
    functions = {"functions": {"gelu": {"unit": "table"}}}
    assert resolve(tiny_study(place, **functions)).budget.effects[-1] == "functions"


def test_a_sampled_budget_keeps_to_its_cap_and_sums(place, tmp_path):
    effects = ["wires", "dac+adc", "programming", "stuck", "read_noise"]
    tables = {
        "device": {"name": str(place / "device.toml"), "time_s": 1000.0, "reads": 10},
        "task": {"name": str(place / "task.tsv"), "limit": 8},
        "budget": {"effects": effects, "layers": "none", "evaluations": 20, "without": ["levels"]},
    }
    found = open_budget(budget_study(tiny_study(place, **HARD, **tables), tmp_path, threads=1))
    assert len(found.effects) == 5 and found.evaluations <= 20 and found.orders == 4
    assert float(sum(effect.exact for effect in found.effects)) == found.total.value
    assert all(effect.share.over_orders is not None for effect in found.effects)
    assert found.places == () and found.without == ("levels",)
    text = xbarsim("report", tmp_path).stdout
    assert "4 sampled orders of 5 effects" in text and "without levels" in text


def test_a_remedy_is_a_player_or_left_out(place, tmp_path):
    one = {"effects": ["wires"], "without": ["dac", "programming", "adc"], "layers": "none"}
    bare = HARD | {"mapping": {"word_lines": 16, "bit_lines": 16}}
    wired = HARD | {"mapping": bare["mapping"] | {"compensation": "wires"}}
    task = {"name": str(place / "task.tsv"), "limit": 8}
    study = tiny_study(place, **wired, task=task, budget=one | {"remedies": ["compensation"]})
    found = open_budget(budget_study(study, tmp_path / "player", threads=1))
    remedy = found.effects[-1]
    assert remedy.remedy and remedy.name == "compensation" and found.evaluations == 4
    # local errors of the first layer: the remedy wins what wires cost
    assert found.steps[0].shares["compensation"] < 0 < found.steps[0].shares["wires"]
    plain = tiny_study(place, **bare, task=task, budget=one)
    left_out = plain.budget.model_copy(update={"without": (*plain.budget.without, "compensation")})
    without = study.model_copy(update={"budget": left_out})
    bare_one = open_budget(budget_study(without, tmp_path / "without", threads=1))
    other = open_budget(budget_study(plain, tmp_path / "bare", threads=1))
    assert bare_one.chip == other.chip and bare_one.effects == other.effects


def test_every_named_remedy_is_what_a_study_states(place):
    remedies = {
        "compensation": {"mapping": {"compensation": "wires"}},
        "gain": {"mapping": {"gain": "column"}},
        "scale_shift": {"mapping": {"scale_shift": 0.5}},
        "scaling": {"dac": {"scaling": "token"}},
        "rescaling": {"correction": {"rescaling": "global", "fitted_s": 20.0, "reads": 4}},
    }
    assert set(remedies) == set(REMEDIES)
    for name, keys in remedies.items():
        study = tiny_study(place, device={"name": "pcm", "time_s": 3600.0}, **keys)
        left = without_remedy(study, name)
        differing = {
            f"{table}.{key}"
            for table in ("mapping", "dac", "correction", "adc", "effects")
            for key, value in getattr(study, table).model_dump().items()
            if getattr(getattr(left, table), key) != value
        }
        (key,) = differing
        assert key.endswith(f".{name}")


def test_layer_tables_do_not_bring_effects_back(place):
    layer = [{"match": "layer.0.*", "adc": {"bits": 2}, "effects": {"without": ["dac"]}}]
    study = resolve(tiny_study(place, layer=layer, budget={"remedies": ["adc.bits = 8"]}))
    plan = plan_budget(study)
    cases = {}
    for point in budget_points(study):
        cases |= dict(point.study.cases())
    without = cases["wires, dac, programming, adc.bits = 8"].for_layer("layer.0.query")
    assert set(without.effects.without) == {"dac", "adc"} and without.adc.bits == 2
    none = cases["none"].for_layer("layer.0.query")
    assert none.adc.bits == 8 and {"wires", "adc"} < set(none.effects.without)
    assert cases["all"].for_layer("layer.0.query").adc.bits == 2
    assert plan.players[-1].remedy


def test_roles_are_places(place):
    resolved = resolve(tiny_study(place, budget={"layers": "role"})).budget
    assert resolved.places["query"] == ("*.query",) and "layer 0" not in resolved.places
    with pytest.raises(ConfigError, match=r"layer.0.key is in none of them"):
        resolve(tiny_study(place, budget={"places": {"q": ["*.query"], "v": ["*.value"]}}))


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"effects": ["adcs"]}, "'adcs' is none; allowed: wires"),
        ({"effects": ["adc", "dac+adc"]}, "adc would be counted twice"),
        ({"remedies": ["compensation"]}, "the study does not have compensation"),
        ({"remedies": ["hope"]}, "'hope' is no remedy; allowed: compensation"),
        ({"effects": ["adc"], "without": ["adc"]}, "cannot share the loss and be left out"),
        ({"case": "chop"}, "no case of the study; allowed: chip"),
        ({"effects": ["stuck"]}, "stuck does nothing in this study"),
        ({"evaluations": 4}, "too few for 4 effects; allowed: 14 or more"),
        ({"without": ["wires", "dac", "programming", "adc"]}, "no effect acts"),
    ],
)
def test_what_cannot_be_meant_is_one_line(place, budget, words):
    with pytest.raises(ConfigError) as caught:
        resolve(tiny_study(place, budget=budget))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_case_is_the_one_with_most_effects(place):
    cases = [{"name": "wires only", "effects": {"converters": False}}, {"name": "both"}]
    assert resolve(tiny_study(place, case=cases)).budget.case == "both"


def test_directories_of_another_kind_say_so(directory, place, tmp_path):
    for arguments in (("sweep", "--status"), ("sweep", "--resume")):
        shown = xbarsim(*arguments, directory)
        assert "holds a budget, no sweep; xbarsim report shows it" in str(shown.exception)
    study = tiny_study(place, sweep={"adc.bits": [4]}, budget={"effects": ["adc"]})
    create(study, tmp_path)  # of the sweep
    with pytest.raises(ConfigError, match="holds a sweep, no budget"):
        open_budget(tmp_path)
    assert "0 done" in xbarsim("report", tmp_path).stdout


# ---------------------------------------------------------------- decoders


def test_the_loss_of_a_decoder_is_shared_in_nats(tmp_path):
    make_tiny_decoder(tmp_path / "model", "llama")
    (tmp_path / "text.txt").write_text("the crossbar holds every weight, token by token. " * 12)
    content = HARD | {
        "model": {"name": str(tmp_path / "model")},
        "task": {
            "name": str(tmp_path / "text.txt"),
            "calibration_tokens": 60,
            "window": 48,
            "windows": 2,
        },
        "mapping": {"word_lines": 16, "bit_lines": 16},
    }
    content["budget"] = {"effects": ["wires", "dac+adc", "programming"], "layers": "none"}
    (tmp_path / "study.toml").write_text(tomli_w.dumps(content))
    study = load_study(tmp_path / "study.toml")
    shown = xbarsim("budget", tmp_path / "study.toml", "--out", tmp_path / "out", "--threads", 1)
    assert shown.exit_code == 0, shown.output
    found = open_budget(tmp_path / "out")
    trace = read_trace(run_study(study, tmp_path, threads=1))
    chip = -trace.cases["chip"].chips[0].log_probability.astype(np.float64).mean()
    float32 = -trace.reference["float32"].log_probability.astype(np.float64).mean()
    assert found.chip == chip and found.float32 == float32
    np.testing.assert_allclose(found.total.value + found.rest.value, chip - float32, rtol=1e-9)
    assert f"float32 {float32:.4f}" in shown.stdout and "in nats" in shown.stdout
    assert float(sum(effect.exact for effect in found.effects)) == found.total.value
