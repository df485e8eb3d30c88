"""Two local workers of a Dask cluster over one: the same sweep, on processes that are warm.

    python benchmarks/cluster.py STUDY.toml [REPETITIONS]

The study has a `[sweep]`.  Two clusters on the loopback are started once, one of one worker and one
of two; each runs the sweep once to warm up, then they take turns.  The efficiency is the time with
one worker over twice the time with two; with as many cores as workers and nothing else on them it
says what distribution costs.
"""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xbarsim

PATIENCE_S = 300  # of a first connection, on machines that are busy
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # the clusters with it
    study = xbarsim.load_study(sys.argv[1])
    repetitions = int((sys.argv[2:] or ["3"])[0])
    times = {1: [], 2: []}
    with contextlib.ExitStack() as open_clusters, tempfile.TemporaryDirectory() as place:
        clusters = {workers: open_clusters.enter_context(cluster(workers)) for workers in times}
        for repetition in range(repetitions + 1):
            for workers, address in clusters.items():
                directory = Path(place) / f"{repetition}-{workers}"
                started = time.perf_counter()
                xbarsim.sweep_study(study, directory, workers, scheduler=address)
                if repetition:  # the first fills caches
                    times[workers].append(time.perf_counter() - started)
    one = statistics.median(times[1])
    two = statistics.median(times[2])
    print(f"one worker   {one:8.2f} s   {rounded(times[1])}")
    print(f"two workers  {two:8.2f} s   {rounded(times[2])}")
    print(f"efficiency   {one / (2 * two):8.2f}     load {os.getloadavg()[0]:.1f}")


def rounded(seconds):
    return ", ".join(f"{value:.1f}" for value in seconds)


@contextlib.contextmanager
def cluster(workers):
    """The address of a scheduler on the loopback with so many workers that have joined."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    loopback = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    commands = [["-m", "xbarsim", "scheduler", "--port", str(port)]]
    for _ in range(workers):
        words = ["-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
        commands.append([*words, *loopback])
    processes = [subprocess.Popen([sys.executable, *words], **QUIET) for words in commands]
    try:
        wait_for_workers(address, workers)
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for_workers(address, count):
    from distributed import Client

    with Client(address, timeout=PATIENCE_S, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=PATIENCE_S)


if __name__ == "__main__":
    main()
