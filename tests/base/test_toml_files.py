"""Names and paths of studies, devices and chips: read anew, as UTF-8, with one kind of error."""

import re
from pathlib import Path

import pytest

from xbarsim.base import toml_files
from xbarsim.base.errors import ConfigError
from xbarsim.chips.claims import load_claims
from xbarsim.chips.load import chip_text, load_chip
from xbarsim.config.study import load_study, study_text
from xbarsim.devices.presets import device_text, load_device

KINDS = {
    "device": (load_device, device_text, "ideal"),
    "chip": (load_chip, chip_text, "isaac"),
    "study": (load_study, study_text, "default"),
}

EDITS = {
    "device": (r"voltage_v = 0\.2", "voltage_v = 0.3"),
    "chip": ("node_nm = 32", "node_nm = 45"),
    "study": (r"seed = \d+", "seed = 77"),
}
CONTENT = {"device": "file", "chip": "content", "study": "seed"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_file_is_read_again(kind, tmp_path, monkeypatch):
    """The same relative path, after an edit and from another directory."""
    load, text, name = KINDS[kind]
    first = text(name)
    second = re.sub(*EDITS[kind], first, count=1)
    assert second != first

    def loaded():
        return getattr(load("mine.toml"), CONTENT[kind])

    for directory in ("here", "there"):
        (tmp_path / directory).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("mine.toml").write_text(first, encoding="utf-8")
    before = loaded()
    Path("mine.toml").write_text(second, encoding="utf-8")
    after = loaded()
    assert after != before
    monkeypatch.chdir(tmp_path / "there")
    Path("mine.toml").write_text(first, encoding="utf-8")
    assert loaded() == before


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_of_one_kind(kind, tmp_path):
    load, _, name = KINDS[kind]
    with pytest.raises(
        ConfigError, match=f"no {kind} 'nothing'.*neither a file nor one of .*{name}"
    ):
        load("nothing")
    broken = tmp_path / "broken.toml"
    for content, message in (
        (b"a = ", "is not a TOML file: Invalid"),
        (b"a = '\xff'", "not UTF-8"),
        (b"unknown_key = 1", "unknown|kind|key"),
    ):
        broken.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            load(broken)


def test_claims_have_the_same_errors(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_claims(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"a = '\xb5'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_claims(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_claims(tmp_path)


def test_text_is_utf_8_whatever_the_locale(monkeypatch, tmp_path):
    """A machine whose preferred encoding is ASCII, and a file with a byte-order mark."""
    real = Path.read_text
    asked = []

    def read_text(self, encoding=None, **options):
        asked.append((self.name, encoding))
        return real(self, encoding=encoding or "ascii", **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    for kind, (load, text, name) in KINDS.items():
        marked = tmp_path / f"{kind}.toml"
        marked.write_bytes(b"\xef\xbb\xbf# \xc2\xb5S\n" + text(name).encode())
        load(marked)
    for name in ("wires.toml", "scaling.toml", "models.toml", "claims.toml", "sources.toml"):
        assert toml_files.packaged(name)
    assert asked and all(encoding == "utf-8-sig" for _, encoding in asked)


def test_nothing_else_reads_toml_files():
    """Every TOML of a name or path goes through the one module; texts in traces are no files."""
    root = Path(toml_files.__file__).parents[1]
    allowed = {
        "toml_files.py",
        "summary.py",
        "accuracy_and_cost.py",
        "repeat.py",
        "case_places.py",
        "curves.py",
        "trace_reader.py",
        "origin.py",
        "cluster_worker.py",
        "converter_text.py",
        "device_remarks.py",
        "run_record.py",
        "settings_text.py",
    }
    using = {
        path.name for path in root.rglob("*.py") if "tomllib" in path.read_text(encoding="utf-8")
    }
    assert using <= allowed
