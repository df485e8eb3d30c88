"""`xbarsim sweep`: many studies from one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.base.given_files import printable
from xbarsim.cli.console import print_json, print_table
from xbarsim.cli.exit_codes import ExitCode
from xbarsim.cli.points import Crew, Threads, Workers, print_cost, run_points
from xbarsim.cli.study_options import Settings

if TYPE_CHECKING:
    from xbarsim.config.study import Study


def sweep(
    study: Annotated[
        str | None, typer.Argument(help="A study with a table [sweep]: a file, or an embedded one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new directory, one trace per point.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with the sweep in a directory; no STUDY then."),
    ] = None,
    status: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show what is done, running, failed and waiting."),
    ] = None,
    settings: Settings = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=A,B,C",
            help="An axis beside those of the study's [sweep]; repeatable.",
        ),
    ] = None,
    workers: Workers = 1,
    threads: Threads = None,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Of a Dask cluster that computes the points, such as tcp://127.0.0.1:8786; "
            "--workers is then the number of points under way. Needs xbarsim[cluster].",
        ),
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say points, tiles, memory and time, and run nothing."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a study at many settings, in processes, resumable.

    The settings are those of the study's table [sweep], of --sweep, or of both.

    \b
    Examples:
      xbarsim sweep mine.toml --out sweeps/mine --workers 2
      xbarsim sweep mine.toml --sweep adc.bits=4,6,8 --out sweeps/bits
      xbarsim sweep mine.toml --sweep adc.bits=4,6,8 --dry-run
      xbarsim sweep --status sweeps/mine
      xbarsim sweep --resume sweeps/mine
    """
    given = [value is not None for value in (study, resume, status)]
    if sum(given) != 1:
        raise typer.BadParameter("give one of STUDY, --resume DIR and --status DIR")
    if study is None and (settings or axes):
        raise typer.BadParameter(
            "the directory states the study; give --set and --sweep with a STUDY"
        )
    if status is not None:
        show_sweep(status, as_json)
        return
    loaded = None
    if study is not None:
        loaded = _study_of(study, settings or [], axes or [])
    if dry_run:
        _plan(loaded, resume, workers, as_json)
    else:
        _run(loaded, resume, out, Crew(workers, threads, scheduler), as_json)


def _study_of(name: str, settings: list[str], axes: list[str]) -> "Study":
    from xbarsim.config.settings_text import axes_of_texts, settings_of_texts
    from xbarsim.config.study import load_study, merge

    overrides = settings_of_texts(settings)
    if axes:
        overrides = merge(overrides, {"sweep": axes_of_texts(axes)})
    return load_study(name, overrides)


def _run(
    study: "Study | None",
    resume: Path | None,
    out: Path | None,
    crew: Crew,
    as_json: bool,
) -> None:
    from xbarsim.studies.sweep_directory import create, open_directory

    if resume is not None:
        directory = open_directory(resume, "sweep")
    elif out is not None and study is not None:
        directory = create(study, out)
    else:
        raise typer.BadParameter("name a new directory", param_hint="--out")
    outcome = run_points(directory, crew)
    show_sweep(directory.path, as_json)
    if outcome.failed:
        raise typer.Exit(ExitCode.FAILED)


def _plan(study: "Study | None", resume: Path | None, workers: int, as_json: bool) -> None:
    from xbarsim.studies.points import points_of
    from xbarsim.studies.sweep_directory import State, open_directory
    from xbarsim.studies.sweep_plan import plan_sweep

    points = []
    if resume is not None:
        directory = open_directory(resume)
        points = [point for point in directory.points if directory.state(point) is not State.DONE]
    elif study is not None:
        points = points_of(study)
    plan = plan_sweep(points)
    if as_json:
        print_json(plan.to_json(workers))
        return
    print(f"{len(points)} points, {plan.tiles:,} tiles")
    print_cost(plan, workers)


def show_sweep(path: Path, as_json: bool) -> None:
    """Print what a sweep has found so far."""
    from xbarsim.report import sweep_table

    found = sweep_table.open_study(path)
    if as_json:
        print_json(found.to_json())
        return
    if found.rows:
        print_table(*sweep_table.table(found))
    print(printable("\n".join(sweep_table.remarks(found))))
