"""`xbarsim evaluate`: the digital references, without any hardware."""

from typing import Annotated

import typer

from xbarsim.base.given_files import printable
from xbarsim.cli.console import print_json, print_table, progress

MODEL_HELP = "A known model, a checkpoint directory, a GGUF file, or owner/name on the hub."
TASK_HELP = (
    "A known task or a CSV, TSV or JSONL file; of a decoder a text (.txt), minimal pairs "
    "(columns good and bad) or questions (JSONL); of a network of images a directory or file of images."
)


def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    task: Annotated[str, typer.Argument(help=TASK_HELP)],
    reference: Annotated[
        str,
        typer.Option(
            help="float32, or but for decoders int8 for weights and activations of 8 bits."
        ),
    ] = "float32",
    limit: Annotated[
        int | None, typer.Option(min=2, help="Examples to score, evenly spread; all if absent.")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="Another task whose sentences set the ranges of int8.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=2, help="Of a text: tokens of a window; 512 if absent.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Of a text: from one window to the next; its length.")
    ] = None,
    windows: Annotated[
        int | None, typer.Option(min=1, help="Of a text: windows from its start; all if absent.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the intervals of an encoder; that of studies if absent."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a model on a task without any hardware.

    \b
    Examples:
      xbarsim evaluate all-MiniLM-L6-v2 vader-movie --limit 300
      xbarsim evaluate all-MiniLM-L6-v2 pairs.tsv --reference int8 --json
      xbarsim evaluate smollm2-135m-instruct text.txt --window 512
    """
    from xbarsim.report.metric_form import form_of
    from xbarsim.studies import scoring

    result = scoring.evaluate(
        model,
        task,
        reference,
        limit=limit,
        calibration=calibration,
        window=window,
        stride=stride,
        windows=windows,
        seed=seed,
        progress=progress,
    )
    if as_json:
        print_json(result.as_dict())
        return
    print(printable(f"{model} on {task}, {reference}{result.remark()}"))
    for note in result.notes:
        print(printable(f"note: {note}"))
    rows = []
    for found in result.metrics:
        form = form_of(found.metric)
        interval = form.interval(found.low, found.high)
        rows.append((form.heading, form.value(found.value), interval, str(found.n)))
    print_table(("metric", "value", "95 % interval", "n"), rows)
