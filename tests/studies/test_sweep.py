"""A sweep: which points it has, that nothing finished is lost or done twice, and that how it was run
changes no bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny import make_tiny_place, tiny_study
from trace_numbers import assert_same_numbers

from xbarsim.base.errors import ConfigError, IdleSettingWarning
from xbarsim.base.locks import is_locked
from xbarsim.config.study import validate
from xbarsim.studies import sweep, sweep_directory
from xbarsim.studies.points import points_of
from xbarsim.studies.run import run_study
from xbarsim.studies.sweep_directory import State

AXES = {"wires.word_line_resistance_ohm": [1.0, 20.0], "adc.bits": [4, 8]}


def study_with(**table):
    return validate({"sweep": table}, "study")


def values_of(study, *keys):
    return [tuple(point.values[key] for key in keys) for point in points_of(study)]


# ---------------------------------------------------------------- points


def test_a_grid_is_every_combination_in_order():
    study = study_with(**AXES)
    assert values_of(study, *AXES) == [(1.0, 4), (1.0, 8), (20.0, 4), (20.0, 8)]
    third = points_of(study)[2]
    assert third.name == "point-00003" and third.study.sweep is None
    assert third.study.wires.word_line_resistance_ohm == 20.0 and third.study.adc.bits == 4


def test_a_list_goes_through_all_axes_together():
    study = study_with(design="list", **AXES)
    assert values_of(study, *AXES) == [(1.0, 4), (20.0, 8)]


def test_a_latin_hypercube_has_one_point_in_every_stratum():
    axes = {
        "wires.word_line_resistance_ohm": {"low": 1.0, "high": 100.0, "scale": "log"},
        "device.time_s": {"low": 0.0, "high": 8.0},
    }
    study = study_with(design="latin_hypercube", points=8, axes=axes)
    resistance, times = np.array(values_of(study, *axes)).T
    assert sorted(np.floor(8 * np.log10(resistance) / 2)) == list(range(8))
    assert sorted(np.floor(times)) == list(range(8))


def test_sobol_points_fill_the_square_evenly():
    axes = {"wires.word_line_resistance_ohm": {"low": 0.0, "high": 1.0}}
    axes["wires.bit_line_resistance_ohm"] = {"low": 0.0, "high": 1.0}
    found = np.array(values_of(study_with(design="sobol", points=64, axes=axes), *axes))
    counts = np.histogram2d(*found.T, bins=8, range=[[0, 1], [0, 1]])[0]
    assert (counts == 1).all()  # a scrambled (0, 6, 2)-net in base 2


def test_random_points_are_those_of_the_seed_and_reach_both_ends_of_whole_numbers():
    table = {"design": "random", "points": 200, "adc.bits": {"low": 4, "high": 6, "whole": True}}
    found = values_of(study_with(**table), "adc.bits")
    assert set(found) == {(4,), (5,), (6,)}
    assert found == values_of(study_with(**table), "adc.bits")
    other = validate({"seed": 1, "sweep": table}, "study")
    assert found != values_of(other, "adc.bits")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "no axis"),
        ({"adc.bits": []}, "adc.bits = [] has no value"),
        ({"adc.bits": [40]}, "point 1 of the sweep (adc.bits = 40)"),
        ({"adc.bist": [4]}, "unknown key 'adc.bist'"),
        ({"case.name": ["x"]}, "axis 'case.name'"),
        ({"adc.bits": {"low": 4, "high": 8}}, 'design = "grid" needs lists'),
        ({"design": "sobol", "adc.bits": [4, 8]}, "needs a number of points"),
        ({"points": 3, "adc.bits": [4, 8]}, "points is for designs that draw"),
        ({"design": "list", "adc.bits": [4, 8], "dac.bits": [4]}, "axes of one length"),
        (
            {"design": "random", "points": 2, "adc.bits": {"low": 8, "high": 4}},
            "low = 8.0 must be below high = 4.0",
        ),
        (
            {"design": "random", "points": 2, "x.y": {"low": 0, "high": 4, "scale": "log"}},
            "must be positive",
        ),
        ({"design": "sweep", "adc.bits": [4]}, "sweep.design = 'sweep'"),
        ({"axes": 3}, "must be a table"),
        ({"adc.bits": 4}, "sweep.axes.adc.bits"),
    ],
)
def test_a_wrong_table_is_one_line(table, words):
    with pytest.raises(ConfigError) as caught:
        points_of(study_with(**table))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_study_without_the_table_says_so():
    with pytest.raises(ConfigError, match=r"no table \[sweep\]"):
        points_of(validate({}, "study"))


# ---------------------------------------------------------------- running


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_tiny_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def study(place):
    return tiny_study(place, sweep=AXES)


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory):
    """Traces of the points, one after the other in this process."""
    directory = tmp_path_factory.mktemp("undisturbed")
    return [run_study(point.study, directory, threads=1) for point in points_of(study)]


def assert_whole(directory, undisturbed):
    for point, path in zip(directory.points, undisturbed, strict=True):
        assert directory.state(point) is State.DONE
        assert_same_numbers(directory.trace(point), path)
    names = {path.name for path in directory.path.iterdir()}
    assert names == {"sweep.json", "lock"} | {f"{point.name}.h5" for point in directory.points}


def test_two_workers_give_the_bits_of_one_process(study, undisturbed, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    counted = []
    outcome = sweep.run_sweep(directory, workers=2, progress=lambda words, total: counted.append)
    assert outcome.done == 4 and outcome.failed == {} and sum(counted) == 4
    assert_whole(directory, undisturbed)
    times = {point.name: directory.trace(point).stat().st_mtime_ns for point in directory.points}
    again = sweep.run_sweep(sweep_directory.open_directory(directory.path))
    assert again.done == 4
    for point in directory.points:
        assert directory.trace(point).stat().st_mtime_ns == times[point.name]


def test_what_is_damaged_or_unfinished_is_said_and_run_again(study, undisturbed, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    for point, path in zip(directory.points, undisturbed, strict=True):
        directory.trace(point).write_bytes(path.read_bytes())
    damaged = directory.trace(directory.points[1])
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    directory.trace(directory.points[2]).with_suffix(".parts").mkdir()
    directory.trace(directory.points[3]).write_bytes(undisturbed[0].read_bytes())
    said = []
    sweep.run_sweep(directory, say=said.append)
    assert_whole(directory, undisturbed)
    assert any("point-00004.h5 is of another study" in text for text in said)


def test_a_point_that_cannot_be_run_is_named_and_stops_no_other(place, tmp_path):
    axes = {"device.time_s": [100.0, 1e30], "device.name": ["pcm"]}
    directory = sweep_directory.create(tiny_study(place, sweep=axes), tmp_path / "sweep")
    outcome = sweep.run_sweep(directory)
    assert outcome.done == 1 and list(outcome.failed) == [2]
    assert "1e+30" in outcome.failed[2] or "1e30" in outcome.failed[2]
    assert directory.state(directory.points[1]) is State.FAILED
    assert outcome.failed[2] in directory.failure(directory.points[1]).read_text()


def test_changed_inputs_and_other_studies_are_refused(place, study, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    with pytest.raises(ConfigError, match="holds a sweep or a budget already"):
        sweep_directory.create(study, tmp_path / "sweep")
    with pytest.raises(ConfigError, match="holds no sweep"):
        sweep_directory.open_directory(tmp_path)
    task = place / "task.tsv"
    content = task.read_text()
    task.write_text(content + "a man runs\t1\ttest\n")
    with pytest.raises(ConfigError, match=r"task .*task.tsv changed since"):
        sweep.run_sweep(sweep_directory.open_directory(directory.path))
    task.write_text(content)
    file = directory.path / "sweep.json"
    stated = json.loads(file.read_text())
    stated["study"]["sweep"]["axes"]["adc.bits"] = [4, 7]
    file.write_text(json.dumps(stated))
    with pytest.raises(ConfigError, match="are not those that its study makes now"):
        sweep_directory.open_directory(directory.path)
    file.write_text("{")
    with pytest.raises(ConfigError, match="is damaged or of another version"):
        sweep_directory.open_directory(directory.path)


# ---------------------------------------------------------------- killed

RUN = """
import sys
from xbarsim.studies import sweep, sweep_directory
sweep.run_sweep(sweep_directory.open_directory(sys.argv[1]), workers=2)
"""


def start(directory):
    return subprocess.Popen([sys.executable, "-c", RUN, str(directory.path)], process_group=0)


def workers_of(process):
    """Process numbers of its children."""
    children = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == process.pid:
                children.append(int(entry))
    return children


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def kill(process, directory):
    """End a sweep and its workers at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not is_locked(directory.path))


