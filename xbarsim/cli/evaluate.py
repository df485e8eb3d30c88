"""`xbarsim evaluate` and `generate`: models without any hardware."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from xbarsim.cli.console import print_table, progress

MODEL_HELP = "A known model, a checkpoint directory, a GGUF file, or owner/name on the hub."
TASK_HELP = (
    "A known task or a CSV, TSV or JSONL file; of a decoder a text (.txt), minimal pairs "
    "(columns good and bad) or questions (JSONL)."
)


def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    task: Annotated[str, typer.Argument(help=TASK_HELP)],
    reference: Annotated[
        str,
        typer.Option(help="float32, or of encoders int8 for weights and activations of 8 bits."),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a checkpoint on a task without any hardware: the digital reference."""
    from xbarsim.base import fetch
    from xbarsim.models.architectures import is_decoder
    from xbarsim.studies import evaluation, language
    from xbarsim.studies.language_examples import Scope

    path = fetch.locate(model, "model", progress=progress)
    result: language.LanguageScore | evaluation.Evaluation
    if is_decoder(path):
        _refuse({"--calibration": calibration}, "an encoder")
        if reference != "float32":
            raise typer.BadParameter(
                f"{reference!r}; of a decoder float32 is the only one", param_hint="--reference"
            )
        scope = Scope(window=window, stride=stride, windows=windows, limit=limit)
        result = language.evaluate_files(path, task, scope, progress=progress)
    else:
        _refuse({"--window": window, "--stride": stride, "--windows": windows}, "a decoder")
        result = evaluation.evaluate_files(
            path, task, reference, limit=limit, calibration_task=calibration, progress=progress
        )
    if as_json:
        print(json.dumps(result.as_dict(), indent=2))
        return
    print(f"{model} on {task}, {reference}{result.remark()}")
    for note in result.notes:
        print(f"note: {note}")
    rows = [
        (found.metric, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}", str(found.n))
        for found in result.metrics
    ]
    print_table(("metric", "value", "95 % interval", "n"), rows)


def _refuse(options: Mapping[str, object], needed: str) -> None:
    """Options of the other kind of model have no effect."""
    for option, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"it needs {needed}", param_hint=option)


def generate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    prompt: Annotated[str, typer.Argument(help="What the model goes on with.")],
    tokens: Annotated[int, typer.Option(min=1, help="New tokens at most.")] = 40,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0 takes the likeliest token, above it tokens are drawn.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of drawn tokens.")] = 0,
) -> None:
    """Continue a prompt with a decoder, in float32."""
    from xbarsim.base import fetch
    from xbarsim.models.architectures import is_decoder, load_generator
    from xbarsim.studies import language

    path = fetch.locate(model, "model", progress=progress)
    if not is_decoder(path):
        raise typer.BadParameter(
            f"{model} does not predict the next token; name a decoder such as "
            "smollm2-135m-instruct",
            param_hint="MODEL",
        )
    network = load_generator(path)
    shown = 0

    def show(text: str) -> None:
        nonlocal shown
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # the rest of a character is to come
            print(text[shown:], end="", flush=True)
            shown = len(text)

    print(prompt, end="", flush=True)
    text = language.generate(
        network.model,
        network.tokenizer,
        prompt,
        tokens=tokens,
        temperature=temperature,
        seed=seed,
        every=show,
    )
    print(text[shown:])
    sys.stdout.flush()
