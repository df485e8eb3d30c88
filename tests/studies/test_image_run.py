"""A study of images: trace, report and energy, with both ways to lay out a convolution."""

import numpy as np
import pytest
import tomli_w
from tiny_images import MIXED, mixed_tensors, write_images

from xbarsim.base.errors import IdleSettingWarning, TaskError
from xbarsim.config.study import load_study
from xbarsim.models.image_checkpoint import load_image_network, save_image_network
from xbarsim.report.files import to_json
from xbarsim.report.summary import summarise
from xbarsim.report.text import render
from xbarsim.studies.run import run_study
from xbarsim.studies.scoring import evaluate
from xbarsim.studies.trace_reader import read_trace
from xbarsim.tasks.image_files import load_image_task

IDEAL = {"wires": False, "converters": False, "programming": False, "read_noise": False}
ORDER = {"row_order": "magnitude", "column_order": "magnitude"}
CASES = [
    {"name": "ideal", "effects": IDEAL},
    {"name": "chip"},
    {"name": "ordered", "effects": IDEAL, "mapping": ORDER},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("images")
    save_image_network(directory / "net", MIXED, mixed_tensors())
    write_images(directory / "images.npz", 30)
    return directory


@pytest.fixture(scope="module")
def traces(place):
    """{convolution: trace} of the same study."""
    return {way: trace_of(place, way) for way in ("im2col", "sub_image")}


def study_of(place, **tables):
    content = {
        "model": {"name": str(place / "net")},
        "task": {"name": str(place / "images.npz"), "calibration_examples": 6},
        "mapping": {"word_lines": 32, "bit_lines": 16, "clip": "maximum"},
        "run": {"batch_examples": 5},
        "case": CASES,
    }
    path = place / "study.toml"
    path.write_text(tomli_w.dumps(content | tables))
    return load_study(path)


def trace_of(place, way):
    model = {"name": str(place / "net"), "convolution": way}
    if way == "sub_image":
        model["sub_image_rows"] = 40
    study = study_of(place, model=model, name=f"of_{way}")
    return read_trace(run_study(study, place / "runs"))


def test_ideal_hardware_gives_what_the_network_gives(place, traces):
    network = load_image_network(place / "net")
    task = load_image_task(place / "images.npz")
    for trace in traces.values():
        pixels = np.array(task.pixels())[trace.examples.index]
        expected = network.forward(pixels, np.ones(pixels.shape, bool))
        np.testing.assert_array_equal(
            trace.reference["float32"].output.argmax(1), expected.argmax(1)
        )
        np.testing.assert_allclose(
            trace.reference["float32"].output, expected, rtol=1e-4, atol=1e-5
        )
        found = trace.cases["ideal"].chips[0].output
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
        ordered = trace.cases["ordered"].chips[0].output
        np.testing.assert_allclose(ordered, found, rtol=1e-4, atol=1e-4)
        assert np.abs(trace.cases["chip"].chips[0].output - expected).max() > 0.01


def test_events_are_counted_for_every_row_of_an_image(traces):
    """A convolution of 36 positions has 2 x 18 word lines to drive and 2 x 4 lines to convert."""
    layers = traces["im2col"].cases["chip"].chips[0].layers
    first = layers["layer.0.convolution"]
    assert first.attributes.rows_per_image == 36
    assert (first.rows.tile_reads == 36 * 2).all()  # twin tiles
    assert (first.rows.adc_conversions == 36 * 4).all()
    last = layers["layer.3.dense"]
    assert last.attributes.rows_per_image is None
    assert (last.rows.adc_conversions == 3).all()
    partitioned = traces["sub_image"].cases["chip"].chips[0].layers["layer.0.convolution"]
    # 4 x 4 pixels of 2 channels are 32 inputs: 2 x 2 outputs of 4 channels, 9 sub-images
    assert partitioned.attributes.inputs == 32
    assert partitioned.attributes.outputs == 16
    assert (partitioned.rows.adc_conversions == 9 * 16).all()


def test_a_report_speaks_of_images(traces):
    summary = summarise(traces["im2col"])
    text = render(summary)
    assert "24 images, head network" in text
    assert "per inference" in text
    assert "images rows of inputs an image, on so many tiles: layer.0.convolution 36 on 2, " in text
    partitioned = render(summarise(traces["sub_image"]))
    assert "tiles: layer.0.convolution 9 on 2, " in partitioned
    found = to_json(summary)
    assert found["examples"] == 24
    chip = summary.cases[1]
    for matrix in chip.layers:
        assert 0 <= matrix.dac_saturated < 0.2


def test_functions_in_integers(place):
    functions = {"gelu": {"unit": "polynomial"}}
    study = study_of(place, functions=functions, name="functions", case=[{"name": "chip"}])
    trace = read_trace(run_study(study, place / "runs"))
    assert set(trace.cases["chip"].chips[0].operations) == {
        "layer.0.activation",
        "layer.1.activation",
    }


def test_a_digital_score(place):
    exact = evaluate(place / "net", place / "images.npz")
    rounded = evaluate(place / "net", place / "images.npz", "int8")
    assert exact.metrics[0].n == 30
    assert rounded.metrics[0].n == 24
    assert exact.as_dict()["head"] == "network"


def test_keys_of_other_tasks_have_no_effect_and_images_need_a_network(place):
    study = study_of(place, case=[{"name": "chip"}], name="idle")
    study = study.model_copy(update={"model": study.model.model_copy(update={"max_length": 7})})
    with pytest.warns(IdleSettingWarning, match=r"model.max_length = 7 has no effect"):
        run_study(type(study).model_validate(study.model_dump(exclude_unset=True)), place / "runs")
    content = {"task": {"name": str(place / "images.npz")}}
    path = place / "words.toml"
    path.write_text(tomli_w.dumps(content))
    with pytest.raises(TaskError, match="a network of images classifies"):
        from xbarsim.studies.prepare import load_labelled_task

        load_labelled_task(str(place / "images.npz"))
