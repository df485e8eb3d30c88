"""Training on chips: cells between two solves, states that are gone on with, what is left behind."""

import json
import warnings

import numpy as np
import pytest
from tiny import make_tiny_place, tiny_study
from tiny_decoders import make_tiny_decoder
from torch_wanted import want_pytorch

want_pytorch()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from xbarsim import load_network, load_study, read_trace, run_study, summarise  # noqa: E402
from xbarsim.base.errors import ConfigError, IdleSettingWarning, OutOfRangeError, TaskError  # noqa: E402
from xbarsim.config.training import Training  # noqa: E402
from xbarsim.torch import convert  # noqa: E402
from xbarsim.torch.gradients import achieved_matrix  # noqa: E402
from xbarsim.torch.training.chips import TrainingChips  # noqa: E402
from xbarsim.torch.training.loop import train_study  # noqa: E402

TILES = {"word_lines": 16, "bit_lines": 16}
WIRES = {"word_line_resistance_ohm": 20.0, "bit_line_resistance_ohm": 20.0}
SILENT = {"read_noise": False, "programming": False}
FAST = {"steps": 6, "batch_examples": 2, "wires_every": 2, "save_every": 2, "learning_rate": 1e-3}


def chips_of(study, **settings):
    torch.manual_seed(4)
    model = nn.Linear(21, 18)
    x = torch.randn(300, 21, generator=torch.Generator().manual_seed(5))
    analog = convert(model, {"mapping": TILES, "wires": WIRES} | study, x)
    return analog, TrainingChips(analog, Training(**settings), [x])


def matrix_of(analog):
    return achieved_matrix(analog.hardware.matrices[""].array)


# ---------------------------------------------------------------- cells


def test_between_solves_the_matrix_follows_to_first_order():
    """A small change of all weights: the error left is far smaller than the change, though not 0."""
    analog, chips = chips_of({"effects": SILENT, "mapping": TILES | {"clip": "maximum"}})
    chips.begin(0)
    before = matrix_of(analog)
    gain = analog.hardware.matrices[""].array.gain
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        weight = analog.model.weight
        weight += 0.01 * torch.randn(weight.shape, generator=generator) * weight.std()
    chips.begin(1)
    first_order = matrix_of(analog)
    chips.matrices = {}
    chips.begin(1)
    found = analog.hardware.matrices[""].array
    exact = matrix_of(analog) * (gain / found.gain)[:, None]
    change = np.sqrt(((exact - before) ** 2).mean())
    left = np.sqrt(((exact - first_order) ** 2).mean())
    assert change > 0
    assert left < 0.2 * change


def test_other_errors_of_the_write_follow_to_first_order():
    """Another chip, some of whose cells hardly conduct while a little leaks to their lines: what the
    first order leaves is far smaller than what one chip differs from another by."""
    study = {"device": {"name": "rram-wan2022"}, "mapping": TILES | {"clip": "maximum"}}
    analog, chips = chips_of(study)
    found = []
    for step, is_solved in [(1, True), (0, True), (1, False)]:
        if is_solved:
            chips.matrices = {}
        chips.begin(step)
        array = analog.hardware.matrices[""].array
        found.append(matrix_of(analog) / array.gain[:, None])
    exact, other, first_order = found
    change = np.sqrt(((other - exact) ** 2).mean())
    left = np.sqrt(((first_order - exact) ** 2).mean())
    assert left < 0.1 * change
    shares = chips.matrices[""].blocks[0].passed
    assert 0 < shares.min() and shares.max() <= 1
    assert chips.matrices[""].sensitivity.max() < 2


def test_without_wires_they_are_exact():
    study = {"effects": {"wires": False}, "device": {"name": "rram-wan2022"}}
    analog, chips = chips_of(study | {"mapping": TILES | {"clip": "maximum"}})
    chips.begin(0)
    with torch.no_grad():
        analog.model.weight[2:, 3:] *= 0.9
    chips.begin(1)
    array = analog.hardware.matrices[""].array
    plan = chips.matrices[""].plan
    weight = analog.model.weight.detach().numpy()
    again = chips.matrices[""]._plan_of(weight, chips.seed_of(1))
    by_line = again.program(0).conductance
    pairs = by_line[:2, :16, :].transpose(0, 2, 1)
    expected = pairs[0] - pairs[1]
    np.testing.assert_allclose(array.programmed.transfer[0][:16], expected, rtol=1e-5, atol=1e-11)
    assert plan.seed != again.seed


def test_errors_are_new_in_every_step_unless_they_are_kept():
    study = {"device": {"name": "rram-wan2022"}}
    analog, chips = chips_of(study)
    found = []
    for step in range(3):
        chips.begin(step)
        found.append(matrix_of(analog))
    assert not np.array_equal(found[0], found[1]) and not np.array_equal(found[1], found[2])
    kept, chips = chips_of(study, redraw=False)
    chips.begin(0)
    first = matrix_of(kept)
    chips.begin(1)
    np.testing.assert_allclose(matrix_of(kept), first, rtol=1e-5, atol=1e-6)


