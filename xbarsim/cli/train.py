"""`xbarsim train`: a small network of images, in floating point."""

import json
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import progress


def train(
    config: Annotated[
        Path, typer.Argument(help="config.json of a network of images, see docs/images.md.")
    ],
    task: Annotated[str, typer.Argument(help="A known task of images, a directory or a file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIRECTORY", help="Where it is written.")],
    epochs: Annotated[int, typer.Option(min=0, help="Times that every image is seen.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Images behind one step.")] = 64,
    rate: Annotated[float, typer.Option(help="Of the first step; it falls to 0.")] = 2e-3,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Training images, evenly spread; all if absent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights and of the order.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a multilayer perceptron or a convolutional network on images (NumPy, Adam).

    Example: xbarsim train config.json mnist --out mine --epochs 3, then xbarsim run with
    model.name = "mine" and task.name = "mnist".
    """
    from xbarsim.training.command import train_files
    from xbarsim.training.fit import Schedule

    schedule = Schedule(epochs=epochs, batch=batch, rate=rate, seed=seed)
    result = train_files(config, task, out, schedule, limit=limit, progress=progress)
    if as_json:
        print(json.dumps(result.as_dict(), indent=2))
        return
    accuracy = result.accuracy
    loss = "" if result.loss is None else f", loss {result.loss:.4f}"
    print(
        f"{out}: trained on {result.images:,} images of {task}{loss}; accuracy "
        f"{accuracy.value:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) of {accuracy.n:,} others"
    )
