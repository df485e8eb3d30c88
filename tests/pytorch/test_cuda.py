"""Models on a GPU: products with the bits of the host, its gradients, training there, traces of it.

`pytest -m long` runs them on the host too, where they compare it with itself.
"""

import copy

import numpy as np
import pytest
from torch_wanted import want_pytorch

want_pytorch()

import torch  # noqa: E402
import transformers  # noqa: E402
from torch import nn  # noqa: E402

from xbarsim import read_trace, summarise  # noqa: E402
from xbarsim.config.training import Training  # noqa: E402
from xbarsim.torch import convert, set_ranges, to_trace  # noqa: E402
from xbarsim.torch.training.chips import TrainingChips  # noqa: E402

CPU = pytest.param("cpu", marks=pytest.mark.long)
CUDA = pytest.param(
    "cuda",
    marks=pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason="PyTorch sees no GPU: torch.cuda.is_available() is False",
    ),
)
TILES = {"word_lines": 16, "bit_lines": 16}
WIRES = {"word_line_resistance_ohm": 20.0, "bit_line_resistance_ohm": 20.0}
REAL = {"mapping": TILES, "wires": WIRES}
# without steps, where the last bit of a framework's sum would move a code
SMOOTH = REAL | {"effects": {"converters": False, "read_noise": False}}


@pytest.fixture(params=[CPU, CUDA])
def device(request, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return request.param


def moved(inputs, device):
    if isinstance(inputs, dict):
        return {key: value.to(device) for key, value in inputs.items()}
    return inputs.to(device)


def called(model, inputs):
    found = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    return getattr(found, "logits", found)


def text():
    ids = torch.randint(5, 40, (4, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(4, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 40,
    "intermediate_size": 24,
}


def bert():
    config = transformers.BertConfig(**SIZES, num_labels=3)
    return transformers.BertForSequenceClassification(config), text()


def llama():
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=1, tie_word_embeddings=True)
    return transformers.LlamaForCausalLM(config), text()


def cnn():
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.LayerNorm(80),
        nn.Linear(80, 3),
    )
    return model, torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(3))


MODELS = {"bert": bert, "llama": llama, "cnn": cnn}


@pytest.fixture(scope="module", params=MODELS)
def made(request):
    torch.manual_seed(0)
    model, inputs = MODELS[request.param]()
    return model.eval(), inputs


def on_both(model, inputs, study, device):
    """Converted on the host, and on the device with ranges set there."""
    host = convert(copy.deepcopy(model), study, inputs)
    card = convert(copy.deepcopy(model).to(device), study, moved(inputs, device))
    set_ranges(host, [inputs])
    set_ranges(card, [moved(inputs, device)])
    return host, card


