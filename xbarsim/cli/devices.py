"""`xbarsim devices ...`: the devices that come with xbarsim."""

from pathlib import Path
from typing import Annotated

import typer

from xbarsim.cli.commands import add_commands, new_group
from xbarsim.cli.console import print_json, print_table, print_written, say
from xbarsim.cli.exit_codes import ExitCode

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_devices(as_json: AsJson = False) -> None:
    """Names, windows and what each device states.

    \b
    Examples:
      xbarsim devices list
      xbarsim devices list --json
    """
    from xbarsim.base.errors import ConfigError
    from xbarsim.devices import presets

    rows = []
    facts = []
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
        facts.append(
            {
                "name": name,
                "minimum_us": file.conductance.minimum_us,
                "maximum_us": file.conductance.maximum_us,
                "states": file.stated_tables(),
                "description": file.description,
            }
        )
    if as_json:
        print_json(facts)
    else:
        print_table(("name", "window (µS)", "states", "what"), rows)
    for sentence in wrong:
        say(f"not listed: {sentence}")
    if wrong:
        raise typer.Exit(ExitCode.WRONG)


def show_device(
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
    """Print the file of one device, to be copied and changed.

    \b
    Examples:
      xbarsim devices show rram-wan2022 > mine.toml
      xbarsim devices show pcm --picture pcm.png --time 3600
    """
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


app = new_group("devices", "List and show the devices that come with xbarsim.")


@app.callback(invoke_without_command=True)
def _devices(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_devices()


add_commands(app, None, [("list", list_devices), ("show", show_device)])
