"""Two local workers of a Dask cluster over one: the same sweep, on processes that are warm.

    python benchmarks/cluster.py STUDY.toml [REPETITIONS]

The study has a `[sweep]`; each repetition runs it with one worker and with two, one after the other.
The efficiency is the time with one over twice the time with two.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xbarsim


def main():
    study = xbarsim.load_study(sys.argv[1])
    repetitions = int((sys.argv[2:] or ["3"])[0])
    times = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        for repetition in range(repetitions + 1):
            for workers, found in times.items():
                seconds = timed(study, Path(place) / f"{repetition}-{workers}", workers)
                if repetition:  # the first fills caches
                    found.append(seconds)
    one, two = (statistics.median(times[workers]) for workers in (1, 2))
    print(f"one worker   {one:8.2f} s   {rounded(times[1])}")
    print(f"two workers  {two:8.2f} s   {rounded(times[2])}")
    print(f"efficiency   {one / (2 * two):8.2f}     load {os.getloadavg()[0]:.1f}")


def rounded(seconds):
    return ", ".join(f"{value:.1f}" for value in seconds)


def timed(study, directory, workers):
    """Seconds of a sweep on so many workers that have joined and run a point already."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    loopback = ["--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    commands = [["-m", "xbarsim", "scheduler", "--port", str(port)]]
    for _ in range(workers):
        words = ["-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
        commands.append([*words, *loopback])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([sys.executable, *words], **quiet) for words in commands]
    try:
        wait_for_workers(address, workers)
        xbarsim.sweep_study(study, directory / "warm", workers, scheduler=address)
        started = time.perf_counter()
        xbarsim.sweep_study(study, directory / "timed", workers, scheduler=address)
        return time.perf_counter() - started
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for_workers(address, count):
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=120)


if __name__ == "__main__":
    main()
