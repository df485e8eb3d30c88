"""Netlists: a crossbar and one input as a file that ngspice runs as it is (`ngspice -b file`)."""
import numpy as np


def netlist(crossbar, word_voltage, bit_voltage, span=None, dialect=None):
    """Text of a netlist that prints the current into every bit-line and word-line terminal.

    Nodes: w<i>_<j> and u<i>_<j> are the word-line and bit-line node of cell (i, j); sources are Vword<i> and Vbit<j>,
    whose printed currents i(vword<i>) flow out of the circuit.  Segments without resistance are 0 V sources.

    Parameters
    ----------
    crossbar : circuit.Crossbar;  word_voltage : (m,) V;  bit_voltage : (n,) V of the terminals
    """
    m, n = crossbar.shape
    lines = [f"* crossbar of {m} word lines by {n} bit lines",
             ".options reltol=1e-12 abstol=1e-20 vntol=1e-14 gmin=1e-20 itl1=1000"]

    def element(name, a, b, resistance):
        if np.isfinite(resistance):
            lines.append(f"R{name} {a} {b} {float(resistance)!r}" if resistance else f"V{name} {a} {b} 0")

    terminals = []
    for kind, voltages, floating in (("word", word_voltage, crossbar.floating_word_lines),
                                     ("bit", bit_voltage, crossbar.floating_bit_lines)):
        for line in np.flatnonzero(~floating):
            lines.append(f"V{kind}{line} {kind}{line} 0 {float(voltages[line])!r}")
            terminals.append(f"i(v{kind}{line})")
    for i in range(m):
        word = [f"word{i}", *(f"w{i}_{j}" for j in range(n)), f"word{i}"]
        for j in range(n + 1):
            element(f"w{i}_{j}", word[j], word[j + 1], crossbar.word_segments[i, j])
    for j in range(n):
        bit = [f"bit{j}", *(f"u{i}_{j}" for i in range(m)), f"bit{j}"]
        for i in range(m + 1):
            element(f"u{i}_{j}", bit[i], bit[i + 1], crossbar.bit_segments[i, j])
    for i in range(m):
        for j in range(n):
            lines += _cell(crossbar, float(crossbar.conductance[i, j]), f"{i}_{j}")
    lines += [".control", "set numdgt=15", "op", *(f"print {current}" for current in terminals), ".endc", ".end"]
    return "\n".join(lines) + "\n"


def _cell(crossbar, g, name):
    word, bit, middle = f"w{name}", f"u{name}", f"x{name}"
    if g == 0:
        return []
    if np.isinf(g):
        return [f"Vg{name} {word} {bit} 0"]
    if crossbar.ohmic:
        return [f"Rg{name} {word} {bit} {1 / g!r}"]
    end = bit if crossbar.access is None else middle
    voltage = f"v({word},{end})"
    current = f"{g!r}*{voltage}" if crossbar.cell is None else crossbar.cell.spice(g, voltage)
    lines = [f"Bg{name} {word} {end} i={current}"]
    if crossbar.access is not None:
        lines.append(f"Ba{name} {middle} {bit} i={crossbar.access.spice(f'v({middle},{bit})')}")
    return lines


DIALECTS = {"ngspice": None}
