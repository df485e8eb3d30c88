"""`xbarsim solve`: one crossbar from files, to files."""

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from xbarsim import __version__

app = typer.Typer()
UNITS = {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "µS": 1e-6, "nS": 1e-9}
OHMS = {"ohm": 1.0, "kohm": 1e3, "Mohm": 1e6}
MAPS = ("ir-drop", "voltage", "current")
RESULTS = (
    ("output_current", "A"),
    ("input_current", "A"),
    ("word_line_voltage", "V"),
    ("bit_line_voltage", "V"),
    ("cell_voltage", "V"),
    ("cell_current", "A"),
    ("power", "W"),
    ("cell_power", "W"),
    ("wire_power", "W"),
    ("residual", "1"),
)


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
    sense: Annotated[
        str, typer.Option(help="Sense resistance, ohm, likewise, per bit line.")
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
    from xbarsim.base import array_files
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.circuit.crossbar import Crossbar

    asked = {
        "--sensitivity": sensitivity,
        "--noise": noise is not None,
        "--settle": settle is not None,
    }
    _check_options(asked, voltage, out, spice, shown)
    read = [conductance, voltage, word_line, bit_line, source, sense, bias, noise]
    if cell is not None:
        read.append(cell.removeprefix("table:"))
    refuse_overwriting(
        [("--out", out), ("--spice", spice), ("--picture", picture)],
        [array_files.place_of(name)[0] for name in read if name is not None],
    )

    g = _conductances(conductance, unit)
    m, n = g.shape
    wires = {
        "word_line_resistance": _per_line(word_line, m),
        "bit_line_resistance": _per_line(bit_line, n),
        "source_resistance": _per_line(source, m),
        "sense_resistance": _per_line(sense, n),
    }
    lines = {
        "drive": drive,
        "sense": sensed,
        "transposed": transposed,
        "floating_word_lines": _numbers(floating_word, int),
        "floating_bit_lines": _numbers(floating_bit, int),
    }
    xb = Crossbar(g, **wires, **lines, cell=_cell(cell), access=_access(access))
    solved = {"conductance": (g, "S")} | {name: (value, "ohm") for name, value in wires.items()}
    solution = None
    if voltage is None:
        results = {"transfer_matrix": (xb.transfer_matrix(), "S")}
    else:
        inputs, outputs = xb.terminals
        volts = array_files.read_vectors(voltage, inputs)
        bias_voltage = _number(bias)
        if bias_voltage is None:
            bias_voltage = array_files.read_vectors(bias, outputs)
        solved |= {"input_voltage": (volts, "V"), "bias_voltage": (bias_voltage, "V")}
        solution = xb.solve(volts, bias_voltage)
        results = {name: (getattr(solution, name), unit) for name, unit in RESULTS}
        if sensitivity:
            results["sensitivity"] = xb.sensitivity(volts, None, bias_voltage), "A/S"
        if noise is not None:
            sigma = array_files.read_number_or_matrix(noise)
            solved["conductance_sigma"] = sigma, "S"
            results["output_noise"] = xb.output_noise(volts, sigma, bias_voltage), "A"
        if settle is not None:
            settling = xb.settle(volts, *_capacitances(settle), within=within, lsb=lsb)
            results |= {
                name: (getattr(settling, name), "s") for name in ("elmore_delay", "settling_time")
            }
        if spice is not None:
            _written(xb.to_spice(spice, volts, bias_voltage, dialect))
    if out is not None:
        content = results | {f"solved/{name}": value for name, value in solved.items()}
        said = lines | {
            "cell": cell or "",
            "access": access or "",
            "settle": settle or "",
            "within": within,
            "lsb": lsb or 0.0,
            "xbarsim": __version__,
            "command": json.dumps(sys.argv[1:]),
        }
        _written(array_files.write_arrays(out, content, said))
    else:
        import numpy as np

        for row in np.atleast_2d(next(iter(results.values()))[0]):
            print(",".join(f"{value:.17g}" for value in row))
    if picture is not None:
        _draw(xb, solution, picture, shown)


def _check_options(asked, voltage, out, spice, shown):
    """Refuse options that need others."""
    asked = [option for option, present in asked.items() if present]
    whole = out is not None and out.suffix in (".h5", ".hdf5")
    if asked and (voltage is None or not whole):
        raise typer.BadParameter(f"{asked[0]} needs --input, and --out FILE.h5 for its results")
    if spice is not None and voltage is None:
        raise typer.BadParameter("--spice needs --input: a netlist holds one input vector")
    if shown not in MAPS:
        raise typer.BadParameter(f"{shown!r}; allowed: {', '.join(MAPS)}", param_hint="--map")


def _conductances(name, unit):
    """(m, n) S of a file in a unit of conductance or resistance; a remark where the unit looks
    wrong.
    """
    import numpy as np

    from xbarsim.base.array_files import read_matrix

    if unit not in UNITS | OHMS:
        allowed = ", ".join(UNITS | OHMS)
        raise typer.BadParameter(f"{unit!r}; allowed: {allowed}", param_hint="--unit")
    values = read_matrix(name)
    if unit in OHMS:
        if (values < 0).any() or np.isnan(values).any():
            raise typer.BadParameter(
                f"{name} holds resistances below 0 or nan; allowed: 0 {unit} (a short) to "
                "inf (an open cell)",
                param_hint="--unit",
            )
        with np.errstate(divide="ignore"):
            return 1 / (values * OHMS[unit])
    g = values * UNITS[unit]
    conducting = g[np.isfinite(g) & (g > 0)]
    if conducting.size and np.median(conducting) >= 1:
        low, high = conducting.min(), conducting.max()
        warnings.warn(
            f"{name}: conductances of {low:g} to {high:g} S are taken as they are; if these are "
            "resistances, pass --unit ohm, if microsiemens, --unit uS",
            stacklevel=2,
        )
    return g


def _number(text):
    """The number that a text is, None for the name of a file."""
    try:
        return float(text)
    except ValueError:
        return None


def _per_line(text, lines):
    """A number, one per line, or a matrix of one per segment; a file of one row is one per line
    where it can be.
    """
    from xbarsim.base.array_files import read_number_or_array

    value = read_number_or_array(text)
    one_row = getattr(value, "ndim", 0) == 2 and len(value) == 1
    return value[0] if one_row and lines > 1 and value.shape[1] == lines else value


def _cell(text):
    """The curve of the memristors that an option names, or None."""
    from xbarsim.base.array_files import read_array
    from xbarsim.circuit import cells

    if text is None or not text.startswith("table:"):
        return None if text is None else cells.from_text(text)
    table = read_array(text.removeprefix("table:"))
    if table.ndim != 2 or table.shape[1] != 2:
        raise typer.BadParameter(
            f"a table of shape {table.shape}; allowed: two columns, V and A", param_hint="--cell"
        )
    return cells.Table(*table.T)


def _access(text):
    """The access device that an option names, or None."""
    from xbarsim.circuit import cells

    return None if text is None else cells.from_text(text)


def _capacitances(text):
    capacitance = _numbers(text, float)
    if len(capacitance) not in (2, 3):
        raise typer.BadParameter(
            f"{text!r}; allowed: two or three capacitances in F", param_hint="--settle"
        )
    return capacitance


def _draw(crossbar, solution, path, shown):
    from xbarsim.report.plots import circuits

    if solution is None:
        drawn = circuits.attenuation(crossbar, path)
    else:
        draw = {
            "ir-drop": circuits.ir_drop_map,
            "voltage": circuits.voltage_map,
            "current": circuits.current_map,
        }[shown]
        drawn = draw(solution, path)
    _written(drawn)


def _written(path):
    print(f"written: {path}", file=sys.stderr)


def _numbers(text, kind):
    """Numbers of one kind, separated by commas."""
    try:
        return [kind(value) for value in text.split(",") if value.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not numbers separated by commas") from None
