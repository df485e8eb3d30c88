"""Speed of the circuit solver beside its peers: medians and ratios of one run, compile time apart, one BLAS thread.

    python benchmarks/solver.py [--sizes 64 128 256 512]

Peers: the machine's own n x n x n float64 GEMM, and SciPy's `splu` with one solve per word line (up to 128).
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - loads the BLAS of compiled code, so that it is limited as well
from scipy import sparse
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits

from xbarsim import Crossbar
from xbarsim.kernels.transfer import transfer_matrix

COLD = """
import time; start = time.perf_counter()
import numpy as np
from xbarsim import Crossbar
xb = Crossbar(np.full((130, 70), 1e-5))
xb.transfer_matrix(), xb.solve(np.ones(130))
print(time.perf_counter() - start)
"""


def median(function, seconds=2.0, most=50):
    """Median time of a call in s, over at least three calls."""
    function()
    times = []
    while len(times) < 3 or sum(times) < seconds and len(times) < most:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def network(n):
    return np.random.default_rng(n).uniform(1e-6, 4e-5, (n, n)), np.full((n, n), 2.8)


def sparse_transfer(g, r):
    """The transfer matrix by sparse LU and one solve per word line."""
    n, wire = len(g), 1 / r[0, 0]
    line = sparse.diags([np.r_[np.full(n - 1, 2.0), 1.0], -np.ones(n - 1), -np.ones(n - 1)], [0, 1, -1]) * wire
    down = sparse.diags([np.r_[1.0, np.full(n - 1, 2.0)], -np.ones(n - 1), -np.ones(n - 1)], [0, 1, -1]) * wire
    cells, eye = sparse.diags(g.ravel()), sparse.identity(n)
    matrix = sparse.bmat([[sparse.kron(eye, line) + cells, -cells], [-cells, sparse.kron(down, eye) + cells]], format="csc")
    lu, rhs = splu(matrix), np.zeros((2 * n * n, n))
    rhs[np.arange(n) * n, np.arange(n)] = wire
    return lu.solve(rhs)[-n:] * wire


def cold_start():
    """Seconds of a first process that compiles everything, and of the next, which finds it compiled."""
    with tempfile.TemporaryDirectory() as cache:
        return [float(subprocess.run([sys.executable, "-c", COLD], env=os.environ | {"XBARSIM_CACHE_DIR": cache},
                                     capture_output=True, text=True, check=True).stdout) for _ in range(2)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    sizes = parser.parse_args().sizes
    print("transfer matrix, one thread")
    print(f"{'n':>5}{'GEMM':>10}{'float64':>11}{'x GEMM':>8}{'float32':>11}{'f32/f64':>9}{'error f32':>11}"
          f"{'splu':>10}{'splu/ours':>11}{'error splu':>12}")
    for n in sizes:
        g, r = network(n)
        single = g.astype(np.float32)
        gemm, ours = median(lambda g=g: g @ g), median(lambda g=g, r=r: transfer_matrix(g, r, r))
        half = median(lambda g=single, r=r: transfer_matrix(g, r, r))
        exact = transfer_matrix(g, r, r)[0]
        error = abs(transfer_matrix(single, r, r)[0] - exact).max() / exact.max()
        line = (f"{n:>5}{1e3 * gemm:>7.2f} ms{1e3 * ours:>8.1f} ms{ours / gemm:>8.0f}{1e3 * half:>8.1f} ms"
                f"{half / ours:>9.2f}{error:>11.1e}")
        if n <= 128:
            peer = median(lambda g=g, r=r: sparse_transfer(g, r), most=3)
            difference = abs(sparse_transfer(g, r) - exact).max() / exact.max()
            line += f"{1e3 * peer:>7.0f} ms{peer / ours:>11.0f}{difference:>12.1e}"
        print(line, flush=True)
    g, r = network(128)

    def tiles(pool):
        return list(pool.map(lambda _: transfer_matrix(g, r, r), range(32)))

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:
        alone, both = median(lambda: tiles(one)), median(lambda: tiles(two))
    print(f"32 tiles of 128 x 128: one thread {alone:.3f} s, two threads {both:.3f} s, {alone / both:.2f} times as fast")
    print("node voltages, one input, residual 1e-12")
    for n, ohm in ((128, 5.0), (512, 5.0), (1024, 10.0)):
        xb, v = Crossbar(np.random.default_rng(n).uniform(0, 1e-4, (n, n)), ohm, ohm), np.ones(n)
        taken = median(lambda xb=xb, v=v: xb.solve(v))
        print(f"{n:>5}{ohm:>6.0f} ohm{1e3 * taken:>10.2f} ms{xb.solve(v).iterations:>6} iterations", flush=True)
    cold, warm = cold_start()
    print(f"first process {cold:.1f} s with compilation, second {warm:.1f} s")


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main()
