"""A trace in memory: what a run says of its paths, chips and steps."""

from dataclasses import dataclass, field
from pathlib import Path

from xbarsim.base.array_types import Booleans, Floats, Integers, Singles
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.studies.trace_layout import (
    CodeHistogram,
    ExampleTable,
    FunctionRows,
    MatrixRows,
    Place,
    PredictionTable,
    ProductRows,
    RunAttributes,
    Sources,
)


@dataclass(frozen=True)
class Attenuation:
    """Of every tile (tiles,) of a matrix: achieved current over the current without wires, its mean
    and standard deviation over the tile.
    """

    mean: Floats
    std: Floats


@dataclass(frozen=True)
class ConductanceHistogram:
    """Programmed cells that hold a matrix.

    edges : (bins + 1,) S, of the device's window
    counts : (bins + 2,), cells below it, in each bin, above it
    """

    edges: Floats
    counts: Integers


@dataclass(frozen=True)
class TracedMatrix:
    """A matrix of a chip; its rows are the examples that are done.

    attenuation, conductances : None on computation crossbars
    codes : of all examples that are done; None where no codes are counted
    worst_tile : (rows, columns) achieved current over the current without wires of blocks of cells of
        the tile with the smallest mean; None without wires
    noise_error : (tiles,), see `read_noise_error` in docs/trace.md; None without
    The last four are None in older traces, too.
    """

    place: Place
    attributes: MatrixAttributes
    rows: MatrixRows
    attenuation: Attenuation | None = None
    conductances: ConductanceHistogram | None = None
    codes: CodeHistogram | None = None
    worst_tile: Singles | None = None
    noise_error: Floats | None = None


@dataclass(frozen=True)
class TracedProduct:
    """A product of two activations of a chip."""

    place: Place
    attributes: ProductAttributes
    rows: ProductRows


@dataclass(frozen=True)
class TracedFunction:
    """A function of a chip: softmax, norm, activation."""

    place: Place
    rows: FunctionRows


@dataclass(frozen=True)
class Outputs:
    """A path's outputs: output (n, k) float32 and done (n,) bool; of a decoder also of the predicted
    tokens (p,) the natural logarithms of their probabilities, NaN where not done, and whether no
    other token is likelier.
    """

    output: Singles
    done: Booleans
    log_probability: Singles | None = field(default=None, kw_only=True)
    likeliest: Booleans | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Chip(Outputs):
    """A simulated chip, with its steps on hardware by their names, in the order of execution."""

    seed: int
    layers: dict[str, TracedMatrix]
    products: dict[str, TracedProduct]
    operations: dict[str, TracedFunction]


@dataclass(frozen=True)
class Case:
    """study : TOML text"""

    study: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True)
class Trace:
    """A whole trace in memory.

    reference : {path: its outputs};  sources : empty in a trace of version 2
    predictions : of a decoder, else None
    damage : what could not be read, one line each
    """

    path: Path
    run: RunAttributes
    examples: ExampleTable
    reference: dict[str, Outputs]
    cases: dict[str, Case]
    sources: Sources = Sources()
    damage: tuple[str, ...] = ()
    predictions: PredictionTable | None = None
