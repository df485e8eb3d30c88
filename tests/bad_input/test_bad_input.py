"""Malformed input at every entry point: each ends in one clear line of ours."""

import re

import pytest
from bad_input import (
    annealing,
    api,
    caches,
    calibrations,
    checkpoints,
    chips,
    circuits,
    conductances,
    devices,
    options,
    studies,
    sweeps,
    tasks,
    texts,
    traces,
)
from bad_input.attack import CONTROL, LONGEST_MESSAGE, said

MODULES = (
    annealing,
    api,
    caches,
    calibrations,
    checkpoints,
    chips,
    circuits,
    conductances,
    devices,
    options,
    studies,
    sweeps,
    tasks,
    texts,
    traces,
)
ROWS = [
    pytest.param(attack, id=f"{module.__name__.rpartition('.')[2]}: {attack.name}")
    for module in MODULES
    for attack in module.ATTACKS
]


@pytest.mark.parametrize("attack", ROWS)
def test_malformed_input_is_told_what_is_wrong(attack, tmp_path, capsys, monkeypatch):
    message = said(attack, tmp_path, capsys, monkeypatch)
    assert re.search(attack.message, " ".join(message.replace("│", " ").split())), message
    assert not CONTROL.search(message), repr(message)
    assert len(message) < LONGEST_MESSAGE


def test_every_entry_point_is_attacked_by_fifteen_rows_and_all_by_250():
    assert all(len(module.ATTACKS) >= 15 for module in MODULES), {
        module.__name__: len(module.ATTACKS) for module in MODULES
    }
    assert len(ROWS) >= 250
