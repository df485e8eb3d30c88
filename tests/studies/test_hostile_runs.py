"""Interrupts, kills and full disks cost no finished case: `hostile_runs.py` in a process of its
own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[1] / "hostile_runs.py"


def went_wrong(kind, count, place):
    """What went wrong in `count` hostile runs, one line each."""
    environment = os.environ | {"PYTHONPATH": str(DRIVER.parent)}
    done = subprocess.run(
        [sys.executable, "-P", DRIVER, kind, str(count), place],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("kind", "count"), [("interrupt", 3), ("kill", 3), ("quota", 4)])
def test_no_finished_case_is_lost(kind, count, tmp_path):
    assert went_wrong(kind, count, tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize(("kind", "count"), [("interrupt", 200), ("kill", 200), ("quota", 20)])
def test_no_finished_case_is_lost_in_many_runs(kind, count, tmp_path):
    assert went_wrong(kind, count, tmp_path) == []


@pytest.mark.long
def test_no_finished_case_is_lost_on_disks_of_twenty_sizes(tmp_path):
    place = tmp_path / "try"
    place.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", place], capture_output=True
    )
    if tried.returncode:
        pytest.skip("small file systems can be mounted by root alone; the quota stands in for them")
    subprocess.run(["umount", place], check=True)
    assert went_wrong("disk", 20, tmp_path) == []
