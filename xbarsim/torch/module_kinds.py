"""Which modules of PyTorch, transformers and peft are which kind of step."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D

from xbarsim.base.errors import ConfigError
from xbarsim.torch.structure import Form

# Modules with products of weights that are not built.
NOT_BUILT = (
    nn.Bilinear,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
)

# By the name of the class, the activation as checkpoints name it.
_ACTIVATIONS = {
    "GELUActivation": "gelu",
    "NewGELUActivation": "gelu_new",
    "GELUTanh": "gelu_pytorch_tanh",
    "PytorchGELUTanh": "gelu_pytorch_tanh",
    "FastGELUActivation": "gelu_fast",
    "QuickGELUActivation": "quick_gelu",
    "ReLU": "relu",
    "SiLU": "silu",
    "SiLUActivation": "silu",
}


def is_lora(module: nn.Module) -> bool:
    """Whether a module is a layer of peft that adds a product of two small matrices to its own."""
    return hasattr(module, "base_layer") and hasattr(module, "lora_A")


def form_of(module: nn.Module) -> Form | None:
    """How a module holds a matrix; None of one that is no product with weights."""
    base = module.base_layer if is_lora(module) else module
    if isinstance(base, Conv1D):
        return Form.TRANSPOSED
    if isinstance(base, nn.Linear):
        return Form.LINEAR
    if isinstance(base, nn.Conv1d | nn.Conv2d):
        return Form.CONVOLUTION
    return None


def activation_of(module: nn.Module) -> str | None:
    """Name of an activation; None of other modules."""
    if isinstance(module, nn.GELU):
        return "gelu" if module.approximate == "none" else "gelu_new"
    return _ACTIVATIONS.get(type(module).__name__)


def check_module(path: str, module: nn.Module) -> None:
    """Refuse a module that would stay digital without a word, or whose settings are not built.

    Raises
    ------
    ConfigError
    """
    if isinstance(module, NOT_BUILT):
        raise ConfigError(
            f"{path} is a {type(module).__name__}, which has no form on crossbars; supported are "
            f"Linear, Conv1d, Conv2d and transformers' Conv1D: exclude=[{path!r}] leaves it digital"
        )
    base = module.base_layer if is_lora(module) else module
    if isinstance(base, nn.Conv1d | nn.Conv2d):
        _check_convolution(path, base)


def _check_convolution(path: str, module: nn.Conv1d | nn.Conv2d) -> None:
    if module.groups != 1:
        raise ConfigError(
            f"{path} has groups = {module.groups}: its channels are multiplied apart, not by one "
            f"matrix; allowed: groups = 1, or exclude=[{path!r}]"
        )
    if module.padding_mode != "zeros":
        raise ConfigError(
            f"{path} has padding_mode = {module.padding_mode!r}; allowed: 'zeros', or "
            f"exclude=[{path!r}]"
        )
    if isinstance(module.padding, str):
        raise ConfigError(
            f"{path} has padding = {module.padding!r}; allowed: a number of places, or "
            f"exclude=[{path!r}]"
        )