def test_dropped_cells_are_low():
    analog, chips = chips_of({"effects": SILENT | {"wires": False}}, drop_connect=0.3)
    plain, none = chips_of({"effects": SILENT | {"wires": False}})
    chips.begin(0)
    none.begin(0)
    transfer = [one.hardware.matrices[""].array.programmed.transfer[0] for one in (analog, plain)]
    changed = np.mean(transfer[0] != transfer[1])
    assert 0.2 < changed < 0.4  # one of a pair is low already


def test_weights_are_held_within_their_deviations():
    analog, chips = chips_of({}, clip_deviations=1.5)
    with torch.no_grad():
        analog.model.weight[0, 0] = 3.0
    bound = 1.5 * float(analog.model.weight.std())
    chips.after_update()
    assert float(analog.model.weight.detach().abs().max()) == pytest.approx(bound)


def test_gradients_of_weights_are_attenuated_as_their_cells_are():
    """Against a difference of the exact chain, solved twice, with gains and ranges as they were."""
    study = {"effects": SILENT | {"converters": False}, "mapping": TILES | {"clip": "maximum"}}
    analog, chips = chips_of(study)
    chips.begin(0)
    x = torch.eye(21)
    analog(x).sum().backward()
    gradient = analog.model.weight.grad.numpy()
    gain = analog.hardware.matrices[""].array.gain
    step = 1e-3
    for place in [(2, 3), (10, 20), (17, 8)]:
        moved = []
        for sign in (1, -1):
            with torch.no_grad():
                analog.model.weight[place] += sign * step
            chips.matrices = {}
            chips.begin(0)
            array = analog.hardware.matrices[""].array
            moved.append((matrix_of(analog) * (gain / array.gain)[:, None])[place])
            with torch.no_grad():
                analog.model.weight[place] -= sign * step
        expected = (moved[0] - moved[1]) / (2 * step)
        assert gradient[place] == pytest.approx(expected, rel=0.1)
        assert abs(gradient[place] - 1) < 0.5


def test_full_scales_are_learned():
    """Inputs that a full scale holds pull it up; one far too wide is pulled down by its steps."""
    study = {"dac": {"bits": 3, "input_full_scale": 0.4}, "adc": {"bits": "ideal"}}
    analog, chips = chips_of(study, learn_ranges=True)
    optimizer = torch.optim.Adam(analog.input_ranges.parameters(), lr=0.05)
    x = torch.randn(64, 21, generator=torch.Generator().manual_seed(7))
    wanted = x @ analog.model.weight.T.detach()
    losses = []
    for step in range(30):
        chips.begin(step)
        loss = (analog(x) - analog.model.bias.detach() - wanted).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert chips.learned_ranges[""] > 1.0
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


# ---------------------------------------------------------------- the loop


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_tiny_place(tmp_path_factory.mktemp("place"))


def study_of(place, training=FAST, **tables):
    rows = place / "task.tsv"
    if not (place / "long.tsv").exists():
        lines = rows.read_text().splitlines()
        shifted = [line.replace("\ttest", "\ttrain") for line in lines[5:19]]
        (place / "long.tsv").write_text("\n".join([*lines[:5], *shifted, *lines[19:]]) + "\n")
    tables = {"adc": {"bits": 6}, "training": training} | tables
    return tiny_study(place, task={"name": str(place / "long.tsv")}, **tables)


def weights_of(directory):
    from safetensors.numpy import load_file

    return load_file(directory / "model.safetensors")


def test_what_is_trained_is_an_ordinary_checkpoint(place, tmp_path):
    study = study_of(place, FAST | {"learn_ranges": True, "drop_connect": 0.01})
    found = train_study(study, tmp_path / "out").model
    before = weights_of(place / "model")
    after = weights_of(found)
    assert not np.array_equal(after["classifier.weight"], before["classifier.weight"])
    name = "encoder.layer.0.attention.self.query.weight"
    assert not np.array_equal(after[name], before[f"bert.{name}"])
    model = load_network(found).model
    assert model.config.labels == ("0", "1") and model.config.pooling == "pooler"
    log = json.loads((tmp_path / "out" / "training.json").read_text())
    assert len(log["loss"]) == 6 and log["settings"]["hardware_aware"]
    again = load_study(tmp_path / "out" / "study.toml")
    scale = again.for_layer("layer.0.query").dac.input_full_scale
    assert scale is not None and scale > 0
    assert again.for_layer("layer.1.output").dac.input_full_scale != scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it states what the study stated, nothing idle
        trace = read_trace(run_study(again, tmp_path / "runs", threads=1))
    assert summarise(trace).cases


