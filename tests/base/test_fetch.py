"""Fetching by name: verified, resumable, from a directory, with clear errors.  A stand-in registry,
no network.
"""

import hashlib
import io
import os
import shutil
import sys
import types
import zipfile

import numpy as np
import pytest
from tiny import make_tiny_bert

from xbarsim.base import cache, fetch, packages, sources
from xbarsim.base.errors import DamageWarning, FetchError
from xbarsim.models import bert_checkpoint, checkpoint
from xbarsim.studies.heads import HeadWanted, choose_head
from xbarsim.tasks.files import load_task

CONTENT = b"sentence\tlabel\ngood\t1\nbad\t0\n"


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """One task in one wheel that lies in tmp_path/source; the cache is tmp_path/cache."""
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "source").mkdir()
    wheel = tmp_path / "source" / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("demo/task.tsv", CONTENT)
    content = {
        "archive": {
            "demo": [
                {
                    "requirement": "demo==1.0",
                    "file": wheel.name,
                    "size": wheel.stat().st_size,
                    "sha256": digest(wheel.read_bytes()),
                }
            ]
        },
        "model": {},
        "task": {
            "demo-task": {
                "description": "two sentences",
                "licence": "CC0",
                "archive": "demo",
                "layout": "columns",
                "files": {"task.tsv": {"member": "demo/task.tsv", "sha256": digest(CONTENT)}},
            }
        },
    }
    known = sources.read(content)
    monkeypatch.setattr(sources, "known", lambda: known)
    return known[0]


def test_from_a_directory_of_packages(registry, tmp_path):
    directory = fetch.fetch("demo-task", tmp_path / "source")
    assert (directory / "task.tsv").read_bytes() == CONTENT and fetch.is_present(registry)
    assert fetch.locate("demo-task", "task") == directory / "task.tsv"


def test_from_a_directory_of_unpacked_files(registry, tmp_path):
    (tmp_path / "source" / "task.tsv").write_bytes(CONTENT)
    assert (fetch.fetch("demo-task", tmp_path / "source") / "task.tsv").read_bytes() == CONTENT


def test_a_damaged_file_is_refused_and_leaves_nothing(registry, tmp_path):
    (tmp_path / "source" / "task.tsv").write_bytes(CONTENT + b"x")
    with pytest.raises(FetchError, match="sha256 is .*, expected .*remove it and fetch again"):
        fetch.fetch("demo-task", tmp_path / "source")
    assert not fetch.is_present(registry)
    assert not list((tmp_path / "cache").rglob(".incomplete*"))


def test_a_damaged_copy_in_the_cache_is_replaced(registry, tmp_path):
    directory = fetch.fetch("demo-task", tmp_path / "source")
    (directory / "task.tsv").write_bytes(b"damaged")
    fetch.fetch("demo-task", tmp_path / "source")
    assert (directory / "task.tsv").read_bytes() == CONTENT


def test_a_copy_is_checked_before_it_is_used_and_fetched_again(registry, tmp_path, monkeypatch):
    """One flipped bit; then a cut file, of the same time as before, in the same process."""
    shutil.copytree(tmp_path / "source", tmp_path / "cache" / "downloads")
    path = fetch.locate("demo-task", "task")
    for damaged in (bytes([CONTENT[0] ^ 1]) + CONTENT[1:], CONTENT[:-4], b""):
        shutil.copytree(tmp_path / "source", tmp_path / "cache" / "downloads", dirs_exist_ok=True)
        before = path.stat()
        path.write_bytes(damaged)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert fetch.locate("demo-task", "task") == path
        assert path.read_bytes() == CONTENT


def test_a_damaged_copy_that_cannot_be_fetched_again_is_named(registry, tmp_path, monkeypatch):
    fetch.fetch("demo-task", tmp_path / "source")
    path = fetch.locate("demo-task", "task")
    path.write_bytes(CONTENT[:-4])

    def no_network(*_):
        raise FetchError("no network")

    monkeypatch.setattr(packages, "_pip_download", no_network)
    with pytest.raises(FetchError, match=f"cached copy is damaged .*{path.name}.*no network"):
        fetch.locate("demo-task", "task")


def test_an_intact_copy_is_hashed_once(registry, tmp_path, monkeypatch):
    fetch.fetch("demo-task", tmp_path / "source")
    hashed = []
    real = fetch.sha256_of
    monkeypatch.setattr(fetch, "sha256_of", lambda path: hashed.append(path) or real(path))
    paths = {fetch.locate("demo-task", "task") for _ in range(5)}
    assert len(paths) == 1 and len(hashed) == 1


