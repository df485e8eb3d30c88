"""The public names of xbarsim, called from Python with what they cannot take."""

import numpy as np
from bad_input.attack import Attack

import xbarsim
from xbarsim import cells

G = np.full((3, 3), 1e-5)
VOLTS = np.ones(3)
TABLES = {"mapping": {"word_lines": 8, "bit_lines": 8}}
WEIGHT = np.linspace(-1, 1, 12).reshape(3, 4)
SAMPLES = np.linspace(-1, 1, 32).reshape(8, 4)
RAGGED = [[1e-5, 2e-5], [1e-5]]


def deep():
    found = []
    for _ in range(3000):
        found = [found]
    return found


def crossbar(conductance=G, **arguments):
    return lambda place: xbarsim.Crossbar(conductance, **arguments)


def method(name, *arguments, **more):
    return lambda place: getattr(xbarsim.Crossbar(G), name)(*arguments, **more)


def analog(weight=WEIGHT, tables=TABLES, **arguments):
    return lambda place: xbarsim.AnalogMatrix(
        weight, tables, **({"samples": SAMPLES, "seed": 1} | arguments)
    )


def call(name, *arguments, **more):
    return lambda place: getattr(xbarsim, name)(*arguments, **more)


PATH = "allowed: a path without NUL"
STUDY = "allowed: what load_study returns"
NUMBERS = "give real numbers"
ROWS = {
    "conductance None": (crossbar(None), f"conductance holds objects; {NUMBERS}"),
    "conductance of text": (crossbar([["a"]]), f"conductance holds text; {NUMBERS}"),
    "conductance of unequal lists": (crossbar(RAGGED), f"conductance: .*{NUMBERS}"),
    "conductance of complex numbers": (crossbar(G * 1j), "complex numbers"),
    "conductance of dates": (crossbar(np.array([["2020"]], "M8")), "dates"),
    "conductance of lists in lists": (crossbar(deep()), NUMBERS),
    "conductance of 10^400": (crossbar([[10**400]]), NUMBERS),
    "conductance masked": (crossbar(np.ma.masked_less(G, 1)), "masked array"),
    "conductance of one line": (crossbar(VOLTS), "conductance has shape"),
    "conductance below 0": (crossbar(-G), r"conductance is -1e-05 S at \(0, 0\); allowed"),
    "conductance NaN": (crossbar(G * np.nan), "conductance is nan S"),
    "wires of text": (crossbar(word_line_resistance="x"), "word_line_resistance holds text"),
    "wires of another shape": (
        crossbar(bit_line_resistance=[1, 2]),
        "bit_line_resistance has shape",
    ),
    "drive of an array": (crossbar(drive=G), "drive is .*allowed: 'left'"),
    "drive of lists in lists": (crossbar(drive=deep()), "drive is a list; allowed: 'left'"),
    "sense of a number": (crossbar(sense=3), "sense is 3; allowed: 'bottom'"),
    "transposed of text": (
        crossbar(transposed="no"),
        "transposed is 'no'; allowed: True and False",
    ),
    "floating lines of unequal lists": (
        crossbar(floating_word_lines=RAGGED),
        "floating_word_lines: .*allowed: a mask",
    ),
    "floating lines beyond": (crossbar(floating_bit_lines=[3]), "line 3; allowed: 0 to 2"),
    "floating lines of another length": (
        crossbar(floating_bit_lines=[True, False]),
        r"mask of shape \(2,\)",
    ),
    "a cell of text": (crossbar(cell="sinh"), "cell is 'sinh'; allowed: None, Sinh"),
    "access of a cell": (crossbar(access=cells.Sinh(0.3)), "access is .*allowed: None"),
    "a cell up to NaN": (lambda place: cells.Sinh(0.3, float("nan")), "valid_voltage is nan"),
    "a cell up to an array": (lambda place: cells.Sinh(0.3, G), "valid_voltage is"),
    "a cell of None": (lambda place: cells.Sinh(None), "voltage_scale holds objects"),
    "voltages None": (method("solve", None), "input_voltage holds objects"),
    "voltages of another length": (method("solve", np.ones(4)), "input_voltage has shape"),
    "voltages NaN": (method("solve", VOLTS * np.nan), "input_voltage is nan V"),
    "a tolerance below 0": (method("solve", VOLTS, tolerance=-1.0), "tolerance is -1.0"),
    "steps of 2^64": (
        method("solve", VOLTS, steps=2**64),
        r"steps is \d+; allowed: a whole number",
    ),
    "steps of a float": (method("solve", VOLTS, steps=1.5), "steps is 1.5"),
    "settling of 1e300 F": (method("settle", VOLTS, 1e300, 1e300), "allowed: at most 1 F"),
    "settling of 1e308 F": (method("settle", VOLTS, 1e308, 1e-15), "allowed: at most 1 F"),
    "settling of 5e-324 F": (method("settle", VOLTS, 5e-324, 1e-15), "allowed: above 0 F"),
    "settling of a batch": (method("settle", np.ones((2, 3)), 1e-15, 1e-15), "batch of 2"),
    "settling within 2": (method("settle", VOLTS, 1e-15, 1e-15, within=2), "within is 2"),
    "settling as exact as 1e-300": (
        method("settle", VOLTS, 1e-15, 1e-15, accuracy=1e-300),
        "accuracy is 1e-300|no step is exact enough|not settled",
    ),
    "settling as exact as 1e-9": (
        method("settle", VOLTS, 1e-15, 1e-15, accuracy=1e-9),
        "accuracy is 1e-09; allowed|no step is exact enough|not settled",
    ),
    "weights None": (analog(None), "weight holds objects"),
    "weights of unequal lists": (analog(RAGGED), NUMBERS),
    "weights NaN": (analog(WEIGHT * np.nan), "weight holds nan; allowed: finite"),
    "tables of a list": (analog(tables=[1]), "study|tables"),
    "tables with a wrong key": (analog(tables={"mapping": {"magic": 1}}), "magic"),
    "samples of another width": (analog(samples=SAMPLES[:, :2]), "samples has shape"),
    "a matrix's seed of text": (analog(seed="x"), "seed is 'x'; allowed: a whole number"),
    "a matrix's seed of 2^64": (analog(seed=2**64), r"seed is \d+; allowed"),
    "a matrix's seed of True": (analog(seed=True), "seed is True"),
    "a matrix's name of a list": (analog(name=[1]), r"name is \[1\]; allowed: a text"),
    "a matrix's name of half a character": (analog(name="\ud800"), "half a character"),
    "inputs of text": (
        lambda place: analog()(place).multiply([["a"] * 4]),
        "x holds text",
    ),
    "a first row of 2^64": (
        lambda place: analog()(place).multiply(SAMPLES, first_row=2**64),
        r"first_row is \d+; allowed",
    ),
    "load_study None": (call("load_study", None), PATH),
    "load_study of a mapping": (call("load_study", {}), PATH),
    "read_trace None": (call("read_trace", None), PATH),
    "read_trace of bytes": (call("read_trace", b"x.h5"), PATH),
    "summarise None": (call("summarise", None), "allowed: what read_trace returns"),
    "summarise of a path": (call("summarise", "x.h5"), "allowed: what read_trace returns"),
    "run_study None": (call("run_study", None, "runs"), STUDY),
    "run_study of a path": (call("run_study", "default", "runs"), STUDY),
    "run_study nowhere": (call("run_study", xbarsim.load_study("default"), None), PATH),
    "sweep_study None": (call("sweep_study", None, "runs"), STUDY),
    "budget_study None": (call("budget_study", None, "runs"), STUDY),
    "open_budget None": (call("open_budget", None), PATH),
    "fetch None": (call("fetch", None), "name is None; allowed: a text"),
    "fetch of half a character": (call("fetch", "\ud800"), "half a character"),
    "evaluate None": (call("evaluate", None, "vader-movie"), PATH),
    "evaluate of another reference": (
        call("evaluate", "all-MiniLM-L6-v2", "vader-movie", "magic"),
        "magic",
    ),
    "generate None": (call("generate", None, None, "x"), "allowed: the model of load_network"),
    "compare None": (call("compare", None), "chips is None; allowed"),
    "compare of numbers": (call("compare", [1]), "chip is 1; allowed: a path"),
    "compare nothing": (call("compare", []), r"chips is \[\]; allowed: one chip or more"),
    "compare a batch of text": (call("compare", "differential", batch="x"), "batch is 'x'"),
    "compare a sequence of none": (
        call("compare", "differential", sequence=0),
        "sequence is 0|0 tok",
    ),
    "compare a phase of a list": (call("compare", "differential", phase=[1]), r"phase \[1\]"),
    "wires None": (call("wire_resistances", None), "wires is None; allowed: keys"),
    "wires of a list of pairs": (call("wire_resistances", [("node", "32nm")]), "wires is"),
    "wires of numbers": (call("wire_resistances", {1: 2}), "wires is"),
    "wires with a wrong key": (call("wire_resistances", {"nodes": "32nm"}), "did you mean 'node'"),
}
ATTACKS = [Attack(name, do, message) for name, (do, message) in ROWS.items()]
