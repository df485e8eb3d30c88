"""A run that was stopped goes on where it was: nothing that is whole is computed twice, nothing that is not is
taken, and the trace has the bits of an undisturbed run."""

import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import make_tiny_place, tiny_study
from traces import assert_same_trace

from xbarsim.base.errors import ConfigError, TraceError
from xbarsim.base.locks import locked
from xbarsim.devices.presets import device_text
from xbarsim.studies import part_file, pieces, unfinished
from xbarsim.studies.part_file import DataSet, Part, load_part, save_part, stamp_of
from xbarsim.studies.run import run_study
from xbarsim.studies.trace_layout import part_files

CASES = [{"name": "one"}, {"name": "two", "seed": 3, "run": {"chips": 2}}]
BATCHES = 7  # of 4 of 26 examples
PARTS = 6  # head, two references, three chips


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = make_tiny_place(tmp_path_factory.mktemp("place"))
    device = device_text("rram-wan2022").replace('name = "rram-wan2022"', 'name = "mine"')
    (place / "mine.toml").write_text(device)
    return place


def make_study(place, **tables):
    return tiny_study(place, case=CASES, device={"name": str(place / "mine.toml")}, **tables)


@pytest.fixture(scope="module")
def undisturbed(place, tmp_path_factory):
    return run_study(make_study(place), tmp_path_factory.mktemp("undisturbed"), threads=1)


class Counted:
    """A function that counts its calls, and stops before one of them as Ctrl-C would."""

    def __init__(self, real, stop_before=None):
        self.real = real
        self.stop_before = stop_before
        self.calls = 0

    def __call__(self, *arguments, **named):
        if self.calls == self.stop_before:
            raise KeyboardInterrupt
        self.calls += 1
        return self.real(*arguments, **named)


def stop(study, out, monkeypatch, batches, resume=False):
    """Run a study until so many batches went through chips; returns its parts."""
    with monkeypatch.context() as patch:
        patch.setattr(pieces, "run_batch", Counted(pieces.run_batch, batches))
        with pytest.raises(KeyboardInterrupt):
            run_study(study, out, threads=1, resume=resume)
    return out / "tiny.parts"


def go_on(study, out, monkeypatch):
    """(trace, batches through chips, chips programmed, lines that were said)"""
    said = []
    batches = Counted(pieces.run_batch)
    chips = Counted(pieces.build_chip)
    with monkeypatch.context() as patch:
        patch.setattr(pieces, "run_batch", batches)
        patch.setattr(pieces, "build_chip", chips)
        trace = run_study(study, out, threads=1, say=said.append, resume=True)
    return trace, batches.calls, chips.calls, said