def test_pip_is_asked_for_the_exact_file(registry, tmp_path, monkeypatch):
    """`pip download` is replaced by a process that copies what it is asked for."""
    asked = []

    def popen(command, **options):
        asked.append(command)
        target = command[command.index("--dest") + 1]
        code = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
        return real(
            [
                sys.executable,
                "-c",
                code,
                str(tmp_path / "source" / "demo-1.0-py3-none-any.whl"),
                target,
            ],
            **options,
        )

    real = packages.subprocess.Popen
    monkeypatch.setattr(packages.subprocess, "Popen", popen)
    told = []
    fetch.fetch("demo-task", progress=lambda name, total: told.append((name, total)) or told.append)
    assert fetch.is_present(registry)
    size = (tmp_path / "source" / "demo-1.0-py3-none-any.whl").stat().st_size
    assert told[0] == ("demo-task", size)
    assert sum(told[1:]) == size
    assert {"download", "--no-deps", "--require-hashes"} <= set(asked[0])


def test_pip_failing_says_why(registry, monkeypatch):
    real = packages.subprocess.Popen
    code = "print('ERROR: No matching distribution found for demo==1.0'); raise SystemExit(1)"
    monkeypatch.setattr(
        packages.subprocess,
        "Popen",
        lambda command, **options: real([sys.executable, "-c", code], **options),
    )
    with pytest.raises(FetchError, match="No matching distribution.*--from DIRECTORY"):
        fetch.fetch("demo-task")


def test_unknown_names_get_a_guess(registry):
    with pytest.raises(FetchError, match="did you mean demo-task?"):
        fetch.fetch("demo-tusk")
    with pytest.raises(FetchError, match="is not a directory or a known model"):
        fetch.locate("nothing", "model")


def test_the_hub_is_asked_with_the_files_that_are_read(registry, tmp_path, monkeypatch):
    """A local stand-in of huggingface_hub, also for its failures."""
    hub = types.ModuleType("huggingface_hub")
    seen = {}

    def snapshot_download(repository, allow_patterns):
        seen[repository] = allow_patterns
        if repository == "nobody/nothing":
            raise RuntimeError("404 Client Error")
        return str(tmp_path / "source")

    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert fetch.locate("someone/bert", "model") == tmp_path / "source"
    assert "model.safetensors" in seen["someone/bert"]
    with pytest.raises(FetchError, match="did not deliver 'nobody/nothing': 404"):
        fetch.locate("nobody/nothing", "model")


def test_what_is_known_is_complete():
    for source in sources.known():
        assert source.licence and source.description and source.download_size > 0, source.name
        assert all(len(file.sha256) == 64 for file in source.files.values())
        assert source.packages_text


def test_a_damaged_or_unwritable_probe_is_fitted_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path / "cache"))
    directory = make_tiny_bert(tmp_path / "tiny")
    model, tokenizer = bert_checkpoint.load_bert(directory), checkpoint.load_tokenizer(directory)
    words = [f"{a} {b} {c}" for a in ("the", "a") for b in ("good", "bad") for c in ("film", "cat")]
    lines = [f"{text}\t{'no' if 'bad' in text else 'yes'}\n" for text in words]
    (tmp_path / "task.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    task = load_task(tmp_path / "task.tsv")

    def weight():
        return choose_head(model, tokenizer, task, HeadWanted("probe"))[0].weight

    fitted = weight()
    probe = next((tmp_path / "cache" / "probes").glob("*.npz"))
    content = probe.read_bytes()
    middle = len(content) // 4
    flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    other = io.BytesIO()
    np.savez(other, weight=fitted[:, :3], bias=np.zeros(2, np.float32))
    for damaged in (flipped, content[:-50], b"", b"no archive", other.getvalue()):
        probe.write_bytes(damaged)
        with pytest.warns(DamageWarning, match=f"{probe.name} is damaged .* fitted again"):
            np.testing.assert_array_equal(weight(), fitted)
        np.testing.assert_array_equal(np.load(probe)["weight"], fitted)

    def full(*_):
        raise OSError(28, "No space left on device")

    probe.unlink()
    monkeypatch.setattr(cache, "write_atomically", full)
    np.testing.assert_array_equal(weight(), fitted)
