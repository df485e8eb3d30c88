"""What is checked, by name: `nox -l` lists it, `nox -s quick` runs one; `.ci/run` runs all but
`long`.

With `nox --no-venv` a session uses the environment that nox itself stands in.
"""

import sys
import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "test", "bounds", "interpreter", "build", "site"]
nox.options.reuse_existing_virtualenvs = True

QUICK = ("base", "config", "tasks", "models", "report", "chips")
KERNEL_TESTS = (
    "tests/circuit/test_circuit.py",
    "tests/circuit/test_cells.py",
    "tests/circuit/test_sensitivity.py",
    "tests/kernels/test_cell_pulses.py",
    "tests/kernels/test_error_sums.py",
    "tests/kernels/test_row_products.py",
    "tests/kernels/test_wire_resistivity.py",
    "tests/arrays/test_compensation.py",
    "tests/arrays/test_converters.py",
    "tests/arrays/test_converter_errors.py",
    "tests/arrays/test_histograms.py",
    "tests/arrays/test_line_noise.py",
    "tests/arrays/test_processes.py",
    "tests/arrays/test_mapping.py",
    "tests/hardware/test_functions.py",
    "tests/devices/test_device.py",
)
COMPILED_ONLY = (
    "tests/kernels/test_products.py",
    "tests/kernels/test_small_blocks.py",
    "tests/kernels/test_transfer.py",
    "tests/arrays/test_computation.py",
)
# Their tests take too long in the interpreter; the cache of compiled code has nothing to do there.
NOT_MEASURED = (
    "*/_cache.py,*/telegraph.py,*/pulses.py,*/transfer.py,*/small_blocks.py,*/joins.py,"
    "*/products.py,*/lanes.py,*/generated.py,*/counting.py"
)


def install(session):
    """The package as it stands in the checkout, with everything that the tests need."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", ".[bert,test]")


def run(session, module, *words, **options):
    """A module of the environment: of the one that nox stands in without environments of its own."""
    interpreter = "python" if session.virtualenv.is_sandboxed else sys.executable
    session.run(interpreter, "-m", module, *words, **options)


@nox.session
def lint(session):
    """ruff: what it finds, and whether all is formatted."""
    install(session)
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session):
    """mypy, strict for the rooms that are annotated."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", ".[bert,test,develop]")
    run(session, "mypy")


@nox.session
def test(session):
    """Every test but the long studies."""
    install(session)
    run(session, "pytest", "-q", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def quick(session):
    """The tests that need no compiled kernel: about a minute."""
    install(session)
    run(session, "pytest", "-q", *(f"tests/{room}" for room in QUICK), *session.posargs)


@nox.session
def docs(session):
    """The code of README, of the pages in docs/ and of the docstrings of public names."""
    install(session)
    run(session, "pytest", "-q", "tests/base/test_docs.py", *session.posargs)


@nox.session
def site(session):
    """The site of the documentation, in build/site: seconds, without network, warnings are errors."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", ".[bert,docs]")
    run(session, "mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def examples(session):
    """The scripts of examples/, their numbers against independent ones."""
    install(session)
    run(session, "pytest", "-q", "tests/base/test_examples.py", *session.posargs)


@nox.session
def long(session):
    """The studies of coverage and of hostile runs: hours."""
    install(session)
    run(session, "pytest", "-q", "-m", "long", *session.posargs)


@nox.session
def torch(session):
    """The tests of the PyTorch room; `nox -s torch -- install` brings PyTorch (the CPU's wheel)
    where there is none, which is skipped with its reason otherwise.
    """
    install(session)
    words = list(session.posargs)
    if "install" in words:
        words.remove("install")
        index = ("--index-url", "https://download.pytorch.org/whl/cpu")
        session.install("torch", *index)
        session.install("transformers", "peft")
    run(session, "pytest", "-q", "-rs", "tests/pytorch", *words)


@nox.session
def bounds(session):
    """The kernels with every index checked."""
    install(session)
    with tempfile.TemporaryDirectory() as cache:
        environment = {"NUMBA_BOUNDSCHECK": "1", "XBARSIM_CACHE_DIR": cache}
        run(session, "pytest", "-q", *KERNEL_TESTS, *COMPILED_ONLY, env=environment)


@nox.session
def interpreter(session):
    """The kernels in the interpreter, where coverage sees each line."""
    install(session)
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            "NUMBA_DISABLE_JIT": "1",
            "XBARSIM_CACHE_DIR": cache,
            "COVERAGE_FILE": str(Path(cache) / "coverage"),
        }
        selection = (
            "not stress_grid and not spectrum and not large and not four_solves and not every_solve "
            "and not variance_of_independent"
        )
        tests = ("-m", "pytest", "-q", "-W", "ignore:overflow", "-k", selection, *KERNEL_TESTS)
        run(session, "coverage", "run", "--source=xbarsim.kernels", *tests, env=environment)
        run(
            session,
            "coverage",
            "report",
            f"--omit={NOT_MEASURED}",
            "--fail-under=95",
            env=environment,
        )


@nox.session
def build(session):
    """The wheel holds every package and every data file."""
    if session.virtualenv.is_sandboxed:
        session.install("build")
    with tempfile.TemporaryDirectory() as place:
        run(session, "build", "--wheel", "--outdir", place)
        interpreter = "python" if session.virtualenv.is_sandboxed else sys.executable
        session.run(interpreter, "tests/check_wheel.py", place)


@nox.session
def release(session):
    """The sdist and the wheel in empty environments: every Python on PATH, oldest and newest
    dependencies.  Half an hour.
    """
    if session.virtualenv.is_sandboxed:
        session.install("build", "uv")
    interpreter = "python" if session.virtualenv.is_sandboxed else sys.executable
    session.run(interpreter, "tests/check_release.py", *session.posargs)


@nox.session
def licences(session):
    """The page of dependencies and their licences."""
    session.install(".[bert,cluster,excel,gguf,html,hub,plot]", "transformers", "pip-licenses")
    session.run("python", "packaging/licences.py")


@nox.session
def sbom(session):
    """A software bill of materials of xbarsim and its extras, in build/."""
    session.install("build", "cyclonedx-bom")
    session.run("python", "packaging/sbom.py")