def test_a_run_that_goes_on_ends_in_the_same_bits(place, tmp_path):
    study = study_of(place)
    whole = train_study(study, tmp_path / "whole").model

    def stopping(description, total):
        seen = [0]

        def done(count):
            seen[0] += count
            if description.startswith("steps") and seen[0] == 5:
                raise KeyboardInterrupt

        return done

    with pytest.raises(KeyboardInterrupt):
        train_study(study, tmp_path / "cut", progress=stopping)
    said = []
    resumed = train_study(study, tmp_path / "cut", resume=True, say=said.append).model
    assert said == ["going on after step 4 of 6"]
    first = weights_of(whole)
    second = weights_of(resumed)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_only_the_same_study_goes_on(place, tmp_path):
    train_study(study_of(place), tmp_path / "out")
    other = study_of(place, adc={"bits": 5})
    with pytest.raises(ConfigError, match="state.pt is of another study"):
        train_study(other, tmp_path / "out", resume=True)
    with pytest.raises(ConfigError, match="out is not empty; give another --out"):
        train_study(other, tmp_path / "out")


def test_plain_training_needs_no_chip(place, tmp_path):
    study = study_of(place, FAST | {"hardware_aware": False})
    found = train_study(study, tmp_path / "out").model
    aware = train_study(study_of(place), tmp_path / "aware").model
    name = "encoder.layer.0.output.dense.weight"
    assert not np.array_equal(weights_of(found)[name], weights_of(aware)[name])


def test_only_thin_matrices_are_trained(place, tmp_path):
    pytest.importorskip("peft", reason="peft is not installed: pip install peft")
    study = study_of(place, FAST | {"lora_rank": 2, "learning_rate": 0.05})
    found = train_study(study, tmp_path / "out").model
    before = weights_of(place / "model")
    after = weights_of(found)
    name = "encoder.layer.1.intermediate.dense.weight"
    change = after[name] - before[f"bert.{name}"]
    assert np.linalg.matrix_rank(change, tol=1e-5) == 2
    same = "encoder.layer.1.output.LayerNorm.weight"
    assert np.array_equal(after[same], before[f"bert.{same}"])
    load_network(found)


@pytest.mark.parametrize("lora", [None, 2])
def test_decoders_are_trained_on_a_text(tmp_path, lora):
    if lora is not None:
        pytest.importorskip("peft", reason="peft is not installed: pip install peft")
    make_tiny_decoder(tmp_path / "model", "llama")
    words = "the dog sees a cat in the story . a cat sees the dog . " * 12
    (tmp_path / "text.txt").write_text(words)
    (tmp_path / "other.txt").write_text(words[7:400])
    training = FAST | {"text": str(tmp_path / "text.txt"), "window": 16, "learning_rate": 0.01}
    if lora is not None:
        training["lora_rank"] = lora
    study = tiny_study(
        tmp_path,
        task={"name": str(tmp_path / "other.txt"), "window": 24, "calibration_tokens": 60},
        training=training | {"steps": 12},
    )
    found = train_study(study, tmp_path / "out").model
    log = json.loads((tmp_path / "out" / "training.json").read_text())
    assert np.mean(log["loss"][-3:]) < np.mean(log["loss"][:3])
    trained = load_study(tmp_path / "out" / "study.toml")
    summary = summarise(read_trace(run_study(trained, tmp_path / "runs", threads=1)))
    assert summary.cases and load_network(found).generates


# ---------------------------------------------------------------- bad input


def test_the_loss_is_named_with_its_step(place, tmp_path, monkeypatch):
    from xbarsim.torch.training.material import SentenceMaterial

    def nothing(self, output, batch):
        return output.sum() * float("nan")

    monkeypatch.setattr(SentenceMaterial, "loss", nothing)
    with pytest.raises(
        OutOfRangeError, match="the loss of step 1 is nan.*learning_rate than 0.001"
    ):
        train_study(study_of(place), tmp_path / "out")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"text": "some.txt"}, "training.text = 'some.txt' is for decoders"),
        ({"method": "in-situ"}, "trains networks of images without PyTorch"),
        (
            {"batch_examples": 50},
            "has 18 training examples to train on, fewer than training.batch_examples = 50",
        ),
    ],
)
def test_what_cannot_be_trained(place, tmp_path, change, words):
    with pytest.raises((ConfigError, TaskError), match=words):
        train_study(study_of(place, FAST | change), tmp_path / "out")


def test_keys_of_images_have_no_effect_on_sentences(place, tmp_path):
    study = study_of(place, FAST | {"images": {"epochs": 3}, "batch_examples": 50})
    with pytest.warns(IdleSettingWarning, match="it needs another training.method"):
        with pytest.raises(TaskError, match="fewer than"):
            train_study(study, tmp_path / "out")


def test_weights_on_counting_crossbars_are_not_trained(place, tmp_path):
    study = study_of(place, products={"weights": "computation"})
    with pytest.raises(ConfigError, match="no weights of the model lie on in-situ tiles"):
        train_study(study, tmp_path / "out")


def test_settings_go_together(place):
    with pytest.raises(
        ConfigError, match="save_every = 5 is no multiple of training.wires_every = 2"
    ):
        study_of(place, FAST | {"save_every": 5})
    with pytest.raises(ConfigError, match='mapping.compensation = "wires" solves wires before'):
        study_of(place, mapping=TILES | {"compensation": "wires"})


def test_training_is_idle_in_a_run(place, tmp_path):
    with pytest.warns(UserWarning, match=r"\[training\] has no effect in a single run"):
        run_study(study_of(place), tmp_path, threads=1)
