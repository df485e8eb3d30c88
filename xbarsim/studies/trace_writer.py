"""Writes the trace of a run so that no signal, full disk or killed process costs what is finished.

Nothing that was written is opened for writing again.  A path (a reference, or a chip of a case) is
collected in memory and saved as a file of its own in the directory `NAME.parts`: written beside and
renamed, when it is finished, when the run ends, and meanwhile as often as saving takes little of
the time.  In the end the parts are joined into `NAME.h5` in the same way, and removed.  HDF5 itself
never meets an error of the disk, which it does not survive: it writes into memory, or into a file
that keeps such an error to itself until HDF5 is done.
"""

import contextlib
import datetime
import io
import itertools
import os
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xbarsim import __version__
from xbarsim.base.errors import OutOfRangeError, OutputError, TraceError
from xbarsim.base.files import replacing
from xbarsim.studies.trace import (
    FORMAT,
    LAYER_DATA,
    MAY_BE_INFINITE,
    OPERATION_DATA,
    PRODUCT_DATA,
    VERSION,
    is_count,
    part_files,
    parts_of,
    text_sha256,
)

LIBRARY = ("v110", "v110")  # HDF5 1.10 and later read it; one chunk lies under one checksum
SAVING_SHARE = 0.02  # of the run's time, at most, for saving a path that is not finished


@dataclass(frozen=True)
class _Part:
    """What one part holds.  number : of its file;  groups : {name: attributes};  arrays : {name:
    (values, unit)}"""

    number: int
    path: str
    groups: dict
    arrays: dict

    @property
    def done(self):
        return int(self.arrays[f"{self.path}/done"][0].sum())


