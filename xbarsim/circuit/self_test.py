"""Whether what computes does so here: BLAS, compiled kernels and a crossbar against closed forms.

A fault of a library may end the process, so `check_apart` does it in one of its own.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

from xbarsim.base.installation import Finding, State, attempt

REINSTALL = "pip install --force-reinstall numpy scipy numba"
SECONDS = 300  # for compiling on a slow machine
ACCURACY = 1e-12  # relative, of a handful of cells


def check_apart(command: Sequence[str] = (sys.executable, "-P", "-m", __name__)) -> list[Finding]:
    """The findings of this module, of a process of its own.

    Parameters
    ----------
    command : the process, which prints findings as JSON
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        found = f"kernels were not compiled in {SECONDS} s"
        return [Finding("kernels", State.WRONG, found, "try again on an idle machine")]
    try:
        return [
            Finding(**{**facts, "state": State(facts["state"])})
            for facts in json.loads(done.stdout)
        ]
    except (ValueError, TypeError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        found = f"a process that computes ended with status {done.returncode}: {last}"
        return [Finding("kernels", State.WRONG, found, REINSTALL)]


def check_blas() -> Finding:
    """Whether products of matrices are right, and whether BLAS can be held to one thread."""
    import numpy as np
    import scipy.linalg
    from threadpoolctl import threadpool_info

    from xbarsim.base.workers import one_blas_thread

    generator = np.random.default_rng(0)
    whole = generator.integers(-9, 10, (300, 200)), generator.integers(-9, 10, (200, 250))
    product = whole[0].astype(float) @ whole[1].astype(float)
    matrix = np.eye(200) + 0.01 * generator.standard_normal((200, 200))
    solved = scipy.linalg.solve(matrix, np.ones(200))
    libraries = [info for info in threadpool_info() if info["user_api"] == "blas"]
    names = {f"{info['internal_api']} {info['version']}" for info in libraries}
    threads = max((info["num_threads"] for info in libraries), default=1)
    found = f"{', '.join(sorted(names)) or 'a BLAS without a name'}, {threads} threads"
    exact = np.array_equal(product, whole[0] @ whole[1])
    if not exact or not np.allclose(matrix @ solved, 1.0, rtol=0, atol=1e-10):
        return Finding("BLAS", State.WRONG, f"{found}, computes wrong products", REINSTALL)
    with one_blas_thread():
        held = [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]
    if any(count > 1 for count in held):
        remedy = "set OPENBLAS_NUM_THREADS=1, OMP_NUM_THREADS=1 and MKL_NUM_THREADS=1"
        return Finding("BLAS", State.WARNING, f"{found}, not to be held to one", remedy)
    return Finding("BLAS", State.OK, found)


def check_kernel_cache() -> Finding:
    """Whether compiled kernels are kept from one process to the next."""
    from numba import config

    from xbarsim.kernels._jit import CACHE_DIRECTORY

    if config.DISABLE_JIT:
        found = "NUMBA_DISABLE_JIT is set: kernels run in the interpreter, many times slower"
        return Finding("kernel cache", State.WRONG, found, "unset NUMBA_DISABLE_JIT")
    if CACHE_DIRECTORY is None:
        found = "none: every process compiles all kernels anew"
        remedy = "set XBARSIM_CACHE_DIR to a directory that can be written and has space"
        return Finding("kernel cache", State.WRONG, found, remedy)
    return Finding("kernel cache", State.OK, CACHE_DIRECTORY)


def check_kernels(planted_error: float = 0.0) -> Finding:
    """Whether crossbars solved by compiled kernels have the currents of closed forms.

    Parameters
    ----------
    planted_error : relative, of the currents, for tests
    """
    import numba
    import numpy as np

    from xbarsim.circuit.crossbar import Crossbar

    single = Crossbar(
        np.array([[1e-4]]),
        word_line_resistance=3.0,
        bit_line_resistance=5.0,
        source_resistance=7.0,
        sense_resistance=11.0,
    )
    in_series = 1 / (1e4 + 3 + 5 + 7 + 11)  # siemens
    conductance = np.array([[1e-5, 2e-5], [3e-5, 4e-5], [5e-5, 6e-5]])
    volts = np.array([0.1, 0.2, 0.3])
    direct = Crossbar(conductance, word_line_resistance=0.0, bit_line_resistance=0.0)
    pairs = [
        (single.transfer_matrix()[0], np.array([in_series])),
        (single.solve(np.array([1.0])).output_current, np.array([in_series])),
        (direct.solve(volts).output_current, volts @ conductance),
    ]
    off = max(np.max(np.abs(got / exact - 1)) for got, exact in pairs) + planted_error
    found = f"Numba {numba.__version__}, crossbars to {off:.0e} of closed forms"
    if off <= ACCURACY:
        return Finding("kernels", State.OK, found)
    return Finding("kernels", State.WRONG, found, REINSTALL)


def check_threads() -> Finding:
    """Whether kernels compute the same bits on several threads at once.

    They run without Python's lock in threads of Python; Numba's own threading layers (tbb, omp,
    workqueue) are not used.
    """
    import numpy as np

    from xbarsim.base.workers import cores, worker_threads
    from xbarsim.circuit.crossbar import Crossbar

    generator = np.random.default_rng(0)
    crossbar = Crossbar(
        generator.uniform(1e-6, 1e-4, (24, 24)), word_line_resistance=2.0, bit_line_resistance=2.0
    )
    alone = crossbar.transfer_matrix()
    with worker_threads() as pool:
        together = list(pool.map(lambda _: crossbar.transfer_matrix(), range(2 * cores())))
    found = f"{cores()} at once; Numba's own threading layers are not needed"
    if all(np.array_equal(alone, other) for other in together):
        return Finding("kernel threads", State.OK, f"the same bits on {found}")
    remedy = f"set NUMBA_NUM_THREADS=1 and state --threads 1; {REINSTALL}"
    return Finding("kernel threads", State.WRONG, f"other bits on {found}", remedy)


def findings() -> Iterator[Finding]:
    """All findings of this module, in this process."""
    yield attempt("BLAS", check_blas, REINSTALL)
    yield attempt("kernel cache", check_kernel_cache, REINSTALL)
    yield attempt("kernels", check_kernels, REINSTALL)
    yield attempt("kernel threads", check_threads, REINSTALL)


if __name__ == "__main__":
    print(json.dumps([finding.to_json() for finding in findings()]))
