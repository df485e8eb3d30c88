"""Real weights and sentences: published figures.  Run where the weights can be fetched, skipped
with a reason elsewhere.
"""

from pathlib import Path

import numpy as np
import pytest

from xbarsim.base import fetch
from xbarsim.base.errors import FetchError
from xbarsim.base.workers import worker_threads
from xbarsim.config.study import load_study
from xbarsim.report.summary import summarise
from xbarsim.studies import evaluation, language, run
from xbarsim.studies.language_examples import Scope
from xbarsim.studies.references import digital_readings
from xbarsim.studies.trace_reader import read_trace
from xbarsim.studies.work import work_of

pytestmark = pytest.mark.real
DATA = Path(__file__).parents[3] / "shared" / "data"


def fetched(*names):
    for name in names:
        try:
            fetch.fetch(name)
        except FetchError as error:
            pytest.skip(f"{name} cannot be fetched: {error}")


@pytest.mark.parametrize(("split", "published"), [("test", 82.03), ("dev", 86.72)])
def test_sts_benchmark_of_the_published_model(split, published):
    """MTEB lists a Spearman correlation of 82.03 for all-MiniLM-L6-v2 on the test split of STS-B."""
    files = sorted(DATA.glob(f"**/*sts*{split}*"))
    if not files:
        pytest.skip(f"no STS-B {split} split under {DATA.name}")
    fetched("all-MiniLM-L6-v2")
    result = evaluation.evaluate_files("all-MiniLM-L6-v2", files[0])
    assert result.metrics[0].metric == "spearman"
    assert round(100 * result.metrics[0].value, 2) == published


def test_a_classifier_with_its_own_head():
    model, task = DATA / "models" / "l3-sst2", DATA / "tasks" / "sst2-dev.tsv"
    if not (model.is_dir() and task.is_file()):
        pytest.skip("no 3-layer SST-2 classifier under shared data")
    result = evaluation.evaluate_files(model, task)
    assert result.head == "classifier" and round(100 * result.metrics[0].value, 2) == 86.81


def test_the_chip_of_the_default_study_loses_little(tmp_path):
    """Wires and converters cost no more than the sampling error; the chip is worse than float32 but
    far from guessing.
    """
    fetched("all-MiniLM-L6-v2", "vader-movie")
    study = load_study(
        "default",
        {
            "task": {"limit": 60},
            "case": [
                {
                    "name": "ideal",
                    "effects": dict.fromkeys(
                        ("wires", "programming", "converters", "read_noise"), False
                    ),
                },
                {"name": "chip"},
            ],
        },
    )
    summary = summarise(read_trace(run.run_study(study, tmp_path)))
    float32, int8 = summary.references
    ideal, chip = summary.cases
    assert ideal.metric.value == float32.metric.value
    assert min(layer.accumulated_snr_db for layer in ideal.layers) > 80
    assert int8.metric.low <= float32.metric.value <= int8.metric.high
    assert chip.metric.value > 0.5
    assert all(5 < layer.local_snr_db < 40 for layer in chip.layers)
    assert sum(layer.programming.tiles for layer in chip.layers) == 1296


def test_a_study_of_a_decoder_has_the_perplexity_of_evaluate():
    """The reference implementation's perplexity of the first 512 tokens of WikiText-2 is 16.980."""
    text = DATA / "tasks" / "wikitext2-test.txt"
    if not text.is_file():
        pytest.skip(f"no wikitext2-test.txt under {DATA.name}/tasks")
    fetched("smollm2-135m-instruct")
    scope = Scope(window=512, windows=1)
    evaluated = language.evaluate_files("smollm2-135m-instruct", text, scope).metrics[0]
    assert round(evaluated.value, 3) == 16.980
    study = load_study(
        "decoder", {"task": {"name": str(text), "windows": 1, "calibration_tokens": 64}}
    )
    work = work_of(study)
    with worker_threads() as pool:
        found = digital_readings(work.reader, work.examples, study.run.batch_examples, pool)
        (reading,) = [reading for _, reading in found]
    assert reading.tokens is not None
    assert round(float(np.exp(-reading.tokens.log_probability.mean())), 3) == 16.980
