"""The 33 frozen ngspice cases: `python tests/ngspice_cases.py` writes ngspice_cases.json again
(needs ngspice).

The netlists are written here, resistor by resistor, with node names and an order of their own: no
line of the package is used.  A cell without resistance is a short, one of infinite resistance is
left out; an ideal wire is a 0 V source.
"""

import json
import math
import re
import subprocess
import tempfile
from pathlib import Path

PATH = Path(__file__).with_name("ngspice_cases.json")
INFINITE = "inf"  # JSON has no infinity


def ramp(m, n):
    """10, 20, 30 ... ohm, row by row."""
    return [[10.0 * (1 + i * n + j) for j in range(n)] for i in range(m)]


def with_cells(cells, **changed):
    """A copy of `cells` with `r<i>_<j>` = value."""
    cells = [list(row) for row in cells]
    for name, value in changed.items():
        i, j = map(int, name[1:].split("_"))
        cells[i][j] = value
    return cells


def cases():
    """33 of them: (name, cells in ohm, word-line ohm, bit-line ohm, input V)."""
    found = []

    def add(name, cells, word, bit, volts=None):
        found.append(
            {
                "name": name,
                "cell_ohm": cells,
                "word_line_ohm": word,
                "bit_line_ohm": bit,
                "input_v": volts
                or ([float(i) for i in range(len(cells))] if len(cells) > 1 else [1.0]),
            }
        )

    for m, n in ((5, 4), (4, 5), (1, 1), (1, 6), (6, 1), (3, 7), (10, 10)):  # shapes and wires: 14
        add(f"{m}x{n}", ramp(m, n), 1.0, 2.0)
        add(f"{m}x{n}, other wires", ramp(m, n), 20.0, 0.5)
    for word, bit in ((0.0, 0.0), (0.0, 2.0), (1.0, 0.0)):  # ideal wires: 9
        add(f"5x4, wires {word} and {bit}", ramp(5, 4), word, bit)
        add(f"one word line, wires {word} and {bit}", ramp(1, 4), word, bit)
        add(f"one bit line, wires {word} and {bit}", ramp(4, 1), word, bit)
    square = ramp(5, 4)  # open and shorted: 8
    add("one open cell", with_cells(square, r2_1=INFINITE), 1.0, 2.0)
    add(
        "an open word line",
        with_cells(square, r3_0=INFINITE, r3_1=INFINITE, r3_2=INFINITE, r3_3=INFINITE),
        1.0,
        2.0,
    )
    add("an open bit line", with_cells(square, **{f"r{i}_2": INFINITE for i in range(5)}), 1.0, 2.0)
    add("nothing but open cells", [[INFINITE] * 4 for _ in range(5)], 1.0, 2.0)
    add("one shorted cell", with_cells(square, r2_1=0.0), 1.0, 2.0)
    add(
        "shorts on a diagonal", with_cells(square, r0_0=0.0, r1_1=0.0, r2_2=0.0, r3_3=0.0), 1.0, 2.0
    )
    add("nothing but shorts", [[0.0] * 4 for _ in range(5)], 1.0, 2.0)
    add(
        "short and open beside ideal word lines",
        with_cells(square, r1_2=0.0, r4_0=INFINITE),
        0.0,
        2.0,
    )
    add("voltages of both signs", square, 1.0, 2.0, [0.3, -1.0, 0.0, 2.5, -0.7])  # inputs: 2
    add("a single driven line", square, 1.0, 2.0, [0.0, 0.0, 1.0, 0.0, 0.0])
    return found


def netlist(case):
    """SPICE text: driven at the left, the last segment of a bit line ends at a 0 V source."""
    cells, volts = case["cell_ohm"], case["input_v"]
    lines, last = (
        [case["name"], ".options reltol=1e-12 abstol=1e-20 vntol=1e-15 gmin=1e-20"],
        len(cells) - 1,
    )

    def wire(name, a, b, ohm):
        lines.append(f"r{name} {a} {b} {ohm!r}" if ohm else f"v{name} {a} {b} 0")

    for j in reversed(range(len(cells[0]))):
        for i, row in enumerate(cells):
            wire(
                f"row{i}x{j}",
                f"p{i}x{j - 1}" if j else f"in{i}",
                f"p{i}x{j}",
                case["word_line_ohm"],
            )
            wire(
                f"col{i}x{j}",
                f"q{i}x{j}",
                f"q{i + 1}x{j}" if i < last else f"out{j}",
                case["bit_line_ohm"],
            )
            if row[j] != INFINITE:
                wire(f"cell{i}x{j}", f"p{i}x{j}", f"q{i}x{j}", row[j])
        lines.append(f"vout{j} out{j} 0 0")
    lines += [f"vin{i} in{i} 0 {v!r}" for i, v in enumerate(volts)]
    prints = [f"print i(vout{j})" for j in range(len(cells[0]))]
    return "\n".join([*lines, ".control", "set numdgt=15", "op", *prints, ".endc", ".end", ""])


def run(text):
    """Sense currents in ampere, in the order of the bit lines, by ngspice."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "case.cir"
        path.write_text(text)
        done = subprocess.run(["ngspice", "-b", path], capture_output=True, text=True, check=False)
    found = [float(value) for value in re.findall(r"i\(vout\d+\) = (\S+)", done.stdout)]
    if len(found) != text.count("print i(vout") or not all(map(math.isfinite, found)):
        raise RuntimeError(f"ngspice: {done.stdout}{done.stderr}")
    return found


def main():
    frozen = [case | {"netlist": netlist(case), "output_a": run(netlist(case))} for case in cases()]
    PATH.write_text("[\n" + ",\n".join(json.dumps(case) for case in frozen) + "\n]\n")
    print(f"{len(frozen)} cases written to {PATH}")


if __name__ == "__main__":
    main()
