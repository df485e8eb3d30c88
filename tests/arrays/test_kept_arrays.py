"""Programmed arrays on disk: the same bits, for the same circuit only, and never a wrong one."""

import dataclasses

import numpy as np
import pytest
from tiny import make_tiny_place, tiny_study

from xbarsim.arrays.in_situ import kept_arrays
from xbarsim.arrays.in_situ.kept_arrays import KeptArrays, key_of
from xbarsim.arrays.in_situ.programmed import plan_matrix, program_matrix
from xbarsim.arrays.settings import InSituSettings
from xbarsim.base.errors import DamageWarning
from xbarsim.base.stamped_files import is_whole
from xbarsim.config.study import load_study
from xbarsim.devices.presets import load_device
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_reader import read_trace

TILES = {"mapping": {"word_lines": 16, "bit_lines": 16}}
WEIGHT = np.random.default_rng(0).standard_normal((20, 40))


def plan_of(weight=WEIGHT, index=3, seed=7, **tables):
    study = load_study("default", {"device": {"name": "pcm", "time_s": 100.0}} | TILES | tables)
    device = load_device(study.device.name).in_study(study)
    settings = InSituSettings.of(study)
    return plan_matrix("m", index, weight, np.ones(weight.shape[1]), settings, device, seed)


def numbers_of(programmed):
    found = {"counts": programmed.counts, "settings": programmed.settings}
    for field in dataclasses.fields(programmed):
        value = getattr(programmed, field.name)
        if isinstance(value, np.ndarray):
            found[field.name] = (value.dtype, value.tobytes())
        elif isinstance(value, tuple):
            found[field.name] = [(block.dtype, block.tobytes()) for block in value]
    return found


def refuse(plan):
    raise AssertionError("the circuit was solved again")


def test_an_entry_is_the_programmed_matrix(tmp_path, monkeypatch):
    plan = plan_of()
    expected = numbers_of(
        program_matrix("m", 3, WEIGHT, np.ones(40), plan.settings, device=plan.device, seed=7)
    )
    kept = KeptArrays(tmp_path, limit=10**9)
    assert numbers_of(kept.solve(plan)) == expected
    monkeypatch.setattr(kept_arrays, "program", refuse)
    assert numbers_of(kept.solve(plan_of())) == expected
    converters = plan_of(
        adc={"bits": 4}, dac={"bits": 5}, mapping=TILES["mapping"] | {"gain": "none"}
    )
    again = kept.solve(converters)
    assert again.settings.adc.bits == 4
    assert again.transfer[0].tobytes() == expected["transfer"][0][1]


@pytest.mark.parametrize(
    "changed",
    [
        {"index": 4},
        {"seed": 8},
        {"weight": WEIGHT + np.eye(20, 40) * 1e-9},
        {"wires": {"node": "32nm", "pitch": "4F"}},
        {"wires": {"source_resistance_ohm": 1.0}},
        {"effects": {"wires": False}},
        {"effects": {"drift": False}},
        {"device": {"name": "pcm", "time_s": 101.0}},
        {"device": {"name": "rram-wan2022"}},
        {"dac": {"read_time_ns": 7.0}},
        {"mapping": {"word_lines": 16, "bit_lines": 32}},
        {"mapping": TILES["mapping"] | {"unused": "open"}},
        {"mapping": TILES["mapping"] | {"placement": "neighbour"}},
    ],
)
def test_another_circuit_has_another_key(changed):
    assert key_of(plan_of(**changed)) != key_of(plan_of())


def test_the_code_that_solves_is_part_of_the_key(monkeypatch):
    key = key_of(plan_of())
    monkeypatch.setattr(kept_arrays, "source_digest", lambda packages: "another solver")
    assert key_of(plan_of()) != key


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text"])
def test_a_damaged_entry_is_made_again(tmp_path, damage):
    kept = KeptArrays(tmp_path, limit=10**9)
    expected = numbers_of(kept.solve(plan_of()))
    (path,) = tmp_path.glob("*.h5")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        start = content.find(np.float32(kept.solve(plan_of()).transfer[0][0, 0]).tobytes())
        assert start > 0
        content[start] ^= 1
    damaged = {"flipped": content, "cut": content[:5000], "empty": b"", "text": b"no HDF5"}
    path.write_bytes(damaged[damage])
    with pytest.warns(DamageWarning, match=f"{path.name} is damaged .* is programmed again"):
        assert numbers_of(kept.solve(plan_of())) == expected
    assert path.stat().st_size == len(content)


