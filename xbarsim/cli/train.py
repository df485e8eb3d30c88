"""`xbarsim train`: a checkpoint on the chips of a study, or a small network of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.cli.commands import say_interrupted
from xbarsim.cli.console import print_json, progress, say
from xbarsim.cli.exit_codes import ExitCode
from xbarsim.cli.study_options import Settings

if TYPE_CHECKING:
    from xbarsim.config.study import Study


def train(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|CONFIG",
            help="A study with a table [training], or config.json of a network of images.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Argument(
            help="With config.json: a known task of images, a directory or a file; a study names its own."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIRECTORY", help="Where the network is written.")
    ] = Path("trained"),
    settings: Settings = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Of a study: go on with the state in --out, if there is one."
        ),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Of images: times that each is seen; 5 if absent.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Of images: behind one step; 64 if absent.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Of images: of the first step, from which it falls to 0; 0.002 if absent."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Of images: evenly spread; all if absent.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of images: of first weights and of the order; 0 if absent."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train the model of a study on its chips, or a small network of images.

    A study of text: its checkpoint is fine-tuned by PyTorch, every step on another
    simulated chip. A study of images states training.method: backpropagation,
    in-situ (pulses to the cells of an array) or defect-aware (around stuck cells),
    in NumPy. DIRECTORY/model is the result, which `xbarsim run DIRECTORY/study.toml`
    evaluates. A config.json: a network of images in floating point, without a study.

    \b
    Examples:
      xbarsim train mine.toml --out trained
      xbarsim train in-situ --out pulsed
      xbarsim train config.json mnist --out mine --epochs 3
    """
    images = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "limit": limit,
        "seed": seed,
    }
    stated = {name: value for name, value in images.items() if value is not None}
    if source.endswith(".json"):
        if task is None:
            raise typer.BadParameter(
                "name the task of images behind config.json", param_hint="TASK"
            )
        if settings or resume:
            raise typer.BadParameter("a config.json has no study: leave out --set and --resume")
        _train_images(Path(source), task, out, stated, as_json)
        return
    if task is not None or stated:
        wrong = "TASK" if task is not None else f"--{next(iter(stated))}"
        raise typer.BadParameter(
            "is for a config.json; a study states task.name and its table [training]",
            param_hint=wrong,
        )
    _train_study(source, settings or [], out, resume, as_json)


def _train_images(
    config: Path, task: str, out: Path, stated: dict[str, int | float], as_json: bool
) -> None:
    from xbarsim.training.command import train_files
    from xbarsim.training.fit import Schedule

    limit = stated.get("limit")
    schedule = Schedule(
        epochs=int(stated.get("epochs", 5)),
        batch=int(stated.get("batch", 64)),
        rate=float(stated.get("rate", 2e-3)),
        seed=int(stated.get("seed", 0)),
    )
    images = None if limit is None else int(limit)
    result = train_files(config, task, out, schedule, limit=images, progress=progress)
    if as_json:
        print_json(result.as_dict())
        return
    accuracy = result.accuracy
    loss = "" if result.loss is None else f", loss {result.loss:.4f}"
    print(
        f"{out}: trained on {result.images:,} images of {task}{loss}; accuracy "
        f"{accuracy.value:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) of {accuracy.n:,} others"
    )


def _train_study(study: str, settings: list[str], out: Path, resume: bool, as_json: bool) -> None:
    from xbarsim import config
    from xbarsim.config.settings_text import settings_of_texts
    from xbarsim.config.training import trains_images

    loaded = config.load_study(study, settings_of_texts(settings))
    train_it = _train_network if trains_images(loaded.training) else _fine_tune
    try:
        train_it(loaded, out, resume, as_json)
    except KeyboardInterrupt:
        say_interrupted([f"--resume goes on from the state in {out}, if there is one"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _fine_tune(study: "Study", out: Path, resume: bool, as_json: bool) -> None:
    """An encoder or a decoder, by PyTorch."""
    from xbarsim.torch.training.loop import train_study

    trained = train_study(study, out, resume=resume, progress=progress, say=say)
    if as_json:
        print_json(trained.as_dict())
        return
    print(f"{trained.model}: {trained.steps:,} steps, loss {trained.loss:.4f} at last")
    print(f"run it: xbarsim run {trained.study}")


def _train_network(study: "Study", out: Path, resume: bool, as_json: bool) -> None:
    """A network of images, in NumPy."""
    from xbarsim.training.study import train_image_study

    trained = train_image_study(study, out, resume=resume, progress=progress, say=say)
    if as_json:
        print_json(trained.as_dict())
        return
    print("\n".join(trained.lines()))
    print(f"run it: xbarsim run {trained.study}")
