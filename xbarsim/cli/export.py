"""`xbarsim export`: programmed arrays as files."""

from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import progress


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="TRACE|STUDY", help="A trace, a study file, or the name of an embedded study."
        ),
    ],
    conductances: Annotated[
        Path, typer.Option(metavar="DIR", help="A new directory: index.json and a file per tile.")
    ],
    layer: Annotated[
        str, typer.Option(metavar="PATTERN", help="Names of matrices, such as 'layer.0.*'.")
    ] = "*",
    form: Annotated[
        str, typer.Option("--format", metavar="npy|csv|netlist", help="Of every tile.")
    ] = "npy",
    case: Annotated[
        str | None, typer.Option(metavar="NAME", help="A case of the study; the first if absent.")
    ] = None,
    chip: Annotated[int, typer.Option(min=1, help="Number of the simulated chip of the case.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="All cores if absent. Changes no result.")
    ] = None,
) -> None:
    """Write the programmed conductances of a run as files.

    Target and achieved, in siemens, tile by tile; a study reads them back with
    mapping.conductances.

    \b
    Examples:
      xbarsim export runs/default.h5 --conductances arrays
      xbarsim export mine.toml --conductances arrays --layer 'layer.0.*'
    """
    from xbarsim.studies.export import export_study, export_trace

    if Path(source).suffix in (".h5", ".parts"):
        index = export_trace(
            source,
            conductances,
            layer=layer,
            form=form,
            case=case,
            chip=chip,
            threads=threads,
            progress=progress,
        )
    else:
        from xbarsim.config.study import load_study

        index = export_study(
            load_study(source),
            conductances,
            layer=layer,
            form=form,
            case=case,
            chip=chip,
            threads=threads,
            progress=progress,
        )
    print(index)
