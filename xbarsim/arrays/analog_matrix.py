"""`AnalogMatrix`: a weight matrix of one's own on simulated crossbar tiles.

What `xbarsim run` does with every matrix of a model, for one matrix and without a model: the same
functions, and for the same seed, index and samples the same bits.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from xbarsim.arrays.digital_scale import ScaleShift
from xbarsim.arrays.in_situ.correction import mean_squares
from xbarsim.arrays.in_situ.input_lines import InputLines, check_signs, with_lines
from xbarsim.arrays.in_situ.line_order import LineOrder, ordered
from xbarsim.arrays.in_situ.matrix import Array
from xbarsim.arrays.in_situ.programmed import (
    MatrixPlan,
    ProgrammedMatrix,
    plan_matrix,
    solve_matrix,
)
from xbarsim.arrays.in_situ.ranges import with_ranges
from xbarsim.arrays.in_situ.rescaling import fitted_device, rescaling_of, used_later
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.arguments import text_of, whole_number
from xbarsim.base.array_files import numbers
from xbarsim.base.array_types import AnyFloats, Floats, Integers, Singles
from xbarsim.base.errors import ConfigError, OutOfRangeError, ShapeError
from xbarsim.base.workers import one_blas_thread
from xbarsim.config.study import Study, load_study, validate
from xbarsim.devices.model import DeviceModel
from xbarsim.devices.presets import load_device
from xbarsim.devices.programmed import Programmed
from xbarsim.devices.streams import Streams

# Keys of a study that say something about one matrix; the others need a model or are not in-situ.
KEYS = (
    "name",
    "seed",
    "device",
    "mapping",
    "wires",
    "dac",
    "adc",
    "read_noise",
    "effects",
    "correction",
    "layer",
)
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class AnalogProduct:
    """Result of `AnalogMatrix.multiply` for b inputs.

    output : (b, outputs) float32, in the unit of weight times input
    energy : (b,) float64 joule that the word-line drivers deliver into cells and wires; converters
        and digital steps are those of a chip, see docs/chips.md
    dac_saturations, adc_saturations : (b,) int64, inputs and conversions held at the end of their
        range
    """

    output: Singles
    energy: AnyFloats
    dac_saturations: Integers
    adc_saturations: Integers


class AnalogMatrix:
    """A weight matrix on programmed tiles, with wires solved and converter ranges set; immutable.

    Parameters
    ----------
    weight : (outputs, inputs), finite
    study : what the tiles are: a `config.Study`, the name or the file of one (its `[[case]]`
        tables are left aside: take a case from `study.cases()`), or a dictionary of the tables
        `device`, `mapping`, `wires`, `dac`, `adc`, `effects`, `correction` and `layer`, such as
        {"device": {"name": "pcm"}, "adc": {"bits": 6}}; what is not given has its default
    samples : (s, inputs), inputs that set converter ranges, digital gains and the full scale of
        the weights: typical ones, but not those on which results are judged
    seed : int >= 0, alone decides all random numbers; the study's if None
    name : what `[[layer]]` tables of the study match, and messages call it
    index : int >= 0, names the random streams: matrices of one chip have different ones

    Attributes
    ----------
    study : the Study as it applies to this matrix
    array : the `in_situ.matrix.Array` behind it: ranges, gains, transfer matrices, counts of the
        write

    Raises
    ------
    ShapeError : not a matrix of numbers, samples of another width
    OutOfRangeError : NaN, infinity; a seed or an index below 0; conditions that the device does
        not state
    ConfigError : unknown key, value out of range, no such study or device, a study that puts this
        matrix on computation crossbars

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weight, x = rng.standard_normal((4, 6)), rng.standard_normal((100, 6))
    >>> matrix = AnalogMatrix(weight, {"device": {"name": "ideal"}}, samples=x, seed=1)
    >>> matrix.multiply(x[:3]).output.shape
    (3, 4)
    >>> matrix.conductances.shape
    (1, 1, 2, 128, 128)
    >>> halved = matrix.with_conductances(matrix.conductances / 2)
    >>> bool((halved.multiply(x).energy < matrix.multiply(x).energy).all())
    True
    """

    def __init__(
        self,
        weight: ArrayLike,
        study: Study | Mapping[str, Any] | str | Path = "default",
        *,
        samples: ArrayLike,
        seed: int | None = None,
        name: str = "matrix",
        index: int = 0,
    ) -> None:
        weight = _matrix("weight", weight, "(outputs, inputs)")
        samples = _matrix("samples", samples, f"(samples, {weight.shape[1]})", weight.shape[1])
        given = _study(study)
        if seed is None:
            seed = given.seed
        seeded = given.model_copy(update={"seed": _whole("seed", seed)})
        chosen: Study = seeded.for_layer(text_of("name", name))
        if chosen.products.weights != "in_situ":
            raise ConfigError(
                f'study {chosen.name}: products.weights is not "in_situ" for {name!r}; an '
                "AnalogMatrix lies on in-situ tiles"
            )
        samples = samples.astype(np.float32)
        moment = mean_squares(samples)
        device = load_device(chosen.device.name)
        at_fit = fitted_device(device, chosen)
        streams = Streams(chosen.seed, _whole("index", index))
        self._order = LineOrder.of(weight, moment, chosen.mapping, at_fit, streams)
        if self._order is not None:
            weight = self._order.of_weight(weight)
            samples = self._order.of_inputs(samples)
            moment = moment[self._order.inputs]
        of_arrays = InSituSettings.of(chosen)
        check_signs(weight, of_arrays, name)
        self._shape = weight.shape
        self._lines = InputLines.of(weight, samples, of_arrays, of_arrays.read_voltage(at_fit))
        if self._lines is not None:
            of_arrays = self._lines.of_settings(of_arrays)
            weight = self._lines.of_weight(weight)
            samples = self._lines.of_inputs(samples)
            moment = mean_squares(samples)
        with one_blas_thread():
            plan = plan_matrix(
                name=name,
                index=_whole("index", index),
                weight=weight,
                moment=moment,
                settings=of_arrays,
                device=at_fit,
                seed=chosen.seed,
                shift=ScaleShift.of(weight, samples, chosen.mapping.scale_shift),
            )
            cells = _cells(plan)
        self._study = chosen
        if chosen.correction.fitted_s is None:
            self._set(plan, cells, samples)
            return
        used = dataclasses.replace(plan, device=device.in_study(chosen))
        self._set(used, _cells(used), samples, fitted=solve_matrix(plan, cells), at_fit=at_fit)

    def _set(
        self,
        plan: MatrixPlan,
        cells: tuple[Programmed, ...],
        samples: Singles,
        fitted: ProgrammedMatrix | None = None,
        at_fit: DeviceModel | None = None,
    ) -> None:
        """Solve the wires of programmed cells, and fit the converters to the samples, or to what
        was `fitted` before with the device `at_fit`.
        """
        self._plan = plan
        self._cells = cells
        self._samples = samples
        with one_blas_thread():
            programmed = solve_matrix(plan, cells)
            if fitted is None or at_fit is None:
                array = with_ranges(programmed, samples)
                self._array = self._of_inputs(array, programmed)
                return
            rescaling = rescaling_of(plan, fitted, programmed, at_fit)
            later = used_later(with_ranges(fitted, samples), programmed, rescaling)
            self._array = self._of_inputs(later, programmed)

    def _of_inputs(self, array: Array, programmed: ProgrammedMatrix) -> Array:
        """An array of word lines as one of inputs and outputs in their own order."""
        return ordered(with_lines(array, self._lines, programmed), self._order)

    @property
    def study(self) -> Study:
        """The study as it applies to this matrix."""
        return self._study

    @property
    def array(self) -> Array:
        """The array behind it, for those who read the code."""
        return self._array

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)"""
        return self._shape

    @property
    def conductances(self) -> Floats:
        """(row blocks, column blocks, planes, word lines, bit lines) S: copy of what a read finds.

        Tile [row_block, column_block, plane] holds the inputs from row_block * word_lines and the
        outputs from column_block * bit_lines, both in the order that `mapping.row_order` and
        `column_order` give.  Planes are the slices of a weight from the lowest
        digit, and of each first the positive and then the negative cell of a pair.  With
        `mapping.placement = "neighbour"` one tile holds all planes, on neighbouring bit lines, and
        the axis has length 1.  Cells that no weight uses are there too.
        """
        tiles = np.stack([cells.conductance for cells in self._cells])
        return tiles.reshape(self._tiles_shape)

    @property
    def _tiles_shape(self) -> tuple[int, int, int, int, int]:
        layout = self._plan.layout
        planes = layout.tiles_per_row_block // layout.column_blocks
        lines = (layout.word_lines, layout.bit_lines)
        return (layout.row_blocks, layout.column_blocks, planes, *lines)

    def with_conductances(self, conductances: ArrayLike) -> Self:
        """The same matrix with these conductances: wires are solved, ranges and gains fitted again.

        Weights per siemens and full scales stay.  A cell that keeps its conductance keeps its read
        noise; one that does not counts as aimed at where it is, and which cells have telegraph
        noise stays.

        Parameters
        ----------
        conductances : S, of the shape of `conductances`; finite, 0 (an open cell) or more

        Returns
        -------
        AnalogMatrix

        Raises
        ------
        ShapeError, OutOfRangeError : another shape; NaN, infinity or a negative conductance
        ConfigError : ranges that were fitted at another time, `correction.fitted_s`
        """
        fitted = self.study.correction.fitted_s
        if fitted is not None:
            raise ConfigError(
                f"correction.fitted_s = {fitted:g} s keeps ranges of conductances at that time; "
                "allowed: with_conductances without it, which fits them to what is given"
            )
        given = numbers("conductances", conductances, "S")
        if given.shape != self._tiles_shape:
            raise ShapeError(
                f"conductances have shape {given.shape}; allowed: {self._tiles_shape}, "
                "(row blocks, column blocks, planes, word lines, bit lines)"
            )
        wrong = ~(np.isfinite(given) & (given >= 0))
        if wrong.any():
            raise OutOfRangeError(
                f"conductances hold {given[wrong][0]} S; allowed: finite, 0 S or more"
            )
        blocks = given.reshape(len(self._cells), -1, *given.shape[-2:])
        cells = tuple(map(_with_conductance, self._cells, blocks))
        changed = type(self).__new__(type(self))
        changed._study = self._study
        changed._order = self._order
        changed._lines = self._lines
        changed._shape = self._shape
        changed._set(self._plan, cells, self._samples)
        return changed

    def multiply(self, x: ArrayLike, *, first_row: int = 0) -> AnalogProduct:
        """Product of inputs with the matrix: `x @ weight.T` as the tiles and converters have it.

        Parameters
        ----------
        x : (b, inputs), finite
        first_row : int >= 0, number of the first input: with the seed, numbers alone decide the
            read noise of an input; the same ones give the same noise, whatever the batch

        Returns
        -------
        AnalogProduct : output (b, outputs), energy (b,) J, saturations (b,)

        Raises
        ------
        ShapeError, OutOfRangeError : another width; NaN, infinity; a product beyond float32
        """
        x = _matrix("x", x, f"(b, {self.shape[1]})", self.shape[1], least=0).astype(np.float32)
        numbers_of_rows = _whole("first_row", first_row) + np.arange(len(x), dtype=np.int64)
        rows = np.column_stack([numbers_of_rows, np.zeros_like(numbers_of_rows)])
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            product = self._array.multiply(x, rows, self.study.seed)
        if not (np.isfinite(product.output).all() and np.isfinite(product.array_energy).all()):
            raise OutOfRangeError(
                "the product of x and the weights leaves the range of float32 numbers, "
                f"{FLOAT32_MAX:.1e}; allowed: smaller weights or inputs"
            )
        return AnalogProduct(
            output=product.output,
            energy=product.array_energy,
            dac_saturations=product.dac_saturations,
            adc_saturations=product.adc_saturations,
        )


