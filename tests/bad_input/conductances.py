"""Directories of conductances: the index, and the files that it names."""

import json

import numpy as np
from bad_input.attack import of_call, of_kinds

from xbarsim.arrays.in_situ import conductance_files as files

FILE = {"file": "a.npy", "unit": "1"}
MATRIX = {
    "matrix": "layer.0.query",
    "weights_sha256": "0",
    "inputs": 2,
    "outputs": 2,
    "word_lines": 4,
    "bit_lines": 4,
    "encoding": "differential",
    "sign": "differential",
    "placement": "paired",
    "weight_bits": 8,
    "bits_per_cell": 8,
    "scale_shift": 0.0,
    "slices": 1,
    "signs": 2,
    "minimum_s": 1e-6,
    "maximum_s": 1e-4,
    "step_s": 1e-7,
    "clipped": 0,
    "value": FILE,
    "offset": FILE,
    "clip": FILE,
    "tiles": [],
}
INDEX = {
    "format": "xbarsim-conductances",
    "version": 1,
    "software_version": "0",
    "checkpoint": "m",
    "checkpoint_sha256": "0",
    "study": "",
    "case": "chip",
    "chip": 1,
    "seed": 1,
    "device": "pcm",
    "matrices": [MATRIX],
}


def index(**keys):
    return of_text(json.dumps(INDEX | keys))


def matrix(**keys):
    return index(matrices=[MATRIX | keys])


def of_text(text):
    def read(place):
        (place / "index.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        np.save(place / "a.npy", np.ones((2, 2)))
        return files.sha256_of_directory(place)

    return read


def numbers(values, shape=(2, 2), unit="S"):
    """The conductances of a file of these values."""

    def read(place):
        np.save(place / "a.npy", values)
        entry = files.FileEntry(file="a.npy", unit=unit)
        return files.read_conductances(place, entry, shape, 1e-4)

    return read


ATTACKS = [
    *of_call(
        {
            "no index": (files.read_index, "holds no conductances"),
            "empty": (of_text(""), "index.json cannot be read"),
            "a list": (of_text("[]"), "index.json"),
            "lists in lists": (of_text("[" * 9000), "nested too deep"),
            "5000 digits": (of_text('{"chip": ' + "9" * 5000 + "}"), "4300"),
            "not UTF-8": (of_text(b"\xff"), "index.json cannot be read"),
            "another format": (index(format="magic"), "format = 'magic'"),
            "another version": (index(version=2), "version = 2"),
            "a version of true": (index(version=True), "version = True"),
            "a chip of text": (index(chip="x"), "chip = 'x'"),
            "matrices of text": (index(matrices="x"), "matrices = 'x'"),
            "an unknown key": (index(magic=1), "unknown key 'magic'"),
            "inputs below 0": (matrix(inputs=-2), "inputs = -2"),
            "inputs of text": (matrix(inputs="2"), "inputs = '2'"),
            "a step of NaN": (matrix(step_s=float("nan")), "step_s = nan"),
            "a file at the root": (
                matrix(clip=FILE | {"file": "/etc/passwd"}),
                "outside the directory",
            ),
            "a file above": (matrix(clip=FILE | {"file": "../a.npy"}), "outside the directory"),
            "a file that is gone": (matrix(clip=FILE | {"file": "b.npy"}), "b.npy is missing"),
            "a file of a NUL": (matrix(clip=FILE | {"file": "a\0.npy"}), "outside the directory"),
            "a file with another hash": (
                matrix(clip=FILE | {"sha256": "0" * 64}),
                "is not the file of index.json",
            ),
            "negative conductances": (numbers(-np.ones((2, 2))), "holds -1 S at word line 0"),
            "conductances of NaN": (numbers(np.full((2, 2), np.nan)), "holds nan at row 0"),
            "conductances of another unit": (numbers(np.ones((2, 2))), "state its unit"),
            "another shape": (
                numbers(np.ones((3, 2)) * 1e-5),
                r"shape \(3, 2\); allowed: \(2, 2\)",
            ),
            "an unknown unit": (numbers(np.ones((2, 2)), unit="furlong"), "'furlong'; allowed: S"),
        }
    ),
    *of_kinds("index.json", lambda path: files.read_index(path.parent)),
]
