"""Netlists: a crossbar and one input as a file that a circuit simulator runs."""

from dataclasses import dataclass

import numpy as np

from xbarsim.base.array_types import Booleans, Floats
from xbarsim.circuit.array import Array

EPSILON = float(np.finfo(float).eps)
NOT_RUN = "written by the published syntax of {name}; not run by those who wrote it"


@dataclass(frozen=True)
class Dialect:
    """How a circuit simulator wants to be told.

    Attributes
    ----------
    remark : comment at the top
    options : formats of lines that set tolerances, of currents {abstol} and of voltages {vntol}
    current : format of the expression of a behavioural current source
    table : function of a value and pairs of points, linear between them
    analysis : format of the line that asks for the operating point; {source} and {value} are a
        source and its voltage
    terminal : format of the line or word that prints the current {current} of source {source}
    one_line : whether all currents are printed by one line
    before, after : lines around the analysis
    """

    remark: str
    options: tuple[str, ...]
    current: str
    table: str
    analysis: str
    terminal: str
    one_line: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = (".end",)


DIALECTS = {
    "ngspice": Dialect(
        remark="runs as it is: ngspice -b FILE",
        options=(
            ".options reltol=1e-12 abstol={abstol:.1e} vntol={vntol:.1e} gmin=1e-20 itl1=1000",
        ),
        current="i={expression}",
        table="pwl",
        analysis="op",
        terminal="print i({source})",
        before=(".control", "set numdgt=15"),
        after=(".endc", ".end"),
    ),
    "ltspice": Dialect(
        remark=NOT_RUN.format(name="LTspice") + "; run in batch mode, the log holds the currents",
        options=(
            ".options reltol=1e-12 abstol={abstol:.1e} vntol={vntol:.1e} gmin=1e-20 itl1=1000",
            ".options numdgt=15",
        ),
        current="I={expression}",
        table="table",
        analysis=".op",
        terminal=".meas op i_{source} param I({source})",
    ),
    "xyce": Dialect(
        remark=NOT_RUN.format(name="Xyce") + "; writes the currents to a table beside this file",
        options=(
            ".options nonlin reltol=1e-12 abstol={vntol:.1e} maxstep=1000",
            ".options device gmin=1e-20",
        ),
        current="I={{{expression}}}",
        table="table",
        analysis=".dc {source} list {value}",
        terminal="I({source})",
        one_line=".print dc format=csv precision=15 ",
    ),
}


def netlist(
    array: Array, word_voltage: Floats, bit_voltage: Floats, span: float, dialect: Dialect
) -> str:
    """Text of a netlist that prints the current into every bit-line and word-line terminal.

    Nodes: w<i>_<j> and u<i>_<j> are the word-line and bit-line node of cell (i, j); sources are
    Vword<i> and Vbit<j>, whose printed currents i(vword<i>) flow out of the circuit.  Segments
    without resistance are 0 V sources.  Curves of cells follow their tangent beyond +-span, the
    largest voltage that a cell can see: they rise everywhere, so that the circuit has one solution.

    Parameters
    ----------
    array : a array;  word_voltage : (m,) V;  bit_voltage : (n,) V of the terminals
    span : V between the highest and the lowest terminal;  dialect : Dialect
    """
    m, n = array.shape
    lines = [f"* crossbar of {m} word lines by {n} bit lines", f"* {dialect.remark}"]
    tolerances = _tolerances(array, span)
    lines += [option.format(**tolerances) for option in dialect.options]
    sources = _sources("word", word_voltage, array.floating_word_lines)
    sources |= _sources("bit", bit_voltage, array.floating_bit_lines)
    lines += [f"V{name} {name} 0 {value!r}" for name, value in sources.items()]
    for i in range(m):
        nodes = [f"word{i}", *(f"w{i}_{j}" for j in range(n)), f"word{i}"]
        lines += _line(f"w{i}_", nodes, array.word_segments[i])
    for j in range(n):
        nodes = [f"bit{j}", *(f"u{i}_{j}" for i in range(m)), f"bit{j}"]
        lines += _line(f"b{j}_", nodes, array.bit_segments[:, j])
    for i in range(m):
        for j in range(n):
            lines += _cell(array, float(array.conductance[i, j]), f"{i}_{j}", span, dialect)
    return "\n".join([*lines, *_analysis(sources, dialect)]) + "\n"


def _tolerances(array: Array, span: float) -> dict[str, float]:
    """Tolerances that the rounding of node voltages allows: a simulator that is asked for more
    never ends.
    """
    wires = np.concatenate((array.word_segments.ravel(), array.bit_segments.ravel()))
    best = 1 / wires[wires > 0].min(initial=np.inf)
    return {
        "abstol": max(1e-20, 16 * EPSILON * span * best),
        "vntol": max(1e-14, 64 * EPSILON * span),
    }


def _sources(kind: str, voltages: Floats, floating: Booleans) -> dict[str, float]:
    """{name: V} of the terminals of the lines that do not float."""
    return {f"{kind}{line}": float(voltages[line]) for line in np.flatnonzero(~floating)}


def _line(name: str, nodes: list[str], segments: Floats) -> list[str]:
    """Segments of one line between neighbouring nodes; infinite ones are none."""
    lines = []
    for k, resistance in enumerate(segments.tolist()):
        if resistance == 0:
            lines.append(f"V{name}{k} {nodes[k]} {nodes[k + 1]} 0")
        elif np.isfinite(resistance):
            lines.append(f"R{name}{k} {nodes[k]} {nodes[k + 1]} {resistance!r}")
    return lines


def _analysis(sources: dict[str, float], dialect: Dialect) -> list[str]:
    """Lines that ask for the operating point and for the current of every source."""
    first = next(iter(sources), "")
    analysis = dialect.analysis.format(source=f"V{first}", value=repr(sources.get(first, 0.0)))
    printed = [dialect.terminal.format(source=f"V{name}".lower()) for name in sources]
    if dialect.one_line:
        printed = [dialect.one_line + " ".join(printed)]
    return [*dialect.before, analysis, *printed, *dialect.after]


def _cell(array: Array, g: float, name: str, span: float, dialect: Dialect) -> list[str]:
    """Lines of one cell of g in S between its two nodes."""
    word = f"w{name}"
    bit = f"u{name}"
    middle = f"x{name}"
    if g == 0:
        return []
    if np.isinf(g):
        return [f"Vg{name} {word} {bit} 0"]
    if array.ohmic:
        return [f"Rg{name} {word} {bit} {1 / g!r}"]
    end = middle
    if array.access is None:
        end = bit
    voltage = f"v({word},{end})"
    if array.cell is None:
        lines = [f"Rg{name} {word} {end} {1 / g!r}"]
    else:
        expression = array.cell.spice(g, voltage, span, dialect.table)
        lines = [f"Bg{name} {word} {end} {dialect.current.format(expression=expression)}"]
    if array.access is not None:
        expression = array.access.spice(f"v({middle},{bit})", span)
        lines.append(f"Ba{name} {middle} {bit} {dialect.current.format(expression=expression)}")
    return lines
