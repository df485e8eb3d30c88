"""Install what a release consists of into empty environments and test it there:
`python tests/check_release.py`.

The sdist and the wheel are built once.  For every Python that is found, and for the oldest and the
newest dependencies that pyproject.toml allows and that exist for it, an environment is made that
holds nothing else, one of the two is installed, and a selection of the tests of the unpacked sdist
runs against what was installed.  The last lines are a table of what was measured.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("bert", "cluster", "excel", "gguf", "html", "plot")
TOOLS = ("pytest", "hypothesis")
SHOWN = ("numpy", "numba", "scipy", "h5py", "typer", "pydantic")
TESTS = (  # every room, and the whole chain
    "tests/base/test_archives.py",
    "tests/base/test_files.py",
    "tests/base/test_installation.py",
    "tests/base/test_toml_files.py",
    "tests/config/test_config.py",
    "tests/circuit/test_cells.py",
    "tests/circuit/test_circuit.py",
    "tests/tasks/test_tasks.py",
    "tests/devices/test_presets.py",
    "tests/models/test_bert.py",
    "tests/models/test_checkpoint.py",
    "tests/models/test_gguf.py",
    "tests/calibrate/test_calibrate_iv.py",
    "tests/calibrate/test_calibrate_tables.py",
    "tests/arrays/test_converters.py",
    "tests/chips/test_chip.py",
    "tests/studies/test_run.py",
    "tests/report/test_report.py",
    "tests/report/test_pictures.py",
    "tests/cli/test_cli.py",
    "tests/cli/test_command_line.py",
)


@dataclass(frozen=True)
class Built:
    """The two files of a release, and the sdist unpacked."""

    wheel: Path
    sdist: Path
    unpacked: Path


@dataclass(frozen=True)
class Combination:
    """One environment."""

    python: str  # such as "3.12"
    interpreter: str
    resolution: str  # of uv: lowest-direct or highest

    @property
    def name(self) -> str:
        age = "newest"
        if self.resolution == "lowest-direct":
            age = "oldest"
        return f"Python {self.python}, {age}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", help="a version; all of them if absent")
    parser.add_argument("--resolution", choices=("lowest-direct", "highest"), help="both if absent")
    parser.add_argument(
        "--keep", type=Path, help="directory that is kept; a temporary one if absent"
    )
    parser.add_argument("tests", nargs="*", help="instead of the selection")
    asked = parser.parse_args()
    # a shell that starts this in the background has it ignore Ctrl-C, and the tests with it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resolutions = ("lowest-direct", "highest")
    if asked.resolution:
        resolutions = (asked.resolution,)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        place = asked.keep or Path(scratch)
        built = build(place)
        rows = []
        for combination in combinations(asked.python or PYTHONS, resolutions):
            rows.append(check(combination, built, place, asked.tests or TESTS))
    print("\n".join(row for row, _ in rows))
    if not rows or any(failed for _, failed in rows):
        sys.exit("the release is not fit")


def build(place: Path) -> Built:
    """Build both files, the wheel from the sdist, as an index that lacks wheels would."""
    dist = place / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    run([sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT)], quiet=True)
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    run([sys.executable, str(ROOT / "tests" / "check_wheel.py"), str(dist)])
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "unpacked", filter="data")
    return Built(wheel, sdist, place / "unpacked" / sdist.name.removesuffix(".tar.gz"))


def combinations(pythons, resolutions):
    """Those of the Pythons that are on this machine."""
    for python in pythons:
        interpreter = interpreter_of(python)
        if interpreter is None:
            print(f"Python {python} is not on PATH: not tested")
            continue
        for resolution in resolutions:
            yield Combination(python, interpreter, resolution)


def interpreter_of(python: str) -> str | None:
    """A program on PATH that is this Python and starts."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for directory in os.get_exec_path():
        program = Path(directory) / f"python{python}"
        if not program.is_file():
            continue
        said = subprocess.run([program, "-c", code], capture_output=True, text=True)
        if said.stdout.strip() == python:
            return str(program)
    return None


def check(combination: Combination, built: Built, place: Path, tests) -> tuple[str, bool]:
    """(row of the table, whether something failed) of one environment."""
    print(f"--- {combination.name}", flush=True)
    environment = place / f"{combination.python}-{combination.resolution}"
    cache = place / f"cache-{environment.name}"
    uv = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "-q", "--clear", "--python", combination.interpreter, str(environment)])
    python = environment / "bin" / "python"
    # the sdist where dependencies are old, the wheel where they are new
    release, kind = built.wheel, "wheel"
    if combination.resolution == "lowest-direct":
        release, kind = built.sdist, "sdist"
    started = time.monotonic()
    dependencies = place / f"{environment.name}.txt"
    run([*uv, "pip", "compile", "-q", *options_of(combination, python), "-o", str(dependencies)])
    run([*uv, "pip", "install", "-q", "--python", str(python), "-r", str(dependencies)])
    run([*uv, "pip", "install", "-q", "--python", str(python), "--no-deps", str(release)])
    # Tools of the tests are not what is tested: the newest that go with what is there
    run([*uv, "pip", "install", "-q", "--python", str(python), *TOOLS])
    installed = time.monotonic()
    inside = os.environ | {"XBARSIM_CACHE_DIR": str(cache)}
    words = [str(python), "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(words, cwd=built.unpacked, env=inside, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if done.returncode:
        print("\n".join(lines[-60:]))
    took = time.monotonic() - installed
    row = (
        f"{combination.name}, {kind}: {versions(python)}; installed in "
        f"{installed - started:.0f} s, tested in {took:.0f} s: {lines[-1].strip('= ')}"
    )
    print(row, flush=True)
    return row, done.returncode != 0


def options_of(combination: Combination, python: Path) -> list[str]:
    """Of `uv pip compile`: dependencies of the project, oldest or newest, that exist as wheels."""
    options = ["--no-header", "--only-binary", ":all:", "--python", str(python)]
    options += ["--resolution", combination.resolution]
    for extra in EXTRAS:
        options += ["--extra", extra]
    return [*options, str(ROOT / "pyproject.toml")]


def versions(python: Path) -> str:
    """What was installed of the dependencies that matter most."""
    code = (
        "from importlib.metadata import version\n"
        f"print(', '.join(f'{{n}} {{version(n)}}' for n in {SHOWN!r}))"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def run(words, quiet=False) -> None:
    """Run a command; its failure is ours."""
    done = subprocess.run(words, capture_output=quiet, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} failed\n{done.stdout or ''}{done.stderr or ''}")


if __name__ == "__main__":
    main()
