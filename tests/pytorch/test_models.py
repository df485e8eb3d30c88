"""Models of several architectures on chips: products near the right ones, checkpoints as they were."""

import numpy as np
import pytest
from torch_wanted import want_pytorch

want_pytorch()

import torch  # noqa: E402
import transformers  # noqa: E402
from torch import nn  # noqa: E402

from xbarsim import read_trace, summarise  # noqa: E402
from xbarsim.torch import convert, set_ranges, to_trace  # noqa: E402

TILES = {"word_lines": 16, "bit_lines": 16}
IDEAL = {
    "mapping": TILES | {"gain": "none", "clip": "maximum"},
    "device": {"name": "ideal"},
    "effects": {"wires": False, "converters": False},
}
STUDY = {"mapping": TILES}


class Block(nn.Module):
    """A residual block in the manner of torchvision."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x):
        found = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(found)) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, dilation=1)
        self.layer1 = Block(4, 6, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(torch.flatten(self.avgpool(self.layer1(self.conv1(x))), 1))


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 5, 4, stride=2, padding=1, dilation=2)
        self.gelu = nn.GELU()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(self.gelu(self.conv(x)).mean(dim=2))


def text_batch():
    ids = torch.randint(5, 40, (4, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(4, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}


def roberta():
    config = transformers.RobertaConfig(**SMALL, intermediate_size=24, num_labels=3)
    return transformers.RobertaForSequenceClassification(config), text_batch()


def gpt2():
    config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=32)
    return transformers.GPT2LMHeadModel(config), text_batch()


def vit():
    sizes = SMALL | {"image_size": 8, "patch_size": 4, "intermediate_size": 24, "num_labels": 3}
    del sizes["vocab_size"]
    return transformers.ViTForImageClassification(transformers.ViTConfig(**sizes)), images(
        4, 3, 8, 8
    )


def albert():
    config = transformers.AlbertConfig(**SMALL, intermediate_size=24, embedding_size=8)
    return transformers.AlbertModel(config), text_batch()


def resnet():
    return ResNet(), images(4, 3, 8, 8)


def wave():
    return Wave(), images(4, 2, 21)


MODELS = {
    "roberta": roberta,
    "gpt2": gpt2,
    "vit": vit,
    "albert": albert,
    "resnet": resnet,
    "wave": wave,
}


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    torch.manual_seed(0)
    model, inputs = MODELS[request.param]()
    return request.param, model.eval(), inputs


def output_of(model, inputs):
    found = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    for name in ("logits", "last_hidden_state"):
        found = getattr(found, name, found)
    if isinstance(inputs, dict) and found.dim() == 3:
        return found[inputs["attention_mask"].bool()]
    return found


def test_an_ideal_chip_is_the_model(made):
    name, model, inputs = made
    with torch.no_grad():
        exact = output_of(model, inputs)
        found = output_of(convert(model, IDEAL, inputs), inputs)
    torch.testing.assert_close(found, exact, rtol=2e-4, atol=2e-5)


def test_a_chip_is_near_the_model_and_learns(made):
    name, model, inputs = made
    analog = convert(model, STUDY, inputs)
    found = output_of(analog, inputs)
    exact = output_of(model, inputs)
    error = (found - exact).pow(2).mean() / exact.pow(2).mean()
    assert 0 < error < 0.2
    target = torch.zeros_like(exact)
    target[..., 0] = 1
    (found - target).pow(2).sum().backward()
    changed = [p for p in analog.model.parameters() if p.grad is not None and p.grad.any()]
    assert len(changed) > len(analog.hardware.matrices) / 2
    before = found.detach()
    loss = (before - target).pow(2).sum()
    square = sum(parameter.grad.pow(2).sum() for parameter in changed)
    with torch.no_grad():
        for parameter in changed:
            parameter -= 0.05 * loss / square * parameter.grad
    analog.rewind()
    after = output_of(analog, inputs)  # the chip is written again
    assert (after - target).pow(2).sum() < loss


def test_state_dict_round_trip(made):
    name, model, inputs = made
    first = convert(model, STUDY, inputs)
    assert list(first.state_dict()) == list(model.state_dict())
    torch.manual_seed(9)
    other, _ = MODELS[name]()
    second = convert(other.eval(), STUDY, inputs)
    second.load_state_dict(first.state_dict())
    set_ranges(second, [inputs])
    with torch.no_grad():
        assert torch.equal(output_of(second, inputs), output_of(first, inputs))


def test_saved_checkpoints_are_ordinary(made, tmp_path):
    name, model, inputs = made
    if not hasattr(model, "save_pretrained"):
        pytest.skip("a model without save_pretrained")
    analog = convert(model, STUDY, inputs)
    analog.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        torch.testing.assert_close(output_of(again, inputs), output_of(model, inputs))
        assert torch.equal(
            output_of(convert(again, STUDY, inputs), inputs),
            output_of(convert(model, STUDY, inputs), inputs),
        )


def test_attention_of_any_tree_goes_on_crossbars():
    model, inputs = vit()
    study = STUDY | {
        "products": {"attention": "in_situ"},
        "functions": {"softmax": {"unit": "table"}},
    }
    analog = convert(model.eval(), study, inputs)
    assert len(analog.hardware.products) == 4
    assert "vit.layers.1.attention.scores" in analog.hardware.products
    assert len(analog.hardware.functions) == 2
    with torch.no_grad():
        exact = output_of(model, inputs)
        assert 0 < (output_of(analog, inputs) - exact).abs().max() < 0.5 * exact.abs().max()


def test_excluded_steps_are_digital():
    model, inputs = resnet()
    analog = convert(model.eval(), STUDY, inputs, exclude=["layer1.*", "fc"])
    assert list(analog.hardware.matrices) == ["conv1"]
    whole = convert(model, STUDY, inputs)
    assert len(whole.hardware.matrices) == 5


def test_layers_have_settings_of_their_own():
    model, inputs = resnet()
    study = STUDY | {"layer": [{"match": "fc", "adc": {"bits": 3}}]}
    matrices = convert(model.eval(), study, inputs).hardware.matrices
    assert matrices["fc"].array.codes == (-3, 3)
    assert matrices["conv1"].array.codes == (-127, 127)


def test_reads_are_new_until_they_are_counted_again():
    model, inputs = wave()
    study = STUDY | {"device": {"name": "pcm"}, "adc": {"bits": "ideal"}}
    analog = convert(model.eval(), study, inputs)
    with torch.no_grad():
        first = analog(inputs)
        second = analog(inputs)
        analog.rewind()
        third = analog(inputs)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_chips_differ_by_their_number():
    model, inputs = wave()
    chips = [convert(model.eval(), STUDY, inputs, chip=number) for number in (0, 0, 1)]
    with torch.no_grad():
        outputs = [chip(inputs) for chip in chips]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_a_trace_holds_what_the_model_gave(tmp_path):
    model, inputs = vit()
    study = STUDY | {
        "name": "vit",
        "products": {"attention": "in_situ"},
        "functions": {name: {"unit": "table"} for name in ("softmax", "gelu", "layer_norm")},
    }
    analog = convert(model.eval(), study, inputs)
    labels = torch.tensor([0, 1, 2, 0])
    path = to_trace(analog, [(inputs[:3], labels[:3]), (inputs[3:], labels[3:])], tmp_path)
    trace = read_trace(path)
    (chip,) = trace.cases["chip"].chips
    analog.rewind()
    with torch.no_grad():
        first = analog(inputs[:3]).logits
        second = analog(inputs[3:]).logits
        exact = model(inputs).logits
    np.testing.assert_array_equal(chip.output, torch.cat([first, second]).numpy())
    float32 = trace.reference["float32"].output
    np.testing.assert_allclose(float32, exact.numpy(), rtol=1e-4, atol=1e-5)
    assert list(chip.layers) == list(analog.hardware.matrices)
    assert list(chip.products) == list(analog.hardware.products)
    assert list(chip.operations) == list(analog.hardware.functions)
    found = summarise(trace).references[0].metric.value
    assert found == (exact.argmax(dim=1) == labels).float().mean()


def test_text_traces_count_real_tokens(tmp_path):
    model, inputs = roberta()
    analog = convert(model.eval(), STUDY | {"name": "text"}, inputs)
    batch = inputs | {"labels": torch.tensor([0, 1, 2, 0])}
    trace = read_trace(to_trace(analog, [batch], tmp_path))
    (chip,) = trace.cases["chip"].chips
    rows = chip.layers["layer.0.query"].rows
    events = analog.hardware.matrices["layer.0.query"].events_per_row
    assert list(rows.tile_reads) == [events.tile_reads * count for count in (9, 6, 9, 9)]
    assert (rows.local.snr_db > 5).all()
