"""An error budget against ordinary runs: every number that is printed is computed here from their traces,
shares by going through all orders of the effects."""

import itertools
import json
import re

import numpy as np
import pytest
import tomli_w
from study_keys import DEVICE
from tiny import WORDS, make_tiny_bert, tiny_study
from tiny_decoders import make_tiny_decoder
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError
from xbarsim.cli import app as cli
from xbarsim.config.study import load_study
from xbarsim.report.budget import open_budget, to_json
from xbarsim.report.summary import summarise
from xbarsim.studies.budget import budget_study, resolve
from xbarsim.studies.budget_points import budget_points, plan_budget
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

# What an ordinary study says instead of "without this effect".
OFF = {
    "wires": {"effects": {"wires": False}},
    "dac": {"dac": {"bits": "ideal"}},
    "programming": {"effects": {"programming": False}},
    "adc": {"adc": {"bits": "ideal"}},
}
HARD = {
    "wires": {"word_line_resistance_ohm": 30.0, "bit_line_resistance_ohm": 30.0},
    "dac": {"bits": 3},
    "adc": {"bits": 4},
}


def xbarsim(*arguments):
    """Result of a call: exit_code, stdout, output."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny classifier, and sentences that are labelled as it sees them in float32."""
    place = tmp_path_factory.mktemp("place")
    make_tiny_bert(place / "model", classes=2, layers=3)
    (place / "device.toml").write_text(DEVICE)
    rng = np.random.default_rng(3)
    sentences = [" ".join(rng.choice(WORDS[:30], 6)) for _ in range(44)]

    def write(labels):
        lines = [f"{s}\t{k}\t{'test'}" for s, k in zip(sentences, labels, strict=True)]
        lines.append("the film was good\t0\ttrain\nthe film was bad\t1\ttrain")
        (place / "task.tsv").write_text("sentence\tlabel\tsplit\n" + "\n".join(lines) + "\n")

    write([k % 2 for k in range(44)])
    trace = read_trace(run_study(tiny_study(place), place / "float32", threads=1))
    write(trace.reference["float32"].output.argmax(axis=1))
    return place


@pytest.fixture(scope="module")
def study(place):
    return tiny_study(place, **HARD, run={"batch_examples": 8, "chips": 2})


@pytest.fixture(scope="module")
def directory(study, place):
    return budget_study(study, place / "budget", threads=1)


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
    assert found.case == "chip" and found.chips == 2 and found.examples == 44


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
    expected = 1.959964 * np.sqrt(changes.var() / 44 + 2 / 46**2)
    np.testing.assert_allclose(found.total.over_examples, expected, rtol=0.1)  # 400 draws
    half = np.hypot(found.total.over_examples, found.total.over_chips)
    np.testing.assert_allclose(found.total.high - found.total.value, half)
    np.testing.assert_allclose(found.total.value - found.total.low, half)


def test_places_are_ideal_by_themselves_or_alone(found, study, place):
    ideal = dict.fromkeys(("wires", "converters", "programming", "read_noise"), False)
    layers = [{"match": f"layer.{number}.*", "effects": ideal} for number in range(3)]
    cases = [{"name": "all"}, {"name": "none", "effects": ideal}]
    for number in range(3):
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
    assert [place.name for place in found.places] == ["layer 0", "layer 1", "layer 2"]
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
            f"{100 * effect.share.value / found.total.value:.0f} %".replace("-0 %", "0 %"),
            written(effect.alone),
            written(effect.last),
        ]
    assert re.split("  +", lines[start + 5])[:2] == ["sum", f"{100 * found.total.value:+.2f}"]
    assert "all 16 combinations of 4 effects were evaluated: shares are exact" in text
    for place in found.places:
        expected = f"{place.name}  {written(place.only)}  {written(place.last)}"
        assert expected in re.sub("  +", "  ", text)
    for number in range(3):
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


def written(cost):
    value, low, high = (100 * number for number in (cost.value, cost.low, cost.high))
    return f"{value:+.2f} ({low:.2f} .. {high:.2f})".replace("-0.00", "0.00").replace(
        "+0.00", "+0.00"
    )


def test_json_has_every_figure(found, directory):
    shown = xbarsim("budget", "--resume", directory, "--json")
    assert shown.exit_code == 0, shown.output
    content = json.loads(shown.stdout)
    assert content == json.loads(json.dumps(to_json(found)))
    shares = [effect["share"]["value"] for effect in content["effects"]]
    np.testing.assert_allclose(sum(shares), content["total"]["value"], rtol=1e-14)
    assert content["effects"][0]["share"]["over_chips"] == found.effects[0].share.over_chips


def test_workers_and_interruptions_change_nothing(study, found, place, tmp_path):
    path = budget_study(study, tmp_path / "again", workers=2, threads=1)
    traces = sorted(path.glob("*.h5"))
    traces[1].unlink()
    with pytest.raises(ConfigError, match=f"1 of {len(traces)} points .* go on with"):
        open_budget(path)
    assert to_json(open_budget(budget_study(study, path))) | {"directory": ""} == to_json(found) | {
        "directory": ""
    }


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
    tables = {
        "device": {"name": str(place / "device.toml"), "time_s": 1000.0, "reads": 10},
        "task": {"name": str(place / "task.tsv"), "limit": 12},
        "budget": {"layers": "none", "evaluations": 40, "without": ["levels"]},
    }
    found = open_budget(budget_study(tiny_study(place, **HARD, **tables), tmp_path, threads=1))
    assert len(found.effects) == 7 and found.evaluations <= 40 and found.orders == 6
    assert float(sum(effect.exact for effect in found.effects)) == found.total.value
    assert all(effect.share.over_orders is not None for effect in found.effects)
    assert found.places == () and found.without == ("levels",)
    text = xbarsim("report", tmp_path).stdout
    assert "6 sampled orders of 7 effects" in text and "without levels" in text


def test_a_remedy_is_a_player_or_left_out(place, tmp_path):
    wired = HARD | {"mapping": {"word_lines": 16, "bit_lines": 16, "compensation": "wires"}}
    task = {"name": str(place / "task.tsv"), "limit": 20}
    study = tiny_study(
        place, **wired, task=task, budget={"remedies": ["compensation"], "layers": "none"}
    )
    found = open_budget(budget_study(study, tmp_path / "player", threads=1))
    remedy = found.effects[-1]
    assert remedy.remedy and remedy.name == "compensation" and found.evaluations == 32
    # local errors of the first layer: the remedy wins what wires cost
    assert found.steps[0].shares["compensation"] < 0 < found.steps[0].shares["wires"]
    bare = HARD | {"mapping": {"word_lines": 16, "bit_lines": 16}}
    plain = tiny_study(place, **bare, task=task, budget={"layers": "none"})
    left_out = study.model_copy(
        update={"budget": plain.budget.model_copy(update={"without": ("compensation",)})}
    )
    without = open_budget(budget_study(left_out, tmp_path / "without", threads=1))
    bare_one = open_budget(budget_study(plain, tmp_path / "bare", threads=1))
    assert without.chip == bare_one.chip and without.effects == bare_one.effects


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


# ---------------------------------------------------------------- decoders


def test_the_loss_of_a_decoder_is_shared_in_nats(tmp_path):
    make_tiny_decoder(tmp_path / "model", "llama")
    (tmp_path / "text.txt").write_text("the crossbar holds every weight, token by token. " * 12)
    content = HARD | {
        "model": {"name": str(tmp_path / "model")},
        "task": {"name": str(tmp_path / "text.txt"), "calibration_tokens": 60, "window": 48},
        "mapping": {"word_lines": 16, "bit_lines": 16},
    }
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
