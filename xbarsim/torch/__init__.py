"""PyTorch models on simulated crossbars: `convert`, `set_ranges`, `to_trace`, and training.

The only room that imports torch; `pip install 'xbarsim[torch]'` brings it.
"""

from xbarsim.base.errors import ConfigError

try:
    import torch as _torch  # noqa: F401
    import transformers as _transformers  # noqa: F401
except ImportError as error:
    raise ConfigError(
        f"xbarsim.torch needs PyTorch and transformers ({error}): pip install 'xbarsim[torch]'"
    ) from None

from xbarsim.torch.analog_model import AnalogModel
from xbarsim.torch.conversion import convert, set_ranges
from xbarsim.torch.traces import to_trace

__all__ = ["AnalogModel", "convert", "set_ranges", "to_trace"]
