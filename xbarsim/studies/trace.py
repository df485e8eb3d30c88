"""The trace of a run, read: one HDF5 file, or the directory of parts that a run under way writes.

`docs/trace.md` is the specification of the layout.  A finished trace is `NAME.h5`.  While a run is
under way, and after it was killed, its trace is the directory `NAME.parts` of files of the same
layout, each of one path; `read_trace` takes either, and the name `NAME.h5` for both.
`xbarsim.studies.trace_writer` writes them.
"""

import hashlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from xbarsim.base.errors import TraceError

FORMAT, VERSION = "xbarsim-trace", 3
READABLE = (2, 3)
ERRORS = {
    "relative_rms": "1",
    "snr_db": "dB",
    "cosine": "1",
    "maximum": "unit of the output",
    "signal_rms": "unit of the output",
    "error_rms": "unit of the output",
}
COUNTS = (
    "dac_saturations",
    "adc_saturations",
    "tile_reads",
    "adc_conversions",
    "dac_drives",
    "shift_adds",
)
LAYER_DATA = (
    {f"{kind}_{name}": unit for kind in ("local", "accumulated") for name, unit in ERRORS.items()}
    | {name: "1" for name in COUNTS}
    | {"array_energy": "J"}
)
PRODUCT_DATA = LAYER_DATA | {"cells_set": "1", "write_energy": "J"}
OPERATION_DATA = {
    name: unit for name, unit in LAYER_DATA.items() if name.startswith(("local_", "accumulated_"))
} | {"saturations": "1"}
MAY_BE_INFINITE = (
    "relative_rms",
    "snr_db",
)  # an error over a signal of 0, a signal without any error
KINDS = ("layers", "products", "operations")

# Root attributes that every reader needs, by type.
NEEDED = {
    "software_version": str,
    "created": str,
    "complete": bool,
    "seed": int,
    "study": str,
    "model": str,
    "model_sha256": str,
    "task": str,
    "task_sha256": str,
    "task_kind": str,
    "metric": str,
    "head": str,
    "classes": int,
    "truncated_sentences": int,
}


def is_count(name):
    """Whether a data set of a matrix, product or operation holds whole numbers."""
    return name in COUNTS or name in ("cells_set", "saturations")


def text_sha256(text):
    """Hex digest of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Sources:
    """What a run was made of beside its study.

    devices, chips : {name in the study: text of the file};  model_files : {file of the checkpoint:
        sha256}
    """

    devices: dict[str, str] = field(default_factory=dict)
    chips: dict[str, str] = field(default_factory=dict)
    model_files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One matrix, product or operation of a chip as read from a trace: `attributes`, and `data`
    {name: (done examples,) or (tiles,)}."""

    attributes: dict
    data: dict


@dataclass(frozen=True)
class Outputs:
    """A path's outputs: output (n, k) float32 and done (n,) bool."""

    output: np.ndarray
    done: np.ndarray


@dataclass(frozen=True)
class Chip(Outputs):
    """A simulated chip: {name: Layer} of its matrices, products of activations and operations."""

    seed: int
    layers: dict
    products: dict
    operations: dict


@dataclass(frozen=True)
class Case:
    study: str
    chips: tuple


@dataclass(frozen=True)
class Trace:
    """A whole trace in memory.

    index, truncated : (n,) place of each example in the task file, and sentences of it that were
        cut; None in a trace of version 2, whose `sources` are empty
    damage : what could not be read, one line each
    """

    path: Path
    attributes: dict
    label: np.ndarray
    tokens: np.ndarray
    reference: dict
    cases: dict
    index: np.ndarray | None = None
    truncated: np.ndarray | None = None
    sources: Sources = Sources()
    damage: tuple[str, ...] = ()


def parts_of(path):
    """The directory of parts of the trace `path` (NAME.h5)."""
    return Path(path).with_suffix(".parts")


def part_files(parts):
    """The files of a directory of parts in their order, without one that was being written when its
    run was killed."""
    return sorted(parts.glob("[0-9]*.h5"))


def read_trace(path: str | Path) -> Trace:
    """Trace of a file, or of the parts of a run that is under way or was killed.

    Of a damaged file everything that can be read is kept; `Trace.damage` says what is lost.

    Parameters
    ----------
    path : NAME.h5 that `run_study` wrote, or NAME.parts while it is under way

    Returns
    -------
    Trace : its data sets, with units, are those of docs/trace.md

    Raises
    ------
    TraceError : missing, not a trace of ours, of another version, or so damaged that nothing can be
        said
    """
    path = Path(path)
    if not path.exists() and parts_of(path).is_dir():
        path = parts_of(path)
    if not path.exists():
        raise TraceError(f"no trace at {path}")
    files = part_files(path) if path.is_dir() else [path]
    if not files:
        raise TraceError(
            f"{path} is a directory without parts of a trace; give one trace, NAME.h5 or NAME.parts"
        )
    reading = _Reading(path)
    for part in files:
        try:
            reading.read(part)
        except FileNotFoundError:
            if path.is_dir() or not path.with_suffix(".h5").is_file():
                raise TraceError(f"{path} changed while it was read; read it again") from None
            return read_trace(
                path.with_suffix(".h5")
            )  # the run has just ended and joined its parts
    return reading.trace()


