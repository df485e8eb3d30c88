"""Arrays and their circuit: `xbarsim solve` of .npy, .csv and HDF5 files."""

import pickle

import h5py
import numpy as np
from bad_input.attack import Attack, of_kinds, of_text

GOOD = np.full((3, 3), 1e-5)


def of_options(*words):
    """A good crossbar and wrong words beside it."""

    def do(place):
        np.save(place / "g.npy", GOOD)
        np.save(place / "v.npy", np.ones(3))
        return [
            "solve",
            place / "g.npy",
            "--input",
            place / "v.npy",
            "--out",
            place / "o.h5",
            *words,
        ]

    return do


def of_array(write, name="g.npy"):
    """A file that `write` makes of its path."""

    def do(place):
        write(place / name)
        return ["solve", place / name]

    return do


def npy(array):
    return of_array(lambda path: np.save(path, array, allow_pickle=True))


def header(text, tail=b""):
    """A .npy file of this header."""
    stated = text.encode().ljust(118) + b"\n"
    content = b"\x93NUMPY\x01\0" + len(stated).to_bytes(2, "little") + stated + tail
    return of_array(lambda path: path.write_bytes(content))


def hdf5(make):
    def write(path):
        with h5py.File(path, "w") as file:
            make(file)

    return of_array(write, "g.h5")


def huge(file):
    file.create_dataset("g", (10**6, 10**6), "f8", chunks=(100, 100))


def elsewhere(file):
    file.create_dataset("g", (2, 2), "f8", external=[("/etc/hostname", 0, 32)])


def virtual(file):
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "g", (2, 2))
    file.create_virtual_dataset("g", layout)


def two(file):
    file["a"] = GOOD
    file["b"] = GOOD


def words(file):
    file["g"] = ["a", "b"]


def nothing(file):
    file["g"] = h5py.Empty("f8")


CSV = {
    "no numbers": ("a,b\n1,2\n", "line 1: not numbers"),
    "lines of unequal lengths": ("1,2\n3\n", "line 2: 1 columns"),
    "an empty file": ("", "the file is empty"),
    "decimal commas": ("0,05,0,03\n0,02,0,01\n", "decimal commas"),
    "not UTF-8": (b"1,2\n\xff,3\n", "not an array of numbers"),
    "a negative conductance": ("1,-2\n3,4\n", r"conductance is -2 S at \(0, 1\); allowed: 0 S"),
    "NaN": ("nan,1\n", r"conductance is nan S at \(0, 0\)"),
}
OPTIONS = {
    "settle of 1e300": (("--settle", "1e300,1e300"), "1e.300 F; allowed: at most 1 F"),
    "settle of 1e-300": (("--settle", "1e-300,1e-300"), "1e-300 F; allowed: above 0 F"),
    "settle of NaN": (("--settle", "nan,1e-15"), "capacitance is nan F"),
    "settle of nothing": (("--settle", ","), "settle"),
    "settle of one number": (("--settle", "1e-15"), "settle"),
    "settle of text": (("--settle", "a,b"), "settle|a,b|number"),
    "a tolerance of 0": (("--settle", "1e-15,1e-15", "--within", "0"), "within is 0.0"),
    "a tolerance of 1e-300": (
        ("--settle", "1e-15,1e-15", "--within", "1e-300"),
        "within is 1e-300; allowed: 1e-12 to 1",
    ),
    "a wire of text": (("--word-line", "x"), "x: no such file"),
    "a negative wire": (("--word-line=-1",), "word_line_resistance is -1 ohm"),
    "a wire of NaN": (("--bit-line", "nan"), "bit_line_resistance is nan ohm"),
    "a cell that is none": (("--cell", "magic:1"), "magic"),
    "a cell without its number": (("--cell", "sinh:"), "sinh"),
    "a cell of NaN": (("--cell", "sinh:nan"), "voltage_scale is nan"),
    "a table of pickles": (("--cell", "table:/dev/zero"), "is a device"),
    "a bias of text": (("--bias", "x.npy"), "no such file"),
    "a unit that is none": (("--unit", "furlong"), "furlong"),
    "a side that is none": (("--drive", "up"), "up"),
    "a line beyond": (("--floating-word-lines", "7"), "line 7; allowed: 0 to 2"),
}
ATTACKS = [
    *of_text("g.csv", ["solve", "FILE"], CSV),
    *of_kinds("g.npy", ["solve", "FILE"]),
    *(Attack(name, of_options(*given), message) for name, (given, message) in OPTIONS.items()),
    Attack("an empty npy", of_array(lambda path: path.write_bytes(b"")), "not an array"),
    Attack("text in npy", npy(np.array([["a", "b"]])), "holds text; give real numbers"),
    Attack("complex numbers", npy(np.full((2, 2), 1j)), "complex numbers"),
    Attack("objects in npy", npy(np.array([[{}]], object)), "Python objects, which are not loaded"),
    Attack(
        "a pickle",
        of_array(lambda path: path.write_bytes(pickle.dumps(GOOD))),
        "not an array of numbers",
    ),
    Attack("three dimensions", npy(np.zeros((2, 2, 2))), r"shape \(2, 2, 2\); allowed: a matrix"),
    Attack("no lines", npy(np.zeros((0, 3))), "conductance has shape"),
    Attack(
        "a header of terabytes",
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}", b"\0" * 64),
        "states 8,000,000,000,000 bytes of shape .* the file has 64",
    ),
    Attack(
        "a header of a negative shape",
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, 3)}"),
        "g.npy",
    ),
    Attack("a header that is code", header("__import__('os').getcwd()"), "not an array of numbers"),
    Attack("a header of brackets", header("(" * 110), "not an array of numbers"),
    Attack(
        "a header of records",
        header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        "records",
    ),
    Attack("an archive", of_array(lambda path: np.savez(path.open("wb"), g=GOOD)), "not an array"),
    Attack("HDF5 that is none", of_array(lambda path: path.write_bytes(b"x" * 99), "g.h5"), "g.h5"),
    Attack("HDF5 of terabytes", hdf5(huge), r"shape \(1000000, 1000000\); allowed: at most"),
    Attack("HDF5 kept elsewhere", hdf5(elsewhere), "kept in another file, which is not opened"),
    Attack("a virtual data set", hdf5(virtual), "kept in another file, which is not opened"),
    Attack("two data sets", hdf5(two), "holds 2 data sets; name one"),
    Attack("words in HDF5", hdf5(words), "no numbers"),
    Attack("nothing in HDF5", hdf5(nothing), "g.h5"),
    Attack(
        "a suffix that is none", of_array(lambda path: path.write_text("1"), "g.dat"), "allowed"
    ),
    Attack("a name without an end", lambda place: ["solve", "x" * 5000 + ".npy"], "no such file"),
]
