"""`xbarsim report`: traces as tables, files and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.base.given_files import exists, printable
from xbarsim.cli.console import print_json, print_table, print_written, say

if TYPE_CHECKING:
    from xbarsim.report.accuracy_and_cost import Row
    from xbarsim.report.summary import Summary


def report(
    traces: Annotated[
        list[Path],
        typer.Argument(
            help="Traces of `xbarsim run`, or one directory of `xbarsim budget`, `sweep` or `train`."
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Show the metric of one trace's cases against the key of the study that they "
            "vary, such as computation.rows_per_conversion.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write report.json, paths.csv, layers.csv, and joined.json and joined.csv with "
            "chips. With --against a file: FILE.csv.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the SNR per layer, with --against the metric (.png, .pdf, .svg).",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write everything as one self-contained page with interactive plots; also of a "
            "directory. Needs xbarsim[html].",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summaries as JSON.")] = False,
    chip: Annotated[
        list[str] | None,
        typer.Option(
            help="Join energy, area and latency of this chip; repeat it. The chip "
            "that a case names itself if absent."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Sequences at once on the chips; 1 if absent.")
    ] = None,
) -> None:
    """Show runs, sweeps and budgets as tables, pictures and pages.

    \b
    Examples:
      xbarsim report runs/default.h5
      xbarsim report runs/default.h5 --html report.html
      xbarsim report runs/default.h5 --picture layer-snr.png --out tables
      xbarsim report runs/mine.h5 --against adc.bits --picture bits.png
      xbarsim report runs/default.h5 --chip isaac --chip differential
      xbarsim report sweeps/mine
      xbarsim report trained
    """
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.report import accuracy_and_cost

    if page is not None:
        _check_page(page, [*traces, *(chip or ())], picture)
    if exists(traces[0] / "training.json"):
        others = {"--against": against, "--out": out, "--picture": picture, "--chip": chip}
        _check_training(traces, [option for option, given in others.items() if given])
        _report_training(traces[0], page, as_json)
        return
    if exists(traces[0] / "sweep.json"):
        _report_directory(traces, against, out, picture, page, as_json)
        return
    if against is not None:
        other = {"--json": as_json, "--chip": chip, "--batch": batch}
        _check_against(traces, [option for option, given in other.items() if given])
        _report_against(traces[0], against, out, picture)
        if page is not None:
            _write_page(traces, page, against=against)
        return
    chips = tuple(chip or ())
    refuse_overwriting([("--picture", picture)], [*traces, *chips])
    summaries = summaries_of(traces)
    rows = accuracy_and_cost.join(summaries, chips, batch or 1)
    print_summaries(summaries, rows, as_json, accuracy_and_cost.not_joined(summaries, chips))
    if out is not None:
        _write_files(summaries, rows, out, inputs=[*traces, *chips])
    if picture is not None:
        from xbarsim.report.plots import runs

        for path in runs.layer_snr_of_each(summaries, picture):
            print_written(path)
    if page is not None:
        _write_page(traces, page, chips, batch or 1)


def _report_directory(
    traces: Sequence[Path],
    against: str | None,
    out: Path | None,
    picture: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Print, write and draw an error budget; print a sweep; a page of either."""
    from xbarsim.cli.budget import show
    from xbarsim.cli.sweep import show_sweep
    from xbarsim.studies.sweep_directory import open_directory

    if len(traces) > 1 or against is not None:
        raise typer.BadParameter(f"{traces[0]} is a directory; allowed: one by itself")
    if open_directory(traces[0]).kind == "sweep":
        if out is not None or picture is not None:
            raise typer.BadParameter(f"{traces[0]} is a sweep, which has no --out and --picture")
        show_sweep(traces[0], as_json)
    else:
        show(traces[0], as_json, picture, out)
    if page is not None:
        from xbarsim.report.page import pages

        print_written(pages.write_page(pages.page_of_directory(traces[0]), page))


# ---------------------------------------------------------------- training


def _check_training(traces: Sequence[Path], other: Sequence[str]) -> None:
    """Refuse what a training cannot show."""
    if len(traces) > 1:
        raise typer.BadParameter(
            f"{traces[0]} is a directory of `xbarsim train`; allowed: one by itself"
        )
    if other:
        raise typer.BadParameter(
            f"{traces[0]} is a directory of `xbarsim train`, which has none; run its study.toml, and "
            "report the trace",
            param_hint=other[0],
        )