def test_every_flipped_bit_of_an_entry_is_noticed(tmp_path):
    """Attributes and links of HDF5 have no checksum of their own."""
    KeptArrays(tmp_path, limit=10**9).solve(plan_of())
    (path,) = tmp_path.glob("*.h5")
    assert is_whole(path)
    content = path.read_bytes()
    choice = np.random.default_rng(2)
    for at in [*range(80), *choice.integers(len(content), size=200)]:
        spoilt = bytearray(content)
        spoilt[at] ^= 1 << choice.integers(8)
        path.write_bytes(spoilt)
        assert not is_whole(path), at


def test_entries_make_room_for_new_ones(tmp_path):
    KeptArrays(tmp_path, limit=10**9).solve(plan_of(seed=1))
    size = next(tmp_path.glob("*.h5")).stat().st_size
    kept = KeptArrays(tmp_path, limit=round(2.5 * size))
    for seed in (2, 1, 3):  # the second is used last before the third comes
        kept.solve(plan_of(seed=seed))
    names = {path.stem for path in tmp_path.glob("*.h5")}
    assert names == {key_of(plan_of(seed=1)), key_of(plan_of(seed=3))}


def test_without_eviction_the_first_entries_stay(tmp_path):
    KeptArrays(tmp_path, limit=10**9).solve(plan_of(seed=1))
    size = next(tmp_path.glob("*.h5")).stat().st_size
    kept = KeptArrays(tmp_path, limit=round(2.5 * size), evict=False)
    for seed in (2, 3):
        kept.solve(plan_of(seed=seed))
    names = {path.stem for path in tmp_path.glob("*.h5")}
    assert names == {key_of(plan_of(seed=1)), key_of(plan_of(seed=2))}


def test_no_limit_keeps_nothing_and_a_full_disk_costs_nothing(tmp_path, monkeypatch):
    KeptArrays(tmp_path / "none", limit=0).solve(plan_of())
    assert not (tmp_path / "none").exists()

    def full(path, write):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_arrays, "write_atomically", full)
    KeptArrays(tmp_path / "full", limit=10**9).solve(plan_of())


def test_a_second_run_skips_the_circuit(tmp_path, monkeypatch):
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path / "cache"))
    place = make_tiny_place(tmp_path)
    plain = read_trace(run_study(tiny_study(place), tmp_path / "plain", threads=1))
    study = tiny_study(place, run={"batch_examples": 4, "cache_gb": 0.1})
    first = read_trace(run_study(study, tmp_path / "runs", threads=2))
    monkeypatch.setattr(kept_arrays, "program", refuse)
    second = read_trace(run_study(study, tmp_path / "runs", threads=2))
    outputs = [trace.cases["chip"].chips[0].output for trace in (plain, first, second)]
    assert np.array_equal(outputs[0], outputs[1]) and np.array_equal(outputs[0], outputs[2])


def test_another_task_with_the_same_calibration_skips_the_circuit(tmp_path, monkeypatch):
    """And another one without it maps the weights by its own inputs: other targets, other arrays."""
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path / "cache"))
    place = make_tiny_place(tmp_path)
    lines = (place / "task.tsv").read_text().splitlines()
    (place / "other.tsv").write_text("\n".join([*lines[:6], *lines[9:25]]) + "\n")
    run = {"batch_examples": 4, "cache_gb": 0.1}
    calibration = {"calibration": str(place / "task.tsv")}
    for name in ("task.tsv", "other.tsv"):
        task = {"name": str(place / name)} | calibration
        run_study(tiny_study(place, run=run, task=task), tmp_path / "runs", threads=1)
        monkeypatch.setattr(kept_arrays, "program", refuse)
