"""`xbarsim solve`: one crossbar from files, to files."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from xbarsim import __version__
from xbarsim.cli.console import print_written

if TYPE_CHECKING:
    from xbarsim.circuit.files import Solved

Number = TypeVar("Number", int, float)
app = typer.Typer()
MAPS = ("ir-drop", "voltage", "current")


@app.command("solve")
def _solve(
    conductance: Annotated[
        str,
        typer.Argument(
            help="(m, n) cells: .npy, .csv or .h5 (FILE:DATASET); a CSV "
            "file of one column is an array of one bit line."
        ),
    ],
    voltage: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="(m,) or (b, m) V, a file of one row is one input; the transfer matrix if absent.",
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Of the cells: S, mS, uS, nS, or ohm, kohm, Mohm.")
    ] = "S",
    word_line: Annotated[
        str,
        typer.Option(
            help="Word-line resistance per segment, ohm: a number, or a file of "
            "one per line or per segment."
        ),
    ] = "1",
    bit_line: Annotated[str, typer.Option(help="Bit-line resistance, ohm, likewise.")] = "1",
    source: Annotated[
        str, typer.Option(help="Source resistance, ohm: a number, or a file of one per word line.")
    ] = "0",
    sense_resistance: Annotated[
        str, typer.Option("--sense", help="Sense resistance, ohm, likewise, per bit line.")
    ] = "0",
    bias: Annotated[
        str, typer.Option(help="Voltage of the sense amplifiers, V: a number, or a file.")
    ] = "0",
    floating_word: Annotated[str, typer.Option("--floating-word-lines", metavar="I,J,...")] = "",
    floating_bit: Annotated[str, typer.Option("--floating-bit-lines", metavar="I,J,...")] = "",
    cell: Annotated[
        str | None,
        typer.Option(help="sinh:V0, polynomial:VMAX,C2,C3... or table:FILE (V, A columns)."),
    ] = None,
    access: Annotated[
        str | None, typer.Option(help="selector:G,V0 or transistor:R,OVERDRIVE,LAMBDA.")
    ] = None,
    drive: Annotated[
        str, typer.Option(help="left, right or both: connected ends of the word lines.")
    ] = "left",
    sensed: Annotated[
        str, typer.Option(help="bottom, top or both: connected ends of the bit lines.")
    ] = "bottom",
    transposed: Annotated[
        bool,
        typer.Option(
            help="Drive the bit lines and sense the word lines. Resistances "
            "stay where they are: --source at the word lines, which are then "
            "sensed, --sense at the bit lines, which are then driven."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the currents (.npy, .csv), or all results and what was solved (.h5).",
        ),
    ] = None,
    spice: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a netlist.")
    ] = None,
    dialect: Annotated[
        str,
        typer.Option(
            help="Of the netlist: ngspice, ltspice or xyce; the last two by their "
            "published syntax, not run by us."
        ),
    ] = "ngspice",
    sensitivity: Annotated[
        bool, typer.Option(help="Also the derivative of every output by every conductance.")
    ] = False,
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="SIGMA",
            help="Also the noise of the outputs, for this "
            "standard deviation of the cells, S: a number, or a file.",
        ),
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option(
            metavar="CW,CB,CC",
            help="Also Elmore delay and settling time, "
            "for capacitances of word-line nodes, bit-line nodes and cells, "
            "F.",
        ),
    ] = None,
    within: Annotated[float, typer.Option(help="Settled within this fraction of --lsb.")] = 1e-3,
    lsb: Annotated[
        float | None, typer.Option(help="A; the largest final current if absent.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also draw --map (one input), or the attenuation (no input)."
        ),
    ] = None,
    shown: Annotated[str, typer.Option("--map", help="ir-drop, voltage or current.")] = "ir-drop",
) -> None:
    """Solve one crossbar: output currents for input voltages, or the transfer matrix."""
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
    else:
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
