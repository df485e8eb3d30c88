"""Traces: `xbarsim report FILE`."""

import functools
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
from bad_input.attack import Attack, of_kinds, of_text
from full_trace import make_full_place


@functools.cache
def whole():
    """The file of a run that holds everything a trace can hold."""
    place = Path(tempfile.mkdtemp())
    make_full_place(place)
    return place / "runs" / "tiny.h5"


def changed(change, *words):
    """A report of a trace that `change` has opened."""

    def do(place):
        path = place / "t.h5"
        shutil.copy(whole(), path)
        with h5py.File(path, "r+") as file:
            change(file)
        return ["report", path, *words]

    return do


def attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return changed(change)


def without(name):
    def change(file):
        del file[name]

    return changed(change)


def without_attribute(name):
    def change(file):
        del file.attrs[name]

    return changed(change)


def link(name, target):
    def change(file):
        del file[name]
        file[name] = target

    return changed(change)


def values(name, change_values):
    def change(file):
        found = file[name][()]
        del file[name]
        file[name] = change_values(found)

    return changed(change)


def cut(share):
    def do(place):
        content = whole().read_bytes()
        (place / "t.h5").write_bytes(content[: int(share * len(content))])
        return ["report", place / "t.h5"]

    return do


def other(place):
    with h5py.File(place / "t.h5", "w") as file:
        file["a"] = 1
    return ["report", place / "t.h5"]


DAMAGED = "cannot be read as a trace|is damaged"
ROWS = {
    "cut at a hundredth": (cut(0.01), DAMAGED),
    "another HDF5 file": (other, "not a trace of xbarsim"),
    "no file": (lambda place: ["report", place / "no.h5"], "no trace at"),
    "another version": (attribute("version", 99), "version 99; this xbarsim reads"),
    "a version of escapes": (attribute("version", "\x1b[2J"), r"version \\x1b\[2J"),
    "a version of text": (attribute("version", "5"), "version 5; this xbarsim reads"),
    "no version": (without_attribute("version"), "version None"),
    "no seed": (without_attribute("seed"), "lacks the attributes seed"),
    "a seed of text": (attribute("seed", "x"), "lacks the attributes seed"),
    "a negative seed": (attribute("seed", -1), "seed is -1; allowed: 0 or more"),
    "a metric that is none": (attribute("metric", "magic"), "metric is 'magic'; allowed: accuracy"),
    "a kind that is none": (
        attribute("task_kind", "x\x1b"),
        r"task_kind is 'x\\x1b'; allowed: pairs",
    ),
    "a billion classes": (attribute("classes", 10**9), "classes is 1000000000; allowed: at most"),
    "classes of NaN": (attribute("classes", np.nan), "lacks the attributes classes"),
    "classes of a list": (attribute("classes", [1, 2]), "lacks the attributes classes"),
    "another study": (attribute("study", 'name = "x"'), "does not have its sha256"),
    "no study": (without_attribute("study"), "lacks the attributes study"),
    "no examples": (without("examples"), DAMAGED),
    "no labels": (without("examples/label"), DAMAGED),
    "labels of text": (values("examples/label", lambda found: found.astype("S")), "holds text"),
    "labels of NaN": (values("examples/label", lambda found: found * np.nan), DAMAGED),
    "labels beyond": (values("examples/label", lambda found: found + 99), "labels outside 0 to 1"),
    "labels cut": (values("examples/label", lambda found: found[:-1]), "differ in length"),
    "labels of one number": (values("examples/label", lambda found: 1.0), "is no array"),
    "no tokens": (values("examples/tokens", lambda found: found * 0), "token counts"),
    "10^15 tokens": (values("examples/tokens", lambda found: found + 10**15), "allowed: 0 to"),
    "examples elsewhere": (link("examples", h5py.ExternalLink("other.h5", "/")), "not followed"),
    "examples that are the file": (link("examples", h5py.SoftLink("/")), "not followed"),
    "NaN outputs": (
        values("reference/float32/output", lambda found: found * np.nan),
        "nan|finite|not a number",
    ),
}
ATTACKS = [
    *(Attack(name, do, message) for name, (do, message) in ROWS.items()),
    *of_text("t.h5", ["report", "FILE"], {"empty": ("", DAMAGED), "text": ("x" * 999, DAMAGED)}),
    *of_kinds("t.h5", lambda path: ["report", path])[:2],
]
