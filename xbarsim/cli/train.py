"""`xbarsim train`: fine-tune the model of a study on its chips."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import progress, say
from xbarsim.cli.study_options import Settings


def train(
    study: Annotated[str, typer.Argument(help="A study file with a table [training].")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="A new directory for what is trained.")
    ] = Path("trained"),
    settings: Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the state in --out, if there is one.")
    ] = False,
) -> None:
    """Fine-tune the model of a study, every step on another simulated chip; needs PyTorch.

    Writes an ordinary checkpoint, DIR/model, and DIR/study.toml, which runs it.

    Example: xbarsim train mine.toml --out trained; xbarsim run trained/study.toml
    """
    from xbarsim import config
    from xbarsim.config.settings_text import settings_of_texts
    from xbarsim.torch.training.loop import train_study

    loaded = config.load_study(study, settings_of_texts(settings or []))
    try:
        checkpoint = train_study(loaded, out, resume=resume, progress=progress, say=say)
    except KeyboardInterrupt:
        print(f"xbarsim: interrupted; --resume goes on from the state in {out}", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"trained: {checkpoint}")
    print(f"run it: xbarsim run {out / 'study.toml'}")
