"""What a study may say: tables, defaults, validation; computes nothing."""

from xbarsim.config.arrays import (
    Adc,
    Dac,
    Device,
    Effects,
    Mapping,
)
from xbarsim.config.correction import Correction
from xbarsim.config.functions import (
    Entries,
    Functions,
    Gelu,
    LayerNorm,
    Pieces,
    Softmax,
)
from xbarsim.config.study import (
    STUDIES,
    LayerOverride,
    Model,
    Run,
    Study,
    Task,
    load_study,
    merge,
    study_names,
    study_text,
    validate,
)
from xbarsim.config.synergy import (
    Computation,
    Memory,
    Products,
)
from xbarsim.config.tables import (
    Bits,
    Quantile,
    Table,
)
from xbarsim.config.wires import Wires, wire_nodes

__all__ = [
    "Adc",
    "Bits",
    "Computation",
    "Correction",
    "Dac",
    "Device",
    "Effects",
    "Entries",
    "Functions",
    "Gelu",
    "LayerNorm",
    "LayerOverride",
    "Mapping",
    "Memory",
    "Model",
    "Pieces",
    "Products",
    "Quantile",
    "Run",
    "STUDIES",
    "Softmax",
    "Study",
    "Table",
    "Task",
    "Wires",
    "load_study",
    "merge",
    "study_names",
    "study_text",
    "validate",
    "wire_nodes",
]
