"""Pictures that are handed over instead of written; a sweep, a budget and runs that several files
look at."""

import numpy as np
import page_cases
import pytest
from study_keys import DEVICE
from tiny import WORDS, make_tiny_bert, make_tiny_place, tiny_study

from xbarsim.report.plots import chips, circuits, devices, fits, memory, runs
from xbarsim.studies import sweep, sweep_directory
from xbarsim.studies.budget import budget_study
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

SWEPT_AXES = {"wires.word_line_resistance_ohm": [1.0, 200.0], "adc.bits": [2, 8]}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are handed to be saved."""
    figures = []

    def keep(figure, path):
        figures.append(figure)
        return path

    for module in (chips, circuits, devices, fits, memory, runs):
        monkeypatch.setattr(module, "save", keep)
    return figures


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """The directory of a finished sweep of four points."""
    place = make_tiny_place(tmp_path_factory.mktemp("swept"))
    study = tiny_study(place, sweep=SWEPT_AXES, chip="singlebit")
    made = sweep_directory.create(study, place / "sweep")
    sweep.run_sweep(made, workers=2)
    return made


@pytest.fixture(scope="session")
def budget_place(tmp_path_factory):
    """A tiny classifier, and sentences that are labelled as it sees them in float32."""
    place = tmp_path_factory.mktemp("budget")
    make_tiny_bert(place / "model", classes=2, seed=5)
    (place / "device.toml").write_text(DEVICE)
    rng = np.random.default_rng(3)
    sentences = [" ".join(rng.choice(WORDS[:30], 6)) for _ in range(36)]

    def write(labels):
        lines = [f"{s}\t{k}\t{'test'}" for s, k in zip(sentences, labels, strict=True)]
        lines.append("the film was good\t0\ttrain\nthe film was bad\t1\ttrain")
        (place / "task.tsv").write_text("sentence\tlabel\tsplit\n" + "\n".join(lines) + "\n")

    write([k % 2 for k in range(36)])
    trace = read_trace(run_study(tiny_study(place), place / "float32", threads=1))
    write(trace.reference["float32"].output.argmax(axis=1))
    return place


@pytest.fixture(scope="session")
def shared_study(budget_place):
    """A study whose loss is shared by wires, converters and the write."""
    return tiny_study(budget_place, **page_cases.HARD, run={"batch_examples": 8, "chips": 2})


@pytest.fixture(scope="session")
def shared(shared_study, budget_place):
    """The directory of its error budget."""
    return budget_study(shared_study, budget_place / "budget", threads=1)


@pytest.fixture(scope="session")
def case_trace(tmp_path_factory):
    return page_cases.run_of_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="session")
def decoder_trace(tmp_path_factory):
    return page_cases.run_of_a_decoder(tmp_path_factory.mktemp("decoder"))