class TraceWriter:
    """Writes one trace; use as a context manager.

    `complete` is set only when the block ends without an error.  An error that ends it carries a
    note that says where the trace is and what it holds.
    """

    def __init__(
        self,
        directory,
        name,
        *,
        label,
        label_unit,
        tokens,
        index,
        truncated,
        outputs,
        sources,
        study,
        **attributes,
    ):
        """
        directory, name : the trace is directory/NAME.h5, or NAME-2.h5, ... where that is taken
        label, tokens, index, truncated : (n,), see docs/trace.md
        outputs : int, numbers per example (classes of a head, 1 for a pair's score)
        sources : trace.Sources;  study : its TOML text
        attributes : root attributes beside these (model, task, ...)
        """
        self.path = _claim(Path(directory), name)
        self.parts = parts_of(self.path)
        self.examples = len(label)
        self.outputs = outputs
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        root = {
            "format": FORMAT,
            "version": VERSION,
            "software_version": __version__,
            "created": now,
            "complete": False,
            "study": study,
            "study_sha256": text_sha256(study),
        }
        self.head = _Part(
            0,
            "/",
            {"/": root | attributes} | _source_groups(sources),
            {
                "examples/label": (np.asarray(label), label_unit),
                "examples/tokens": (np.asarray(tokens), "1"),
                "examples/index": (np.asarray(index), "1"),
                "examples/truncated": (np.asarray(truncated), "1"),
            },
        )
        self.cases = {}  # {case: attributes}
        self.chips = Counter()  # of each case
        self.under_way = None
        self.held = {}  # {path: examples in its part}
        self.saved_at = self.saving_took = 0.0
        try:
            self._save(self.head)
        except OutputError as error:
            shutil.rmtree(self.parts, ignore_errors=True)
            raise TraceError(
                f"cannot create the trace: {error}; choose another --out directory"
            ) from None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OutputError):  # nothing more can be written
            error.add_note(self.holds())
            return
        try:
            self._close(complete=error is None)
        except OutputError as unwritten:
            if error is None:
                unwritten.add_note(self.holds())
                raise
            error.add_note(str(unwritten))
        if error is not None:
            error.add_note(self.holds())

    def _close(self, complete):
        """Save what is in memory, and join the parts."""
        self._finish_path()
        if complete:
            self.head.groups["/"]["complete"] = True
            self._save(self.head)
        join_parts(self.parts, self.path)

    def holds(self):
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

    def add_reference(self, name):
        """Begin a digital path (`float32`, `int8`)."""
        self._begin(f"reference/{name}", {}, {})

    def add_case(self, name, study):
        """Begin a case; its chips follow by `add_chip`."""
        number = len(self.cases)
        self.cases[name] = {"study": study, "study_sha256": text_sha256(study), "number": number}

    def add_chip(self, name, seed, layers, products, operations=()):
        """Begin the next chip of a case; returns its path for `write`.

        layers : {matrix: (attributes, {per-tile data set: (tiles,) array})};  products : {name:
            attributes}
        operations : names
        """
        number = self.chips[name]
        self.chips[name] += 1
        path = f"cases/{name}/{number}"
        groups = {f"cases/{name}": self.cases[name], path: {"seed": seed, "number": number}}
        arrays = {}
        entries = [("layers", matrix, LAYER_DATA, *of_layer) for matrix, of_layer in layers.items()]
        entries += [
            ("products", product, PRODUCT_DATA, attributes, {})
            for product, attributes in products.items()
        ]
        entries += [("operations", operation, OPERATION_DATA, {}, {}) for operation in operations]
        for place, (kind, entry, data, attributes, tiles) in enumerate(entries):
            group = f"{path}/{kind}/{entry}"
            _check_attributes(group, attributes | tiles)
            groups[group] = attributes | {"number": place}
            arrays |= {f"{group}/{key}": (np.asarray(values), "1") for key, values in tiles.items()}
            arrays |= {f"{group}/{key}": (self._empty(key), unit) for key, unit in data.items()}
        self._begin(path, groups, arrays)
        return path

    def write(self, path, where, output, **entries):
        """Fill the examples `where` (slice) of the path that was begun last.

        output : (examples, k);  entries : layers, products, operations, each {name: {data set:
            (examples,)}}

        Raises
        ------
        OutOfRangeError : something that is not a finite number; nothing of the batch is kept
        OutputError : the path cannot be saved; what was saved before is whole
        """
        if path != self.under_way.path:
            raise ValueError(f"{path} is not the path under way, {self.under_way.path}")
        found = {
            f"{kind}/{entry}/{name}": values
            for kind, of_kind in entries.items()
            for entry, data in of_kind.items()
            for name, values in data.items()
        }
        _check_finite(path, output, found)
        arrays = self.under_way.arrays
        for name, values in found.items():
            arrays[f"{path}/{name}"][0][where] = values
        arrays[f"{path}/output"][0][where] = output
        arrays[f"{path}/done"][0][where] = 1
        if self.under_way.done == self.examples:
            self._finish_path()
        elif time.monotonic() - self.saved_at >= self.saving_took / SAVING_SHARE:
            self._save_path()

    def _empty(self, name):
        return (
            np.zeros(self.examples, np.int64) if is_count(name) else np.full(self.examples, np.nan)
        )

    def _begin(self, name, groups, arrays):
        self._finish_path()
        outputs = {
            f"{name}/output": (np.full((self.examples, self.outputs), np.nan, np.float32), "1"),
            f"{name}/done": (np.zeros(self.examples, np.uint8), "1"),
        }
        self.under_way = _Part(len(self.held) + 1, name, groups, outputs | arrays)
        self.held[name] = 0
        self.saved_at = time.monotonic()

    def _finish_path(self):
        """Save the path under way and let go of its memory."""
        if self.under_way is not None:
            self._save_path()
            self.under_way = None

    def _save_path(self):
        started = time.monotonic()
        self._save(self.under_way)
        self.held[self.under_way.path] = self.under_way.done
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - started

    def _save(self, part):
        image = io.BytesIO()
        with h5py.File(image, "w", libver=LIBRARY) as file:
            for name, attributes in part.groups.items():
                file.require_group(name).attrs.update(attributes)
            for name, (values, unit) in part.arrays.items():
                dataset = file.create_dataset(
                    name, data=values, chunks=values.shape, fletcher32=True, track_times=False
                )
                dataset.attrs["unit"] = unit
        with replacing(self.parts / f"{part.number:06}.h5", "wb") as file:
            file.write(image.getbuffer())


