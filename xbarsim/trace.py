"""The trace of a run: one HDF5 file, written batch by batch, readable at any moment.

Layout (n examples; every data set has an attribute `unit`)::

    /                     attributes: format, version, software_version, created, seed, study (TOML), model,
                          model_sha256, heads (of the attention; absent in older traces), task, task_sha256,
                          task_kind (labels or pairs), metric, head, classes (how many; 0 of scores),
                          truncated_sentences (how many were cut to the maximum length), complete
    /examples/label       (n,) class or score;  /examples/tokens (n,) tokens of the example
    /reference/<path>     float32 and int8: output (n, k), done (n,)
    /cases/<case>         attributes: study (TOML of this case), number (in the order of writing, from 0)
    /cases/<case>/<chip>  simulated chip 0, 1, ...: attributes: seed, number; output (n, k), done (n,)
    /cases/<case>/<chip>/layers/<matrix>
                          attributes: inputs, outputs, tiles, cells, clipped_weights, stuck_on, stuck_off,
                          bounded_cells, rounded_cells, unverified_cells, write_pulses, write_energy (J, absent if
                          the device does not state it), adc_bits, dac_bits (0: ideal), number (as of a case, over
                          matrices, products and operations)
        local_*           error of this matrix alone: analog output against the float32 product of the same input
        accumulated_*     analog output against the output of the float32 path
                          relative_rms, snr_db, cosine, maximum, signal_rms: (n,)
        dac_saturations, adc_saturations, tile_reads, adc_conversions, dac_drives, shift_adds: (n,) counts
        array_energy      (n,) joule delivered by the word-line drivers
        attenuation_mean, attenuation_std: (tiles,) achieved current over the current without wire resistance
    /cases/<case>/<chip>/products/<name>
                          a product of two activations that is not left digital (`layer.0.attention_scores`):
                          attributes: adc_bits, dac_bits; everything of a matrix but the attenuation, and
        cells_set         (n,) cells written, or switches set, for the second operand
        write_energy      (n,) joule of these writes, 0 where the device states none
    /cases/<case>/<chip>/operations/<name>
                          a step without weight matrix that is not left in float32 (`layer.0.attention_softmax`):
        local_*, accumulated_*   as of a matrix
        saturations              (n,) codes held at the end of their range

All data sets have their final size from the start and are filled in place; `done` marks the examples that are there.  A
killed run therefore leaves a valid file with everything that had been flushed.
"""
import datetime
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xbarsim import __version__
from xbarsim.errors import TraceError

FORMAT, VERSION = "xbarsim-trace", 2
ERRORS = {"relative_rms": "1", "snr_db": "dB", "cosine": "1", "maximum": "unit of the output",
          "signal_rms": "unit of the output"}
COUNTS = ("dac_saturations", "adc_saturations", "tile_reads", "adc_conversions", "dac_drives", "shift_adds")
LAYER_DATA = ({f"{kind}_{name}": unit for kind in ("local", "accumulated") for name, unit in ERRORS.items()}
              | {name: "1" for name in COUNTS} | {"array_energy": "J"})
PRODUCT_DATA = LAYER_DATA | {"cells_set": "1", "write_energy": "J"}
OPERATION_DATA = ({name: unit for name, unit in LAYER_DATA.items() if name.startswith(("local_", "accumulated_"))}
                  | {"saturations": "1"})


