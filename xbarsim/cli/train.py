"""`xbarsim train`: a small network of images, in floating point."""

from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import print_json, progress


def train(
    config: Annotated[
        Path, typer.Argument(help="config.json of a network of images, see docs/images.md.")
    ],
    task: Annotated[str, typer.Argument(help="A known task of images, a directory or a file.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIRECTORY", help="Where the network is written.")
    ],
    epochs: Annotated[int, typer.Option(min=0, help="Times that every image is seen.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Images behind one step.")] = 64,
    rate: Annotated[float, typer.Option(help="Of the first step; it falls to 0.")] = 2e-3,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Training images, evenly spread; all if absent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights and of the order.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a small network of images, to be run on chips.

    A multilayer perceptron or a convolutional network, in NumPy, by Adam.

    \b
    Examples:
      xbarsim train config.json mnist --out mine --epochs 3
      xbarsim run --model mine --task mnist
    """
    from xbarsim.training.command import train_files
    from xbarsim.training.fit import Schedule

    schedule = Schedule(epochs=epochs, batch=batch, rate=rate, seed=seed)
    result = train_files(config, task, out, schedule, limit=limit, progress=progress)
    if as_json:
        print_json(result.as_dict())
        return
    accuracy = result.accuracy
    loss = "" if result.loss is None else f", loss {result.loss:.4f}"
    print(
        f"{out}: trained on {result.images:,} images of {task}{loss}; accuracy "
        f"{accuracy.value:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) of {accuracy.n:,} others"
    )
