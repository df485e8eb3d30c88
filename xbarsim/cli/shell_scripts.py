"""What bash, zsh and fish are told about the commands of xbarsim."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Place:
    """What may follow one command.

    path : the command, such as ("chip", "show"); () for xbarsim itself
    commands, options : {word: what it is}
    values : {option that takes a value: names that it may be}; files may follow too
    names : that an argument may be;  takes_files : whether it may be a file
    """

    path: tuple[str, ...]
    commands: dict[str, str]
    options: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    takes_files: bool = False

    @property
    def key(self) -> str:
        """The path as the scripts have it: "" or "/chip/show"."""
        return "".join(f"/{word}" for word in self.path)


def bash(places: Sequence[Place]) -> str:
    """The script for bash."""
    lines = [
        "# completion of xbarsim for bash",
        "_xbarsim() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local place="" commands="" options="" names="" files="" i',
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$place/${COMP_WORDS[i]}" in',
        f'            {_keys(places)}) place="$place/${{COMP_WORDS[i]}}" ;;',
        "        esac",
        "    done",
        '    case "$place:$before" in',
    ]
    for place in places:
        for option, names in place.values.items():
            if names:
                lines.append(f"        {place.key}:{option}) names={_words(names)} files=yes ;;")
        plain = [option for option, names in place.values.items() if not names]
        if plain:
            keys = "|".join(f"{place.key}:{option}" for option in plain)
            lines.append(f"        {keys}) files=yes ;;")
    lines += ["        *)", '            case "$place" in']
    for place in places:
        said = f"commands={_words(place.commands)} options={_words(place.options)}"
        said += f" names={_words(place.names)}"
        if place.takes_files:
            said += " files=yes"
        lines.append(f"                {_quoted(place.key)}) {said} ;;")
    lines += [
        "            esac",
        "            ;;",
        "    esac",
        '    if [[ "$word" == -* ]]; then',
        '        COMPREPLY=($(compgen -W "$options" -- "$word"))',
        "        return",
        "    fi",
        '    COMPREPLY=($(compgen -W "$commands $names" -- "$word"))',
        '    if [[ -n "$files" ]]; then',
        '        COMPREPLY+=($(compgen -f -- "$word"))',
        "    fi",
        "}",
        "complete -o filenames -F _xbarsim xbarsim",
    ]
    return "\n".join(lines)


def zsh(places: Sequence[Place]) -> str:
    """The script for zsh: a file of $fpath by the name _xbarsim, or one to be sourced."""
    lines = [
        "#compdef xbarsim",
        "# completion of xbarsim for zsh",
        "_xbarsim() {",
        '    local place="" before="${words[CURRENT-1]}" files="" i',
        "    local -a commands options names",
        "    for ((i = 2; i < CURRENT; i++)); do",
        '        case "$place/${words[i]}" in',
        f'            {_keys(places)}) place="$place/${{words[i]}}" ;;',
        "        esac",
        "    done",
        '    case "$place:$before" in',
    ]
    for place in places:
        for option, names in place.values.items():
            key = f"{place.key}:{option}"
            lines.append(f"        {key}) names=({_list(names)}) files=yes ;;")
    lines += ["        *)", '            case "$place" in']
    for place in places:
        said = f"commands=({_described(place.commands)}) options=({_described(place.options)})"
        said += f" names=({_list(place.names)})"
        if place.takes_files:
            said += " files=yes"
        lines.append(f"                {_quoted(place.key)}) {said} ;;")
    lines += [
        "            esac",
        "            ;;",
        "    esac",
        '    (( $#commands )) && _describe "command" commands',
        '    (( $#names )) && _describe "name" names',
        '    (( $#options )) && _describe -o "option" options',
        '    [[ -n "$files" ]] && _files',
        "}",
        'if [[ "$funcstack[1]" == "_xbarsim" ]]; then',
        '    _xbarsim "$@"',
        "else",
        "    compdef _xbarsim xbarsim",
        "fi",
    ]
    return "\n".join(lines)


def fish(places: Sequence[Place]) -> str:
    """The script for fish."""
    keys = " ".join(place.key for place in places if place.path)
    lines = [
        "# completion of xbarsim for fish",
        "function __xbarsim_at",
        '    set -l place ""',
        "    for word in (commandline -opc)[2..-1]",
        f"        if contains -- $place/$word {keys}",
        "            set place $place/$word",
        "        end",
        "    end",
        '    test "$place" = "$argv[1]"',
        "end",
        "complete -c xbarsim -f",
    ]
    for place in places:
        begin = f"complete -c xbarsim -n {_quoted(f'__xbarsim_at {_quoted(place.key)}')}"
        for name, about in place.commands.items():
            lines.append(f"{begin} -a {name} -d {_quoted(about)}")
        if place.takes_files:
            lines.append(f"{begin} -F")
        if place.names:
            lines.append(f"{begin} -a {_words(place.names)}")
        for option, about in place.options.items():
            lines.append(f"{begin} {_fish_option(place, option)} -d {_quoted(about)}")
    return "\n".join(lines)


def _fish_option(place: Place, option: str) -> str:
    """An option as `complete` of fish takes it, with what may follow."""
    words = f"-s {option[1:]}"
    if option.startswith("--"):
        words = f"-l {option[2:]}"
    if option not in place.values:
        return words
    names = place.values[option]
    if names:
        words += f" -a {_words(names)}"
    return f"{words} -r -F"


def _keys(places: Iterable[Place]) -> str:
    """Every command as a pattern of `case`."""
    return "|".join(place.key for place in places if place.path)


def _words(words: Iterable[str]) -> str:
    """Words as one quoted word."""
    return _quoted(" ".join(words))


def _list(words: Iterable[str]) -> str:
    """Words, each quoted."""
    return " ".join(_quoted(word) for word in words)


def _described(words: dict[str, str]) -> str:
    """Words and what they are, as `_describe` of zsh takes them."""
    return _list(f"{word}:{about}" for word, about in words.items())


def _quoted(text: str) -> str:
    """A text as one word of a shell, which may be empty."""
    return shlex.quote(text)
