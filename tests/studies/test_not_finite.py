"""NaN is never a result: what is not finite stops a run with its layer, and is refused in a
trace."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from full_trace import command, make_full_place
from tiny import make_tiny_bert, make_tiny_place, tiny_study

from xbarsim.arrays.in_situ import matrix
from xbarsim.base.errors import CheckpointError, OutOfRangeError, TraceError
from xbarsim.report.steps import snr_db
from xbarsim.report.summary import summarise
from xbarsim.studies import run
from xbarsim.studies.error_statistics import ErrorStatistics
from xbarsim.studies.errors import error_statistics
from xbarsim.studies.trace_reader import read_trace
from xbarsim.tasks.heads import Head


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """See `make_full_place`."""
    return make_full_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def copied(place, tmp_path):
    """A copy of the trace that a test may spoil."""
    return Path(shutil.copy(place / "runs" / "tiny.h5", tmp_path / "copy.h5"))


def only(errors, example):
    """The statistics of one example."""
    return ErrorStatistics(**{name: values[[example]] for name, values in vars(errors).items()})


def test_errors_of_zeros_are_numbers():
    output, reference = (
        np.array([[0, 0], [3, 4], [0, 0], [3, 4.0]]),
        np.array([[0, 0], [0, 0], [3, 4], [3, 4.0]]),
    )
    found = error_statistics(output.astype(np.float32), reference.astype(np.float32), np.arange(4))
    assert found.relative_rms.tolist() == [0, np.inf, 1, 0]
    assert found.snr_db.tolist() == [np.inf, -np.inf, 0, np.inf]
    assert found.cosine.tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(
        found.error_rms, [0, np.sqrt(12.5), np.sqrt(12.5), 0], rtol=1e-12, atol=0
    )
    ratio = snr_db(found, np.array([1, 2, 1, 4]))
    assert ratio == pytest.approx(10 * np.log10(5 * 12.5 / (3 * 12.5)), rel=1e-12)
    assert snr_db(only(found, 0), np.ones(1)) == np.inf
    assert snr_db(only(found, 1), np.ones(1)) == -np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_hardware_result_that_is_no_number_names_its_layer(place, tmp_path, monkeypatch, value):
    def broken(self, x, rows, seed, real=matrix.ConvertedArray.multiply):
        product = real(self, x, rows, seed)
        if self.programmed.name == "layer.1.key":
            product.output[0, 0] = value
        return product

    monkeypatch.setattr(matrix.ConvertedArray, "multiply", broken)
    with pytest.raises(OutOfRangeError, match=r"layer\.1\.key: .* not finite for 1 of") as error:
        run.run_study(tiny_study(place), tmp_path, threads=1)
    assert error.value.__notes__ == [
        f"the trace {tmp_path / 'tiny.parts'} holds all 26 examples of float32, int8"
    ]
    assert read_trace(tmp_path / "tiny.h5").reference["int8"].done.all()


def test_an_energy_that_is_no_number_names_its_layer(place, tmp_path, monkeypatch):
    def broken(self, x, rows, seed, real=matrix.ConvertedArray.multiply):
        product = real(self, x, rows, seed)
        product.array_energy[-1] = np.nan
        return product

    monkeypatch.setattr(matrix.ConvertedArray, "multiply", broken)
    with pytest.raises(
        OutOfRangeError, match="cases/chip/0: layers/layer.0.query/array_energy is not finite"
    ):
        run.run_study(tiny_study(place), tmp_path, threads=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_weight_that_is_no_number_is_refused(tmp_path, value):
    from safetensors.numpy import load_file, save_file

    place = make_tiny_place(tmp_path)
    path = place / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["bert.encoder.layer.1.output.dense.weight"][3, 4] = value
    save_file(tensors, path)
    status, text = command("evaluate", place / "model", place / "task.tsv")
    assert (
        status == 2
        and "layer.1.output.dense.weight' holds 1 values that are NaN or infinite" in text
    )


@pytest.mark.parametrize("value", [-1, 0, "1e-12", True, float("inf"), float("nan"), None])
def test_an_epsilon_that_is_none_is_refused(tmp_path, value):
    from xbarsim.models import bert_checkpoint

    with pytest.raises(CheckpointError, match="layer_norm_eps is"):
        bert_checkpoint.load_bert(make_tiny_bert(tmp_path / "m", classes=2, layer_norm_eps=value))


def test_an_overflow_in_the_digital_path_names_its_layer(tmp_path):
    from safetensors.numpy import load_file, save_file

    place = make_tiny_place(tmp_path)
    path = place / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["bert.encoder.layer.1.intermediate.dense.weight"] *= np.float32(1e38)
    save_file(tensors, path)
    status, text = command("evaluate", place / "model", place / "task.tsv")
    assert (
        status == 2
        and "layer.1.output_norm: the hidden states of" in text
        and "accuracy" not in text
    )


def test_features_without_a_direction_have_no_cosine():
    head = Head("cosine")
    with pytest.raises(OutOfRangeError, match="1 pairs have a sentence whose features are all 0"):
        head.predict(np.array([[1.0, 2], [3, 4], [0, 0], [1, 1]]))
    with pytest.raises(OutOfRangeError, match="1 of 2 sentence features are not finite"):
        head.predict(np.array([[1.0, 2], [np.nan, 4]]))
    with pytest.raises(OutOfRangeError, match="outputs of the head 'probe' are not finite"):
        Head("probe", np.array([[np.inf, 1], [0, 0]]), np.zeros(2)).predict(np.ones((1, 2)))


@pytest.mark.parametrize(
    "table", [{"wires": {"word_line_resistance_ohm": 1e15}}, {"adc": {"bits": 1}}]
)
def test_no_run_prints_an_accuracy_made_of_nan(place, tmp_path, table):
    study = tiny_study(place, **table)
    try:
        path = run.run_study(study, tmp_path, threads=1)
    except (OutOfRangeError, ValueError) as error:
        assert "layer.0." in str(error) or next(iter(table)) in str(error)
    else:
        assert np.isfinite(read_trace(path).cases["chip"].chips[0].output).all()


@pytest.mark.parametrize(
    "name",
    [
        "reference/float32/output",
        "cases/one/0/output",
        "cases/two/0/layers/layer.1.value/array_energy",
        "cases/one/0/products/layer.0.attention_context/write_energy",
        "cases/one/0/operations/layer.0.attention_softmax/local_snr_db",
        "cases/one/0/layers/layer.0.query/attenuation_mean",
    ],
)
def test_a_trace_with_a_nan_is_refused(copied, name):
    with h5py.File(copied, "a") as file:
        values = file[name][:]
        values[2 if "attenuation" not in name else 0] = np.nan
        file[name][:] = values
    status, text = command("report", copied)
    assert (
        status == 2
        and "is not finite" in text
        and name.split("/")[1] in text
        and "Traceback" not in text
    )
    assert name.split("/")[-1] in text


def test_an_attribute_that_is_no_number_is_refused(copied):
    with h5py.File(copied, "a") as file:
        file["cases/one/0/layers/layer.0.query"].attrs["write_energy"] = np.nan
    with pytest.raises(
        TraceError, match="write_energy of chip 1 of case 'one', layer.0.query is not finite"
    ):
        summarise(read_trace(copied))
