"""Text that a decoder writes on a simulated chip."""

import numpy as np
import pytest
import tomli_w
from decoders_on_chips import IDEAL, SMALL, study_of
from tiny_decoders import make_tiny_decoder
from typer.testing import CliRunner

from xbarsim.base.errors import ConfigError, TaskError
from xbarsim.cli.app import app
from xbarsim.config.study import merge
from xbarsim.models.architectures import load_network
from xbarsim.studies import generation

TEXT = "the crossbar holds every weight and reads it where it lies, token by token. " * 8
ON_CHIP = {"products": {"attention": "in_situ", "output_matrix": "hardware"}}
PROMPT = "the cell "


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("generation")
    make_tiny_decoder(directory / "llama", "llama", eos_token_id=None)
    (directory / "text.txt").write_text(TEXT)
    return directory


@pytest.fixture(scope="module")
def network(place):
    return load_network(place / "llama")


def task_of(place):
    return {
        "model": {"max_length": 24},
        "task": {"calibration": str(place / "text.txt"), "calibration_examples": 5},
    }


def written(network, study, **options):
    hook = generation.chip_that_generates(network, study, threads=1)
    text = generation.generate(network.model, network.tokenizer, PROMPT, hook=hook, **options)
    return text, hook


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_ideal_chip_writes_what_float32_writes(place, network, temperature):
    sampling = generation.Sampling(temperature, seed=3)
    wide = {"mapping": {"clip": "maximum"}}
    study = study_of(IDEAL, task_of(place), {"products": {"output_matrix": "hardware"}}, wide)
    text, _ = written(network, study, tokens=20, sampling=sampling)
    expected = generation.generate(
        network.model, network.tokenizer, PROMPT, tokens=20, sampling=sampling
    )
    assert text == expected and len(text) == 20


def test_a_chip_writes_the_same_every_time_and_counts_its_cells(place, network):
    study = study_of(ON_CHIP, task_of(place))
    text, hook = written(network, study, tokens=20)
    again, _ = written(network, study, tokens=20)
    expected = generation.generate(network.model, network.tokenizer, PROMPT, tokens=20)
    assert text == again != expected
    # 2 layers, keys and values, 2 heads of 8 values on pairs; the last token is not read
    assert hook.cache_per_token.cells == 2 * 2 * 2 * 8 * 2
    assert hook.cells_set == (len(PROMPT) + 19) * hook.cache_per_token.cells
    counted = {"products": {"weights": "computation", "attention": "computation"}}
    _, hook = written(network, study_of(counted, task_of(place)), tokens=2)
    assert hook.cache_per_token.bytes == 2 * 2 * 2 * 8


def test_calibration_windows_are_spread_over_the_text(place, network):
    study = study_of(task_of(place))
    windows = generation.calibration_windows(network, study)
    ids = np.array(network.tokenizer.encode(TEXT, add_special_tokens=False).ids)
    assert len(ids) == len(TEXT) == 608  # 25 windows of 24
    for window, start in zip(windows, (0, 5, 10, 15, 20), strict=True):
        np.testing.assert_array_equal(window, ids[24 * start : 24 * (start + 1)])


@pytest.mark.parametrize("content", ["a", None])
def test_a_chip_without_a_calibration_text_names_the_key(place, network, content, tmp_path):
    path = tmp_path / "short.txt"
    if content is None:
        path = tmp_path / "pairs.tsv"
        content = "good\tbad\nthe cell\tthe cells\n"
    path.write_text(content)
    study = study_of(task_of(place), {"task": {"calibration": str(path)}})
    with pytest.raises(ConfigError, match=r"set \[task\] calibration to a text file"):
        generation.chip_that_generates(network, study)


def test_a_prompt_that_the_cache_cannot_hold(place, network):
    study = study_of(ON_CHIP, task_of(place))
    hook = generation.chip_that_generates(network, study, threads=1)
    with pytest.raises(TaskError, match="the model's context is 64"):
        generation.generate(network.model, network.tokenizer, "a" * 60, tokens=9, hook=hook)


def test_the_command_prints_float32_beside_the_chips_of_a_study(place, network):
    cases = {
        "case": [
            {"name": "ideal", **IDEAL},
            {"name": "cells", "products": {"attention": "in_situ"}},
        ]
    }
    content = merge(merge(SMALL, task_of(place)), cases)
    (place / "study.toml").write_text(tomli_w.dumps(content))
    done = CliRunner().invoke(
        app,
        [
            "generate",
            str(place / "llama"),
            PROMPT,
            "--study",
            str(place / "study.toml"),
            "--tokens",
            "6",
        ],
    )
    assert done.exit_code == 0, done.output
    text = generation.generate(network.model, network.tokenizer, PROMPT, tokens=6)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["float32:", PROMPT + text]
    assert lines[3:6] == [
        "ideal:",
        PROMPT + text,
        "key-value cache: float32, attention is digital",
    ]
    assert lines[7] == "cells:"
    assert lines[9].startswith("key-value cache: 128 cells a token, each written once; 1,792 cells")