class _Readable:
    """A binary file for h5py that takes a file as longer than it is: of a file that was cut, what
    is there is read, and reading beyond its end is an error of that data set alone."""

    def __init__(self, path):
        self.file = path.open("rb")
        self.size = path.stat().st_size
        self.position = 0

    def seek(self, offset, whence=0):
        self.position = offset + {0: 0, 1: self.position, 2: 2**62}[whence]
        return self.position

    def tell(self):
        return self.position

    def readinto(self, buffer):
        if self.position + len(buffer) > self.size:
            raise OSError("beyond the end of the file")
        self.file.seek(self.position)
        self.position += len(buffer)
        return self.file.readinto(buffer)

    def read(self, count):
        data = bytearray(count)
        self.readinto(data)
        return bytes(data)

    def flush(self):
        pass

    def close(self):
        self.file.close()


class _Reading:
    """Collects a Trace from one file or several parts of one layout."""

    def __init__(self, path):
        self.path = path
        self.attributes = None
        self.examples = {}
        self.sources = Sources()
        self.reference = {}
        self.cases = {}  # {name: (number, study, {number: Chip})}
        self.damage = []

    def read(self, path):
        """Add one file.  Raises FileNotFoundError, and TraceError where it holds nothing of a
        trace."""
        try:
            with h5py.File(path, "r") as file:
                self._collect(file)
        except FileNotFoundError:
            raise
        except BlockingIOError:
            raise TraceError(
                f"{path} is being written by a run of an older xbarsim; read it when the run has "
                "ended, or a copy of it now"
            ) from None
        except TraceError:
            raise
        except Exception as error:  # see `_try`
            self._read_cut(path, error)

    def _read_cut(self, path, first_error):
        self.damage.append(f"{path.name} is damaged ({_one_line(first_error)})")
        cut = _Readable(path)
        try:
            with h5py.File(cut, "r") as file:
                self._collect(file)
        except TraceError:
            raise
        except Exception:  # nothing of it can be read
            pass
        finally:
            cut.close()

    def _collect(self, file):
        if self.attributes is None:
            self._head(file)
        examples = len(self.examples["label"])
        groups = self._members("the file", file)
        for name, group in self._members("reference", groups.get("reference", {})).items():
            found = self._try(f"reference {name}", _outputs, group, examples)
            if found is not None:
                self.reference[name] = found
        for name, group in self._members("cases", groups.get("cases", {})).items():
            stated = self._try(f"case {name!r}", _case_attributes, group)
            if stated is None:
                continue
            _, _, chips = self.cases.setdefault(name, (*stated, {}))
            for number, of_chip in self._members(f"case {name!r}", group).items():
                found = self._try(f"chip {number} of case {name!r}", _chip, of_chip, examples)
                if found is not None:
                    chips[number] = found

    def _head(self, file):
        attributes = {key: _plain(value) for key, value in file.attrs.items()}
        if attributes.get("format") != FORMAT:
            raise TraceError(f"{self.path} is an HDF5 file, but not a trace of xbarsim")
        if attributes.get("version") not in READABLE:
            raise TraceError(
                f"{self.path} is a trace of version {attributes.get('version')}; this xbarsim "
                f"reads versions {READABLE[0]} to {READABLE[-1]}: install the xbarsim that wrote "
                f"it ({attributes.get('software_version')})"
            )
        wrong = [key for key, kind in NEEDED.items() if not isinstance(attributes.get(key), kind)]
        if wrong:
            raise TraceError(
                f"{self.path} lacks the attributes {', '.join(wrong)}; it is damaged: run the "
                "study again"
            )
        examples = {name: file[f"examples/{name}"][:] for name in ("label", "tokens")}
        if attributes["version"] > 2:
            examples |= {name: file[f"examples/{name}"][:] for name in ("index", "truncated")}
            self.sources = _sources(file["sources"])
        _study(attributes)
        _check_examples(attributes, examples)
        self.attributes = attributes
        self.examples = examples

    def _members(self, what, group):
        """{name: group} of what can be opened in a group; the rest is damage."""
        names = self._try(what, list, group) or ()
        found = {name: self._try(f"{what}: {name}", group.__getitem__, name) for name in names}
        return {name: member for name, member in found.items() if member is not None}

    def _try(self, what, read, *arguments):
        """`read(*arguments)`, or None and a line of damage."""
        try:
            return read(*arguments)
        except Exception as error:  # h5py raises many kinds for a damaged file
            self.damage.append(f"{what} cannot be read ({_one_line(error)})")
            return None

    def trace(self):
        if self.attributes is None:
            raise TraceError(
                f"{self.path} cannot be read as a trace: {'; '.join(self.damage)}; it is truncated "
                "or not HDF5: run the study again"
            )
        in_order = sorted(self.cases.items(), key=lambda item: item[1][0])
        cases = {
            name: Case(study, tuple(chips[number] for number in sorted(chips, key=int)))
            for name, (_, study, chips) in in_order
        }
        return Trace(
            self.path,
            self.attributes,
            self.examples["label"],
            self.examples["tokens"],
            self.reference,
            cases,
            self.examples.get("index"),
            self.examples.get("truncated"),
            self.sources,
            tuple(self.damage),
        )


