"""`xbarsim memory`: errors of the dense memory, and what they do to a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import print_json, print_written, progress


def memory(
    study: Annotated[str, typer.Argument(help="A study file, or an embedded study.")] = "default",
    columns: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=65536,
            help="Segment lengths, one option each; 64 to 2048 if neither is given.",
        ),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Errors of the dense memory, and what a model makes of them.

    The bit-error rate of a segment of several lengths, or stated ones.

    \b
    Examples:
      xbarsim memory
      xbarsim memory mine.toml --columns 512 --columns 1024
      xbarsim memory mine.toml --rate 1e-4 --chips 3 --picture memory.png
    """
    from xbarsim import config
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.studies import memory_errors

    refuse_overwriting([("--picture", picture)], [study])
    lengths: Sequence[int] = columns or ()
    if not columns and not rate:
        lengths = memory_errors.LENGTHS
    report = memory_errors.run(
        config.load_study(study), lengths, rate or (), chips, progress=progress
    )
    if as_json:
        print_json(memory_errors.as_json(report))
    else:
        print(memory_errors.render(report))
    if picture is not None:
        from xbarsim.report.plots.memory import draw

        print_written(draw(report, picture))
