"""Speed of the circuit solver beside its peers: medians and ratios of one run, compile time apart,
one BLAS thread.

Times of single-threaded calls are processor times; of several threads and of processes they are
wall times.

    python benchmarks/solver.py [--sizes 64 128 256 512 1024]

Peers: the machine's own n x n x n GEMM of the same type; SciPy's `splu` with one solve per word
line (up to 128); badcrossbar with one example per word line (up to 64) and ngspice with one input
(up to 64) where they are installed.
"""

import argparse
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - loads the BLAS of compiled code, so that it is limited as well
from scipy import sparse
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits

from xbarsim import Crossbar
from xbarsim.kernels.circuit.transfer import transfer_matrix

COLD = """
import time; start = time.perf_counter()
import numpy as np
from xbarsim import Crossbar
xb = Crossbar(np.full((130, 70), 1e-5))
xb.transfer_matrix(), xb.solve(np.ones(130))
print(time.perf_counter() - start)
"""

MEMORY = """
import re, sys, numpy as np
from xbarsim.kernels.circuit.transfer import transfer_matrix
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
n = int(sys.argv[1])
for size in (130, n):
    g, r = np.random.default_rng(size).uniform(1e-6, 4e-5, (size, size)), np.full((size, size), 2.8)
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    transfer_matrix(g, r, r)
print((peak() - before) / g.nbytes)
"""


def median(function, seconds=2.0, most=50, clock=time.thread_time):
    """Median time of a call in s, over at least three calls: of this thread's processor, which
    others cannot take away.
    """
    function()
    times = []
    while len(times) < 3 or sum(times) < seconds and len(times) < most:
        start = clock()
        function()
        times.append(clock() - start)
    return statistics.median(times)


def network(n):
    return np.random.default_rng(n).uniform(1e-6, 4e-5, (n, n)), np.full((n, n), 2.8)


def sparse_transfer(g, r):
    """The transfer matrix by sparse LU and one solve per word line."""
    n, wire = len(g), 1 / r[0, 0]
    line = (
        sparse.diags(
            [np.r_[np.full(n - 1, 2.0), 1.0], -np.ones(n - 1), -np.ones(n - 1)], [0, 1, -1]
        )
        * wire
    )
    down = (
        sparse.diags(
            [np.r_[1.0, np.full(n - 1, 2.0)], -np.ones(n - 1), -np.ones(n - 1)], [0, 1, -1]
        )
        * wire
    )
    cells, eye = sparse.diags(g.ravel()), sparse.identity(n)
    matrix = sparse.bmat(
        [[sparse.kron(eye, line) + cells, -cells], [-cells, sparse.kron(down, eye) + cells]],
        format="csc",
    )
    lu, rhs = splu(matrix), np.zeros((2 * n * n, n))
    rhs[np.arange(n) * n, np.arange(n)] = wire
    return lu.solve(rhs)[-n:] * wire


def badcrossbar_transfer():
    """The same by badcrossbar, or None.  It needs cairo for pictures only: where that is missing an
    empty one serves.
    """
    try:
        import cairo  # noqa: F401
    except ImportError:
        sys.modules["cairo"] = empty = types.ModuleType("cairo")
        empty.__getattr__ = lambda name: type(name, (), {})
    try:
        import badcrossbar
    except ImportError:
        return None
    logging.disable(logging.INFO)
    return lambda g, r: (
        badcrossbar.compute(
            np.eye(len(g)), 1 / g, r[0, 0], node_voltages=False, all_currents=False
        ).currents.output.T
    )


def spice_seconds(xb, v, folder):
    """Seconds of an ngspice process that reads and solves the netlist of one input."""
    netlist = Path(folder) / "crossbar.cir"
    xb.to_spice(netlist, v)
    command = ["ngspice", "-b", netlist]  # whose status is 1 after a script of commands
    if b"i(vbit0) = " not in subprocess.run(command, capture_output=True, check=False).stdout:
        raise RuntimeError("ngspice printed no output current")
    return median(
        lambda: subprocess.run(command, capture_output=True, check=False),
        most=3,
        clock=time.perf_counter,
    )


