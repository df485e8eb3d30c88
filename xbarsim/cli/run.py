"""`xbarsim run`, `report` and `sweep`: commands that parse, call one function of the library and
print."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import print_table, progress, say

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
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the trace.")] = Path(
        "runs"
    ),
    threads: Annotated[
        int | None, typer.Option(min=1, help="All cores if absent. Changes no result.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
):
    """Run a study: program the arrays, push the task through them, write a trace, print the
    table."""
    stated = (study, calibration, limit, window, windows, seed)
    if source is not None and any(value is not None for value in stated):
        raise typer.BadParameter(
            "the trace states the study, its calibration, limit, windows and seed; give only --model, "
            "--task, --out and --threads beside it",
            param_hint="--from",
        )
    from xbarsim import config

    overrides = {
        "model": {"name": model},
        "task": {
            "name": task,
            "calibration": calibration,
            "limit": limit,
            "window": window,
            "windows": windows,
        },
    }
    overrides = {
        table: {key: value for key, value in values.items() if value is not None}
        for table, values in overrides.items()
    } | ({} if seed is None else {"seed": seed})
    chosen = config.load_study(study or "default", overrides) if source is None else None
    comparison = None
    try:
        if source is None:
            from xbarsim.studies.run import run_study

            path = run_study(chosen, out, threads, progress, say)
        else:
            from xbarsim.studies import repeat

            path, comparison = repeat.repeat(
                source, out, model=model, task=task, threads=threads, progress=progress, say=say
            )
    except KeyboardInterrupt as interrupt:
        print(
            "\n".join(["xbarsim: interrupted", *getattr(interrupt, "__notes__", ())]),
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    _report([path], None, as_json)
    if comparison is not None:
        print(comparison.render(), file=sys.stderr)


def report(
    traces: Annotated[list[Path], typer.Argument(help="Traces of `xbarsim run`.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write report.json, paths.csv, layers.csv, and "
            "joined.json and joined.csv with chips.",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the SNR per layer (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summaries as JSON.")] = False,
    chip: Annotated[
        list[str] | None,
        typer.Option(
            help="Join energy, area and latency of this chip; repeat it. The chip "
            "that a case names itself if absent."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once on the chips.")] = 1,
):
    """Print the tables of one or several traces again, and write them as CSV, JSON or a picture."""
    from xbarsim.base.files import refuse_overwriting

    refuse_overwriting([("--picture", picture)], [*traces, *(chip or ())])
    summaries = _report(traces, out, as_json, tuple(chip or ()), batch)
    if picture is not None:
        from xbarsim.report.plots import runs

        for number, summary in enumerate(summaries):
            name = (
                picture
                if len(summaries) == 1
                else picture.with_stem(f"{picture.stem}-{number + 1}")
            )
            print(f"written: {runs.layer_snr(summary, name)}", file=sys.stderr)


def sweep(
    trace: Annotated[
        Path, typer.Argument(help="A trace of `xbarsim run` whose cases vary the key.")
    ],
    key: Annotated[
        str, typer.Argument(help="Key of the study, such as computation.rows_per_conversion.")
    ],
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw metric against key (.png, .pdf, .svg)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")
    ] = None,
):
    """Print, write and draw the metric of a trace's cases against the key that they vary."""
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.report import curves
    from xbarsim.report.summary import summarise
    from xbarsim.studies.trace_reader import read_trace

    refuse_overwriting([("--out", out), ("--picture", picture)], [trace])
    summary = summarise(read_trace(trace))
    metric = summary.run.metric
    found = curves.against(summary, key)
    header, rows = curves.table(found, key, metric)
    print_table(header, rows)
    if out is not None:
        print(f"written: {curves.write(found, key, metric, out)}", file=sys.stderr)
    if picture is not None:
        from xbarsim.report.plots import runs

        print(f"written: {runs.against_key(summary, found, key, picture)}", file=sys.stderr)


def _report(paths, directory, as_json, chips=(), batch=1):
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.report import accuracy_and_cost, files
    from xbarsim.report.summary import summarise
    from xbarsim.report.text import render
    from xbarsim.studies.trace_reader import read_trace

    summaries = [summarise(read_trace(path)) for path in paths]
    rows = accuracy_and_cost.join(summaries, chips, batch)
    if as_json:
        print(
            json.dumps(
                [
                    files.to_json(summary) | accuracy_and_cost.to_json(rows, summary.path)
                    for summary in summaries
                ],
                indent=1,
            )
        )
    else:
        print("\n\n".join(render(summary) for summary in summaries))
        if rows:
            header, body, remarks = accuracy_and_cost.table(rows)
            print()
            print_table(header, body)
            print("\n".join(remarks))
    if directory is not None:
        names = (*files.FILES, files.POSITIONS, *accuracy_and_cost.FILES)
        refuse_overwriting([("--out", directory / name) for name in names], [*paths, *chips])
        written = [*files.write_files(summaries, directory)]
        if rows:
            written += accuracy_and_cost.write_files(rows, directory)
        print("written: " + ", ".join(map(str, written)), file=sys.stderr)
    return summaries
