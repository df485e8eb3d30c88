"""What the numbers of a trace can be: a damaged file may state anything, which must not reach a
figure.

Each function raises ValueError; the reader makes it a line of damage, or refuses the trace.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xbarsim.hardware.attributes import ProductAttributes
from xbarsim.studies.trace import Attenuation, ConductanceHistogram, Outputs
from xbarsim.studies.trace_layout import CodeHistogram, Column, ExampleTable, RunAttributes
from xbarsim.tasks.language_files import LanguageKind
from xbarsim.tasks.language_metrics import ACCURACY, NORMALISED, PERPLEXITY
from xbarsim.tasks.metrics import METRICS
from xbarsim.tasks.task import Kind

MOST = 2**53  # of a count: whole numbers that a float64 holds
MOST_BITS = 64  # of a converter
MOST_CLASSES = 1_000_000
LONGEST = 10**9  # tokens of an example
LARGEST = 1e100  # of a quantity, in any unit
SIGNED = ("lowest_code", "scale_shift")  # attributes that may be below 0
SIGNED_COLUMNS = ("snr_db", "cosine")  # ends of the names of data sets that may be
LABELLED = tuple(Kind)
CLASSIFIED = (Kind.LABELS, Kind.IMAGES)
LANGUAGE_METRICS = (PERPLEXITY, ACCURACY, NORMALISED)


# ---------------------------------------------------------------- attributes


def check_record(record: Any) -> None:
    """Refuse numbers of attributes that no run writes."""
    for part in dataclasses.fields(record):
        value = getattr(record, part.name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if not math.isfinite(value):
            continue  # what is no number is refused by the summary, by its place
        if abs(value) > LARGEST:
            raise ValueError(f"{part.name} is {value!r}; allowed: at most {LARGEST:g}")
        if isinstance(value, int) and abs(value) > MOST and part.name != "seed":
            raise ValueError(f"{part.name} is {value!r}; allowed: at most {MOST}")
        if value < 0 and part.name not in SIGNED:
            raise ValueError(f"{part.name} is {value!r}; allowed: 0 or more")


def check_run(run: RunAttributes) -> None:
    """Refuse what no run says of itself."""
    check_record(run)
    if run.seed >= 2**64:
        raise ValueError(f"seed is {run.seed}; allowed: below 2^64")
    metrics: tuple[str, ...] = LANGUAGE_METRICS
    if run.task_kind in LABELLED:
        metrics = METRICS[Kind(run.task_kind)]
    elif run.task_kind not in list(LanguageKind):
        kinds = ", ".join((*Kind, *LanguageKind))
        raise ValueError(f"task_kind is {run.task_kind!r}; allowed: {kinds}")
    if run.metric not in metrics:
        raise ValueError(f"metric is {run.metric!r}; allowed: {', '.join(metrics)}")
    if run.classes > MOST_CLASSES:
        raise ValueError(f"classes is {run.classes}; allowed: at most {MOST_CLASSES}")


def check_converters(attributes: ProductAttributes) -> None:
    """Refuse attributes of a matrix or a product that none has."""
    check_record(attributes)
    for name in ("adc_bits", "dac_bits"):
        bits = getattr(attributes, name)
        if bits > MOST_BITS:
            raise ValueError(f"{name} is {bits}; allowed: 0 to {MOST_BITS}")


# ---------------------------------------------------------------- arrays


def check_counts(name: str, values: NDArray[Any], most: int = MOST) -> None:
    """Refuse what is no vector of counts that can be added."""
    if values.ndim != 1 or values.dtype.kind not in "iub":
        raise ValueError(f"{name} are {values.dtype} of shape {values.shape}; allowed: counts")
    if not len(values):
        return
    if values.min() < 0 or values.max() > most:
        raise ValueError(
            f"{name} reach from {values.min()} to {values.max()}; allowed: 0 to {most}"
        )


def check_columns(columns: Mapping[str, Column], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse values of examples that are not what their data sets hold."""
    for name, values in arrays.items():
        column = columns[name]
        if column.type is np.int64:
            check_counts(name, values, MOST // max(len(values), 1))
            continue
        if values.dtype.kind != "f":
            raise ValueError(f"{name} is of type {values.dtype}; allowed: numbers with a point")
        finite = values[np.isfinite(values)]
        if (abs(finite) > LARGEST).any():
            raise ValueError(f"{name} reaches {abs(finite).max():g}; allowed: at most {LARGEST:g}")
        if (values < 0).any() and not name.endswith(SIGNED_COLUMNS):
            raise ValueError(f"{name} is {values.min():g}; allowed: 0 or more")


def check_examples(run: RunAttributes, examples: ExampleTable) -> None:
    """Refuse examples that no task has."""
    label = examples.label
    stated = [values for values in vars(examples).values() if values is not None]
    if label.ndim != 1 or any(values.shape != label.shape for values in stated):
        raise ValueError("the columns of /examples differ in length")
    if label.dtype.kind not in "iuf" or not np.isfinite(label).all():
        raise ValueError("labels or token counts without sense")
    if run.task_kind in CLASSIFIED and not ((0 <= label) & (label < run.classes)).all():
        raise ValueError(f"labels outside 0 to {run.classes - 1}")
    check_counts("token counts", examples.tokens, LONGEST)
    if (examples.tokens < 1).any():
        raise ValueError("labels or token counts without sense")
    for name in ("index", "truncated", "size"):
        values = getattr(examples, name)
        if values is not None:
            check_counts(f"{name} of examples", values)


def check_outputs(run: RunAttributes, outputs: Outputs) -> None:
    """Refuse outputs that no path has: of another type or width; what is not finite is found
    by the summary."""
    output = outputs.output
    if output.dtype.kind != "f":
        raise ValueError(f"outputs of type {output.dtype}; allowed: numbers with a point")
    if run.task_kind in CLASSIFIED and output.shape[1] != run.classes:
        raise ValueError(f"{output.shape[1]} outputs of {run.classes} classes")
    if run.task_kind == Kind.PAIRS and output.shape[1] < 1:
        raise ValueError("no output of a pair")
    probability = outputs.log_probability
    if probability is not None and (probability.dtype.kind != "f" or (probability > 1e-3).any()):
        raise ValueError("logarithms of probabilities above 0")


def check_attenuation(attenuation: Attenuation) -> None:
    """Refuse what is no number of every tile."""
    for name, values in vars(attenuation).items():
        if values.ndim != 1 or values.dtype.kind != "f":
            raise ValueError(f"the {name} of the attenuation is no number of every tile")
    if attenuation.mean.shape != attenuation.std.shape:
        raise ValueError("the columns of the attenuation differ in length")


def check_conductances(histogram: ConductanceHistogram) -> None:
    """Refuse what is no histogram."""
    edges = histogram.edges
    if edges.ndim != 1 or edges.dtype.kind != "f" or not np.isfinite(edges).all():
        raise ValueError("the edges of the conductances are no finite numbers")
    check_counts("counts of conductances", histogram.counts)
    if len(edges) < 2 or (np.diff(edges) <= 0).any() or len(histogram.counts) != len(edges) + 1:
        raise ValueError("the edges of the conductances do not fit their counts")


def check_codes(codes: CodeHistogram) -> None:
    """Refuse what is no histogram."""
    check_counts("counts of codes", codes.counts)
    check_counts("counts of codes beyond", codes.beyond)
    if codes.beyond.shape != (2,) or not len(codes.counts):
        raise ValueError("the counts of codes have no bins, or not two ends")
