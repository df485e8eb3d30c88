"""Chips that the tests of architectures share."""

import functools

import pytest

from xbarsim.chips.load import load_chip
from xbarsim.chips.plans import Workload

approx = functools.partial(
    pytest.approx, rel=1e-9, abs=0
)  # the default tolerance of 1e-12 is blind at picojoules
IN_SITU = ("isaac", "multibit", "singlebit", "differential")
CIRCUITS = (*IN_SITU, "synergy")


def lower(chip, shape, sequence, batch):
    """Plan of a model on a chip of circuits."""
    return chip.plan(Workload("a model", shape, sequence, batch))


def peak(found):
    """Peak of a Description."""
    return found.chip.peak(found.name)


def edited(name, **tables):
    """A chip with keys of tables replaced."""
    found = load_chip(name)
    return found.changed(
        *(((table, key), value) for table, keys in tables.items() for key, value in keys.items())
    )


def fixed_chip(tmp_path, **numbers):
    """A processor of 100 mm² and 1 ms whose assumed keys and ranges are given: {key: (value,
    range)}.
    """
    keys = "\n".join(f"{key} = {value}" for key, (value, _) in numbers.items())
    ranges = "\n".join(
        f'[[assumed]]\nkey = "{key}"\nrange = {list(bounds)}\nwhy = "x"'
        for key, (_, bounds) in numbers.items()
    )
    (tmp_path / "p.toml").write_text(f"""
kind = "processor"
description = "x"
source = "x"
node_nm = 7
{"" if "area_mm2" in numbers else "area_mm2 = 100"}
{"" if "power_w" in numbers else "power_w = 10"}
precision = "int8"
memory_gib = 40
{keys}
[peak_tops]
int8 = 100
[[measured]]
model = "bert-base"
sequence = 128
batch = 1
precision = "int8"
latency_ms = 1.0
{ranges}
""")
    return load_chip(tmp_path / "p.toml")
