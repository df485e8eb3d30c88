"""Gradients of products on tiles against finite differences, in float64, of a chain written here."""

import numpy as np
import pytest
from torch_wanted import want_pytorch

want_pytorch()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from xbarsim.torch import convert  # noqa: E402
from xbarsim.torch.gradients import achieved_matrix  # noqa: E402

INPUTS = 21
OUTPUTS = 7
MAPPING = {"word_lines": 8, "bit_lines": 8}
WIRES = {"word_line_resistance_ohm": 20.0, "bit_line_resistance_ohm": 20.0}
FINE = {"bits": 16, "range": "maximum"}
SILENT = {"read_noise": False}


def made(study):
    torch.manual_seed(4)
    model = nn.Linear(INPUTS, OUTPUTS)
    x = torch.randn(200, INPUTS, generator=torch.Generator().manual_seed(5))
    tables = {"mapping": MAPPING, "wires": WIRES, "effects": SILENT}
    analog = convert(model, tables | study, x)
    return analog, analog.hardware.matrices[""].array, x[:9].clone()


def chain(array, x):
    """The product in float64 without steps: inputs and currents held at the ends of their ranges."""
    programmed = array.programmed
    scaled = x
    held = np.clip(scaled, -limit(array), limit(array))
    per_volt = array.coder.read_voltage / array.coder.full_scale
    total = 0.0
    for block, transfer in enumerate(programmed.transfer):
        rows = programmed.layout.rows(block)
        for part, sign in phases(array, held[:, rows] * per_volt):
            current = part @ transfer.astype(float).T
            lsb = array.lsb[block].astype(float).ravel() if hasattr(array, "lsb") else None
            if lsb is not None:
                ends = np.array(array.codes) * lsb[:, None]
                half = 0.5 * lsb
                current = np.clip(current, ends[:, 0] - half, ends[:, 1] + half)
            worth = (programmed.value * array.gain).ravel()
            value = sign * (current * worth).reshape(len(x), *programmed.value.shape).sum(axis=1)
            total = total + value / per_volt
    return total


def phases(array, volts):
    if array.coder.polarity == "signed":
        return [(volts, 1.0)]
    return [(np.maximum(volts, 0), 1.0), (np.maximum(-volts, 0), -1.0)]


def limit(array):
    if array.coder.bits == "ideal":
        return np.inf
    return (array.coder.highest + 0.5) * array.coder.lsb


def by_differences(function, x, weights, step=1e-6):
    found = np.empty_like(x)
    for place in np.ndindex(x.shape):
        up = x.copy()
        down = x.copy()
        up[place] += step
        down[place] -= step
        found[place] = ((function(up) - function(down)) * weights).sum() / (2 * step)
    return found


@pytest.mark.parametrize(
    "study",
    [
        {"effects": SILENT | {"converters": False}},
        {"adc": {"bits": 8}, "dac": FINE},
        {"adc": {"bits": 5, "range": "quantile", "quantile": 0.6}, "dac": FINE},
        {
            "dac": {"bits": 6, "range": "quantile", "quantile": 0.7},
            "adc": {"bits": 16, "full_scale_ua": 1e4},
        },
        {
            "dac": FINE | {"polarity": "two_phase"},
            "adc": {"bits": 4, "range": "quantile", "quantile": 0.6},
        },
        {
            "mapping": MAPPING | {"encoding": "slices", "weight_bits": 4, "bits_per_cell": 2},
            "dac": FINE,
        },
    ],
    ids=["ideal", "adc", "held currents", "held inputs", "two phases", "slices"],
)
def test_gradients_of_inputs_are_those_of_the_chain(study):
    analog, array, x = made(study)
    weights = torch.randn(9, OUTPUTS, generator=torch.Generator().manual_seed(6))
    x.requires_grad_()
    (analog(x) * weights).sum().backward()
    exact = x.detach().numpy().astype(float)
    expected = by_differences(lambda at: chain(array, at), exact, weights.numpy())
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=2e-4, atol=2e-5)


def test_held_inputs_and_currents_pass_nothing():
    analog, array, x = made({"dac": {"bits": 6, "range": "quantile", "quantile": 0.7}})
    x.requires_grad_()
    analog(x).sum().backward()
    beyond = x.detach().abs().numpy() > limit(array)
    assert beyond.any() and not x.grad.numpy()[beyond].any()
    analog, array, x = made({"adc": {"bits": 5, "full_scale_ua": 1e-6}})
    x.requires_grad_()
    analog(x).sum().backward()
    np.testing.assert_allclose(x.grad, 0, atol=1e-6)  # every conversion is held


def test_gradients_of_weights_are_those_of_inputs_as_they_were_coded():
    analog, array, x = made({"dac": {"bits": 3}})
    weights = torch.randn(9, OUTPUTS, generator=torch.Generator().manual_seed(6))
    (analog(x) * weights).sum().backward()
    seen, _ = array.coder.hold(x.numpy())
    expected = weights.numpy().T @ seen
    np.testing.assert_allclose(analog.model.weight.grad.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        analog.model.bias.grad.numpy(), weights.sum(dim=0).numpy(), rtol=1e-5
    )


def test_the_achieved_matrix_is_what_a_chip_without_steps_multiplies_with():
    analog, array, x = made({"adc": {"bits": 16}, "dac": {"bits": 16}})
    product = array.multiply(x.numpy(), np.zeros((9, 2), np.int64), 1).output
    expected = x.numpy() @ achieved_matrix(array).T
    np.testing.assert_allclose(product, expected, rtol=1e-2, atol=1e-3)
    exact = x.numpy() @ analog.model.weight.detach().numpy().T
    assert np.abs(product - exact).max() > 10 * np.abs(product - expected).max()


@pytest.mark.parametrize("scaling", ["token", "block"])
def test_scales_of_tokens_and_shifts_leave_gradients_right(scaling):
    study = {
        "dac": {"bits": 16, "scaling": scaling},
        "mapping": MAPPING | {"scale_shift": 0.5},
        "adc": {"bits": "ideal"},
    }
    analog, array, x = made(study)
    x.requires_grad_()
    analog(x).sum().backward()
    expected = np.tile(achieved_matrix(array).sum(axis=0), (9, 1))
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-4, atol=1e-5)
    product = array.multiply(x.detach().numpy(), np.zeros((9, 2), np.int64), 1).output
    near = x.detach().numpy() @ achieved_matrix(array).T
    np.testing.assert_allclose(product, near, rtol=1e-2, atol=2e-3)
