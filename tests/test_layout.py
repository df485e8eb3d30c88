"""The one-way import order, and what an import may cost."""
import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import only modules of earlier rows (or of its own row).
ORDER = [
    {"kernels"},
    {"errors", "units"},
    {"arrays", "files"},
    {"config"},
    {"cells", "spice"},
    {"devicefile"},
    {"device"},
    {"circuit", "mapping"},
    {"dense"},
    {"tile", "converters"},
    {"array"},
    {"checkpoint", "bert", "quantize", "functions", "tasks", "fetch"},
    {"computation"},
    {"products"},
    {"trace"},
    {"runner"},
    {"components", "schedule", "workload"},
    {"chip", "assumptions", "lowering", "rollup"},
    {"compare", "uncertainty", "claims", "aggregate", "calibrate", "memory", "sweep"},
    {"joined"},
    {"report", "plots"},
    {"console", "cli_chip"},
    {"cli"},
]
RANK = {name: rank for rank, row in enumerate(ORDER) for name in row}


def imported_modules(path):
    """Names of the xbarsim modules that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "xbarsim" and len(parts) > 1 and parts[1] in RANK:
                yield parts[1]


def place(path):
    """Name in the order of a module, or of the sub-package that it belongs to."""
    return path.stem if path.parent.name == "xbarsim" else path.parent.name


MODULES = [p for p in sorted((ROOT / "xbarsim").rglob("*.py")) if place(p) != "__init__"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "xbarsim").with_suffix("")))
def test_imports_go_one_way(path):
    assert place(path) in RANK, f"{path.name} has no place in the order"
    for name in imported_modules(path):
        assert RANK[name] <= RANK[place(path)], f"{path.stem} imports {name}"


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "xbarsim").rglob("__init__.py")}
    assert folders | {"xbarsim.kernels", "xbarsim.data"} == set(listed)


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").glob("*.py")), ids=lambda p: p.stem)
def test_kernels_import_only_arrays_and_each_other(path):
    allowed = {"numpy", "numba", "math", "typing", "xbarsim"}
    if path.stem == "_jit":
        allowed |= {"functools", "hashlib", "os", "tempfile", "pathlib", "platformdirs"}
    if path.stem == "transfer":
        allowed |= {"threading"}                          # scratch memory of each thread
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        for name in names:
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"
            assert not name.startswith("xbarsim") or name.startswith("xbarsim.kernels")


def test_importing_xbarsim_compiles_nothing():
    code = "import sys, xbarsim; print(any(m in sys.modules for m in ('numba', 'numpy', 'h5py')))"
    assert subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True).stdout.strip() == "False"
