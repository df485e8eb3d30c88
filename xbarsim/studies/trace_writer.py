"""Writes the trace of a run so that no signal, full disk or killed process costs what is finished.

Nothing that was written is opened for writing again.  A path (a reference, or a chip of a case) is
collected in memory and saved as a file of its own in the directory `NAME.parts`: written beside and
renamed, when it is finished, when the run ends, and meanwhile as often as saving takes little of
the time.  When all of them are finished the parts are joined into `NAME.h5` in the same way, and removed;
those of a run that ends before stay, and `TraceWriter(unfinished=...)` takes them over.  HDF5 itself
never meets an error of the disk, which it does not survive: it writes into memory, or into a file
that keeps such an error to itself until HDF5 is done.
"""

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xbarsim.base.errors import OutOfRangeError, OutputError, TraceError
from xbarsim.base.locks import locked
from xbarsim.base.progress import unsaid
from xbarsim.hardware.attributes import MatrixAttributes, ProductAttributes
from xbarsim.studies.part_file import (
    Attributes,
    DataSet,
    Part,
    begins_alike,
    load_part,
    save_part,
    stamp_of,
)
from xbarsim.studies.readers import TokenScores
from xbarsim.studies.trace_layout import (
    CODE_COUNTS,
    CODES_BEYOND,
    FORMAT,
    UNITS_OF_TILES,
    Column,
    Entries,
    ExampleTable,
    FunctionRows,
    MatrixRows,
    Place,
    PredictionTable,
    ProductRows,
    RunAttributes,
    Section,
    Sources,
    attributes_of,
    columns_of,
    part_files,
    parts_of,
    text_sha256,
)
from xbarsim.studies.trace_parts import join_parts
from xbarsim.studies.unfinished import Journal, claim, write_journal

SAVING_SHARE = 0.02  # of the run's time, at most, for saving a path that is not finished

NOTHING = Entries()


@dataclass(frozen=True)
class MatrixHead:
    """What is known of a matrix of a chip before anything is multiplied.

    tiles : {data set: values}, of `UNITS_OF_TILES`
    code_bins : of the histogram of its codes, None where none are counted
    """

    place: Place
    attributes: MatrixAttributes
    tiles: Mapping[str, NDArray[Any]]
    code_bins: int | None


@dataclass(frozen=True)
class ProductHead:
    """What is known of a product of two activations."""

    place: Place
    attributes: ProductAttributes


@dataclass(frozen=True)
class ChipHead:
    """What is known of a chip before it is evaluated, by the names of its steps in the order of
    execution.
    """

    seed: int
    layers: Mapping[str, MatrixHead]
    products: Mapping[str, ProductHead]
    operations: Mapping[str, Place]


