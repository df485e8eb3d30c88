"""The command line.  Commands parse, call one function of the library and print; nothing is
computed here.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated

try:
    import typer
except ImportError:  # pragma: no cover - exercised by the wheel test
    sys.exit("The command line of xbarsim needs typer and pydantic: pip install 'xbarsim[cli]'")

from xbarsim import __version__
from xbarsim.base.errors import XbarsimError
from xbarsim.base.units import MEGA
from xbarsim.calibrate import KINDS as CALIBRATIONS
from xbarsim.cli import chip, evaluate, solve
from xbarsim.cli import run as cli_run
from xbarsim.cli.console import print_table as _print_table
from xbarsim.cli.console import progress as _progress

app = typer.Typer(
    name="xbarsim",
    help="Device-level simulation of memristor crossbars that runs real language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(chip.app)
app.command("run")(cli_run.run)
app.command("report")(cli_run.report)
app.command("sweep")(cli_run.sweep)
app.command("evaluate")(evaluate.evaluate)
app.command("generate")(evaluate.generate)
app.add_typer(solve.app)


def _print_version(wanted: bool):
    if wanted:
        print(f"xbarsim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version and leave.",
    ),
):
    pass


@app.command("study")
def _study(
    name: Annotated[
        str | None, typer.Argument(help="An embedded study; a list of them if absent.")
    ] = None,
):
    """Print an embedded study, to be copied and changed."""
    from xbarsim import config

    print("\n".join(config.study_names()) if name is None else config.study_text(name).rstrip())


@app.command("fetch")
def _fetch(
    name: Annotated[str | None, typer.Argument(help="A known model or task.")] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Show what is known, and whether it is here.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIRECTORY",
            help="Take the package files or the "
            "unpacked files from a directory instead of the network.",
        ),
    ] = None,
):
    """Bring a named model or task into the per-user cache and verify it."""
    from xbarsim.base import fetch, sources

    if name is not None:
        print(fetch.fetch(name, source, progress=_progress))
    elif show:
        rows = [
            (
                known.name,
                known.kind,
                known.licence,
                f"{known.download_size / MEGA:.1f} MB",
                known.packages_text,
                "here" if fetch.is_present(known) else "-",
                known.description,
            )
            for known in sources.known()
        ]
        _print_table(("name", "kind", "licence", "download", "source", "cache", "what"), rows)
    else:
        raise typer.BadParameter("give the NAME of a model or task, or --list")


devices_app = typer.Typer(help="The devices that come with xbarsim.", invoke_without_command=True)
app.add_typer(devices_app, name="devices")


@devices_app.callback()
def _devices(context: typer.Context):
    """List the devices that come with xbarsim; `xbarsim devices show NAME` prints and draws one."""
    from xbarsim.devices import presets

    if context.invoked_subcommand is not None:
        return
    rows = []
    for name in presets.device_names():
        file = presets.load_device(name).file
        rows.append(
            (
                name,
                f"{file.conductance.minimum_us:g} to {file.conductance.maximum_us:g}",
                ", ".join(file.stated_tables()) or "-",
                file.description,
            )
        )
    _print_table(("name", "window (µS)", "states", "what"), rows)


@devices_app.command("show")
def _show_device(
    name: Annotated[str, typer.Argument(help="A device of `xbarsim devices`, or a device file.")],
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to draw it; NAME.png here if absent.")
    ] = None,
    time: Annotated[
        float | None, typer.Option(help="Time after programming at which the noise is drawn, s.")
    ] = None,
):
    """Print one device, and draw its window, errors, ageing, read noise and current-voltage curve."""
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.devices import presets
    from xbarsim.report.plots import devices

    refuse_overwriting([("--picture", picture)], [name])
    model = presets.load_device(name)
    print(presets.device_text(name).rstrip())
    drawn = devices.draw(model.at(time=time), picture or Path(f"{model.name}.png"))
    print(f"written: {drawn}", file=sys.stderr)


@app.command("calibrate")
def _calibrate(
    kind: Annotated[str, typer.Argument(help=f"What was measured: {', '.join(CALIBRATIONS)}.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="CSV or TSV, plain or gzipped, or .xlsx[:SHEET]; faults: a matrix and "
            "perhaps its targets (CSV, npy, HDF5), or a list of devices."
        ),
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=HEADER[:UNIT]",
            help="Which column is what, where the "
            "header does not say; a number where there is none.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="HEADER=VALUE", help="Rows to keep; VALUE may be LOW..HIGH."),
    ] = None,
    skip: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Lines above the table that are not read; found by itself in most files.",
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a device file (.toml); needs --base.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Device that the fit is laid over.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which model is printed and written: the start of "
            "its name under AIC; the best if absent.",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw data and fit (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the fit as JSON.")] = False,
):
    """Fit a device's parameters to measurements, and write a device file that `xbarsim run` takes."""
    from xbarsim import calibrate
    from xbarsim.base.files import refuse_overwriting

    refuse_overwriting([("--out", out), ("--picture", picture)], [*files, base])
    result = calibrate.calibrate_files(
        kind, files, _pairs("--column", column), _pairs("--where", where), skip=skip
    )
    chosen = result if model is None else result.choose(model)
    print(json.dumps(chosen.to_json(), indent=1) if as_json else chosen.render())
    if picture is not None:
        from xbarsim.report.plots import fits

        print(f"written: {fits.draw(result, picture)}", file=sys.stderr)
    if out is not None:
        print(f"written: {calibrate.write_device(chosen, out, base, files)}", file=sys.stderr)


@app.command("memory")
def _memory(
    study: Annotated[str, typer.Argument(help="A study file, or an embedded study.")] = "default",
    columns: Annotated[
        list[int] | None, typer.Option(min=1, max=65536, help="Segment lengths, one option each.")
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Stated bit-error rates, one option each."),
    ] = None,
    chips: Annotated[
        int, typer.Option(min=0, help="Simulated chips per row that the model is run on; 0: none.")
    ] = 0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw rates and metric (.png, .pdf, .svg).")
    ] = None,
):
    """Bit-error rate of the dense memory against the length of a segment, and what a model makes of
    it.
    """
    from xbarsim import config
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.studies import memory_errors

    refuse_overwriting([("--picture", picture)], [study])
    lengths = columns or ([] if rate else [64, 128, 256, 512, 1024, 2048])
    report = memory_errors.run(
        config.load_study(study), lengths, rate or (), chips, progress=_progress
    )
    print(memory_errors.render(report))
    if picture is not None:
        from xbarsim.report.plots import memory

        print(f"written: {memory.draw(report, picture)}", file=sys.stderr)


def _pairs(option, texts):
    """{name: value} of "name=value" texts."""
    for text in texts or ():
        if not all(text.partition("=")):
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
    return {name: value for name, _, value in (text.partition("=") for text in texts or ())}


def main():
    """Entry point: errors of ours and of the file system become one line on standard error and exit
    status 2; of a run another one says where its trace is and what it holds."""
    warnings.showwarning = lambda message, *_, **__: print(
        f"xbarsim: warning: {message}", file=sys.stderr
    )
    try:
        app()
    except (XbarsimError, OSError) as error:
        notes = getattr(error, "__notes__", ())  # where a trace is and what it holds
        print("\n".join([f"xbarsim: error: {error}", *notes]), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
