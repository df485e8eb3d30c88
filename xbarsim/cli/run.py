"""`xbarsim run`: a study, or a trace once more."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xbarsim.cli.commands import say_interrupted
from xbarsim.cli.console import progress, say
from xbarsim.cli.exit_codes import ExitCode
from xbarsim.cli.report import print_summaries, summaries_of
from xbarsim.cli.study_options import Settings

STUDY_HELP = "A study file, or the name of an embedded study; `default` if absent."


def run(
    study: Annotated[str | None, typer.Argument(help=STUDY_HELP)] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="TRACE",
            help="Repeat the run of a trace, with the study and the files that it holds.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A known model, a checkpoint directory, or owner/name.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="A device of `xbarsim devices`, or a device file.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="A known task, or a CSV, TSV or JSONL file; of a decoder also a text."),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="Another task whose sentences set converter ranges.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Examples to evaluate, evenly spread; all if absent.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=2, help="Of a text: tokens of a window; 512 if absent.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Of a text: windows from its start; all if absent.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of programming, noise and intervals.")
    ] = None,
    settings: Settings = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=A,B,C",
            help="A case for every value, in the place of the study's cases; repeatable.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the trace.")] = Path(
        "runs"
    ),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the unfinished run of the same study in --out, if there is one.",
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="All cores if absent. Changes no result.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run a study: a model on programmed crossbars, scored.

    Programs the arrays, pushes the task through them, writes a trace and prints its tables.  After
    Ctrl-C, a kill or a power cut --resume goes on.

    \b
    Examples:
      xbarsim run
      xbarsim run mine.toml --out runs
      xbarsim run mine.toml --out runs --resume
      xbarsim run mine.toml --set adc.bits=6 --limit 100
      xbarsim run mine.toml --sweep adc.bits=4,6,8
      xbarsim run --from runs/mine.h5 --out repeated
    """
    stated = (study, device, calibration, limit, window, windows, seed, settings, axes)
    if source is not None and any(value is not None for value in stated):
        raise typer.BadParameter(
            "the trace states the study, its device, calibration, limit, windows and seed; give only --model, "
            "--task, --out and --threads beside it",
            param_hint="--from",
        )
    try:
        if source is None:
            tables = {
                "model": _given(name=model),
                "device": _given(name=device),
                "task": _given(
                    name=task,
                    calibration=calibration,
                    limit=limit,
                    window=window,
                    windows=windows,
                ),
            }
            overrides = tables | _given(seed=seed)
            path = _run(
                study or "default", overrides, settings or [], axes or [], out, threads, resume
            )
            compared = ""
        else:
            from xbarsim.studies import repeat

            path, comparison = repeat.repeat(
                source,
                out,
                model=model,
                task=task,
                threads=threads,
                progress=progress,
                say=say,
                resume=resume,
            )
            compared = comparison.render()
    except KeyboardInterrupt as interrupt:
        notes = getattr(interrupt, "__notes__", ())  # where the trace is and what it holds
        say_interrupted(notes)
        print(f"go on with {_resuming_command(sys.argv[1:])}", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _print_report(path, as_json)
    if compared:
        print(compared, file=sys.stderr)


def _given(**options: Any) -> dict[str, Any]:
    """Those options that are not None."""
    return {key: value for key, value in options.items() if value is not None}


def _resuming_command(arguments: Sequence[str]) -> str:
    """The command line that goes on with the run that these arguments started."""
    words = ["xbarsim", *arguments]
    if "--resume" not in words:
        words.append("--resume")
    return shlex.join(words)


def _run(
    study: str,
    overrides: dict[str, Any],
    settings: list[str],
    axes: list[str],
    out: Path,
    threads: int | None,
    resume: bool,
) -> Path:
    from xbarsim import config
    from xbarsim.config.settings_text import axes_of_texts, cases_of_axes, settings_of_texts
    from xbarsim.studies.run import run_study

    overrides = config.merge(overrides, settings_of_texts(settings))
    if axes:
        overrides["case"] = cases_of_axes(axes_of_texts(axes))
    loaded = config.load_study(study, overrides)
    return run_study(loaded, out, threads, progress, say, resume=resume)


def _print_report(trace: Path, as_json: bool) -> None:
    from xbarsim.report import accuracy_and_cost

    summaries = summaries_of([trace])
    rows = accuracy_and_cost.join(summaries)
    print_summaries(summaries, rows, as_json, accuracy_and_cost.not_joined(summaries))
    if not as_json:
        page = shlex.join(["xbarsim", "report", str(trace), "--html", f"{trace.stem}.html"])
        print(f"as a page with interactive plots: {page}", file=sys.stderr)