def _claim(directory, name):
    """The first free NAME.h5, NAME-2.h5, ... of a directory; the directory of its parts is made,
    which claims it."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip(".") or "study"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            path = directory / (f"{stem}.h5" if number == 1 else f"{stem}-{number}.h5")
            with contextlib.suppress(FileExistsError):
                parts_of(path).mkdir()
                if not path.exists():
                    return path
                parts_of(path).rmdir()
    except OSError as error:
        raise TraceError(
            f"cannot create a trace in {directory} ({error.strerror}); choose another --out "
            "directory"
        ) from None


def _source_groups(sources):
    groups = {"sources/model": sources.model_files, "sources/devices": {}, "sources/chips": {}}
    for kind in ("devices", "chips"):
        for number, (name, text) in enumerate(getattr(sources, kind).items()):
            groups[f"sources/{kind}/{number}"] = {
                "name": name,
                "text": text,
                "sha256": text_sha256(text),
            }
    return groups


# ---------------------------------------------------------------- what is kept is a number


def _check_attributes(group, values):
    for name, value in values.items():
        value = np.asarray(value)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise OutOfRangeError(
                f"{group}: {name} is not finite after programming and calibration; look at the "
                "wires, the converters and the device of the study"
            )


def _check_finite(path, output, found):
    """Raise OutOfRangeError, with the place, where a number to be kept is none; no error at all is
    an SNR of infinity."""
    for name, values in found.items():
        may_be_infinite = name.endswith(MAY_BE_INFINITE)
        if (np.isnan(values) if may_be_infinite else ~np.isfinite(values)).any():
            raise OutOfRangeError(
                f"{path}: {name} is not finite; look at the converters, wires and device of "
                f"{name.rpartition('/')[0]}, and at the weights of the checkpoint"
            )
    if not np.isfinite(output).all():
        raise OutOfRangeError(
            f"{path}: an output of the head is not finite; look at the weights of the checkpoint"
        )


# ---------------------------------------------------------------- parts to one file


class _Steady:
    """A binary file for h5py that keeps the first error of the disk instead of raising it: HDF5
    does not survive one.  After it nothing is written any more."""

    def __init__(self, path):
        self.error = None
        self.file = path.open("w+b", buffering=0)

    def _attempt(self, action, *arguments):
        """The result of an action of the file; 0 after an error."""
        if self.error is None:
            try:
                return action(*arguments)
            except OSError as error:
                self.error = error
        return 0

    def seek(self, offset, whence=0):
        return self._attempt(self.file.seek, offset, whence)

    def tell(self):
        return self._attempt(self.file.tell)

    def write(self, data):
        rest = memoryview(data)
        while len(rest) and self.error is None:
            rest = rest[self._attempt(self.file.write, rest) :]
        return len(data)

    def truncate(self, size):
        return self._attempt(self.file.truncate, size)

    def readinto(self, buffer):
        return self._attempt(self.file.readinto, buffer)

    def read(self, count=-1):
        return self._attempt(self.file.read, count)

    def flush(self):
        pass

    def finish(self):
        """Everything onto the disk; raises the error that was kept."""
        self._attempt(os.fsync, self.file.fileno())
        self.file.close()
        if self.error is not None:
            raise self.error


def join_parts(parts, path):
    """Copy all parts into the trace `path`, and remove them when it is there.

    Raises
    ------
    OutputError : it cannot be written; the parts stay as they are
    """
    joined = parts / "joined"
    try:
        target = _Steady(joined)
        with h5py.File(target, "w", libver=LIBRARY) as file:
            for action in (_frame, _copy):
                for part in part_files(parts):
                    with h5py.File(part, "r") as source:
                        action(source, file)
                    file.flush()  # a part lies before the next: of a cut file the first remain
        target.finish()
        joined.replace(path)
    except (OSError, RuntimeError, KeyError) as error:
        with contextlib.suppress(OSError):
            joined.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"the parts of the trace cannot be joined to {path} ({reason}); {parts} is read like "
            "a trace"
        ) from None
    shutil.rmtree(parts, ignore_errors=True)


def _frame(source, target, levels=3):
    """The groups of a part down to its path, empty: their links lie before all data."""
    for name in source:
        if levels and isinstance(source[name], h5py.Group):
            _frame(source[name], target.require_group(name), levels - 1)


def _copy(source, target):
    """A group's attributes and members into another, which may have some of the groups already."""
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name in source:
        if name in target:
            _copy(source[name], target[name])
        else:
            source.copy(name, target)
