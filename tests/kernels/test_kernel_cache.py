"""A cache of compiled kernels that is empty, damaged or cannot be written counts as none.

Every case is a process of its own on a copy of a good cache.
"""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

KERNEL = """
import numpy as np
from xbarsim.kernels.arrays.converters import convert_accumulate as kernel
f = np.float32
out = np.zeros((1, 2), f)
current = np.array([[[1.2, 3.7, 9.4, -2.6]]], f)
kernel(current, 0, np.ones(4, f), np.array([1, 1, 10, 10], f), np.ones(1, f), f(-3), f(8), out)
print(out.tolist(), sum(kernel.stats.cache_hits.values()))
"""
CODES = "[[81.0, -26.0]]"  # 1 + 10 * 8 and 4 - 10 * 3, of 1.2, 3.7, 9.4 (held at 8) and -2.6
SOLVE = "from xbarsim.cli.app import app; app()"
SMALL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}));"


def run(code, arguments, cache):
    environment = os.environ | {"XBARSIM_CACHE_DIR": str(cache)}
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def outcome(done):
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A cache that one kernel has left."""
    cache = tmp_path_factory.mktemp("kernel") / "cache"
    assert outcome(run(KERNEL, [], cache)) == (0, f"{CODES} 0", "")
    assert outcome(run(KERNEL, [], cache)) == (0, f"{CODES} 1", "")
    return cache


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    """One bit in every 200 bytes: in machine code, names and lengths alike."""
    content = bytearray(path.read_bytes())
    for k in range(0, len(content), 200):
        content[k] ^= 1 << k % 8
    path.write_bytes(bytes(content))


def noise(path):
    size = path.stat().st_size
    path.write_bytes(np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes())


def replace_by_a_directory(path):
    path.unlink()
    path.mkdir()


def damaged(good, place, damage, pattern):
    """A copy of the cache with all files of the pattern damaged."""
    shutil.copytree(good, place)
    files = list(place.rglob(pattern))
    assert files
    for path in files:
        damage(path)
    return place


@pytest.mark.parametrize("damage, pattern", [(empty, "*.nbi"), (empty, "*.nbc"), (flip, "*.nb?")])
def test_a_damaged_cache_counts_as_none(good, tmp_path, damage, pattern):
    cache = damaged(good, tmp_path / "cache", damage, pattern)
    assert outcome(run(KERNEL, [], cache)) == (0, f"{CODES} 0", "")


@pytest.mark.long
@pytest.mark.parametrize(
    "damage, pattern",
    [(cut, "*.nb?"), (noise, "*.nb?"), (flip, "*.nbc"), (replace_by_a_directory, "*.nbc")],
)
def test_a_damaged_cache_is_mended(good, tmp_path, damage, pattern):
    cache = damaged(good, tmp_path / "cache", damage, pattern)
    assert outcome(run(KERNEL, [], cache)) == (0, f"{CODES} 0", "")
    hits = 0 if damage is replace_by_a_directory else 1  # which cannot be written over
    assert outcome(run(KERNEL, [], cache)) == (0, f"{CODES} {hits}", "")


def test_a_full_disk_stops_nothing(tmp_path):
    """Files of at most 1,000 bytes, as where the disk is full: indices fit, code does not."""
    done = run(SMALL.format(1000) + KERNEL, [], tmp_path / "cache")
    assert outcome(done) == (0, f"{CODES} 0", "")
    assert not list(tmp_path.rglob("*.nbc")) and not list(tmp_path.rglob("*.tmp.*"))


def test_no_place_for_a_cache(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    assert outcome(run(KERNEL, [], tmp_path / "file")) == (0, f"{CODES} 0", "")


@pytest.mark.long
def test_solve_with_every_damage_at_once_and_on_a_full_disk(tmp_path):
    """The command of a user, whose many kernels call each other."""
    g = np.random.default_rng(0).uniform(1e-6, 5e-5, (4, 3))
    np.savetxt(tmp_path / "g.csv", g, delimiter=",")
    arguments = ["solve", str(tmp_path / "g.csv"), "--word-line", "2"]
    first = outcome(run(SOLVE, arguments, tmp_path / "cache"))
    assert first[0] == 0 and first[2] == ""
    files = sorted((tmp_path / "cache").rglob("*.nb?"))
    for k, path in enumerate(files):
        (empty, cut, flip, noise)[k % 4](path)
    assert len(files) > 8
    assert outcome(run(SOLVE, arguments, tmp_path / "cache")) == first
    assert outcome(run(SMALL.format(1000) + SOLVE, arguments, tmp_path / "other")) == first