def _cells(plan: MatrixPlan) -> tuple[Programmed, ...]:
    return tuple(plan.program(block) for block in range(plan.layout.row_blocks))


def _matrix(
    name: str, value: ArrayLike, wanted: str, width: int | None = None, least: int = 1
) -> Floats:
    """A finite matrix within the range of float32, of `width` columns and at least `least` rows."""
    matrix: Floats = numbers(name, value)
    fits = matrix.ndim == 2 and matrix.shape[1] == (width or matrix.shape[1])
    if not fits or len(matrix) < least or matrix.shape[1] < 1:
        raise ShapeError(f"{name} has shape {matrix.shape}; allowed: {wanted}")
    wrong = ~(np.abs(matrix) <= FLOAT32_MAX)
    if wrong.any():
        raise OutOfRangeError(
            f"{name} holds {matrix[wrong][0]}; allowed: finite numbers, at most {FLOAT32_MAX:.1e} "
            "in magnitude"
        )
    return matrix


def _whole(name: str, value: int) -> int:
    """A whole number of 0 or more; numbers of rows are added to it."""
    return whole_number(name, value, most=2**62)


def _study(study: Study | Mapping[str, Any] | str | Path) -> Study:
    """Study of whatever a user may give for one."""
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        _check_keys(study)
        found: Study = validate(dict(study), "study")
        found.check_layers()
        return found
    if isinstance(study, str | Path):
        named: Study = load_study(study)
        return named
    raise ConfigError(
        f"study is a {type(study).__name__}; allowed: a Study, the name or file of one, or a "
        "dictionary of tables"
    )


def _check_keys(keys: Iterable[str]) -> None:
    """Refuse keys of a dictionary that say nothing about one matrix."""
    idle = [key for key in keys if key in Study.model_fields and key not in KEYS]
    if idle:
        raise ConfigError(
            f"study: {', '.join(idle)} has no effect on one matrix; allowed: {', '.join(KEYS)}"
        )


def _with_conductance(cells: Programmed, conductance: Floats) -> Programmed:
    """Programmed cells with another conductance where it differs, aimed at and achieved there."""
    same = conductance == cells.conductance
    return dataclasses.replace(
        cells,
        conductance=conductance,
        target=np.where(same, cells.target, conductance),
        achieved=np.where(same, cells.achieved, conductance),
    )