def memory(n):
    """Peak memory of one transfer matrix beyond its arguments, over the bytes of T (Linux)."""
    return float(
        subprocess.run(
            [sys.executable, "-c", MEMORY, str(n)], capture_output=True, text=True, check=True
        ).stdout
    )


def cold_start():
    """Seconds of a first process that compiles everything, and of the next, which finds it
    compiled.
    """
    with tempfile.TemporaryDirectory() as cache:
        return [
            float(
                subprocess.run(
                    [sys.executable, "-c", COLD],
                    env=os.environ | {"XBARSIM_CACHE_DIR": cache},
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(2)
        ]


def transfer_table(sizes):
    print("transfer matrix, one thread")
    print(
        f"{'n':>5}{'GEMM':>11}{'float64':>12}{'x GEMM':>8}{'memory/T':>10}{'float32':>11}{'x GEMM32':>9}"
        f"{'f32/f64':>9}{'error f32':>11}"
        f"{'splu':>10}{'/ours':>7}{'difference':>12}{'badcrossbar':>13}{'/ours':>7}{'difference':>12}"
    )
    badcrossbar = badcrossbar_transfer()
    for n in sizes:
        g, r = network(n)
        single = g.astype(np.float32)
        gemm, ours = median(lambda g=g: g @ g), median(lambda g=g, r=r: transfer_matrix(g, r, r))
        single_gemm = median(lambda g=single: g @ g)
        half = median(lambda g=single, r=r: transfer_matrix(g, r, r))
        exact = transfer_matrix(g, r, r)[0]
        error = abs(transfer_matrix(single, r, r)[0] - exact).max() / exact.max()
        space = f"{memory(n):.1f}" if n >= 256 else ""  # below, the warm-up has left enough
        line = (
            f"{n:>5}{1e3 * gemm:>8.3f} ms{1e3 * ours:>9.2f} ms{ours / gemm:>8.0f}{space:>10}{1e3 * half:>8.2f} ms"
            f"{half / single_gemm:>9.0f}{half / ours:>9.2f}{error:>11.1e}"
        )
        for peer, largest, width in ((sparse_transfer, 128, 7), (badcrossbar, 64, 10)):
            if peer is not None and n <= largest:
                taken = median(lambda g=g, r=r, peer=peer: peer(g, r), most=3)
                difference = abs(peer(g, r) - exact).max() / exact.max()
                line += f"{1e3 * taken:>{width}.0f} ms{taken / ours:>7.0f}{difference:>12.1e}"
        print(line, flush=True)


def thread_table():
    g, r = network(128)
    tiles = [g * (1 + 1e-3 * t) for t in range(32)]
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:

        def results(pool):
            return list(pool.map(lambda g: transfer_matrix(g, r, r)[0], tiles))

        alone, both = (
            median(lambda pool=pool: results(pool), clock=time.perf_counter) for pool in (one, two)
        )
        processor = []
        for pool in (one, two):
            start = time.process_time()
            results(pool)
            processor.append(time.process_time() - start)
        same = "bitwise the same" if np.array_equal(results(one), results(two)) else "DIFFERENT"
    print(
        f"32 tiles of 128 x 128: one thread {alone:.3f} s, two threads {both:.3f} s, {alone / both:.2f} times as fast "
        f"with {processor[1] / processor[0]:.2f} times the processor time, results {same}"
    )


def voltage_table():
    print("node voltages, one input, residual 1e-12")
    for n, ohm in ((32, 5.0), (64, 5.0), (128, 5.0), (512, 5.0), (1024, 10.0)):
        xb, v = Crossbar(np.random.default_rng(n).uniform(0, 1e-4, (n, n)), ohm, ohm), np.ones(n)
        taken = median(lambda xb=xb, v=v: xb.solve(v))
        line = f"{n:>5}{ohm:>6.0f} ohm{1e3 * taken:>10.2f} ms{xb.solve(v).iterations:>6} iterations"
        if n <= 64 and shutil.which("ngspice"):
            with tempfile.TemporaryDirectory() as folder:
                line += f"     ngspice {1e3 * spice_seconds(xb, v, folder):.0f} ms"
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    transfer_table(parser.parse_args().sizes)
    thread_table()
    voltage_table()
    cold, warm = cold_start()
    print(f"first process {cold:.1f} s with compilation, second {warm:.1f} s")


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main()