def test_two_processes_do_not_work_in_one_directory(study, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    process = start(directory)
    try:
        wait_for(lambda: any(directory.state(p) is State.RUNNING for p in directory.points))
        with pytest.raises(ConfigError, match="another process works in"):
            sweep.run_sweep(directory)
    finally:
        kill(process, directory)
    assert not any(directory.state(point) is State.RUNNING for point in directory.points)


def test_a_killed_worker_loses_nothing_but_its_point(study, undisturbed, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    process = start(directory)
    wait_for(lambda: any(directory.state(p) is State.RUNNING for p in directory.points))
    os.kill(workers_of(process)[0], signal.SIGKILL)
    assert process.wait() == 0
    assert_whole(directory, undisturbed)


def test_workers_without_their_sweep_keep_the_directory_until_they_have_ended(study, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    process = start(directory)
    wait_for(lambda: any(directory.state(p) is State.RUNNING for p in directory.points))
    orphans = workers_of(process)
    os.kill(orphans[0], signal.SIGSTOP)
    process.kill()
    process.wait()
    with pytest.raises(ConfigError, match="another process works in"):
        sweep.run_sweep(directory)
    os.kill(orphans[0], signal.SIGCONT)
    wait_for(lambda: not any(os.path.exists(f"/proc/{number}/fd") for number in orphans))
    assert sweep.run_sweep(directory, workers=2).done == 4


def test_an_interrupt_ends_cleanly_and_can_be_resumed(study, undisturbed, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    process = start(directory)
    wait_for(lambda: any(directory.state(p) is State.RUNNING for p in directory.points))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    assert not workers_of(process)
    sweep.run_sweep(sweep_directory.open_directory(directory.path), workers=2)
    assert_whole(directory, undisturbed)


def kill_and_resume(study, undisturbed, path, moment):
    directory = sweep_directory.create(study, path)
    process = start(directory)
    time.sleep(moment)
    kill(process, directory)
    finished = [point for point in directory.points if directory.state(point) is State.DONE]
    times = [directory.trace(point).stat().st_mtime_ns for point in finished]
    sweep.run_sweep(sweep_directory.open_directory(path), workers=2)
    assert_whole(directory, undisturbed)
    assert [directory.trace(point).stat().st_mtime_ns for point in finished] == times


@pytest.mark.parametrize("moment", [2.5, 4.5])
def test_a_killed_sweep_goes_on(study, undisturbed, tmp_path, moment):
    kill_and_resume(study, undisturbed, tmp_path / "sweep", moment)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_sweeps_killed_at_random_moments_go_on(study, undisturbed, tmp_path, seed):
    moment = random.Random(seed).uniform(0.5, 9.0)
    kill_and_resume(study, undisturbed, tmp_path / "sweep", moment)


def test_a_plain_run_says_that_it_leaves_the_sweep_aside(study, tmp_path):
    with pytest.warns(IdleSettingWarning, match=r"\[sweep\] has no effect in a single run"):
        run_study(study, tmp_path, threads=1)


def test_an_error_of_the_sweep_itself_is_no_point_done(study, tmp_path):
    def broken(text):
        raise RuntimeError("the terminal is gone")

    axes = {"device.time_s": [1e30], "device.name": ["pcm"]}
    failing = study.model_copy(update={"sweep": study_with(**axes).sweep})
    directory = sweep_directory.create(failing, tmp_path / "sweep")
    with pytest.raises(RuntimeError, match="the terminal is gone"):
        sweep.run_sweep(directory, say=broken)