class TraceWriter:
    """Writes one trace; use as a context manager.

    The parts are joined only when the block ends without an error.  An error that ends it carries a
    note that says where the trace is and what it holds.  Another process cannot work on it meanwhile.
    """

    def __init__(
        self,
        directory: str | Path,
        name: str,
        run: RunAttributes,
        examples: ExampleTable,
        *,
        outputs: int,
        sources: Sources,
        predictions: PredictionTable | None = None,
        journal: Journal | None = None,
        unfinished: Path | None = None,
        say: Callable[[str], object] = unsaid,
    ) -> None:
        """
        directory, name : the trace is directory/NAME.h5, or NAME-2.h5, ... where that is taken
        run : its `complete` is stated in the end
        outputs : numbers per example (classes of a head, 1 for a pair's score)
        predictions : the tokens that a decoder predicts
        journal : what determines the numbers, for a run that goes on with this one
        unfinished : of `find_unfinished`, the parts that this run goes on with
        say : function (text) that hears of parts that cannot be used
        """
        self.say = say
        self.parts = unfinished or parts_of(claim(Path(directory), name))
        self.path = self.parts.with_suffix(".h5")
        self.examples = len(examples)
        self.outputs = outputs
        self.predictions = predictions
        arrays = _example_arrays(run, examples) | _prediction_arrays(predictions)
        self.head = Part(0, "/", _head_groups(run, sources), arrays)
        self.cases: dict[str, Attributes] = {}
        self.chips: Counter[str] = Counter()  # of each case
        self.under_way: Part | None = None
        self.held: dict[str, int] = {}  # {path: examples in its part}
        self.kept: dict[str, Path] = {}  # {path: part of the run that this one goes on with}
        self.begun = 0  # paths
        self.is_saved = True  # what is in memory
        self.saved_at = 0.0
        self.saving_took = 0.0
        self.lock = contextlib.ExitStack()
        try:
            self.lock.enter_context(locked(self.parts))
            if unfinished is not None:
                self._look_through()
            self._save(self.head)
            if journal is not None:
                write_journal(self.parts, journal)
        except OutputError as error:
            self.lock.close()
            if unfinished is None:
                shutil.rmtree(self.parts, ignore_errors=True)
            raise TraceError(
                f"cannot create the trace: {error}; choose another --out directory"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end(error)
        finally:
            self.lock.close()

    def _end(self, error: BaseException | None) -> None:
        """Join the parts of a run that came to its end, or save what is in memory of another one."""
        try:
            if not isinstance(error, OutputError):  # after one nothing more can be written
                self._finish_path()
            if error is None:
                self.head.groups["/"]["complete"] = True
                self._save(self.head)
                join_parts(self.parts, self.path)
        except OutputError as unwritten:
            if error is None:
                unwritten.add_note(self.holds())
                raise
            error.add_note(str(unwritten))
        if error is not None:
            error.add_note(self.holds())

    def _look_through(self) -> None:
        """Find the parts that can be taken over."""
        for file in part_files(self.parts):
            try:
                stamp = stamp_of(file)
            except TraceError as error:
                self.say(f"{error}: what it held is run again")
                continue
            if stamp.path != self.head.path:
                self.kept[stamp.path] = file
                self.held[stamp.path] = stamp.done

    def holds(self) -> str:
        """One line: where the trace is and what it holds."""
        place = self.path if self.path.exists() else self.parts
        names = {path: path.removeprefix("reference/").removeprefix("cases/") for path in self.held}
        whole = [names[path] for path, done in self.held.items() if done == self.examples]
        begun = [
            f"{done} of {names[path]}"
            for path, done in self.held.items()
            if 0 < done < self.examples
        ]
        if len(whole) > 8:
            whole = [*whole[:3], f"{len(whole) - 4} more", whole[-1]]
        paths = ", ".join(whole) or "no path"
        line = f"the trace {place} holds all {self.examples} examples of {paths}"
        return ", ".join([line, *begun])

    def add_reference(self, name: str) -> str:
        """Begin a digital path (`float32`, `int8`); returns its path for `write`."""
        path = f"reference/{name}"
        self._begin(path, {}, {})
        return path

    def passes_over_chip(self, name: str) -> bool:
        """Whether the next chip of a case was finished by the run that this one goes on with; it need
        not be added then."""
        path = f"cases/{name}/{self.chips[name]}"
        if path not in self.kept or self.held[path] < self.examples:
            return False
        self._finish_path()
        self.chips[name] += 1
        self.begun += 1
        return True

    def missing(self, batches: Sequence[slice]) -> list[slice]:
        """Those batches of the path that was begun last that are not written yet."""
        if self.under_way is None:
            return list(batches)
        done = self.under_way.arrays[f"{self.under_way.path}/done"].values
        return [batch for batch in batches if not done[batch].all()]

    def add_case(self, name: str, study: str) -> None:
        """Begin a case; its chips follow by `add_chip`."""
        number = len(self.cases)
        self.cases[name] = {"study": study, "study_sha256": text_sha256(study), "number": number}

    def add_chip(self, name: str, chip: ChipHead) -> str:
        """Begin the next chip of a case; returns its path for `write`.

        Raises
        ------
        OutOfRangeError : something of it that is not a finite number
        """
        number = self.chips[name]
        self.chips[name] += 1
        path = f"cases/{name}/{number}"
        groups: dict[str, Attributes] = {
            f"cases/{name}": self.cases[name],
            path: {"seed": chip.seed, "number": number},
        }
        arrays: dict[str, DataSet] = {}
        for place, entry in enumerate(_entry_heads(chip)):
            group = f"{path}/{entry.section}/{entry.name}"
            _check_head(group, entry)
            groups[group] = entry.attributes | {"number": place}
            for key, values in entry.tiles.items():
                unit = UNITS_OF_TILES[key]
                arrays[f"{group}/{key}"] = DataSet(np.asarray(values), unit)
            for key, length in entry.histograms.items():
                nothing = DataSet(np.zeros(length, np.int64), "1")
                arrays[f"{group}/{key}"] = nothing
            for column in entry.columns.values():
                empty = DataSet(column.empty(self.examples), column.unit)
                arrays[f"{group}/{column.name}"] = empty
        self._begin(path, groups, arrays)
        return path

    def write(
        self,
        path: str,
        where: slice,
        output: NDArray[np.float32],
        entries: Entries = NOTHING,
        tokens: TokenScores | None = None,
    ) -> None:
        """Fill the examples `where` of the path that was begun last.

        output : (examples, k);  tokens : of a decoder, of the predictions of these examples

        Raises
        ------
        OutOfRangeError : something that is not a finite number; nothing of the batch is kept
        OutputError : the path cannot be saved; what was saved before is whole
        """
        under_way = self.under_way
        if under_way is None or path != under_way.path:
            raise ValueError(f"{path} is not the path under way")
        found = entries.arrays()
        _check_finite(path, output, found)
        arrays = under_way.arrays
        if tokens is not None and self.predictions is not None:
            of_examples = self.predictions.of(where)
            arrays[f"{path}/log_probability"].values[of_examples] = tokens.log_probability
            arrays[f"{path}/likeliest"].values[of_examples] = tokens.likeliest
        for name, values in found.items():
            arrays[f"{path}/{name}"].values[where] = values
        for name, counts in entries.sums().items():
            arrays[f"{path}/{name}"].values[:] += counts
        arrays[f"{path}/output"].values[where] = output
        arrays[f"{path}/done"].values[where] = 1
        self.is_saved = False
        if under_way.done == self.examples:
            self._finish_path()
        elif time.monotonic() - self.saved_at >= self.saving_took / SAVING_SHARE:
            self._save_path(under_way)

    def _begin(self, name: str, groups: dict[str, Attributes], arrays: dict[str, DataSet]) -> None:
        self._finish_path()
        nothing = np.full((self.examples, self.outputs), np.nan, np.float32)
        outputs = {
            f"{name}/output": DataSet(nothing, "1"),
            f"{name}/done": DataSet(np.zeros(self.examples, np.uint8), "1"),
        }
        if self.predictions is not None:
            count = len(self.predictions)
            unknown = np.full(count, np.nan, np.float32)
            outputs[f"{name}/log_probability"] = DataSet(unknown, "1")
            outputs[f"{name}/likeliest"] = DataSet(np.zeros(count, np.uint8), "1")
        self.begun += 1
        fresh = Part(self.begun, name, groups, outputs | arrays)
        self.under_way = self._taken_over(fresh) or fresh
        self.held[name] = self.under_way.done
        self.is_saved = self.under_way is not fresh
        self.saved_at = time.monotonic()

    def _taken_over(self, fresh: Part) -> Part | None:
        """What the run that this one goes on with has of a path; None where that is not usable."""
        file = self.kept.get(fresh.path)
        if file is None or file != fresh.file_in(self.parts):
            return None
        kept = load_part(file, fresh.path)
        if begins_alike(kept, fresh):
            return kept
        self.say(
            f"{file} was begun with other bits, as another processor or library computes them: "
            f"{fresh.path} is run again"
        )
        return None

    def _finish_path(self) -> None:
        """Save the path under way and let go of its memory."""
        if self.under_way is not None:
            if not self.is_saved:
                self._save_path(self.under_way)
            self.under_way = None

    def _save_path(self, part: Part) -> None:
        started = time.monotonic()
        self._save(part)
        self.is_saved = True
        self.held[part.path] = part.done
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - started

    def _save(self, part: Part) -> None:
        save_part(part, self.parts)


def _head_groups(run: RunAttributes, sources: Sources) -> dict[str, Attributes]:
    root = {"format": FORMAT, "study_sha256": text_sha256(run.study)} | attributes_of(run)
    groups: dict[str, Attributes] = {
        "/": root,
        "sources/model": dict(sources.model_files),
        "sources/devices": {},
        "sources/chips": {},
    }
    for kind, texts in (("devices", sources.devices), ("chips", sources.chips)):
        for number, (name, text) in enumerate(texts.items()):
            groups[f"sources/{kind}/{number}"] = {
                "name": name,
                "text": text,
                "sha256": text_sha256(text),
            }
    return groups


def _example_arrays(run: RunAttributes, examples: ExampleTable) -> dict[str, DataSet]:
    unit_of_label = "score" if run.task_kind == "pairs" else "class"
    arrays = {
        "examples/label": DataSet(np.asarray(examples.label), unit_of_label),
        "examples/tokens": DataSet(np.asarray(examples.tokens), "1"),
        "examples/index": DataSet(np.asarray(examples.index), "1"),
        "examples/truncated": DataSet(np.asarray(examples.truncated), "1"),
    }
    if examples.size is not None:
        arrays["examples/size"] = DataSet(np.asarray(examples.size), "byte")
    return arrays


def _prediction_arrays(predictions: PredictionTable | None) -> dict[str, DataSet]:
    if predictions is None:
        return {}
    return {
        "predictions/example": DataSet(np.asarray(predictions.example), "1"),
        "predictions/position": DataSet(np.asarray(predictions.position), "1"),
        "predictions/token": DataSet(np.asarray(predictions.token), "1"),
    }


@dataclass(frozen=True)
class _EntryHead:
    """What a chip states of one step.

    columns : what every example will say of it
    histograms : {data set: length} of what all examples will be counted in
    """

    section: Section
    name: str
    attributes: Attributes
    columns: Mapping[str, Column]
    tiles: Mapping[str, NDArray[Any]]
    histograms: Mapping[str, int]


def _entry_heads(chip: ChipHead) -> list[_EntryHead]:
    """Of all steps, in the order of their numbers."""
    heads = []
    for name, matrix in chip.layers.items():
        stated = attributes_of(matrix.place) | attributes_of(matrix.attributes)
        columns = columns_of(MatrixRows)
        histograms = {}
        if matrix.code_bins is not None:
            histograms = {CODE_COUNTS: matrix.code_bins, CODES_BEYOND: 2}
        heads.append(_EntryHead(Section.LAYERS, name, stated, columns, matrix.tiles, histograms))
    for name, product in chip.products.items():
        stated = attributes_of(product.place) | attributes_of(product.attributes)
        heads.append(_EntryHead(Section.PRODUCTS, name, stated, columns_of(ProductRows), {}, {}))
    for name, place in chip.operations.items():
        stated = attributes_of(place)
        columns = columns_of(FunctionRows)
        heads.append(_EntryHead(Section.OPERATIONS, name, stated, columns, {}, {}))
    return heads


# ---------------------------------------------------------------- what is kept is a number


def _check_head(group: str, entry: _EntryHead) -> None:
    for name, value in {**entry.attributes, **entry.tiles}.items():
        values = np.asarray(value)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise OutOfRangeError(
                f"{group}: {name} is not finite after programming and calibration; look at the "
                "wires, the converters and the device of the study"
            )


def _check_finite(
    path: str, output: NDArray[np.float32], found: Mapping[str, NDArray[Any]]
) -> None:
    """Raise OutOfRangeError, with the place, where a number to be kept is none; no error at all is
    an SNR of infinity."""
    columns = columns_of(ProductRows) | columns_of(FunctionRows)
    for name, values in found.items():
        step, _, column = name.rpartition("/")
        if not columns[column].is_valid(values):
            raise OutOfRangeError(
                f"{path}: {name} is not finite; look at the converters, wires and device of "
                f"{step}, and at the weights of the checkpoint"
            )
    if not np.isfinite(output).all():
        raise OutOfRangeError(
            f"{path}: an output of the head is not finite; look at the weights of the checkpoint"
        )
