"""`xbarsim completion`: scripts that complete commands, options and names in a shell."""

import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated, Any

import typer

from xbarsim.cli import shell_scripts
from xbarsim.cli.shell_scripts import Place


class Shell(StrEnum):
    """A shell that can be told what may follow."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@dataclass(frozen=True)
class Named:
    """An option or argument whose value may be the name of a file of xbarsim.data."""

    parameter: str
    folder: str
    groups: tuple[str, ...] = ("",)  # commands that it is of begin so


NAMED = (
    Named("study", "studies"),
    Named("device", "devices"),
    Named("base", "devices", ("calibrate",)),
    Named("chip", "chips", ("report",)),
    Named("names", "chips", ("chip",)),
    Named("name", "chips", ("chip",)),
    Named("name", "devices", ("devices",)),
    Named("name", "studies", ("study",)),
    Named("source", "studies", ("export",)),
)


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(help="The shell that is to complete.")],
) -> None:
    """Print a script that completes commands in a shell.

    Write it to where the shell looks for such scripts, and again after an update.

    \b
    Examples:
      eval "$(xbarsim completion bash)"
      xbarsim completion bash > ~/.local/share/bash-completion/completions/xbarsim
      xbarsim completion zsh > ~/.zfunc/_xbarsim
      xbarsim completion fish > ~/.config/fish/completions/xbarsim.fish
    """
    places = list(places_of(context.find_root()))
    if shell is Shell.BASH:
        print(shell_scripts.bash(places))
    elif shell is Shell.ZSH:
        print(shell_scripts.zsh(places))
    else:
        print(shell_scripts.fish(places))


def places_of(root: Any) -> Iterator[Place]:
    """What may follow xbarsim, and each of its commands.  root : context of click, or of typer"""
    waiting: list[tuple[Any, tuple[str, ...]]] = [(root.command, ())]
    while waiting:
        command, path = waiting.pop(0)
        yield _place(command, path, root)
        for name, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                waiting.append((inner, (*path, name)))


def _place(command: Any, path: tuple[str, ...], root: Any) -> Place:
    """What may follow one command."""
    inner = getattr(command, "commands", {})
    place = Place(path, {name: one.get_short_help_str(80) for name, one in inner.items()})
    for parameter in command.get_params(root):
        names = _names(parameter, path)
        if parameter.param_type_name == "argument":
            place.names.extend(names)
            place.takes_files |= parameter.name != "shell"
            continue
        about = (getattr(parameter, "help", None) or "").split(". ")[0]
        for option in (*parameter.opts, *parameter.secondary_opts):
            place.options[option] = about
            if not getattr(parameter, "is_flag", False):
                place.values[option] = names
    return place


def _names(parameter: Any, path: tuple[str, ...]) -> list[str]:
    """Names that an option or an argument may have, beside files."""
    if parameter.name == "shell":
        return [shell.value for shell in Shell]
    for named in NAMED:
        of_command = any("/".join(path).startswith(group) for group in named.groups)
        if named.parameter == parameter.name and of_command:
            folder = importlib.resources.files("xbarsim.data") / named.folder
            files = [PurePath(file.name) for file in folder.iterdir()]
            return sorted(file.stem for file in files if file.suffix == ".toml")
    return []