def assert_near(found, expected):
    """Within 1e-5 of the largest."""
    assert found.shape == expected.shape
    expected = expected.detach()
    largest = float(expected.abs().max())
    torch.testing.assert_close(found.detach().cpu(), expected, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_a_product_has_the_bits_of_the_host(device, kind):
    """Steps, read noise and wires included."""
    torch.manual_seed(1)
    if kind == "linear":
        model, x = nn.Linear(21, 18), torch.randn(40, 21)
    else:
        model, x = nn.Conv2d(3, 6, 3, padding=1), torch.randn(5, 3, 6, 6)
    host, card = on_both(model, x, REAL, device)
    found = card(x.to(device))
    assert found.device.type == device
    assert torch.equal(found.detach().cpu(), host(x).detach())


def test_models_and_their_gradients_agree(made, device):
    model, inputs = made
    host, card = on_both(model, inputs, SMOOTH, device)
    expected = called(host, inputs)
    found = called(card, moved(inputs, device))
    assert_near(found, expected)
    expected.square().sum().backward()
    found.square().sum().backward()
    of_host = dict(host.model.named_parameters())
    compared = 0
    for name, parameter in card.model.named_parameters():
        if parameter.grad is not None and float(of_host[name].grad.abs().max()) > 1e-4:
            assert parameter.grad.device.type == device
            assert_near(parameter.grad, of_host[name].grad)
            compared += 1
    assert compared > 3


def test_attention_and_functions_on_the_chip(device):
    torch.manual_seed(0)
    model, inputs = bert()
    study = SMOOTH | {
        "products": {"attention": "in_situ"},
        "functions": {
            "softmax": {"unit": "table"},
            "layer_norm": {"unit": "table"},
            "gelu": {"unit": "table"},
        },
    }
    host, card = on_both(model.eval(), inputs, study, device)
    expected = called(host, inputs).detach()
    found = called(card, moved(inputs, device))
    largest = float(expected.abs().max())
    torch.testing.assert_close(found.detach().cpu(), expected, rtol=0, atol=0.05 * largest)
    found.sum().backward()
    query = card.model.bert.encoder.layer[0].attention.self.query.weight.grad
    assert query.device.type == device and bool(query.isfinite().all()) and float(query.abs().max())


def trained(model, inputs, device, *, steps=4, **settings):
    """(analog, losses) after some steps of a loop."""
    analog = convert(model.to(device), REAL | {"dac": {"bits": 6}}, moved(inputs, device))
    here = moved(inputs, device)
    chips = TrainingChips(analog, Training(wires_every=2, **settings), [here])
    trained = [p for p in analog.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    losses = []
    for step in range(steps):
        chips.begin(step)
        loss = (called(analog, here) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        chips.after_update()
        losses.append(float(loss.detach()))
    return analog, chips, losses


def test_training_with_learned_ranges(made, device):
    model, inputs = made
    settings = {"learn_ranges": True, "clip_deviations": 3.0, "drop_connect": 0.01}
    analog, chips, losses = trained(copy.deepcopy(model), inputs, device, **settings)
    _, at_first, of_host = trained(copy.deepcopy(model), inputs, "cpu", steps=1, **settings)
    assert np.isfinite(losses).all()
    assert losses[0] == pytest.approx(of_host[0], rel=0.02)
    assert losses[-1] < losses[0]
    ranges = list(analog.input_ranges.values())
    assert ranges and all(one.device.type == device for one in ranges)
    assert all(one.grad is not None and one.grad.device.type == device for one in ranges)
    assert chips.learned_ranges != at_first.learned_ranges


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_training_of_thin_matrices(device, name):
    peft = pytest.importorskip("peft", reason="peft is not installed: pip install peft")
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    targets = ["query", "value"] if name == "bert" else ["q_proj", "down_proj"]
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=targets))
    before = copy.deepcopy(adapted.state_dict())
    analog, _, losses = trained(adapted, inputs, device)
    assert np.isfinite(losses).all()
    changed = {
        key
        for key, value in analog.model.state_dict().items()
        if not torch.equal(value.cpu(), before[key])
    }
    assert changed and all("lora_" in key for key in changed)
    assert len(changed) == 2 * len([key for key in before if "lora_A" in key])


@pytest.mark.parametrize("name", ["bert", "cnn"])
def test_a_trace_is_that_of_the_host(device, name, tmp_path):
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    host, card = on_both(model.eval(), inputs, SMOOTH, device)
    labels = torch.arange(len(called(model, inputs))) % 3
    found = []
    for number, (analog, place) in enumerate([(host, "cpu"), (card, device)]):
        batch = (moved(inputs, place), labels.to(place))
        if isinstance(inputs, dict):
            batch = moved(inputs, place) | {"labels": labels.to(place)}
        path = to_trace(analog, [batch], tmp_path / str(number))
        (case,) = summarise(read_trace(path)).cases
        found.append(case)
    assert found[0].metric == found[1].metric
    snr = [[layer.local_snr_db for layer in case.layers] for case in found]
    assert snr[0] and snr[1] == pytest.approx(snr[0], rel=1e-3)
    assert found[0].cost.joules == pytest.approx(found[1].cost.joules, rel=1e-4)


def test_weights_that_move_are_the_same_chip(device):
    """A model that is converted on the host and moved then."""
    torch.manual_seed(1)
    x = torch.randn(30, 21)
    analog = convert(nn.Linear(21, 18), SMOOTH, x)
    expected = analog(x).detach()
    analog.to(device)
    analog.rewind()
    assert torch.equal(analog(x.to(device)).detach().cpu(), expected)
