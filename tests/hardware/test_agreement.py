"""The statistical mode of computation crossbars against the direct one on a whole model: layer by
layer, and in the trace.

Every chip is simulated in both modes: the same resistors and stuck cells, other noise.  Differences
between the modes are compared with their own spread over the chips.
"""

import numpy as np
import pytest
import tomli_w
from scipy.special import stdtrit
from tiny import WORDS, make_tiny_bert

from xbarsim.base.workers import worker_threads
from xbarsim.config.study import load_study
from xbarsim.devices.presets import load_device
from xbarsim.hardware.build import Design, build_chip, chip_seed
from xbarsim.hardware.steps import Tokens
from xbarsim.models.batches import pad
from xbarsim.models.bert_checkpoint import load_bert
from xbarsim.models.checkpoint import load_tokenizer
from xbarsim.models.graph import Kind, Role
from xbarsim.models.tokens import tokenize
from xbarsim.report.summary import summarise
from xbarsim.studies import run
from xbarsim.studies.examples import Examples
from xbarsim.studies.held_out import held_out
from xbarsim.studies.trace_layout import arrays_of
from xbarsim.studies.trace_reader import read_trace

CHIPS = 10
# Clipping (5 rows on a 2-bit ADC), telegraph noise of 40 %, spread and stuck cells at once.
NOISY = {
    "products": {"weights": "computation", "attention": "computation"},
    "effects": {
        "wires": False,
        "programming": True,
        "read_noise": True,
        "telegraph_multiplier": 8.0,
    },
    "computation": {
        "word_lines": 16,
        "bit_lines": 16,
        "rows_per_conversion": 5,
        "stuck_open_rate": 0.01,
    },
}
MODES = ("direct", "statistical")
IDEAL = dict.fromkeys(("wires", "programming", "converters", "read_noise"), False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("agreement")
    make_tiny_bert(directory / "model", classes=2, seed=4)  # one that tells the sentences apart
    return directory


@pytest.fixture(scope="module")
def sentences():
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS[:35], rng.integers(4, 12))) for _ in range(30)]


def study_of(place, sentences, labels, **tables):
    rows = [f"{sentence}\t{label}\ttest" for sentence, label in zip(sentences, labels, strict=True)]
    rows += [
        f"{sentence}\t{label}\ttrain"
        for sentence, label in zip(sentences[:4], (0, 1, 0, 1), strict=True)
    ]
    (place / "task.tsv").write_text("sentence\tlabel\tsplit\n" + "\n".join(rows) + "\n")
    content = {
        "model": {"name": str(place / "model")},
        "task": {"name": str(place / "task.tsv")},
    } | tables
    (place / "study.toml").write_text(tomli_w.dumps(content))
    return load_study(place / "study.toml")


def agrees(first, second, finest):
    """Whether values of the same chips (chips,) have equal means by Student's t, at 1 in 10,000;
    their difference must be known to a standard error of `finest`."""
    difference = first - second
    error = difference.std(ddof=1) / len(difference) ** 0.5
    assert error < finest, "too few chips to tell"
    return abs(difference.mean()) <= stdtrit(len(difference) - 1, 1 - 5e-5) * error


@pytest.fixture(scope="module")
def errors(place, sentences):
    """{product: {mode: (chips, values)}}: errors of every product for the inputs of the float32
    path, and {product: its values in float32}."""
    model, device = load_bert(place / "model"), load_device("ideal")
    examples = Examples(tokenize(load_tokenizer(place / "model"), sentences, 32))
    token_ids, mask = pad(examples.tokens)
    found, reference = {}, {}
    with worker_threads(1) as pool:
        seen = held_out(model, examples, len(sentences), pool, threads=1)
        for mode in MODES:
            tables = NOISY | {"computation": NOISY["computation"] | {"mode": mode}}
            study = study_of(place, sentences, [0, 1] * 15, **tables)
            design = Design.of(model, study, device, seen)
            for number in range(CHIPS):
                chip = build_chip(design, chip_seed(5, number), pool)

                def keep(name, exact, output, mode=mode):
                    reference[name] = exact.ravel()
                    found.setdefault(name, {}).setdefault(mode, []).append((output - exact).ravel())

                def hook(
                    step,
                    reference,
                    *operands,
                    rows,
                    chip=chip,
                    keep=keep,
                ):
                    if step.kind is Kind.MATRIX:
                        x, weight, _ = operands
                        output = chip.matrices[step.name].multiply(x, rows, chip.seed).output
                        keep(step.name, x @ weight.T, output)
                    elif step.kind is Kind.PRODUCT:
                        a, b = operands
                        output, _ = chip.products[step.name].multiply(a, b, Tokens(mask, 0))
                        real = mask[:, None, :, None]
                        if step.role is Role.ATTENTION_SCORES:
                            real = real & mask[:, None, None, :]
                        keep(step.name, np.where(real, a @ b, 0), output)
                        return np.where(real, a @ b, 0)
                    return reference(*operands)

                model.forward(token_ids, mask, hook)
    return {
        name: {mode: np.array(chips) for mode, chips in modes.items()}
        for name, modes in found.items()
    }, reference