class TraceWriter:
    """Writes one trace; use as a context manager.  `complete` is set only when the block ends without an error."""

    def __init__(self, path, *, labels, label_unit, tokens, outputs, **attributes):
        """
        path : file to create; its directory is made
        labels, tokens : (n,);  outputs : int, numbers per example (classes of a head, 1 for a pair's score)
        attributes : root attributes beside those of the format (study, model, task, ...)
        """
        self.path = Path(path)
        self.examples, self.outputs = len(labels), outputs
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = h5py.File(self.path, "w-")
        except OSError as error:
            raise TraceError(f"cannot create the trace {self.path}: {error}; choose another --out directory") from None
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        root = {"format": FORMAT, "version": VERSION, "software_version": __version__, "created": now,
                "complete": False}
        self.file.attrs.update(root | attributes)
        self._array("examples/label", np.asarray(labels), label_unit)
        self._array("examples/tokens", np.asarray(tokens), "1")
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self.file.attrs["complete"] = True
        self.file.close()

    def _array(self, name, data, unit):
        dataset = self.file.create_dataset(name, data=data, track_times=False)
        dataset.attrs["unit"] = unit
        return dataset

    def _outputs(self, group):
        self._array(f"{group}/output", np.full((self.examples, self.outputs), np.nan, np.float32), "1")
        self._array(f"{group}/done", np.zeros(self.examples, np.uint8), "1")

    def add_reference(self, name):
        """Make room for a digital path (`float32`, `int8`)."""
        self._outputs(f"reference/{name}")
        self.file.flush()

    def add_case(self, name, study):
        """Make room for a case; its chips follow by `add_chip`."""
        number = len(self.file.get("cases", ()))
        self.file.create_group(f"cases/{name}").attrs.update({"study": study, "number": number})

    def add_chip(self, name, seed, layers, products, operations=()):
        """Make room for the next chip of a case; returns its path for `write`.

        layers : {matrix: (attributes, {per-tile data set: (tiles,) array})};  products : {name: attributes}
        operations : names
        """
        number = len(self.file[f"cases/{name}"])
        path = f"cases/{name}/{number}"
        self._outputs(path)
        self.file[path].attrs.update({"seed": seed, "number": number})
        entries = [("layers", matrix, LAYER_DATA, *of_layer) for matrix, of_layer in layers.items()]
        entries += [("products", product, PRODUCT_DATA, attributes, {}) for product, attributes in products.items()]
        entries += [("operations", operation, OPERATION_DATA, {}, {}) for operation in operations]
        for number, (kind, entry, data, attributes, tiles) in enumerate(entries):
            group = f"{path}/{kind}/{entry}"
            self._empty(group, data)
            for key, values in tiles.items():
                self._array(f"{group}/{key}", values, "1")
            self.file[group].attrs.update(attributes | {"number": number})
        self.file.flush()
        return path

    def _empty(self, group, data):
        for name, unit in data.items():
            counts = name in (*COUNTS, "cells_set", "saturations")
            empty = np.zeros(self.examples, np.int64) if counts else np.full(self.examples, np.nan)
            self._array(f"{group}/{name}", empty, unit)

    def write(self, path, where, output, **entries):
        """Fill the examples `where` (slice) of `reference/NAME` or of a chip.

        output : (examples, k);  entries : layers, products, operations, each {name: {data set: (examples,)}}
        """
        group = self.file[path]
        for kind, of_kind in entries.items():
            for entry, data in of_kind.items():
                for name, values in data.items():
                    group[f"{kind}/{entry}/{name}"][where] = values
        group["output"][where] = output
        group["done"][where] = 1
        self.file.flush()


@dataclass(frozen=True)
class Layer:
    """One matrix, product or operation of a chip as read from a trace: `attributes`, and `data` {name: (done examples,) or
    (tiles,)}."""

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
    """A whole trace in memory."""

    path: Path
    attributes: dict
    label: np.ndarray
    tokens: np.ndarray
    reference: dict
    cases: dict


def read_trace(path):
    """Trace of a file.

    Raises
    ------
    TraceError : missing, truncated, not a trace of ours, or of another version
    """
    path = Path(path)
    if not path.is_file():
        raise TraceError(f"no trace at {path}")
    try:
        with h5py.File(path, "r") as file:
            attributes = {key: value.item() if isinstance(value, np.generic) else value
                          for key, value in file.attrs.items()}
            if attributes.get("format") != FORMAT:
                raise TraceError(f"{path} is an HDF5 file, but not a trace of xbarsim")
            if attributes["version"] != VERSION:
                raise TraceError(f"{path} is a trace of version {attributes['version']}; this xbarsim reads version "
                                 f"{VERSION}: install the xbarsim that wrote it ({attributes['software_version']})")
            reference = {name: _outputs(group) for name, group in file.get("reference", {}).items()}
            cases = {name: _case(group) for name, group in _in_order(file.get("cases", {}))}
            return Trace(path, attributes, file["examples/label"][:], file["examples/tokens"][:], reference, cases)
    except BlockingIOError:
        raise TraceError(f"{path} is being written by a run; read it when the run has ended, or a copy of it now") from None
    except (OSError, KeyError, RuntimeError) as error:
        raise TraceError(f"{path} cannot be read as a trace ({error}); it is truncated or not HDF5: run the study "
                         "again") from None


def _outputs(group):
    return Outputs(group["output"][:], group["done"][:].astype(bool))


def _case(group):
    return Case(group.attrs["study"], tuple(_chip(chip) for _, chip in _in_order(group)))


def _chip(group):
    done = group["done"][:].astype(bool)
    found = {
        kind: {name: Layer({key: value.item() for key, value in layer.attrs.items()},
                           {key: dataset[:][done] if key in PRODUCT_DATA | OPERATION_DATA else dataset[:]
                            for key, dataset in layer.items()})
               for name, layer in _in_order(group.get(kind, {}))} for kind in ("layers", "products", "operations")}
    return Chip(group["output"][:], done, int(group.attrs["seed"]), **found)


def _in_order(group):
    """(name, group) pairs in the order in which they were written."""
    return sorted(group.items(), key=lambda item: item[1].attrs["number"])
