"""A malformed input as data, and what it must be told."""

import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xbarsim.base.errors import XbarsimError

LONGEST_MESSAGE = 2500  # characters
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x9b]")


@dataclass(frozen=True)
class Attack:
    """do : writes what it needs into a directory; returns the words of a command, or raises itself
    message : regular expression that the error must match
    """

    name: str
    do: Callable[[Path], object]
    message: str


def of_text(file, command, rows):
    """Attacks {name: (content, message)} by the content of a file; command : words, FILE for it."""

    def attack(name, content, message):
        def do(place):
            path = place / file
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content, encoding="utf-8")
            return [path if word == "FILE" else word for word in command]

        return Attack(name, do, message)

    return [attack(name, content, message) for name, (content, message) in rows.items()]


def of_kinds(file, command):
    """What is no regular file, in the place of one; command : words, or a function of the path."""

    def as_command(path):
        if callable(command):
            return command(path)
        return [path if word == "FILE" else word for word in command]

    def pipe(place):
        os.mkfifo(place / file)
        return as_command(place / file)

    def device(place):
        (place / file).symlink_to("/dev/zero")
        return as_command(place / file)

    def directory(place):
        (place / file).mkdir()
        return as_command(place / file)

    def unix_socket(place):
        short = Path(os.path.relpath(place / file))
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(min((place / file, short), key=lambda path: len(str(path)))))
        return as_command(place / file)

    return [
        Attack("a pipe", pipe, "is a pipe; allowed: a file"),
        Attack("a device without end", device, "is a device; allowed: a file"),
        Attack("a directory", directory, "is a directory; allowed: a file|not a file"),
        Attack("a socket", unix_socket, "is a socket; allowed: a file"),
    ]


def of_call(rows):
    """Attacks {name: (function of the directory, message)} by the Python API."""
    return [Attack(name, call, message) for name, (call, message) in rows.items()]


def said(attack, place, capsys, monkeypatch):
    """The error of an attack, as the command line or the exception says it."""
    try:
        words = attack.do(place)
    except XbarsimError as error:
        return str(error)
    if not isinstance(words, list):
        raise AssertionError(f"{attack.name} was accepted: {words!r}")
    from xbarsim.cli.app import main

    monkeypatch.setattr(sys, "argv", ["xbarsim", *map(str, words)])
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    assert status == 2, f"exit status {status}: {printed.out[-500:]} {printed.err[-500:]}"
    assert "Traceback" not in printed.err and "a fault of xbarsim" not in printed.err, printed.err
    return printed.err