def test_every_layer_has_the_errors_of_the_direct_mode(errors):
    """Same inputs: mean of every single output, share of the signal in the error, and power of the
    error.
    """
    found, reference = errors
    assert len(found) == 2 * 6 + 2 * 2
    for name, modes in found.items():
        direct, statistical = (modes[mode] for mode in MODES)
        signal = reference[name]
        assert 0.05 < (direct**2).mean() / (signal**2).mean() < 1, name
        # Means of the outputs: sum of squares of their differences over what the spread over the
        # chips makes of it, 1.
        difference = direct - statistical
        variance = difference.var(axis=0, ddof=1)
        ratio = CHIPS * (difference.mean(axis=0) ** 2).sum() / variance.sum()
        kurtosis = ((difference - difference.mean(axis=0)) ** 4).mean() / (variance**2).mean() - 3
        spread = (
            (variance**2).sum() ** 0.5
            / variance.sum()
            * (2 + 2 * max(kurtosis, 0) / CHIPS + 2 / (CHIPS - 1)) ** 0.5
        )
        assert spread < 0.12 and abs(ratio - 1) < 4.5 * spread, (name, ratio, spread)
        shares, powers = (
            [function(modes[mode]) for mode in MODES]
            for function in (lambda e, s=signal: e @ s / (s @ s), lambda e: (e**2).mean(axis=1))
        )
        assert agrees(*shares, finest=0.01), (name, shares)
        assert agrees(*powers, finest=0.05 * powers[0].mean()), (name, powers)


def test_traces_and_metrics_agree(place, sentences):
    """Noise of 18 times 5 %, at which even the short sums of a tiny model are normal: so errors
    that went through softmax and GELU agree too.  Labels are those of the float32 model: the metric
    is how often the chip decides as it does.
    """
    ideal = {"run": {"chips": 1}, "case": [{"name": "ideal", "effects": IDEAL}]}
    path = run.run_study(study_of(place, sentences, [0, 1] * 15, **ideal), place / "runs")
    float32 = read_trace(path).reference["float32"].output.argmax(axis=1)
    assert 5 < float32.sum() < 25
    loud = NOISY | {"effects": NOISY["effects"] | {"telegraph_multiplier": 18.0}}
    cases = [
        {"name": mode, **loud, "computation": NOISY["computation"] | {"mode": mode}}
        for mode in MODES
    ]
    path = run.run_study(
        study_of(place, sentences, float32, run={"chips": CHIPS}, case=cases), place / "runs"
    )
    trace, summary = read_trace(path), summarise(read_trace(path))
    for kind in ("layers", "products"):
        for name in getattr(trace.cases["direct"].chips[0], kind):
            data = [
                [arrays_of(getattr(chip, kind)[name].rows) for chip in trace.cases[mode].chips]
                for mode in MODES
            ]
            for key, finest in (
                ("local_relative_rms", 0.03),
                ("accumulated_relative_rms", 0.03),
                ("adc_saturations", 0.04),
            ):
                first, second = (np.array([one[key].mean() for one in chips]) for chips in data)
                assert agrees(first, second, finest * first.mean()), (name, key, first, second)
    direct, statistical = (np.array(case.chips.values) for case in summary.cases)
    assert direct.mean() < 0.97  # the errors cost decisions
    assert agrees(direct, statistical, 0.05), (direct, statistical)
    assert summary.cases[0].chips.low <= statistical.mean() <= summary.cases[0].chips.high
