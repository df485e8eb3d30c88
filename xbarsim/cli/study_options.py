"""Options that say something about a study, of more than one command."""

from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of the study, such as adc.bits=6; repeatable.",
    ),
]
