"""Directories of sweeps and budgets: `sweep.json`, and what is asked of it."""

import json

from bad_input.attack import of_call, of_kinds

from xbarsim import load_study, open_budget, open_study
from xbarsim.config.study import validate
from xbarsim.studies.sweep_directory import create

STUDY = {"name": "s", "sweep": {"axes": {"adc.bits": [4, 6]}}}


def changed(**parts):
    """A directory of a sweep with other parts of its sweep.json; None takes one away."""

    def do(place):
        directory = place / "sweep"
        create(validate(STUDY, "s"), directory)
        content = json.loads((directory / "sweep.json").read_text())
        for key, value in parts.items():
            if value is None:
                del content[key]
            else:
                content[key] = value
        (directory / "sweep.json").write_text(json.dumps(content))
        return open_study(directory)

    return do


def of_text(text):
    def do(place):
        (place / "sweep.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        return open_study(place)

    return do


def opened(place):
    return open_study(place.parent)


ATTACKS = [
    *of_call(
        {
            "an empty directory": (open_study, "holds no sweep"),
            "empty": (of_text(""), "sweep.json is damaged"),
            "a list": (of_text("[]"), "sweep.json is damaged"),
            "a number": (of_text("3"), "sweep.json is damaged"),
            "lists in lists": (of_text("[" * 9000), "nested too deep"),
            "objects in objects": (of_text('{"a":' * 50 + "1" + "}" * 50), "nested more than 32"),
            "5000 digits": (of_text('{"format": ' + "9" * 5000 + "}"), "4300"),
            "not UTF-8": (of_text(b"\xff"), "sweep.json is damaged"),
            "cut": (of_text('{"format": "xbar'), "sweep.json is damaged"),
            "another format": (changed(format="magic"), "format 'magic'"),
            "another version": (changed(version=99), "version 99"),
            "no study": (changed(study=None), "sweep.json is damaged"),
            "a study of text": (changed(study="x"), "sweep.json"),
            "a study with a wrong key": (changed(study={"magic": 1}), "unknown key 'magic'"),
            "a study without a sweep": (changed(study={"name": "s"}), "sweep"),
            "no points": (changed(points=[]), "not those that its study makes now"),
            "points of text": (changed(points=["x"]), "sweep.json is damaged"),
            "inputs of text": (changed(inputs="x"), "sweep.json is damaged"),
            "a study for a directory": (
                lambda place: open_study(load_study("default")),
                "directory is .*; allowed: a path",
            ),
            "None": (lambda place: open_study(None), "directory is None; allowed: a path"),
            "a budget of nothing": (open_budget, "holds no sweep|holds no"),
            "a NUL": (lambda place: open_study("a\0b"), "path without NUL"),
        }
    ),
    *of_kinds("sweep.json", lambda path: open_study(path.parent)),
]
