"""`xbarsim chip ...`: commands that parse, call one function of the library and print."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarsim.base.given_files import printable
from xbarsim.cli.commands import add_commands, new_group
from xbarsim.cli.console import print_json, print_table, print_written, progress

if TYPE_CHECKING:
    from xbarsim.chips.result import RollUp

Picture = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also draw it (.png, .pdf, .svg).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with the unit of every figure.")]


def list_chips(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Chips that come with xbarsim.

    \b
    Examples:
      xbarsim chip list
      xbarsim chip list --json
    """
    from xbarsim.chips import assumptions
    from xbarsim.chips.load import chip_names, load_chip

    described = [load_chip(name) for name in chip_names()]
    if as_json:
        print_json(assumptions.overview_json(described))
    else:
        print_table(*assumptions.overview(described))


def show_chip(
    name: Annotated[str, typer.Argument(help="A chip or a chip file.")],
    peak: Annotated[
        bool,
        typer.Option("--peak", help="Its parts, power and area flat out, instead of its file."),
    ] = False,
    assumed: Annotated[
        bool, typer.Option("--assumed", help="What is assumed about it, instead of its file.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --peak or --assumed: print JSON.")
    ] = False,
) -> None:
    """Print the file of a chip, or what follows from it.

    \b
    Examples:
      xbarsim chip show isaac > mine.toml
      xbarsim chip show isaac --peak
      xbarsim chip show differential --assumed --json
    """
    from xbarsim.chips import assumptions, compare
    from xbarsim.chips.load import chip_text, load_chip

    if as_json:
        print_json(_chip_json(name, peak, assumed))
        return
    if not (peak or assumed):
        print(chip_text(name).rstrip())
        return
    description = load_chip(name)
    if assumed:
        print_table(*assumptions.table(description))
    if peak:
        header, rows, lines = compare.peak_table(description.chip.peak(description.name))
        print_table(header, rows)
        print("\n".join(lines))


def _chip_json(name: str, peak: bool, assumed: bool) -> dict[str, Any]:
    """What follows from a chip, of what is asked for."""
    from xbarsim.chips import assumptions, compare
    from xbarsim.chips.load import load_chip

    if not (peak or assumed):
        raise typer.BadParameter("needs --peak or --assumed", param_hint="--json")
    description = load_chip(name)
    content: dict[str, Any] = {}
    if assumed:
        content["assumed"] = assumptions.as_json(description)
    if peak:
        content["peak"] = compare.peak_json(description.chip.peak(description.name))
    return content


def compare_chips(
    names: Annotated[list[str], typer.Argument(help="Chips or chip files.")],
    model: Annotated[
        str, typer.Option(help="A name of data/models.toml, or a checkpoint directory.")
    ] = "bert-large",
    sequence: Annotated[
        int,
        typer.Option(
            "--sequence",
            "--context",
            min=1,
            help="Tokens per sequence; in decode the context, the new token included.",
        ),
    ] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Sequences that are there at once.")] = 1,
    phase: Annotated[
        str,
        typer.Option(
            help="pass: all tokens of a sequence together; of decoders also prefill, a prompt, or "
            "decode, the next token of every sequence."
        ),
    ] = "pass",
    output_matrix: Annotated[
        bool | None,
        typer.Option(help="Compute logits; if absent, in prefill and decode."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Breakdown of the energy: component, layer, step; repeat it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write chips.json, chips.csv, breakdown.csv.")
    ] = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """One model on several chips: area, latency and energy.

    And what these are made of.  Energies are per sequence.

    \b
    Examples:
      xbarsim chip compare isaac differential --model bert-large --sequence 128
      xbarsim chip compare singlebit multibit --by layer --picture energy.png
      xbarsim chip compare singlebit mine.toml --model gpt3 --phase decode
    """
    from xbarsim.chips import compare

    _keep_inputs(names, picture, out, ("chips.json", "chips.csv", "breakdown.csv"))
    results = compare.compare(names, model, sequence, batch, phase, output_matrix)
    if as_json:
        content = [compare.as_json(result) for result in results]
        print_json(content)
    else:
        _print_comparison(results, by or ("component", "step"), generates=phase != "pass")
    if out is not None:
        print_written(*compare.write_files(results, out))
    if picture is not None:
        from xbarsim.report.plots import chips

        print_written(chips.breakdown(results, picture))


def _print_comparison(results: Sequence["RollUp"], kinds: Iterable[str], generates: bool) -> None:
    """Tables of what `compare` found: figures, generation, energy by every kind of part."""
    from xbarsim.chips import compare

    asked = results[0].asked
    unit = results[0].inference
    print(f"{asked}; energy per {unit}, latency of the batch")
    print_table(*compare.table(results))
    if generates:
        print("\ngeneration; first token: after the prompt, of the whole batch")
        print_table(*compare.generation_table(results))
    for kind in kinds:
        print(f"\nenergy by {kind} (mJ per {unit}): {asked}")
        print_table(*compare.breakdown(results, kind))
    print(printable("\n" + "\n".join(compare.remarks(results))))


def judge_claims(
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batch sizes; 1 and 128 if absent.")
    ] = None,
    hold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="An assumption to keep at its value; repeat it "
            "(labels: `xbarsim chip show NAME --assumed`).",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Random draws beside ends and corners.")] = 64,
    file: Annotated[
        Path | None,
        typer.Option("--claims", help="A file of claims of the form of data/claims.toml."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write claims.json and swings.csv.")
    ] = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """The paper's claims against all that is unknown.

    Every assumption takes every value of its range.

    \b
    Examples:
      xbarsim chip claims
      xbarsim chip claims --batch 1 --samples 0 --picture tornado.png
    """
    from xbarsim.chips import claims

    _keep_inputs([file], picture, out, ("claims.json", "swings.csv"))
    known = claims.load_claims(file)
    if not as_json:
        print_table(("storage", "computed", "published"), claims.storage_rows())
    verdicts, together = claims.judge(
        known, tuple(batch or (1, 128)), samples, tuple(hold or ()), progress
    )
    if as_json:
        print_json(claims.as_json(verdicts, together))
    else:
        print(
            f"\n{known.model}, {known.sequence} tokens; ratio of the other chip to {known.subject}"
        )
        print_table(*claims.table(verdicts))
        print("\n".join(claims.together_lines(together)))
    if out is not None:
        print_written(*claims.write_files(verdicts, together, out))
    if picture is not None:
        from xbarsim.report.plots import chips

        print_written(chips.tornado(verdicts, picture))


def _keep_inputs(
    inputs: Sequence[str | Path | None],
    picture: Path | None,
    directory: Path | None,
    names: Iterable[str],
) -> None:
    """Refuse a picture, or files of the names in a directory, that would replace an input."""
    from xbarsim.base.files import refuse_overwriting

    written = [("--picture", picture)]
    if directory is not None:
        written += [("--out", directory / name) for name in names]
    refuse_overwriting(written, inputs)


app = new_group("chip", "Energy, area and latency of whole architectures.", no_args_is_help=True)
add_commands(
    app,
    None,
    [
        ("list", list_chips),
        ("show", show_chip),
        ("compare", compare_chips),
        ("claims", judge_claims),
    ],
)
