"""Every check of `xbarsim doctor` is provoked to find what it looks for."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from xbarsim.base import installation, workers
from xbarsim.base.installation import Finding, Requirement, State
from xbarsim.circuit import self_test
from xbarsim.cli import app as cli
from xbarsim.kernels import _jit

LINES = [
    "numpy>=1.26",
    "h5py>=3.12",
    'typer>=0.16; extra == "cli"',
    'xbarsim[cli]; extra == "bert"',
    'safetensors>=0.4; extra == "bert"',
    'matplotlib>=3.8 ; extra == "plot"',
    'dask-jobqueue>=0.8.5; extra == "cluster"',
    'pytest>=8; extra == "test"',
]


def found(checks):
    """{name: finding}."""
    return {finding.name: finding for finding in checks}


def test_requirements_are_read_from_the_metadata():
    read = installation.requirements_of(LINES)
    assert Requirement("numpy", "1.26", "") in read
    assert Requirement("dask-jobqueue", "0.8.5", "cluster") in read
    assert len(read) == len(LINES) - 1  # xbarsim[cli] is no package of others


@pytest.mark.parametrize(
    "version, minimum, older",
    [
        ("1.9.3", "1.10", True),
        ("1.10", "1.9.3", False),
        ("2.0", "2", False),
        ("2", "2.0.0", False),
        ("3.12.0rc1", "3.12", False),
        ("0.59.1", "0.60", True),
        ("2026.8.0", "2024.4", False),
    ],
)
def test_versions_are_compared_by_number(version, minimum, older):
    assert installation.is_older(version, minimum) is older


def test_a_python_that_is_too_old_is_wrong():
    assert installation.check_python((3, 11, 0)).state is State.OK
    old = installation.check_python((3, 10, 13))
    assert old.state is State.WRONG and "3.11 or later" in old.remedy


def test_packages_that_lack_or_are_old_are_wrong():
    versions = {"numpy": "1.25.2"}
    checked = found(installation.check_packages(installation.requirements_of(LINES), versions.get))
    assert checked["numpy"].state is State.WRONG
    assert checked["numpy"].found == "1.25.2, which is older than 1.26"
    assert checked["h5py"].state is State.WRONG
    assert checked["h5py"].remedy == "pip install 'h5py>=3.12'"
    assert "typer" not in checked
    versions = {"numpy": "2.1.0", "h5py": "3.12.1"}
    checked = installation.check_packages(installation.requirements_of(LINES), versions.get)
    assert [finding.state for finding in checked] == [State.OK, State.OK]


def test_a_copy_without_metadata_is_said():
    (only,) = installation.check_packages([])
    assert only.state is State.WARNING and "pip install" in only.remedy


def test_extras_say_what_brings_them():
    versions = {"typer": "0.16.0", "matplotlib": "3.7.0"}
    checked = found(installation.check_extras(installation.requirements_of(LINES), versions.get))
    assert checked["extra cli"].state is State.OK
    assert checked["extra bert"].state is State.ABSENT
    assert checked["extra bert"].remedy == "pip install 'xbarsim[bert]'"
    assert checked["extra plot"].state is State.WRONG and "older" in checked["extra plot"].found
    assert "extra test" not in checked


def test_a_cache_that_cannot_be_written_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    wrong = installation.check_cache(tmp_path / "file" / "cache")
    assert wrong.state is State.WRONG and "XBARSIM_CACHE_DIR" in wrong.remedy
    assert installation.check_cache(tmp_path / "new").state is State.OK


def test_a_full_disk_is_wrong(tmp_path):
    states = [installation.check_disk(tmp_path, free).state for free in (1e8, 1e9, 1e10)]
    assert states == [State.WRONG, State.WARNING, State.OK]
    assert installation.check_disk(tmp_path / "not" / "there").found.endswith("free for the cache")


def test_hdf5_that_reads_other_numbers_is_wrong(tmp_path, monkeypatch):
    assert installation.check_hdf5(tmp_path).state is State.OK
    real = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: real(self, key) + 1e-9)
    assert installation.check_hdf5(tmp_path).state is State.WRONG


def test_what_a_check_raises_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it could not be imported
    wrong = installation.attempt("HDF5", lambda: installation.check_hdf5(tmp_path), "reinstall")
    assert wrong.state is State.WRONG and "h5py" in wrong.found and wrong.remedy == "reinstall"


@pytest.mark.parametrize(
    "stated, state",
    [(None, State.OK), ("2", State.OK), ("8", State.WARNING), ("0", State.WRONG), ("a", "wrong")],
)
def test_threads(stated, state):
    assert installation.check_threads(4, stated).state == state


def test_a_blas_that_computes_wrong_products_is_wrong(monkeypatch):
    assert self_test.check_blas().state is State.OK
    monkeypatch.setattr(np, "array_equal", lambda one, other: False)
    wrong = self_test.check_blas()
    assert wrong.state is State.WRONG and "wrong products" in wrong.found


def test_a_blas_that_cannot_be_held_is_a_warning(monkeypatch):
    import threadpoolctl

    libraries = [
        {"user_api": "blas", "internal_api": "mkl", "version": "1", "num_threads": 8},
        {"user_api": "openmp", "internal_api": "openmp", "version": None, "num_threads": 8},
    ]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: libraries)
    warned = self_test.check_blas()
    assert warned.state is State.WARNING and "mkl 1, 8 threads" in warned.found


def test_no_kernel_cache_is_wrong(monkeypatch):
    monkeypatch.setattr(_jit, "CACHE_DIRECTORY", None)
    assert self_test.check_kernel_cache().state is State.WRONG


def test_kernels_in_the_interpreter_are_wrong(monkeypatch):
    from numba import config

    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    wrong = self_test.check_kernel_cache()
    assert wrong.state is State.WRONG and "unset NUMBA_DISABLE_JIT" in wrong.remedy


def test_kernels_of_wrong_currents_are_wrong():
    assert self_test.check_kernels().state is State.OK
    assert self_test.check_kernels(planted_error=1e-11).state is State.WRONG


def test_other_bits_on_threads_are_wrong(monkeypatch):
    assert self_test.check_threads().state is State.OK
    pool = SimpleNamespace(map=lambda work, jobs: [work(job) * (1 + 1e-15) for job in jobs])

    class Threads:
        def __enter__(self):
            return pool

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(workers, "worker_threads", Threads)
    assert self_test.check_threads().state is State.WRONG


def test_a_process_that_dies_is_a_finding():
    died = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGILL)"]
    (wrong,) = self_test.check_apart(died)
    assert wrong.state is State.WRONG and "status -4" in wrong.found


def test_a_process_that_hangs_is_a_finding(monkeypatch):
    monkeypatch.setattr(self_test, "SECONDS", 0.2)
    (wrong,) = self_test.check_apart([sys.executable, "-c", "import time; time.sleep(60)"])
    assert wrong.state is State.WRONG and "0.2 s" in wrong.found


def test_findings_of_the_process_are_those_of_this_one():
    apart = self_test.check_apart()
    assert [finding.name for finding in apart] == [
        "BLAS",
        "kernel cache",
        "kernels",
        "kernel threads",
    ]
    assert all(finding.state is State.OK for finding in apart), apart


def test_the_command_says_it_in_words_and_in_json(monkeypatch):
    checks = [Finding("disk", State.OK, "10.0 GB"), Finding("h5py", State.ABSENT, "none", "do it")]
    monkeypatch.setattr(installation, "check_installation", lambda cache, cores: iter(checks))
    monkeypatch.setattr(self_test, "check_apart", lambda: [])
    done = CliRunner().invoke(cli.app, ["doctor"])
    assert done.exit_code == 0 and done.stdout.endswith("This installation is sound.\n")
    assert "-> do it" in done.stdout
    broken = [Finding("kernels", State.WRONG, "off", "reinstall")]
    monkeypatch.setattr(self_test, "check_apart", lambda: broken)
    done = CliRunner().invoke(cli.app, ["doctor"])
    assert done.exit_code == 1 and "One thing is wrong" in done.stdout
    done = CliRunner().invoke(cli.app, ["doctor", "--json"])
    content = json.loads(done.stdout)
    assert done.exit_code == 1 and not content["sound"]
    assert [finding["state"] for finding in content["findings"]] == ["ok", "absent", "wrong"]


def test_the_whole_command_finds_a_broken_cache(tmp_path):
    (tmp_path / "file").write_text("")
    environment = os.environ | {"XBARSIM_CACHE_DIR": str(tmp_path / "file" / "cache")}
    # kernels are not compiled for it: the process that computes is replaced
    code = (
        "import sys\n"
        "from xbarsim.circuit import self_test\n"
        "self_test.check_apart = lambda: []\n"
        "sys.argv = ['xbarsim', 'doctor', '--json']\n"
        "from xbarsim.__main__ import main\n"
        "main()\n"
    )
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 1, done.stderr
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["findings"]}
    assert states["cache"] == "wrong"
