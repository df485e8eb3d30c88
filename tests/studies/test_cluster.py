"""Sweeps on a Dask cluster: workers are processes of their own, started as a user starts them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import tomli_w
from tiny import make_tiny_bert, make_tiny_place, tiny_study
from trace_numbers import assert_same_numbers

from xbarsim.base.errors import ConfigError
from xbarsim.config.study import load_study
from xbarsim.studies import sweep, sweep_directory
from xbarsim.studies.cluster import Cluster
from xbarsim.studies.points import points_of
from xbarsim.studies.run import run_study

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

AXES = {"adc.bits": [4, 8]}
COUNTED = {"match": "layer.1.*", "products": {"weights": "computation", "attention": "computation"}}
LOOPBACK = "0100007F"  # as /proc/net/tcp writes it


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LocalCluster:
    """A scheduler and workers as processes; cwd : of the workers, which share no path with the sweep"""

    def __init__(self, cwd, tls=()):
        self.cwd = cwd
        self.tls = tls
        self.port = free_port()
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        words = ["-m", "xbarsim", "scheduler", "--port", str(self.port)]
        for option, path in zip(("--tls-ca", "--tls-cert", "--tls-key"), tls, strict=False):
            words += [option, str(path)]
        self.scheduler = self._start(words, "scheduler")
        self.workers = []

    def _start(self, words, name):
        with (self.cwd / f"{name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, *words], cwd=self.cwd, stdout=log, stderr=log)

    def add_worker(self):
        words = ["-m", "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny"]
        words += ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        options = ("--tls-ca-file", "--tls-cert", "--tls-key")
        for option, path in zip(options, self.tls, strict=False):
            words += [option, str(path)]
        self.workers.append(self._start(words, f"worker-{len(self.workers)}"))
        return self.workers[-1]

    def close(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_tiny_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def study(place):
    return tiny_study(place, sweep=AXES, run={"batch_examples": 4, "chips": 2}, layer=[COUNTED])


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    return [run_study(point.study, directory, threads=1) for point in points_of(study)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    started = LocalCluster(tmp_path_factory.mktemp("workers"))
    for _ in range(2):
        started.add_worker()
    yield started
    started.close()


def assert_same_points(directory, expected):
    for point, path in zip(directory.points, expected, strict=True):
        assert_same_numbers(directory.trace(point), path)


def test_two_workers_give_the_bits_of_one_process(study, undisturbed, cluster, tmp_path):
    directory = sweep_directory.create(study, tmp_path / "sweep")
    outcome = sweep.run_sweep(directory, workers=2, scheduler=cluster.address)
    assert outcome.done == 2 and outcome.failed == {}
    assert_same_points(directory, undisturbed)
    assert not list(cluster.cwd.glob("*.h5"))  # workers write nothing


def listening(process):
    """Addresses on which a process listens."""
    sockets = set()
    for entry in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            sockets.add(os.readlink(f"/proc/{process.pid}/fd/{entry}"))
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/{process.pid}/net/{table}").readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.append(fields[1].split(":")[0])
    return found


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs /proc")
def test_the_scheduler_listens_on_the_loopback_alone(cluster):
    Cluster(cluster.address).close()
    found = listening(cluster.scheduler)
    assert found and set(found) == {LOOPBACK}


def test_a_killed_worker_loses_its_piece_alone(study, undisturbed, tmp_path):
    """In the middle of the batches of a chip: the other worker computes what lay on it again."""
    started = LocalCluster(tmp_path)
    first, second = started.add_worker(), started.add_worker()
    path = tmp_path / "sweep"
    directory = sweep_directory.create(study, path)
    code = (
        "import sys\n"
        "from xbarsim.studies import sweep, sweep_directory\n"
        "opened = sweep_directory.open_directory(sys.argv[1])\n"
        "sweep.run_sweep(opened, scheduler=sys.argv[2])\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code, str(path), started.address])
    try:
        parts = directory.trace(directory.points[0]).with_suffix(".parts")
        until = time.monotonic() + 120
        while len(list(parts.glob("*"))) < 4 and not directory.trace(directory.points[0]).exists():
            assert time.monotonic() < until and running.poll() is None
            time.sleep(0.02)
        assert running.poll() is None
        os.kill(first.pid, signal.SIGKILL)
        assert running.wait(240) == 0
        assert second.poll() is None
        assert_same_points(directory, undisturbed)
    finally:
        running.kill()
        started.close()


def relative_study(place):
    """A study of files that only the directory of the sweep has."""
    content = {
        "model": {"name": "model"},
        "task": {"name": "task.tsv"},
        "mapping": {"word_lines": 16, "bit_lines": 16},
        "sweep": {"adc.bits": [8]},
    }
    (place / "relative.toml").write_text(tomli_w.dumps(content))
    return load_study(place / "relative.toml")


def test_a_worker_needs_the_files_in_its_own_cache(place, tmp_path, monkeypatch):
    cache = tmp_path / "cache of the worker"
    monkeypatch.setenv("XBARSIM_CACHE_DIR", str(cache))
    started = LocalCluster(tmp_path)
    started.add_worker()
    monkeypatch.delenv("XBARSIM_CACHE_DIR")
    monkeypatch.chdir(place)
    try:
        study = relative_study(place)
        directory = sweep_directory.create(study, tmp_path / "sweep")
        (reason,) = sweep.run_sweep(directory, scheduler=started.address).failed.values()
        assert "a worker cannot read model model or task task.tsv" in reason
        assert f"bring them to {cache / 'inputs'}" in reason and "\n" not in reason
        make_tiny_bert(cache / "inputs" / "model", classes=2, seed=3)
        shutil.copy(place / "task.tsv", cache / "inputs")
        (reason,) = sweep.run_sweep(directory, scheduler=started.address).failed.values()
        assert "a worker has not what the sweep has: " in reason
        assert "model file model.safetensors differ" in reason
        shutil.rmtree(cache / "inputs" / "model")
        shutil.copytree(place / "model", cache / "inputs" / "model")
        assert sweep.run_sweep(directory, scheduler=started.address).done == 1
        (expected,) = [run_study(p.study, tmp_path / "here", threads=1) for p in directory.points]
        assert_same_points(directory, [expected])
    finally:
        started.close()


def test_no_scheduler_is_one_line(study, tmp_path, monkeypatch):
    monkeypatch.setattr("xbarsim.studies.cluster.CONNECT_S", 1)
    directory = sweep_directory.create(study, tmp_path / "sweep")
    with pytest.raises(
        ConfigError, match="no Dask scheduler answers at tcp://127.0.0.1:9"
    ) as caught:
        sweep.run_sweep(directory, scheduler="tcp://127.0.0.1:9")
    assert "\n" not in str(caught.value)


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'xbarsim\[cluster\]'"):
        Cluster("tcp://127.0.0.1:8786")


# ---------------------------------------------------------------- other ways to a cluster


def certificates(directory):
    """Certificate and key of an authority of one's own, and of one party: (ca, cert, key)."""
    ca, ca_key, key = (directory / name for name in ("ca.pem", "ca.key", "party.key"))
    request, cert = directory / "party.csr", directory / "party.pem"
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    signed = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "1"]
    for command in (
        [*new, "/CN=authority", "-x509", "-days", "1", "-keyout", ca_key, "-out", ca],
        [*new, "/CN=party", "-keyout", key, "-out", request],
        ["openssl", "x509", "-req", "-in", request, *signed, "-out", cert],
    ):
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return ca, cert, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_cluster_with_certificates_of_ones_own(place, tmp_path, monkeypatch):
    ca, cert, key = certificates(tmp_path)
    started = LocalCluster(tmp_path, tls=(ca, cert, key))
    started.add_worker()
    try:
        study = tiny_study(place, sweep={"adc.bits": [8]}, task={"name": str(place / "task.tsv")})
        directory = sweep_directory.create(study, tmp_path / "sweep")
        monkeypatch.setattr("xbarsim.studies.cluster.CONNECT_S", 5)
        with pytest.raises(ConfigError, match="no Dask scheduler answers"):
            sweep.run_sweep(directory, scheduler=started.address)  # without a certificate
        (tmp_path / "dask.yaml").write_text(
            "distributed:\n  comm:\n    require-encryption: true\n    tls:\n"
            f"      ca-file: {ca}\n      client:\n        cert: {cert}\n        key: {key}\n"
        )
        code = (
            "import sys\n"
            "from xbarsim.studies import sweep, sweep_directory\n"
            "opened = sweep_directory.open_directory(sys.argv[1])\n"
            "assert sweep.run_sweep(opened, scheduler=sys.argv[2]).done == 1\n"
        )
        words = [sys.executable, "-c", code, str(directory.path), started.address]
        environment = os.environ | {"DASK_CONFIG": str(tmp_path)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        started.close()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_job_script_of_slurm_is_a_script(tmp_path):
    """The cluster of docs/cluster.md, as far as a machine without SLURM allows."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="the extra `cluster` is not installed")
    with jobqueue.SLURMCluster(
        queue="normal",
        cores=1,
        processes=1,
        memory="4GB",
        walltime="02:00:00",
        job_script_prologue=["export NUMBA_NUM_THREADS=1"],
        scheduler_options={"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        script = cluster.job_script()
        assert cluster.scheduler_address in script
    assert "#SBATCH --mem=4G" in script and "#SBATCH -t 02:00:00" in script
    assert "--nthreads 1" in script and "export NUMBA_NUM_THREADS=1" in script
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(
        ["shellcheck", "--severity=warning", str(tmp_path / "job.sh")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
