"""`xbarsim budget`: which effect costs how much."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarsim.base.given_files import printable
from xbarsim.cli.console import print_json, print_table, print_written
from xbarsim.cli.exit_codes import ExitCode
from xbarsim.cli.points import Crew, Threads, Workers, print_cost, run_points

if TYPE_CHECKING:
    from xbarsim.config.study import Study


def budget(
    study: Annotated[
        str | None, typer.Argument(help="A study file, or an embedded one; `default` if absent.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new directory; budgets/NAME if absent.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with the budget in a directory; no STUDY then."),
    ] = None,
    case: Annotated[
        str | None, typer.Option(help="Whose loss it is; the one with most effects if absent.")
    ] = None,
    effects: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Effects that share it, such as wires,adc,stuck+drift; all if absent.",
        ),
    ] = None,
    remedy: Annotated[
        list[str] | None,
        typer.Option(
            help="A remedy that shares it too: compensation, gain, scaling, scale_shift, or what stands "
            "in its place, such as 'adc.bits = 8'. Repeat it."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="An effect or a remedy that is left out throughout. Repeat it."),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="What is made ideal by itself: layer, role or none.")
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(
            help="Most chips with other effects; beyond them orders of the effects are sampled. 64 if absent."
        ),
    ] = None,
    chips: Annotated[
        int | None, typer.Option(help="Simulated chips of each; as the study says if absent.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Examples to evaluate; as the study says if absent.")
    ] = None,
    workers: Workers = 1,
    threads: Threads = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say chips, tiles, memory and time, and run nothing."),
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the costs (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which effect costs how much of the metric, and where.

    \b
    Examples:
      xbarsim budget mine.toml --limit 100 --workers 2
      xbarsim budget mine.toml --effects wires,adc,stuck+drift --dry-run
      xbarsim budget --resume budgets/mine
    """
    from xbarsim.studies.sweep_directory import create, open_directory

    table: dict[str, Any] = {
        "case": case,
        "effects": None if effects is None else effects.split(","),
        "remedies": remedy or None,
        "without": without or None,
        "layers": layers,
        "evaluations": evaluations,
    }
    overrides = {
        "budget": _stated(table),
        "run": _stated({"chips": chips}),
        "task": _stated({"limit": limit}),
    }
    if resume is not None:
        if study is not None or out is not None or any(overrides.values()):
            raise typer.BadParameter(
                "the directory states the study and what it evaluates; give only --workers, --threads, "
                "--picture and --json beside it",
                param_hint="--resume",
            )
        directory = open_directory(resume, "budget")
    else:
        loaded = _resolved(study or "default", overrides)
        if dry_run:
            _plan(loaded, workers, as_json)
            return
        directory = create(loaded, out or Path("budgets") / loaded.name)
    outcome = run_points(directory, Crew(workers, threads))
    if outcome.failed:
        raise typer.Exit(ExitCode.FAILED)
    show(directory.path, as_json, picture)


def _stated(options: dict[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {key: value for key, value in options.items() if value is not None}


def _resolved(study: str, overrides: dict[str, Any]) -> "Study":
    from xbarsim.config.study import load_study
    from xbarsim.studies.budget import resolve

    return resolve(load_study(study, overrides))


def _plan(study: "Study", workers: int, as_json: bool) -> None:
    from xbarsim.studies.budget_points import budget_points, plan_budget
    from xbarsim.studies.sweep_plan import plan_sweep

    plan = plan_budget(study)
    cases = len(plan.cases())
    taken = plan_sweep(budget_points(study))
    if as_json:
        effects = {"effects": plan.names, "combinations": len(plan.game.coalitions)}
        single = {"single_places": cases - len(plan.game.coalitions)}
        print_json(effects | single | taken.to_json(workers))
        return
    print(
        f"{len(plan.players)} effects: {', '.join(plan.names)}; {len(plan.game.coalitions)} combinations "
        f"and {cases - len(plan.game.coalitions)} of single places, {taken.tiles:,} tiles"
    )
    print_cost(taken, workers)


def show(path: Path, as_json: bool, picture: Path | None, out: Path | None = None) -> None:
    """Print the budget of a directory, draw it, and write its tables."""
    from xbarsim.report import budget as budgets
    from xbarsim.report import budget_text

    found = budgets.open_budget(path)
    if as_json:
        print_json(budgets.to_json(found))
    else:
        print(printable("\n".join(budget_text.heading(found))), end="\n\n")
        print_table(*budget_text.effect_table(found))
        print()
        print("\n".join(budget_text.how_shared(found)), end="\n\n")
        if found.places:
            print_table(*budget_text.place_table(found))
            print()
        print_table(*budget_text.step_table(found))
        print()
        print(budget_text.verdict(found))
    if out is not None:
        print_written(*budgets.write_files(found, out))
    if picture is not None:
        from xbarsim.report.plots import budget as pictures

        print_written(pictures.costs(found, picture))
