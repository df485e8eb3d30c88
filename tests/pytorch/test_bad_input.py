"""What cannot be converted is refused in one clear line."""

import pytest
from torch_wanted import want_pytorch

want_pytorch()

import torch  # noqa: E402
import transformers  # noqa: E402
from torch import nn  # noqa: E402

from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError, TaskError  # noqa: E402
from xbarsim.torch import convert, set_ranges, to_trace  # noqa: E402

SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 9}
STUDY = {"mapping": {"word_lines": 16, "bit_lines": 16}}
X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))


def small():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize(
    "layer, words",
    [
        (nn.LSTM(6, 4), "0 is a LSTM, which has no form on crossbars"),
        (nn.MultiheadAttention(6, 2), "0 is a MultiheadAttention"),
        (nn.Bilinear(6, 6, 2), "0 is a Bilinear"),
        (nn.ConvTranspose2d(2, 2, 3), "0 is a ConvTranspose2d"),
        (nn.Conv2d(4, 4, 3, groups=2), "0 has groups = 2"),
        (nn.Conv2d(4, 4, 3, padding="same"), "0 has padding = 'same'"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), "0 has padding_mode = 'circular'"),
        (nn.Linear(6, 2, dtype=torch.float64), "0.weight is float64"),
    ],
)
def test_a_module_without_a_form_is_named(layer, words):
    with pytest.raises(ConfigError, match=words) as found:
        convert(nn.Sequential(layer), STUDY, X)
    assert "\n" not in str(found.value)
    assert "exclude=['0']" in str(found.value) or "model.float()" in str(found.value)


def test_an_excluded_one_is_left_alone():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd = nn.Bilinear(6, 6, 4)
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.odd(x, x))

    assert list(convert(Both(), STUDY, X, exclude=["odd"]).hardware.matrices) == ["fc"]


def test_a_model_without_products():
    with pytest.raises(ConfigError, match="there is nothing to put on crossbars"):
        convert(nn.Sequential(nn.ReLU()), STUDY, X)


def test_no_example_inputs():
    with pytest.raises(ConfigError, match="convert needs example_inputs"):
        convert(small(), STUDY)


def test_shapes_that_do_not_tile():
    study = {"mapping": {"bit_lines": 4, "placement": "neighbour", "encoding": "slices"}}
    with pytest.raises(ConfigError, match="cells per weight do not fit on mapping.bit_lines = 4"):
        convert(small(), study, X)


def test_inputs_of_another_width():
    analog = convert(small(), STUDY, X)
    with pytest.raises(ShapeError, match="put on crossbars of 6 inputs and gets 7"):
        analog(torch.zeros(2, 7))


def test_a_convolution_of_another_number_of_channels():
    analog = convert(nn.Sequential(nn.Conv2d(3, 2, 3)), STUDY, torch.randn(2, 3, 5, 5))
    with pytest.raises(ShapeError, match="allowed: .examples, 3 channels, places"):
        analog(torch.zeros(2, 4, 5, 5))


def test_a_study_that_is_none():
    with pytest.raises(ConfigError, match="unknown key 'adc.bit'"):
        convert(small(), {"adc": {"bit": 4}}, X)
    with pytest.raises(ConfigError, match="no study"):
        convert(small(), "of-another-world", X)


def test_a_configuration_of_another_model():
    config = transformers.BertConfig(**SIZES, num_hidden_layers=2)
    model = transformers.BertModel(config)
    model.config.intermediate_size = 32
    ids = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(
        ConfigError, match=r"intermediate.dense holds a matrix of 24 x 16, the conf"
    ):
        convert(model, STUDY, ids)


def test_attention_that_no_interface_reaches():
    study = STUDY | {"products": {"attention": "in_situ"}}
    config = transformers.MPNetConfig(**SIZES, num_hidden_layers=1)
    ids = torch.full((1, 3), 5)
    with pytest.raises(ConfigError, match="does not go through the attention interface"):
        convert(transformers.MPNetModel(config).eval(), study, ids)


def test_padding_before_tokens():
    study = STUDY | {"products": {"attention": "in_situ"}}
    config = transformers.BertConfig(**SIZES, num_hidden_layers=1)
    ids = torch.full((1, 3), 5)
    analog = convert(transformers.BertModel(config).eval(), study, ids)
    with pytest.raises(ShapeError, match="padding stands before a token"):
        analog(input_ids=ids, attention_mask=torch.tensor([[0, 1, 1]]))


def test_weights_that_are_no_numbers():
    model = small()
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan
    with pytest.raises(OutOfRangeError, match="weights of 2 hold NaN"):
        convert(model, STUDY, X)


def test_ranges_without_examples():
    analog = convert(small(), STUDY, X)
    with pytest.raises(ConfigError, match="set_ranges got no examples"):
        set_ranges(analog, [])


def test_traces_need_labels(tmp_path):
    analog = convert(small(), STUDY, X)
    with pytest.raises(TaskError, match="a batch has no labels"):
        to_trace(analog, [X], tmp_path)
    with pytest.raises(TaskError, match="labels from 0 to 7, and outputs of 3 classes"):
        to_trace(analog, [(X, torch.arange(8))], tmp_path)
    with pytest.raises(ConfigError, match="metric is 'spearman'; allowed for labels"):
        to_trace(analog, [(X, torch.zeros(8))], tmp_path, metric="spearman")


def test_a_model_that_cannot_be_saved():
    with pytest.raises(ConfigError, match="has no save_pretrained"):
        convert(small(), STUDY, X).save_pretrained("nowhere")