def _report_training(directory: Path, page: Path | None, as_json: bool) -> None:
    """Print what was trained and how it went, and write a page of it."""
    from xbarsim.report import training_text
    from xbarsim.studies.training_record import RECORD, read_any_record

    record = read_any_record(directory / RECORD)
    if as_json:
        print_json(training_text.to_json(record))
    else:
        alarm = training_text.alarm(record)
        if alarm is not None:
            print(f"INCOMPLETE: {alarm}")
        print(printable("\n".join(training_text.lines(record))))
        command, purpose = training_text.next_command(record, directory)
        print(printable(f"{purpose}: {command}"))
    if page is not None:
        from xbarsim.report.page import pages

        print_written(pages.write_page(pages.page_of_training(record, directory), page))


# ---------------------------------------------------------------- pages


def _check_page(page: Path, inputs: Sequence[Path | str], picture: Path | None) -> None:
    """Refuse a page that cannot be made, before anything is read."""
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.report.page.document import require_plotly

    require_plotly()
    refuse_overwriting([("--html", page), ("--picture", picture)], inputs)
    if page.suffix not in ("", ".html", ".htm"):
        raise typer.BadParameter(f"{page}; a page ends in .html", param_hint="--html")


def _write_page(
    traces: Sequence[Path],
    page: Path,
    chips: Sequence[str] = (),
    batch: int = 1,
    against: str | None = None,
) -> None:
    from xbarsim.report.page import pages
    from xbarsim.report.page.run_record import read_run

    records = [read_run(path, chips, batch) for path in traces]
    print_written(pages.write_page(pages.page_of_runs(records, against), page))


# ---------------------------------------------------------------- one key


def _check_against(traces: Sequence[Path], other: Sequence[str]) -> None:
    """Refuse what a curve cannot show."""
    if len(traces) > 1:
        raise typer.BadParameter(
            f"{len(traces)} traces; allowed: one, whose cases vary the key", param_hint="--against"
        )
    if other:
        raise typer.BadParameter(
            f"{other[0]} has no effect beside it; leave one of them away", param_hint="--against"
        )


def _report_against(trace: Path, key: str, out: Path | None, picture: Path | None) -> None:
    """Print, write and draw the metric of a trace's cases against the key that they vary."""
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.report import curves

    refuse_overwriting([("--out", out), ("--picture", picture)], [trace])
    if out is not None and out.suffix != ".csv":
        raise typer.BadParameter(
            f"{out}; with --against it names one file that ends in .csv", param_hint="--out"
        )
    summary = summaries_of([trace])[0]
    metric = summary.run.metric
    found = curves.against(summary, key)
    header, rows = curves.table(found, key, metric)
    print_table(header, rows)
    if out is not None:
        print_written(curves.write(found, key, metric, out))
    if picture is not None:
        from xbarsim.report.plots import runs

        print_written(runs.against_key(summary, found, key, picture))


# ---------------------------------------------------------------- whole traces


def summaries_of(traces: Sequence[Path]) -> list["Summary"]:
    """The figures of traces."""
    from xbarsim.report.summary import summarise
    from xbarsim.studies.trace_reader import read_trace

    return [summarise(read_trace(path)) for path in traces]


def print_summaries(
    summaries: Sequence["Summary"],
    rows: Sequence["Row"],
    as_json: bool,
    not_joined: Sequence[str] = (),
) -> None:
    """Summaries, and their cases on chips, as text or JSON.

    not_joined : sentences on chips that price none of them, to the standard error beside JSON
    """
    from xbarsim.report import accuracy_and_cost, files
    from xbarsim.report.text import render

    if as_json:
        content = [
            files.to_json(summary) | accuracy_and_cost.to_json(rows, summary.path)
            for summary in summaries
        ]
        print_json(content)
        for sentence in not_joined:
            say(sentence)
        return
    print(printable("\n\n".join(render(summary) for summary in summaries)))
    if rows:
        header, body, remarks = accuracy_and_cost.table(rows)
        print()
        print_table(header, body)
        print(printable("\n".join(remarks)))
    for sentence in not_joined:
        print(printable(f"\nnote: {sentence}"))


def _write_files(
    summaries: Sequence["Summary"],
    rows: Sequence["Row"],
    directory: Path,
    inputs: Sequence[Path | str],
) -> None:
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.report import accuracy_and_cost, files

    names = (*files.FILES, files.POSITIONS, *accuracy_and_cost.FILES)
    refuse_overwriting([("--out", directory / name) for name in names], inputs)
    written = [*files.write_files(summaries, directory)]
    if rows:
        written += accuracy_and_cost.write_files(rows, directory)
    print_written(*written)
