"""A trace that holds everything a trace can hold, and the command line as users start it."""

import subprocess
import sys
from pathlib import Path

import h5py
from tiny import make_tiny_place, tiny_study

from xbarsim.chips.load import chip_text
from xbarsim.devices.presets import device_text
from xbarsim.studies import run

PAGE = Path(__file__).parents[1] / "docs" / "trace.md"
EVERYTHING = {
    "products": {"attention": "in_situ"},
    "functions": {"softmax": {"unit": "table"}},
    "device": {"name": "device.toml"},
    "chip": "chip.toml",
}


def make_full_place(place):
    """A tiny model and task with device and chip files of their own, and a trace in runs/tiny.h5;
    returns the directory."""
    make_tiny_place(place)
    text = device_text("prime").replace('description = "', 'description = "copy of ')
    (place / "device.toml").write_text(text)
    chip = chip_text("differential").replace("lines = 128", "lines = 16")
    (place / "chip.toml").write_text(
        chip.replace("bit_lines_per_adc = 128", "bit_lines_per_adc = 16")
    )
    run.run_study(full_study(place), place / "runs", threads=2)
    return place


def full_study(place, **tables):
    """A study with everything that a trace can hold."""
    tables = (
        EVERYTHING
        | {
            "device": {"name": str(place / "device.toml")},
            "chip": str(place / "chip.toml"),
            "case": [{"name": "one"}, {"name": "two", "products": {"attention": "digital"}}],
            "model": {"name": str(place / "model"), "max_length": 8},
        }
        | tables
    )
    return tiny_study(place, **tables)


def command(*arguments):
    """(exit status, everything printed) of the command line as users start it."""
    code = "import sys; from xbarsim.cli.app import main; sys.argv = ['xbarsim', *sys.argv[1:]]; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def tables_of_page():
    """[[{heading: cell}]] of the tables of the page."""
    tables, heading = [], None
    for line in PAGE.read_text().splitlines():
        cells = (
            [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        )
        if cells is None:
            heading = None
        elif heading is None:
            heading = cells
            tables.append([])
        elif not set("".join(cells)) <= set("-"):
            tables[-1].append(dict(zip(heading, cells, strict=True)))
    return tables


def data_of(path):
    """Every data set of a file, by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found
