"""`xbarsim calibrate`: measurements to a device file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.base.given_files import printable
from xbarsim.calibrate import KINDS
from xbarsim.cli.console import print_json, print_written


def calibrate(
    kind: Annotated[str, typer.Argument(help=f"What was measured: {', '.join(KINDS)}.")],
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
) -> None:
    """Fit a device's parameters to measurements.

    Writes a device file, which `xbarsim run --device` takes.

    \b
    Examples:
      xbarsim calibrate programming writes.csv
      xbarsim calibrate programming writes.csv --base pcm --out mine.toml
      xbarsim calibrate iv sweeps.xlsx:Sheet2 --picture fit.png
      xbarsim calibrate retention aged.csv --column time=t:h --where batch=3
    """
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.calibrate import calibrate_files, write_device

    refuse_overwriting([("--out", out), ("--picture", picture)], [*files, base])
    result = calibrate_files(
        kind, files, _pairs("--column", column), _pairs("--where", where), skip=skip
    )
    chosen = result
    if model is not None:
        chosen = result.choose(model)
    if as_json:
        print_json(chosen.to_json())
    else:
        print(printable(chosen.render()))
    if picture is not None:
        from xbarsim.report.plots import fits

        print_written(fits.draw(result, picture))
    if out is not None:
        print_written(write_device(chosen, out, base, files))


def _pairs(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    """{name: value} of "name=value" texts."""
    pairs = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        if not (name and value):
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
        pairs[name] = value
    return pairs
