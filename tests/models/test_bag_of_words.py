"""A network that is no transformer: the example of docs/architecture.md, checked and run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from xbarsim.base.errors import CheckpointError, ConfigError, IdleSettingWarning
from xbarsim.cli.report import print_summaries, summaries_of
from xbarsim.config.study import validate
from xbarsim.models import architectures
from xbarsim.models.checkpoint import load_tokenizer
from xbarsim.models.encoder_families import ENCODER_FAMILIES
from xbarsim.models.network_check import check_encoder, check_network
from xbarsim.report import accuracy_and_cost
from xbarsim.studies.run import run_study

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
WORDS = ["[UNK]", "good", "great", "bad", "awful", "film", "story"]
SENTENCES = ["good film", "bad film", "great story", "awful story", "great film", "bad story"]


def example():
    """The names that the page's code defines."""
    (code,) = re.findall(r"```python\n(.*?class BagOfWords.*?)```", PAGE.read_text(), re.DOTALL)
    names = {"__name__": "example"}
    exec(code, names)
    return names


BAG = example()["BagOfWords"]


def bag(kind=BAG, path=None):
    rng = np.random.default_rng(0)
    words, weight = (rng.standard_normal(size).astype(np.float32) for size in ((7, 12), (8, 12)))
    return kind(words, weight, np.zeros(8, np.float32), path=path)


class Transposed(BAG):
    def matrix(self, name):
        return self.weight.T, self.bias


class Silent(BAG):
    def forward(self, token_ids, mask, hook=None):
        return super().forward(token_ids, mask)


class Twice(BAG):
    def forward(self, token_ids, mask, hook):
        super().forward(token_ids, mask, hook)
        return super().forward(token_ids, mask, hook)


class Unpadded(BAG):
    def forward(self, token_ids, mask, hook):
        return super().forward(token_ids, mask, hook) + 1


class Narrow(BAG):
    def forward(self, token_ids, mask, hook):
        return super().forward(token_ids, mask, hook)[..., :-1]


class WrongRows(BAG):
    def forward(self, token_ids, mask, hook):
        def turned(step, reference, *operands, rows):
            return hook(step, reference, *operands, rows=rows[::-1])

        return super().forward(token_ids, mask, turned)


class Wide(BAG):
    def features(self, hidden, mask, pooling="auto"):
        return np.concatenate([hidden[:, 0], hidden[:, 0]], axis=1)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Transposed, r"the weight of dense has shape \(12, 8\), its graph asks for \(8, 12\)"),
        (Silent, "calls the hook for nothing more where step 0 of its graph, dense, is due"),
        (Twice, "calls the hook for dense after the last step"),
        (Unpadded, "the result of forward is not 0 at padding"),
        (Narrow, r"the result of forward has shape \(2, 3, 7\), its graph asks for \(2, 3, 8\)"),
        (WrongRows, "dense: rows are not"),
        (Wide, r"the result of features has shape \(2, 16\), its graph asks for \(2, 8\)"),
    ],
)
def test_a_network_that_breaks_its_contract_is_refused(kind, said):
    check_encoder(bag())
    with pytest.raises(CheckpointError, match=said):
        check_encoder(bag(kind))


def test_a_large_network_is_not_sent_through_its_forward_pass(monkeypatch):
    monkeypatch.setattr("xbarsim.models.network_check.SMALL", 8 * 12 - 1)
    check_encoder(bag(Silent))
    with pytest.raises(CheckpointError, match="nothing more"):
        check_network(bag(Silent))
    with pytest.raises(CheckpointError, match="weight of dense"):
        check_encoder(bag(Transposed))


def test_the_list_of_encoders_has_all_families():
    assert set(architectures.ENCODERS) == set(ENCODER_FAMILIES)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory of a model_type "bagofwords", and a task."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    model = tmp_path / "model"
    model.mkdir()
    tokenizer.save(str(model / "tokenizer.json"))
    (model / "config.json").write_text(json.dumps({"model_type": "bagofwords"}))
    lines = ["sentence\tlabel\tsplit"]
    for split in ("train", "test"):
        lines += [f"{text}\t{k % 2}\t{split}" for k, text in enumerate(SENTENCES)]
    (tmp_path / "task.tsv").write_text("\n".join(lines) + "\n")

    def read(path):
        tokens = load_tokenizer(path, start_and_end=False)
        return architectures.LoadedEncoder(bag(path=path), tokens)

    monkeypatch.setitem(architectures.ENCODERS, "bagofwords", read)
    return tmp_path


def study_of(directory, **tables):
    content = {
        "model": {"name": str(directory / "model")},
        "task": {"name": str(directory / "task.tsv"), "calibration_examples": 2},
    }
    return validate(content | tables, "study")


def test_a_plain_tokenizer_is_refused_where_ends_are_needed(directory):
    with pytest.raises(CheckpointError, match="a start and an end token are needed"):
        load_tokenizer(directory / "model")


def test_a_chip_that_cannot_price_the_model_is_said_and_the_tables_stay(directory, capsys):
    study = study_of(directory, chip="isaac")
    with pytest.warns(IdleSettingWarning, match="chip = 'isaac' has no effect"):
        trace = run_study(study, directory / "runs", 1)
    summaries = summaries_of([trace])
    assert accuracy_and_cost.join(summaries) == []
    notes = accuracy_and_cost.not_joined(summaries)
    assert len(notes) == 1 and notes[0].startswith("chip isaac: not joined, a run is priced only")
    assert notes[0].endswith("; this one has dense")
    assert accuracy_and_cost.not_joined(summaries, ["a100"])[0].startswith("chip a100: not joined")
    print_summaries(summaries, [], False, notes)
    printed = capsys.readouterr().out
    assert "accuracy x 100" in printed and notes[0] in printed
    assert "functions, buffers and data movement are not counted" in printed


def test_settings_of_what_the_model_lacks_are_said(directory):
    tables = {
        "functions": {"softmax": {"unit": "table", "entries": 32}, "gelu": {"unit": "table"}},
        "products": {"attention": "in_situ"},
    }
    with pytest.warns(IdleSettingWarning) as warned:
        run_study(study_of(directory, **tables), directory / "runs", 1)
    said = [str(warning.message) for warning in warned]
    attention = "has no effect in this study: it needs a model with attention"
    assert f"functions.softmax.unit = 'table' {attention}" in said
    assert f"products.attention = 'in_situ' {attention}" in said
    assert any(text.startswith("functions.softmax.entries = 32 has no effect") for text in said)
    assert any(text.startswith("functions.gelu.unit = 'table' has no effect") for text in said)


def test_a_pooling_that_the_model_lacks_is_refused_before_anything_is_computed(directory):
    study = study_of(directory)
    task = study.task.model_copy(update={"pooling": "pooler"})
    with pytest.raises(ConfigError, match="task.pooling = 'pooler': .* allowed are 'mean', 'cls'"):
        run_study(study.model_copy(update={"task": task}), directory / "runs", 1)
    assert not (directory / "runs").exists()