def _one_line(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _members(group):
    """[group or data set] of a group; h5py's own `values` passes over what cannot be opened."""
    return [group[name] for name in group]


def _sources(group):
    hashes = {name: _text(value) for name, value in group["model"].attrs.items()}
    return Sources(_texts(group["devices"]), _texts(group["chips"]), hashes)


def _texts(group):
    texts = {}
    for entry in _members(group):
        text = _text(entry.attrs["text"])
        if text_sha256(text) != _text(entry.attrs["sha256"]):
            raise ValueError(f"the text of {entry.name} does not have its sha256")
        texts[_text(entry.attrs["name"])] = text
    return texts


def _check_examples(attributes, examples):
    label = examples["label"]
    if any(values.shape != label.shape or values.ndim != 1 for values in examples.values()):
        raise ValueError("the columns of /examples differ in length")
    if (
        attributes["task_kind"] == "labels"
        and not ((0 <= label) & (label < attributes["classes"])).all()
    ):
        raise ValueError(f"labels outside 0 to {attributes['classes'] - 1}")
    if not np.isfinite(label).all() or (examples["tokens"] < 1).any():
        raise ValueError("labels or token counts without sense")


def _case_attributes(group):
    return int(group.attrs["number"]), _study(group.attrs)


def _study(attributes):
    """The TOML text of a study or case, which is whole."""
    text = _text(attributes["study"])
    stated = attributes.get("study_sha256")  # None in version 2
    if stated is not None and text_sha256(text) != _text(stated):
        raise ValueError("the text of the study does not have its sha256")
    tomllib.loads(text)
    return text


def _outputs(group, examples):
    found = Outputs(group["output"][:], group["done"][:].astype(bool))
    if (
        found.done.shape != (examples,)
        or found.output.shape[:1] != (examples,)
        or found.output.ndim != 2
    ):
        raise ValueError(f"{found.output.shape} outputs for {examples} examples")
    return found


def _chip(group, examples):
    outputs = _outputs(group, examples)
    found = {kind: _layers(group[kind], outputs.done) if kind in group else {} for kind in KINDS}
    return Chip(outputs.output, outputs.done, int(group.attrs["seed"]), **found)


def _layers(group, done):
    """{name: Layer} in the order in which they were written."""
    in_order = sorted(_members(group), key=lambda layer: layer.attrs["number"])
    return {layer.name.rpartition("/")[2]: _layer(layer, done) for layer in in_order}


def _layer(group, done):
    data = {}
    for name in group:
        values = group[name][:]
        data[name] = values[done] if name in PRODUCT_DATA or name in OPERATION_DATA else values
    if "local_error_rms" not in data:  # version 2
        for kind in ("local", "accumulated"):
            _repair(data, kind)
    return Layer({key: _plain(value) for key, value in group.attrs.items()}, data)


def _repair(data, kind):
    """The errors of version 2, which were NaN where output or reference are 0, as version 3 states
    them."""
    signal, relative = data[f"{kind}_signal_rms"], data[f"{kind}_relative_rms"]
    exact = np.isnan(relative) & (signal == 0)
    data[f"{kind}_relative_rms"] = np.where(exact, 0.0, relative)
    data[f"{kind}_snr_db"] = np.where(exact, np.inf, data[f"{kind}_snr_db"])
    cosine = data[f"{kind}_cosine"]
    data[f"{kind}_cosine"] = np.where(np.isnan(cosine), exact.astype(float), cosine)
    unknown = (signal == 0) & ~exact
    error = np.where(
        unknown,
        data[f"{kind}_maximum"],
        signal * np.where(unknown, 0.0, data[f"{kind}_relative_rms"]),
    )
    data[f"{kind}_error_rms"] = error
