"""xbarsim: device-level simulation of memristor crossbars that runs real language models.

`Crossbar` is one array as a circuit person sees it.  The command line (`xbarsim run`) is the whole
chain from a BERT checkpoint to accuracy and energy.  Names are imported on first use, so that
`import xbarsim` costs nothing.
"""

import importlib

__version__ = "0.1.0"

_EXPORTS = {"Crossbar": "xbarsim.circuit.crossbar"}
__all__ = ["Crossbar", "__version__"]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'xbarsim' has no attribute {name!r}")
