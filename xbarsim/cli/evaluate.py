"""`xbarsim evaluate`, without any hardware, and `xbarsim generate`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.base.given_files import printable
from xbarsim.cli.console import print_table, progress

if TYPE_CHECKING:
    from xbarsim.hardware.hook import HardwareHook

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
        progress=progress,
    )
    if as_json:
        print(json.dumps(result.as_dict(), indent=2))
        return
    print(printable(f"{model} on {task}, {reference}{result.remark()}"))
    for note in result.notes:
        print(printable(f"note: {note}"))
    rows = [
        (found.metric, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}", str(found.n))
        for found in result.metrics
    ]
    print_table(("metric", "value", "95 % interval", "n"), rows)


def generate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    prompt: Annotated[str, typer.Argument(help="What the model goes on with.")],
    tokens: Annotated[int, typer.Option(min=1, help="New tokens at most.")] = 40,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="0 takes the likeliest token, above it tokens are drawn.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of drawn tokens.")] = 0,
    study: Annotated[
        str | None,
        typer.Option(help="A study: what the chips of its cases write, beside float32."),
    ] = None,
) -> None:
    """Continue a prompt with a decoder, in float32 or on the chips of a study beside it."""
    from xbarsim.base import fetch
    from xbarsim.config.study import load_study
    from xbarsim.models.architectures import is_decoder, load_generator
    from xbarsim.models.operations import Hook, float32
    from xbarsim.studies import generation

    cases = [] if study is None else load_study(study).cases()
    path = fetch.locate(model, "model", progress=progress)
    if not is_decoder(path):
        raise typer.BadParameter(
            f"{model} does not predict the next token; name a decoder such as "
            "smollm2-135m-instruct",
            param_hint="MODEL",
        )
    network = load_generator(path)
    sampling = generation.Sampling(temperature, seed)

    def write(hook: Hook) -> None:
        printed = _Printed(prompt)
        text = generation.generate(
            network.model,
            network.tokenizer,
            prompt,
            tokens=tokens,
            sampling=sampling,
            hook=hook,
            every=printed.show,
        )
        printed.end(text)

    if not cases:
        write(float32)
        return
    print("float32:")
    write(float32)
    for name, case in cases:
        hook = generation.chip_that_generates(network, case, progress=progress)
        print(f"\n{name}:")
        write(hook)
        print(_cache_line(hook))


class _Printed:
    """A text that is printed as it grows."""

    def __init__(self, prompt: str) -> None:
        self.shown = 0
        print(prompt, end="", flush=True)

    def show(self, text: str) -> None:
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # the rest of a character is to come
            print(printable(text[self.shown :]), end="", flush=True)
            self.shown = len(text)

    def end(self, text: str) -> None:
        print(printable(text[self.shown :]))
        sys.stdout.flush()


def _cache_line(hook: "HardwareHook") -> str:
    """Where keys and values were on a chip, and what writing them took."""
    from xbarsim.base.units import engineering

    cache = hook.cache_per_token
    if cache.cells:
        energy = ""
        if hook.write_energy:
            energy = f", {engineering(hook.write_energy, 'J')} for writing"
        return (
            f"key-value cache: {cache.cells:,} cells a token, each written once; "
            f"{hook.cells_set:,.0f} cells written{energy}"
        )
    if cache.bytes:
        return (
            f"key-value cache: {cache.bytes:,} bytes of codes a token; "
            f"{hook.cells_set:,.0f} switches set"
        )
    return "key-value cache: float32, attention is digital"
