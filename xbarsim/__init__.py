"""xbarsim: device-level simulation of memristor crossbars that runs real language models.

The names below are all that is promised; docs/api.md has an example of each.  `Crossbar` is one
array as a circuit person sees it, `cells` what it may be made of, `AnalogMatrix` a weight matrix on
tiles, `run_study` the whole chain from a BERT checkpoint to accuracy and energy, `calibrate` what
makes device files of measurements, `compare` a model on whole chips.  Names are imported on first
use, so that `import xbarsim` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# public module -> where it is
_MODULES = {
    "annealing": "xbarsim.annealing",
    "calibrate": "xbarsim.calibrate",
    "cells": "xbarsim.circuit.cells",
}
# public name -> module that holds it
_EXPORTS = {
    "AnalogMatrix": "xbarsim.arrays.analog_matrix",
    "Crossbar": "xbarsim.circuit.crossbar",
    "Gradient": "xbarsim.circuit.adjoint",
    "Solution": "xbarsim.circuit.solution",
    "budget_study": "xbarsim.studies.budget",
    "compare": "xbarsim.chips.compare",
    "device_names": "xbarsim.devices.presets",
    "evaluate": "xbarsim.studies.scoring",
    "fetch": "xbarsim.base.fetch",
    "generate": "xbarsim.studies.generation",
    "load_chip": "xbarsim.chips.load",
    "load_device": "xbarsim.devices.presets",
    "load_network": "xbarsim.models.architectures",
    "load_study": "xbarsim.config.study",
    "open_budget": "xbarsim.report.budget",
    "open_study": "xbarsim.report.sweep_table",
    "read_trace": "xbarsim.studies.trace_reader",
    "run_study": "xbarsim.studies.run",
    "summarise": "xbarsim.report.summary",
    "sweep_study": "xbarsim.studies.sweep",
    "wire_resistances": "xbarsim.circuit.wires",
}
__all__ = [
    "AnalogMatrix",
    "Crossbar",
    "Gradient",
    "Solution",
    "__version__",
    "annealing",
    "budget_study",
    "calibrate",
    "cells",
    "compare",
    "device_names",
    "evaluate",
    "fetch",
    "generate",
    "load_chip",
    "load_device",
    "load_network",
    "load_study",
    "open_budget",
    "open_study",
    "read_trace",
    "run_study",
    "summarise",
    "sweep_study",
    "wire_resistances",
]

if TYPE_CHECKING:
    from xbarsim import annealing, calibrate
    from xbarsim.arrays.analog_matrix import AnalogMatrix
    from xbarsim.base.fetch import fetch
    from xbarsim.chips.compare import compare
    from xbarsim.chips.load import load_chip
    from xbarsim.circuit import cells
    from xbarsim.circuit.adjoint import Gradient
    from xbarsim.circuit.crossbar import Crossbar
    from xbarsim.circuit.solution import Solution
    from xbarsim.circuit.wires import wire_resistances
    from xbarsim.config.study import load_study
    from xbarsim.devices.presets import device_names, load_device
    from xbarsim.models.architectures import load_network
    from xbarsim.report.budget import open_budget
    from xbarsim.report.summary import summarise
    from xbarsim.report.sweep_table import open_study
    from xbarsim.studies.budget import budget_study
    from xbarsim.studies.generation import generate
    from xbarsim.studies.run import run_study
    from xbarsim.studies.scoring import evaluate
    from xbarsim.studies.sweep import sweep_study
    from xbarsim.studies.trace_reader import read_trace


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'xbarsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