@pytest.mark.parametrize("done", [0, 3, 7, 10, 20])
def test_what_is_finished_is_kept_and_the_rest_has_the_same_bits(
    place, undisturbed, tmp_path, monkeypatch, done
):
    study = make_study(place)
    parts = stop(study, tmp_path, monkeypatch, done)
    trace, batches, chips, said = go_on(study, tmp_path, monkeypatch)
    assert said == [f"going on with {parts}"]
    assert (batches, chips) == (3 * BATCHES - done, 3 - done // BATCHES)
    assert_same_trace(trace, undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.h5"]


def test_it_may_be_stopped_again_and_again(place, undisturbed, tmp_path, monkeypatch):
    study = make_study(place)
    stop(study, tmp_path, monkeypatch, 2)
    created = unfinished.created_of(tmp_path / "tiny.parts")
    for batches in (0, 3, 4, 5):
        stop(study, tmp_path, monkeypatch, batches, resume=True)
    trace, batches, chips, _ = go_on(study, tmp_path, monkeypatch)
    assert (batches, chips) == (3 * BATCHES - 14, 1)
    assert_same_trace(trace, undisturbed)
    with h5py.File(trace) as file:
        assert file.attrs["created"] == created


def test_without_an_unfinished_run_it_starts_and_says_so(place, undisturbed, tmp_path, monkeypatch):
    study = make_study(place)
    trace, batches, chips, said = go_on(study, tmp_path, monkeypatch)
    assert (batches, chips) == (3 * BATCHES, 3)
    assert said == [f"no unfinished run of 'tiny' in {tmp_path}: it starts anew"]
    again, batches, chips, said = go_on(study, tmp_path, monkeypatch)
    assert again == trace and (batches, chips) == (0, 0)
    assert said == [f"{trace} is complete: nothing is left to run"]


def test_without_resume_a_new_run_leaves_the_unfinished_one(place, tmp_path, monkeypatch):
    study = make_study(place)
    parts = stop(study, tmp_path, monkeypatch, 3)
    assert run_study(study, tmp_path, threads=1) == tmp_path / "tiny-2.h5"
    assert len(part_files(parts)) == 4


# ---------------------------------------------------------------- what changed


def changed_text(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def spoil_checkpoint(place):
    from safetensors.numpy import load_file, save_file

    file = place / "model" / "model.safetensors"
    tensors = load_file(file)
    tensors["classifier.bias"] = tensors["classifier.bias"] + 1
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("change", "tables", "words"),
    [
        (lambda place: None, {"seed": 3}, "seed was 20261123, is 3"),
        (lambda place: None, {"dac": {"bits": 6}}, "dac.bits was 8, is 6"),
        (spoil_checkpoint, {}, "model file model.safetensors changed"),
        (
            lambda place: changed_text(place / "task.tsv", "a man runs\t0\ttest", "a man\t0\ttest"),
            {},
            "evaluated examples changed; task changed",
        ),
        (
            lambda place: (place / "inl.csv").write_text("0.5\n" * 255),
            {},
            "inl.csv changed",
        ),
        (
            lambda place: (place / "mine.toml").write_text(
                (place / "mine.toml").read_text() + "\n# measured again\n"
            ),
            {},
            "mine.toml changed",
        ),
    ],
)
def test_a_run_that_began_otherwise_is_refused(place, tmp_path, monkeypatch, change, tables, words):
    here = tmp_path / "here"
    shutil.copytree(place, here)
    (here / "inl.csv").write_text("0.25\n" * 255)
    tables = {"adc": {"inl_lsb": str(here / "inl.csv")}} | tables
    parts = stop(make_study(here, adc=tables["adc"]), tmp_path, monkeypatch, 3)
    before = {path.name: path.read_bytes() for path in part_files(parts)}
    change(here)
    with pytest.raises(ConfigError) as caught:
        run_study(make_study(here, **tables), tmp_path, threads=1, resume=True)
    text = str(caught.value)
    assert text.startswith(f"the unfinished run {parts} began otherwise: ") and words in text
    assert "\n" not in text and "without --resume" in text
    assert {path.name: path.read_bytes() for path in part_files(parts)} == before


def test_another_version_is_refused(place, tmp_path, monkeypatch):
    study = make_study(place)
    stop(study, tmp_path, monkeypatch, 3)
    monkeypatch.setattr("xbarsim.studies.origin.__version__", "9.9")
    with pytest.raises(ConfigError, match=r"xbarsim was .*, is 9\.9"):
        run_study(study, tmp_path, threads=1, resume=True)


def test_another_process_at_work_is_named(place, tmp_path, monkeypatch):
    study = make_study(place)
    parts = stop(study, tmp_path, monkeypatch, 3)
    with locked(parts), pytest.raises(ConfigError, match=r"another process works in .*tiny\.parts"):
        run_study(study, tmp_path, threads=1, resume=True)


# ---------------------------------------------------------------- damage


def flip(content):
    content[len(content) * 3 // 4] ^= 1


def cut(content):
    del content[len(content) // 2 :]


def empty(content):
    content.clear()


@pytest.mark.parametrize(
    ("number", "spoil"), [*((number, flip) for number in range(PARTS)), (3, cut), (3, empty)]
)
def test_a_damaged_part_is_named_and_run_again(
    place, undisturbed, tmp_path, monkeypatch, number, spoil
):
    study = make_study(place)
    parts = stop(study, tmp_path, monkeypatch, 3 * BATCHES - 1)
    file = parts / f"{number:06}.h5"
    content = bytearray(file.read_bytes())
    spoil(content)
    file.write_bytes(content)
    trace, batches, chips, said = go_on(study, tmp_path, monkeypatch)
    assert_same_trace(trace, undisturbed)
    assert len(said) == 2 and str(file) in said[1] and "is run again" in said[1]
    lost = {3: BATCHES, 4: BATCHES, 5: BATCHES - 1}.get(number, 0)
    assert batches == 1 + lost
    assert chips == 1 + (number in (3, 4))


def test_a_damaged_journal_makes_no_run_to_go_on_with(place, tmp_path, monkeypatch):
    study = make_study(place)
    parts = stop(study, tmp_path, monkeypatch, 3)
    changed_text(parts / "run.json", '"facts"', '"facfs"')
    trace, batches, _, said = go_on(study, tmp_path, monkeypatch)
    assert batches == 3 * BATCHES and trace == tmp_path / "tiny-2.h5"
    assert said[0] == f"{parts} cannot be gone on with: its run.json is missing or damaged"
    assert "starts anew" in said[1]


def test_a_chip_that_comes_out_otherwise_is_run_again(place, undisturbed, tmp_path, monkeypatch):
    """As on another processor: its tiles are not those of the part under way."""
    study = make_study(place)
    parts = stop(study, tmp_path, monkeypatch, 3)
    file = part_files(parts)[3]
    part = load_part(file, stamp_of(file).path)
    name = next(name for name in part.arrays if name.endswith("attenuation_mean"))
    part.arrays[name].values[0] *= 1 + 1e-15
    save_part(part, parts)
    trace, batches, _, said = go_on(study, tmp_path, monkeypatch)
    assert "begun with other bits" in said[1] and batches == 3 * BATCHES
    assert_same_trace(trace, undisturbed)


def small_part():
    done = DataSet(np.array([1, 0, 1], np.uint8), "1")
    tiles = DataSet(np.linspace(0, 1, 5), "1")
    arrays = {"cases/ü/0/done": done, "cases/ü/0/layers/x/attenuation_mean": tiles}
    groups = {"cases/ü": {"study": "text\n" * 300}, "cases/ü/0": {"seed": 3, "number": 0}}
    return Part(7, "cases/ü/0", groups, arrays)


def test_every_flipped_bit_of_a_part_is_noticed(tmp_path):
    part = small_part()
    save_part(part, tmp_path)
    file = part.file_in(tmp_path)
    assert stamp_of(file) == part_file.Stamp("cases/ü/0", 2)
    found = load_part(file, part.path)
    assert found.groups == part.groups and part_file.begins_alike(found, part)
    content = file.read_bytes()
    choice = np.random.default_rng(1)
    first_line = content.index(b"\n") + 1
    places = [*range(first_line), *choice.integers(len(content), size=300)]
    for at in places:
        spoilt = bytearray(content)
        spoilt[at] ^= 1 << choice.integers(8)
        file.write_bytes(spoilt)
        with pytest.raises(TraceError):
            stamp_of(file)


def test_a_part_of_a_long_name_fits(tmp_path):
    part = dataclasses.replace(small_part(), path="cases/" + "ü" * 900 + "/0")
    save_part(part, tmp_path)
    assert stamp_of(Path(part.file_in(tmp_path))).path == part.path
