"""`xbarsim solve`: one crossbar from files, to files."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from xbarsim import __version__
from xbarsim.cli.console import print_json, print_written

if TYPE_CHECKING:
    from xbarsim.circuit.files import Solved

Number = TypeVar("Number", int, float)
MAPS = ("ir-drop", "voltage", "current")
# the five families of options, by where they are in the circuit
CELLS = "Cells, at every crossing"
WIRES = "Wires, from one crossing to the next"
ENDS = "Ends of the lines"
ASKED = "What is solved for"
FILES = "Files and pictures"


def solve(
    conductance: Annotated[
        str,
        typer.Argument(
            help="(m, n) cells: .npy, .csv or .h5 (FILE:DATASET); a CSV "
            "file of one column is an array of one bit line.",
        ),
    ],
    unit: Annotated[
        str,
        typer.Option(
            metavar="UNIT",
            help="Of the file: S, mS, uS, nS, or ohm, kohm, Mohm.",
            rich_help_panel=CELLS,
        ),
    ] = "S",
    cell: Annotated[
        str | None,
        typer.Option(
            metavar="LAW",
            help="Nonlinear cells: sinh:V0, polynomial:VMAX,C2,C3... or table:FILE (V, A columns).",
            rich_help_panel=CELLS,
        ),
    ] = None,
    access: Annotated[
        str | None,
        typer.Option(
            metavar="LAW",
            help="In series with every cell: selector:G,V0 or transistor:R,OVERDRIVE,LAMBDA.",
            rich_help_panel=CELLS,
        ),
    ] = None,
    word_line: Annotated[
        str,
        typer.Option(
            metavar="OHM",
            help="Of a word line, per segment: a number, or a file of one per line or per segment.",
            rich_help_panel=WIRES,
        ),
    ] = "1",
    bit_line: Annotated[
        str,
        typer.Option(
            metavar="OHM", help="Of a bit line, per segment, likewise.", rich_help_panel=WIRES
        ),
    ] = "1",
    voltage: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Of the sources: (m,) or (b, m) V, a file of one row is one input; the transfer "
            "matrix if absent.",
            rich_help_panel=ENDS,
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            metavar="OHM",
            help="Between source and word line: a number, or a file of one per word line.",
            rich_help_panel=ENDS,
        ),
    ] = "0",
    sense_resistance: Annotated[
        str,
        typer.Option(
            "--sense",
            metavar="OHM",
            help="Between bit line and sense amplifier, likewise, per bit line.",
            rich_help_panel=ENDS,
        ),
    ] = "0",
    bias: Annotated[
        str,
        typer.Option(
            metavar="V",
            help="At which the sense amplifiers hold the bit lines: a number, or a file.",
            rich_help_panel=ENDS,
        ),
    ] = "0",
    drive: Annotated[
        str,
        typer.Option(
            metavar="END",
            help="Of the word lines that has a source: left, right or both; the other is open.",
            rich_help_panel=ENDS,
        ),
    ] = "left",
    sensed: Annotated[
        str,
        typer.Option(
            metavar="END",
            help="Of the bit lines that has a sense amplifier: bottom, top or both.",
            rich_help_panel=ENDS,
        ),
    ] = "bottom",
    floating_word: Annotated[
        str,
        typer.Option(
            "--floating-word-lines",
            metavar="I,J,...",
            help="Word lines without a source; the first is 0.",
            rich_help_panel=ENDS,
        ),
    ] = "",
    floating_bit: Annotated[
        str,
        typer.Option(
            "--floating-bit-lines",
            metavar="I,J,...",
            help="Bit lines without a sense amplifier; the first is 0.",
            rich_help_panel=ENDS,
        ),
    ] = "",
    transposed: Annotated[
        bool,
        typer.Option(
            "--transposed",
            help="Drive the bit lines and sense the word lines. Resistances "
            "stay where they are: --source at the word lines, which are then "
            "sensed, --sense at the bit lines, which are then driven.",
            rich_help_panel=ENDS,
        ),
    ] = False,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity",
            help="Also the derivative of every output by every conductance.",
            rich_help_panel=ASKED,
        ),
    ] = False,
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="SIGMA",
            help="Also the noise of the outputs, for this "
            "standard deviation of the cells, S: a number, or a file.",
            rich_help_panel=ASKED,
        ),
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option(
            metavar="CW,CB,CC",
            help="Also Elmore delay and settling time, "
            "for capacitances of word-line nodes, bit-line nodes and cells, F.",
            rich_help_panel=ASKED,
        ),
    ] = None,
    within: Annotated[
        float,
        typer.Option(help="Settled within this fraction of --lsb.", rich_help_panel=ASKED),
    ] = 1e-3,
    lsb: Annotated[
        float | None,
        typer.Option(
            metavar="A", help="The largest final current if absent.", rich_help_panel=ASKED
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the currents (.npy, .csv), or all results and what was solved (.h5).",
            rich_help_panel=FILES,
        ),
    ] = None,
    spice: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a netlist.", rich_help_panel=FILES),
    ] = None,
    dialect: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of the netlist: ngspice, ltspice or xyce; the last two by their "
            "published syntax, not run by us.",
            rich_help_panel=FILES,
        ),
    ] = "ngspice",
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw --map (one input), or the attenuation (no input).",
            rich_help_panel=FILES,
        ),
    ] = None,
    shown: Annotated[
        str,
        typer.Option(
            "--map", metavar="NAME", help="ir-drop, voltage or current.", rich_help_panel=FILES
        ),
    ] = "ir-drop",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print every output with its unit, and no cell by cell ones.",
            rich_help_panel=FILES,
        ),
    ] = False,
) -> None:
    """Solve one crossbar: currents, IR drop, a netlist.

    The outputs for input voltages, in A, or the transfer matrix, in S.  Each option is a place of
    this circuit:

    \b
    --input V ---[--source]---[--word-line]--o--[--word-line]--o--- open end
                                             |                 |    (--drive)
                                          (cell)            (cell)
          CONDUCTANCE --unit --cell --access |                 |
                                       [--bit-line]      [--bit-line]
                                             :                 :
                                         [--sense]         [--sense]
                                             |                 |
                                          --bias V          --bias V
                                         output, A         output, A

    \b
    Examples:
      xbarsim solve cells.csv --input volts.csv --word-line 2.5 --bit-line 2.5
      xbarsim solve cells.npy --input volts.npy --out all.h5 --picture ir-drop.png
      xbarsim solve cells.npy --unit kohm --source 100 --sense 100 --json
      xbarsim solve cells.npy --input volts.npy --spice tile.cir
    """
    from xbarsim.base.array_files import write_arrays
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.circuit.files import Asked, CrossbarFiles, names_of, solve_files

    further = {
        "--sensitivity": sensitivity,
        "--noise": noise is not None,
        "--settle": settle is not None,
    }
    _check_options([option for option, wanted in further.items() if wanted], voltage, out, spice)
    if shown not in MAPS:
        raise typer.BadParameter(f"{shown!r}; allowed: {', '.join(MAPS)}", param_hint="--map")
    lines = {
        "drive": drive,
        "sense": sensed,
        "transposed": transposed,
        "floating_word_lines": _numbers(floating_word, int),
        "floating_bit_lines": _numbers(floating_bit, int),
    }
    files = CrossbarFiles(
        conductance=conductance,
        unit=unit,
        word_line_resistance=word_line,
        bit_line_resistance=bit_line,
        source_resistance=source,
        sense_resistance=sense_resistance,
        cell=cell,
        access=access,
        lines=lines,
    )
    asked = Asked(
        voltage=voltage,
        bias=bias,
        sensitivity=sensitivity,
        noise=noise,
        settle=_capacitances(settle),
        within=within,
        lsb=lsb,
    )
    written = [("--out", out), ("--spice", spice), ("--picture", picture)]
    refuse_overwriting(written, names_of(files, asked))
    solved = solve_files(files, asked)
    if spice is not None and solved.volts is not None:
        print_written(solved.crossbar.to_spice(spice, solved.volts, solved.bias_voltage, dialect))
    if as_json:
        print_json(solved.to_json())
    if out is not None:
        said = lines | {
            "cell": cell or "",
            "access": access or "",
            "settle": settle or "",
            "within": within,
            "lsb": lsb or 0.0,
            "xbarsim": __version__,
            "command": json.dumps(sys.argv[1:]),
        }
        print_written(write_arrays(out, solved.content(), said))
    elif not as_json:
        print("\n".join(solved.printed()))
    if picture is not None:
        print_written(_draw(solved, picture, shown))


def _check_options(
    further: Sequence[str], voltage: str | None, out: Path | None, spice: Path | None
) -> None:
    """Refuse options that need others."""
    whole = out is not None and out.suffix in (".h5", ".hdf5")
    if further and (voltage is None or not whole):
        raise typer.BadParameter(f"{further[0]} needs --input, and --out FILE.h5 for its results")
    if spice is not None and voltage is None:
        raise typer.BadParameter("--spice needs --input: a netlist holds one input vector")


def _capacitances(text: str | None) -> list[float] | None:
    if text is None:
        return None
    capacitance = _numbers(text, float)
    if len(capacitance) not in (2, 3):
        raise typer.BadParameter(
            f"{text!r}; allowed: two or three capacitances in F", param_hint="--settle"
        )
    return capacitance


def _draw(solved: "Solved", path: Path, shown: str) -> Path:
    from xbarsim.report.plots import circuits

    if solved.solution is None:
        return circuits.attenuation(solved.crossbar, path)
    if shown == "voltage":
        return circuits.voltage_map(solved.solution, path)
    if shown == "current":
        return circuits.current_map(solved.solution, path)
    return circuits.ir_drop_map(solved.solution, path)


def _numbers(text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Numbers of one kind, separated by commas."""
    try:
        return [kind(value) for value in text.split(",") if value.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not numbers separated by commas") from None
