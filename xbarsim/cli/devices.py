"""`xbarsim devices ...`: the devices that come with xbarsim."""

from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.console import print_table, print_written, say

app = typer.Typer(
    name="devices", help="The devices that come with xbarsim.", invoke_without_command=True
)


@app.callback()
def _devices(context: typer.Context) -> None:
    """The devices that come with xbarsim: a list, or one of them."""
    if context.invoked_subcommand is None:
        _list()


@app.command("list")
def _list() -> None:
    """Names, windows and what each device states; also without `list`."""
    from xbarsim.base.errors import ConfigError
    from xbarsim.devices import presets

    rows = []
    wrong = []
    for name in presets.device_names():
        try:
            file = presets.load_device(name).file
        except ConfigError as error:
            wrong.append(f"{presets.DEVICES.path(name)}: {error}")
            continue
        window = f"{file.conductance.minimum_us:g} to {file.conductance.maximum_us:g}"
        stated = ", ".join(file.stated_tables()) or "-"
        rows.append((name, window, stated, file.description))
    print_table(("name", "window (µS)", "states", "what"), rows)
    for sentence in wrong:
        say(f"not listed: {sentence}")
    if wrong:
        raise typer.Exit(2)


@app.command("show")
def _show(
    name: Annotated[str, typer.Argument(help="A device of `xbarsim devices`, or a device file.")],
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw its window, errors, ageing, read noise and current-voltage curve "
            "(.png, .pdf, .svg).",
        ),
    ] = None,
    time: Annotated[
        float | None,
        typer.Option(help="Time after programming at which --picture draws the noise, s."),
    ] = None,
) -> None:
    """Print the file of one device, to be copied and changed."""
    from xbarsim.base.files import refuse_overwriting
    from xbarsim.devices import presets

    if time is not None and picture is None:
        raise typer.BadParameter("it needs --picture", param_hint="--time")
    refuse_overwriting([("--picture", picture)], [name])
    model = presets.load_device(name)
    print(presets.device_text(name).rstrip())
    if picture is not None:
        from xbarsim.report.plots import devices

        print_written(devices.draw(model.at(time=time), picture))
