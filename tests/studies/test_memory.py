"""`xbarsim memory`: rates, a model on several chips, the table and the picture."""

import numpy as np
import pytest
import tomli_w
from tiny import make_tiny_bert
from typer.testing import CliRunner

from xbarsim.base.errors import OutOfRangeError
from xbarsim.cli.app import app
from xbarsim.config.study import load_study
from xbarsim.studies import evaluation, memory_errors


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("memory")
    make_tiny_bert(place / "model", classes=2)
    words = [
        "the film was good .",
        "a bad movie , dull acting",
        "great plot",
        "the cat eats it",
        "awful film !",
    ]
    rows = [f"{words[k % 5]}\t{k % 2}\t{'train' if k < 10 else 'test'}" for k in range(40)]
    (place / "task.tsv").write_text("sentence\tlabel\tsplit\n" + "\n".join(rows) + "\n")
    (place / "study.toml").write_text(
        tomli_w.dumps(
            {
                "model": {"name": str(place / "model")},
                "task": {"name": str(place / "task.tsv"), "limit": 30},
                "memory": {"rows": 64},
            }
        )
    )
    return place / "study.toml"


def test_a_model_on_chips_with_errors(study):
    report = memory_errors.run(load_study(study), lengths=[64], rates=[0.0, 0.05], chips=3)
    solved, none, many = report.rows
    assert (
        solved.columns == 64
        and solved.mean < 1e-20
        and solved.worst_data is not None
        and none.columns is None
    )
    whole = evaluation.evaluate_files(
        str(study.parent / "model"), str(study.parent / "task.tsv"), "int8", limit=30
    )
    assert report.reference == whole.metrics[0].value and report.metric == "accuracy"
    assert none.values == (report.reference,) * 3 and none.wrong_weights == (0, 0, 0)
    assert solved.values == none.values  # no cell fails in a segment this short
    weights = 2 * (4 * 16 * 16 + 2 * 16 * 32)
    expected = weights * (1 - 0.95**8)
    assert abs(np.array(many.wrong_weights) - expected).max() < 5 * np.sqrt(expected)
    assert len(set(many.wrong_weights)) > 1  # every chip has errors of its own
    values = np.array(many.values)
    mean, low, high = many.interval("accuracy")
    assert mean == values.mean() and high - mean == pytest.approx(
        4.3027 * values.std(ddof=1) / 3**0.5, rel=1e-4
    )
    assert "without errors" in memory_errors.render(report)


def test_the_command_draws_and_prints(study, tmp_path):
    result = CliRunner().invoke(
        app,
        [
            "memory",
            str(study),
            "--columns",
            "32",
            "--columns",
            "600",
            "--picture",
            str(tmp_path / "m.png"),
        ],
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert (
        lines[1].split()[0] == "32"
        and lines[2].split()[0] == "600"
        and (tmp_path / "m.png").stat().st_size > 10000
    )
    assert float(lines[1].split()[1]) < float(lines[2].split()[1])


def test_requests_without_sense_are_refused(study):
    with pytest.raises(OutOfRangeError, match="no segment length"):
        memory_errors.run(load_study(study))
    with pytest.raises(OutOfRangeError, match="stated bit-error rates need 1"):
        memory_errors.run(load_study(study, {"memory": {"bits_per_cell": 2}}), rates=[0.1])
