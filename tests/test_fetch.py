"""Fetching by name: verified, resumable, from a directory, with clear errors.  A stand-in registry, no network."""
import hashlib
import sys
import types
import zipfile

import pytest

from xbarsim import fetch
from xbarsim.errors import FetchError

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
        "archive": {"demo": [{"requirement": "demo==1.0", "file": wheel.name, "size": wheel.stat().st_size,
                              "sha256": digest(wheel.read_bytes())}]},
        "model": {},
        "task": {"demo-task": {"description": "two sentences", "licence": "CC0", "archive": "demo", "layout": "columns",
                               "files": {"task.tsv": {"member": "demo/task.tsv", "sha256": digest(CONTENT)}}}}}
    monkeypatch.setattr(fetch, "registry", lambda: content)
    return content


def test_from_a_directory_of_packages(registry, tmp_path):
    directory = fetch.fetch("demo-task", tmp_path / "source", progress=False)
    assert (directory / "task.tsv").read_bytes() == CONTENT and fetch.is_present("task", "demo-task")
    assert fetch.locate("demo-task", "task") == directory / "task.tsv"


def test_from_a_directory_of_unpacked_files(registry, tmp_path):
    (tmp_path / "source" / "task.tsv").write_bytes(CONTENT)
    assert (fetch.fetch("demo-task", tmp_path / "source", progress=False) / "task.tsv").read_bytes() == CONTENT


def test_a_damaged_file_is_refused_and_leaves_nothing(registry, tmp_path):
    (tmp_path / "source" / "task.tsv").write_bytes(CONTENT + b"x")
    with pytest.raises(FetchError, match="sha256 is .*, expected .*remove it and fetch again"):
        fetch.fetch("demo-task", tmp_path / "source", progress=False)
    assert not fetch.is_present("task", "demo-task")
    assert not list((tmp_path / "cache").rglob(".incomplete*"))


def test_a_damaged_copy_in_the_cache_is_replaced(registry, tmp_path):
    directory = fetch.fetch("demo-task", tmp_path / "source", progress=False)
    (directory / "task.tsv").write_bytes(b"damaged")
    fetch.fetch("demo-task", tmp_path / "source", progress=False)
    assert (directory / "task.tsv").read_bytes() == CONTENT


def test_pip_is_asked_for_the_exact_file(registry, tmp_path, monkeypatch):
    """`pip download` is replaced by a process that copies what it is asked for."""
    asked = []

    def popen(command, **options):
        asked.append(command)
        target = command[command.index("--dest") + 1]
        code = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
        return real([sys.executable, "-c", code, str(tmp_path / "source" / "demo-1.0-py3-none-any.whl"), target],
                    **options)

    real = fetch.subprocess.Popen
    monkeypatch.setattr(fetch.subprocess, "Popen", popen)
    fetch.fetch("demo-task", progress=False)
    assert fetch.is_present("task", "demo-task")
    assert {"download", "--no-deps", "--require-hashes"} <= set(asked[0])


def test_pip_failing_says_why(registry, monkeypatch):
    real = fetch.subprocess.Popen
    code = "print('ERROR: No matching distribution found for demo==1.0'); raise SystemExit(1)"
    monkeypatch.setattr(fetch.subprocess, "Popen", lambda command, **options: real([sys.executable, "-c", code], **options))
    with pytest.raises(FetchError, match="No matching distribution.*--from DIRECTORY"):
        fetch.fetch("demo-task", progress=False)


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
    for kind, name, entry in fetch.known():
        assert entry["licence"] and entry["description"] and fetch.download_size(entry) > 0, (kind, name)
        assert all(len(file["sha256"]) == 64 for file in entry["files"].values())
        assert fetch.source_of(entry)
