"""`xbarsim generate`: a prompt that goes on, in float32 and on chips."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.base.given_files import printable
from xbarsim.cli.console import print_json, progress
from xbarsim.cli.evaluate import MODEL_HELP

if TYPE_CHECKING:
    from xbarsim.config.study import Study
    from xbarsim.hardware.hook import HardwareHook
    from xbarsim.models.architectures import LoadedDecoder
    from xbarsim.models.operations import Hook
    from xbarsim.studies.generation import Sampling


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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object when all is written.")
    ] = False,
) -> None:
    """Continue a prompt with a decoder, on chips too.

    \b
    Examples:
      xbarsim generate smollm2-135m-instruct "The capital of France is" --tokens 8
      xbarsim generate smollm2-135m-instruct "Once upon a time" --study decoder
    """
    from xbarsim.base import fetch
    from xbarsim.config.study import load_study
    from xbarsim.models.architectures import is_decoder, load_generator
    from xbarsim.models.operations import float32
    from xbarsim.studies import generation

    cases: Sequence[tuple[str, Study]] = ()
    if study is not None:
        cases = load_study(study).cases()
    path = fetch.locate(model, "model", progress=progress)
    if not is_decoder(path):
        raise typer.BadParameter(
            f"{model} does not predict the next token; name a decoder such as "
            "smollm2-135m-instruct",
            param_hint="MODEL",
        )
    network = load_generator(path)
    asked = _Asked(network, prompt, tokens, generation.Sampling(temperature, seed))
    if as_json:
        found = [{"path": "float32", "text": asked.whole_text(float32, "float32")}]
        for name, case in cases:
            hook = generation.chip_that_generates(network, case, progress=progress)
            text = asked.whole_text(hook, name)
            found.append({"path": name, "text": text, "cache": _cache_line(hook)})
        print_json({"model": model, "prompt": prompt, "texts": found})
        return
    if not cases:
        asked.print_text(float32)
        return
    print("float32:")
    asked.print_text(float32)
    for name, case in cases:
        hook = generation.chip_that_generates(network, case, progress=progress)
        print(f"\n{name}:")
        asked.print_text(hook)
        print(_cache_line(hook))


@dataclass(frozen=True)
class _Asked:
    """What is to be continued, by what, and how."""

    network: "LoadedDecoder"
    prompt: str
    tokens: int
    sampling: "Sampling"

    def text(self, hook: "Hook", every: Callable[[str], object]) -> str:
        """The whole text on one path; `every` gets it as it grows."""
        from xbarsim.studies import generation

        return generation.generate(
            self.network.model,
            self.network.tokenizer,
            self.prompt,
            tokens=self.tokens,
            sampling=self.sampling,
            hook=hook,
            every=every,
        )

    def whole_text(self, hook: "Hook", name: str) -> str:
        """The text on one path, with progress in tokens."""
        done = progress(f"{name}: tokens", self.tokens)
        return self.text(hook, lambda text: done(1))

    def print_text(self, hook: "Hook") -> None:
        """Print the text on one path as it grows."""
        printed = _Printed(self.prompt)
        printed.end(self.text(hook, printed.show))


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
