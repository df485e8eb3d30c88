"""What the commands share that run the points of a directory: `sweep` and `budget`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.cli.commands import say_interrupted
from xbarsim.cli.console import progress, say
from xbarsim.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from xbarsim.studies.sweep import Outcome
    from xbarsim.studies.sweep_directory import SweepDirectory
    from xbarsim.studies.sweep_plan import SweepPlan

Workers = Annotated[
    int, typer.Option(min=1, help="Points at the same time, a process each; changes no result.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Of each worker; the cores divided by the workers if absent."),
]


@dataclass(frozen=True)
class Crew:
    """On what points are run."""

    workers: int
    threads: int | None
    scheduler: str = ""


def run_points(directory: "SweepDirectory", crew: Crew) -> "Outcome":
    """Run what is missing; an interrupt says what is done and how to go on."""
    from xbarsim.studies.sweep import run_sweep

    try:
        return run_sweep(directory, crew.workers, crew.threads, progress, say, crew.scheduler)
    except KeyboardInterrupt as interrupt:
        notes = getattr(interrupt, "__notes__", ())
        say_interrupted(notes)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def print_cost(plan: "SweepPlan", workers: int) -> None:
    """Print the memory and the time that points will take."""
    from xbarsim.base.units import GIGA, engineering

    print(f"memory about {workers * plan.bytes / GIGA:.1f} GB with {workers} workers")
    print(f"time about {engineering(plan.seconds / workers, 's')} on {workers} idle cores")
